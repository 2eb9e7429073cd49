"""Comparisons, strengths, calibration and best of n, against enumeration and other ways to them."""

import itertools
import math

import pytest
import torch

from rlcourse.alignment.reward_model import (
    best_of_n,
    calibration_error,
    last_rewards,
    pairwise_loss,
    preference_probability,
    updated_strengths,
)


def normal(*shape, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=g, dtype=torch.float64)


def row(*values):
    return torch.tensor(values, dtype=torch.float64)


def same(found, expected, tolerance=1e-12):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------- Bradley and Terry


def test_a_preference_is_a_share_of_strengths():
    a, b = normal(2, 7, scale=3.0)
    same(preference_probability(a, b), a.exp() / (a.exp() + b.exp()))
    same(preference_probability(a, b) + preference_probability(b, a), torch.ones(7).double())


def test_the_loss_is_minus_the_log_of_the_preference():
    a, b = normal(2, 7, scale=3.0)
    same(pairwise_loss(a, b), -preference_probability(a, b).log())
    same(pairwise_loss(a, a), torch.full((7,), math.log(2), dtype=torch.float64))
    assert pairwise_loss(row(3.0), row(1.0), 0.5).item() == pytest.approx(
        math.log1p(math.exp(-1.5))
    )


def test_a_constant_of_the_prompt_changes_no_loss():
    a, b, constant = normal(3, 5, scale=3.0)
    same(pairwise_loss(a + constant, b + constant), pairwise_loss(a, b))


def test_a_margin_is_an_advantage_of_the_rejected():
    a, b = normal(2, 5)
    margin = normal(5, seed=1).abs()
    same(pairwise_loss(a, b, margin), pairwise_loss(a, b + margin))
    assert (pairwise_loss(a, b, margin) > pairwise_loss(a, b)).all()


def test_the_gradient_is_the_chance_of_the_wrong_order():
    a, b = normal(2, 6, scale=3.0).requires_grad_()
    slopes = torch.autograd.grad(pairwise_loss(a, b, 0.3).sum(), (a, b))
    expected = 1 / (1 + (a - b - 0.3).exp())
    same(slopes[0], -expected.detach())
    same(slopes[1], expected.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rewards_ten_thousand_apart_stay_finite(dtype):
    a = torch.tensor([1e4, -1e4], dtype=dtype, requires_grad=True)
    loss = pairwise_loss(a, torch.zeros(2, dtype=dtype))
    assert loss.tolist() == [0.0, 1e4]
    (slope,) = torch.autograd.grad(loss.sum(), a)
    assert slope.tolist() == [0.0, -1.0]


# ------------------------------------------------------------------------------- the last token


def test_the_reward_is_read_at_the_last_token():
    rewards = torch.arange(12.0).view(3, 4)
    present = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]]).bool()
    assert last_rewards(rewards, present).tolist() == [1.0, 7.0, 10.0]
    assert last_rewards(rewards, present | True).tolist() == [3.0, 7.0, 11.0]


@pytest.mark.parametrize("width", [(3, 0), (0, 2), (2, 4)])
def test_padding_on_either_side_changes_no_reward_and_has_no_gradient(width):
    rewards, present = normal(4, 5), torch.arange(5) < torch.tensor([[1], [5], [3], [2]])
    expected = last_rewards(rewards, present)
    pad = torch.nn.functional.pad
    wide = pad(rewards, width, value=math.nan).requires_grad_()
    found = last_rewards(wide, pad(present, width))
    same(found, expected)
    (slope,) = torch.autograd.grad(found.sum(), wide)
    assert slope.sum(1).tolist() == [1.0] * 4
    assert slope.count_nonzero().item() == 4


def test_a_row_without_a_token_is_refused():
    present = torch.tensor([[True, False], [False, False]])
    with pytest.raises(
        ValueError, match="present must have a token in each row, got a row without"
    ):
        last_rewards(normal(2, 2), present)


# ------------------------------------------------------------------------------- strengths

WINS = row(0, 5, 2, 7, 1, 0, 6, 3, 4, 4, 0, 1, 2, 5, 8, 0).view(4, 4)


def likelihood(log_s, wins):
    """log of the chance of all comparisons, by counting each."""
    return sum(
        wins[i, j] * torch.nn.functional.logsigmoid(log_s[i] - log_s[j])
        for i, j in itertools.permutations(range(len(wins)), 2)
    )


def logistic_regression(wins):
    """The likeliest log-strengths with mean 0, by Newton's method."""
    x = torch.zeros(len(wins), dtype=torch.float64)

    def loss(x):
        return -likelihood(x, wins) + x.mean() ** 2  # pins the free constant, moves nothing else

    for _ in range(30):
        slope = torch.autograd.functional.jacobian(loss, x)
        x = x - torch.linalg.solve(torch.autograd.functional.hessian(loss, x), slope)
    assert slope.abs().max() < 1e-10
    return x


def test_strengths_converge_to_a_logistic_regression():
    s = torch.ones(4).double()
    for _ in range(300):
        s = updated_strengths(s, WINS)
    same(s.log(), logistic_regression(WINS), 1e-9)
    same(updated_strengths(s, WINS), s, 1e-9)


def test_each_step_makes_the_comparisons_likelier():
    s = normal(4, scale=2.0).exp()
    for _ in range(15):
        before, s = likelihood(s.log(), WINS), updated_strengths(s, WINS)
        assert likelihood(s.log(), WINS) > before
        assert s.log().mean().abs() < 1e-14


def test_two_items_have_the_ratio_of_their_wins_at_once():
    found = updated_strengths(row(0.3, 9.0), row(0, 6, 2, 0).view(2, 2))
    same(found[0] / found[1], torch.tensor(3.0).double())


def test_a_step_is_that_by_hand():
    wins = row(0, 1, 2, 1, 0, 0, 0, 3, 0).view(3, 3)
    found = updated_strengths(row(1.0, 2.0, 1.0), wins)
    new = [3 / (2 / 3 + 2 / 2), 1 / (2 / 3 + 3 / 3), 3 / (2 / 2 + 3 / 3)]
    same(found, row(*new) / math.prod(new) ** (1 / 3))


def test_neither_the_unit_of_strength_nor_the_diagonal_nor_the_order_counts():
    s, order = normal(4).exp(), torch.tensor([2, 0, 3, 1])
    expected = updated_strengths(s, WINS)
    same(updated_strengths(5 * s, WINS), expected)
    mirrored = WINS + 100 * torch.eye(4)
    kept = mirrored.clone()
    same(updated_strengths(s, mirrored), expected)
    assert torch.equal(mirrored, kept)
    same(updated_strengths(s[order], WINS[order][:, order]), expected[order])


def test_whole_numbers_of_wins_are_counted_alike():
    same(
        updated_strengths(torch.ones(4).double(), WINS.long()),
        updated_strengths(torch.ones(4).double(), WINS),
    )


def test_an_item_without_a_win_is_refused():
    wins = row(4, 2, 0, 3).view(2, 2)
    wins[1, 0] = 0
    with pytest.raises(ValueError, match=r"wins must hold a win of each item, got \[2.0, 0.0\]"):
        updated_strengths(torch.ones(2).double(), wins)


# ------------------------------------------------------------------------------- calibration


def test_the_calibration_error_is_that_by_hand():
    p, happened = row(0.1, 0.3, 0.8, 0.9, 0.6), row(0, 1, 1, 1, 0)
    assert calibration_error(p, happened, 1).item() == pytest.approx(abs(3 - 2.7) / 5)
    assert calibration_error(p, happened, 2).item() == pytest.approx((0.6 + 0.3) / 5)
    fifths = (0.1 + 0.7 + 0.6 + 0.3) / 5
    assert calibration_error(p, happened, 5).item() == pytest.approx(fifths)


def test_what_is_right_as_often_as_it_says_has_no_error():
    p = row(*[0.75] * 4, *[0.2] * 5)
    happened = row(1, 1, 1, 0, 1, 0, 0, 0, 0)
    assert calibration_error(p, happened, 10).item() == pytest.approx(0, abs=1e-15)
    assert calibration_error(p, 1 - happened, 10).item() == pytest.approx((2 + 3) / 9)


def test_a_boundary_belongs_to_the_part_above_and_one_to_the_last():
    happened = row(1, 0)
    assert calibration_error(row(0.5, 0.75), happened, 2).item() == pytest.approx(0.25 / 2)
    assert calibration_error(row(0.5, 0.25), happened, 2).item() == pytest.approx(0.75 / 2)
    assert calibration_error(row(0.9, 1.0), row(1, 0), 2).item() == pytest.approx(0.9 / 2)
    assert calibration_error(row(0.0, 0.4), row(1, 0), 2).item() == pytest.approx(0.6 / 2)


def test_more_parts_hide_no_error():
    g = torch.Generator().manual_seed(0)
    p = torch.rand(200, generator=g, dtype=torch.float64)
    happened = (torch.rand(200, generator=g, dtype=torch.float64) < p**2).double()
    errors = [calibration_error(p, happened, b).item() for b in (1, 2, 4, 8, 16, 32)]
    assert all(more > less - 1e-12 for less, more in itertools.pairwise(errors))
    assert errors[-1] > errors[0] + 0.01
    assert errors[0] == pytest.approx((happened - p).mean().abs().item())
    order = torch.randperm(200, generator=g)
    assert calibration_error(p[order], happened[order], 8).item() == pytest.approx(errors[3])


def test_no_parts_and_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="bins must be an integer of at least 1, got 0"):
        calibration_error(row(0.5), row(1), 0)
    for wrong in (-1e-9, 1 + 1e-9, math.nan):
        with pytest.raises(ValueError, match=r"probabilities must lie in \[0, 1\], got tensor"):
            calibration_error(row(0.5, wrong), row(1, 0), 4)


# ------------------------------------------------------------------------------- best of n


def enumerated(proxy, gold, n):
    """The mean over all subsets of n, and over all that are best in each."""
    means = []
    for chosen in itertools.combinations(range(len(proxy)), n):
        top = max(proxy[i] for i in chosen)
        best = [gold[i].item() for i in chosen if proxy[i] == top]
        means.append(sum(best) / len(best))
    return sum(means) / len(means)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_the_best_of_n_is_the_mean_over_all_choices(size, ties):
    proxy, gold = normal(2, size)
    proxy = proxy.round() if ties else proxy
    for n in range(1, size + 1):
        assert best_of_n(proxy, gold, n).item() == pytest.approx(enumerated(proxy, gold, n))


def test_the_order_of_samples_and_the_scale_of_the_proxy_do_not_count():
    proxy, gold = normal(2, 9)
    proxy, order = proxy.round(), torch.randperm(9, generator=torch.Generator().manual_seed(1))
    same(best_of_n(proxy[order], gold[order], 4), best_of_n(proxy, gold, 4))
    same(best_of_n(torch.exp(2 * proxy), gold, 4), best_of_n(proxy, gold, 4))


def test_a_constant_gold_is_kept_whatever_the_proxy():
    for n in (1, 150, 400):
        found = best_of_n(normal(400).round(decimals=1), torch.full((400,), 3.0).double(), n)
        assert found.item() == pytest.approx(3.0, rel=1e-12)


def test_the_estimate_is_unbiased():
    r, gold = row(0.0, 2.0, 1.0), row(5.0, -1.0, 7.0)  # three answers, equally likely
    truth = sum(
        gold[max(draws, key=lambda i: r[i])].item()
        for draws in itertools.product(range(3), repeat=2)
    )
    found = [
        best_of_n(r[list(draws)], gold[list(draws)], 2).item()
        for draws in itertools.product(range(3), repeat=4)
    ]
    assert sum(found) / len(found) == pytest.approx(truth / 9)


@pytest.mark.parametrize("n", [0, -1, 4])
def test_more_than_the_samples_or_none_is_refused(n):
    with pytest.raises(ValueError, match=rf"n must lie in \[1, 3\], the samples, got {n}"):
        best_of_n(normal(3), normal(3), n)
