"""FlashAttention: exact attention that never writes the N x M scores to slow memory.

Attention is bound by what it moves, not by what it computes. So keep a tile of queries in fast
memory, let the keys and values pass tile by tile, and rescale what was summed whenever the running
max grows (eq-flash-update). One number a query, the log-sum-exp, is saved: from it the backward
recomputes the probabilities of any tile (eq-recompute) instead of reading them back.

    standard   S, P and O by three kernels            Θ(N D + N M) moved        (eq-standard)
    flash      O in one, tile by tile                 Θ(N M D² / SRAM) moved    (eq-flash-update)

Each function takes the arrays of one head and reaches them in slices only, so it runs on NumPy
arrays and on a slow memory that counts alike: `count_traffic(flash_forward, q, k, v, 64, 64)`.

Shapes: N queries, M keys, D head dimension; of a tile (block_q, block_k). Arrays are floats.
`causal`: the last query sees all keys, each earlier one a key less (bottom-right alignment). A
query that sees no key has output 0, lse -inf and gradient 0.
Source: Dao et al. (2022), algorithms 1 and 4; Dao (2023), algorithms 1 and 2.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse.systems.attention_tiles import forward_tiles, require_fit, visible_tiles
from rlcourse.systems.online_softmax import safe_softmax, weights
from rlcourse.systems.slow_memory import Traffic, blocks, count_traffic

Floats = NDArray[Any]


class Standard(NamedTuple):
    """What standard attention leaves in slow memory; its backward reads p.

    o  (N, D)  output
    p  (N, M)  probabilities
    """

    o: Floats
    p: Floats


class Forward(NamedTuple):
    """What FlashAttention leaves in slow memory; its backward reads both.

    o    (N, D)  output
    lse  (N,)    log-sum-exp of each query's scores: -inf where it sees no key
    """

    o: Floats
    lse: Floats


class Gradients(NamedTuple):
    """The gradients of a loss with respect to q (N, D), k and v (M, D)."""

    dq: Floats
    dk: Floats
    dv: Floats


def tile_scores(q: Floats, k: Floats, ahead: int | None = None) -> Floats:
    """q kᵀ / √D, and -inf where a key lies ahead of its query  (eq-scores-tile).

    q (N, D) and k (M, D), a tile's rows -> (N, M). Row r of the tile sees its columns up to
    r + ahead; None: all.
    """
    s = q @ k.T * q.shape[1] ** -0.5
    return s if ahead is None else np.where(np.tri(len(q), len(k), ahead, bool), s, -np.inf)


# ------------------------------------------------------------------------------- standard


def standard_attention(q: Floats, k: Floats, v: Floats, causal: bool = False) -> Standard:
    """S = q kᵀ / √D, P = softmax(S), O = P v, each written to slow memory  (eq-standard).

    q (N, D), k and v (M, D) -> o (N, D), p (N, M).
    """
    n, m = len(q), len(k)
    s, p = np.empty_like(q, shape=(n, m)), np.empty_like(q, shape=(n, m))
    o = np.empty_like(q)
    s[:] = tile_scores(q[:], k[:], m - n if causal else None)
    p[:] = safe_softmax(s[:])
    o[:] = p[:] @ v[:]
    return Standard(o, p)


def softmax_backward(p: Floats, dp: Floats) -> Floats:
    """ds = p (dp - Σ_j p_j dp_j): through softmax, given its output  (eq-softmax-backward).

    p (..., M), a softmax over the last axis or, of a query without keys, 0, and dp (..., M), the
    loss's gradient with respect to it -> (..., M), that with respect to the scores.
    """
    return np.asarray(p * (dp - (p * dp).sum(-1, keepdims=True)))


def standard_backward(q: Floats, k: Floats, v: Floats, p: Floats, do: Floats) -> Gradients:
    """dV = Pᵀ dO, dP = dO Vᵀ, dS, dQ = dS K / √D, dK = dSᵀ Q / √D  (eq-standard-backward).

    do (N, D) is the gradient with respect to o; the mask lives on in p, as zeros.
    """
    dp, ds = np.empty_like(p), np.empty_like(p)
    found = Gradients(np.empty_like(q), np.empty_like(k), np.empty_like(v))
    scale = q.shape[1] ** -0.5
    found.dv[:] = p[:].T @ do[:]
    dp[:] = do[:] @ v[:].T
    ds[:] = softmax_backward(p[:], dp[:])
    found.dq[:] = ds[:] @ k[:] * scale
    found.dk[:] = ds[:].T @ q[:] * scale
    return found


# ------------------------------------------------------------------------------- flash


def flash_forward(
    q: Floats, k: Floats, v: Floats, block_q: int, block_k: int, causal: bool = False
) -> Forward:
    """o' = e^(m - m') o + e^(s - m') v, tile by tile, and o / l at the end  (eq-flash-update).

    q (N, D), k and v (M, D) -> o (N, D), lse (N,). While a tile of queries stays, the keys pass by
    once, and a slice of k or v is a read of slow memory; tiles that none of its queries sees are
    not read. But for o and lse, no array is larger than a tile.
    """
    full, seen = visible_tiles(len(q), len(k), block_q, block_k, causal)
    o, lse = np.empty_like(q), np.empty_like(q, shape=len(q))
    for i, rows in enumerate(blocks(len(q), block_q)):
        q_i = q[rows]
        m_i, l_i = np.full_like(q_i[:, 0], -np.inf), np.zeros_like(q_i[:, 0])
        o_i = np.zeros_like(q_i)
        for j in range(seen[i]):
            cols = slice(j * block_k, (j + 1) * block_k)
            k_j, v_j = k[cols], v[cols]
            s = tile_scores(q_i, k_j, diagonal(q, k, rows, cols) if j >= full[i] else None)
            m_next = np.maximum(m_i, s.max(1))
            shift = np.where(m_next == -np.inf, 0, m_next)  # no key so far: e^(-inf - 0) = 0
            p, shrink = np.exp(s - shift[:, None]), np.exp(m_i - shift)
            l_i = shrink * l_i + p.sum(1)
            o_i = shrink[:, None] * o_i + p @ v_j
            m_i = m_next
        total = np.where(l_i == 0, 1, l_i)
        o[rows], lse[rows] = o_i / total[:, None], m_i + np.log(total)
    return Forward(o, lse)


def diagonal(q: Floats, k: Floats, rows: slice, cols: slice) -> int:
    """How far the first query of a tile sees into it: its position minus that of the first key.

    Query i stands at i + M - N among the keys (bottom-right alignment).
    """
    return int(rows.start + len(k) - len(q) - cols.start)


def forward_within(
    sram: int, q: Floats, k: Floats, v: Floats, block_q: int, block_k: int, causal: bool = False
) -> tuple[Forward, Traffic]:
    """`flash_forward` beside a fast memory of `sram` elements, and what it moved.

    Raises ValueError, naming the tiles, where they don't fit.
    """
    require_fit(sram, forward_tiles(block_q, block_k, q.shape[1]))
    found, traffic = count_traffic(flash_forward, q, k, v, block_q, block_k, causal)
    return found, traffic


def recompute(
    q: Floats, k: Floats, v: Floats, do: Floats, lse: Floats, delta: Floats, ahead: int | None
) -> tuple[Floats, Floats]:
    """P = e^(S - lse) and dS / √D = P (dO Vᵀ - δ) / √D of one tile  (eq-recompute).

    The rows of q, do, lse and delta belong to the tile's queries, those of k and v to its keys.
    """
    p = weights(tile_scores(q, k, ahead), lse)
    return p, p * (do @ v.T - delta[:, None]) * q.shape[1] ** -0.5


def flash_backward(
    q: Floats, k: Floats, v: Floats, o: Floats, lse: Floats, do: Floats,
    block_q: int, block_k: int, causal: bool = False,
) -> Gradients:  # fmt: skip
    """dV = Σ_i Pᵢᵀ dOᵢ, dK = Σ_i dSᵢᵀ Qᵢ, dQ = Σ_j dSⱼ Kⱼ  (eq-flash-backward).

    q, o, do (N, D), k and v (M, D), lse (N,) -> dq (N, D), dk and dv (M, D). δ = Σ_d o do first;
    then a pass over the key tiles sums dk and dv, and one over the query tiles sums dq: each sum
    stays in fast memory until it is done, and a tile of q, k or v is sliced once for each that it
    meets. Beside the gradients no array is larger than a tile.
    """
    full, seen = visible_tiles(len(q), len(k), block_q, block_k, causal)
    dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    delta = np.empty_like(lse)
    tiles_q, tiles_k = list(blocks(len(q), block_q)), list(blocks(len(k), block_k))
    for rows in tiles_q:
        delta[rows] = (o[rows] * do[rows]).sum(1)
    for j, cols in enumerate(tiles_k):
        k_j, v_j = k[cols], v[cols]
        dk_j, dv_j = np.zeros_like(k_j), np.zeros_like(v_j)
        for i, rows in enumerate(tiles_q):
            if j < seen[i]:
                ahead = diagonal(q, k, rows, cols) if j >= full[i] else None
                q_i, do_i = q[rows], do[rows]
                p, ds = recompute(q_i, k_j, v_j, do_i, lse[rows], delta[rows], ahead)
                dk_j, dv_j = dk_j + ds.T @ q_i, dv_j + p.T @ do_i
        dk[cols], dv[cols] = dk_j, dv_j
    for i, rows in enumerate(tiles_q):
        q_i, do_i, lse_i, delta_i = q[rows], do[rows], lse[rows], delta[rows]
        dq_i = np.zeros_like(q_i)
        for j, cols in enumerate(tiles_k[: seen[i]]):
            ahead = diagonal(q, k, rows, cols) if j >= full[i] else None
            k_j = k[cols]
            dq_i = dq_i + recompute(q_i, k_j, v[cols], do_i, lse_i, delta_i, ahead)[1] @ k_j
        dq[rows] = dq_i
    return Gradients(dq, dk, dv)
