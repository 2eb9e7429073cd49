"""Worlds on which semi-gradient TD diverges: Baird's, a state that is twice another, a ring.

Shapes: S states, A actions, F features.
Source: Sutton & Barto, 2nd ed., section 11.2; Baird (1995); Tsitsiklis & Van Roy (1996).
"""

from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Floats, deterministic_mdp, finite_mdp


class Counterexample(NamedTuple):
    """A world, its features, and two policies: what is to be evaluated, and what is done.

    mdp        S states and A actions
    phi        (S, F)
    pi         (S, A)  the target policy
    behaviour  (S, A)  the policy that acts
    w          (F,)    where learning begins
    """

    mdp: MDP
    phi: Floats
    pi: Floats
    behaviour: Floats
    w: Floats


def baird() -> Counterexample:
    """Baird's counterexample: seven states, eight weights, gamma = 0.99.

    "solid" (0) leads to the last state, "dashed" (1) to each of the first six alike. The target
    policy is always solid, the behaviour 1/7 solid and 6/7 dashed, so that all states are visited
    alike. Values are 2w_i + w_8 in the first six states and w_7 + 2w_8 in the last: v = 0 can be
    said exactly, by w = 0 among others: all rewards are 0. Sutton & Barto, figure 11.1.
    """
    s_next = np.broadcast_to(np.arange(7), (7, 2, 7))
    p = np.stack([np.eye(7)[6], np.append(np.full(6, 1 / 6), 0)])
    phi = np.hstack([np.diag([2.0] * 6 + [1.0]), [[1.0]] * 6 + [[2.0]]])
    return Counterexample(
        finite_mdp(s_next, np.broadcast_to(p, (7, 2, 7)), 0.0),
        phi,
        np.tile([1.0, 0.0], (7, 1)),
        np.tile([1 / 7, 6 / 7], (7, 1)),
        np.array([1.0, 1, 1, 1, 1, 1, 10, 1]),
    )


def twice(epsilon: float = 0.0) -> Counterexample:
    """Two states with values w and 2w: the first leads to the second, which ends with chance ε.

    All rewards are 0. If only the step from the first state is learned from, A = 1 - 2γ, negative
    for γ > 1/2: the step takes w towards γ 2w, away from 0. Both states seen alike, A is
    [1 - 2γ + 4 (1 - (1 - ε)γ)] / 2. Sutton & Barto, section 11.2 and example 11.1.
    """
    _check.interval("epsilon", epsilon, 0, 1)
    s_next = np.array([[[1, 1]], [[1, 1]]])
    p = np.array([[[1.0, 0.0]], [[1 - epsilon, epsilon]]])
    mdp = finite_mdp(s_next, p, 0.0, [[[False, True]], [[False, True]]])
    one = np.ones((2, 1))
    return Counterexample(mdp, np.array([[1.0], [2.0]]), one, one, np.ones(1))


def ring(back: float, gamma: float = 0.95) -> Counterexample:
    """Three rooms in a ring and two weights, so that all of learning can be drawn in a plane.

    "on" (0) leads to the next room, "back" (1) to the first. The target policy goes on and on; the
    behaviour goes back with probability `back`, and so sees the first room most. The rewards are
    those that make v_π = Φ(1, 1) = (1, 4, 3) exactly, whatever gamma is.
    """
    _check.interval("back", back, 0, 1)
    phi = np.array([[1.0, 0.0], [3.0, 1.0], [1.0, 2.0]])
    v = phi.sum(1)
    s_next = np.array([[1, 0], [2, 0], [0, 0]])
    r = (v - gamma * v[s_next[:, 0]])[:, None] * [1.0, 0.0]
    return Counterexample(
        deterministic_mdp(s_next, r),
        phi,
        np.tile([1.0, 0.0], (3, 1)),
        np.tile([1 - back, back], (3, 1)),
        np.array([0.0, 1.5]),
    )
