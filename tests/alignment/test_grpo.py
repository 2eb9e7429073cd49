"""Advantages of groups and ratios of answers: by hand, and by enumeration of all groups."""

import itertools
import math

import pytest
import torch

from rlcourse.alignment import grpo
from rlcourse.deep.ppo_losses import clipped_surrogate

F = torch.float64
REWARDS = torch.tensor([0.0, 1, 0.3, 1, 0, 0.3, 0.3, 0.7], dtype=F)
GROUPS = torch.tensor([5, 5, -2, 5, 5, -2, -2, 5])
ADVANTAGES = {
    **{scale: (lambda r, g, s=scale: grpo.grpo_advantages(r, g, s)) for scale in grpo.SCALES},
    "left out": grpo.leave_one_out,
    "batch mean": lambda r, _: grpo.batch_baseline(r),
}


def test_the_advantages_of_a_group_by_hand():
    r, g = torch.tensor([0.0, 1, 1, 0, 1], dtype=F), torch.tensor([1, 1, 0, 1, 0])
    std = math.sqrt((1 / 9 + 4 / 9 + 1 / 9) / 2)
    expected = torch.tensor([-1, 2, 0, -1, 0], dtype=F) / 3
    torch.testing.assert_close(grpo.grpo_advantages(r, g, "none"), expected)
    torch.testing.assert_close(grpo.grpo_advantages(r, g), expected / (std + 1e-6))
    batch = math.sqrt((1 / 9 + 4 / 9 + 1 / 9) / 4)
    torch.testing.assert_close(grpo.grpo_advantages(r, g, "batch"), expected / (batch + 1e-6))
    expected = torch.tensor([-0.5, 1, 0, -0.5, 0], dtype=F)
    torch.testing.assert_close(grpo.leave_one_out(r, g), expected)
    expected = torch.tensor([-0.6, 0.4, 0.4, -0.6, 0.4], dtype=F)
    torch.testing.assert_close(grpo.batch_baseline(r), expected)


@pytest.mark.parametrize("scale", ["group", "none", "batch"])
def test_equal_rewards_have_advantages_of_exactly_0(scale):
    found = grpo.grpo_advantages(REWARDS, GROUPS, scale)
    assert not found[GROUPS == -2].any()
    assert found[GROUPS == 5].all()
    third = torch.full((7,), 0.1, dtype=torch.float32)  # seven times 0.1, by 7, isn't 0.1
    assert not grpo.grpo_advantages(third, torch.zeros(7, dtype=torch.long), scale).any()


@pytest.mark.parametrize("name", ADVANTAGES)
def test_the_order_of_answers_changes_nothing_but_order(name):
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    found = ADVANTAGES[name](REWARDS[order], GROUPS[order])
    torch.testing.assert_close(found, ADVANTAGES[name](REWARDS, GROUPS)[order])


@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantages_are_data_and_a_constant_added_to_all_rewards_changes_none(name):
    r = REWARDS.clone().requires_grad_()
    found = ADVANTAGES[name](r, GROUPS)
    assert not found.requires_grad
    torch.testing.assert_close(ADVANTAGES[name](REWARDS + 3, GROUPS), found)


def mean_gradient(advantages, size):
    """Of Σ Â ∇log π / G over all groups of so many answers, each as likely as it is; and ∇E r."""
    z = torch.tensor([0.3, -0.5, 1.0], dtype=F, requires_grad=True)
    log_pi, r = z.log_softmax(0), torch.tensor([1.0, 0.0, 0.4], dtype=F)
    total = torch.zeros(3, dtype=F)
    for answers in itertools.product(range(3), repeat=size):
        own = torch.tensor(answers)
        a = advantages(r[own], torch.zeros(size, dtype=torch.long))
        likely = log_pi[own].sum().exp().detach()
        total += likely * torch.autograd.grad((a * log_pi[own]).mean(), z, retain_graph=True)[0]
    return total, torch.autograd.grad((log_pi.exp() * r).sum(), z)[0]


@pytest.mark.parametrize("size", [2, 4])
def test_leaving_one_out_has_no_bias_and_the_mean_of_all_shortens_the_gradient(size):
    found, exact = mean_gradient(grpo.leave_one_out, size)
    torch.testing.assert_close(found, exact)
    found, exact = mean_gradient(lambda r, g: grpo.grpo_advantages(r, g, "none"), size)
    torch.testing.assert_close(found, exact * (size - 1) / size)


def test_a_groups_own_deviation_turns_the_gradient():
    found, exact = mean_gradient(grpo.grpo_advantages, 3)
    assert torch.cosine_similarity(found, exact, dim=0) < 0.9999


def test_groups_whose_rewards_differ_are_informative():
    assert grpo.informative(REWARDS, GROUPS).tolist() == (GROUPS == 5).tolist()


def test_a_group_of_one_and_shapes_that_do_not_fit_are_refused():
    alone = torch.tensor([0, 0, 7])
    for function in (grpo.grpo_advantages, grpo.leave_one_out):
        with pytest.raises(ValueError, match=r"groups must have two .*, group 7 has one"):
            function(torch.ones(3), alone)
        with pytest.raises(ValueError, match="must be of one length, got"):
            function(torch.ones(2), alone)
    with pytest.raises(ValueError, match=r"scale must be one of .*, got 'std'"):
        grpo.grpo_advantages(REWARDS, GROUPS, "std")


# ------------------------------------------------------------------------------- the ratios


@pytest.mark.parametrize(
    ("rho", "weight"), [(0.5, 0.8), (0.9, 0.9), (1.0, 1.0), (1.25, 1.25), (9.0, 1.28)]
)
@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_cispo_never_silences_a_token(rho, weight, advantage):
    log_prob = torch.tensor(math.log(rho) - 2, dtype=F, requires_grad=True)
    old = torch.tensor(-2.0, dtype=F, requires_grad=True)
    a = torch.tensor(advantage, dtype=F, requires_grad=True)
    found = grpo.cispo_loss(log_prob, old, a, 0.2, 0.28)
    gradients = torch.autograd.grad(found, (log_prob, old, a), allow_unused=True)
    assert float(gradients[0]) == pytest.approx(-weight * advantage)
    assert gradients[1:] == (None, None)
    assert float(found.detach()) == pytest.approx(-weight * advantage * (math.log(rho) - 2))


MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 1, 0, 1]]).bool()


def test_all_tokens_of_an_answer_share_the_value_of_its_ratio():
    old = torch.tensor([[-1.0, -2, -3, 0]] * 3, dtype=F)
    new = old + torch.tensor([[0.3, 0.0, 0.6, torch.nan]], dtype=F)
    found = grpo.sequence_log_ratio(new.nan_to_num(99.0), old, MASK)
    expected = torch.tensor([[0.3] * 3 + [0], [0.3, 0, 0, 0], [0, 49.5, 0, 49.5]], dtype=F)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_the_mean_over_an_answers_tokens_has_the_gradient_of_its_own_ratio(advantage):
    g = torch.Generator().manual_seed(1)
    old, shift = torch.randn(2, 3, 4, dtype=F, generator=g)
    new = (old + 0.2 * shift).requires_grad_()
    weight = MASK / MASK.sum(1, keepdim=True)
    a = torch.full(MASK.shape, advantage, dtype=F)

    def whole(x):  # eq. 5 of the paper: one ratio for the answer, with its own gradient
        ratio = torch.where(MASK, x - old, 0).sum(1) / MASK.sum(1)
        return clipped_surrogate(ratio, a[:, 0], 0.1, 0.2).sum()

    tokens = (
        weight * clipped_surrogate(grpo.sequence_log_ratio(new, old, MASK), a, 0.1, 0.2)
    ).sum()
    expected = whole(new)
    torch.testing.assert_close(tokens, expected)
    found, exact = (torch.autograd.grad(x, new)[0] for x in (tokens, expected))
    torch.testing.assert_close(found, exact)
    assert exact.any()


def test_an_answer_without_a_token_has_no_ratio():
    with pytest.raises(ValueError, match="mask must have a token in each row"):
        grpo.sequence_log_ratio(
            torch.zeros(3, 4), torch.zeros(3, 4), MASK & (MASK.sum(1) > 1)[:, None]
        )
