"""Convergence, drawn: contraction in a plane, bounds as they close, and who stops without them.

An MDP of two states has its values in a plane: v(0) to the right, v(1) upwards.

Shapes: S states, A actions, N points.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.figures.tabular.gridworld import Hunt
from rlcourse.plot import BLUE, COLOUR_OF, GREY, OCHRE, RED, Picture, panel, picture
from rlcourse.tabular.dynamic_programming import macqueen_bounds, policy_iteration
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp
from rlcourse.tabular.mdp import (
    MDP,
    Floats,
    Ints,
    action_values,
    bellman_optimality,
    dense_mdp,
    deterministic_policy,
    greedy_sets,
)

TO_FIRST = ((0.9, 0.2, 1.0), (0.2, 0.8, 0.3))  # [s][a]: probability to go on in state 0
REWARDS = ((0.7, 0.7, -0.5), (0.0, 0.8, 0.5))
GAMMA = 0.8
DEAR = replace(ZHAO, r_forbidden=-10.0)


def two_states() -> MDP:
    """An MDP of two states and three actions, made up for the plane."""
    first = np.array(TO_FIRST)
    return dense_mdp(np.stack([first, 1 - first], axis=-1), REWARDS)


def values_of(mdp: MDP, a: Ints, gamma: float) -> Floats:
    """The exact values (S,) of a deterministic policy a (S,)."""
    return closed_form(mdp, deterministic_policy(a, mdp.p.shape[1]), gamma)


# ------------------------------------------------------------------------------- the plane


class Plane(NamedTuple):
    """Values of the MDP of two states, as points of the plane.

    sweeps     (starts, N, 2)  value iteration from several starts
    policies   (9, 2)          the values of all deterministic policies
    steps      (N, 2)          those that policy iteration goes through, from the worst
    swept      (N, 2)          value iteration from the same worst policy's values
    exact      (2,)            the optimal values
    """

    sweeps: Floats
    policies: Floats
    steps: Floats
    swept: Floats
    exact: Floats


STARTS = ((-3.0, -3.0), (10.4, 2.0), (-1.0, 10.4))


def data_plane(starts: tuple[tuple[float, float], ...] = STARTS) -> Plane:
    """Both methods in the plane."""
    mdp = two_states()
    every = [np.array(a) for a in product(range(3), repeat=2)]
    values = np.array([values_of(mdp, a, GAMMA) for a in every])
    found = policy_iteration(mdp, GAMMA, every[int(values.sum(1).argmin())])
    steps = np.array([values_of(mdp, a, GAMMA) for a in found.policies])
    paths = [_swept(mdp, np.array(v, dtype=np.float64)) for v in (*starts, steps[0])]
    return Plane(np.array(paths[:-1]), values, steps, paths[-1], found.v)


def _swept(mdp: MDP, v: Floats, sweeps: int = 30) -> Floats:
    path = [v]
    for _ in range(sweeps):
        path.append(bellman_optimality(mdp, path[-1], GAMMA))
    return np.array(path)


def outside(v: Floats) -> Floats:
    """At most 0 where v (..., 2) is the value of some policy, else how far it is from that: (...,).

    v is the value of some policy exactly if min_a q(s, a) <= v(s) <= max_a q(s, a) in each state:
    mixing the actions reaches all that lies between. Dadashi et al. (2019).
    """
    first, r = np.array(TO_FIRST), np.array(REWARDS)
    q = r + GAMMA * (first * v[..., 0, None, None] + (1 - first) * v[..., 1, None, None])
    return np.asarray(np.maximum(v - q.max(-1), q.min(-1) - v).max(-1))


def draw_plane(data: Plane) -> Picture:
    """Squares that shrink by gamma; and the steps of policy iteration among the policies."""
    left, axes = panel("Each sweep: into a square γ as wide", (3.6, 3.6))
    _frame(axes, (-3.6, 11), (-3.6, 11))
    half = np.abs(data.sweeps[0, 0] - data.exact).max() * GAMMA ** np.arange(15)
    for i, x in enumerate(half):
        corner = data.exact - x
        box = Rectangle((corner[0], corner[1]), 2 * x, 2 * x, fill=False, edgecolor=GREY)
        box.set(linewidth=0.9, linestyle="-" if i else "--")
        axes.add_patch(box)
    for path, colour, look in zip(data.sweeps, (BLUE, RED, OCHRE), ("o-", "s-", "^-"), strict=True):
        axes.plot(*path[:15].T, look, color=colour, markersize=4, linewidth=1.2)
    _optimum(axes, data.exact)
    right, axes = panel("Jumps among policies, or sweeps", (3.6, 3.6))
    low, high = data.policies.min(0) - 0.5, data.policies.max(0) + 0.6
    low[1] = high[1] - (high[0] - low[0])
    _frame(axes, (low[0], high[0]), (low[1], high[1]))
    x, y = np.meshgrid(*(np.linspace(low[i], high[i], 90) for i in (0, 1)))
    area = outside(np.stack([x, y], axis=-1))
    axes.contourf(x, y, area, levels=[-99, 0], colors=[BLUE], alpha=0.15)
    axes.plot(*data.policies.T, "o", color=GREY, markersize=4)
    axes.plot(*data.swept.T, "o-", color=COLOUR_OF["value iteration"], markersize=3, linewidth=1.1)
    arrow = {"arrowstyle": "-|>", "color": COLOUR_OF["policy iteration"], "lw": 2, "shrinkB": 2}
    for a, b in zip(data.steps[:-1], data.steps[1:], strict=True):
        axes.annotate("", b, a, arrowprops=arrow | {"shrinkA": 0, "mutation_scale": 12})
    _optimum(axes, data.exact)
    halfway = tuple(data.steps[:2].mean(0))
    axes.annotate("policy iteration", halfway, (-8, 8), textcoords="offset points",
                  color=COLOUR_OF["policy iteration"], weight="bold", ha="right")  # fmt: skip
    axes.annotate("value iteration", tuple(data.swept[2]), (8, -10), textcoords="offset points",
                  color=COLOUR_OF["value iteration"], weight="bold")  # fmt: skip
    return picture(
        [left, right],
        "Left: nested squares around the optimal values; from three corners the sweeps step into"
        f" ever smaller ones. Right: policy iteration takes {len(data.steps) - 1} jumps from the"
        " worst policy to the best; value iteration takes small steps, some outside of the area"
        " of all policies' values.",
    )


def _frame(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.set(xlim=x, ylim=y, aspect="equal", xlabel="v(0)", ylabel="v(1)")


def _optimum(axes: Axes, v: Floats) -> None:
    axes.plot(*v, "*", color="#000000", markersize=11, markeredgewidth=0, zorder=5)
    axes.annotate("v*", tuple(v), (7, -13), textcoords="offset points", weight="bold")


# ------------------------------------------------------------------------------- bounds


class Closing(NamedTuple):
    """Value iteration on a slippery floor: what is known after each sweep, and what is true.

    low, high, v  (sweeps,)  MacQueen's bounds on the value of the corner cell, and v itself
    exact                    its true value
    error                    name -> (sweeps,) largest error, or a bound on it, over the cells
    """

    low: Floats
    high: Floats
    v: Floats
    exact: float
    error: dict[str, Floats]

    @property
    def worst_ratio(self) -> float:
        """The largest ratio of the error to the change of the last sweep."""
        return float((self.error["error of v"] / self.error["change"]).max())


def slippery() -> MDP:
    """Zhao's world with a slip of 0.1 and a cheap swamp, in which nothing ends."""
    return grid_mdp(replace(ZHAO, slip=0.1))


def sweeps_until(data: Closing, name: str, tolerance: float) -> int:
    """The first sweep after which data.error[name] is at most the tolerance."""
    return int(np.argmax(data.error[name] <= tolerance)) + 1


def data_closing(sweeps: int = 60, gamma: float = 0.9) -> Closing:
    """Value iteration on the slippery floor, with all that MacQueen's bounds say."""
    mdp = slippery()
    exact = policy_iteration(mdp, gamma).v
    v, rows = np.zeros(len(exact)), []
    for _ in range(sweeps):
        before, v = v, bellman_optimality(mdp, v, gamma)
        low, high = macqueen_bounds(before, v, gamma, False)
        change = np.abs(v - before).max()
        loss = (exact - values_of(mdp, action_values(mdp, before, gamma).argmax(-1), gamma)).max()
        errors = [
            np.abs(v - exact).max(),
            gamma / (1 - gamma) * change,
            change,
            np.abs((low + high) / 2 - exact).max(),
            (high - low).max() / 2,
            loss,
        ]
        rows.append([low[0], high[0], v[0], *errors])
    low, high, corner, *errors = np.array(rows).T
    names = ("error of v", "its bound", "change", "error of the middle", "half bracket", "loss")
    return Closing(low, high, corner, float(exact[0]), dict(zip(names, errors, strict=True)))


def draw_closing(data: Closing) -> Picture:
    """The bracket of one cell, and all errors on a log scale."""
    k = np.arange(1, len(data.v) + 1)
    ours, plain = COLOUR_OF["MacQueen's bounds"], COLOUR_OF["value iteration"]
    left, axes = panel("The top left cell: known to lie in the band", (3.6, 3.2))
    axes.fill_between(k[:25], data.low[:25], data.high[:25], color=ours, alpha=0.25, linewidth=0)
    axes.plot(k[:25], data.low[:25], color=ours, linewidth=1)
    axes.plot(k[:25], data.high[:25], color=ours, linewidth=1)
    axes.plot(k[:25], data.v[:25], "--", color=plain)
    axes.axhline(data.exact, color="#000000", linewidth=0.8, linestyle=":")
    axes.annotate("v*", (24.5, data.exact), (0, 4), textcoords="offset points", ha="right")
    axes.annotate("v of the sweep", (16, data.v[15]), (0, -13), textcoords="offset points",
                  color=plain, weight="bold")  # fmt: skip
    axes.annotate("MacQueen's bounds", (5, data.high[4]), (14, 8), textcoords="offset points",
                  color=ours, weight="bold")  # fmt: skip
    axes.set(xlabel="sweeps", ylabel="value", xlim=(0, 25))
    right, axes = panel("Largest error over the cells", (3.6, 3.2))
    for name, colour, look in (
        ("error of v", plain, "-"),
        ("change", GREY, "-."),
        ("error of the middle", ours, "-"),
        ("half bracket", ours, ":"),
    ):
        y = data.error[name]
        seen = y > 1e-12
        axes.semilogy(k[seen], y[seen], look, color=colour, label=name,
                      linewidth=2.6 if look == ":" else 1.6)  # fmt: skip
    axes.set(xlabel="sweeps", ylim=(1e-12, 30))
    axes.legend(loc="center right", fontsize=7.5, bbox_to_anchor=(1, 0.42))
    return picture(
        [left, right],
        "MacQueen's two bounds close on the true value within some ten sweeps, while the swept"
        " value is still far below. On a log scale the band shrinks far faster than the error of"
        " v, and the change of a sweep lies below that error.",
    )


# ------------------------------------------------------------------------------- the bug hunt


Solver = Callable[[MDP, float, float], Floats]


def data_hunt(solver: Solver, gamma: float = 0.9, tolerance: float = 1e-6) -> Hunt:
    """solver(mdp, gamma, tolerance) on Zhao's world with a dear swamp."""
    mdp = grid_mdp(DEAR)
    v, exact = solver(mdp, gamma, tolerance), policy_iteration(mdp, gamma).v
    best, exact_best = (greedy_sets(action_values(mdp, x, gamma)) for x in (v, exact))
    return Hunt(v, exact, best, exact_best)


def draw_hunt(data: Hunt) -> Picture:
    """The values of both, side by side."""
    maps = [
        draw_map(DEAR, v=data.v, title="the suspect", digits=2),
        draw_map(DEAR, v=data.exact, title="the truth", digits=2),
    ]
    return picture(maps, "Two maps of numbers: the values of the suspect, and the true ones.")


FOREST_PRINTED = (5.93215488, 9.38815488, 13.38815488)
"""pymdptoolbox 4.0-b3, docstring of ValueIteration: V of its forest example, discount 0.96."""


def forest() -> MDP:
    """pymdptoolbox's forest of three ages: wait, or cut; a fire burns it with probability 0.1."""
    p = np.zeros((3, 2, 3))
    p[:, 0, 0], p[:, 1, 0] = 0.1, 1.0
    p[[0, 1, 2], 0, [1, 2, 2]] = 0.9
    return dense_mdp(p, [[0.0, 0.0], [0.0, 1.0], [4.0, 2.0]])
