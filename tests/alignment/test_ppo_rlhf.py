"""PPO on tokens: by hand, by sums over what comes later, by enumeration."""

import math

import pytest
import torch

from rlcourse.alignment import ppo_rlhf as p
from rlcourse.deep.ppo_losses import clipped_value_loss

F = torch.float64
MASK = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 1, 1, 1, 1]]).bool()


def normal(seed, *shape):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=F, generator=g)


# ------------------------------------------------------------------------------- rewards


def test_the_score_comes_at_the_last_token_of_the_policy_and_the_leash_at_each():
    log_ratio = torch.full(MASK.shape, 0.5, dtype=F)
    found = p.token_rewards(torch.tensor([1.0, 2, 3, 4], dtype=F), log_ratio, MASK, 0.1)
    expected = torch.tensor(
        [
            [-0.05, -0.05, 0, 0.95, 0],
            [1.95, 0, 0, 0, 0],
            [0, -0.05, 0, 0, 2.95],
            [-0.05, -0.05, -0.05, -0.05, 3.95],
        ],
        dtype=F,
    )
    torch.testing.assert_close(found, expected)


def test_the_rewards_of_an_answer_sum_to_its_score_less_the_price_of_its_log_ratio():
    log_ratio, score = normal(0, *MASK.shape), normal(1, len(MASK))
    whole = p.token_rewards(score, log_ratio, MASK, 0.3).sum(1)
    torch.testing.assert_close(whole, score - 0.3 * (log_ratio * MASK).sum(1))


def test_rewards_are_data_and_ignore_what_the_mask_leaves_out():
    score = normal(0, 4).requires_grad_()
    log_ratio = torch.where(MASK, normal(1, *MASK.shape), torch.nan).requires_grad_()
    found = p.token_rewards(score, log_ratio, MASK, 0.3)
    assert not found.requires_grad
    assert found.isfinite().all()


def test_an_empty_answer_and_a_negative_price_are_refused():
    with pytest.raises(ValueError, match="mask must have a token in each row"):
        p.token_rewards(torch.zeros(2), torch.zeros(2, 3), torch.eye(2, 3) > 2, 0.1)
    with pytest.raises(ValueError, match="beta must"):
        p.token_rewards(torch.zeros(4), torch.zeros(4, 5), MASK, -0.1)


# ------------------------------------------------------------------------------- advantages


def double_sum(rewards, values, gamma, lam):
    """Σ_l (γλ)^l δ_{t+l} of a row without gaps."""
    after = [*values[1:], 0.0]
    deltas = [r + gamma * w - v for r, v, w in zip(rewards, values, after, strict=True)]
    return [
        sum((gamma * lam) ** k * d for k, d in enumerate(deltas[t:])) for t in range(len(deltas))
    ]


def test_advantages_are_those_of_rows_from_which_the_tools_tokens_were_cut():
    r, v = normal(2, *MASK.shape), normal(3, *MASK.shape)
    found = p.token_advantages(
        torch.where(MASK, r, torch.nan), torch.where(MASK, v, torch.inf), MASK, 0.9, 0.7
    )
    for i, own in enumerate(MASK):
        expected = torch.tensor(double_sum(r[i, own].tolist(), v[i, own].tolist(), 0.9, 0.7))
        torch.testing.assert_close(found.advantage[i, own], expected.to(F))
        torch.testing.assert_close(found.target[i, own], expected.to(F) + v[i, own])
        assert not found.advantage[i, ~own].any()
        assert not found.target[i, ~own].any()


def test_with_lambda_1_the_target_is_what_the_rest_of_the_answer_earned():
    r, v = normal(2, *MASK.shape), normal(3, *MASK.shape)
    found = p.token_advantages(r, v, MASK, 1.0, 1.0).target
    earned = (r * MASK).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(found, torch.where(MASK, earned, 0))


def test_whitened_advantages_have_mean_0_and_deviation_1_over_the_tokens_that_count():
    x = normal(4, *MASK.shape) * 3 + 5
    found = p.whitened(torch.where(MASK, x, torch.nan), MASK)
    own = found[MASK]
    assert float(own.mean()) == pytest.approx(0, abs=1e-12)
    assert float(own.std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert not found[~MASK].any()
    assert (own.argsort() == x[MASK].argsort()).all()
    assert not p.whitened(torch.ones(MASK.shape), MASK).any()
    with pytest.raises(ValueError, match="mask must have a token"):
        p.whitened(x, MASK & ~MASK)


# ------------------------------------------------------------------------------- the losses


@pytest.mark.parametrize(
    ("rho", "advantage", "value", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.6, 0.0),  # beyond 1 + 0.3, and pushed further
        (0.5, 2.0, -1.0, -1.0),
        (0.5, -2.0, 1.6, 0.0),  # beyond 1 - 0.2, and pushed further
        (1.5, -2.0, 3.0, 3.0),
        (2.9, -2.0, 5.8, 5.8),
        (7.0, -2.0, 6.0, 0.0),  # beyond the dual clip, c = 3
        (7.0, 2.0, -2.6, 0.0),
        (7.0, 0.0, 0.0, 0.0),
    ],
)
def test_the_loss_of_a_token_by_hand(rho, advantage, value, slope):
    log_prob = torch.tensor(math.log(rho) - 1.5, dtype=F, requires_grad=True)
    a = torch.tensor(advantage, dtype=F, requires_grad=True)
    found = p.policy_loss(log_prob, torch.tensor(-1.5, dtype=F), a, 0.2, 0.3, 3.0)
    gradient, of_advantage = torch.autograd.grad(found, (log_prob, a), allow_unused=True)
    assert float(found.detach()) == pytest.approx(value)
    assert float(gradient) == pytest.approx(slope)
    assert of_advantage is None


def test_without_dual_a_huge_ratio_costs_in_proportion_and_the_clip_is_symmetric():
    found = p.policy_loss(torch.tensor(2.0), torch.tensor(0.0), torch.tensor(-1.0))
    assert float(found) == pytest.approx(math.exp(2))
    found = p.policy_loss(torch.tensor(2.0), torch.tensor(0.0), torch.tensor(1.0), 0.25)
    assert float(found) == pytest.approx(-1.25)


def test_the_value_clip_keeps_the_larger_error():
    v, old, target = (torch.tensor(x, dtype=F) for x in (1.0, 0.0, 2.0))
    assert float(clipped_value_loss(v, old, target, 0.2)) == pytest.approx(1.8**2 / 2)


@pytest.mark.parametrize("kind", ["k1", "k3", "k3+"])
def test_the_mean_of_an_estimate_is_the_kl_by_enumeration(kind):
    log_pi, log_ref = (normal(seed, 6).log_softmax(0) for seed in (5, 6))
    kl = (log_pi.exp() * (log_pi - log_ref)).sum()
    torch.testing.assert_close((log_pi.exp() * p.kl_penalty(log_pi, log_ref, kind)).sum(), kl)


def test_k2_and_k3_are_never_negative_and_all_are_0_at_the_reference():
    log_pi, log_ref = (normal(seed, 50).log_softmax(0) for seed in (5, 6))
    for kind in p.KINDS:
        assert not p.kl_penalty(log_ref, log_ref, kind).any()
    for kind in ("k2", "k3", "k3+"):
        assert (p.kl_penalty(log_pi, log_ref, kind) >= 0).all()


def test_the_reference_has_no_gradient_and_another_kind_is_refused():
    log_pi, log_ref = (normal(seed, 6).requires_grad_() for seed in (5, 6))
    for kind in p.KINDS:
        total = p.kl_penalty(log_pi, log_ref, kind).sum()
        assert torch.autograd.grad(total, log_ref, allow_unused=True) == (None,)
    with pytest.raises(ValueError, match=r"kind must be one of .*, got 'k4'"):
        p.kl_penalty(log_pi, log_ref, "k4")


@pytest.mark.parametrize(
    ("kl", "factor"), [(6.0, 1.0), (6.6, 1.01), (60.0, 1.02), (5.4, 0.99), (0.0, 0.98), (-9, 0.98)]
)
def test_beta_follows_the_kl_slowly(kl, factor):
    assert p.adapted_beta(0.3, kl, 6.0, 100, 1000) == pytest.approx(0.3 * factor)


def test_a_target_or_horizon_of_0_is_refused():
    for target, horizon in ((0.0, 10), (1.0, 0)):
        with pytest.raises(ValueError, match="must be positive"):
            p.adapted_beta(0.1, 1.0, target, 1, horizon)


def test_the_last_token_is_the_last_that_counts():
    expected = [[0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    assert p.last_tokens(MASK).int().tolist() == expected
    assert not p.last_tokens(torch.zeros(1, 4, dtype=torch.bool)).any()
