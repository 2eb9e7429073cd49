"""Estimators of the policy gradient: each against the exact one, and against all trajectories.

No estimator is trusted unless its mean lies within FAR standard errors of the exact gradient.
"""

import numpy as np
import pytest

from rlcourse.deep import policies, policy_worlds
from rlcourse.deep import policy_gradient as pg
from rlcourse.deep.enumeration import all_episodes, exact_variance
from rlcourse.deep.objectives import policy_gradient, value_objective
from rlcourse.tabular import mdp as m
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.importance_sampling import importance_ratios
from rlcourse.tabular.returns import completed_returns

FAR = 4.5  # standard errors
HIKE, THETA = policy_worlds.hike(), np.array([1.0, 0.5])


def returns(x, gamma):
    return completed_returns(x.r, x.alive, x.terminated, np.zeros(x.r.shape[1]), gamma)


def weights(x, exact, score, pi, gamma):
    """The weights of every estimator with the mean ∇J, by name."""
    g = returns(x, gamma)
    v, q = exact.v[x.s], exact.q[x.s, x.a]
    best = pg.optimal_baseline(pi, exact.q, score)[x.s]
    return {
        "total return": np.broadcast_to(g[0], g.shape),
        "reward-to-go": pg.reinforce_weights(g, gamma),
        "constant baseline": pg.reinforce_weights(g, gamma, exact.objective),
        "state values": pg.reinforce_weights(g, gamma, v),
        "optimal baseline": pg.reinforce_weights(g, gamma, best),
        "action values": pg.reinforce_weights(q, gamma),
        "advantages": pg.reinforce_weights(q, gamma, v),
    }


def setting(world, theta):
    pi = policies.softmax_policy(world.x, theta)
    exact = value_objective(world.mdp, world.x, theta, world.start, world.gamma)
    return pi, policies.softmax_score(world.x, pi), exact


# ------------------------------------------------------------------------------- enumeration


def test_every_estimator_has_the_mean_of_the_theorem_over_all_trajectories():
    pi, score, exact = setting(HIKE, THETA)
    x, p = all_episodes(HIKE.mdp, pi, HIKE.start, 4)
    for name, w in weights(x, exact, score, pi, HIKE.gamma).items():
        estimates = pg.gradient_estimates(score, x, w)
        assert np.allclose(p @ estimates, exact.gradient, atol=1e-12), name


def test_optimal_constants_leave_the_mean_and_no_other_constant_leaves_less_variance():
    pi, score, exact = setting(HIKE, THETA)
    x, p = all_episodes(HIKE.mdp, pi, HIKE.start, 4)
    g = returns(x, HIKE.gamma)[0]
    z = pg.gradient_estimates(score, x, np.ones(x.r.shape))
    b = pg.optimal_constants(z, g, p)
    best = exact_variance(z * (g[:, None] - b), p)
    assert np.allclose(p @ (z * (g[:, None] - b)), exact.gradient)
    for off in (-0.5, 0.01, 0.5):
        assert (exact_variance(z * (g[:, None] - b - off), p) > best).all()


def test_the_optimal_constants_of_a_sample_weigh_each_episode_alike():
    rng = np.random.default_rng(0)
    z, g = rng.normal(size=(9, 3)), rng.normal(size=9)
    assert np.allclose(pg.optimal_constants(z, g), pg.optimal_constants(z, g, np.full(9, 1 / 9)))


def test_sampled_means_and_variances_are_those_of_all_trajectories():
    pi, score, exact = setting(HIKE, THETA)
    env = environment(HIKE.mdp, HIKE.start)
    sampled = sample_episodes(env, pi, 40_000, rng=np.random.default_rng(1))
    x, p = all_episodes(HIKE.mdp, pi, HIKE.start, 4)
    each = weights(sampled, exact, score, pi, HIKE.gamma)
    for name, w in weights(x, exact, score, pi, HIKE.gamma).items():
        found = pg.measure(pg.gradient_estimates(score, sampled, each[name]), exact.gradient)
        variance = exact_variance(pg.gradient_estimates(score, x, w), p).sum()
        assert np.abs(found.z).max() < FAR, name
        assert np.isclose(found.variance, variance, rtol=0.1), name


def test_dropping_the_discount_changes_the_mean():
    pi, score, exact = setting(HIKE, THETA)
    x, p = all_episodes(HIKE.mdp, pi, HIKE.start, 4)
    dropped = pg.gradient_estimates(score, x, pg.reinforce_weights(returns(x, HIKE.gamma), 1.0))
    assert np.abs(p @ dropped - exact.gradient).max() > 0.1
    # it is the theorem's sum with undiscounted visits
    undiscounted = value_objective(HIKE.mdp, HIKE.x, THETA, HIKE.start, 1.0).eta
    assert np.allclose(p @ dropped, policy_gradient(undiscounted, pi, exact.q, score))


def test_off_policy_estimates_have_the_mean_of_the_target():
    pi, score, exact = setting(HIKE, THETA)
    behaviour = m.uniform_policy(HIKE.mdp)
    x, p = all_episodes(HIKE.mdp, behaviour, HIKE.start, 4)
    rho = importance_ratios(pi, behaviour, x.s, x.a, x.alive)
    whole = rho.prod(0) * pg.reinforce_weights(returns(x, HIKE.gamma), HIKE.gamma)
    by_decision = pg.off_policy_weights(x.r, rho, HIKE.gamma)
    variances = []
    for w in (whole, by_decision):
        estimates = pg.gradient_estimates(score, x, w)
        assert np.allclose(p @ estimates, exact.gradient)
        variances.append(exact_variance(estimates, p).sum())
    assert variances[1] < variances[0]


def test_the_corridors_estimates_lie_around_the_exact_gradient():
    """Its episodes have no longest one, so only the linear solve knows."""
    world = policy_worlds.short_corridor()
    theta = np.array([0.0, 0.8])
    pi, score, exact = setting(world, theta)
    env = environment(world.mdp, world.start)
    x = sample_episodes(env, pi, 20_000, rng=np.random.default_rng(2))
    for name, w in weights(x, exact, score, pi, world.gamma).items():
        found = pg.measure(pg.gradient_estimates(score, x, w), exact.gradient)
        assert np.abs(found.z).max() < FAR, name


def test_a_wrong_estimator_is_found_out():
    pi, score, exact = setting(HIKE, THETA)
    env = environment(HIKE.mdp, HIKE.start)
    x = sample_episodes(env, pi, 40_000, rng=np.random.default_rng(3))
    without = pg.reinforce_weights(returns(x, HIKE.gamma), 1.0, exact.v[x.s])
    found = pg.measure(pg.gradient_estimates(score, x, without), exact.gradient)
    assert np.abs(found.z).max() > 10


# ------------------------------------------------------------------------------- baselines


def test_the_optimal_baseline_leaves_the_least_variance_in_each_state():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 4, 5))
    pi = policies.softmax_policy(x, rng.normal(size=5))
    score, q = policies.softmax_score(x, pi), 10 + 3 * rng.normal(size=(6, 4))
    best = pg.optimal_baseline(pi, q, score)

    def second_moment(b):
        return (pi * (score**2).sum(-1) * (q - b[:, None]) ** 2).sum(-1)

    for b in (best + 0.01, best - 0.01, (pi * q).sum(-1)):
        assert (second_moment(b) > second_moment(best)).all()


def test_a_baseline_is_the_value_where_the_score_vanishes():
    pi, q = np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[7.0, 3.0], [1.0, 2.0]])
    score = np.zeros((2, 2, 3))
    score[0, 0] = 1.0
    assert np.allclose(pg.optimal_baseline(pi, q, score), [3.0, 1.5])


def test_estimates_of_many_policies_are_those_of_each_alone():
    rng = np.random.default_rng(5)
    theta = rng.normal(size=(7, 2))
    pi = policies.softmax_policy(HIKE.x, theta)
    score = policies.softmax_score(HIKE.x, pi)
    x = sample_episodes(environment(HIKE.mdp, HIKE.start), pi, 7, rng=rng)
    w = pg.reinforce_weights(returns(x, 0.9), 0.9)
    together = pg.gradient_estimates(score, x, w)
    for b in range(7):
        by_loop = sum(w[t, b] * score[b, x.s[t, b], x.a[t, b]] for t in range(len(w)))
        assert np.allclose(together[b], by_loop)


def test_nothing_counts_after_the_end():
    world = policy_worlds.short_corridor()
    pi, score, _ = setting(world, np.zeros(2))
    x = sample_episodes(environment(world.mdp, 0), pi, 50, rng=np.random.default_rng(6))
    assert not x.alive.all()
    w = np.where(x.alive, 1.0, 1e6)
    z = pg.gradient_estimates(score, x, np.ones(x.r.shape))
    assert np.array_equal(pg.gradient_estimates(score, x, w), z)


# ------------------------------------------------------------------------------- measuring


def test_what_does_not_vary_is_exact_or_infinitely_far_off():
    found = pg.measure(np.tile([1.0, 2.0], (5, 1)), np.array([1.0, 1.5]))
    assert found.z.tolist() == [0.0, np.inf]
    assert found.variance == 0
    with pytest.raises(ValueError, match="at least 2"):
        pg.measure(np.ones((1, 2)), np.ones(2))


def test_all_trajectories_have_probability_1_and_are_those_that_sampling_finds():
    rng = np.random.default_rng(7)
    pi = rng.dirichlet(np.ones(3), size=12)
    x, p = all_episodes(HIKE.mdp, pi, HIKE.start, 3)
    assert np.isclose(p.sum(), 1)
    assert not x.terminated.any()
    assert len(p) <= 6**3
    sampled = sample_episodes(environment(HIKE.mdp, 0, limit=3), pi, 50_000, rng=rng)
    chance = np.bincount(x.s_last, p, 12)
    seen = np.bincount(sampled.s_last, minlength=12) / 50_000
    assert np.allclose(chance, seen, atol=FAR * 0.5 / 50_000**0.5)


def test_too_many_trajectories_are_refused():
    world = policy_worlds.short_corridor()
    with pytest.raises(ValueError, match="at most 200000 trajectories"):
        all_episodes(world.mdp, m.uniform_policy(world.mdp), 0, 30)


def test_a_corridors_cut_trajectories_have_not_terminated():
    world = policy_worlds.short_corridor()
    x, p = all_episodes(world.mdp, m.uniform_policy(world.mdp), 0, 8)
    assert 0 < x.terminated.sum() < len(p)
    assert np.isclose(p.sum(), 1)
    assert (x.alive.sum(0) == np.where(x.terminated, x.alive.sum(0), 8)).all()
