# desk 8de69899fad2: the hash of what follows. Edit below, and the file is yours.
"""Your desk for systems/online_softmax. Write the functions, then: rlcourse check online_softmax"""

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[Any]


class Summary(NamedTuple):
    """Some keys, as far as softmax(scores) v needs to know them  (eq-summary).

    m  (...)     the largest score
    l  (...)     Σ exp(score - m)
    o  (..., D)  Σ exp(score - m) value, not normalised
    """

    m: Floats
    l: Floats
    o: Floats


class Partial(NamedTuple):
    """Attention over some of the keys, finished, and how much weight stood behind it.

    o    (..., D)  softmax over those keys alone, times their values
    lse  (...)     log Σ exp(score), over those keys  (eq-log-sum-exp)
    """

    o: Floats
    lse: Floats


def safe_softmax(x: ArrayLike) -> Floats:
    """exp(x - m) / Σ exp(x - m) with m = max x: no exponent above 0  (eq-safe-softmax).

    x (..., M) -> (..., M). A score of -inf gets 0, a row of nothing else zeros.
    """
    raise NotImplementedError


def update(m: ArrayLike, l: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    """m' = max(m, max x) and l' = l exp(m - m') + Σ exp(x - m')  (eq-online-update).

    m and l (...) sum up the scores so far, x (..., B) holds the next B (one is a block of 1) ->
    (m', l'). Begin with m = -inf, l = 0; there they stay while no score but -inf has come.
    """
    raise NotImplementedError


def merge(a: Summary, b: Summary) -> Summary:
    """m = max(m_a, m_b), and l and o are sums after scaling by exp(m_a - m), exp(m_b - m).

    The summary of the union of two disjoint sets of keys  (eq-merge). Associative and commutative,
    with EMPTY, the 0-d summary of no keys, as identity.
    """
    raise NotImplementedError


def attention(q: ArrayLike, k: Floats, v: Floats, block: int) -> Floats:
    """softmax(q kᵀ / √D) v, `block` keys at a time, each read once  (eq-attention).

    q (..., D), k and v (M, D) -> (..., D); 0 without keys, M = 0. No more than `block` keys and
    values are held at a time, so k and v may lie in slow memory, where slices can be read: k[i:j].
    Raises ValueError unless k and v hold as many rows.
    """
    raise NotImplementedError


def log_sum_exp(x: ArrayLike) -> Floats:
    """log Σ exp(x) = m + log Σ exp(x - m)  (eq-log-sum-exp).

    x (..., M) -> (...). -inf for a row of no keys: the log of an empty sum.
    """
    raise NotImplementedError


def weights(x: ArrayLike, lse: ArrayLike) -> Floats:
    """exp(x - lse): softmax from one number a row, tile by tile if need be  (eq-weights).

    x (..., B), any columns of the scores, and lse (...), the log-sum-exp of all of them ->
    (..., B). A row whose lse is -inf gets 0.
    """
    raise NotImplementedError


def merge_partials(a: Partial, b: Partial) -> Partial:
    """lse = log(exp lse_a + exp lse_b), o = exp(lse_a - lse) o_a + exp(lse_b - lse) o_b.

    Attention over the union of two disjoint sets of keys from two finished results  (eq-partials).
    Where neither saw a key: output 0, lse -inf.
    """
    raise NotImplementedError
