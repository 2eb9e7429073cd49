"""DPO without sampling: six answers of one prompt, all pairs, expected losses.

The policy is a row of logits, the labels are Bradley and Terry's, and a loss is the expected value
over all pairs and both labels. So the minimum is a policy that can be written down.

Shapes: Y answers, n points.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import dpo
from rlcourse.alignment.optimum import divergence, expected, tilted
from rlcourse.alignment.reward_model import preference_probability
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

Margins = Callable[[Tensor, Tensor], Tensor]  # log π, log π_ref (Y,) -> h (Y, Y), row over column
Loss = Callable[[Tensor], Tensor]

REFERENCE = torch.tensor([0.36, 0.26, 0.18, 0.11, 0.06, 0.03], dtype=torch.float64)
REWARDS = torch.tensor([0.0, -1.0, 1.5, 0.5, 2.0, -0.5], dtype=torch.float64)
LENGTHS = torch.tensor([2, 4, 3, 6, 5, 9])  # tokens of each answer, for the hunt alone
NOISE = 0.2


def margins(log_pi: Tensor, log_ref: Tensor) -> Tensor:
    """h of every pair (Y, Y): the row's answer is the chosen one."""
    return dpo.preference_margin(log_pi[:, None], log_pi, log_ref[:, None], log_ref)


def labels(r: Tensor, noise: float = 0.0) -> Tensor:
    """(Y, Y): how often the row's answer is called better, a share `noise` of labels turned."""
    p = preference_probability(r[:, None], r)
    return (1 - noise) * p + noise * (1 - p)


def mean_loss(loss: Loss, h: Tensor, p: Tensor) -> Tensor:
    """The loss's expected value over all pairs of different answers, labels (Y, Y) with p."""
    different = ~torch.eye(len(h), dtype=torch.bool)
    return (p * loss(h))[different].sum() / (different.sum() / 2)


class Fit(NamedTuple):
    """log π at the end (Y,), and over the steps (n,) the loss and max |log π - log tilted|."""

    log_pi: Floats
    losses: Floats
    distance: Floats


def fitted(
    loss: Loss,
    beta: float,
    noise: float = 0.0,
    steps: int = 60,
    margins: Margins = margins,
) -> Fit:
    """Gradient descent on the logits, from the reference on; the step is 8/β²."""
    log_ref, goal = REFERENCE.log(), tilted(REFERENCE.log(), REWARDS, beta)
    p, logits = labels(REWARDS, noise), REFERENCE.log().requires_grad_(True)
    losses, distance = [], []
    for _ in range(steps + 1):
        log_pi = torch.log_softmax(logits, -1)
        value = mean_loss(loss, margins(log_pi, log_ref), p)
        (slope,) = torch.autograd.grad(value, logits)
        losses.append(float(value.detach()))
        distance.append(float((log_pi.detach() - goal).abs().max()))
        logits = (logits - 8 / beta**2 * slope).detach().requires_grad_(True)
    return Fit(log_pi.detach().numpy(), np.array(losses), np.array(distance))


# ------------------------------------------------------------------------------- the derivation


class Exact(NamedTuple):
    """The fit, the policy that was predicted (Y,), mean rewards before and after, KL, and β."""

    fit: Fit
    goal: Floats
    start: float
    reward: float
    kl: float
    beta: float


@cache
def data_exact(beta: float = 0.5, steps: int = 60) -> Exact:
    """The expected DPO loss over the labels of all pairs, descended."""
    fit = fitted(lambda h: dpo.dpo_loss(h, beta), beta, steps=steps)
    log_ref = REFERENCE.log()
    goal = tilted(log_ref, REWARDS, beta)
    log_pi = torch.tensor(fit.log_pi)
    start, reward = (float(expected(x, REWARDS)) for x in (log_ref, log_pi))
    return Exact(fit, goal.numpy(), start, reward, float(divergence(log_pi, log_ref)), beta)


def draw_exact(data: Exact) -> Picture:
    """The six probabilities against those predicted, and the distance over the steps."""
    figures, y = [], np.arange(len(REWARDS))
    figure, axes = panel(f"six answers, β = {data.beta:g}")
    axes.bar(y - 0.2, REFERENCE.numpy(), 0.38, color=GREY, label="reference")
    axes.bar(y + 0.2, np.exp(data.fit.log_pi), 0.38, color=BLUE, label="found by DPO")
    axes.plot(y + 0.2, np.exp(data.goal), "o", color=RED, ms=5, label="tilted by the reward")
    axes.set_xticks(y, [f"r = {r:g}".replace("-", "−") for r in REWARDS.tolist()])
    axes.tick_params(axis="x", labelsize=7)
    top = max(np.exp(data.fit.log_pi).max(), float(REFERENCE.max()))
    axes.set(ylabel="probability", ylim=(0, 1.5 * top))
    axes.legend()
    figures.append(figure)
    figure, axes = panel("distance to the tilted policy")
    axes.plot(data.fit.distance, color=BLUE)
    axes.set(yscale="log", xlabel="step", ylabel="max |Δ log π|")
    figures.append(figure)
    return as_picture(
        figures,
        "Left: bars of the reference's six probabilities and of those that DPO found; dots are the"
        " tilted policy. Right: over the steps the largest difference of their log-probabilities,"
        f" on a log scale, a straight line down to {data.fit.distance[-1]:.0e}.",
    )


def draw_live(beta: float = 0.5, steps: int = 10) -> Picture:
    """The same for another β, for sliders."""
    return draw_exact(data_exact(beta, steps))


def gradients(beta: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """∇ of the DPO loss of one pair by autograd, and -β σ(-βh) ∇h: (Y,) each."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, generator=draw, dtype=torch.float64, requires_grad=True)
    h = margins(torch.log_softmax(logits, -1), REFERENCE.log())[2, 0]
    (slope,) = torch.autograd.grad(h, logits, retain_graph=True)
    (whole,) = torch.autograd.grad(dpo.dpo_loss(h, beta), logits)
    return whole, -dpo.gradient_weight(h.detach(), beta) * slope


# ------------------------------------------------------------------------------- wrong labels


NOISY = {
    "DPO, true labels": (BLUE, "o"),
    "DPO": (RED, "s"),
    "cDPO": (OCHRE, "^"),
    "robust": (GREEN, "x"),
}


@cache
def data_noise(noise: float = NOISE, beta: float = 0.5) -> dict[str, Floats]:
    """The rewards that each fitted policy is best for (Y,), their mean that of the true ones."""
    ways: dict[str, tuple[Loss, float]] = {
        "DPO, true labels": (lambda h: dpo.dpo_loss(h, beta), 0.0),
        "DPO": (lambda h: dpo.dpo_loss(h, beta), noise),
        "cDPO": (lambda h: dpo.dpo_loss(h, beta, noise), noise),
        "robust": (lambda h: dpo.robust_loss(h, beta, noise), noise),
    }
    out = {}
    for name, (loss, wrong) in ways.items():
        log_pi = torch.tensor(fitted(loss, beta, wrong).log_pi)
        r = dpo.implicit_reward(log_pi, REFERENCE.log(), beta)
        out[name] = (r - r.mean() + REWARDS.mean()).numpy()
    return out


def draw_noise(data: dict[str, Floats]) -> Picture:
    """The implicit rewards over the true ones."""
    figure, axes = panel("which reward is the policy best for?", (3.9, 3.2))
    true = REWARDS.numpy()
    axes.plot(true, true, color=GREY, linewidth=1, linestyle=":")
    order = true.argsort()
    for name, r in data.items():
        colour, mark = NOISY[name]
        axes.plot(
            true[order], r[order], mark, color=colour, label=name, ms=8 if mark == "o" else 6,
            mfc="none" if mark == "o" else colour, linestyle="-", linewidth=0.8,
        )  # fmt: skip
    axes.set(xlabel="true reward", ylabel="implicit reward")
    axes.legend()
    words = ", ".join(f"{name} {r.max() - r.min():.2f}" for name, r in data.items())
    return as_picture(
        figure,
        "Implicit rewards over true ones. True labels and the robust loss lie on the diagonal, DPO"
        f" with wrong labels is flatter and cDPO flatter still. From lowest to highest: {words};"
        f" true {true.max() - true.min():.2f}.",
    )


# ------------------------------------------------------------------------------- the hunt


class Hunt(NamedTuple):
    """What a rule for the reference leads to: the fit, and the share of pairs ordered by reward."""

    start: float
    end: float
    ordered: float
    distance: float

    def __repr__(self) -> str:
        return (
            f"loss at the start   {self.start:.3f}\nloss at the end     {self.end:.3f}\n"
            f"pairs in order      {100 * self.ordered:.0f} %\n"
            f"off the tilted π    {self.distance:.6f}"
        )


def data_hunt(reference_log_prob: Callable[[Tensor, Tensor], Tensor], beta: float = 0.5) -> Hunt:
    """The exact experiment with a rule for log π_ref.

    The rule takes log-probabilities of tokens (Y, T) and their mask (Y, T), and gives (Y,).
    """
    mask = torch.arange(int(LENGTHS.max())) < LENGTHS[:, None]
    each = torch.where(mask, (REFERENCE.log() / LENGTHS)[:, None], torch.nan)
    ref = reference_log_prob(each, mask)
    fit = fitted(
        lambda h: dpo.dpo_loss(h, beta), beta,
        margins=lambda log_pi, _: margins(log_pi, ref),
    )  # fmt: skip
    h = margins(torch.tensor(fit.log_pi), ref)
    better = REWARDS[:, None] > REWARDS
    return Hunt(
        float(fit.losses[0]), float(fit.losses[-1]), float((h > 0)[better].double().mean()),
        float(fit.distance[-1]),
    )  # fmt: skip
