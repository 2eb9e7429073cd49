"""A reward model learns from comparisons: its losses, and what a wrong loss teaches; strengths,
which need no network.

Shapes: N items compared.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import reward_model as rm
from rlcourse.figures.alignment import comparisons as made
from rlcourse.plot import BLUE, GREEN, GREY, Picture, panel
from rlcourse.plot import picture as as_picture


def draw_losses(learned: made.Learned, floor: float, smooth: int = 5) -> Picture:
    """Losses of each step, a mean over some steps, between log 2 and what noise leaves."""
    figure, axes = panel("loss of a comparison", (4.2, 2.6))
    losses = np.array(learned.losses)
    whole = losses[: len(losses) // smooth * smooth].reshape(-1, smooth).mean(1)
    axes.plot(np.arange(len(whole)) * smooth + smooth / 2, whole, color=BLUE)
    axes.axhline(float(np.log(2)), color=GREY, linestyle=":")
    axes.axhline(floor, color=GREEN, linestyle="--")
    end = len(losses)
    axes.text(end, float(np.log(2)) + 0.005, "log 2: all equal", ha="right", va="bottom")
    axes.text(end, floor - 0.008, "the raters' own doubt", ha="right", va="top")
    axes.set(xlabel="step", ylabel="nats", ylim=(floor - 0.12, None))
    return as_picture(
        figure,
        f"The loss begins at log 2 and falls towards {floor:.2f}, the entropy of noisy labels.",
    )


def label_noise(prompts: int = 12) -> float:
    """Mean entropy of held-out labels given both answers, in nats: the least possible loss."""
    p = made.held_out_pairs(prompts).p
    return float(-(p * p.log() + (1 - p) * (1 - p).log()).mean())


def data_hunt(loss: Callable[[Tensor, Tensor], Tensor]) -> str:
    """What a loss of two rewards teaches in the live run's time."""
    learned = made.data_learned(loss=lambda chosen, rejected, margin: loss(chosen, rejected))
    judged = made.data_judged(learned.rewards)
    sure = sum(judged.pairs[-1:] + judged.pairs[:1]) / sum(judged.pairs)
    return (
        f"accuracy {100 * judged.accuracy:.0f} %\ncalibration error {100 * judged.error:.1f} %\n"
        f"surer than 90 % in {100 * sure:.0f} % of the pairs"
    )


def data_strengths(games: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Wins (4, 4) of answers with 0, 1, 2, 3 places right, so many games a pair; their qualities.

    The qualities are less their mean.
    """
    q = torch.arange(4, dtype=torch.double) * made.BEST / made.DIGITS
    p = rm.preference_probability(q[:, None], q[None])
    won = torch.binomial(torch.full_like(p, games), p, generator=generator).triu(1)
    lost = (games - won).triu(1).T
    return won + lost, q - q.mean()


def strengths_after(wins: Tensor, steps: int) -> Tensor:
    """log s after so many steps from equal strengths."""
    s = torch.ones(len(wins), dtype=wins.dtype)
    for _ in range(steps):
        s = rm.updated_strengths(s, wins)
    return s.log()
