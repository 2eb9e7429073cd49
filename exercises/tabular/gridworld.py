# desk 3c6b0b2e6e6a: the hash of what follows. Edit below, and the file is yours.
"""Your desk for tabular/gridworld. Write the functions, then: rlcourse check gridworld"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Move(NamedTuple):
    """Where a step leads.

    s_next  the cell one is in afterwards
    bumped  True where the wall was in the way: the cell has not changed
    """

    s_next: Ints
    bumped: Bools


class MDP(NamedTuple):
    """What can happen: K outcomes of each action in each state (eq-mdp).

    s_next      (S, A, K)  the state that follows
    p           (S, A, K)  its probability; each p[s, a] sums to 1
    r           (S, A, K)  the reward on the way
    terminated  (S, A, K)  True where the episode ends there
    """

    s_next: Ints
    p: Floats
    r: Floats
    terminated: Bools


class PolicyModel(NamedTuple):
    """An MDP under a fixed policy: P_π and r_π of v = r_π + γ P_π v (eq-bellman-matrix).

    p  (S, S)  probability to go on in state j from state i; a row sums to less than 1 where
               an episode may end
    r  (S,)    expected reward of the next step
    """

    p: Floats
    r: Floats


def move(s: Ints, a: Ints, n_rows: int, n_cols: int) -> Move:
    """One cell up, right, down or left (a = 0, 1, 2, 3); none for stay (4) or through a wall.

    s and a are integer arrays of one shape; so are the answer's s_next and bumped (eq-grid-move).
    Cell s lies in row s // n_cols and column s % n_cols.
    """
    raise NotImplementedError


def discounted_returns(r: Floats, gamma: float) -> Floats:
    """G_t = r_t + γ G_{t+1}, with G_T = 0  (eq-return).

    r (..., T), whole numbers or not -> floats (..., T): what is earned from each step to the end
    of the episode.
    Here r_t is the reward of step t; Sutton & Barto write it R_{t+1} (eq. 3.9).
    """
    raise NotImplementedError


def policy_model(mdp: MDP, pi: Floats) -> PolicyModel:
    """P_π(s, j) = Σ_a π(a|s) p(j|s, a) and r_π(s) = Σ_a π(a|s) Σ_k p r  (eq-policy-model).

    pi (S, A) -> (S, S) and (S,). An outcome that ends the episode leads nowhere, so that
    v = r_π + γ P_π v holds without a special case; outcomes with the same successor add up.
    Zhao, section 2.6.
    """
    raise NotImplementedError


def action_values(mdp: MDP, v: Floats, gamma: float) -> Floats:
    """q(s, a) = Σ_k p [r + γ (1 - terminated) v(s_next)]  (eq-action-values).

    v (S,) -> q (S, A). Sutton & Barto, eq. 4.6; Zhao, section 2.8.
    """
    raise NotImplementedError


def iterative_evaluation(mdp: MDP, pi: Floats, gamma: float, tolerance: float) -> Floats:
    """Sweep v <- r_π + γ P_π v from v = 0 until max|v - v_π| <= tolerance  (eq-error-bound).

    The true error is at most γ / (1 - γ) times the largest change of the last sweep.
    pi (S, A) -> v (S,). Raises ValueError unless 0 <= gamma < 1 and tolerance > 0.
    Zhao, section 2.7, which doesn't say when to stop.
    """
    raise NotImplementedError
