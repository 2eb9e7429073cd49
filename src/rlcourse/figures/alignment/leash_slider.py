"""What a nat costs: the best policies of each price and PPO's, from the record, with a slider."""

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from rlcourse.figures.alignment.ppo_rlhf import mean_of
from rlcourse.figures.frames import with_slider
from rlcourse.plot import BLUE, GREY, RED

BEST = "best at this price"


def priced(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The recorded runs with a leash of a fixed price in the reward: no price, and on."""
    return {"0": data["ways"]["none"], "0.01": data["ways"]["reward"], **data["leashes"]}


class Priced(NamedTuple):
    """At a price: right answers and KL of the best policy, and of PPO's."""

    best_right: float
    best_away: float
    right: float
    away: float


def at_price(data: dict[str, Any], beta: str) -> Priced:
    """In means over seeds."""
    both = data["best"][beta], priced(data)[beta]
    return Priced(*(mean_of(way, field) for way in both for field in ("right", "away")))


def draw_leash(data: dict[str, Any], shown: str = "0.3") -> go.Figure:
    """What a nat costs, by a slider: the best policy and PPO's, by KL and by what they say."""
    runs, lines = priced(data), [np.mean(list(x.values()), 1) for x in data["best"].values()]
    right, _, away = np.array(sorted(lines, key=lambda x: x[2])).T
    curve = go.Scatter(
        x=away.round(3), y=right.round(3), mode="lines", line={"color": BLUE, "width": 3},
        name="the best of any", hovertemplate="%{x:.2f} nats: %{y:.2f}<extra></extra>",
    )  # fmt: skip
    frames = [go.Frame(data=_moving(data, beta), traces=[*range(1, 6)], name=beta) for beta in runs]
    figure = go.Figure(data=[curve, *_moving(data, shown)], frames=frames)
    figure.update_layout(
        template=go.layout.Template(),
        meta={
            "alt": "Above, the probability of a right answer over the KL from the reference: the"
            " best that each KL allows is a curve that rises to 1, and PPO's runs lie a little"
            " below it. Below, what is answered: the cheaper a nat, the more of it is right."
        },
        height=620, barmode="stack", margin={"l": 50, "r": 10, "t": 10, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": GREY},
        legend={"x": 0.99, "y": 0.5, "xanchor": "right", "yanchor": "bottom",
                "bgcolor": "rgba(0,0,0,0)"},
        xaxis={"domain": [0, 1], "anchor": "y", "fixedrange": True, "zeroline": False,
               "range": [-0.05, 2.2],
               "title": {"text": "KL from the reference, nats", "standoff": 4}},
        yaxis={"domain": [0.46, 1], "range": [0, 1.05], "fixedrange": True, "zeroline": False,
               "title": {"text": "right answers", "standoff": 4}},
        xaxis2={"domain": [0.12, 1], "range": [0, 1], "anchor": "y2", "visible": False,
                "fixedrange": True},
        yaxis2={"domain": [0, 0.28], "anchor": "x2", "fixedrange": True, "autorange": "reversed",
                "showgrid": False},
    )  # fmt: skip
    active = [*runs].index(shown)
    return with_slider(
        figure, active, "price of a nat: β = ", top=40, ticklen=4,
        font={"size": 1, "color": "rgba(0,0,0,0)"},
    )  # fmt: skip


def _moving(data: dict[str, Any], beta: str) -> list[Any]:
    """The traces of a frame: the best policy's dot, those of PPO, and three bars in three parts."""
    found = {BEST: data["best"][beta], "PPO": priced(data)[beta]}
    dots = [
        go.Scatter(
            x=np.mean(x["away"], keepdims=True) if name == BEST else x["away"],
            y=np.mean(x["right"], keepdims=True) if name == BEST else x["right"],
            mode="markers", name=name, hoverinfo="skip",
            marker={"size": 15 if name == BEST else 9, "color": colour, "symbol": sign,
                    "line": {"width": 2, "color": colour}},
        )
        for (name, x), colour, sign in zip(
            found.items(), (BLUE, RED), ("circle-open", "x-thin"), strict=True
        )
    ]  # fmt: skip
    rows = {"reference": data["best"]["inf"], "best policy": found[BEST], "PPO": found["PPO"]}
    shares = np.array([[np.mean(x["right"]), np.mean(x["falling"])] for x in rows.values()])
    parts = [*shares.T, 1 - shares.sum(1)]
    bars = [
        go.Bar(
            x=part.round(3), y=[*rows], orientation="h", xaxis="x2", yaxis="y2", name=name,
            marker={"color": colour}, hoverinfo="skip", showlegend=False,
            text=[f"{100 * x:.0f}% {name}" if x > 0.25 else "" for x in part],
            insidetextanchor="middle", textangle=0, textfont={"color": "white"},
        )
        for part, name, colour in zip(
            parts, ("right", "falling", "other"), (BLUE, RED, GREY), strict=True
        )
    ]  # fmt: skip
    return [*dots, *bars]
