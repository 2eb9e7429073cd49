"""Learners along walks against plain loops, fixed points, and the exact mean."""

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import linear_learning as learn
from rlcourse.deep.counterexamples import baird
from rlcourse.deep.long_walk import groups, long_walk
from rlcourse.deep.mean_updates import gradient_td_system, mean_path, td_system
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp
from rlcourse.tabular.mdp import discounted_returns, policy_model, uniform_policy
from rlcourse.tabular.sampling import Steps, walk

GAMMA = 0.9


def short_walk(learners=5, steps=60, seed=0, limit=None):
    mdp, start = long_walk(20, 3)
    rng = np.random.default_rng(seed)
    return walk(mdp, np.ones((20, 1)), np.full(learners, start), steps=steps, rng=rng, limit=limit)


def test_semi_gradient_td_agrees_with_a_loop_for_each_learner():
    x, phi = short_walk(limit=7), np.random.default_rng(1).normal(size=(20, 4))
    assert x.truncated.any()
    assert x.terminated.any()
    got = learn.follow(x, phi, "td", alpha=0.05, gamma=GAMMA, w=0.5)
    for b in range(5):
        w = np.full(4, 0.5)
        for t in range(60):
            # a truncated step still bootstraps: from the state that it led to
            v_next = 0.0 if x.terminated[t, b] else phi[x.s_next[t, b]] @ w
            w = w + 0.05 * (x.r[t, b] + GAMMA * v_next - phi[x.s[t, b]] @ w) * phi[x.s[t, b]]
        np.testing.assert_allclose(got[-1, b], w)
    assert got.shape == (61, 5, 4)


@pytest.mark.parametrize("method", learn.METHODS)
def test_keep_and_step_sizes_of_each_learner_change_nothing_else(method):
    x, phi = short_walk(), np.random.default_rng(2).normal(size=(20, 4))
    settings = {"gamma": GAMMA, "beta": 0.1}
    full = learn.follow(x, phi, method, alpha=0.05, **settings)
    some = learn.follow(x, phi, method, alpha=np.full(5, 0.05), keep=[0, 10, 60], **settings)
    np.testing.assert_array_equal(some, full[[0, 10, 60]])
    own = learn.follow(x, np.tile(phi, (5, 1, 1)), method, alpha=0.05, **settings)
    np.testing.assert_array_equal(own, full)
    assert (learn.follow(x, phi, method, alpha=0.0, gamma=GAMMA)[-1] == 0).all()


def test_bad_settings_are_refused():
    x, phi = short_walk(), np.ones((20, 1))
    with pytest.raises(ValueError, match="method must be one of"):
        learn.follow(x, phi, "sarsa", alpha=0.1, gamma=GAMMA)
    with pytest.raises(ValueError, match="alpha must not be negative"):
        learn.follow(x, phi, "td", alpha=-0.1, gamma=GAMMA)
    with pytest.raises(ValueError, match="gamma must lie in"):
        learn.follow(x, phi, "td", alpha=0.1, gamma=1.5)


def independent(mdp, pi, d, steps, learners, seed):
    """A walk whose steps have nothing to do with each other: states drawn from d every time."""
    rng = np.random.default_rng(seed)
    start = rng.choice(len(d), size=steps * learners, p=d)
    x = walk(mdp, pi, start, steps=1, rng=rng)
    return Steps(*(column.reshape(steps, learners) for column in x))


def test_with_independent_samples_the_mean_of_td_is_exactly_the_mean_path():
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    model, d = policy_model(mdp, pi), np.full(25, 0.04)
    row, col = np.divmod(np.arange(25), 5)
    phi = np.stack([np.ones(25), row / 2 - 1, col / 2 - 1], -1)
    x = independent(mdp, pi, d, 800, 400, seed=3)
    w = learn.follow(x, phi, "td", alpha=0.05, gamma=GAMMA)
    system = td_system(phi, model.p, model.r, d, GAMMA)
    path = mean_path(system, np.zeros(3), 0.05, 800)
    error = w.std(1) / 20
    assert (np.abs(w.mean(1) - path) < 5 * error + 1e-12).all()
    np.testing.assert_allclose(path[-1], np.linalg.solve(*system), atol=0.1)


def test_off_policy_td_diverges_on_bairds_example_and_gradient_td_follows_its_exact_mean():
    """Sutton & Barto, figures 11.2 and 11.5: step sizes as printed."""
    world, gamma = baird(), 0.99
    rho = world.pi / world.behaviour
    start = np.arange(200) % 7
    x = walk(world.mdp, world.behaviour, start, steps=1000, rng=np.random.default_rng(4))
    settings = {"gamma": gamma, "rho": rho, "w": world.w}
    lost = learn.follow(x, world.phi, "td", alpha=0.01, **settings)
    assert (np.abs(lost[-1]).max(1) > 30).mean() > 0.9
    model, d = policy_model(world.mdp, world.pi), np.full(7, 1 / 7)
    system, c = td_system(world.phi, model.p, model.r, d, gamma), world.phi.T * d @ world.phi
    kept = learn.follow(x, world.phi, "tdc", alpha=0.005, beta=0.05, **settings)
    joined = gradient_td_system(system, c, 10.0)
    mean = mean_path(joined, np.concatenate([world.w, np.zeros(8)]), 0.005, 1000)[:, :8]
    spread = kept.std(1) / np.sqrt(200)
    # products of weights and states make the true mean differ a little from the mean path
    assert (np.abs(kept[1000].mean(0) - mean[1000]) < 6 * spread[1000] + 0.05).all()
    ve = np.sqrt(fa.value_error(kept[1000], world.phi, np.zeros(7), d))
    assert ve.mean() == pytest.approx(2, abs=0.15)
    pbe = np.sqrt(fa.projected_bellman_error(kept[1000], world.phi, model.p, model.r, d, gamma))
    assert np.median(pbe) < 0.3


def test_gradient_monte_carlo_agrees_with_a_loop():
    mdp, start = long_walk(20, 3)
    env, pi = environment(mdp, start), np.ones((20, 1))
    phi = np.random.default_rng(5).normal(size=(20, 3))
    got = learn.gradient_monte_carlo(
        env, pi, phi, episodes=4, learners=3, alpha=0.02, gamma=1.0, rng=np.random.default_rng(6)
    )
    rng, w = np.random.default_rng(6), np.zeros((3, 3))
    for k in range(4):
        x = sample_episodes(env, pi, 3, rng=rng)
        for b in range(3):
            alive = x.alive[:, b]
            g = discounted_returns(x.r[alive, b], 1.0)
            for s, target in zip(x.s[alive, b], g, strict=True):
                w[b] += 0.02 * (target - phi[s] @ w[b]) * phi[s]
        np.testing.assert_allclose(got[k + 1], w)


def test_gradient_monte_carlo_counts_what_follows_a_time_limit():
    mdp, start = long_walk(20, 3)
    env, phi = environment(mdp, start, limit=2), np.eye(20)
    w = np.full((40, 20), 5.0)
    found = learn.gradient_monte_carlo(
        env, np.ones((20, 1)), phi, episodes=1, learners=40, alpha=0.5, gamma=1.0, w=w,
        rng=np.random.default_rng(7),
    )  # fmt: skip
    assert np.abs(found[1] - 5).max() < 1e-12  # all values 5, no reward yet: nothing to learn
    kept = learn.gradient_monte_carlo(
        env, np.ones((20, 1)), phi, episodes=3, learners=2, alpha=0.5, gamma=1.0, keep=[0, 3],
        rng=np.random.default_rng(8),
    )  # fmt: skip
    assert kept.shape == (2, 2, 20)


def test_gradient_monte_carlo_ends_about_the_best_fit():
    mdp, start = long_walk(20, 6)
    env, pi, phi = environment(mdp, start), np.ones((20, 1)), groups(5, 20)
    model = policy_model(mdp, pi)
    d = fa.on_policy_distribution(model.p, np.eye(20)[start])
    best = fa.best_fit(phi, closed_form(mdp, pi, 1.0), d)
    w = learn.gradient_monte_carlo(
        env, pi, phi, episodes=400, learners=80, alpha=0.01, gamma=1.0,
        keep=np.arange(200, 401, 10), rng=np.random.default_rng(9),
    )  # fmt: skip
    assert np.abs(w.mean((0, 1)) - best).max() < 0.08


def test_the_residual_gradient_ends_elsewhere_even_with_a_table():
    """Its fixed point is the least mean square of δ: (E gᵀg)⁻¹ E g r with g = φ - γφ'."""
    mdp, start = long_walk(6, 1)
    pi, phi = np.ones((6, 1)), np.eye(6)
    model = policy_model(mdp, pi)
    d = fa.on_policy_distribution(model.p, np.eye(6)[start])
    g2, gr = np.zeros((6, 6)), np.zeros(6)
    for s in range(6):
        for k in range(2):
            goes_on = 1 - mdp.terminated[s, 0, k]
            g = phi[s] - goes_on * phi[mdp.s_next[s, 0, k]]
            g2 += d[s] * 0.5 * np.outer(g, g)
            gr += d[s] * 0.5 * mdp.r[s, 0, k] * g
    wrong = np.linalg.solve(g2, gr)
    x = independent(mdp, pi, d, 4000, 100, seed=10)
    settings = {"alpha": 0.05, "gamma": 1.0, "keep": np.arange(3000, 4001, 50)}
    full = learn.follow(x, phi, "residual", **settings).mean((0, 1))
    semi = learn.follow(x, phi, "td", **settings).mean((0, 1))
    exact = closed_form(mdp, pi, 1.0)
    assert np.abs(full - wrong).max() < 0.05
    assert np.abs(semi - exact).max() < 0.05
    assert np.abs(wrong - exact).max() > 0.1
