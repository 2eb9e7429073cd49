"""Solving v = r + W v exactly, where W leads from a state to a few near ones.

A grid's states see only their neighbours: numbered row by row, W has a band as wide as a row of
the grid. Cut into blocks of that width, I - W is block tridiagonal, and one pass of Gaussian
elimination over the blocks solves it in O(S b²) instead of O(S³), so that a world of 200 x 200
cells has its exact values in a fraction of a second. Where each state leads to one other only, as
under a deterministic policy on firm ground, it is followed in steps that double: O(S log T).

Shapes: S states, K successors of each, b band width, N = S / b blocks, T steps of a path.
Source: the block Thomas algorithm; Golub & Van Loan, Matrix Computations, 4th ed., § 4.5.1.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

FEWEST_BLOCKS = 8  # below that the dense solve is at least as fast
MOST_DOUBLINGS = 50  # of the steps that are followed: 10¹⁵ steps
SMALL = 64  # a matrix up to this size is solved or inverted at once


def solve(s_next: Ints, w: Floats, r: Floats) -> Floats:
    """The solution v (S,) of v = r + Σ_k w[:, k] v[s_next[:, k]]; s_next and w are (S, K).

    A row of |w| sums to at most 1. Raises numpy.linalg.LinAlgError where the system is singular.
    """
    n = len(r)
    here = np.arange(n)[:, None]
    if n > SMALL:
        s_next = np.where(w != 0, s_next, here)
        if (np.count_nonzero(w, axis=1) <= 1).all():
            only = here[:, 0], np.abs(w).argmax(1)
            if (v := _follow(s_next[only], w[only], r)) is not None:
                return v
        band = max(1, int(np.abs(s_next - here).max()))
        if n >= FEWEST_BLOCKS * band:
            return _eliminate(s_next, w, r, band)
    flat = np.bincount((here * n + s_next).ravel(), w.ravel(), n * n)
    return np.asarray(np.linalg.solve(np.eye(n) - flat.reshape(n, n), r))


def solve_sum(a: Floats, b: Floats, r: Floats) -> Floats:
    """The solution v (N, M) of v = r + a v + v b for symmetric a (N, N) and b (M, M).

    The weights of a random walk that treats each cell of an N x M grid alike are such a sum: a
    moves along the columns, b along the rows. The eigenvectors of both make the system diagonal, in
    O(N³ + M³) for N M states. Raises ValueError where a or b is not symmetric and
    numpy.linalg.LinAlgError where the system is singular. Lynch, Rice & Thomas (1964).
    """
    for name, x in (("a", a), ("b", b)):
        if not np.allclose(x, x.T, rtol=0, atol=1e-12):
            raise ValueError(f"{name} must be symmetric, got entries {np.abs(x - x.T).max()} apart")
    (down, x), (along, y) = np.linalg.eigh(a), np.linalg.eigh(b)
    scale = 1 - down[:, None] - along
    if np.abs(scale).min() < 1e-14:
        raise np.linalg.LinAlgError("Singular matrix")
    return np.asarray(x @ ((x.T @ r @ y) / scale) @ y.T)


def _follow(s_next: Ints, w: Floats, r: Floats) -> Floats | None:
    """v (S,) of v = r + w v[s_next], one successor each; None where the weights don't die away.

    After T steps v = r + w v[s_next] with the sums and products on the way; taking them again from
    s_next on makes 2T steps of T.
    """
    for _ in range(MOST_DOUBLINGS):
        if np.abs(w).max() < 1e-17:
            return r.copy()
        r, w, s_next = r + w * r[s_next], w * w[s_next], s_next[s_next]
    return None


def _eliminate(s_next: Ints, w: Floats, r: Floats, b: int) -> Floats:
    """Elimination downwards until block i reads v_i = x_i v_{i+1} + y_i, then substitution upwards.

    Blocks need no pivoting between them: I - W is diagonally dominant, since a row of |W| sums to
    at most 1. On a grid the blocks beside the diagonal are themselves diagonal.
    """
    n, k = s_next.shape
    extra = np.arange(n, -(-n // b) * b)  # the last block is filled up with rows that say v = 0
    s_next = np.vstack([s_next, np.tile(extra[:, None], k)])
    w = np.vstack([w, np.zeros((len(extra), k))])
    y = np.append(r, np.zeros(len(extra))).reshape(-1, b)
    here = np.arange(y.size)[:, None]
    grid = bool(np.isin(s_next - here, (-b, b))[s_next // b != here // b].all())
    x: list[Floats] = []
    for i, rows in enumerate(np.split(np.arange(y.size), len(y))):
        column, weight = s_next[rows] - i * b, w[rows]
        lower, upper = (_block(column + side, weight, b, grid) for side in (b, -b))
        a = np.eye(b) - _block(column, weight, b)
        if i:
            a -= lower[:, None] * x[-1] if grid else lower @ x[-1]
            y[i] += lower * y[i - 1] if grid else lower @ y[i - 1]
        inverse = _inverse(a)
        y[i] = inverse @ y[i]
        x.append(inverse * upper if grid else inverse @ upper)
    for i in reversed(range(len(y) - 1)):
        y[i] += x[i] @ y[i + 1]
    return y.ravel()[:n]


def _block(column: Ints, w: Floats, b: int, diagonal: bool = False) -> Floats:
    """The block of W with the columns 0 to b - 1: (b, b), or its diagonal (b,) if that is all."""
    inside = (column >= 0) & (column < b)
    w = np.where(inside, w, 0.0)
    if diagonal:
        return np.asarray(w.sum(1))
    at = np.where(inside, column, 0) + np.arange(b)[:, None] * b
    flat = np.bincount(at.ravel(), w.ravel(), b * b)
    return np.asarray(flat.reshape(b, b), dtype=np.float64)


def _inverse(a: Floats) -> Floats:
    """a⁻¹ of a diagonally dominant a (b, b), by halves: matrix products are fast arithmetic.

    The halves need no pivoting between them: a Schur complement of a is diagonally dominant too.
    """
    if len(a) <= SMALL:
        return np.asarray(np.linalg.inv(a), dtype=np.float64)
    h = len(a) // 2
    first = _inverse(a[:h, :h])
    beside, below = first @ a[:h, h:], a[h:, :h] @ first
    out = np.empty_like(a)
    out[h:, h:] = _inverse(a[h:, h:] - below @ a[:h, h:])
    out[:h, h:] = -beside @ out[h:, h:]
    out[h:, :h] = -out[h:, h:] @ below
    out[:h, :h] = first - out[:h, h:] @ below
    return out
