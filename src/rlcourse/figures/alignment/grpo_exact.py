"""What each rule makes of rewards, without training: sums over all that can happen.

A prompt is answered G times, and an answer is right with probability p. The number of right answers
is binomial, so every mean below is a sum.

Shapes: n points, G answers of a prompt.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from rlcourse.alignment import grpo
from rlcourse.figures.frames import with_slider
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

Rule = Callable[[Tensor, Tensor], Tensor]
RULES: dict[str, Rule] = {
    "GRPO": grpo.grpo_advantages,
    "RLOO": grpo.leave_one_out,
    "Dr. GRPO": lambda r, groups: grpo.grpo_advantages(r, groups, "none"),
}
COLOURS = {"GRPO": RED, "RLOO": BLUE, "Dr. GRPO": GREEN, "REINFORCE++": OCHRE}
RATES = np.linspace(0.01, 0.99, 99)
SIZES = (2, 4, 8, 16, 32)


# ------------------------------------------------------------------------------- pass rates


def chances(size: int) -> Floats:
    """Of 0, 1, ..., size right answers, at RATES: (n, size + 1)."""
    k, p = np.arange(size + 1), RATES[:, None]
    ways = np.array([math.comb(size, i) for i in k], dtype=np.float64)
    found: Floats = ways * p**k * (1 - p) ** (size - k)
    return found


def by_count(rule: Rule, size: int) -> tuple[Floats, Floats]:
    """Advantages of right and wrong answers in a group with k of `size` right: (size + 1,) each,
    0 where there is no such answer."""
    right = torch.arange(size) < torch.arange(size + 1)[:, None]
    groups = torch.arange(size + 1).repeat_interleave(size)
    found = rule(right.double().flatten(), groups).view(right.shape).numpy()
    return found[:, 0] * right[:, 0].numpy(), found[:, -1] * ~right[:, -1].numpy()


class Advantages(NamedTuple):
    """At pass rates RATES: mean advantages of a right and of a wrong answer by each rule, and the
    share of groups in which all earn the same."""

    right: dict[str, Floats]
    wrong: dict[str, Floats]
    silent: Floats


@cache
def data_advantages(size: int) -> Advantages:
    """Means over what the other size - 1 answers are."""
    chance = chances(size - 1)
    right, wrong = {}, {}
    for name, rule in RULES.items():
        of_right, of_wrong = by_count(rule, size)
        right[name], wrong[name] = chance @ of_right[1:], chance @ of_wrong[:-1]
    return Advantages(right, wrong, RATES**size + (1 - RATES) ** size)


def at(size: int, p: float) -> Advantages:
    """`data_advantages` at the one pass rate."""
    place = int(np.abs(RATES - p).argmin())
    right, wrong, silent = data_advantages(size)
    return Advantages(
        {name: y[place] for name, y in right.items()},
        {name: y[place] for name, y in wrong.items()},
        silent[place],
    )


def weights(rule: Rule, size: int) -> Floats:
    """w(p) at RATES: the mean gradient for a prompt is w(p) ∇p."""
    counts, p = np.arange(size + 1), RATES[:, None]
    right, wrong = by_count(rule, size)
    share = counts / size
    each = share * right / p - (1 - share) * wrong / (1 - p)
    found: Floats = (chances(size) * each).sum(1)
    return found


@cache
def data_weights(size: int) -> dict[str, Floats]:
    """w(p) of each rule; REINFORCE++'s for a batch whose prompts have all pass rates alike."""
    found = {name: weights(rule, size) for name, rule in RULES.items()}
    kept = (size - 1) / size
    return found | {"REINFORCE++": np.full(len(RATES), kept / np.sqrt(kept / 6))}


def draw_advantages(shown: int = 8) -> go.Figure:
    """Mean advantages over the pass rate, and the share of silent groups; one frame a size."""
    frames = [
        go.Frame(data=[{"y": y} for y in _heights(data_advantages(size))], name=str(size))
        for size in SIZES
    ]
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.08)
    traces = _traces(data_advantages(shown))
    figure.add_traces(traces, rows=[1] * 6 + [2], cols=[1] * 7)
    figure.update(frames=frames)
    still = {"fixedrange": True, "gridcolor": "rgba(125,133,144,0.3)", "zeroline": False}
    figure.update_layout(
        meta={"alt": "Mean advantages of right and wrong answers over the pass rate of a prompt."},
        height=520,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 44, "r": 8, "t": 30, "b": 40},
        font={"size": 12, "color": GREY},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    figure.update_xaxes({"range": [0, 1]} | still)
    figure.update_xaxes(title={"text": "pass rate p"}, row=2)
    figure.update_yaxes({"title": {"text": "mean advantage"}, "range": [-5, 5]} | still, row=1)
    figure.update_yaxes({"title": {"text": "silent groups"}, "range": [0, 1.02]} | still, row=2)
    return with_slider(figure, SIZES.index(shown), "answers to a prompt, G = ", top=46, bottom=8)


def _traces(data: Advantages) -> list[go.Scatter]:
    """Right (full lines) and wrong (dashed) by each rule, and the silent groups."""
    looks = [(name, {"dash": dash}) for dash in ("solid", "dash") for name in RULES]
    *heights, silent = _heights(data)
    x = RATES.astype(np.float32)
    lines = [
        go.Scatter(
            x=x, y=y, mode="lines", legendgroup=name, name=name,
            line=look | {"color": COLOURS[name]},
            showlegend=look["dash"] == "solid", hovertemplate="p = %{x:.2f}: %{y:.2f}",
        )
        for (name, look), y in zip(looks, heights, strict=True)
    ]  # fmt: skip
    area = go.Scatter(
        x=x, y=silent, mode="lines", fill="tozeroy", showlegend=False, line={"color": GREY},
        name="silent", hovertemplate="p = %{x:.2f}: %{y:.2f}",
    )  # fmt: skip
    return [*lines, area]


def _heights(data: Advantages) -> list[Floats]:
    """What the traces show, in single precision."""
    lines = [side[name] for side in (data.right, data.wrong) for name in RULES]
    return [y.astype(np.float32) for y in (*lines, data.silent)]


def draw_weights(data: dict[str, Floats], size: int) -> Picture:
    """How strongly a prompt of each pass rate pulls."""
    figure, axes = panel(f"weight of a prompt, G = {size}", (4.4, 2.9))
    for (name, y), look in zip(data.items(), ("-", "-", "--", "-."), strict=True):
        axes.plot(RATES, y, color=COLOURS[name], linestyle=look, label=name)
    axes.plot(RATES, 1 / np.sqrt(RATES * (1 - RATES)), ":", color=GREY, label="1/√(p(1−p))")
    axes.set(xlabel="pass rate p", ylabel="w(p)", ylim=(0, 5))
    axes.legend(ncols=2, loc="upper center")
    return as_picture(
        figure,
        f"The weight of a prompt over its pass rate, G = {size}. RLOO's is 1 everywhere, Dr. GRPO's"
        " less and REINFORCE++'s flat too; GRPO's is a U, lowest in the middle, and the nearer to"
        " the dotted line the more answers there are.",
    )


def draw_live(answers: int = 32) -> Picture:
    """The same for other groups, for a slider."""
    return draw_weights(data_weights(answers), answers)


# ------------------------------------------------------------------------------- bias

PROBABILITIES = torch.tensor([[0.1, 0.3, 0.6], [0.7, 0.2, 0.1]], dtype=torch.float64)
REWARDS = torch.tensor([[1.0, 0.2, 0.0], [1.0, 0.5, 0.0]], dtype=torch.float64)


class MeanGradient(NamedTuple):
    """Of an estimate's mean: how much of the true gradient it holds, and its cosine with it; and
    its standard deviation, as a multiple of the mean's length."""

    share: float
    cosine: float
    noise: float


@cache
def data_bias(size: int = 4) -> dict[str, MeanGradient]:
    """Two prompts with three answers each, answered `size` times: all batches, enumerated."""
    own = torch.eye(3, dtype=torch.float64) - PROBABILITIES[:, None]  # ∇ log π of each answer
    truth = ((PROBABILITIES * REWARDS)[..., None] * own).sum(1).flatten() / 2
    groups = torch.arange(2).repeat_interleave(size)
    rules: dict[str, Rule] = {
        "no baseline": lambda r, groups: r,
        "REINFORCE": lambda r, groups: grpo.batch_baseline(r),
        **RULES,
        "REINFORCE++": lambda r, groups: grpo.grpo_advantages(r, groups, "batch"),
    }
    estimates: dict[str, list[Tensor]] = {name: [] for name in rules}
    chance = []
    for both in itertools.product(combinations_with_replacement(range(3), size), repeat=2):
        y = torch.tensor(both).flatten()
        chance.append(PROBABILITIES[groups, y].prod() * orders(both[0]) * orders(both[1]))
        for name, rule in rules.items():
            pulls = rule(REWARDS[groups, y], groups)[:, None] * own[groups, y]
            estimates[name].append(torch.zeros(2, 3).double().index_add(0, groups, pulls).flatten())
    return {
        name: moments(torch.stack(chance), torch.stack(each) / len(groups), truth)
        for name, each in estimates.items()
    }


def orders(answers: Sequence[int]) -> int:
    """In how many orders these can come."""
    return math.factorial(len(answers)) // math.prod(map(math.factorial, Counter(answers).values()))


def moments(chance: Tensor, estimates: Tensor, truth: Tensor) -> MeanGradient:
    """Of estimates (E, P) with chances (E,), against the true gradient (P,)."""
    mean = chance @ estimates
    spread = (chance @ (estimates - mean).square().sum(1)).sqrt()
    share, cosine = mean @ truth / (truth @ truth), mean @ truth / mean.norm() / truth.norm()
    return MeanGradient(float(share), float(cosine), float(spread / mean.norm()))


def table_of_gradients(data: dict[str, MeanGradient]) -> str:
    """A line a rule."""
    lines = [f"{'':12} {'share':>7} {'cosine':>7} {'noise':>7}"]
    lines += [
        f"{name:12} {x.share:7.3f} {x.cosine:7.4f} {x.noise:7.2f}" for name, x in data.items()
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------------------- the hunt

HUNTED = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])


def data_hunt(numbered: Callable[[int, int], Tensor]) -> str:
    """Rewards of four prompts with four answers each, in the loop's order, and what a rule that
    numbers the groups makes of them."""
    groups = numbered(*HUNTED.shape)
    found = grpo.grpo_advantages(HUNTED.flatten(), groups).view(HUNTED.shape)
    lines = ["prompt  rewards  advantages"]
    for i, (rewards, advantages) in enumerate(zip(HUNTED.tolist(), found.tolist(), strict=True)):
        shown = "".join(f"{a + 0.0:6.2f}" for a in advantages)
        lines.append(f"{i + 1:6}  {''.join(f'{r:.0f}' for r in rewards):7}{shown}")
    return "\n".join(lines)
