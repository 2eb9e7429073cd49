"""Four small worlds in which temporal-difference methods were first compared.

    random walk         how far is v from the truth?        Sutton & Barto, examples 6.2 and 7.1
    windy grid world    is the goal found at all?           example 6.5
    cliff walking       is what is learned what is earned?  example 6.6
    maximization bias   is a maximum of guesses a guess?    example 6.7

Shapes: S states, A actions, K outcomes.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Bools, Floats, Ints, deterministic_mdp, finite_mdp

ROOK = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
KING = (*ROOK, (-1, 1), (1, 1), (1, -1), (-1, -1))
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
CLIFF_ROWS, CLIFF_COLS = 4, 12


class World(NamedTuple):
    """An MDP, and the state in which its episodes begin.

    available  (S, A) the actions that exist; None: all
    """

    mdp: MDP
    start: int
    available: Bools | None = None


def random_walk(n: int = 5, r_left: float = 0.0, r_right: float = 1.0) -> World:
    """n states in a row; each step goes left or right by chance, and leaving the row ends it.

    Leaving to the left earns r_left, to the right r_right, any other step 0; there is one action.
    It begins in the middle. With gamma 1, v(s) = r_left + (r_right - r_left) (s + 1) / (n + 1).
    """
    s = np.arange(_check.positive_integer("n", n))[:, None, None]
    to = s + np.array([-1, 1])
    out = (to < 0) | (to >= n)
    r = np.where(to < 0, r_left, np.where(to >= n, r_right, 0.0))
    return World(finite_mdp(np.clip(to, 0, n - 1), np.full(to.shape, 0.5), r, out), n // 2)


def windy_gridworld(*, king: bool = False, gusts: bool = False) -> World:
    """7 x 10 cells from (3, 0) to (3, 7), -1 a step, and a wind that blows up some columns.

    The wind of the column one leaves adds to the step; the map's edge stops both. king: 8 moves
    instead of 4. gusts: where there is wind it is one weaker, as it is, or one stronger, each with
    probability 1/3. Sutton & Barto, example 6.5 and exercises 6.9 and 6.10.
    """
    moves = KING if king else ROOK
    wind = np.array(WIND)[:, None] + (np.array([-1, 0, 1]) if gusts else np.zeros(1, int))
    wind[np.array(WIND) == 0] = 0
    s, a = np.indices((70, len(moves)))
    row, col = _step(s, a, moves, 10)
    row = np.clip(row[..., None] - wind[s % 10], 0, 6)
    s_next = row * 10 + np.clip(col, 0, 9)[..., None]
    ends = (s_next == 37) | (s == 37)[..., None]
    s_next[37] = 37
    r = np.where((s == 37)[..., None], 0.0, -1.0)
    p = np.full(s_next.shape, 1 / s_next.shape[-1])
    return World(finite_mdp(s_next, p, r, ends), 30)


def cliff_walking() -> World:
    """4 x 12 cells from the lower left to the lower right corner, with a cliff between the two.

    -1 a step; who falls pays 100 and goes back to the start, and the episode goes on. The same as
    Gymnasium's CliffWalking.
    """
    rows, cols = CLIFF_ROWS, CLIFF_COLS
    start, goal = (rows - 1) * cols, rows * cols - 1
    s, a = np.indices((rows * cols, 4))
    row, col = _step(s, a, ROOK, cols)
    s_next = np.clip(row, 0, rows - 1) * cols + np.clip(col, 0, cols - 1)
    falls = (s_next > start) & (s_next < goal)
    s_next[falls] = start
    s_next[goal] = goal
    r = np.where(s == goal, 0.0, np.where(falls, -100.0, -1.0))
    return World(deterministic_mdp(s_next, r, (s_next == goal)), start)


def maximization_bias(
    actions: int = 10, mean: float = -0.1, deviation: float = 1.0, outcomes: int = 64
) -> World:
    """From A go right and end with 0, or left to B, where each action ends with a random reward.

    States A = 0 and B = 1; A has the actions left = 0 and right = 1, B has `actions` alike, whose
    reward is normal: `outcomes` equal masses stand for it, with the exact mean and deviation. Going
    left loses -mean on average. Sutton & Barto, example 6.7.
    """
    n = max(_check.positive_integer("actions", actions), 2)
    reward = mean + deviation * standard_normal_masses(outcomes)
    r = np.zeros((2, n, outcomes))
    r[1] = reward
    s_next = np.ones(r.shape, dtype=np.intp)
    ends = np.ones(r.shape, dtype=np.bool_)
    ends[0, 0] = False
    available = np.arange(n) < np.array([[2], [actions]])
    return World(finite_mdp(s_next, np.full(r.shape, 1 / outcomes), r, ends), 0, available)


def standard_normal_masses(n: int) -> Floats:
    """n points of equal mass (n,) with mean 0 and variance 1, near to the normal distribution.

    They are its quantiles at (k + 1/2) / n, scaled.
    """
    at = (np.arange(_check.positive_integer("outcomes", n)) + 0.5) / n
    x = np.array([NormalDist().inv_cdf(p) for p in at])
    x = (x - x[::-1]) / 2  # exactly symmetric: the mean is 0
    return np.asarray(x / max(x.std(), np.finfo(float).tiny))


def _step(s: Ints, a: Ints, moves: tuple[tuple[int, int], ...], n_cols: int) -> tuple[Ints, Ints]:
    """Row and column after a move, which may lie off the map."""
    down, right = np.array(moves).T
    return s // n_cols + down[a], s % n_cols + right[a]
