# desk 1e09dbaba911: the hash of what follows. Edit below, and the file is yours.
"""Your desk for tabular/dynamic_programming. Write the functions, then: rlcourse check dynamic_programming"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


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


class OptimalPolicy(NamedTuple):
    """What policy iteration found.

    v         (S,)    the values of the last policy, which are optimal
    a         (S,)    its actions
    policies  (N, S)  all policies on the way, each once; the last one is a
    """

    v: Floats
    a: Ints
    policies: Ints


class Bounds(NamedTuple):
    """Between these lie the optimal values; both are (S,)."""

    low: Floats
    high: Floats


def affine_values(v: Floats, gamma: float, scale: float, shift: float) -> Floats:
    """v* for the rewards scale · r + shift: scale · v* + shift / (1 - γ)  (eq-affine).

    v (S,) -> (S,), in an MDP whose episodes never end. The best actions stay the same. Raises
    ValueError unless scale > 0, which would turn best into worst, and 0 <= gamma < 1. Zhao,
    theorem 3.6.
    """
    raise NotImplementedError


def policy_improvement(q: Floats, a: Ints, tolerance: float = 1e-9) -> Ints:
    """a(s) if it is still among the best within `tolerance`, else argmax_b q(s, b)
    (eq-policy-improvement).

    q (S, A), a (S,) -> (S,). Keeping an action that ties is what makes policy iteration stop: two
    equally good policies would take turns for ever. Sutton & Barto, exercise 4.4.
    """
    raise NotImplementedError


def truncated_evaluation(mdp: MDP, a: Ints, v: Floats, gamma: float, j: int) -> Floats:
    """v <- r_π + γ P_π v, j times, for the deterministic policy a  (eq-truncated-evaluation).

    a (S,), v (S,) -> (S,); v itself is left as it was. Zhao, section 4.3.
    """
    raise NotImplementedError


def policy_iteration(mdp: MDP, gamma: float, a: ArrayLike | None = None) -> OptimalPolicy:
    """Evaluate exactly, improve, until no action changes  (eq-policy-iteration).

    a (S,) is the first policy; None begins with the best actions under the uniform policy's values.
    Each policy is better than the one before in some state and worse in none, and there are
    finitely many.
    Raises ValueError for gamma outside [0, 1], and for gamma = 1 where a policy on the way never
    ends. Howard (1960); Zhao, section 4.2; Sutton & Barto, section 4.3.
    """
    raise NotImplementedError


def macqueen_bounds(v: Floats, v_next: Floats, gamma: float, ends: bool) -> Bounds:
    """v_next + γ / (1 - γ) min δ  <=  v*  <=  v_next + γ / (1 - γ) max δ, δ = v_next - v
    (eq-macqueen).

    v (S,) and v_next = max_a q(s, a) of it -> (S,), (S,). `ends`: True where episodes may end; a
    change then carries over to a part of what follows only, so min δ counts as at most 0, and max δ
    as at least 0. The policy that is greedy for v loses no more than high - low anywhere. Requires
    gamma < 1. MacQueen (1966); Puterman (1994), section 6.6.
    """
    raise NotImplementedError


def in_place_sweep(mdp: MDP, v: Floats, gamma: float, order: Ints | Sequence[int]) -> Floats:
    """v(s) <- max_a q(s, a) for the states of `order`, one after the other  (eq-in-place).

    v (S,) -> (S,), a new array; later states see the new values of earlier ones. `order` may leave
    states out and repeat them. Sutton & Barto, section 4.5.
    """
    raise NotImplementedError
