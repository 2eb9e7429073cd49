"""Losses and their gradients against torch.distributions, closed forms and finite differences."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from rlcourse.deep import policies
from rlcourse.deep import policy_losses as p


def batch(seed, *shape, n_actions=4):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(2 * rng.normal(size=(*shape, n_actions)), requires_grad=True)
    a = torch.tensor(rng.integers(n_actions, size=shape))
    advantage = torch.tensor(3 * rng.normal(size=shape), requires_grad=True)
    return logits, a, advantage


def test_log_probabilities_and_entropies_are_those_of_torchs_distribution():
    logits, a, _ = batch(0, 3, 7)
    theirs = Categorical(logits=logits)
    assert torch.allclose(p.log_prob(logits, a), theirs.log_prob(a))
    assert torch.allclose(p.categorical_entropy(logits), theirs.entropy())


def test_the_loss_falls_along_the_policy_gradient():
    """Its gradient is -mean Â ∇ log π - β mean ∇H, with the score of the NumPy module."""
    logits, a, advantage = batch(1, 9)
    p.policy_gradient_loss(logits, a, advantage, 0.3).backward()
    pi = logits.detach().softmax(-1).numpy()
    x = policies.tabular_features(1, 4)
    score = np.stack([policies.softmax_score(x, row[None])[0] for row in pi])
    weight = advantage.detach().numpy()[:, None]
    bonus = np.stack(
        [policies.entropy_gradient(s[None], row[None])[0] for s, row in zip(score, pi, strict=True)]
    )
    by_hand = -(weight * score[np.arange(9), a] + 0.3 * bonus) / 9
    assert np.allclose(logits.grad, by_hand)
    assert advantage.grad is None


def test_an_entropy_bonus_makes_the_policy_less_sure():
    logits, a, _ = batch(2, 50)
    p.policy_gradient_loss(logits, a, torch.zeros(50), 1.0).backward()
    less = logits.detach() - 0.1 * logits.grad
    assert (p.categorical_entropy(less) > p.categorical_entropy(logits)).all()


def test_learners_are_graded_alone():
    logits, a, advantage = batch(3, 5, 8)
    old = torch.tensor(np.random.default_rng(3).normal(size=(5, 8)))
    for loss in (
        lambda *x: p.policy_gradient_loss(*x[:3], 0.2),
        lambda *x: p.weighted_policy_loss(x[0], x[1], x[3], x[2]),
    ):
        together = loss(logits, a, advantage, old)
        alone = [loss(logits[b], a[b], advantage[b], old[b]) for b in range(5)]
        assert torch.allclose(together, torch.stack(alone))


def test_the_weighted_loss_is_the_policy_gradient_where_the_policies_agree():
    logits, a, advantage = batch(4, 11)
    (on,) = torch.autograd.grad(p.policy_gradient_loss(logits, a, advantage, 0.0), logits)
    same = p.weighted_policy_loss(logits, a, p.log_prob(logits, a), advantage)
    (off,) = torch.autograd.grad(same, logits)
    assert torch.allclose(on, off)
    assert torch.allclose(same, -advantage.mean())


def test_the_weighted_loss_estimates_what_the_other_policy_earns():
    """Over all actions, weighted by the behaviour, it is minus the target's mean advantage."""
    rng = np.random.default_rng(5)
    logits = torch.tensor(rng.normal(size=6))
    b, advantage = torch.tensor(rng.dirichlet(np.ones(6))), torch.tensor(rng.normal(size=6))
    each = torch.stack(
        [
            p.weighted_policy_loss(
                logits[None], torch.tensor([a]), b[a].log()[None], advantage[a][None]
            )
            for a in range(6)
        ]
    )
    assert torch.allclose((b * each).sum(), -(logits.softmax(-1) * advantage).sum())


def test_data_get_no_gradient():
    logits, a, advantage = batch(6, 7)
    old = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    p.weighted_policy_loss(logits, a, old, advantage).backward()
    assert old.grad is None
    assert advantage.grad is None
    assert torch.autograd.gradcheck(
        lambda z: p.weighted_policy_loss(z, a, old.detach(), advantage.detach()), (logits,)
    )


def test_equal_weights_count_in_full_and_one_large_one_counts_once():
    flat = torch.full((3, 20), 5000.0, dtype=torch.float64)
    assert torch.allclose(p.effective_sample_size(flat), torch.tensor(20.0, dtype=torch.float64))
    flat[1, 4] = 9000.0
    assert torch.allclose(p.effective_sample_size(flat)[1], torch.tensor(1.0, dtype=torch.float64))
    rho = np.random.default_rng(7).exponential(size=15)
    ours = p.effective_sample_size(torch.tensor(rho).log())
    assert np.isclose(ours, rho.sum() ** 2 / (rho**2).sum())


def test_a_loss_that_is_no_number_is_named():
    p.check_finite("the loss", torch.zeros(3), "at update 4")
    with pytest.raises(FloatingPointError, match=r"loss is not finite at update 4.*\[1, 2\]"):
        p.check_finite("the loss", torch.tensor([0.0, torch.nan, torch.inf]), "at update 4")
