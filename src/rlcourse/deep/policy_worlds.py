"""Small worlds in which a policy's gradient is known: finite MDPs, and a line to steer on.

    short corridor   both states that matter look alike, so the best policy is a random one
    hike             four days in the mountains: every trajectory can be counted
    machine          to earn more it has to run hard, and then it breaks
    steering         a linear system with a quadratic cost, and a Gaussian policy

Shapes: S states, A actions, D parameters, T steps; (...) any leading axes.
Source: Sutton & Barto, example 13.1; for steering Zhao, ch. 9, and Recht (2019), section 4.
"""

from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Floats, deterministic_mdp, finite_mdp

LEFT, RIGHT = 0, 1
DAYS, HEIGHTS = 4, 3
DOWN, REST, UP = -1, 0, 1


class PolicyWorld(NamedTuple):
    """An MDP, the features (S, A, D) of its softmax policy, and where its episodes begin."""

    mdp: MDP
    x: Floats
    start: int
    gamma: float


class Steering(NamedTuple):
    """What a linear policy earns, and its exact gradient: each field has the gain's shape."""

    objective: Floats
    k: Floats
    log_std: Floats


def short_corridor() -> PolicyWorld:
    """Three states in a row and -1 a step; in the second, left leads right and right left.

    Right of the third is the goal. Features tell actions apart, but not states: θ = (left, right).
    With p = π(right), J(p) = (2p - 4) / (p (1 - p)). Sutton & Barto, example 13.1.
    """
    s_next = np.array([[0, 1], [2, 0], [1, 2]])
    ends = np.array([[0, 0], [0, 0], [0, 1]])
    x = np.broadcast_to(np.eye(2), (3, 2, 2)).copy()
    return PolicyWorld(deterministic_mdp(s_next, -1.0, ends), x, 0, 1.0)


def hike(slip: float = 0.2) -> PolicyWorld:
    """Four days on a mountain of three heights: go down, rest or climb, and then it is over.

    A day is worth 1, 2 or 6, the height where the night is spent; climbing costs 1; a move fails
    with probability `slip`. State 3 day + height; it begins at the lowest. Two parameters: the wish
    to climb (+1 up, -1 down) and the wish to rest. At most (3 · 2)⁴ = 1296 trajectories.
    """
    _check.interval("slip", slip, 0, 1)
    day, height, move = np.ogrid[:DAYS, :HEIGHTS, DOWN : UP + 1]
    reached = np.clip(height + move, 0, HEIGHTS - 1)
    above = np.stack([reached + 0 * day, height + 0 * (day + move)], -1)  # it succeeds, or fails
    s_next = HEIGHTS * np.minimum(day + 1, DAYS - 1)[..., None] + above
    r = np.array([1.0, 2.0, 6.0])[above] - (move == UP)[..., None]
    ends = np.broadcast_to((day == DAYS - 1)[..., None], s_next.shape)
    p = np.broadcast_to([1 - slip, slip], s_next.shape)
    flat = (DAYS * HEIGHTS, 3, 2)
    mdp = finite_mdp(*(z.reshape(flat) for z in (s_next, p, r, ends)))
    x = np.array([[DOWN, 0.0], [0.0, 1.0], [UP, 0.0]])
    return PolicyWorld(mdp, np.broadcast_to(x, (DAYS * HEIGHTS, 3, 2)).copy(), 0, 0.9)


def machine(p_break: float = 0.2) -> PolicyWorld:
    """One state: idle (-1), run gently (+1), or run hard (+3) and break with p_break: the end.

    Each action is a parameter. Without end, gently earns 1 / (1 - γ) = 20, hard 12.5.
    """
    p = np.array([[[1.0, 0.0], [1.0, 0.0], [1 - p_break, p_break]]])
    r = np.array([[[-1.0], [1.0], [3.0]]])
    ends = np.array([False, True])
    stay = np.zeros(p.shape, dtype=np.intp)
    return PolicyWorld(finite_mdp(stay, p, r, ends), np.eye(3)[None], 0, 0.95)


def steering(
    k: Floats, log_std: Floats, *, steps: int, gamma: float, noise: float = 0.1
) -> Steering:
    """J = -E Σ_t γ^t (s_t² + a_t²/10) of a = -k s + σ ε on s' = s + a + noise·ε'  (eq-steering).

    It begins at s_0 = 1 and lasts T steps; k and log_std (...) -> (...). With c = 1 - k the second
    moment obeys m' = c² m + σ² + noise², and so do its derivatives, one step after the other.
    """
    var, c = np.exp(2 * log_std), 1 - k
    m, m_k, m_l = np.ones(np.shape(k + log_std)), 0.0 * (k + log_std), 0.0 * (k + log_std)
    total = [0.0 * m, 0.0 * m, 0.0 * m]
    for t in range(steps):
        cost = (1 + k**2 / 10) * m + var / 10
        cost_k = (1 + k**2 / 10) * m_k + 2 * k / 10 * m
        cost_l = (1 + k**2 / 10) * m_l + 2 * var / 10
        for i, x in enumerate((cost, cost_k, cost_l)):
            total[i] = total[i] - gamma**t * x
        m, m_k, m_l = (
            c**2 * m + var + noise**2,
            c**2 * m_k - 2 * c * m,
            c**2 * m_l + 2 * var,
        )
    return Steering(*total)
