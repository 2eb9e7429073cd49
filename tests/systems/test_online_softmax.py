"""Online softmax against decimals of 60 digits, torch.softmax and PyTorch's attention."""

from decimal import Decimal, localcontext
from functools import reduce
from itertools import permutations

import numpy as np
import pytest
import torch

from rlcourse.systems import online_softmax as os
from rlcourse.systems.online_softmax import EMPTY, Partial, Summary
from rlcourse.systems.slow_memory import SlowMemory

SCALES = (0.0, 1.0, 50.0, 1e4)
SEEDS = range(8)


def problem(seed, n=3, m=13, d=4, scale=3.0, hidden=0.2):
    """Scores (n, m) with some keys unseen, the first row seeing none, and values (m, d)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, m)) * scale
    x[rng.random((n, m)) < hidden] = -np.inf
    x[0] = -np.inf
    return x, rng.normal(size=(m, d))


def exact(x, v):
    """m, Σ exp(x - m), and Σ exp(x - m) v of one row, in decimals of 60 digits."""
    with localcontext(prec=60):
        seen = [j for j in range(len(x)) if x[j] > -np.inf]
        m = max((Decimal(x[j]) for j in seen), default=Decimal("-Infinity"))
        p = [(Decimal(x[j]) - m).exp() for j in seen]
        o = [sum(w * Decimal(v[j, i]) for w, j in zip(p, seen, strict=True)) for i in range(4)]
        return float(m), sum(p, Decimal(0)), o


def exact_softmax(x):
    with localcontext(prec=60):
        m = max(map(Decimal, x))
        p = [(Decimal(t) - m).exp() for t in x]
        return [float(t / sum(p)) for t in p]


def split(x, v, rng, parts):
    """The summaries of a random partition of the keys, empty parts included, shuffled."""
    to = rng.integers(0, parts, x.shape[-1])
    return [os.summarize(x[..., to == i], v[to == i]) for i in rng.permutation(parts)]


def assert_same(a, b, rtol=1e-13):
    for name, left, right in zip(a._fields, a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol * 10, err_msg=name)


# ------------------------------------------------------------------------------- softmax


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("block", [1, 4, 100])
def test_safe_and_online_softmax_agree_with_decimals_at_every_scale(scale, block):
    x = np.random.default_rng(0).normal(size=23) * scale
    truth = exact_softmax(x)
    # the argument of exp carries the rounding of x - m: an error that grows with the scale
    rtol = 1e-15 * (10 + np.abs(x).max())
    for p in (os.safe_softmax(x), os.online_softmax(x, block), os.weights(x, os.log_sum_exp(x))):
        np.testing.assert_allclose(p, truth, rtol=rtol, atol=1e-300)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_softmax_agrees_with_torch_in_its_own_type(dtype):
    x = (np.random.default_rng(1).normal(size=(2, 3, 40)) * 2).astype(dtype)
    truth = torch.softmax(torch.from_numpy(x).double(), -1)
    tolerance = {"float16": 2e-3, "float32": 2e-6, "float64": 1e-14}[np.dtype(dtype).name]
    lse = os.log_sum_exp(x)
    for p in (os.naive_softmax(x), os.safe_softmax(x), os.online_softmax(x, 7), os.weights(x, lse)):
        assert p.dtype == dtype
        np.testing.assert_allclose(p, truth, atol=5 * tolerance)
    np.testing.assert_allclose(lse, torch.logsumexp(torch.from_numpy(x).double(), -1),
                               rtol=tolerance)  # fmt: skip


def test_naive_softmax_is_nan_where_exp_overflows_or_all_of_it_vanishes():
    for dtype, limit in (("float16", 11.09), ("float32", 88.72), ("float64", 709.78)):
        over, under = (np.array([limit + e, 0], dtype) for e in (0.05, -0.05))
        assert np.isnan(os.naive_softmax(over)).any()
        assert np.isfinite(os.naive_softmax(under)).all()
        assert np.isnan(os.naive_softmax(np.full(3, -1000, dtype))).all()
        np.testing.assert_allclose(os.safe_softmax(np.full(4, -1000, dtype)), 1 / 4)


def test_adding_a_number_to_all_scores_changes_no_weight():
    x = np.arange(12.0).reshape(3, 4) % 5
    np.testing.assert_array_equal(os.safe_softmax(x + 2.0**40), os.safe_softmax(x))


def test_a_row_that_sees_no_key_has_no_weights_and_a_log_sum_exp_of_minus_infinity():
    x = np.array([[-np.inf, -np.inf], [0, -np.inf]])
    for p in (os.safe_softmax(x), os.online_softmax(x), os.weights(x, os.log_sum_exp(x))):
        np.testing.assert_array_equal(p, [[0, 0], [1, 0]])
    np.testing.assert_array_equal(os.log_sum_exp(x), [-np.inf, 0])
    assert os.safe_softmax(np.zeros((2, 0))).shape == (2, 0)
    np.testing.assert_array_equal(os.log_sum_exp(np.zeros((2, 0))), [-np.inf, -np.inf])


def test_whole_numbers_are_taken_as_floats():
    for f in (os.naive_softmax, os.safe_softmax, os.online_softmax, os.log_sum_exp):
        np.testing.assert_array_equal(f([1, 3, 2]), f([1.0, 3.0, 2.0]))


def test_weights_of_tiles_are_columns_of_the_whole_softmax():
    x, _ = problem(3)
    lse, p = os.log_sum_exp(x), os.safe_softmax(x)
    for tile in os.blocks(13, 5):
        np.testing.assert_allclose(os.weights(x[:, tile], lse), p[:, tile], atol=1e-15)


# ------------------------------------------------------------------------------- online


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("block", [1, 2, 5, 13, 50])
def test_after_every_update_m_and_l_are_the_max_and_the_sum_of_what_was_seen(seed, block):
    x, v = problem(seed)
    m, l = np.full(3, -np.inf), np.zeros(3)
    for tile in os.blocks(13, block):
        m, l = os.update(m, l, x[:, tile])
        for row in range(3):
            largest, total, _ = exact(x[row, : tile.stop], v)
            assert m[row] == largest
            assert l[row] == pytest.approx(float(total), rel=1e-14)


def test_an_update_may_begin_with_plain_numbers_and_see_an_empty_block():
    m, l = os.update(-np.inf, 0.0, np.array([1, 2], np.float16))
    assert (m.dtype, l.dtype) == (np.float16, np.float16)
    np.testing.assert_array_equal(os.update(m, l, np.zeros(0, np.float16)), (m, l))


# ------------------------------------------------------------------------------- the monoid


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scale", SCALES)
def test_merging_is_associative_and_commutative_and_has_an_identity(seed, scale):
    rng = np.random.default_rng(seed)
    a, b, c = split(*problem(seed, scale=scale), rng, 3)
    assert_same(os.merge(os.merge(a, b), c), os.merge(a, os.merge(b, c)))
    for left, right in zip(os.merge(a, b), os.merge(b, a), strict=True):
        np.testing.assert_array_equal(left, right)
    for same in (os.merge(a, EMPTY), os.merge(EMPTY, a)):
        for left, right in zip(same, a, strict=True):
            np.testing.assert_array_equal(left, right)
            assert left.shape == right.shape


def test_the_identity_widens_no_type_and_merges_with_itself():
    for dtype in (np.float16, np.float32, np.float64):
        x = os.summarize(np.zeros((2, 3), dtype), np.ones((3, 4), dtype))
        assert [part.dtype for part in os.merge(EMPTY, x)] == [dtype] * 3
    assert os.merge(EMPTY, EMPTY) == EMPTY == os.merge_all([])
    assert os.finish(EMPTY) == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("parts", [1, 2, 7, 30])
def test_any_split_in_any_order_gives_the_exact_summary_of_the_whole(seed, parts):
    x, v = problem(seed)
    found = os.merge_all(split(x, v, np.random.default_rng(seed), parts))
    for row in range(3):
        m, l, o = exact(x[row], v)
        assert found.m[row] == m
        assert found.l[row] == pytest.approx(float(l), rel=1e-14)
        np.testing.assert_allclose(found.o[row], np.array(o, float), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_tree_of_merges_gives_the_same(seed):
    rng = np.random.default_rng(seed)
    x, v = problem(seed, m=24)
    parts = split(x, v, rng, 12)
    whole = os.summarize(x, v)
    while len(parts) > 1:
        i, j = rng.choice(len(parts), 2, replace=False)
        rest = [part for k, part in enumerate(parts) if k not in (i, j)]
        parts = [*rest, os.merge(parts[i], parts[j])]
    assert_same(parts[0], whole)


def test_all_orders_of_five_blocks_give_the_same():
    x, v = problem(5, m=10)
    parts = [os.summarize(x[:, t], v[t]) for t in os.blocks(10, 2)]
    whole = os.summarize(x, v)
    for order in permutations(parts):
        assert_same(os.merge_all(order), whole)


def test_merging_is_plain_addition_of_what_a_summary_stands_for():
    """(m, l, o) stands for (e^m l, e^m o): a number in scientific notation."""
    a, b = split(*problem(2), np.random.default_rng(2), 2)
    both = os.merge(a, b)
    for left, right, found in ((a.l, b.l, both.l), (a.o.T, b.o.T, both.o.T)):
        total = np.exp(a.m) * left + np.exp(b.m) * right
        np.testing.assert_allclose(np.exp(both.m) * found, total, rtol=1e-13, atol=1e-14)


def test_any_exponent_in_the_place_of_the_max_gives_the_same_result():
    a, b = split(*problem(2), np.random.default_rng(2), 2)
    moved = Summary(a.m + 3, a.l * np.exp(-3), a.o * np.exp(-3))
    result = os.finish(os.merge(moved, b))
    np.testing.assert_allclose(result, os.finish(os.merge(a, b)), rtol=1e-13, atol=1e-14)


def test_merges_of_extreme_scores_neither_overflow_nor_lose_the_larger_part():
    v = np.eye(2, 3)
    for dtype in (np.float16, np.float32):
        x = np.array([-3e4, 3e4], dtype)
        a, b = (os.summarize(x[i : i + 1], v[i : i + 1].astype(dtype)) for i in range(2))
        np.testing.assert_array_equal(os.finish(os.merge(a, b)), v[1])
        np.testing.assert_array_equal(os.finish(os.merge(b, a)), v[1])


# ------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("block", [1, 4, 7, 64])
@pytest.mark.parametrize("shape", [(5, 8), (8,), (2, 3, 8)])
def test_attention_in_blocks_agrees_with_pytorch(block, shape):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=shape), rng.normal(size=(19, 8)), rng.normal(size=(19, 8))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    rows = torch.from_numpy(q.reshape(1, -1, 8))
    expected = sdpa(rows, *(torch.from_numpy(t)[None] for t in (k, v))).numpy().reshape(shape)
    np.testing.assert_allclose(os.attention(q, k, v, block), expected, atol=1e-14)


def test_attention_reads_each_key_and_each_value_once_and_a_block_at_a_time():
    rng = np.random.default_rng(0)
    q, plain = rng.normal(size=(5, 8)), rng.normal(size=(2, 19, 8))
    k, v = map(SlowMemory, plain)
    np.testing.assert_array_equal(os.attention(q, k, v, 4), os.attention(q, *plain, 4))
    assert k.traffic == v.traffic == (19 * 8, 0, 4 * 8)


def test_attention_over_no_keys_is_zero():
    q = np.ones((2, 3))
    np.testing.assert_array_equal(os.attention(q, q[:0], q[:0], 4), np.zeros((2, 3)))


def test_attention_keeps_the_type_and_allows_values_of_another_width():
    q, k, v = (np.ones(s, np.float16) for s in ((2, 4), (6, 4), (6, 3)))
    assert os.attention(q, k, v, 4).dtype == np.float16
    assert os.attention(q, k, v, 4).shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(v=np.ones((5, 4))), "v must have a row for each of the 6 keys, got 5"),
        (dict(block=0), "block must be an integer of at least 1, got 0"),
    ],
)
def test_attention_refuses_what_does_not_fit(change, message):
    call = dict(q=np.ones((2, 4)), k=np.ones((6, 4)), v=np.ones((6, 4)), block=2) | change
    with pytest.raises(ValueError, match=message):
        os.attention(**call)


# ------------------------------------------------------------------------------- partial results


@pytest.mark.parametrize("seed", SEEDS)
def test_finished_parts_merge_by_their_log_sum_exp_as_summaries_do(seed):
    rng = np.random.default_rng(seed)
    x, v = problem(seed)
    parts = split(x, v, rng, 6)
    found = reduce(os.merge_partials, map(os.partial, parts))
    assert_same(found, os.partial(os.summarize(x, v)), rtol=1e-12)
    assert found.lse[0] == -np.inf
    np.testing.assert_array_equal(found.o[0], 0)


def test_a_partial_result_is_the_summary_lse_1_o():
    x, v = problem(1)
    a = os.partial(os.summarize(x[1:], v))
    again = os.partial(Summary(a.lse, np.ones(2), a.o))
    assert_same(again, a)


def test_partial_results_with_a_log_sum_exp_of_ten_thousand_do_not_overflow():
    a = Partial(np.array([[1.0]]), np.array([1e4]))
    b = Partial(np.array([[5.0]]), np.array([1e4 + np.log(3)]))
    found = os.merge_partials(a, b)
    np.testing.assert_allclose(found.o, [[4.0]])
    np.testing.assert_allclose(found.lse, 1e4 + np.log(4))


@pytest.mark.parametrize("splits", [1, 2, 5, 19, 40])
def test_decoding_in_splits_equals_attention_in_one_go(splits):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 8)), rng.normal(size=(19, 8)), rng.normal(size=(19, 8))
    expected = os.safe_softmax(os.scores(q, k)) @ v
    np.testing.assert_allclose(os.split_attention(q, k, v, splits), expected, atol=1e-14)


def test_decoding_needs_at_least_one_split():
    with pytest.raises(ValueError, match="splits must be an integer of at least 1, got 0"):
        os.split_attention(np.ones(4), np.ones((6, 4)), np.ones((6, 4)), 0)


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_ring_attention_equals_attention_of_all_queries_over_all_keys(ranks):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, ranks, 6, 8))
    whole = os.attention(*(t.reshape(-1, 8) for t in (q, k, v)), block=100)
    np.testing.assert_allclose(os.ring_attention(q, k, v).reshape(-1, 8), whole, atol=1e-14)
