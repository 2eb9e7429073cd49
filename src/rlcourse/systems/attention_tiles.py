"""The arithmetic of tiles: which ones attention visits, what they occupy, what they cost to move.

Attention's N x M scores are cut into tiles of block_q x block_k; the last row and column of tiles
may be smaller. A causal mask leaves three kinds: those seen whole, those on its edge, and those
that nobody sees. Counts of elements follow from that, to the unit.

    standard    4 N M + 2 N D + 2 M D                      (eq-standard-traffic)
    flash       2 N D + N + 2 D M ⌈N / block_q⌉            (eq-forward-traffic)
    arithmetic  4 N M D operations, half when causal       (eq-attention-flops)

Shapes: N queries, M keys, D head dimension, H heads; all counts are for one head unless `heads`
says more. Memory is counted in elements: times the bytes of one, it is bytes.
Source: Dao et al. (2022), sections 2.2 and 3.2; Dao (2023), section 3.
"""

from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse import _check


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


def visible_tiles(n: int, m: int, block_q: int, block_k: int, causal: bool = True) -> Tiles:
    """Query i sees the first i + 1 + M - N keys: where each row of tiles turns hidden.

    The last query sees all M keys (bottom-right alignment); for N > M the first N - M see none.
    Tile j is seen whole by query tile i for j < full[i], in part for full[i] <= j < seen[i], not
    at all from seen[i] on. Without `causal` all tiles are full  (eq-visible-tiles).
    """
    tiles = -(-m // block_k)
    first = np.arange(0, n, block_q)
    if not causal:
        return Tiles(np.full(len(first), tiles), np.full(len(first), tiles))
    last = np.minimum(first + block_q, n) - 1
    least, most = (np.clip(i + 1 + m - n, 0, m) for i in (first, last))
    full = np.where(least == m, tiles, least // block_k)
    return Tiles(full, -(-most // block_k))


# ------------------------------------------------------------------------------- what is moved


def standard_traffic(n: int, m: int, d: int) -> Moved:
    """reads 2 N M + N D + 2 M D, writes 2 N M + N D: three kernels  (eq-standard-traffic).

    Scores are written and read back, and so are the probabilities. Each kernel is taken to read
    each input once, which flatters it: a product of large matrices reads them more often.
    """
    return Moved(2 * n * m + n * d + 2 * m * d, 2 * n * m + n * d)


def forward_traffic(
    n: int, m: int, d: int, block_q: int, block_k: int, causal: bool = False
) -> Moved:
    """Reads N D + 2 D Σ_i keys_i, writes N D + N of `flash_forward`  (eq-forward-traffic).

    keys_i counts the keys in the tiles that query tile i visits: all M, or with `causal` those of
    the tiles that one of its queries sees, whole tiles each but for the last of all.
    """
    seen = visible_tiles(n, m, block_q, block_k, causal).seen
    keys = int(np.minimum(seen * block_k, m).sum())
    return Moved(n * d + 2 * d * keys, n * d + n)


def backward_traffic(
    n: int, m: int, d: int, block_q: int, block_k: int, causal: bool = False
) -> Moved:
    """Elements that `flash_backward` moves, with its three passes  (eq-backward-traffic).

    One over o and do for delta; one over key tiles for dk and dv, which reads q, do, lse and delta
    of each query tile that sees the key tile; one over query tiles for dq, like the forward.
    """
    seen = visible_tiles(n, m, block_q, block_k, causal).seen
    rows = np.minimum(np.arange(0, n, block_q) + block_q, n) - np.arange(0, n, block_q)
    keys = int(np.minimum(seen * block_k, m).sum())
    queries = int((rows * seen).sum())
    per_key_tile = 2 * m * d + (2 * d + 2) * queries
    per_query_tile = (2 * d + 2) * n + 2 * d * keys
    return Moved(2 * n * d + per_key_tile + per_query_tile, n + 2 * m * d + n * d)


# ------------------------------------------------------------------------------- what is held


def forward_tiles(block_q: int, block_k: int, d: int) -> dict[str, int]:
    """Elements of each tile that one query tile of the forward holds at a time  (eq-tiles-held).

    q and the sums m, l, o stay while k and v pass; p takes the place of s.
    """
    wide, narrow = block_q * d, block_k * d
    sums = {"m": block_q, "l": block_q, "o": wide}
    return {"q": wide, "k": narrow, "v": narrow, "s": block_q * block_k, **sums}


def require_fit(sram: int, tiles: dict[str, int]) -> None:
    """ValueError, naming the tiles, unless they fit in `sram` elements of fast memory."""
    if sum(tiles.values()) > sram:
        each = ", ".join(f"{name} {size}" for name, size in tiles.items())
        raise ValueError(
            f"sram must hold the tiles {each}: {sum(tiles.values())} elements, got {sram}"
        )


def largest_block(sram: int, d: int) -> int:
    """The largest B with B² + (4 D + 2) B <= sram: square tiles that fit  (eq-largest-block).

    Raises ValueError where not even one query and one key do.
    """
    _check.positive_integer("d", d)
    require_fit(sram, forward_tiles(1, 1, d))
    half = 2 * d + 1
    return isqrt(sram + half**2) - half


def tallest_block(sram: int, d: int, block_k: int) -> int:
    """⌊(sram - 2 D block_k) / (2 D + block_k + 2)⌋: the most queries beside block_k keys.

    Raises ValueError where not even one query fits  (eq-tiles-held).
    """
    _check.positive_integer("d", d)
    require_fit(sram, forward_tiles(1, block_k, d))
    return (sram - 2 * d * block_k) // (2 * d + block_k + 2)


# ------------------------------------------------------------------------------- what is computed


def attention_flops(
    n: int, m: int, d: int, heads: int = 1, causal: bool = False, backward: bool = False
) -> float:
    """4 H N M D, half when causal, the backward 2.5 times as many  (eq-attention-flops).

    The field's convention: two products forward and five backward, 2 N M D operations each, an
    exponential is free, and a causal mask hides half whatever N and M are. Heads of all sequences
    count: pass batch times heads.
    """
    return 4 * heads * n * m * d * (0.5 if causal else 1.0) * (2.5 if backward else 1.0)


def intensity(flops: float, moved: Moved, element: int = 2) -> float:
    """Operations per byte moved, for elements of `element` bytes  (eq-intensity)."""
    return flops / (element * sum(moved))
