"""Solving v = r + W v exactly, where W leads from a state to a few near ones.

A grid's states see only their neighbours: numbered row by row, W has a band as wide as a row of
the grid. Cut into blocks of that width, I - W is block tridiagonal, and one pass of Gaussian
elimination over the blocks solves it in O(S b²) instead of O(S³), so that a world of 200 x 200
cells has its exact values in a fraction of a second.

Shapes: S states, K successors of each, b band width.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

FEWEST_BLOCKS = 8  # below that the dense solve is at least as fast


def solve(s_next: Ints, w: Floats, r: Floats) -> Floats:
    """The solution v (S,) of v = r + Σ_k w[:, k] v[s_next[:, k]]; s_next and w are (S, K).

    Raises numpy.linalg.LinAlgError where the system is singular.
    """
    n = len(r)
    if not n:
        return np.zeros(0)
    here = np.arange(n)[:, None]
    band = max(1, int(np.abs(np.where(w != 0, s_next - here, 0)).max(initial=0)))
    if n >= FEWEST_BLOCKS * band:
        return _eliminate(np.where(w != 0, s_next, here), w, r, band)
    flat = np.bincount((here * n + s_next).ravel(), w.ravel(), n * n)
    return np.asarray(np.linalg.solve(np.eye(n) - flat.reshape(n, n), r))


def _eliminate(s_next: Ints, w: Floats, r: Floats, b: int) -> Floats:
    """Block elimination downwards, then substitution upwards (block Thomas algorithm).

    No pivoting across blocks: I - W is diagonally dominant, since a row of |W| sums to at most 1.
    """
    n, k = s_next.shape
    blocks = -(-n // b)
    pad = blocks * b - n  # the last block is filled up with rows that say v = 0
    s_next = np.vstack([s_next, np.tile(np.arange(n, n + pad)[:, None], k)])
    w, r = np.vstack([w, np.zeros((pad, k))]), np.append(r, np.zeros(pad))
    above, y = np.zeros((blocks, b, b)), np.zeros((blocks, b))
    row = np.arange(b)[:, None]
    for i in range(blocks):
        part = slice(i * b, i * b + b)
        offset = s_next[part] - (i - 1) * b
        flat = np.bincount((row * 3 * b + offset).ravel(), w[part].ravel(), 3 * b * b)
        lower, diagonal, upper = np.split(-flat.reshape(b, 3 * b), 3, axis=1)
        diagonal = diagonal + np.eye(b)
        rhs = np.column_stack([upper, r[part]])
        if i:
            diagonal = diagonal - lower @ above[i - 1]
            rhs[:, -1] -= lower @ y[i - 1]
        x = np.linalg.solve(diagonal, rhs)
        above[i], y[i] = x[:, :-1], x[:, -1]
    for i in reversed(range(blocks - 1)):
        y[i] -= above[i] @ y[i + 1]
    return y.ravel()[:n]
