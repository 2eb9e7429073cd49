"""Estimates of the KL as a leash, exactly: what they say, and where their gradients lead.

Six answers of one prompt, those of `dpo_exact`; every mean is a sum over them.

Shapes: Y answers, n steps.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import kl_gradients
from rlcourse.alignment.optimum import divergence, expected, tilted
from rlcourse.alignment.ppo_rlhf import KINDS, kl_penalty
from rlcourse.figures.alignment.dpo_exact import REFERENCE, REWARDS
from rlcourse.plot import BLUE, GREY, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats


class Estimates(NamedTuple):
    """Of π and π_ref on six answers: the exact KL; means and deviations of each estimate; and the
    gradients (Y,) by the logits, of the KLs and the mean ones of the estimates."""

    kl: float
    mean: dict[str, float]
    std: dict[str, float]
    backward: Floats
    forward: Floats
    reward: Floats
    gradients: dict[str, Floats]


@cache
def data_estimates(beta: float = 1.0) -> Estimates:
    """π is the reference tilted by the rewards at this price."""
    log_ref = REFERENCE.log()
    log_pi = tilted(log_ref, REWARDS, beta)
    found = {kind: kl_penalty(log_pi, log_ref, kind) for kind in ("k1", "k2", "k3")}
    mean = {kind: float(expected(log_pi, k)) for kind, k in found.items()}
    std = {kind: float(expected(log_pi, (k - mean[kind]) ** 2)) ** 0.5 for kind, k in found.items()}
    return Estimates(
        float(divergence(log_pi, log_ref)), mean, std,
        kl_gradients.kl_gradient(log_pi, log_ref).numpy(),
        kl_gradients.kl_gradient(log_pi, log_ref, forward=True).numpy(),
        kl_gradients.reward_gradient(log_pi, log_ref).numpy(),
        {kind: kl_gradients.mean_gradient(log_pi, log_ref, kind).numpy() for kind in KINDS},
    )  # fmt: skip


def table_of_estimates(data: Estimates) -> str:
    """Values and mean gradients of each estimate, and what they are to be."""
    lines = [f"KL(π ‖ π_ref) = {data.kl:.4f}", "", "    mean  std   mean gradient"]
    for kind, g in data.gradients.items():
        mean, std = data.mean[kind.rstrip("+")], data.std[kind.rstrip("+")]
        lines.append(f"{kind:3} {mean:.3f} {std:.3f} {_row(g)}")
    lines += ["", "k1 as reward    " + _row(data.reward)]
    lines += ["∇KL(π ‖ π_ref)  " + _row(data.backward)]
    lines += ["∇KL(π_ref ‖ π)  " + _row(data.forward)]
    return "\n".join(lines)


def _row(x: Floats, shown: int = 3) -> str:
    """Its first numbers."""
    return " ".join(f"{y:6.3f}" for y in x[:shown].round(3) + 0.0)


class Leashed(NamedTuple):
    """Where a bargain ends by each estimate: log π (Y,), and KL to the best policy (n,)."""

    log_pi: dict[str, Floats]
    distance: dict[str, Floats]
    goal: Floats
    beta: float


@cache
def data_leashed(beta: float = 0.5, steps: int = 2000, rate: float = 0.5) -> Leashed:
    """Exact gradients of E r, less β times the mean gradient of an estimate, from π_ref on."""
    log_ref, goal = REFERENCE.log(), tilted(REFERENCE.log(), REWARDS, beta)
    ends, distances = {}, {}
    for kind in ("reward", "k1", "k2", "k3"):
        z, distance = log_ref.clone(), []
        for _ in range(steps):
            log_pi = torch.log_softmax(z, -1)
            distance.append(float(divergence(log_pi, goal)))
            up = log_pi.exp() * (REWARDS - expected(log_pi, REWARDS))  # ∇ E r
            z = z + rate * (up - beta * _leash(z, log_ref, kind))
        ends[kind], distances[kind] = log_pi.numpy(), np.array(distance)
    return Leashed(ends, distances, goal.numpy(), beta)


def share_of_best(data: Leashed, kind: str) -> float:
    """The probability of the best answer in the end."""
    return float(np.exp(data.log_pi[kind][int(REWARDS.argmax())]))


def _leash(z: Tensor, log_ref: Tensor, kind: str) -> Tensor:
    """The mean gradient of an estimate in the loss, or of k1 in the reward."""
    if kind == "reward":
        return kl_gradients.reward_gradient(z, log_ref)
    return kl_gradients.mean_gradient(z, log_ref, kind)


def draw_leashed(data: Leashed) -> Picture:
    """Where each bargain ends, and how far from the best policy it is on the way."""
    left, axes = panel(f"six answers, β = {data.beta:g}", (3.6, 2.7))
    y = np.arange(len(data.goal))
    axes.bar(y, np.exp(data.goal), 0.7, color=GREY, alpha=0.5, label="best policy")
    looks = {"k1": (RED, "x"), "k2": (BLUE, "o"), "k3": (OCHRE, "^")}
    for kind, (colour, sign) in looks.items():
        axes.plot(y, np.exp(data.log_pi[kind]), sign, color=colour, ms=6, label=f"{kind} in loss")
    axes.set_xticks(y, [f"r = {r:g}".replace("-", "−") for r in REWARDS.tolist()])
    axes.tick_params(axis="x", labelsize=7)
    axes.set(ylabel="probability")
    axes.legend(fontsize=7.5)
    right, axes = panel("KL to the best policy", (3.6, 2.7))
    for kind, colour, look in (
        ("k1", RED, "--"), ("k3", OCHRE, "-."), ("k2", BLUE, "-"), ("reward", PURPLE, ":"),
    ):  # fmt: skip
        label = "k1 in reward" if kind == "reward" else f"{kind} in loss"
        distance = data.distance[kind]
        axes.plot(np.arange(1, len(distance) + 1), distance, look, color=colour, label=label)
    axes.set(xscale="log", yscale="log", ylim=(1e-6, 10), xlabel="step", ylabel="nats")
    axes.legend(fontsize=7.5)
    words = ", ".join(f"{kind} {x[-1]:.1g}" for kind, x in data.distance.items())
    return as_picture(
        [left, right],
        "Left: the probabilities of six answers in the end. k2 finds those of the best policy, k1"
        f" puts all on the best answer, k3 ends elsewhere. Right: KL to it at the end: {words}.",
    )
