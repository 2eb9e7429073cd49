"""Asynchronous dynamic programming: backing up one state at a time, in an order of one's own.

In place, a state sees what the states before it have just learnt (eq-in-place). With a queue, the
state is next that would change most, so that no backup is spent where nothing is new.

Shapes: S states, A actions, K outcomes; v is (S,).
Source: Bertsekas (1982); Moore & Atkeson (1993); Sutton & Barto, 2nd ed., sections 4.5 and 8.4.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Floats, Ints, bellman_optimality


class Backups(NamedTuple):
    """Values (S,), and how many backups of single states they took."""

    v: Floats
    backups: int


def in_place_sweep(mdp: MDP, v: Floats, gamma: float, order: Ints | Sequence[int]) -> Floats:
    """v(s) <- max_a q(s, a) for the states of `order`, one after the other  (eq-in-place).

    v (S,) -> (S,), a new array; later states see the new values of earlier ones. `order` may leave
    states out and repeat them. Sutton & Barto, section 4.5.
    """
    v = v.copy()
    for s in order:
        future = gamma * ~mdp.terminated[s] * v[mdp.s_next[s]]
        v[s] = (mdp.p[s] * (mdp.r[s] + future)).sum(-1).max()
    return v


def prioritized_sweeping(mdp: MDP, gamma: float, tolerance: float = 1e-9) -> Backups:
    """Back up the state of largest Bellman error, until max|v - v*| <= tolerance.

    After a backup only the predecessors of that state can have a new error; they go back into the
    queue. The true error is at most the largest Bellman error over 1 - γ. Raises ValueError unless
    0 <= gamma < 1 and tolerance > 0. Moore & Atkeson (1993).
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must lie in [0, 1) for the error bound, got {gamma!r}")
    _check.positive("tolerance", tolerance)
    v, smallest, before = np.zeros(len(mdp.p)), (1 - gamma) * tolerance, predecessors(mdp)
    error = np.abs(bellman_optimality(mdp, v, gamma) - v)
    queue = [(-float(e), s) for s, e in enumerate(error) if e > smallest]
    heapify(queue)
    backups = 0
    while queue:
        size, s = heappop(queue)
        if -size != error[s]:
            continue  # its error has changed since it was queued
        v, backups = in_place_sweep(mdp, v, gamma, [s]), backups + 1
        for i in (s, *before[s]):
            error[i] = abs(in_place_sweep(mdp, v, gamma, [i])[i] - v[i])
            if error[i] > smallest:
                heappush(queue, (-float(error[i]), i))
    return Backups(v, backups)


def predecessors(mdp: MDP) -> list[list[int]]:
    """For each state the states from which it can be reached in one step that goes on."""
    found: list[set[int]] = [set() for _ in mdp.p]
    for s, a, k in np.argwhere((mdp.p > 0) & ~mdp.terminated):
        found[mdp.s_next[s, a, k]].add(int(s))
    return [sorted(states) for states in found]
