"""The walk over a thousand states: long enough that a table is the wrong idea.

A step leads to one of the `reach` states on the left or of the `reach` on the right, all alike;
beyond an end the episode terminates, with reward -1 on the left and 1 on the right.

Source: Sutton & Barto, 2nd ed., example 9.1.
"""

import numpy as np

from rlcourse import _check
from rlcourse.deep.features import binary_features
from rlcourse.tabular.mdp import MDP, Floats, finite_mdp


def long_walk(n: int = 1000, reach: int = 100) -> tuple[MDP, int]:
    """The walk over n states with one action, and the state in its middle where it begins."""
    _check.positive_integer("n", n)
    _check.positive_integer("reach", reach)
    jump = np.append(np.arange(-reach, 0), np.arange(1, reach + 1))
    to = np.arange(n)[:, None, None] + jump
    ends = (to < 0) | (to >= n)
    r = np.where(to < 0, -1.0, np.where(to >= n, 1.0, 0.0))
    p = np.full(to.shape, 1 / len(jump))
    return finite_mdp(np.clip(to, 0, n - 1), p, r, ends), (n - 1) // 2


def position(n: int = 1000) -> Floats:
    """Where each state lies between the ends: s / (n - 1), as features want it: (n, 1)."""
    return np.linspace(0, 1, n)[:, None]


def groups(n_groups: int, n: int = 1000) -> Floats:
    """One feature for each of n_groups groups of neighbours: (n, n_groups)  (eq-aggregation)."""
    _check.positive_integer("n_groups", n_groups)
    return binary_features((np.arange(n) * n_groups // n)[:, None], n_groups)
