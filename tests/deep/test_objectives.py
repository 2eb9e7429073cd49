"""Exact objectives and gradients against finite differences, autograd and closed forms."""

import numpy as np
import pytest
import torch

from rlcourse.deep import objectives as o
from rlcourse.deep import policies as p
from rlcourse.deep.policy_worlds import hike, short_corridor
from rlcourse.tabular import mdp as m
from rlcourse.tabular.gridworld import closed_form


def differences(f, x, h=1e-6):
    """Central differences of f at x (D,), one for each component."""
    return np.stack([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))], -1)


def world(rng, ends=True, n_states=5, n_actions=3, n_outcomes=2):
    shape = n_states, n_actions, n_outcomes
    p_ = rng.dirichlet(np.ones(n_outcomes), size=shape[:2])
    over = rng.random(shape) < 0.3 if ends else False
    return m.finite_mdp(rng.integers(n_states, size=shape), p_, 3 * rng.normal(size=shape), over)


def parameters(rng, n=4):
    return rng.normal(size=(5, 3, n)), rng.normal(size=n)


@pytest.mark.parametrize("beta", [0.0, 0.7])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_the_theorem_is_the_gradient_of_the_start_value(gamma, beta):
    rng = np.random.default_rng(0)
    mdp, d0 = world(rng), rng.dirichlet(np.ones(5))
    x, theta = parameters(rng)

    def j(z):
        return o.value_objective(mdp, x, z, d0, gamma, beta).objective

    exact = o.value_objective(mdp, x, theta, d0, gamma, beta)
    assert np.allclose(exact.gradient, differences(j, theta), atol=1e-6)


def test_the_theorem_is_what_autograd_finds_through_the_linear_solve():
    rng = np.random.default_rng(1)
    mdp = world(rng)
    x, theta = parameters(rng)
    leaf = torch.tensor(theta, requires_grad=True)
    pi = (torch.from_numpy(x) @ leaf).softmax(-1)
    p_ = torch.zeros(5, 3, 5, dtype=torch.float64)
    for s, a, k in np.ndindex(mdp.p.shape):
        p_[s, a, mdp.s_next[s, a, k]] += mdp.p[s, a, k] * (1 - mdp.terminated[s, a, k])
    p_pi = torch.einsum("sa,saj->sj", pi, p_)
    r_pi = (pi * torch.from_numpy((mdp.p * mdp.r).sum(-1))).sum(-1)
    v = torch.linalg.solve(torch.eye(5, dtype=torch.float64) - 0.9 * p_pi, r_pi)
    v[2].backward()
    exact = o.value_objective(mdp, x, theta, 2, 0.9)
    assert np.isclose(exact.objective, v[2].item())
    assert np.allclose(exact.gradient, leaf.grad)
    assert np.allclose(exact.v, closed_form(mdp, pi.detach().numpy(), 0.9))
    assert np.allclose(exact.q, m.action_values(mdp, exact.v, 0.9))


def test_a_row_of_learners_has_the_gradients_of_each_alone():
    rng = np.random.default_rng(2)
    mdp = world(rng)
    x, _ = parameters(rng)
    theta = rng.normal(size=(6, 4))
    together = o.value_objective(mdp, x, theta, 3, 0.8)
    for b in range(6):
        for whole, alone in zip(together, o.value_objective(mdp, x, theta[b], 3, 0.8), strict=True):
            assert np.allclose(whole[b], alone)


def test_eta_counts_the_discounted_visits():
    rng = np.random.default_rng(3)
    mdp = world(rng)
    x, theta = parameters(rng)
    p_pi = m.policy_model(mdp, p.softmax_policy(x, theta)).p
    visits, now = np.zeros(5), np.eye(5)[1]
    for _ in range(400):
        visits, now = visits + now, 0.9 * now @ p_pi
    assert np.allclose(o.value_objective(mdp, x, theta, 1, 0.9).eta, visits)


def test_the_theorem_is_the_gradient_of_the_average_reward():
    rng = np.random.default_rng(4)
    mdp = world(rng, ends=False)
    x, theta = parameters(rng)
    exact = o.average_reward(mdp, x, theta)
    by_differences = differences(lambda z: o.average_reward(mdp, x, z).objective, theta)
    assert np.allclose(exact.gradient, by_differences, atol=1e-7)
    model = m.policy_model(mdp, p.softmax_policy(x, theta))
    assert np.allclose(exact.eta @ model.p, exact.eta)
    assert np.isclose(exact.eta.sum(), 1)
    assert np.isclose(exact.eta @ exact.v, 0)
    assert np.allclose(exact.v, model.r - exact.objective + model.p @ exact.v)


def test_the_average_value_is_the_average_reward_but_for_a_factor():
    """v̄ = Σ d_π v_π = r̄ / (1 - γ), and so are their gradients."""
    rng = np.random.default_rng(5)
    mdp = world(rng, ends=False)
    x, theta = parameters(rng)

    def average_value(z):
        d = o.average_reward(mdp, x, z).eta
        return d @ closed_form(mdp, p.softmax_policy(x, z), 0.8)

    exact = o.average_reward(mdp, x, theta)
    assert np.isclose(exact.objective, (1 - 0.8) * average_value(theta))
    assert np.allclose(exact.gradient, (1 - 0.8) * differences(average_value, theta), atol=1e-6)


def test_an_average_over_all_time_refuses_an_end():
    rng = np.random.default_rng(6)
    with pytest.raises(ValueError, match="never end"):
        o.average_reward(world(rng), *parameters(rng))


def test_bad_starts_and_discounts_are_refused():
    w = short_corridor()
    with pytest.raises(ValueError, match="start"):
        o.value_objective(w.mdp, w.x, np.zeros(2), 3, 1.0)
    with pytest.raises(ValueError, match="start must sum to 1"):
        o.value_objective(w.mdp, w.x, np.zeros(2), [0.5, 0.5, 0.5], 1.0)
    with pytest.raises(ValueError, match="gamma"):
        o.value_objective(w.mdp, w.x, np.zeros(2), 0, 1.1)


# ------------------------------------------------------------------------------- the worlds


def test_the_short_corridor_is_best_at_2_minus_root_2():
    """Sutton & Barto, example 13.1: J(p) = (2p - 4) / (p (1 - p))."""
    w = short_corridor()
    chance = np.array([2 - 2**0.5, 0.05, 0.5, 0.95])
    theta = np.stack([np.zeros(4), np.log(chance / (1 - chance))], -1)
    exact = o.value_objective(w.mdp, w.x, theta, w.start, w.gamma)
    assert np.allclose(exact.objective, (2 * chance - 4) / (chance * (1 - chance)))
    assert np.isclose(exact.objective[0], -11.656854, atol=1e-6)
    assert np.allclose(exact.gradient[0], 0)
    assert (np.abs(exact.gradient[1:]) > 0.1).all()


def test_a_hike_lasts_four_days_and_pays_for_the_height_of_the_night():
    w = hike(slip=0.0)
    climb = m.deterministic_policy(np.full(12, 2), 3)
    assert np.isclose(closed_form(w.mdp, climb, 1.0)[0], (2 - 1) + (6 - 1) + (6 - 1) + (6 - 1))
    rest = m.deterministic_policy(np.full(12, 1), 3)
    assert np.isclose(closed_form(w.mdp, rest, 1.0)[0], 4)
    assert np.isclose(closed_form(hike(slip=1.0).mdp, climb, 1.0)[0], 0)
