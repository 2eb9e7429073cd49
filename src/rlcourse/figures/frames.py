"""Plotly figures of several frames: the slider that picks one, and the buttons that play them."""

from typing import Any

import plotly.graph_objects as go

STILL = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}


def with_slider(
    figure: go.Figure,
    active: int,
    prefix: str,
    *,
    top: int,
    bottom: int = 0,
    size: int = 15,
    color: str | None = None,
    **slider: Any,
) -> go.Figure:
    """The figure with a slider over its frames that begins at number `active`.

    prefix: what stands above it before a frame's name, in letters of this size and colour, else the
    page's; top and bottom: pixels around it; any other options are those of Plotly's slider.
    """
    names = [frame.name for frame in figure.frames]
    steps = [{"label": name, "method": "animate", "args": [[name], STILL]} for name in names]
    font = {"size": size, "color": color}
    own = {
        "active": active, "steps": steps, "x": 0.05, "len": 0.9, "pad": {"t": top, "b": bottom},
        "currentvalue": {"prefix": prefix, "xanchor": "center", "font": font},
    }  # fmt: skip
    return figure.update_layout(sliders=[own | slider])


def with_buttons(figure: go.Figure, milliseconds: int, *, top: int, bottom: int = 0) -> go.Figure:
    """The figure with a button that plays its frames, so many milliseconds each, and one to stop.

    top and bottom: pixels around them.
    """
    play = {"frame": {"duration": milliseconds, "redraw": True}, "fromcurrent": True}
    buttons = [
        {"label": "▶ Play", "method": "animate", "args": [None, play]},
        {"label": "❚❚ Pause", "method": "animate", "args": [[None], STILL]},
    ]
    menu = {
        "type": "buttons", "direction": "left", "x": 0.5, "xanchor": "center", "y": 0,
        "yanchor": "top", "pad": {"t": top, "b": bottom}, "showactive": False, "buttons": buttons,
    }  # fmt: skip
    return figure.update_layout(updatemenus=[menu])
