"""The best of n from samples: how far estimates spread, and what it costs in KL.

Shapes: n numbers of samples, M samples of one prompt.
"""

from typing import NamedTuple

import numpy as np
import torch

from rlcourse.alignment import optimum
from rlcourse.alignment import reward_model as rm
from rlcourse.figures.alignment import comparisons as made
from rlcourse.figures.alignment.optimised import data_optimised
from rlcourse.figures.alignment.reward_model import NS
from rlcourse.plot import BLUE, GREY, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats


class Estimates(NamedTuple):
    """Gold of the best of n: exact (n,), and estimates (repeats, n), all choices or one."""

    n: Floats
    exact: Floats
    all_choices: Floats
    one_choice: Floats


def data_estimates(
    samples: int = 64, repeats: int = 60, which: int = 0, *, generator: torch.Generator
) -> Estimates:
    """Estimates from so many samples of one prompt, again and again."""
    rewards = made.data_learned().rewards[which]
    world = made.world(len(made.data_learned().rewards))
    ref, q = world.log_ref[which], world.quality[which]
    sizes = [2**k for k in range(samples.bit_length())]
    exact = [float(optimum.expected(optimum.best_of_n_policy(ref, rewards, n), q)) for n in sizes]
    every, one = np.zeros((2, repeats, len(sizes)))
    for i in range(repeats):
        drawn = torch.multinomial(ref.exp(), samples, True, generator=generator)
        r, gold = rewards[drawn], q[drawn]
        every[i] = [float(rm.best_of_n(r, gold, n)) for n in sizes]
        one[i] = [float(gold[r[:n].argmax()]) for n in sizes]
    return Estimates(np.array(sizes), np.array(exact), every, one)


def draw_estimates(data: Estimates) -> Picture:
    """The exact value, and both estimates with their spread."""
    figure, axes = panel("gold of the best of n", (4.2, 2.7))
    axes.plot(data.n, data.exact, color=GREY, label="exact")
    for found, colour, mark, off, words in (
        (data.one_choice, RED, "s", 1.06, "the first n of 64"),
        (data.all_choices, BLUE, "o", 0.94, "all choices of n among 64"),
    ):
        axes.errorbar(
            data.n * off, found.mean(0), found.std(0), fmt=mark, color=colour, markersize=4,
            capsize=2, linewidth=1.2, label=words,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="n", ylabel="quality")
    axes.set_xticks(data.n, [str(int(n)) for n in data.n])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return as_picture(
        figure,
        "Estimates of the best of n lie around the exact value; those of all choices spread far"
        " less than those of the first n samples.",
    )


def table_of_divergences(which: int = 0) -> str:
    """KL of the best of n: exact, and the formula that bounds it."""
    data = data_optimised(which)
    lines = [f"{'n':>6} {'exact':>8} {'log n − (n−1)/n':>17}"]
    for n, kl in list(zip(NS, data.curve.kl, strict=True))[::4]:
        lines.append(f"{n:>6} {kl:>8.2f} {optimum.best_of_n_divergence(n):>17.2f}")
    return "\n".join(lines)
