"""Policies against finite differences, autograd, and torch's own distributions."""

import numpy as np
import pytest
import torch

from rlcourse.deep import policies as p


def features(rng, n_states=4, n_actions=3, n_parameters=5):
    return rng.normal(size=(n_states, n_actions, n_parameters))


def differences(f, x, h=1e-6):
    """Central differences of f at x (D,), one column for each component."""
    return np.stack([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))], -1)


def test_the_softmax_is_torchs_for_preferences_of_any_size():
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e4):
        h = scale * rng.normal(size=(2, 3, 5))
        theirs = torch.from_numpy(h).log_softmax(-1).numpy()
        assert np.allclose(p.log_softmax(h), theirs, rtol=1e-13, atol=1e-12)


def test_a_softmax_policy_has_a_row_for_each_learner_and_state():
    rng = np.random.default_rng(1)
    x, theta = features(rng), rng.normal(size=(2, 6, 5))
    pi = p.softmax_policy(x, theta)
    assert pi.shape == (2, 6, 4, 3)
    assert np.allclose(pi.sum(-1), 1)
    assert np.allclose(pi[1, 4], p.softmax_policy(x, theta[1, 4]))
    h = x @ theta[1, 4]
    assert np.allclose(pi[1, 4], np.exp(h) / np.exp(h).sum(-1, keepdims=True))


def test_tabular_features_make_every_preference_a_parameter():
    x = p.tabular_features(4, 3)
    theta = np.random.default_rng(2).normal(size=12)
    assert np.allclose(x @ theta, theta.reshape(4, 3))


def test_the_score_is_the_gradient_of_the_log_probability():
    rng = np.random.default_rng(3)
    x, theta = features(rng), rng.normal(size=5)
    by_hand = p.softmax_score(x, p.softmax_policy(x, theta))
    assert np.allclose(
        by_hand, differences(lambda z: np.log(p.softmax_policy(x, z)), theta), atol=1e-8
    )
    leaf = torch.tensor(theta, requires_grad=True)
    log_pi = (torch.from_numpy(x) @ leaf).log_softmax(-1)
    for s, a in np.ndindex(4, 3):
        (grad,) = torch.autograd.grad(log_pi[s, a], leaf, retain_graph=True)
        assert np.allclose(by_hand[s, a], grad)


def test_a_score_has_mean_0_under_its_own_policy_for_each_learner():
    rng = np.random.default_rng(4)
    x = features(rng)
    pi = p.softmax_policy(x, rng.normal(size=(6, 5)))
    score = p.softmax_score(x, pi)
    assert score.shape == (6, 4, 3, 5)
    assert np.allclose((pi[..., None] * score).sum(-2), 0)


def test_entropy_is_torchs_and_0_for_a_policy_that_is_sure():
    rng = np.random.default_rng(5)
    pi = rng.dirichlet(np.ones(5), size=(2, 3))
    theirs = torch.distributions.Categorical(torch.from_numpy(pi)).entropy()
    assert np.allclose(p.entropy(pi), theirs)
    sure = p.entropy(np.array([[0.0, 1.0, 0.0]]))
    assert sure == 0
    assert not np.signbit(sure)
    assert np.isclose(p.entropy(np.full(7, 1 / 7)), np.log(7))


def test_the_entropys_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(6)
    x, theta = features(rng), rng.normal(size=5)
    pi = p.softmax_policy(x, theta)
    by_hand = p.entropy_gradient(p.softmax_score(x, pi), pi)
    assert np.allclose(
        by_hand, differences(lambda z: p.entropy(p.softmax_policy(x, z)), theta), atol=1e-8
    )


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_the_gaussian_is_torchs_in_arrays_and_in_tensors(kind):
    rng = np.random.default_rng(7)
    a, mean, log_std = rng.normal(size=(3, 8)) * [[3.0], [1.0], [1.5]]
    theirs = torch.distributions.Normal(torch.tensor(mean), torch.tensor(log_std).exp())
    ours = p.gaussian_log_prob(kind(a), kind(mean), kind(log_std))
    assert np.allclose(ours, theirs.log_prob(torch.tensor(a)), rtol=1e-12)
    assert np.allclose(p.gaussian_entropy(kind(log_std)), theirs.entropy(), rtol=1e-12)


def test_the_gaussians_score_is_what_autograd_finds():
    rng = np.random.default_rng(8)
    a, mean, log_std = rng.normal(size=(3, 6))
    leaves = [torch.tensor(x, requires_grad=True) for x in (mean, log_std)]
    p.gaussian_log_prob(torch.tensor(a), *leaves).sum().backward()
    for ours, leaf in zip(p.gaussian_score(a, mean, log_std), leaves, strict=True):
        assert np.allclose(ours, leaf.grad)
