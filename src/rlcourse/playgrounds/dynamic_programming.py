"""The playground of dynamic programming: how long one evaluates before improving, and its price."""

from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.playgrounds.gridworld import LARGEST
from rlcourse.tabular.dynamic_programming import policy_improvement, policy_iteration
from rlcourse.tabular.gridworld import ZHAO, GridWorld, closed_form, grid_mdp
from rlcourse.tabular.mdp import Floats, Ints, deterministic_policy, greedy_sets
from rlcourse.tabular.sweeps import backup, linear_form, under

Ties = Literal["first", "last", "keep"]

DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, None)
"""Sweeps between two improvements; None: evaluated exactly, as in policy iteration."""

WORLD = replace(ZHAO, r_forbidden=-10.0)
GAMMA = 0.9
LARGEST_GAMMA = 0.99
GOAL = 1e-3
MOST_SWEEPS = 5000  # as in the script


class Run(NamedTuple):
    """Iterations of one improvement and its evaluation, from v = 0 until max|v - v*| < 0.001.

    v         (S,)      the values at the end
    errors    (N + 1,)  max|v - v*| at the start and after each of N sweeps (or exact evaluations)
    policies  (n, S)    the actions of each iteration
    """

    v: Floats
    errors: Floats
    policies: Ints


PROMPTS = (
    Prompt(
        "j = 1 needs 88 sweeps, j = 5 needs 90. So is j = 1 cheaper?",
        {"j": 1},
        "No. Only the first sweep of an iteration looks at all five actions of a cell; the others"
        " follow one arrow. That makes 88 × 5 = 440 looks for j = 1, and 18 × (5 + 4) = 162 for"
        " j = 5.",
    ),
    Prompt(
        "j = 10, and a tie goes to the last action, stay: still 90 sweeps?",
        {"j": 10, "ties": "last"},
        "No: 150. Where nothing is known, to stay is as good as to walk, and cells that stay pass"
        " no news on, however long one sweeps. Each improvement carries it one step further, and"
        " the farthest cell is 15 steps away: 15 improvements.",
    ),
    Prompt(
        "γ = 0.99: how many iterations do j = 1 and j = ∞ need now?",
        {"gamma": 0.99, "j": None},
        "1146 and 8. A sweep takes only 1 % of the star's error away now, so value iteration needs"
        " 13 times as many. An exact evaluation doesn't care: it took 8 improvements at 0.9 too.",
    ),
)
"""Each answer is asserted, from the package's own solutions, in tests/playgrounds."""


class DynamicProgrammingPlayground(Playground):
    """Value iteration, policy iteration and all between, on one world and by one measure.

    world     up to 10 x 10 cells, without jumps and slips; where it starts is not shown
    gamma     the discount rate at the beginning, at most 0.99
    j         sweeps between two improvements at the beginning, one of DEPTHS
    ties      the best action that a cell takes: the "first", the "last", or "keep" the old one
    selected  the cell that is looked into at the beginning
    title     replaces the question above the figure

    Zhao's world with a fine of 10 comes with three questions to predict. Raises ValueError for what
    can't be drawn, and where a run takes more than 5000 sweeps.
    """

    name = "dynamic_programming"

    def __init__(
        self,
        world: GridWorld = WORLD,
        gamma: float = GAMMA,
        j: int | None = 5,
        ties: Ties = "first",
        selected: int = 20,
        title: str | None = None,
    ) -> None:
        if max(world.n_rows, world.n_cols) > LARGEST:
            size = f"{world.n_rows} x {world.n_cols}"
            raise ValueError(f"world must have at most {LARGEST} rows and columns, got {size}")
        if world.jumps or world.slip:
            raise ValueError("world must have no jumps and no slip, which aren't drawn")
        _check.interval("gamma", gamma, 0, LARGEST_GAMMA)
        if j not in DEPTHS:
            raise ValueError(f"j must be one of {DEPTHS}, got {j!r}")
        if ties not in get_args(Ties):
            raise ValueError(f"ties must be one of {get_args(Ties)}, got {ties!r}")
        _check.indices("selected", np.asarray(selected), world.n_states)
        self.world, self.gamma, self.j, self.ties = world, float(gamma), j, ties
        self.selected, self.title = selected, title
        self.exact = policy_iteration(grid_mdp(world), gamma).v
        self.runs = [run(world, gamma, depth, ties) for depth in DEPTHS]

    def data(self) -> dict[str, Any]:
        """World and choices, prompts, and the package's values, which the script must repeat."""
        fields = asdict(replace(self.world, start=None))
        world = {k: v for k, v in fields.items() if k not in ("start", "jumps")}
        chosen = {"gamma": self.gamma, "j": self.j, "ties": self.ties}
        asked = {"gamma": GAMMA, "j": 5, "ties": "first"}
        known = replace(self.world, start=None) == WORLD and chosen == asked
        iterations = [len(each.policies) for each in self.runs]
        data = {
            "world": world | chosen,
            "selected": self.selected,
            "golden": {"v": self.exact.tolist(), "iterations": iterations},
            "prompts": [prompt._asdict() for prompt in PROMPTS] if known else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of the costs of some depths."""
        n_actions = self.world.n_actions
        rows = [
            f"<tr><td>{'∞' if j is None else j}"
            + "".join(f"<td>{x if x is not None else '∞'}" for x in costs(each, j, n_actions))
            for j, each in zip(DEPTHS, self.runs, strict=True)
            if j in (1, 2, self.j, 10, 20, None)
        ]
        heads = ("j", "iterations", "sweeps", "actions looked at for each cell")
        return (
            "<table><caption>What it takes until no value is off by 0.001, with j sweeps between"
            f" two improvements, γ = {self.gamma:g}: j = 1 is value iteration, j = ∞ policy"
            " iteration. With JavaScript this is a playground.</caption>"
            f"<tr>{''.join(f'<th>{head}' for head in heads)}{''.join(rows)}</table>"
        )

    def __repr__(self) -> str:
        return (
            f"DynamicProgrammingPlayground({self.world}, gamma={self.gamma:g}, j={self.j},"
            f" ties={self.ties!r})"
        )


def run(world: GridWorld, gamma: float, j: int | None, ties: Ties) -> Run:
    """Improve, evaluate by j sweeps (None: exactly), until max|v - v*| < 0.001.

    Where ties keep the old action, the first iteration evaluates the last action everywhere: stay.
    Raises ValueError where 5000 sweeps don't suffice.
    """
    mdp = grid_mdp(world)
    model, exact = linear_form(mdp, gamma), policy_iteration(mdp, gamma).v
    v, a = np.zeros(world.n_states), np.full(world.n_states, world.n_actions - 1)
    errors, policies = [np.abs(v - exact).max()], np.empty((0, world.n_states), np.intp)
    while errors[-1] >= GOAL:
        if len(errors) > MOST_SWEEPS:
            raise ValueError(f"gamma = {gamma:g} takes more than {MOST_SWEEPS} sweeps; use less")
        if ties != "keep" or len(policies):
            a = improved(backup(model, v), a, ties)
        policies, rows = np.vstack((policies, a)), under(model, a)
        for _ in range(j or 1):
            pi = deterministic_policy(a, world.n_actions)
            v = backup(rows, v) if j else closed_form(mdp, pi, gamma)
            errors.append(np.abs(v - exact).max())
    return Run(v, np.array(errors), policies)


def improved(q: Floats, a: Ints, ties: Ties) -> Ints:
    """One of the best actions of each state; q is (S, A), a and the result (S,)."""
    best = greedy_sets(q)
    if ties == "first":
        return np.asarray(best.argmax(-1))
    if ties == "last":
        return np.asarray(best.shape[1] - 1 - best[:, ::-1].argmax(-1))
    return policy_improvement(best.astype(np.float64), a)


def costs(each: Run, j: int | None, n_actions: int) -> tuple[int, int | None, int | None]:
    """Iterations, sweeps and actions looked at for each state; None: no number of sweeps is enough.

    Only the first sweep of an iteration looks at all actions; the others follow the policy.
    """
    n = len(each.policies)
    return (n, None, None) if j is None else (n, n * j, n * (n_actions + j - 1))
