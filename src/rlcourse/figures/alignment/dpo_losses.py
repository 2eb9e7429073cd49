"""DPO's family drawn: losses over what they are functions of, and where each leads a margin.

Shapes: n points.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import dpo
from rlcourse.plot import BLUE, GREEN, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

FAMILY: dict[str, tuple[str, Callable[[Tensor, float], Tensor]]] = {
    "DPO": (BLUE, dpo.dpo_loss),
    "cDPO": (OCHRE, lambda h, beta: dpo.dpo_loss(h, beta, 0.1)),
    "robust": (GREEN, lambda h, beta: dpo.robust_loss(h, beta, 0.1)),
    "IPO": (PURPLE, dpo.ipo_loss),
    "hinge": (RED, dpo.hinge_loss),
}
DASHES = {"DPO": "-", "cDPO": "--", "robust": "-.", "IPO": ":", "hinge": (0, (6, 1.5))}


class Family(NamedTuple):
    """Losses and their slopes over h (n,), of each kind, at β = 1."""

    h: Floats
    losses: dict[str, Floats]
    slopes: dict[str, Floats]


def data_family() -> Family:
    """All losses of h, with their slopes by autograd."""
    h = torch.linspace(-4, 6, 201, dtype=torch.float64, requires_grad=True)
    losses, slopes = {}, {}
    for name, (_, loss) in FAMILY.items():
        value = loss(h, 1.0)
        (slope,) = torch.autograd.grad(value.sum(), h)
        losses[name], slopes[name] = value.detach().numpy(), slope.numpy()
    return Family(h.detach().numpy(), losses, slopes)


def draw_losses(data: Family) -> Picture:
    """Losses and slopes over the margin."""
    figures = []
    for title, what, low, high in (
        ("loss", data.losses, -1.5, 6.0),
        ("slope", data.slopes, -2.2, 2.2),
    ):
        figure, axes = panel(title)
        for name, y in what.items():
            axes.plot(data.h, y, color=FAMILY[name][0], linestyle=DASHES[name], label=name)
        axes.set(ylim=(low, high), xlabel="margin h (β = 1)")
        axes.axvline(0, color="#000000", linewidth=0.6)
        figures.append(figure)
    figures[0].axes[0].legend()
    return as_picture(
        figures,
        "Five losses over the margin h and their slopes. DPO's slope is negative everywhere and"
        " fades; robust's never fades below a constant; cDPO, IPO and hinge have a goal beyond"
        " which the slope is zero or positive.",
    )


class Certain(NamedTuple):
    """The margin h over the steps (n,), of each kind, where every label says the same."""

    h: dict[str, Floats]
    goals: dict[str, float]
    beta: float


@cache
def data_certain(beta: float = 0.5, steps: int = 1000, rate: float = 0.1) -> Certain:
    """Two answers, one always chosen: gradient descent on their two logits from equality.

    One logit rises by what the other falls, so that h moves twice as far as either.
    """
    h, found = torch.zeros(len(FAMILY), dtype=torch.float64), []
    for _ in range(steps):
        found.append(h.numpy())
        h = h.detach().requires_grad_(True)
        losses = [loss(x, beta) for x, (_, loss) in zip(h, FAMILY.values(), strict=True)]
        (slope,) = torch.autograd.grad(torch.stack(losses).sum(), h)
        h = (h - 2 * rate * slope).detach()
    goals = {"cDPO": float(np.log(9)) / beta, "IPO": 1 / (2 * beta), "hinge": 1 / beta}
    return Certain(dict(zip(FAMILY, np.array(found).T, strict=True)), goals, beta)


def draw_certain(data: Certain) -> Picture:
    """The margin over the steps, on a logarithmic axis of steps."""
    figure, axes = panel(f"one pair, always the same label, β = {data.beta:g}", (4.0, 2.8))
    for name, h in data.h.items():
        axes.plot(
            np.arange(1, len(h) + 1), h, color=FAMILY[name][0], linestyle=DASHES[name], label=name
        )
    axes.set(xscale="log", xlabel="step", ylabel="margin h", ylim=(0, 16))
    axes.legend()
    goals = ", ".join(f"{name} at {goal:.1f}" for name, goal in data.goals.items())
    return as_picture(
        figure,
        f"The margin over the steps. It comes to rest for {goals}; for DPO it goes on growing like"
        " a logarithm, for the robust loss like a straight line.",
    )


class Single(NamedTuple):
    """KTO, SimPO and ORPO over what each is a function of (n,)."""

    x: Floats
    curves: dict[str, Floats]


def data_single() -> Single:
    """KTO of a log-ratio at β = 1, z = 0; SimPO (β = 2, γ = 0.5) and ORPO (λ = 1) of p̄_w - p̄_l.

    SimPO and ORPO have a rejected answer of p̄_l = -4.
    """
    x = torch.linspace(-4, 3.9, 159, dtype=torch.float64)
    good, zero = torch.ones(len(x), dtype=torch.bool), torch.zeros(1, dtype=torch.float64)
    rejected = torch.full_like(x, -4.0)
    return Single(
        x.numpy(),
        {
            "KTO, good": dpo.kto_loss(x, good, zero, 1.0).numpy(),
            "KTO, bad": dpo.kto_loss(x, ~good, zero, 1.0).numpy(),
            "SimPO": dpo.simpo_loss(rejected + x, rejected, 2.0, 0.5).numpy(),
            "ORPO": dpo.orpo_loss(rejected + x, rejected, 1.0).numpy(),
        },
    )


def draw_single(data: Single) -> Picture:
    """Those losses, in two panels."""
    figures = []
    for title, names, label in (
        ("KTO: one answer", ("KTO, good", "KTO, bad"), "log π/π_ref − z (β = 1)"),
        ("SimPO, ORPO: no reference", ("SimPO", "ORPO"), "log-probability a token, w − l"),
    ):
        figure, axes = panel(title, (3.5, 2.6))
        for name, colour, look in zip(names, (GREEN, RED), ("-", "--"), strict=True):
            axes.plot(data.x, data.curves[name], color=colour, linestyle=look, label=name)
        axes.set(xlabel=label, ylabel="loss")
        axes.legend()
        figures.append(figure)
    return as_picture(
        figures,
        "Left: KTO's loss of a good answer falls from 1 to 0 along a sigmoid of the log-ratio, that"
        " of a bad one rises. Right: SimPO's and ORPO's losses fall over the difference of the mean"
        " log-probabilities of chosen and rejected.",
    )
