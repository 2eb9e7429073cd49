"""The gambler's problem and Jack's car rental, solved and drawn.

Shapes: S states, A actions, N policies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.path as mpath
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from rlcourse.plot import BLUE, OCHRE, RED, Picture, panel, picture, use
from rlcourse.tabular.dynamic_programming import policy_iteration
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import (
    Bools,
    Floats,
    Ints,
    action_values,
    deterministic_policy,
    greedy_sets,
)
from rlcourse.tabular.problems import car_rental, gamblers_problem, moves, stakes

GOAL = 100
PRINTED_HEADS = 0.4
CAPACITY, MOST_MOVES = 20, 5
RENTAL_GAMMA = 0.9

# ------------------------------------------------------------------------------- the gambler


class Gambler(NamedTuple):
    """The gambler's problem for one coin.

    v     (goal + 1,)            probability to reach the goal
    best  (goal + 1, goal / 2 + 1)  True where staking that many coins is best
    """

    p_heads: float
    v: Floats
    best: Bools


def data_gambler(p_heads: float = PRINTED_HEADS, goal: int = GOAL) -> Gambler:
    """Exact values by policy iteration at gamma 1, and all best stakes."""
    mdp = gamblers_problem(p_heads, goal)
    v = policy_iteration(mdp, 1.0).v
    sets = greedy_sets(action_values(mdp, v, 1.0), 1e-12)
    best = np.zeros((goal + 1, goal // 2 + 1), dtype=np.bool_)
    capital = np.broadcast_to(np.arange(goal + 1)[:, None], sets.shape)
    best[capital[sets], stakes(goal)[sets]] = True
    best[:, 0] = False
    return Gambler(p_heads, v, best)


def printed_stakes(goal: int = GOAL) -> Ints:
    """The stakes (goal + 1,) of Sutton & Barto's figure 4.3, for heads with probability 0.4.

    All or what is missing at 25, 50 and 75; elsewhere as much as leads to the nearest of 0, 25,
    50, 75 and 100. Read off the figure.
    """
    s = np.arange(goal + 1)
    quarter = goal // 4
    near = np.minimum(s % quarter, quarter - s % quarter)
    return np.where(s % quarter == 0, np.minimum(s, goal - s), near)


def bold_stakes(goal: int = GOAL) -> Ints:
    """All there is, or all that is missing: (goal + 1,)."""
    s = np.arange(goal + 1)
    return np.minimum(s, goal - s)


def draw_gambler(p_heads: float = PRINTED_HEADS) -> Picture:
    """The chance of success, and every optimal stake of every capital."""
    data = data_gambler(p_heads)
    capital = np.arange(GOAL + 1)
    left, axes = panel(f"Chance of success, heads {p_heads:.2f}", (3.5, 3.3))
    axes.plot(capital[:GOAL], data.v[:GOAL], color=BLUE)
    axes.plot(capital, capital / GOAL, color="#000000", linestyle=":", linewidth=0.8)
    axes.annotate("a fair game", (62, 0.62), (-4, 6), textcoords="offset points", ha="right")
    axes.set(xlabel="capital", xlim=(0, GOAL), ylim=(0, 1))
    right, axes = panel("All optimal stakes", (3.5, 3.3))
    if p_heads == PRINTED_HEADS:
        _draw_dots(axes, capital[1:GOAL], printed_stakes()[1:GOAL], RED, 4.6)
        axes.annotate("printed", (25, 25), (-5, 5), textcoords="offset points", color=RED,
                      weight="bold", ha="right")  # fmt: skip
    s, stake = np.nonzero(data.best[1:GOAL])
    _draw_dots(axes, s + 1, stake, BLUE, 2.2)
    axes.set(xlabel="capital", ylabel="stake", xlim=(0, GOAL), ylim=(0, GOAL / 2 + 2))
    count = int(data.best[1:GOAL].sum())
    return picture(
        [left, right],
        f"With heads at {p_heads:.2f} the chance of success rises with the capital. {count} pairs"
        " of capital and stake are optimal; they form a pattern of triangles within triangles.",
    )


def _draw_dots(axes: Axes, x: Ints, y: Ints, colour: str, size: float) -> None:
    """Many dots as one path: a line of no length with round ends is a dot."""
    points = np.repeat(np.stack([x, y], axis=-1), 2, axis=0).astype(np.float64)
    path = mpath.Path(points, np.tile([mpath.Path.MOVETO, mpath.Path.LINETO], len(x)))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=size, capstyle="round"))


# ------------------------------------------------------------------------------- car rental


class Rental(NamedTuple):
    """Jack's car rental, solved by policy iteration from "move nothing".

    moves  (N, 21, 21)  cars moved from first to second place, for each policy on the way
    v      (21, 21)     the optimal values; row: cars at the first place, column: at the second
    a      (441,)       the actions of the last policy
    """

    moves: Ints
    v: Floats
    a: Ints


def data_rental(*, free_move: bool = False, parking_cost: float = 0.0) -> Rental:
    """The problem as in the book, or with the changes of exercise 4.7."""
    mdp = car_rental(free_move=free_move, parking_cost=parking_cost)
    nothing = np.full(len(mdp.p), MOST_MOVES)
    found = policy_iteration(mdp, RENTAL_GAMMA, nothing)
    moved = moves(CAPACITY, MOST_MOVES)[np.arange(len(nothing)), found.policies]
    side = CAPACITY + 1
    return Rental(moved.reshape(-1, side, side), found.v.reshape(side, side), found.a)


def cost_of_habit(plain: Rental, changed: Rental) -> float:
    """Dollars that the first problem's best policy loses, at most, by the rules of exercise 4.7."""
    mdp = car_rental(free_move=True, parking_cost=4.0)
    v = closed_form(mdp, deterministic_policy(plain.a, mdp.p.shape[1]), RENTAL_GAMMA)
    return float((changed.v.ravel() - v).max())


def draw_rental(data: Rental) -> Picture:
    """The policies on the way as small maps, and the values as a landscape."""
    use()
    left = Figure(figsize=(3.7, 3.9))
    for i, axes in enumerate(left.subplots(2, 2, sharex=True, sharey=True).flat):
        last = i + 2 == len(data.moves)
        _draw_moves(axes, data.moves[i + 1], named=(data.moves.min(), 0, MOST_MOVES), lines=False)
        axes.set_title(f"policy {i + 1}{', optimal' if last else ''}")
    left.supxlabel("cars at the second place", fontsize=8.5)
    left.supylabel("cars at the first place", fontsize=8.5)
    right, axes = panel("Value of an evening, $", (3.5, 3.5))
    _draw_landscape(axes, data.v)
    return picture(
        [left, right],
        "Four maps over the cars at both places: each policy of the sequence moves more cars where"
        " one place has many and the other few; the fourth is optimal. The value rises with cars"
        " at both places.",
    )


def draw_variant(changed: Rental) -> Picture:
    """The optimal policy by the rules of exercise 4.7."""
    figure, axes = panel("A free move, and parking that costs", (4.6, 4.6))
    _draw_moves(axes, changed.moves[-1], named=range(-MOST_MOVES, MOST_MOVES + 1))
    axes.set(xlabel="cars at the second place", ylabel="cars at the first place")
    return picture(
        figure,
        "A map of cars to move: one to the second place in most states, and more where else eleven"
        " cars or a few more would stay at one place.",
    )


def _draw_moves(axes: Axes, moved: Ints, named: Sequence[int], lines: bool = True) -> None:
    """Tinted by the number of cars: blue from first to second, orange back."""
    share = np.abs(moved)[..., None] / MOST_MOVES
    colour = np.where(moved[..., None] >= 0, _rgb(BLUE), _rgb(RED))
    axes.imshow(np.concatenate([colour, 0.75 * share], axis=-1), origin="lower",
                interpolation="none")  # fmt: skip
    for a, b in _borders(moved) if lines else ():
        axes.plot(a, b, color="#000000", linewidth=0.7, solid_capstyle="butt")
    for k in set(named) & set(moved.flat):
        row, col = np.nonzero(moved == k)
        middle = np.argmin((row - row.mean()) ** 2 + (col - col.mean()) ** 2)
        axes.text(col[middle], row[middle], f"{k}".replace("-", "−"), ha="center", va="center",
                  fontsize=7.5, weight="bold")  # fmt: skip
    _number(axes)


def _number(axes: Axes) -> None:
    axes.set_xticks(range(0, CAPACITY + 1, 5))
    axes.set_yticks(range(0, CAPACITY + 1, 5))
    axes.grid(False)


def _borders(x: Ints) -> list[tuple[list[float], list[float]]]:
    """The sides between cells that differ, each run of them as one line."""
    lines = []
    for turned in (False, True):
        grid = x.T if turned else x
        for i, differs in enumerate(grid[1:] != grid[:-1]):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], differs, [0]])))
            for a, b in edges.reshape(-1, 2):
                along, across = [a - 0.5, b - 0.5], [i + 0.5, i + 0.5]
                lines.append((across, along) if turned else (along, across))
    return lines


def _draw_landscape(axes: Axes, v: Floats) -> None:
    share = (v - v.min()) / (v.max() - v.min())
    colour = np.broadcast_to(_rgb(OCHRE), (*v.shape, 3))
    axes.imshow(np.concatenate([colour, 0.7 * share[..., None]], axis=-1), origin="lower",
                interpolation="none")  # fmt: skip
    levels = np.arange(430, 640, 20)
    lines = axes.contour(v, levels=levels, colors=["#000000"], linewidths=0.8)
    axes.clabel(lines, fontsize=7.5, levels=levels[::2], fmt="%d")
    axes.set(xlabel="cars at the second place", ylabel="cars at the first place")
    _number(axes)


def _rgb(colour: str) -> Floats:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
