"""Surrogate, bound and natural step against exact objectives, autograd and torch.distributions."""

import numpy as np
import pytest
import torch

from rlcourse.deep import trust_region as tr
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policies import log_softmax, softmax_policy, softmax_score, tabular_features
from rlcourse.deep.policy_worlds import hike
from rlcourse.tabular.mdp import finite_mdp

W = hike()
THETA = np.array([0.3, -0.2])


def exact(theta, gamma=0.9):
    return value_objective(W.mdp, W.x, theta, W.start, gamma)


@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_the_gain_is_the_old_advantages_in_the_new_ones_states(gamma):
    rng = np.random.default_rng(0)
    old = exact(THETA, gamma)
    for theta in THETA + rng.normal(size=(20, 2)):
        new = exact(theta, gamma)
        gain = tr.policy_difference(new.eta, softmax_policy(W.x, theta), old)
        assert np.isclose(gain, new.objective - old.objective, rtol=1e-10, atol=1e-12)


def test_the_surrogate_has_the_value_and_the_gradient_of_the_objective_and_no_more():
    old = exact(THETA)

    def surrogate(theta):
        return tr.surrogate_objective(softmax_policy(W.x, theta), old)

    assert np.isclose(surrogate(THETA), old.objective)
    h = 1e-5 * np.eye(2)
    slopes = [(surrogate(THETA + e) - surrogate(THETA - e)) / 2e-5 for e in h]
    assert np.allclose(slopes, old.gradient, atol=1e-8)
    far = THETA + 2.0
    assert abs(surrogate(far) - exact(far).objective) > 0.05


def test_the_bound_holds_everywhere_and_is_tight_at_the_old_policy():
    rng = np.random.default_rng(1)
    for seed in range(5):
        world = np.random.default_rng(seed)
        p, r = world.dirichlet(np.ones(4), size=(4, 3)), world.normal(size=(4, 3, 4))
        ends = np.zeros(p.shape, dtype=bool)
        mdp = finite_mdp(np.broadcast_to(np.arange(4), p.shape), p, r, ends)
        x, gamma = tabular_features(4, 3), rng.uniform(0.2, 0.9)
        theta = rng.normal(size=12)
        old, pi = value_objective(mdp, x, theta, 0, gamma), softmax_policy(x, theta)
        assert np.isclose(tr.surrogate_bound(pi, pi, old, gamma), old.objective)
        for scale in (0.01, 0.1, 1, 5):
            other = theta + scale * rng.normal(size=(30, 12))
            new = value_objective(mdp, x, other, 0, gamma).objective
            bound = tr.surrogate_bound(softmax_policy(x, other), pi, old, gamma)
            assert (bound <= new + 1e-12).all()


def test_the_fisher_matrix_is_the_second_derivative_of_the_mean_kl():
    old, pi = exact(THETA), softmax_policy(W.x, THETA)
    d = old.eta / old.eta.sum()
    fisher = tr.fisher_matrix(d, pi, softmax_score(W.x, pi))
    x, weights = torch.tensor(W.x), torch.tensor(d)
    first = torch.distributions.Categorical(logits=x @ torch.tensor(THETA))

    def kl(theta):
        there = torch.distributions.Categorical(logits=x @ theta)
        return (weights * torch.distributions.kl_divergence(first, there)).sum()

    assert np.allclose(torch.autograd.functional.hessian(kl, torch.tensor(THETA)), fisher)
    far = torch.tensor([1.0, 0.5]).double()
    assert np.isclose(tr.mean_kl(d, np.log(pi), log_softmax(W.x @ far.numpy())), float(kl(far)))


def test_the_natural_step_is_the_best_of_its_length():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(3, 4, 4))
    fisher, g = root @ root.swapaxes(-1, -2) + 0.1 * np.eye(4), rng.normal(size=(3, 4))
    x = tr.natural_step(g, fisher, 0.02)
    length = np.einsum("bi,bij,bj->b", x, fisher, x) / 2
    assert np.allclose(length, 0.02)
    others = rng.normal(size=(500, 3, 4))
    sizes = np.einsum("nbi,bij,nbj->nb", others, fisher, others) / 2
    others *= np.sqrt(0.02 / sizes)[..., None]
    assert ((others * g).sum(-1) <= (x * g).sum(-1)).all()


def test_the_natural_step_of_no_gradient_is_no_step_and_hand_numbers():
    assert (tr.natural_step(np.zeros(2), np.eye(2), 0.1) == 0).all()
    step = tr.natural_step(np.array([1.0, 1.0]), np.diag([1.0, 4.0]), 0.1)
    assert np.allclose(step, [0.4, 0.1])


def test_the_natural_step_is_the_same_policy_whatever_the_units_of_the_parameters():
    old, pi = exact(THETA), softmax_policy(W.x, THETA)
    d = old.eta / old.eta.sum()
    scale = np.array([10.0, 0.3])
    score = softmax_score(W.x, pi)
    one = tr.natural_step(old.gradient, tr.fisher_matrix(d, pi, score), 0.05)
    other = tr.natural_step(old.gradient * scale, tr.fisher_matrix(d, pi, score * scale), 0.05)
    assert np.allclose(one, scale * other)


def test_conjugate_gradients_solve_what_linear_algebra_solves():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(7, 7))
    fisher, b = root @ root.T + 0.5 * np.eye(7), rng.normal(size=7)
    x = tr.conjugate_gradients(lambda y: fisher @ y, b, 7)
    assert np.allclose(x, np.linalg.solve(fisher, b))
    assert (tr.conjugate_gradients(lambda y: fisher @ y, 0 * b, 7) == 0).all()


def test_trpo_climbs_without_leaving_its_region():
    theta, before = np.array([-3.0, 2.0]), -np.inf
    for _ in range(40):
        log_pi = log_softmax(W.x @ theta)
        now = exact(theta)
        assert now.objective >= before
        before = now.objective
        theta = tr.trpo_step(W.mdp, W.x, theta, W.start, 0.9, 0.05)
        d = now.eta / now.eta.sum()
        assert tr.mean_kl(d, log_pi, log_softmax(W.x @ theta)) <= 0.05
    best = max(exact(np.array([c, r])).objective for c in (0, 2, 8) for r in (-8, 0, 8))
    assert before > best - 0.02


def test_a_policy_that_is_sure_already_stays():
    theta = np.array([60.0, -60.0])
    for _ in range(3):
        theta = tr.trpo_step(W.mdp, W.x, theta, W.start, 0.9, 0.2)
        assert np.isfinite(theta).all()
    assert np.isclose(exact(theta).objective, exact(np.array([60.0, -60.0])).objective)
