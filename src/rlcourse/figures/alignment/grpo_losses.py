"""What a token weighs in a loss: by the way losses are summed, and by its ratio.

Shapes: n points, R tokens of an answer.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import aggregation, grpo
from rlcourse.alignment.ppo_rlhf import policy_loss
from rlcourse.plot import BLUE, GREEN, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

# ------------------------------------------------------------------------------- aggregation

SHORT, LONG = 4, 12


class Aggregated(NamedTuple):
    """By way, for a short and a long answer (2,): the weight of a token, and of the answer."""

    token: dict[str, Floats]
    answer: dict[str, Floats]


def data_aggregation() -> Aggregated:
    """A batch of an answer of SHORT tokens and one of LONG, the longest that is allowed."""
    mask = torch.arange(LONG) < torch.tensor([[SHORT], [LONG]])
    found = {
        way: aggregation.token_weights(mask, way, LONG if way == "constant" else None)
        for way in aggregation.WAYS
    }
    return Aggregated(
        {way: w[:, 0].numpy() for way, w in found.items()},
        {way: w.sum(1).numpy() for way, w in found.items()},
    )


def draw_aggregation(data: Aggregated) -> Picture:
    """Bars: what a token weighs, and what an answer weighs."""
    figures, x = [], np.arange(len(data.token))
    for title, columns in (("a token's weight", data.token), ("its answer's weight", data.answer)):
        figure, axes = panel(title, (3.4, 2.5))
        for i, (name, colour, hatch) in enumerate(
            ((f"answer of {SHORT} tokens", BLUE, ""), (f"answer of {LONG}", OCHRE, "///"))
        ):
            y = [w[i] for w in columns.values()]
            axes.bar(x + 0.4 * i - 0.2, y, 0.36, color=colour, hatch=hatch, label=name)
        axes.set_xticks(x, ["token\nmean", "sequence\nmean", "constant"])
        if columns is data.token:
            axes.set_ylim(0, 0.18)
            axes.legend()
        figures.append(figure)
    return as_picture(
        figures,
        f"Weights of a token and of a whole answer, of {SHORT} and of {LONG} tokens. By the token"
        " mean and the constant both tokens weigh the same and the long answer three times as much;"
        " by the sequence mean both answers weigh the same, and a token of the long one a third.",
    )


class Parts(NamedTuple):
    """A loss by token mean: of the whole batch, of its parts added up, and the mean of means."""

    whole: float
    added: float
    mean_of_means: float


def data_parts(seed: int = 0) -> Parts:
    """Losses of the short and the long answer, one part each."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.arange(LONG) < torch.tensor([[SHORT], [LONG]])
    losses = torch.randn(2, LONG, generator=draw, dtype=torch.float64) + torch.tensor([[3.0], [1]])
    shares = aggregation.token_weights(mask, "token mean") * losses
    means = [float(own[m].mean()) for own, m in zip(losses, mask, strict=True)]
    return Parts(
        float(losses[mask].mean()), float(shares[0].sum() + shares[1].sum()), sum(means) / 2
    )


# ------------------------------------------------------------------------------- ratios

LOG_RATIOS = np.linspace(-1.0, 1.6, 131)
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "PPO, 0.2": lambda new, old, a: policy_loss(new, old, a, 0.2),
    "clip-higher, 0.28": lambda new, old, a: policy_loss(new, old, a, 0.2, 0.28),
    "dual clip, 3": lambda new, old, a: policy_loss(new, old, a, 0.2, dual=3.0),
    "CISPO, 0.28": lambda new, old, a: grpo.cispo_loss(new, old, a, 1.0, 0.28),
}
LOOKS = dict(zip(LOSSES, ((BLUE, "-"), (OCHRE, "--"), (PURPLE, ":"), (RED, "-.")), strict=True))
ANSWER = (-0.3, 0.1, 0.6, 0.0, -0.1)


def pull(loss: Callable[[Tensor], Tensor], log_ratio: Tensor) -> Floats:
    """-∂loss/∂log π, element by element; a log-ratio stands for log π, the old one being 0."""
    new = log_ratio.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(loss(new).sum(), new)
    found: Floats = -slope.numpy()
    return found


class Pulls(NamedTuple):
    """Pulls at LOG_RATIOS where Â = 1 and where Â = -1, and on the tokens of one answer with Â = 1
    (5,), by loss."""

    up: dict[str, Floats]
    down: dict[str, Floats]
    answer: dict[str, Floats]


def data_pulls() -> Pulls:
    """By autograd."""
    x, own = torch.tensor(LOG_RATIOS), torch.tensor(ANSWER, dtype=torch.float64)
    sides = [
        {
            name: pull(lambda new, f=f, a=a: f(new, torch.zeros_like(x), a), x)  # type: ignore[misc]
            for name, f in LOSSES.items()
        }
        for a in (torch.ones_like(x), -torch.ones_like(x))
    ]
    old, one = torch.zeros_like(own), torch.ones_like(own)
    mask = torch.ones(1, len(own), dtype=torch.bool)

    def gspo(new: Tensor) -> Tensor:
        whole = grpo.sequence_log_ratio(new[None], old[None], mask)[0]
        return policy_loss(whole, old, one, 0.2)

    answer = {
        "PPO": pull(lambda new: policy_loss(new, old, one, 0.2), own),
        "CISPO": pull(lambda new: grpo.cispo_loss(new, old, one, 1.0, 0.28), own),
        "GSPO": pull(gspo, own),
    }
    return Pulls(sides[0], sides[1], answer)


def draw_pulls(data: Pulls) -> Picture:
    """The weight of ∇log π over the log-ratio for both signs, and token by token in an answer."""
    figures = []
    for title, side in (("Â = 1: the answer was good", data.up), ("Â = −1: it was bad", data.down)):
        figure, axes = panel(title, (3.4, 2.6))
        for name, y in side.items():
            colour, look = LOOKS[name]
            axes.plot(LOG_RATIOS, y, color=colour, linestyle=look, label=name)
        axes.set(xlabel="log ρ", ylabel="weight of ∇log π", ylim=(-3.4, 3.4))
        if side is data.up:
            axes.legend(loc="lower left", fontsize=7.5)
        figures.append(figure)
    figure, axes = panel("tokens of one good answer", (3.4, 2.6))
    x = np.arange(len(ANSWER))
    for i, (name, y) in enumerate(data.answer.items()):
        colour, hatch = ((BLUE, ""), (RED, "///"), (GREEN, "\\\\\\"))[i]
        axes.bar(x + 0.28 * (i - 1), y, 0.26, color=colour, hatch=hatch, label=name)
    axes.set_xticks(x, [f"{a:g}".replace("-", "−") for a in ANSWER])
    axes.set(xlabel="the token's log ρ", ylabel="weight of ∇log π", ylim=(0, 2))
    axes.legend(ncols=3, loc="upper left", fontsize=7.5)
    figures.append(figure)
    return as_picture(
        figures,
        "Weights over the log-ratio. For good answers PPO's grows as the ratio and is 0 beyond 1.2,"
        " with clip-higher beyond 1.28; CISPO's stays at 1.28. For bad ones PPO's is 0 below 0.8"
        " and grows without bound above, which the dual clip ends at 3; CISPO's is bounded too. In"
        " an answer PPO silences the one token that has moved far, CISPO keeps it, and GSPO weighs"
        " all tokens alike.",
    )
