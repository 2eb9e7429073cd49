"""Sampling a finite MDP: many independent walkers in step, one NumPy call for all of them.

A pair (action, outcome) of a state is drawn at once, by Walker's alias method: a state's A K pairs
are cut into as many equal columns that hold two pairs at most, so that one draw is one uniform
number, two look-ups and a comparison, however many pairs there are.

Shapes: S states, A actions, K outcomes, B walkers, T steps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Bools, Floats, Ints, check_policy


class Steps(NamedTuple):
    """What B walkers met in T steps; every field is (T, B).

    An episode that ended (`terminated`) or was cut off (`truncated`) starts anew in the next row;
    s_next is the state that it ended in.
    """

    s: Ints
    a: Ints
    r: Floats
    s_next: Ints
    terminated: Bools
    truncated: Bools


class Alias(NamedTuple):
    """Tables to draw from the rows of p (S, N) in constant time (Vose, 1991).

    keep   (S, N)  column j gives j with this probability,
    other  (S, N)  and this index otherwise
    """

    keep: Floats
    other: Ints


def alias(p: Floats) -> Alias:
    """The alias tables of probability rows p (S, N)."""
    keep, other = p * p.shape[-1], np.tile(np.arange(p.shape[-1]), (len(p), 1))
    for row, partner in zip(keep, other, strict=True):
        small, large = list(np.flatnonzero(row < 1)), list(np.flatnonzero(row >= 1))
        left = row.copy()
        while small and large:
            j, i = small.pop(), large[-1]
            row[j], partner[j] = left[j], i
            left[i] -= 1 - left[j]
            if left[i] < 1:
                small.append(large.pop())
        row[small + large] = 1  # what rounding leaves over
    return Alias(keep, other)


def draw(tables: Alias, rows: Ints, rng: np.random.Generator) -> Ints:
    """One index per element of rows (B,), drawn from the row's probabilities."""
    n = tables.keep.shape[-1]
    u = rng.random(rows.shape) * n
    column = u.astype(np.intp)
    at = rows * n + column
    kept = u - column < tables.keep.ravel()[at]
    return np.asarray(np.where(kept, column, tables.other.ravel()[at]), dtype=np.intp)


def walk(
    mdp: MDP,
    pi: Floats,
    start: ArrayLike,
    *,
    steps: int,
    rng: np.random.Generator,
    limit: int | None = None,
) -> Steps:
    """T steps of B independent walkers that follow pi (S, A); start (B,) holds their first states.

    A walker whose episode ends, or reaches `limit` steps, goes back to its start. Draws from rng
    T times B uniform numbers. Raises ValueError for a bad policy, start, step count or limit.
    """
    pi = check_policy(mdp, pi)
    home = np.atleast_1d(_check.indices("start", start, len(mdp.p)))
    _check.shape("start", home, ("B",))
    for name, x in (("steps", steps), ("limit", limit)):
        if x is not None and x < 1:
            raise ValueError(f"{name} must be at least 1, got {x}")
    n_outcomes = mdp.p.shape[-1]
    pairs = mdp.p[0].size
    tables = alias((pi[..., None] * mdp.p).reshape(-1, pairs))
    s_next, reward, ends = mdp.s_next.ravel(), mdp.r.ravel(), mdp.terminated.ravel()
    record = _empty(steps, len(home))
    s, age = home, np.zeros(len(home), dtype=np.intp)
    for t in range(steps):
        pair = draw(tables, s, rng)
        at = s * pairs + pair
        record.s[t], record.a[t] = s, pair // n_outcomes
        record.r[t], record.s_next[t], record.terminated[t] = reward[at], s_next[at], ends[at]
        age += 1
        record.truncated[t] = False if limit is None else (age == limit) & ~record.terminated[t]
        over = record.terminated[t] | record.truncated[t]
        s = np.where(over, home, record.s_next[t])
        age[over] = 0
    return record


def _empty(steps: int, walkers: int) -> Steps:
    def column(dtype: type) -> NDArray[np.generic]:
        return np.empty((steps, walkers), dtype=dtype)

    kinds = (np.intp, np.intp, np.float64, np.intp, np.bool_, np.bool_)
    return Steps(*(column(kind) for kind in kinds))  # type: ignore[arg-type]
