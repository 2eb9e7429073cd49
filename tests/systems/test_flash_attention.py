"""FlashAttention in NumPy: against the definition, torch, finite differences, and its own bill."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch

from rlcourse.systems import attention_tiles as at
from rlcourse.systems import flash_attention as fa
from rlcourse.systems.slow_memory import count_traffic

SHAPES = list(itertools.product((1, 5, 12), (1, 4, 13), (1, 3), (False, True)))
BLOCKS = [(1, 1), (2, 3), (5, 2), (4, 16), (16, 4)]


def draw(n: int, m: int, d: int, seed: int = 0, size: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    q, k, v, do = (rng.normal(size=(rows, d)) for rows in (n, m, m, n))
    return [size * q, k, v, do]


def by_definition(q, k, v, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row by row, with the exact sum of floats: o (N, D) and lse (N,)."""
    n, m = len(q), len(k)
    o, lse = np.zeros(q.shape), np.full(n, -np.inf)
    for i in range(n):
        keys = [j for j in range(m) if not causal or j <= i + m - n]
        if keys:
            x = [math.fsum(q[i] * k[j]) / math.sqrt(q.shape[1]) for j in keys]
            top = max(x)
            weight = [math.exp(a - top) for a in x]
            total = math.fsum(weight)
            lse[i] = top + math.log(total)
            for c in range(q.shape[1]):
                o[i, c] = math.fsum(w * v[j, c] for w, j in zip(weight, keys, strict=True)) / total
    return o, lse


@pytest.mark.parametrize(("n", "m", "d", "causal"), SHAPES)
def test_forward_and_standard_attention_are_the_definition_with_any_tiles(n, m, d, causal):
    q, k, v, _ = draw(n, m, d)
    o, lse = by_definition(q, k, v, causal)
    np.testing.assert_allclose(fa.standard_attention(q, k, v, causal).o, o, atol=1e-14)
    for block_q, block_k in BLOCKS:
        found = fa.flash_forward(q, k, v, block_q, block_k, causal)
        np.testing.assert_allclose(found.o, o, atol=1e-14)
        np.testing.assert_allclose(found.lse, lse, atol=1e-14)


@pytest.mark.parametrize(("n", "m", "d", "causal"), SHAPES)
def test_the_backward_agrees_with_torch_with_any_tiles(n, m, d, causal):
    q, k, v, do = draw(n, m, d, seed=1)
    leaves = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    s = leaves[0] @ leaves[1].T / math.sqrt(d)
    if causal:
        s = s.masked_fill(torch.ones(n, m).triu(m - n + 1).bool(), -torch.inf)
    p = torch.where(s.isinf().all(1)[:, None], 0.0, s.nan_to_num(neginf=-1e300).softmax(1))
    (p @ leaves[2]).backward(torch.tensor(do))
    standard = fa.standard_attention(q, k, v, causal)
    bill = [fa.standard_backward(q, k, v, standard.p, do)]
    for block_q, block_k in BLOCKS:
        o, lse = fa.flash_forward(q, k, v, block_q, block_k, causal)
        bill.append(fa.flash_backward(q, k, v, o, lse, do, block_q, block_k, causal))
    for found in bill:
        for gradient, leaf in zip(found, leaves, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad, atol=1e-13)


@pytest.mark.parametrize("causal", [False, True])
def test_the_backward_is_the_slope_of_the_forward(causal):
    """Central differences of Σ o do along one random direction in each argument."""
    q, k, v, do = draw(7, 9, 4, seed=2)
    o, lse = fa.flash_forward(q, k, v, 3, 4, causal)
    gradients = fa.flash_backward(q, k, v, o, lse, do, 3, 4, causal)
    for place, gradient in enumerate(gradients):
        step = np.random.default_rng(place).normal(size=gradient.shape)
        sides = []
        for h in (1e-5, -1e-5):
            moved = [x + h * step if at == place else x for at, x in enumerate((q, k, v))]
            sides.append((fa.flash_forward(*moved, 2, 5, causal).o * do).sum())
        assert (sides[0] - sides[1]) / 2e-5 == pytest.approx((gradient * step).sum(), rel=1e-8)


def test_softmax_backward_is_the_product_with_its_jacobian():
    rng = np.random.default_rng(3)
    x, dp = rng.normal(size=(2, 6))
    p = np.exp(x) / np.exp(x).sum()
    jacobian = np.diag(p) - np.outer(p, p)
    np.testing.assert_allclose(fa.softmax_backward(p, dp), jacobian @ dp, atol=1e-15)


def test_delta_from_the_output_is_the_sum_that_softmax_needs():
    """δ = Σ_d o do = Σ_j p dp: D numbers a query in place of M."""
    q, k, v, do = draw(6, 11, 3, seed=4)
    o, p = fa.standard_attention(q, k, v, causal=True)
    np.testing.assert_allclose((o * do).sum(1), (p * (do @ v.T)).sum(1), atol=1e-14)


def test_the_probabilities_come_back_from_scores_and_log_sum_exp():
    q, k, v, do = draw(6, 9, 3, seed=5)
    o, lse = fa.flash_forward(q, k, v, 2, 2, causal=True)
    p = fa.standard_attention(q, k, v, causal=True).p
    ahead = 4 + 9 - 6 - 3  # the tile of queries 4, 5 and keys 3 to 5
    tile, _ = fa.recompute(q[4:6], k[3:6], v[3:6], do[4:6], lse[4:6], (o * do).sum(1)[4:6], ahead)
    np.testing.assert_allclose(tile, p[4:6, 3:6], atol=1e-15)


# ------------------------------------------------------------------------------- edges


def test_a_query_that_sees_no_key_gets_zeros_and_no_warning():
    q, k, v, do = draw(9, 4, 3, seed=6)
    o, lse = fa.flash_forward(q, k, v, 4, 3, causal=True)
    gradients = fa.flash_backward(q, k, v, o, lse, do, 4, 3, causal=True)
    np.testing.assert_array_equal(o[:5], 0)
    np.testing.assert_array_equal(lse[:5], -np.inf)
    np.testing.assert_array_equal(gradients.dq[:5], 0)
    assert all(np.isfinite(x).all() for x in (o, *gradients))


@pytest.mark.parametrize("late", [False, True])
def test_logits_of_ten_thousand_are_no_trouble_wherever_the_largest_stands(late):
    q, k, v, _ = draw(3, 12, 4, seed=7, size=1e4)
    order = np.argsort((q @ k.T)[1])[:: 1 if late else -1]
    k, v = k[order], v[order]
    found = fa.flash_forward(q, k, v, 2, 5)
    o, lse = by_definition(q, k, v, False)
    np.testing.assert_allclose(found.o, o, atol=1e-10)
    np.testing.assert_allclose(found.lse, lse, rtol=1e-12)


def test_keys_with_equal_scores_share_the_weight():
    q, k, v, _ = draw(2, 9, 3, seed=8)
    found = fa.flash_forward(q, k * 0, v, 1, 4)
    np.testing.assert_allclose(found.o, np.tile(v.mean(0), (2, 1)), atol=1e-15)
    np.testing.assert_allclose(found.lse, math.log(9))


def test_float32_stays_float32_and_errs_no_more_than_twice_the_naive_computation():
    for size in (1.0, 30.0):
        q, k, v, do = (x.astype(np.float32) for x in draw(64, 80, 32, seed=9, size=size))
        inputs = [x.astype(np.float64) for x in (q, k, v, do)]
        exact = fa.standard_attention(*inputs[:3], True)
        gradients = fa.standard_backward(*inputs[:3], exact.p, inputs[3])
        naive = fa.standard_attention(q, k, v, True)
        found = fa.flash_forward(q, k, v, 16, 16, True)
        assert found.o.dtype == found.lse.dtype == np.float32
        error, allowed = (np.abs(x.o - exact.o).max() for x in (found, naive))
        assert error <= max(1e-6, 2 * allowed)
        ours = fa.flash_backward(q, k, v, *found, do, 16, 16, True)
        theirs = fa.standard_backward(q, k, v, naive.p, do)
        for x, y, g in zip(ours, theirs, gradients, strict=True):
            few = 4 * np.finfo(np.float32).eps * size * np.abs(g).max()  # roundings of a score
            assert np.abs(x - g).max() <= max(1e-6, few, 3 * np.abs(y - g).max())


# ------------------------------------------------------------------------------- the bill


@pytest.mark.parametrize(("n", "m", "d", "causal"), SHAPES)
def test_the_counters_agree_with_the_formulas_to_the_unit(n, m, d, causal):
    q, k, v, do = draw(n, m, d)
    standard, traffic = count_traffic(fa.standard_attention, q, k, v, causal)
    assert traffic[:2] == at.standard_traffic(n, m, d)
    for block_q, block_k in BLOCKS:
        found, traffic = count_traffic(fa.flash_forward, q, k, v, block_q, block_k, causal)
        assert traffic[:2] == at.forward_traffic(n, m, d, block_q, block_k, causal)
        np.testing.assert_allclose(found.o, standard.o, atol=1e-14)
        gradients, traffic = count_traffic(
            fa.flash_backward, q, k, v, *found, do, block_q, block_k, causal
        )
        assert traffic[:2] == at.backward_traffic(n, m, d, block_q, block_k, causal)
        assert all(isinstance(x, np.ndarray) for x in gradients)


def test_flash_attention_reaches_slow_memory_in_tiles_only():
    q, k, v, do = draw(40, 60, 3)
    found, traffic = count_traffic(fa.flash_forward, q, k, v, 4, 5, True)
    assert traffic.largest == 5 * 3
    _, traffic = count_traffic(fa.flash_backward, q, k, v, *found, do, 4, 5, True)
    assert traffic.largest == 5 * 3


def test_the_backward_of_standard_attention_moves_seven_square_matrices():
    """P for dV; dP out; P and dP in, dS out; dS for dQ, and again for dK."""
    (n, m, d), (q, k, v, do) = (12, 9, 2), draw(12, 9, 2)
    p = fa.standard_attention(q, k, v).p
    _, traffic = count_traffic(fa.standard_backward, q, k, v, p, do)
    assert traffic.reads == 5 * n * m + 3 * n * d + 2 * m * d
    assert traffic.writes == 2 * n * m + n * d + 2 * m * d


def test_traffic_falls_as_one_over_the_fast_memory_and_grows_with_both_squares():
    """Θ(N² D² / SRAM), with the tallest tiles beside eight keys."""

    def passes(n: int, d: int, sram: int) -> float:
        block_q = at.tallest_block(sram, d, 8)
        return sum(at.forward_traffic(n, n, d, block_q, 8)) - 2 * n * d - n

    base = passes(2**14, 64, 2**15)
    assert base / passes(2**14, 64, 2**17) == pytest.approx(4, rel=0.1)
    assert passes(2**16, 64, 2**15) / base == pytest.approx(16, rel=0.02)
    assert passes(2**14, 128, 2**15) / base == pytest.approx(4, rel=0.1)


def test_a_fast_memory_that_is_too_small_is_refused_by_the_names_of_the_tiles():
    q, k, v, _ = draw(12, 20, 4)
    sram = sum(at.forward_tiles(3, 5, 4).values())
    found, traffic = fa.forward_within(sram, q, k, v, 3, 5)
    np.testing.assert_array_equal(found.o, fa.flash_forward(q, k, v, 3, 5).o)
    assert traffic[:2] == at.forward_traffic(12, 20, 4, 3, 5)
    with pytest.raises(ValueError, match=r"sram must hold the tiles q 12, k 20"):
        fa.forward_within(sram - 1, q, k, v, 3, 5)


def test_no_array_beside_the_results_is_larger_than_a_few_tiles():
    """What NumPy holds at its peak, measured, while N and M are a hundred tiles long."""
    block, d = 32, 16
    q, k, v, do = draw(100 * block, 101 * block, d)
    held = 8 * sum(at.forward_tiles(block, block, d).values())
    o, lse = fa.flash_forward(q[:block], k[:block], v[:block], block, block)  # warm caches

    def peak(f, *args) -> int:
        tracemalloc.start()
        f(*args, block, block, True)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    results = q.nbytes + len(q) * 8
    assert peak(fa.flash_forward, q, k, v) < results + 3 * held + 10_000
    o, lse = fa.flash_forward(q, k, v, block, block, True)
    gradients = q.nbytes + k.nbytes + v.nbytes + lse.nbytes
    assert peak(fa.flash_backward, q, k, v, o, lse, do) < gradients + 4 * held + 60_000
    assert len(q) * len(k) * 8 > 20 * (gradients + 4 * held)
