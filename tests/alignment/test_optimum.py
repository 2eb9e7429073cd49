"""The best policy for a reward, against perturbations, and the best of n, against all n-tuples."""

import itertools
import math

import pytest
import torch

from rlcourse.alignment.optimum import (
    bargain,
    best_of_n_divergence,
    best_of_n_policy,
    divergence,
    expected,
    tilted,
)

BETA = 0.7


def normal(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def row(*values):
    return torch.tensor(values, dtype=torch.float64)


def same(found, expected, tolerance=1e-12):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------- the tilted policy


def test_the_tilted_policy_is_that_by_hand():
    found = tilted(row(0.5, 0.25, 0.25).log(), row(0.0, math.log(2), math.log(4)), 0.5)
    same(found.exp(), row(0.5, 1.0, 4.0) / 5.5)


def test_no_policy_makes_a_better_bargain():
    ref, r = normal(3, 6).log_softmax(-1), normal(3, 6, seed=1)
    best = tilted(ref, r, BETA)
    top = bargain(best, ref, r, BETA)
    for seed in range(2, 8):
        for size in (1e-3, 0.1, 3.0):
            other = (best + size * normal(3, 6, seed=seed)).log_softmax(-1)
            assert (bargain(other, ref, r, BETA) < top).all()
    logits = best.clone().requires_grad_()
    (slope,) = torch.autograd.grad(bargain(logits.log_softmax(-1), ref, r, BETA).sum(), logits)
    same(slope, torch.zeros_like(slope))


def test_the_best_bargain_is_beta_log_z_and_falls_short_by_a_divergence():
    ref, r, other = normal(5).log_softmax(-1), normal(5, seed=1), normal(5, seed=2).log_softmax(-1)
    best = tilted(ref, r, BETA)
    log_z = sum(math.exp(a + b / BETA) for a, b in zip(ref, r, strict=True))
    assert bargain(best, ref, r, BETA).item() == pytest.approx(BETA * math.log(log_z), rel=1e-12)
    lost = bargain(best, ref, r, BETA) - bargain(other, ref, r, BETA)
    same(lost, BETA * divergence(other, best))


def test_only_differences_of_rewards_tilt():
    ref, r = normal(2, 5).log_softmax(-1), normal(2, 5, seed=1)
    same(tilted(ref, r + normal(2, 1, seed=2), BETA), tilted(ref, r, BETA))


def test_the_order_of_the_answers_tilts_nothing():
    ref, r, order = normal(5).log_softmax(-1), normal(5, seed=1), torch.tensor([3, 0, 4, 1, 2])
    same(tilted(ref[order], r[order], BETA), tilted(ref, r, BETA)[order])


def test_two_small_tilts_are_one():
    ref, r = normal(6).log_softmax(-1), normal(6, seed=1)
    same(tilted(tilted(ref, r, 2 * BETA), r, 2 * BETA), tilted(ref, r, BETA))


def test_a_large_beta_leaves_the_reference_and_a_small_one_the_best_answer():
    ref, r = normal(5).log_softmax(-1), normal(5, seed=1)
    same(tilted(ref, r, 1e12), ref, 1e-10)
    same(tilted(ref, r, 1e-4).exp(), torch.eye(5).double()[r.argmax()])
    far = tilted(ref, 1e4 * r, BETA)
    assert far.isfinite().all()
    same(far.exp().sum(), torch.tensor(1.0).double())


def test_what_the_reference_never_says_stays_impossible_however_good():
    found = tilted(row(0.0, 0.5, 0.5).log(), row(1e4, 0.0, 0.0), BETA)
    assert found.exp().tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("beta", [0.0, -0.5, math.inf, math.nan])
def test_a_beta_that_is_not_positive_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be positive, got"):
        tilted(normal(3), normal(3), beta)


# ------------------------------------------------------------------------------- sums


def test_expected_values_and_divergences_are_sums_over_answers():
    p, q, r = row(0.5, 0.5, 0.0), row(0.25, 0.5, 0.25), row(1.0, 3.0, 100.0)
    assert expected(p.log(), r).item() == pytest.approx(2.0)
    assert divergence(p.log(), q.log()).item() == pytest.approx(0.5 * math.log(2))
    assert divergence(q.log(), p.log()).item() == math.inf
    assert bargain(p.log(), q.log(), r, 2.0).item() == pytest.approx(2 - math.log(2))


def test_no_divergence_is_negative_and_that_from_oneself_is_zero():
    p, q = normal(2, 20, 4).log_softmax(-1)
    assert (divergence(p, q) > 0).all()
    assert divergence(p, p).tolist() == [0.0] * 20


# ------------------------------------------------------------------------------- best of n


def enumerated(ref, r, n):
    """The best of every n-tuple of answers, weighed by its probability, equals sharing it."""
    out = torch.zeros(len(ref), dtype=torch.float64)
    for draws in itertools.product(range(len(ref)), repeat=n):
        best = [i for i in draws if r[i] == max(r[list(draws)])]
        for i in best:
            out[i] += ref[list(draws)].prod() / len(best)
    return out


REWARDS = {
    "all differ": (0.3, -1.2, 2.0, 0.7),
    "two best": (1.0, 0.0, 1.0, -2.0),
    "two middle": (0.5, 3.0, 0.5, -1.0),
    "all equal": (0.5, 0.5, 0.5, 0.5),
}


@pytest.mark.parametrize(
    "ref", [(0.1, 0.2, 0.3, 0.4), (0.5, 0.25, 0.0, 0.25), (0.25, 0.0, 0.25, 0.5)]
)
@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_best_of_n_has_the_chances_of_all_tuples(ref, rewards, n):
    ref, r = row(*ref), row(*REWARDS[rewards])
    same(best_of_n_policy(ref.log(), r, n).exp(), enumerated(ref, r, n))


def test_prompts_do_not_mix():
    ref, r = normal(2, 3, 4).log_softmax(-1), normal(2, 3, 4, seed=1).round()
    found = best_of_n_policy(ref, r, 3)
    for i, j in itertools.product(range(2), range(3)):
        same(found[i, j], best_of_n_policy(ref[i, j], r[i, j], 3))


def test_only_the_order_of_rewards_counts_for_the_best_of_n():
    ref, r = normal(6).log_softmax(-1), normal(6, seed=1)
    same(best_of_n_policy(ref, torch.exp(3 * r), 5), best_of_n_policy(ref, r, 5))


def test_a_rare_answer_keeps_its_digits():
    ref = row(1e-40, 1e-20, 1.0).log()
    found = best_of_n_policy(ref, row(3.0, 2.0, 1.0), 1000)
    same(found, row(1e-37, 1e-17, 1.0).log(), 1e-10)
    p = 1e-8
    found = best_of_n_policy(row(p, 1 - p).log(), row(1.0, 0.0), 3)
    same(found[0], row(3 * p - 3 * p**2 + p**3).log()[0], 1e-12)


def test_the_best_of_many_is_the_best_of_all():
    found = best_of_n_policy(row(0.1, 0.3, 0.6).log(), row(2.0, 1.0, 0.0), 400).exp()
    same(found, row(1 - 0.9**400, 0.9**400 - 0.6**400, 0.6**400))


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_the_divergence_of_the_best_of_n_is_that_of_answers_all_rare(n):
    ref, r = torch.full((20_000,), -math.log(20_000), dtype=torch.float64), normal(20_000)
    found = divergence(best_of_n_policy(ref, r, n), ref).item()
    assert found == pytest.approx(best_of_n_divergence(n), abs=1e-5)
    assert best_of_n_divergence(4) == pytest.approx(math.log(4) - 0.75)


def test_the_divergence_is_never_above_its_bound():
    for seed in range(20):
        ref, r = (3 * normal(5, seed=seed)).log_softmax(-1), normal(5, seed=seed + 50).round()
        for n in (1, 2, 8):
            found = divergence(best_of_n_policy(ref, r, n), ref).item()
            assert found <= best_of_n_divergence(n) + 1e-12


@pytest.mark.parametrize("n", [0, -3, 2.0, True])
def test_an_n_that_is_no_positive_integer_is_refused(n):
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got"):
        best_of_n_policy(normal(3), normal(3), n)
