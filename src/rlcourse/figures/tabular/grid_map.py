"""A grid world drawn as a map: values as tint and number, best actions as arrows, routes as lines.

Shapes: S states, A actions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlcourse.plot import BLUE, GREY, OCHRE, RED, panel
from rlcourse.tabular.gridworld import GridWorld, move
from rlcourse.tabular.mdp import Bools, Floats

MAP = (3.4, 3.4)


def draw_map(
    world: GridWorld,
    *,
    title: str = "",
    v: Floats | None = None,
    best: Bools | None = None,
    routes: Sequence[tuple[Sequence[int], str]] = (),
    digits: int = 1,
) -> Figure:
    """A map: values (S,) as tint and number, best actions (S, A) as arrows, routes as lines."""
    figure, axes = panel(title, MAP)
    axes.set(xlim=(-0.02, world.n_cols + 0.02), ylim=(world.n_rows + 0.02, -0.02), aspect="equal")
    axes.axis("off")
    top = 1.0 if v is None else max(1e-9, float(np.abs(v).max()))
    for s in range(world.n_states):
        _draw_cell(axes, world, s, 0.0 if v is None else float(v[s]) / top)
    for s in range(world.n_states):  # all arrows in a row, which makes them one path
        if best is not None:
            _draw_arrows(axes, *divmod(s, world.n_cols), best[s])
    low = best is not None
    for s in range(world.n_states):
        row, col = divmod(s, world.n_cols)
        if v is not None:
            axes.text(
                col + (0.93 if low else 0.5),
                row + (0.93 if low else 0.5),
                f"{v[s]:.{digits}f}".replace("-", "−"),
                ha="right" if low else "center",
                va="bottom" if low else "center",
                fontsize=7.5 if low else 9,
            )
    for cells, colour in routes:
        _draw_route(axes, world, cells, colour)
    return figure


def _draw_cell(axes: Axes, world: GridWorld, s: int, share: float) -> None:
    """A box, tinted blue for a positive value and red for a negative one; hatched if forbidden."""
    row, col = divmod(s, world.n_cols)
    box: Any = {"xy": (col + 0.02, row + 0.02), "width": 0.96, "height": 0.96, "clip_on": False}
    tint = (BLUE if share >= 0 else RED, 0.5 * abs(share))
    edge = OCHRE if s in world.forbidden else BLUE if s in world.target else GREY
    wide = 1.6 if s in world.forbidden or s in world.target else 0.6
    if s in world.forbidden:
        axes.add_patch(Rectangle(**box, fill=False, hatch="////", edgecolor=OCHRE, alpha=0.35))
    axes.add_patch(Rectangle(**box, facecolor=tint, edgecolor=edge, linewidth=wide))
    mark = "★" if s in world.target else "✕" if s in world.forbidden else ""
    axes.text(col + 0.08, row + 0.06, mark, va="top", fontsize=8)


def _draw_arrows(axes: Axes, row: int, col: int, best: Bools) -> None:
    steps = ((0, -1), (1, 0), (0, 1), (-1, 0))
    for (dx, dy), yes in zip(steps, best, strict=False):
        if yes:
            axes.annotate(
                "",
                (col + 0.5 + 0.33 * dx, row + 0.45 + 0.33 * dy),
                (col + 0.5, row + 0.45),
                arrowprops={"arrowstyle": "->", "lw": 1.3, "shrinkA": 0, "shrinkB": 0},
            )
    if len(best) > 4 and best[4]:
        axes.plot(col + 0.5, row + 0.45, "o", color="#000000", markersize=4, markeredgewidth=0)


def _draw_route(axes: Axes, world: GridWorld, cells: Sequence[int], colour: str) -> None:
    row, col = np.divmod(np.asarray(cells), world.n_cols)
    x, y = col + 0.5, row + 0.5
    x[-1], y[-1] = (
        0.55 * x[-1] + 0.45 * x[-2],
        0.55 * y[-1] + 0.45 * y[-2],
    )  # stop short of the star
    style = "-" if colour == BLUE else (0, (4, 2))
    axes.plot(x[:-1], y[:-1], color=colour, linewidth=2.8, linestyle=style)
    axes.plot(x[0], y[0], "o", color="#000000", markersize=6, markeredgewidth=0)
    head = {"arrowstyle": "-|>", "color": colour, "lw": 2.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x[-1], y[-1]), (x[-2], y[-2]), arrowprops=head | {"mutation_scale": 14})


def route_of(world: GridWorld, best: Bools, start: int) -> list[int]:
    """The cells that the first best action visits from `start`, until it stays or comes back."""
    cells = [start]
    while True:
        a = np.asarray(best[cells[-1]].argmax())
        s_next = int(move(np.asarray(cells[-1]), a, world.n_rows, world.n_cols).s_next)
        if s_next in cells:
            return cells
        cells.append(s_next)
