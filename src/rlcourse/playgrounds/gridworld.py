"""The GridWorld playground: a world that is solved again after each change."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.tabular.gridworld import ZHAO, GridWorld, Solution, grid_mdp, value_iteration
from rlcourse.tabular.mdp import Bools, action_values, greedy_sets

ARROWS = "↑→↓←•"
TOLERANCE = 1e-6
LARGEST = 10
MOST_SWEEPS = 5000  # as in the script
GAMMA = 0.9


PROMPTS = (
    Prompt(
        "The fine rises from 1 to 10: still through the swamp?",
        {"r_forbidden": -10.0},
        "No. From the top left corner the way round takes 11 steps instead of 5, and these six"
        " steps outweigh a fine of 4.2 at most: drag r forbidden slowly from 0 to −10 and see the"
        " route jump between −4 and −4.5.",
    ),
    Prompt(
        "γ = 0.5: which way now, and after how many sweeps?",
        {"gamma": 0.5},
        "The long way: being at the target from step 5 on is worth 0.5⁴ × 2 = 0.125 now, no more"
        " than the fine at step 4 costs, 0.5³ = 0.125. And 21 sweeps do instead of 153, since each"
        " of them halves the error.",
    ),
    Prompt(
        "Slip 0.3 and a fine of 10: is the target still worth it?",
        {"r_forbidden": -10.0, "slip": 0.3},
        "No. The top left corner stands still for ever, and even the target is left: three of its"
        " neighbours are swamp, so staying there earns 0.76 a step and loses 0.3 × 3/5 × 10 = 1.8."
        " Lower slip to 0.10 and the arrows turn back to it.",
    ),
)
"""Each answer is asserted, from the package's own solutions, in tests/playgrounds."""


class GridWorldPlayground(Playground):
    """A grid world to change by hand, its best values, routes and the error of each sweep.

    world     up to 10 x 10 cells, without jumps; where it starts is not shown
    gamma     the discount rate at the beginning
    selected  the cell that is looked into at the beginning
    title     replaces the question above the figure

    Zhao's world with gamma 0.9 comes with three questions to predict. Raises ValueError for what
    can't be drawn, and where value iteration takes more than 5000 sweeps.
    """

    name = "gridworld"

    def __init__(
        self,
        world: GridWorld = ZHAO,
        gamma: float = GAMMA,
        selected: int = 0,
        title: str | None = None,
    ) -> None:
        if max(world.n_rows, world.n_cols) > LARGEST:
            size = f"{world.n_rows} x {world.n_cols}"
            raise ValueError(f"world must have at most {LARGEST} rows and columns, got {size}")
        if world.jumps:
            raise ValueError(f"world must have no jumps, which aren't drawn, got {world.jumps}")
        _check.indices("selected", np.asarray(selected), world.n_states)
        self.world, self.gamma, self.selected, self.title = world, float(gamma), selected, title
        self.solution = solve(world, gamma)
        if self.solution.sweeps > MOST_SWEEPS:
            many = f"{self.solution.sweeps} sweeps, and {MOST_SWEEPS} can be drawn"
            raise ValueError(f"gamma = {gamma:g} takes {many}; use a smaller gamma")

    def data(self) -> dict[str, Any]:
        """World, gamma, prompts, and the package's values, against which the script is checked."""
        fields = asdict(replace(self.world, start=None))
        world = {k: v for k, v in fields.items() if k not in ("start", "jumps")}
        known = replace(self.world, start=None) == ZHAO and self.gamma == GAMMA
        data = {
            "world": world | {"gamma": self.gamma},
            "selected": self.selected,
            "golden": {"v": self.solution.v.tolist(), "sweeps": self.solution.sweeps},
            "prompts": [prompt._asdict() for prompt in PROMPTS] if known else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of the values and all best moves."""
        w, v = self.world, self.solution.v
        mark = dict.fromkeys(w.forbidden, "✕ ") | dict.fromkeys(w.target, "★ ")
        best = [
            "" if w.terminal and s in w.target else "".join(ARROWS[a] for a in np.flatnonzero(row))
            for s, row in enumerate(best_moves(w, self.gamma, self.solution))
        ]
        cells = [f"<td>{mark.get(s, '')}{best[s]} {v[s]:.2f}" for s in range(w.n_states)]
        rows = [cells[i : i + w.n_cols] for i in range(0, len(cells), w.n_cols)]
        body = "".join(f"<tr>{''.join(row)}" for row in rows)
        return (
            f"<table><caption>Best values and moves, γ = {self.gamma:g}, after"
            f" {self.solution.sweeps} sweeps of value iteration: no value is off by more than"
            f" 10⁻⁶ (★ target, ✕ forbidden). With JavaScript this is a playground.</caption>"
            f"{body}</table>"
        )

    def __repr__(self) -> str:
        return f"GridWorldPlayground({self.world}, gamma={self.gamma:g})"


def solve(world: GridWorld, gamma: float) -> Solution:
    """The best values, none off by more than 1e-6, and the sweeps it took."""
    return value_iteration(grid_mdp(world), gamma, TOLERANCE)


def best_moves(world: GridWorld, gamma: float, solution: Solution) -> Bools:
    """True for each best action of each cell: (S, A)."""
    return greedy_sets(action_values(grid_mdp(world), solution.v, gamma))
