"""The grid world: an MDP that can be drawn, and the first equations that can be solved on it.

A world is a map (eq-grid-move): an action moves one cell, a wall bumps back, and the reward depends
on the cell that is entered. With a policy its values are the solution of a linear system, found
at once (eq-closed-form) or by sweeps whose error shrinks by γ each time (eq-error-bound); with a
maximum instead of a policy, they are the best that can be earned (eq-bellman-optimality).

States are numbered row by row from 0. Shapes: S states, A actions, K outcomes; v is (S,).
Source: Zhao, Mathematical Foundations of RL, ch. 1-3; Sutton & Barto, 2nd ed., ch. 3-4.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular import linear
from rlcourse.tabular.mdp import (
    MDP,
    Bools,
    Floats,
    Ints,
    absorb,
    bellman_expectation,
    bellman_optimality,
    check_policy,
    deterministic_mdp,
    finite_mdp,
    uniform_policy,
)

ACTIONS = ("up", "right", "down", "left", "stay")
MOST_SWEEPS = 100_000


@dataclass(frozen=True)
class GridWorld:
    """A map and its rules. Cells are numbered row by row from 0; a reward is that of a step.

    forbidden, target  cells with a reward of their own
    start              where an episode begins (`rlcourse.gym`); None: anywhere but in a target
    terminal           True: entering a target ends the episode; False: one can stay and earn on
    slip               probability that the action is replaced by a uniform one of all
    r_step ...         reward for entering a plain cell, a target, a forbidden cell
    r_boundary         reward for bumping into the wall around the map
    bump               "boundary": a bump earns r_boundary; "boundary + cell": r_boundary and the
                       reward of the cell one stays in (Zhao's figures 5.6 and 5.7)
    stay               True: a fifth action stays where it is
    jumps              (cell, cell_next, reward): every action in `cell` leads to `cell_next`

    Raises ValueError for a cell outside the map, in two roles, or a number out of range.
    """

    n_rows: int = 5
    n_cols: int = 5
    forbidden: tuple[int, ...] = ()
    target: tuple[int, ...] = ()
    start: int | None = None
    terminal: bool = False
    slip: float = 0.0
    r_step: float = 0.0
    r_target: float = 1.0
    r_forbidden: float = -1.0
    r_boundary: float = -1.0
    bump: Literal["boundary", "boundary + cell"] = "boundary"
    stay: bool = True
    jumps: tuple[tuple[int, int, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("n_rows", "n_cols"):
            _check.positive_integer(name, getattr(self, name))
        starts = () if self.start is None else (self.start,)
        ends = [cell for jump in self.jumps for cell in jump[:2]]
        for name, cells in (
            ("forbidden", self.forbidden),
            ("target", self.target),
            ("start", starts),
            ("jumps", ends),
        ):
            _check.indices(name, np.asarray(cells, dtype=np.intp), self.n_states)
        if both := set(self.target) & set(self.forbidden):
            raise ValueError(f"target must not lie in a forbidden cell, got {sorted(both)} in both")
        _check.interval("slip", self.slip, 0, 1)
        for name in ("r_step", "r_target", "r_forbidden", "r_boundary"):
            _check.finite(name, getattr(self, name))
        _check.finite("jumps", [jump[2] for jump in self.jumps])
        if self.bump not in ("boundary", "boundary + cell"):
            raise ValueError(f"bump must be 'boundary' or 'boundary + cell', got {self.bump!r}")

    @property
    def n_states(self) -> int:
        return self.n_rows * self.n_cols

    @property
    def n_actions(self) -> int:
        return 5 if self.stay else 4


class Move(NamedTuple):
    """Where a step leads.

    s_next  the cell one is in afterwards
    bumped  True where the wall was in the way: the cell has not changed
    """

    s_next: Ints
    bumped: Bools


class Solution(NamedTuple):
    """What value iteration found.

    v       (S,) the values
    sweeps  how many sweeps it took
    """

    v: Floats
    sweeps: int


# ------------------------------------------------------------------------------- maps


LETTERS = ".xTS"


def parse(text: str, **rules: object) -> GridWorld:
    """The world of a map in letters: `.` plain, `x` forbidden, `T` target, `S` start.

    One line a row, blank lines and indentation aside; `rules` are the other fields of GridWorld.
    Raises ValueError for rows of unequal length, another letter, or two starts.
    """
    rows = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not rows:
        raise ValueError("text must hold at least one row of cells, got none")
    for i, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"text must have rows of {len(rows[0])} cells, got {row!r} in row {i}")
        if odd := set(row) - set(LETTERS):
            raise ValueError(f"text may hold the letters {LETTERS}, got {sorted(odd)} in row {i}")
    cells = "".join(rows)
    x, target, start = (tuple(i for i, c in enumerate(cells) if c == kind) for kind in "xTS")
    if len(start) > 1:
        raise ValueError(f"text may hold one start S, got {len(start)}")
    marks = {"forbidden": x, "target": target, "start": start[0] if start else None}
    return GridWorld(len(rows), len(rows[0]), **marks, **rules)  # type: ignore[arg-type]


def render(world: GridWorld) -> str:
    """The map of a world in letters; `parse` reads it back."""
    cells = ["."] * world.n_states
    for letter, where in (("S", (world.start,)), ("x", world.forbidden), ("T", world.target)):
        for s in where:
            if s is not None:
                cells[s] = letter
    rows = ("".join(cells[i : i + world.n_cols]) for i in range(0, len(cells), world.n_cols))
    return "\n".join(rows)


# ------------------------------------------------------------------------------- the model


def move(s: Ints, a: Ints, n_rows: int, n_cols: int) -> Move:
    """One cell up, right, down or left (a = 0, 1, 2, 3); none for stay (4) or through a wall.

    s and a are integer arrays of one shape; so are the answer's s_next and bumped (eq-grid-move).
    Cell s lies in row s // n_cols and column s % n_cols.
    """
    row = s // n_cols + np.array([-1, 0, 1, 0, 0])[a]
    col = s % n_cols + np.array([0, 1, 0, -1, 0])[a]
    inside = (row >= 0) & (row < n_rows) & (col >= 0) & (col < n_cols)
    return Move(np.where(inside, row * n_cols + col, s), ~inside)


def grid_mdp(world: GridWorld) -> MDP:
    """The MDP of a world: K = 1 outcome of each action, or A of them on a slippery floor."""
    s, a = np.meshgrid(np.arange(world.n_states), np.arange(world.n_actions), indexing="ij")
    s_next, bumped = move(s, a, world.n_rows, world.n_cols)
    cell, wall = grid_rewards(world)
    r = np.where(bumped, wall[s], cell[s_next])
    for here, there, reward in world.jumps:
        s_next[here], r[here] = there, reward
    plain = deterministic_mdp(s_next, r)
    ends = np.zeros(world.n_states, dtype=np.bool_)
    ends[list(world.target)] = world.terminal
    return absorb(_slippery(plain, world.slip) if world.slip else plain, ends)


def grid_rewards(world: GridWorld) -> tuple[Floats, Floats]:
    """The rewards for entering each cell, and for bumping into the wall from it: (S,), (S,)."""
    cell = np.full(world.n_states, float(world.r_step))
    cell[list(world.forbidden)] = world.r_forbidden
    cell[list(world.target)] = world.r_target
    return cell, world.r_boundary + (world.bump == "boundary + cell") * cell


def _slippery(mdp: MDP, slip: float) -> MDP:
    """Each action is kept with probability 1 - slip, else drawn anew: outcome k is action k's."""
    n_states, n_actions, _ = mdp.p.shape
    p = (1 - slip) * np.eye(n_actions) + slip / n_actions
    shape = (n_states, n_actions, n_actions)
    s_next, r = (np.broadcast_to(x[:, None, :, 0], shape) for x in (mdp.s_next, mdp.r))
    return finite_mdp(s_next, np.broadcast_to(p, shape), r)


# ------------------------------------------------------------------------------- the values


def closed_form(mdp: MDP, pi: ArrayLike, gamma: float) -> Floats:
    """v_π = (I - γ P_π)⁻¹ r_π, the exact solution of the Bellman equation  (eq-closed-form).

    pi (S, A) -> v (S,). Raises ValueError where pi is no policy, gamma lies outside [0, 1], or
    gamma = 1 and the policy never ends from some state (the matrix is singular then).
    Zhao, section 2.7.
    """
    pi = check_policy(mdp, pi)
    _check.interval("gamma", gamma, 0, 1)
    if gamma == 1:
        _check_ending(mdp, pi)
    weight = pi[:, :, None] * mdp.p
    w = (gamma * weight * ~mdp.terminated).reshape(len(pi), -1)
    r = (weight * mdp.r).sum((1, 2))
    return linear.solve(mdp.s_next.reshape(len(pi), -1), w, r)


def _check_ending(mdp: MDP, pi: Floats) -> None:
    """ValueError unless an end can be reached from every state under pi."""
    possible = pi[:, :, None] * mdp.p > 0
    ends: Bools = np.asarray((possible & mdp.terminated).any((1, 2)))
    for _ in range(len(pi)):  # the longest way to an end has as many steps as states
        ends = np.asarray(ends | (possible & ends[mdp.s_next]).any((1, 2)))
    if not ends.all():
        never = np.flatnonzero(~ends)
        raise ValueError(
            f"gamma = 1 needs episodes that end: from state {never[0]} ({len(never)} in all) none"
            " ever does, so the values are not finite; use gamma < 1"
        )


def iterative_evaluation(mdp: MDP, pi: Floats, gamma: float, tolerance: float) -> Floats:
    """Sweep v <- r_π + γ P_π v from v = 0 until max|v - v_π| <= tolerance  (eq-error-bound).

    The true error is at most γ / (1 - γ) times the largest change of the last sweep.
    pi (S, A) -> v (S,). Raises ValueError unless 0 <= gamma < 1 and tolerance > 0.
    Zhao, section 2.7, which doesn't say when to stop.
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must lie in [0, 1) for the error bound, got {gamma!r}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}")
    v = np.zeros(len(pi))
    while True:
        before, v = v, bellman_expectation(mdp, pi, v, gamma)
        if gamma * np.abs(v - before).max() <= (1 - gamma) * tolerance:
            return v


def value_iteration(mdp: MDP, gamma: float, tolerance: float = 1e-9) -> Solution:
    """v <- max_a q(s, a) until max|v - v*| <= tolerance  (eq-value-iteration).

    With gamma = 1 no bound on the error exists: the sweeps stop once nothing changes by more than
    the tolerance. Raises ValueError unless 0 <= gamma <= 1 and tolerance > 0, for gamma = 1 where
    some state has no way to an end, and where 100 000 sweeps don't suffice. Zhao, section 4.1.
    """
    _check.interval("gamma", gamma, 0, 1)
    _check.positive("tolerance", tolerance)
    if gamma == 1:
        _check_ending(mdp, uniform_policy(mdp))
    shrink = gamma / (1 - gamma) if gamma < 1 else 1.0
    v = np.zeros(len(mdp.p))
    for sweep in range(1, MOST_SWEEPS + 1):
        before, v = v, bellman_optimality(mdp, v, gamma)
        change = np.abs(v - before).max()
        if shrink * change <= tolerance:
            return Solution(v, sweep)
    raise ValueError(
        f"gamma = {gamma} is too near to 1 for tolerance = {tolerance}: after {MOST_SWEEPS} sweeps"
        f" a value still changed by {change:.3g}"
    )


# ------------------------------------------------------------------------------- known worlds

ZHAO = parse("""
    .....
    .xx..
    ..x..
    .xTx.
    .x...
""")
"""Zhao's world of chapters 2 to 8; its target is not terminal."""

SUTTON_BARTO_3_5 = GridWorld(stay=False, jumps=((1, 21, 10.0), (3, 13, 5.0)))
"""Sutton & Barto's examples 3.5 and 3.8, with gamma 0.9: two cells that jump."""

SUTTON_BARTO_4_1 = GridWorld(
    4, 4, target=(0, 15), terminal=True, stay=False, r_step=-1.0, r_target=-1.0
)
"""Sutton & Barto's example 4.1, with gamma 1: each step costs 1 until a corner is reached."""
