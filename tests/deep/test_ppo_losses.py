"""PPO's losses and their gradients: hand numbers, autograd, enumeration, torch.distributions."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from rlcourse.deep import ppo_gradients, ppo_losses
from rlcourse.deep.policy_losses import categorical_entropy, log_prob

INF = math.inf


def doubles(*numbers, grad=False):
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=grad)


def batch(seed, shape=(3, 50), actions=4, spread=0.5):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(*shape, actions)), requires_grad=True)
    a = torch.tensor(rng.integers(actions, size=shape))
    old = log_prob(logits.detach(), a) + torch.tensor(rng.normal(scale=spread, size=shape))
    return logits, a, old, torch.tensor(rng.normal(size=shape))


# ------------------------------------------------------------------------------- the clip


def test_the_clip_and_its_gradient_by_hand():
    rho = doubles(0.5, 1.5, 0.5, 1.5, 1.1, 0.9)
    x = rho.log().requires_grad_()
    advantage = doubles(1, 1, -1, -1, 2, -2, grad=True)
    got = ppo_losses.clipped_surrogate(x, advantage, 0.2)
    assert np.allclose(got.detach(), [0.5, 1.2, -0.8, -1.5, 2.2, -1.8])
    got.sum().backward()
    assert np.allclose(x.grad, [0.5, 0, 0, -1.5, 2.2, -1.8])
    assert advantage.grad is None


def test_both_sides_of_the_clip_can_differ():
    rho = doubles(0.5, 1.25, 1.5, 0.5, 0.85)
    got = ppo_losses.clipped_surrogate(rho.log(), doubles(1, 1, 1, -1, -1), 0.1, 0.3)
    assert np.allclose(got, [0.5, 1.25, 1.3, -0.9, -0.9])


def test_the_clip_is_a_lower_bound_of_the_surrogate_that_touches_it_at_the_old_policy():
    logits, a, old, advantage = batch(0)
    log_ratio = log_prob(logits.detach(), a) - old
    clipped = ppo_losses.clipped_surrogate(log_ratio, advantage, 0.2)
    assert (clipped <= log_ratio.exp() * advantage + 1e-12).all()
    at_old = ppo_losses.clipped_surrogate(0 * log_ratio, advantage, 0.2)
    assert torch.equal(at_old, advantage)


def test_the_ratio_is_that_of_the_probabilities_and_the_old_one_is_data():
    new, old = doubles(0.1, -2.0, grad=True), doubles(-1.0, -2.5, grad=True)
    rho = ppo_losses.probability_ratio(new, old)
    assert np.allclose(rho.detach(), np.exp([0.1, -2.0]) / np.exp([-1.0, -2.5]))
    rho.sum().backward()
    assert np.allclose(new.grad, rho.detach())
    assert old.grad is None


def test_a_dual_clip_limits_bad_actions_alone():
    rho, advantage = doubles(9.0, 9.0, 1.1), doubles(-1.0, 1.0, -1.0)
    clipped = ppo_losses.clipped_surrogate(rho.log(), advantage, 0.2)
    assert np.allclose(ppo_losses.dual_clip(clipped, advantage, 3.0), [-3.0, 1.2, -1.1])


# ------------------------------------------------------------------------------- values


def test_the_clipped_value_loss_by_hand():
    v = doubles(2, 2, 0.3, -2, grad=True)
    old, target = doubles(0, 0, 0, 0, grad=True), doubles(1, 3, 1, -3, grad=True)
    got = ppo_losses.clipped_value_loss(v, old, target, 0.5)
    assert np.allclose(got.detach(), [0.5, 3.125, 0.245, 3.125])
    got.sum().backward()
    assert np.allclose(v.grad, [1, 0, -0.7, 0])
    assert old.grad is None
    assert target.grad is None


def test_without_a_limit_it_is_half_the_square():
    rng = np.random.default_rng(1)
    v, old, target = (torch.tensor(x) for x in rng.normal(size=(3, 20)))
    v.requires_grad_()
    got = ppo_losses.clipped_value_loss(v, old, target, INF)
    got.sum().backward()
    assert np.allclose(got.detach(), (v.detach() - target) ** 2 / 2)
    assert np.allclose(v.grad, v.detach() - target)


# ------------------------------------------------------------------------------- divergences


def test_k1_and_k3_have_the_mean_of_the_kl_divergence_by_enumeration():
    rng = np.random.default_rng(2)
    old, new = (Categorical(logits=torch.tensor(x)) for x in rng.normal(size=(2, 6)))
    x = ppo_losses.kl_estimates(new.logits - old.logits)
    exact = float(kl_divergence(old, new))
    for k in (x.k1, x.k3):
        assert math.isclose(float((old.probs * k).sum()), exact)
    assert (x.k3 >= 0).all()
    assert (x.k1 < 0).any()


def test_k2_is_near_where_policies_are_near_and_k3_has_the_least_variance():
    old, new = Normal(0.0, 1.0), Normal(0.1, 1.0)
    a = old.sample((200_000,))
    x = ppo_losses.kl_estimates((new.log_prob(a) - old.log_prob(a)).double())
    exact = float(kl_divergence(old, new))
    for k in x:
        assert abs(float(k.mean()) - exact) < 5 * float(k.std()) / 200_000**0.5 + 1e-4
    assert x.k3.std() < 0.2 * x.k1.std()


def test_k3_keeps_its_digits_near_the_old_policy():
    x = ppo_losses.kl_estimates(doubles(1e-7, -1e-7))
    assert np.allclose(x.k3, 5e-15, rtol=1e-2)


# ------------------------------------------------------------------------------- the loss


def test_the_whole_loss_is_a_loop_over_learners_and_samples():
    logits, a, old, advantage = batch(3)
    value = torch.tensor(np.random.default_rng(4).random((3, 50)))
    entropy = categorical_entropy(logits)
    got = ppo_losses.ppo_loss(
        log_prob(logits, a), entropy, value, old, advantage, 0.2, 0.5, 0.01
    ).detach()
    for b in range(3):
        total = 0.0
        for i in range(50):
            pi = Categorical(logits=logits[b, i].detach())
            rho = math.exp(float(pi.log_prob(a[b, i]) - old[b, i]))
            x = float(advantage[b, i])
            gain = min(rho * x, min(max(rho, 0.8), 1.2) * x)
            total += -gain - 0.01 * float(pi.entropy()) + 0.5 * float(value[b, i])
        assert math.isclose(total / 50, float(got[b]))


def test_gradients_reach_what_is_learned_and_nothing_that_is_old():
    logits, a, old, advantage = batch(5)
    parts = [log_prob(logits, a).detach(), categorical_entropy(logits).detach(), old.abs()]
    parts += [old, advantage]
    leaves = [x.clone().requires_grad_() for x in parts]
    ppo_losses.ppo_loss(*leaves, 0.2, 0.5, 0.01).sum().backward()
    known, entropy, value, first, weight = (x.grad for x in leaves)
    assert np.allclose(entropy, -0.01 / 50)
    assert np.allclose(value, 0.5 / 50)
    assert first is None
    assert weight is None
    rho = (parts[0] - old).exp()
    shut = ((advantage > 0) & (rho > 1.2)) | ((advantage < 0) & (rho < 0.8))
    assert shut.any()
    assert np.allclose(known, torch.where(shut, 0.0, -rho * advantage / 50))


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_gradient_by_hand_is_autograds(beta):
    for seed in range(5):
        logits, a, old, advantage = batch(seed, shape=(2, 3, 20), actions=5, spread=0.6)
        zero = torch.zeros_like(old)
        loss = ppo_losses.ppo_loss(
            log_prob(logits, a), categorical_entropy(logits), zero, old, advantage, 0.2, 1.0, beta
        )
        loss.sum().backward()
        ours = ppo_gradients.ppo_logits_gradient(
            logits.detach().numpy(), a.numpy(), old.numpy(), advantage.numpy(), 0.2, beta
        )
        assert np.allclose(ours, logits.grad, atol=1e-15)
        assert np.allclose(ours.sum(-1), 0)


# ------------------------------------------------------------------------------- around it


def test_advantages_are_normalised_learner_by_learner():
    x = torch.tensor(np.random.default_rng(6).normal(3.0, 7.0, size=(3, 40)))
    got = ppo_losses.normalised(x)
    y = x.numpy()
    assert np.allclose(got, (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True))
    assert (ppo_losses.normalised(torch.full((2, 5), 4.0)) == 0).all()


def test_the_share_beyond_the_clip_and_the_variance_explained_by_hand():
    rho = doubles(0.7, 0.9, 1.1, 1.3)
    assert float(ppo_losses.clip_fraction(rho.log(), 0.2)) == 0.5
    target = doubles(1, 2, 3, 6)
    explained = ppo_losses.explained_variance
    assert math.isclose(float(explained(target - 5, target)), 1)
    assert float(explained(doubles(3, 3, 3, 3), target)) == 0
    assert float(explained(-target, target)) == -3
    assert math.isnan(float(explained(target, doubles(2, 2, 2, 2))))
