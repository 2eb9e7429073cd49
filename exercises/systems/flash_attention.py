# desk 2d79fd3c0ebf: the hash of what follows. Edit below, and the file is yours.
"""Your desk for systems/flash_attention. Write the functions, then: rlcourse check flash_attention"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


class Tiles(NamedTuple):
    """How far each row of tiles reaches, as numbers of key tiles, each (⌈N / block_q⌉,).

    full  the tiles before this one are seen whole, by every query of the row
    seen  the tiles from this one on are seen by no query of the row
    """

    full: NDArray[Any]
    seen: NDArray[Any]


class Moved(NamedTuple):
    """Elements read from slow memory, and written to it."""

    reads: int
    writes: int


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


def visible_tiles(n: int, m: int, block_q: int, block_k: int, causal: bool = True) -> Tiles:
    """Query i sees the first i + 1 + M - N keys: where each row of tiles turns hidden.

    The last query sees all M keys (bottom-right alignment); for N > M the first N - M see none.
    Tile j is seen whole by query tile i for j < full[i], in part for full[i] <= j < seen[i], not
    at all from seen[i] on. Without `causal` all tiles are full  (eq-visible-tiles).
    """
    raise NotImplementedError


def forward_traffic(
    n: int, m: int, d: int, block_q: int, block_k: int, causal: bool = False
) -> Moved:
    """Reads N D + 2 D Σ_i keys_i, writes N D + N of `flash_forward`  (eq-forward-traffic).

    keys_i counts the keys in the tiles that query tile i visits: all M, or with `causal` those of
    the tiles that one of its queries sees, whole tiles each but for the last of all.
    """
    raise NotImplementedError


def flash_forward(
    q: Floats, k: Floats, v: Floats, block_q: int, block_k: int, causal: bool = False
) -> Forward:
    """o' = e^(m - m') o + e^(s - m') v, tile by tile, and o / l at the end  (eq-flash-update).

    q (N, D), k and v (M, D) -> o (N, D), lse (N,). While a tile of queries stays, the keys pass by
    once, and a slice of k or v is a read of slow memory; tiles that none of its queries sees are
    not read. But for o and lse, no array is larger than a tile.
    """
    raise NotImplementedError


def softmax_backward(p: Floats, dp: Floats) -> Floats:
    """ds = p (dp - Σ_j p_j dp_j): through softmax, given its output  (eq-softmax-backward).

    p (..., M), a softmax over the last axis or, of a query without keys, 0, and dp (..., M), the
    loss's gradient with respect to it -> (..., M), that with respect to the scores.
    """
    raise NotImplementedError


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
    raise NotImplementedError
