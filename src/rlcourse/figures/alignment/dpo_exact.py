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
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel
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
    steps: int = 200,
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
    """The fit, the policy that was predicted (Y,), its mean reward and KL, and β."""

    fit: Fit
    goal: Floats
    reward: float
    kl: float
    beta: float


@cache
def data_exact(beta: float = 0.5, steps: int = 200) -> Exact:
    """The expected DPO loss over the labels of all pairs, descended."""
    fit = fitted(lambda h: dpo.dpo_loss(h, beta), beta, steps=steps)
    log_ref = REFERENCE.log()
    goal = tilted(log_ref, REWARDS, beta)
    log_pi = torch.tensor(fit.log_pi)
    return Exact(
        fit, goal.numpy(), float(expected(log_pi, REWARDS)), float(divergence(log_pi, log_ref)),
        beta,
    )  # fmt: skip


def draw_exact(data: Exact) -> Picture:
    """The six probabilities against those predicted, and the distance over the steps."""
    figures, y = [], np.arange(len(REWARDS))
    figure, axes = panel(f"six answers, β = {data.beta:g}")
    axes.bar(y - 0.2, REFERENCE.numpy(), 0.38, color=GREY, label="reference")
    axes.bar(y + 0.2, np.exp(data.fit.log_pi), 0.38, color=BLUE, label="found by DPO")
    axes.plot(y + 0.2, np.exp(data.goal), "o", color=RED, ms=5, label="tilted by the reward")
    axes.set_xticks(y, [f"r = {r:g}".replace("-", "−") for r in REWARDS.tolist()])
    axes.tick_params(axis="x", labelsize=7)
    axes.set(ylabel="probability")
    axes.legend()
    figures.append(figure)
    figure, axes = panel("distance to the tilted policy")
    axes.plot(data.fit.distance, color=BLUE)
    axes.set(yscale="log", xlabel="step", ylabel="max |Δ log π|")
    figures.append(figure)
    return as_picture(
        figures,
        "Left: bars of the reference's six probabilities and of those that DPO found, which end at"
        " the dots of the tilted policy. Right: the largest difference of the log-probabilities"
        f" falls along a straight line on a log scale, to {data.fit.distance[-1]:.0e}.",
    )


def draw_live(beta: float = 0.5, steps: int = 100) -> Picture:
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


# ------------------------------------------------------------------------------- the losses


FAMILY: dict[str, tuple[str, Callable[[Tensor, float], Tensor]]] = {
    "DPO": (BLUE, lambda h, beta: dpo.dpo_loss(h, beta)),
    "cDPO": (OCHRE, lambda h, beta: dpo.dpo_loss(h, beta, 0.1)),
    "robust": (GREEN, lambda h, beta: dpo.robust_loss(h, beta, 0.1)),
    "IPO": (PURPLE, lambda h, beta: dpo.ipo_loss(h, beta)),
    "hinge": (RED, lambda h, beta: dpo.hinge_loss(h, beta)),
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


def draw_family(data: Family) -> Picture:
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
        lambda h: dpo.dpo_loss(h, beta), beta, steps=400,
        margins=lambda log_pi, _: margins(log_pi, ref),
    )  # fmt: skip
    h = margins(torch.tensor(fit.log_pi), ref)
    better = REWARDS[:, None] > REWARDS
    return Hunt(
        float(fit.losses[0]), float(fit.losses[-1]), float((h > 0)[better].double().mean()),
        float(fit.distance[-1]),
    )  # fmt: skip
