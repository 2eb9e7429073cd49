# desk ca177b3cd886: the hash of what follows. Edit below, and the file is yours.
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
    once; tiles that none of its queries sees are not read. But for o and lse, no array is larger
    than a tile.
    """
    raise NotImplementedError
