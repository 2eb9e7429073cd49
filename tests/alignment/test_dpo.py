"""Losses on preferences, against products of probabilities, enumeration and numbers by hand."""

import math
from functools import partial

import pytest
import torch

from rlcourse.alignment import dpo

BETA, NOISE = 0.3, 0.2
KTO = {"desirable": torch.tensor([True, False, True, False]), "mismatched": torch.ones(3).double()}
MARGIN_LOSSES = {
    "dpo": dpo.dpo_loss,
    "cdpo": partial(dpo.dpo_loss, smoothing=NOISE),
    "robust": partial(dpo.robust_loss, smoothing=NOISE),
    "hinge": dpo.hinge_loss,
    "ipo": dpo.ipo_loss,
}


def normal(*shape, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=g, dtype=torch.float64)


def row(*values):
    return torch.tensor(values, dtype=torch.float64)


def gradient(loss, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x).sum(), x)[0]


def same(found, expected, tolerance=1e-12):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------- whole answers


def test_an_answers_probability_is_the_product_of_its_tokens():
    log_probs, mask = -normal(5, 7).abs(), normal(5, 7, seed=1) > 0
    mask[:, 3] = True
    total, mean = dpo.sequence_log_probs(log_probs, mask)
    for i in range(5):
        factors = [math.exp(x) for x, m in zip(log_probs[i], mask[i], strict=True) if m]
        assert total[i].exp().item() == pytest.approx(math.prod(factors), rel=1e-12)
        geometric = math.prod(factors) ** (1 / len(factors))
        assert mean[i].exp().item() == pytest.approx(geometric, rel=1e-12)


@pytest.mark.parametrize("bad", [-torch.inf, torch.inf, torch.nan])
def test_what_is_no_answer_changes_neither_value_nor_gradient(bad):
    log_probs, mask = -normal(3, 4).abs(), torch.ones(3, 4).bool()
    pad = torch.nn.functional.pad
    for width in ((2, 0), (0, 3), (1, 1)):
        wide = pad(log_probs, width, value=bad).requires_grad_()
        found = dpo.sequence_log_probs(wide, pad(mask, width, value=False))
        for a, b in zip(found, dpo.sequence_log_probs(log_probs, mask), strict=True):
            same(a, b)
        (slope,) = torch.autograd.grad(sum(x.sum() for x in found), wide)
        same(slope, pad(torch.full_like(log_probs, 1.25), width))


def test_an_answer_without_a_token_is_refused():
    mask = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match="mask must have a token in each row, got a row without"):
        dpo.sequence_log_probs(normal(2, 2), mask)


# ------------------------------------------------------------------------------- the margin


def test_the_margin_is_the_difference_of_implicit_rewards():
    chosen, rejected, chosen_ref, rejected_ref = normal(4, 6)
    h = dpo.preference_margin(chosen, rejected, chosen_ref, rejected_ref)
    better = dpo.implicit_reward(chosen, chosen_ref, BETA)
    worse = dpo.implicit_reward(rejected, rejected_ref, BETA)
    same(BETA * h, better - worse)
    same(dpo.preference_margin(rejected, chosen, rejected_ref, chosen_ref), -h)


def test_a_constant_of_the_prompt_changes_no_margin():
    policy, ref = normal(2, 5), normal(2, 5, seed=1)
    of_policy, of_ref = normal(5, seed=2), normal(5, seed=3)
    same(
        dpo.preference_margin(*(policy + of_policy), *(ref + of_ref)),
        dpo.preference_margin(*policy, *ref),
    )


def test_the_implicit_reward_of_the_tilted_policy_is_the_reward_less_a_constant():
    ref, r = normal(6).log_softmax(-1), normal(6, seed=1)
    weights = ref.exp() * (r / BETA).exp()
    policy = (weights / weights.sum()).log()
    found = dpo.implicit_reward(policy, ref, BETA)
    same(found, r - BETA * weights.sum().log())


def test_no_gradient_reaches_the_reference():
    parts = normal(4, 5).requires_grad_()
    (slope,) = torch.autograd.grad(dpo.preference_margin(*parts).sum(), parts)
    assert slope.tolist() == [[1.0] * 5, [-1.0] * 5, [0.0] * 5, [0.0] * 5]
    (slope,) = torch.autograd.grad(dpo.implicit_reward(parts[0], parts[1], BETA).sum(), parts)
    assert slope.tolist() == [[BETA] * 5, *[[0.0] * 5] * 3]


# ------------------------------------------------------------------------------- losses of margins


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("dpo", math.log(2)),
        ("cdpo", math.log(2)),
        ("robust", math.log(2)),
        ("hinge", 1.0),
        ("ipo", 1 / (4 * BETA**2)),
    ],
)
def test_at_the_start_each_loss_has_its_value(name, start):
    found = MARGIN_LOSSES[name](torch.zeros(3).double(), BETA)
    same(found, torch.full((3,), start, dtype=torch.float64))


def test_the_losses_are_those_by_hand():
    h, beta = row(2.0, -3.0, 10.0), 0.5
    p = [1 / (1 + math.exp(-x)) for x in (1.0, -1.5, 5.0)]
    same(dpo.dpo_loss(h, beta), row(*(-math.log(x) for x in p)))
    smooth = row(*(-0.8 * math.log(x) - 0.2 * math.log(1 - x) for x in p))
    same(dpo.dpo_loss(h, beta, 0.2), smooth)
    assert dpo.hinge_loss(h, beta).tolist() == [0.0, 2.5, 0.0]
    assert dpo.ipo_loss(h, beta).tolist() == [1.0, 16.0, 81.0]


def test_the_robust_loss_is_unbiased_under_wrong_labels():
    h = normal(7, scale=8.0)
    right, wrong = (dpo.robust_loss(x, BETA, NOISE) for x in (h, -h))
    same((1 - NOISE) * right + NOISE * wrong, dpo.dpo_loss(h, BETA))


def test_the_plain_and_the_smoothed_loss_are_biased_under_wrong_labels():
    h = row(5.0)
    for loss in (dpo.dpo_loss, partial(dpo.dpo_loss, smoothing=NOISE)):
        mean = (1 - NOISE) * loss(h, BETA) + NOISE * loss(-h, BETA)
        assert (mean - dpo.dpo_loss(h, BETA)).abs().item() > 0.1


def test_wrong_labels_give_cdpo_on_average():
    h = normal(7, scale=8.0)
    mean = (1 - NOISE) * dpo.dpo_loss(h, BETA) + NOISE * dpo.dpo_loss(-h, BETA)
    same(mean, dpo.dpo_loss(h, BETA, NOISE))


def test_the_gradient_pulls_the_margin_by_beta_times_the_chance_of_the_wrong_order():
    h = normal(9, scale=6.0)
    expected = row(*(BETA / (1 + math.exp(BETA * x)) for x in h.tolist()))
    same(gradient(lambda x: dpo.dpo_loss(x, BETA), h), -expected)
    same(dpo.gradient_weight(h, BETA), expected)
    assert dpo.gradient_weight(row(0.0, -1e4, 1e4), BETA).tolist() == [BETA / 2, BETA, 0.0]


def test_the_gradient_is_the_scaled_gradient_of_the_margin():
    logits, ref = normal(4, 5).requires_grad_(), normal(4, 5, seed=1).log_softmax(-1)
    log_p = logits.log_softmax(-1)
    h = dpo.preference_margin(log_p[:, 0], log_p[:, 1], ref[:, 0], ref[:, 1])
    (found,) = torch.autograd.grad(dpo.dpo_loss(h, BETA).sum(), logits)
    towards = torch.zeros_like(logits)  # ∇h of a softmax over its logits
    towards[:, 0], towards[:, 1] = 1, -1
    same(found, -dpo.gradient_weight(h.detach(), BETA)[:, None] * towards)


@pytest.mark.parametrize(
    ("name", "goal"),
    [("cdpo", math.log((1 - NOISE) / NOISE) / BETA), ("ipo", 1 / (2 * BETA))],
)
def test_a_loss_with_a_goal_is_least_there(name, goal):
    loss = MARGIN_LOSSES[name]
    around = row(goal - 2, goal - 0.1, goal, goal + 0.1, goal + 2)
    values = loss(around, BETA)
    assert values.argmin() == 2
    slope = gradient(lambda x: loss(x, BETA), around)
    assert (slope[:2] < 0).all()
    assert slope[2].abs() < 1e-12
    assert (slope[3:] > 0).all()


@pytest.mark.parametrize("name", ["dpo", "robust"])
def test_a_loss_without_a_goal_falls_for_ever(name):
    h = torch.linspace(-30, 60, 19).double()
    assert (MARGIN_LOSSES[name](h, BETA).diff() < 0).all()


def test_the_hinge_is_content_beyond_one():
    h = row(-2.0, 3.0, 3.4, 20.0)
    slope = gradient(lambda x: dpo.hinge_loss(x, BETA), h)
    assert slope.tolist() == [-BETA, -BETA, 0.0, 0.0]


@pytest.mark.parametrize("name", MARGIN_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_margins_of_ten_thousand_stay_finite(name, dtype):
    h = torch.tensor([-1e4, 1e4], dtype=dtype)
    loss = partial(MARGIN_LOSSES[name], beta=BETA)
    assert loss(h).dtype == dtype
    assert loss(h).isfinite().all()
    assert gradient(loss, h).isfinite().all()


def test_far_margins_cost_what_their_line_says():
    same(dpo.dpo_loss(row(-1e4, 1e4), BETA), row(3e3, 0.0))
    same(dpo.dpo_loss(row(-1e4, 1e4), BETA, NOISE), row(0.8 * 3e3, 0.2 * 3e3))


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_each_pair_has_a_loss_of_its_own(name):
    loss, h = partial(MARGIN_LOSSES[name], beta=BETA), normal(6, scale=4.0)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    same(loss(h[order]), loss(h)[order])
    same(torch.cat([loss(x) for x in h.split(1)]), loss(h))


@pytest.mark.parametrize("name", MARGIN_LOSSES)
@pytest.mark.parametrize("beta", [0.0, -0.1, math.inf, math.nan])
def test_a_beta_that_is_not_positive_is_refused(name, beta):
    with pytest.raises(ValueError, match="beta must be positive, got"):
        MARGIN_LOSSES[name](row(1.0), beta)


@pytest.mark.parametrize("loss", [dpo.dpo_loss, dpo.robust_loss])
@pytest.mark.parametrize("smoothing", [-1e-9, 0.5, 1.0, math.nan])
def test_labels_that_say_nothing_are_refused(loss, smoothing):
    with pytest.raises(ValueError, match=rf"smoothing must lie in \[0, 0.5\), got {smoothing}"):
        loss(row(1.0), BETA, smoothing)


# ------------------------------------------------------------------------------- KTO


def test_kto_is_that_by_hand():
    x, desirable = row(2.0, -1.0, 0.5), torch.tensor([True, False, True])
    found = dpo.kto_loss(x, desirable, row(0.5, 1.5), 0.5, (1.5, 3.0))
    value = [1 / (1 + math.exp(-v)) for v in (0.5 * (2 - 1), 0.5 * (1 + 1), 0.5 * (0.5 - 1))]
    same(found, row(1.5 * (1 - value[0]), 3 * (1 - value[1]), 1.5 * (1 - value[2])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kto_keeps_beta_in_the_precision_of_its_input(dtype):
    x = torch.tensor([3.0, -2.0], dtype=dtype)
    found = dpo.kto_loss(x, torch.tensor([True, False]), torch.zeros(1, dtype=dtype), 0.1)
    assert found.dtype == dtype
    expected = [1 / (1 + math.exp(0.3)), 1 / (1 + math.exp(0.2))]
    assert found.tolist() == pytest.approx(expected, rel=4 * torch.finfo(dtype).eps)


def test_the_baseline_is_data_and_never_below_zero():
    mismatched = normal(5).requires_grad_()
    x, good = normal(4, seed=1).requires_grad_(), KTO["desirable"]
    for shift, z in ((2.0, (mismatched + 2).mean().item()), (-2.0, 0.0)):
        loss = dpo.kto_loss(x, good, mismatched + shift, BETA)
        signed = torch.where(good, x - z, z - x)
        same(loss, 1 - torch.sigmoid(BETA * signed))
        slopes = torch.autograd.grad(loss.sum(), (x, mismatched), allow_unused=True)
        assert slopes[1] is None
        assert (slopes[0][good] < 0).all()
        assert (slopes[0][~good] > 0).all()


def test_a_baseline_that_holds_negative_answers_is_their_mean():
    x, good = normal(4), KTO["desirable"]
    found = dpo.kto_loss(x, good, row(-3.0, 5.0), BETA)
    same(found, dpo.kto_loss(x, good, row(1.0), BETA))


def test_at_the_start_kto_is_half_of_each_weight():
    found = dpo.kto_loss(torch.zeros(4).double(), KTO["desirable"], row(0.0, 0.0), BETA, (3.0, 5.0))
    assert found.tolist() == [1.5, 2.5, 1.5, 2.5]


@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_kto_saturates_between_zero_and_its_weight(far):
    x = torch.full((4,), far, dtype=torch.float64)
    loss = partial(dpo.kto_loss, **KTO, beta=BETA, weights=(2.0, 3.0))
    assert loss(x).tolist() == ([2.0, 0.0, 2.0, 0.0] if far < 0 else [0.0, 3.0, 0.0, 3.0])
    assert gradient(loss, x).tolist() == [0.0] * 4


def test_kto_refuses_a_beta_that_is_not_positive():
    for beta in (0.0, -1.0):
        with pytest.raises(ValueError, match="beta must be positive, got"):
            dpo.kto_loss(normal(4), **KTO, beta=beta)


# ------------------------------------------------------------------------------- no reference


def test_simpo_is_that_by_hand():
    found = dpo.simpo_loss(row(-0.5, -2.0), row(-1.0, -1.0), 2.0, 0.5)
    same(found, row(math.log1p(math.exp(-0.5)), math.log1p(math.exp(2.5))))


def test_simpo_without_a_margin_is_dpo_of_the_means():
    chosen, rejected = -normal(2, 6).abs()
    same(dpo.simpo_loss(chosen, rejected, 2.5, 0.0), dpo.dpo_loss(chosen - rejected, 2.5))


def test_simpo_is_log_two_where_the_reward_leads_by_gamma():
    rejected = -normal(4).abs() - 1
    found = dpo.simpo_loss(rejected + 0.25, rejected, 2.0, 0.5)
    same(found, torch.full((4,), math.log(2), dtype=torch.float64))


def test_simpo_refuses_a_beta_that_is_not_positive():
    for beta in (0.0, -2.0):
        with pytest.raises(ValueError, match="beta must be positive, got"):
            dpo.simpo_loss(row(-1.0), row(-2.0), beta, 0.5)


def test_orpo_is_sft_and_the_log_of_odds():
    chosen, rejected = row(-0.3, -1.7, -0.9), row(-1.1, -0.2, -0.9)
    found, weight = dpo.orpo_loss(chosen, rejected, 0.4), 0.4
    for i in range(3):
        p, q = math.exp(chosen[i]), math.exp(rejected[i])
        ratio = p / (1 - p) / (q / (1 - q))
        expected = -math.log(p) - weight * math.log(ratio / (1 + ratio))
        assert found[i].item() == pytest.approx(expected, rel=1e-12)
    assert found[2].item() == pytest.approx(0.9 + 0.4 * math.log(2), rel=1e-12)


def test_orpo_without_weight_is_sft():
    chosen, rejected = -normal(2, 6).abs() - 0.01
    same(dpo.orpo_loss(chosen, rejected, 0.0), -chosen)


def test_log_odds_are_exact_near_zero_and_near_one():
    x = row(-1e-300, -1e-17, -math.log(2), -50.0, -1e4)
    expected = [300 * math.log(10), 17 * math.log(10), 0.0, -50.0, -1e4]
    assert dpo.log_odds(x).tolist() == pytest.approx(expected, rel=1e-15, abs=1e-15)


def test_losses_without_a_reference_stay_finite_far_out():
    x = row(-1e4, -1e-9)
    for loss in (
        lambda x: dpo.simpo_loss(x, x.flip(0), 2.0, 0.5),
        lambda x: dpo.orpo_loss(x, x.flip(0), 0.1),
    ):
        assert loss(x).isfinite().all()
        assert gradient(loss, x).isfinite().all()
