"""The flagship of the function approximation chapter: two weights in a plane, and who is visited.

Shapes: F = 2 weights, S = 3 rooms, T steps, n settings of the behaviour.
"""

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from rlcourse.deep.counterexamples import ring
from rlcourse.deep.mean_updates import LinearSystem, largest_growth, mean_path, td_system
from rlcourse.figures.deep.divergence import visits
from rlcourse.figures.frames import with_buttons, with_slider
from rlcourse.plot import BLUE, GREEN, GREY, RED
from rlcourse.tabular.mdp import Floats, policy_model

GAMMA = 0.95
BACK = (0.0, 0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
WINDOW = 4.0  # of the plane that is drawn: from 1 - WINDOW to 1 + WINDOW in both weights


class Ring(NamedTuple):
    """Semi-gradient TD on the ring in the mean, for each behaviour.

    back    (n,)            probability of going back to the first room
    d       (n, 3)          how often each room is visited
    growth  (n,)            largest real part of -A's eigenvalues
    path    (n, T + 1, 2)   the weights, from the same start
    arrows  (n, M, 2)       the mean update at each point of the grid
    grid    (M, 2)
    """

    back: Floats
    d: Floats
    growth: Floats
    path: Floats
    arrows: Floats
    grid: Floats


def ring_system(back: float) -> tuple[LinearSystem, Floats]:
    """A and b of the ring under a behaviour, and the distribution of its rooms."""
    world = ring(back, GAMMA)
    d = visits(world, world.behaviour)
    return td_system(world.phi, *policy_model(world.mdp, world.pi), d, GAMMA), d


def data_ring(alpha: float = 0.1, steps: int = 180, points: int = 7) -> Ring:
    """Ten behaviours, from the target policy itself to one that goes back in nine of ten."""
    back, start = np.array(BACK), ring(0.0).w
    line = 1 + WINDOW * np.linspace(-0.92, 0.92, points)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    rows = []
    for share in back:
        system, d = ring_system(float(share))
        arrows = system.b - grid @ system.a.T
        path = mean_path(system, start, alpha, steps)
        rows.append((d, largest_growth(system.a), path, arrows))
    d, growth, path, arrows = (np.array(column) for column in zip(*rows, strict=True))
    return Ring(back, d, growth, path, arrows, grid)


def unstable_from(tolerance: float = 1e-6) -> float:
    """The probability of going back from which on the mean update diverges, by bisection."""
    low, high = 0.0, 0.9
    while high - low > tolerance:
        middle = (low + high) / 2
        if largest_growth(ring_system(middle)[0].a) > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _field(grid: Floats, arrows: Floats) -> tuple[list[float | None], list[float | None]]:
    """Short lines along the mean update, as one line with gaps; a longer step, a longer line."""
    length = np.linalg.norm(arrows, axis=1, keepdims=True)
    tip = grid + 0.62 * WINDOW / 3 * arrows / np.maximum(length, 1e-9) * np.tanh(length / 2)
    x, y = list[float | None](), list[float | None]()
    for a, b in zip(grid.round(2).tolist(), tip.round(2).tolist(), strict=True):
        x += [a[0], b[0], None]
        y += [a[1], b[1], None]
    return x, y


def _inside(path: Floats) -> Floats:
    """Every fourth point of a path, up to the step that leaves the window."""
    out = np.abs(path - 1).max(1) > 1.15 * WINDOW
    return (path[: int(out.argmax()) + 1] if out.any() else path)[::4]


def _traces(data: Ring, i: int) -> list[Any]:
    stable = data.growth[i] < 0
    colour = BLUE if stable else RED
    x, y = _field(data.grid, data.arrows[i])
    path = _inside(data.path[i]).round(2)
    field = go.Scatter(
        x=x, y=y, mode="lines", line={"color": GREY, "width": 1.2}, hoverinfo="skip",
        opacity=0.75,
    )  # fmt: skip
    feet = go.Scatter(
        x=data.grid[:, 0].round(2).tolist(), y=data.grid[:, 1].round(2).tolist(), mode="markers",
        marker={"color": GREY, "size": 3}, hoverinfo="skip",
    )  # fmt: skip
    on = _inside(data.path[0]).round(2)
    always = go.Scatter(
        x=on[:, 0].tolist(), y=on[:, 1].tolist(), mode="lines",
        line={"color": BLUE, "width": 1.6, "dash": "dot", "shape": "spline"}, hoverinfo="skip",
    )  # fmt: skip
    line = go.Scatter(
        x=path[:, 0].tolist(), y=path[:, 1].tolist(), mode="lines+markers",
        line={"color": colour, "width": 2.5, "shape": "spline"}, marker={"size": 5},
        hovertemplate="w = (%{x:.2f}, %{y:.2f})<extra></extra>",
    )  # fmt: skip
    marks = go.Scatter(
        x=[1, float(path[0, 0])], y=[1, float(path[0, 1])], mode="markers",
        marker={"symbol": ["star", "circle-open"], "size": [16, 11],
                "color": [GREEN, colour], "line": {"width": 2}},
        hovertemplate="%{text}<extra></extra>", text=["the solution: v = v_π", "start"],
    )  # fmt: skip
    bars = go.Bar(
        x=["room 1", "room 2", "room 3"], y=data.d[i].round(3).tolist(), xaxis="x2", yaxis="y2",
        marker={"color": colour}, text=[f"{100 * p:.0f} %" for p in data.d[i]],
        textposition="outside", cliponaxis=False, hoverinfo="skip", width=0.6,
    )  # fmt: skip
    return [field, feet, always, line, marks, bars]


def _title(data: Ring, i: int) -> str:
    kind = "on-policy: " if not data.back[i] else ""
    words = "spirals in" if data.growth[i] < 0 else "spirals out"
    sign = "−" if data.growth[i] < 0 else "+"
    return f"{kind}{words}, growth {sign}{abs(data.growth[i]):.2f}"


CHANGING = [0, 3, 4, 5]  # of the traces: the others are alike in every frame


def draw_ring(data: Ring, shown: int = 7) -> go.Figure:
    """One frame a behaviour: the mean update in the plane of both weights, and the visits."""
    names = [f"{share:g}" for share in data.back]
    frames = [
        go.Frame(
            data=[_traces(data, i)[k] for k in CHANGING], name=name, traces=CHANGING,
            layout={"annotations": [_caption(data, i)]},
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    figure = go.Figure(data=_traces(data, shown), frames=frames)
    low, high = 1 - WINDOW, 1 + WINDOW
    figure.update_layout(
        template=go.layout.Template(),  # the default one weighs 7 kB
        meta={
            "alt": "The plane of two weights. On-policy the path spirals into the star; if the"
            " behaviour goes back in three of four steps it spirals out."
        },
        height=700,
        showlegend=False,
        margin={"l": 40, "r": 10, "t": 44, "b": 0},
        font={"size": 13, "color": GREY},
        xaxis={"range": [low, high], "domain": [0, 1], "anchor": "y", "fixedrange": True,
               "title": {"text": "w₁", "standoff": 2}, "zeroline": False},
        yaxis={"range": [low, high], "domain": [0.33, 1], "fixedrange": True,
               "title": {"text": "w₂", "standoff": 2}, "zeroline": False},
        xaxis2={"domain": [0.08, 0.92], "anchor": "y2", "fixedrange": True, "showgrid": False},
        yaxis2={"domain": [0, 0.15], "range": [0, 1], "anchor": "x2", "fixedrange": True,
                "visible": False},
        annotations=[_caption(data, shown)],
    )  # fmt: skip
    with_buttons(figure, 900, top=130)
    return with_slider(figure, shown, "goes back with probability ", top=34)


def _caption(data: Ring, i: int) -> dict[str, Any]:
    return {
        "text": f"<b>{_title(data, i)}</b>", "x": 0, "y": 1.0, "xref": "paper", "yref": "paper",
        "xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": {"size": 15},
    }  # fmt: skip
