"""Online softmax: attention one block of keys at a time, exactly.

Softmax seems to need every score before it can weigh the first value. It doesn't. The triple
(m, l, o) sums up any set of keys (eq-summary), two such triples merge into the triple of the union
(eq-merge), and the order and the grouping of the merges change nothing but rounding.

    naive    Σ exp(x)                        overflows                        (eq-softmax)
    safe     m = max x, then Σ exp(x - m)    two passes before the first weight (eq-safe-softmax)
    online   m and l at once, l rescaled     one pass                         (eq-online-update)
    fused    o rides along with m and l      one pass in all: attention       (eq-attention)

A score of -inf marks a key that a query doesn't see; a query that sees no key has m = -inf,
l = 0, a log-sum-exp of -inf and gets the output 0. Other scores are finite. Each function keeps
the floating type of its arguments.

Shapes: N queries, M keys, D head dimension; "..." stands for batch, heads and queries.
Source: Milakov & Gimelshein (2018); Rabe & Staats (2021); Dao (2023), section 2.3.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check
from rlcourse.systems.slow_memory import SlowMemory, blocks

Floats = NDArray[Any]


def _floats(x: ArrayLike) -> Floats:
    a = np.asarray(x)
    return a if a.dtype.kind == "f" else a.astype(np.float64)


def shift(m: Floats) -> Floats:
    """m, or 0 where m = -inf is the max of no keys: -inf - (-inf) is NaN, exp(-inf - 0) is 0."""
    return np.where(m == -np.inf, 0, m)


# ------------------------------------------------------------------------------- softmax


def naive_softmax(x: ArrayLike) -> Floats:
    """exp(x) / Σ exp(x) along the last axis, as the formula says  (eq-softmax).

    x (..., M) -> (..., M). NaN once exp(x) or its sum overflows, and NaN where every exp(x) is 0.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        p = np.exp(_floats(x))
        return np.asarray(p / p.sum(-1, keepdims=True))


def safe_softmax(x: ArrayLike) -> Floats:
    """exp(x - m) / Σ exp(x - m) with m = max x: no exponent above 0  (eq-safe-softmax).

    x (..., M) -> (..., M). A score of -inf gets 0, a row of nothing else zeros.
    """
    x = _floats(x)
    p = np.exp(x - shift(x.max(-1, initial=-np.inf))[..., None])
    total = p.sum(-1, keepdims=True)
    return np.asarray(p / np.where(total == 0, 1, total))


def log_sum_exp(x: ArrayLike) -> Floats:
    """log Σ exp(x) = m + log Σ exp(x - m)  (eq-log-sum-exp).

    x (..., M) -> (...). -inf for a row of no keys: the log of an empty sum.
    """
    x = _floats(x)
    m = x.max(-1, initial=-np.inf)
    total = np.exp(x - shift(m)[..., None]).sum(-1)
    return np.asarray(m + np.log(np.where(total == 0, 1, total)))


def weights(x: ArrayLike, lse: ArrayLike) -> Floats:
    """exp(x - lse): softmax from one number a row, tile by tile if need be  (eq-weights).

    x (..., B), any columns of the scores, and lse (...), the log-sum-exp of all of them ->
    (..., B). A row whose lse is -inf gets 0.
    """
    return np.asarray(np.exp(_floats(x) - shift(_floats(lse))[..., None]))


# ------------------------------------------------------------------------------- online


def update(m: ArrayLike, l: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    """m' = max(m, max x) and l' = l exp(m - m') + Σ exp(x - m')  (eq-online-update).

    m and l (...) sum up the scores so far, x (..., B) holds the next B (one is a block of 1) ->
    (m', l'). Begin with m = -inf, l = 0; there they stay while no score but -inf has come.
    """
    x = _floats(x)
    m_next = np.maximum(m, x.max(-1, initial=-np.inf))
    c = shift(m_next)
    return m_next, np.asarray(l * np.exp(m - c) + np.exp(x - c[..., None]).sum(-1))


def online_softmax(x: ArrayLike, block: int = 1) -> Floats:
    """exp(x - m) / l, where one pass over blocks of scores has found m and l together.

    x (..., M) -> (..., M); the last block may be shorter  (eq-online-update).
    """
    x = _floats(x)
    m, l = np.full(x.shape[:-1], -np.inf, x.dtype), np.zeros(x.shape[:-1], x.dtype)
    for tile in blocks(x.shape[-1], block):
        m, l = update(m, l, x[..., tile])
    return np.asarray(np.exp(x - shift(m)[..., None]) / np.where(l == 0, 1, l)[..., None])


# ------------------------------------------------------------------------------- the monoid


class Summary(NamedTuple):
    """Some keys, as far as softmax(scores) v needs to know them  (eq-summary).

    m  (...)     the largest score
    l  (...)     Σ exp(score - m)
    o  (..., D)  Σ exp(score - m) value, not normalised
    """

    m: Floats
    l: Floats
    o: Floats


# No keys, for any shape: it broadcasts, and float16 widens no other type.
EMPTY = Summary(*(np.array(x, dtype=np.float16) for x in (-np.inf, 0, 0)))


def summarize(scores: ArrayLike, v: ArrayLike) -> Summary:
    """(max s, Σ exp(s - m), Σ exp(s - m) v), the summary of one block  (eq-summary).

    scores (..., M), v (M, D) or (..., M, D) for scores (..., N, M). The values must be finite,
    those of unseen keys too: 0 times NaN is NaN.
    """
    scores, v = _floats(scores), _floats(v)
    m = scores.max(-1, initial=-np.inf)
    p = np.exp(scores - shift(m)[..., None])
    return Summary(m, p.sum(-1), p @ v)


def merge(a: Summary, b: Summary) -> Summary:
    """m = max(m_a, m_b), and l and o are sums after scaling by exp(m_a - m), exp(m_b - m).

    The summary of the union of two disjoint sets of keys  (eq-merge). Associative and commutative,
    with EMPTY, the 0-d summary of no keys, as identity.
    """
    m = np.maximum(a.m, b.m)
    scale_a, scale_b = np.exp(a.m - shift(m)), np.exp(b.m - shift(m))
    o = scale_a[..., None] * a.o + scale_b[..., None] * b.o
    return Summary(m, scale_a * a.l + scale_b * b.l, o)


def merge_all(parts: Iterable[Summary]) -> Summary:
    """The summary of all parts, merged from left to right; EMPTY of none."""
    return reduce(merge, parts, EMPTY)


def finish(x: Summary) -> Floats:
    """o / l: the weighted mean of the values, and 0 for a query that sees no key  (eq-finish)."""
    return np.asarray(x.o / np.where(x.l == 0, 1, x.l)[..., None])


# ------------------------------------------------------------------------------- attention


Matrix = Floats | SlowMemory


def attention(q: ArrayLike, k: Floats, v: Floats, block: int) -> Floats:
    """softmax(q kᵀ / √D) v, `block` keys at a time, each read once  (eq-attention).

    q (..., D), k and v (M, D) -> (..., D); 0 without keys, M = 0. No more than `block` keys and
    values are held at a time, so k and v may lie in slow memory, where slices can be read: k[i:j].
    Raises ValueError unless k and v hold as many rows.
    """
    q = _floats(q)
    if len(k) != len(v):
        raise ValueError(f"v must have a row for each of the {len(k)} keys, got {len(v)}")
    tiles = blocks(len(k), block)
    none = summarize(scores(q, k[:0]), v[:0])
    return finish(reduce(merge, (summarize(scores(q, k[t]), v[t]) for t in tiles), none))


def scores(q: Floats, k: Floats) -> Floats:
    """q kᵀ / √D: how well each query fits each key  (eq-scores).

    q (..., N, D) or (D,), k (..., M, D) -> (..., N, M) or (M,).
    """
    return np.asarray(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5)


# --------------------------------------------------------------------- normalised partial results


class Partial(NamedTuple):
    """Attention over some of the keys, finished, and how much weight stood behind it.

    o    (..., D)  softmax over those keys alone, times their values
    lse  (...)     log Σ exp(score), over those keys  (eq-log-sum-exp)
    """

    o: Floats
    lse: Floats


def partial(x: Summary) -> Partial:
    """(o / l, m + log l): two arrays where a summary has three  (eq-partial)."""
    return Partial(finish(x), np.asarray(x.m + np.log(np.where(x.l == 0, 1, x.l))))


def merge_partials(a: Partial, b: Partial) -> Partial:
    """lse = log(exp lse_a + exp lse_b), o = exp(lse_a - lse) o_a + exp(lse_b - lse) o_b.

    Attention over the union of two disjoint sets of keys from two finished results  (eq-partials).
    Where neither saw a key: output 0, lse -inf.
    """
    lse = np.logaddexp(a.lse, b.lse)
    scale_a, scale_b = weights(a.lse[..., None], lse), weights(b.lse[..., None], lse)
    return Partial(scale_a * a.o + scale_b * b.o, lse)


def split_attention(q: ArrayLike, k: Floats, v: Floats, splits: int) -> Floats:
    """Each split of the keys finished on its own, then merged by log-sum-exp  (eq-partials).

    q (..., D), k and v (M, D) -> (..., D). On an accelerator the splits run side by side.
    """
    _check.positive_integer("splits", splits)
    parts = (
        partial(summarize(scores(_floats(q), k[rows]), v[rows]))
        for rows in np.array_split(np.arange(len(k)), splits)
    )
    return reduce(merge_partials, parts).o


def ring_attention(q: Floats, k: Floats, v: Floats) -> Floats:
    """W ranks in a ring, each with queries and keys of its own: the keys go round, once.

    q (W, N, D), k and v (W, M, D) -> (W, N, D), attention of all W N queries over all W M keys.
    Each rank meets the blocks in an order of its own  (eq-merge).
    """
    x = EMPTY
    for _ in range(len(q)):
        x = merge(x, summarize(scores(q, k), v))
        k, v = np.roll(k, 1, axis=0), np.roll(v, 1, axis=0)  # every rank hands its block on
    return finish(x)
