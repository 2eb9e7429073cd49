"""Dynamic programming: the best policy of a known MDP, by evaluating and improving in turn.

A policy is improved by taking in each state an action of greatest q (eq-policy-improvement), and
evaluated by sweeps of its own Bellman equation (eq-truncated-evaluation). How many sweeps lie
between two improvements is the only difference between three algorithms:

    value iteration              1 sweep      v <- max_a q(s, a)
    truncated policy iteration   j sweeps     also called modified policy iteration
    policy iteration             ∞ sweeps     v <- v_π, by a linear solve

All of them stop on bounds of the true error (eq-macqueen). Sweeps need not be in step either: see
`asynchronous`. On a grid they need no table of what follows: see `stencil`.

Shapes: S states, A actions, K outcomes; v is (S,), a deterministic policy a is (S,), q is (S, A).
Source: Zhao, Mathematical Foundations of RL, ch. 3-4; Puterman (1994), ch. 6.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular import linear, stencil
from rlcourse.tabular.gridworld import (
    MOST_SWEEPS,
    GridWorld,
    Solution,
    closed_form,
    grid_rewards,
)
from rlcourse.tabular.mdp import (
    MDP,
    Floats,
    Ints,
    action_values,
    deterministic_policy,
    uniform_policy,
)
from rlcourse.tabular.sweeps import Linear, Sweep, backup, linear_form, under

MOST_POLICIES = 1000


class Bounds(NamedTuple):
    """Between these lie the optimal values; both are (S,)."""

    low: Floats
    high: Floats


class OptimalPolicy(NamedTuple):
    """What policy iteration found.

    v         (S,)    the values of the last policy, which are optimal
    a         (S,)    its actions
    policies  (N, S)  all policies on the way, each once; the last one is a
    """

    v: Floats
    a: Ints
    policies: Ints


# ------------------------------------------------------------------------------- two halves


def policy_improvement(q: Floats, a: Ints, tolerance: float = 1e-9) -> Ints:
    """a(s) if it is still among the best within `tolerance`, else argmax_b q(s, b)
    (eq-policy-improvement).

    q (S, A), a (S,) -> (S,). Keeping an action that ties is what makes policy iteration stop: two
    equally good policies would take turns for ever. Sutton & Barto, exercise 4.4.
    """
    kept = np.take_along_axis(q, a[:, None], -1)[:, 0] >= q.max(-1) - tolerance
    return np.where(kept, a, q.argmax(-1))


def truncated_evaluation(mdp: MDP, a: Ints, v: Floats, gamma: float, j: int) -> Floats:
    """v <- r_π + γ P_π v, j times, for the deterministic policy a  (eq-truncated-evaluation).

    a (S,), v (S,) -> (S,); v itself is left as it was. Zhao, section 4.3.
    """
    rows = under(linear_form(mdp, gamma), a)
    for _ in range(j):
        v = backup(rows, v)
    return v


# ------------------------------------------------------------------------------- policy iteration


def policy_iteration(mdp: MDP, gamma: float, a: ArrayLike | None = None) -> OptimalPolicy:
    """Evaluate exactly, improve, until no action changes  (eq-policy-iteration).

    a (S,) is the first policy; None begins with the best actions under the uniform policy's values.
    Each policy is better than the one before in some state and worse in none, and there are
    finitely many.
    Raises ValueError for gamma outside [0, 1], and for gamma = 1 where a policy on the way never
    ends. Howard (1960); Zhao, section 4.2; Sutton & Barto, section 4.3.
    """
    _check.interval("gamma", gamma, 0, 1)
    if a is None:
        v = closed_form(mdp, uniform_policy(mdp), gamma)
        now = action_values(mdp, v, gamma).argmax(-1)
    else:
        now = _check.indices("a", a, mdp.p.shape[1])
        _check.shape("a", now, mdp.p.shape[:1])
    model, policies = linear_form(mdp, gamma), [now]
    while len(policies) <= MOST_POLICIES:
        v = _exact_values(mdp, model, now, gamma)
        q = backup(model, v)
        better = policy_improvement(q, now, 1e-12 * float(np.abs(q).max()))
        if (better == now).all():
            return OptimalPolicy(v, now, np.array(policies))
        now = better
        policies.append(now)
    raise ValueError(
        f"mdp must be well scaled: after {MOST_POLICIES} policies actions still change"
    )


def _exact_values(mdp: MDP, model: Linear, a: Ints, gamma: float) -> Floats:
    """v_π of the deterministic policy a (S,), by a linear solve."""
    if gamma == 1:  # says which state never ends
        return closed_form(mdp, deterministic_policy(a, mdp.p.shape[1]), gamma)
    return linear.solve(*under(model, a))


# ------------------------------------------------------------------------------- sweeps


def truncated_policy_iteration(mdp: MDP, gamma: float, j: int, tolerance: float = 1e-9) -> Solution:
    """Improve, sweep j times, until max|v - v*| <= tolerance by MacQueen's bounds.

    j = 1 is value iteration, j -> ∞ policy iteration. Raises ValueError unless 0 <= gamma < 1,
    j >= 1 and tolerance > 0, and where 100 000 sweeps don't suffice. Puterman & Shin (1978); Zhao,
    section 4.3.
    """
    _check.positive_integer("j", j)
    _check_bounded(gamma, tolerance)
    sweeps = _truncated(linear_form(mdp, gamma), j)
    return _first_known(sweeps, gamma, bool(mdp.terminated.any()), tolerance)


def grid_values(world: GridWorld, gamma: float, tolerance: float = 1e-9) -> Solution:
    """v* of a grid world by value iteration on shifted arrays, until max|v - v*| <= tolerance.

    The same values as `value_iteration(grid_mdp(world), gamma)`, many times as fast: no table of
    successors is read, and MacQueen's bounds say when to stop. Raises ValueError for a world with
    jumps, unless 0 <= gamma < 1 and tolerance > 0, and where 100 000 sweeps don't suffice.
    """
    _check_bounded(gamma, tolerance)
    if world.jumps:
        raise ValueError(f"world must have no jumps, got {world.jumps}; use value_iteration")
    shape = (world.n_rows, world.n_cols)
    cell, wall = (r.reshape(shape) for r in grid_rewards(world))
    ends = np.zeros(shape, dtype=np.bool_)
    ends.flat[list(world.target)] = world.terminal
    grid = stencil.Grid(cell, wall, ends, world.slip, world.stay)
    sweeps = stencil.sweeps(grid, gamma, every=8)
    return _first_known(sweeps, gamma, bool(ends.any()), tolerance)


def _check_bounded(gamma: float, tolerance: float) -> None:
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must lie in [0, 1) for the error bound, got {gamma!r}")
    _check.positive("tolerance", tolerance)


def _truncated(model: Linear, j: int) -> Iterator[Sweep]:
    """Each sweep that improves; j - 1 of its own lie between it and the next."""
    v = np.zeros(len(model.r))
    for number in count(1, j):
        q = backup(model, v)
        before, v = v, q.max(-1)
        yield Sweep(before, v, number)
        rows = under(model, q.argmax(-1)) if j > 1 else model
        for _ in range(j - 1):
            v = backup(rows, v)


def _first_known(sweeps: Iterable[Sweep], gamma: float, ends: bool, tolerance: float) -> Solution:
    """The middle of the first MacQueen bounds that are no more than 2 tolerance apart."""
    for v, v_next, number in sweeps:
        low, high = macqueen_bounds(v, v_next, gamma, ends)
        if (error := (high[0] - low[0]) / 2) <= tolerance:
            return Solution((low + high) / 2, number)
        if number >= MOST_SWEEPS:
            break
    raise ValueError(
        f"gamma = {gamma} is too near to 1 for tolerance = {tolerance}: after {number} sweeps"
        f" the values are known to {error:.3g} only"
    )


def macqueen_bounds(v: Floats, v_next: Floats, gamma: float, ends: bool) -> Bounds:
    """v_next + γ / (1 - γ) min δ  <=  v*  <=  v_next + γ / (1 - γ) max δ, δ = v_next - v
    (eq-macqueen).

    v (S,) and v_next = max_a q(s, a) of it -> (S,), (S,). `ends`: True where episodes may end; a
    change then carries over to a part of what follows only, so min δ counts as at most 0, and max δ
    as at least 0. The policy that is greedy for v loses no more than high - low anywhere. Requires
    gamma < 1. MacQueen (1966); Puterman (1994), section 6.6.
    """
    change = v_next - v
    least, most = change.min(), change.max()
    if ends:
        least, most = min(least, 0.0), max(most, 0.0)
    scale = gamma / (1 - gamma)
    return Bounds(v_next + scale * least, v_next + scale * most)


def affine_values(v: Floats, gamma: float, scale: float, shift: float) -> Floats:
    """v* for the rewards scale · r + shift: scale · v* + shift / (1 - γ)  (eq-affine).

    v (S,) -> (S,), in an MDP whose episodes never end. The best actions stay the same. Raises
    ValueError unless scale > 0, which would turn best into worst, and 0 <= gamma < 1. Zhao,
    theorem 3.6.
    """
    _check.positive("scale", scale)
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must lie in [0, 1), got {gamma!r}")
    return scale * v + shift / (1 - gamma)
