"""The live run's reward model, maximised by the best of n: curves, and the answers of one prompt.

Shapes: P prompts, Y answers of each; curves have a point a number of samples n.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from rlcourse.alignment import optimum
from rlcourse.alignment import sloppy_teacher as task
from rlcourse.figures.alignment import comparisons as made
from rlcourse.figures.alignment.reward_model import NS, Curve, best_of_n_curve
from rlcourse.figures.frames import with_buttons, with_slider
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

SHARES = {0: RED, 1: OCHRE, 2: BLUE, 3: GREEN}  # colours by how many places are right


class Optimised(NamedTuple):
    """The best of n for each of `NS`: the curve, and policies and rewards of one prompt (Y,)."""

    curve: Curve
    prompt: Tensor
    answers: list[str]
    policies: list[Floats]
    rewards: Floats
    right: list[int]


@cache
def data_optimised(which: int = 0) -> Optimised:
    """Of the live run, with one of its prompts."""
    rewards = made.data_learned().rewards
    world = made.world(len(rewards))
    size = rewards.shape[1]
    rows = world.rows.tokens.view(len(rewards), size, -1)[which]
    own, ref = rewards[which], world.log_ref[which]
    policies = [optimum.best_of_n_policy(ref, own, n).exp().numpy() for n in NS]
    return Optimised(
        best_of_n_curve(world, rewards),
        rows[0, : made.DIGITS],
        [task.text(row) for row in rows[:, made.DIGITS + 1 : -1]],
        policies,
        (own - optimum.expected(ref, own)).numpy(),
        [round(float(q) * made.DIGITS / made.BEST) for q in world.quality[which]],
    )


def asked(data: Optimised) -> str:
    """The digits of the prompt."""
    return task.text(data.prompt)


def likeliest(data: Optimised, i: int, most: int) -> list[int]:
    """The places of the likeliest answers of the best of NS[i], the likeliest first."""
    return [int(y) for y in np.argsort(-data.policies[i], kind="stable")[:most]]


def _moving(data: Optimised, i: int, most: int) -> list[Any]:
    """The traces that a frame changes: two dots on the curves, and the bars."""
    kl, proxy, gold = (column[i] for column in data.curve)
    chosen = likeliest(data, i, most)[::-1]
    dots = go.Scatter(
        x=[kl, kl], y=[proxy, gold], mode="markers", hoverinfo="skip", showlegend=False,
        marker={"size": 12, "color": [RED, BLUE]},
    )  # fmt: skip
    bars = go.Bar(
        x=[round(float(data.policies[i][y]), 3) for y in chosen],
        y=list(range(most)), orientation="h", xaxis="x2", yaxis="y2", hoverinfo="skip",
        showlegend=False,
        marker={"color": [SHARES[data.right[y]] for y in chosen], "opacity": 0.8},
        text=[
            f"<b>{data.answers[y]}</b>  {data.right[y]} right, r = {data.rewards[y]:.1f}"
            for y in chosen
        ],
        textposition="outside", cliponaxis=False,
    )  # fmt: skip
    return [dots, bars]


def draw_optimised(data: Optimised, shown: int = 12, most: int = 6) -> go.Figure:
    """One frame a number of samples: where on the curves, and what one prompt is answered."""
    lines = [
        go.Scatter(
            x=data.curve.kl, y=values, name=words, mode="lines",
            line={"color": colour, "width": 3, "dash": dash},
            hovertemplate="KL %{x:.1f}: %{y:.2f}<extra></extra>",
        )
        for values, words, colour, dash in (
            (data.curve.proxy, "the reward model", RED, "dash"),
            (data.curve.gold, "the truth", BLUE, "solid"),
        )
    ]  # fmt: skip
    frames = [
        go.Frame(data=_moving(data, i, most), traces=[2, 3], name=str(n)) for i, n in enumerate(NS)
    ]
    figure = go.Figure(data=[*lines, *_moving(data, shown, most)], frames=frames)
    right = data.right.index(made.DIGITS)
    still = {"fixedrange": True, "zeroline": False}
    bare = {"fixedrange": True, "visible": False}
    figure.update_layout(
        meta={
            "alt": "Above, over the KL from the reference, the reward model's word rises on and"
            " on while the truth turns and falls. Below, the likeliest answers to one prompt: with"
            " few samples mostly right, with many wrong ones of great reward."
        },
        height=660,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 45, "r": 10, "t": 30, "b": 0},
        font={"size": 13, "color": GREY},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        xaxis={"title": {"text": "KL from π<sub>ref</sub>, nats", "standoff": 4}, "anchor": "y"}
        | still,
        yaxis={"title": {"text": "quality", "standoff": 4}, "domain": [0.47, 1]} | still,
        xaxis2={"range": [0, 1.9], "anchor": "y2"} | bare,
        yaxis2={"domain": [0, 0.26], "anchor": "x2"} | bare,
    )
    figure.add_annotation(
        text=f"the likeliest answers to <b>{asked(data)}</b> (right: {data.answers[right]})",
        xref="paper", yref="paper", x=0, y=0.29, xanchor="left", showarrow=False,
    )  # fmt: skip
    with_slider(figure, shown, "best of n = ", top=20)
    return with_buttons(figure, 700, top=115)


def draw_live(log2_n: int = 4, prompt: int = 0) -> Picture:
    """The likeliest answers of another prompt, with the best of 2^log2_n: for sliders."""
    data = data_optimised(prompt)
    chosen = likeliest(data, NS.index(2**log2_n), 8)
    figure, axes = panel(f"best of {2**log2_n} answers to {asked(data)}", (4.4, 2.8))
    for i, y in enumerate(chosen):
        p = float(data.policies[NS.index(2**log2_n)][y])
        axes.barh(i, p, color=SHARES[data.right[y]], alpha=0.85)
        axes.text(p + 0.01, i, f"{data.right[y]} right, r = {data.rewards[y]:.1f}", va="center")
    axes.set_yticks(range(len(chosen)), [data.answers[y] for y in chosen])
    axes.set(xlim=(0, 1.45), xlabel="probability")
    axes.invert_yaxis()
    return as_picture(figure, "The likeliest answers of one prompt under the best of n.")


# ------------------------------------------------------------------------------- why it turns


class Seen(NamedTuple):
    """Answers of held-out prompts: log π_ref, reward less its mean under π_ref, places right."""

    log_ref: Floats
    reward: Floats
    right: Floats


def data_seen(which: int = 0) -> Seen:
    """All answers of one prompt in the live run."""
    data = data_optimised(which)
    world = made.world(len(made.data_learned().rewards))
    return Seen(world.log_ref[which].numpy(), data.rewards, np.array(data.right))


def draw_seen(data: Seen) -> Picture:
    """Each answer a point: how likely it is, and what it is rewarded."""
    figure, axes = panel("every answer to one prompt", (4.4, 3.0))
    marks = {0: "x", 1: "o", 2: "s", 3: "D"}
    for right, colour in SHARES.items():
        there = np.flatnonzero(data.right == right)[:: 3 if right < 2 else 1]
        axes.plot(
            data.log_ref[there].round(1), data.reward[there].round(2), marks[right], color=colour,
            markersize=3.2 if right < 3 else 8, alpha=0.8, label=f"{right} right",
        )  # fmt: skip
    low = float(data.reward.min()) - 0.9  # room for the legend
    axes.set(xlabel="log-probability before, nats", ylabel="reward", ylim=(low, None))
    axes.legend(loc="lower left", ncols=2, handletextpad=0.1)
    return as_picture(
        figure,
        "Answers by their probability and their reward. Likely ones are rewarded by how many"
        " places are right; among those that are hardly ever drawn, wrong answers reach as high"
        " as right ones.",
    )
