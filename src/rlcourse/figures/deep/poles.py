"""Recorded variants of learners on CartPole-v1: to read and to draw."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlcourse.figures.deep.pole_runs import Pole
from rlcourse.plot import HALF, Picture, panel, picture


def read_poles(record: dict[str, Any]) -> dict[str, Pole]:
    """The recorded variants as arrays."""
    variants = record["data"]["pole"]["variants"]
    return {name: Pole(*(np.array(x[f]) for f in Pole._fields)) for name, x in variants.items()}


def draw_poles(
    data: Mapping[str, Pole], looks: Mapping[str, tuple[str, str]], title: str, alt: str
) -> Picture:
    """Learning curves with bands of two standard errors, and each learner at the end."""
    left, axes = panel(title, HALF)
    for name, x in data.items():
        colour, look = looks[name]
        mean = x.returns.mean(1)
        error = 2 * x.returns.std(1, ddof=1) / np.sqrt(x.returns.shape[1])
        axes.fill_between(
            x.steps, mean - error, mean + error, color=colour, alpha=0.13, linewidth=0
        )
        axes.plot(x.steps, mean, look, color=colour, label=name, linewidth=1.5)
    axes.set(xlabel="steps of each learner", ylabel="return of an episode", ylim=(0, 510))
    axes.set_xticks([0, 50_000, 100_000], ["0", "50 000", "100 000"])
    right, axes = panel("At the end, greedily", HALF)
    for i, (name, x) in enumerate(data.items()):
        final, colour = np.sort(x.final), looks[name][0]
        axes.plot(final, i + np.linspace(-0.22, 0.22, len(final)), "o", color=colour, markersize=4)
        axes.plot([final.mean()] * 2, [i - 0.36, i + 0.36], color=colour, linewidth=2)
    labels = [name.replace(" as slow", "\nas slow").replace(" taken", "\ntaken") for name in data]
    axes.set_yticks(range(len(data)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="mean return of 100 fresh episodes", xlim=(0, 525))
    return picture([left, right], alt)
