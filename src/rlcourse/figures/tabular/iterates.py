"""Runs of an iteration: which iterates to keep, Gaussian noise, bands and roots on log axes.

Shapes: B runs, T steps, n iterates kept.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rlcourse.tabular.mdp import Floats, Ints

HALF = (3.4, 2.5)  # two panels side by side


def kept(steps: int, n: int = 40) -> Ints:
    """At most n of the iterates 0 .. T, evenly spaced on a log scale."""
    return np.unique(np.geomspace(1, steps + 1, n).round().astype(np.intp)) - 1


def gaussian(
    steps: int, runs: int, sigma: float, mean: float = 0.0, *, rng: np.random.Generator
) -> Iterator[Floats]:
    """η_k ~ N(mean, σ²), one array (B,) a step."""
    return (rng.normal(mean, sigma, runs) for _ in range(steps))


def show_band(axes: Axes, k: Ints, w: Floats, colour: str, look: str = "-") -> None:
    """The band that holds eight of ten runs of w (n, B), and the first run."""
    low, high = np.quantile(w, [0.1, 0.9], axis=1)
    axes.fill_between(k + 1, low, high, color=colour, alpha=0.22, linewidth=0)
    axes.plot(k + 1, w[:, 0], look, color=colour, linewidth=1.3)


def show_root(axes: Axes, root: float, words: str = "root", at: float = 0.01) -> None:
    """A dashed line where the answer lies."""
    axes.axhline(root, color="#000000", linestyle="--", linewidth=0.9)
    axes.annotate(
        words, (at, root), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
        fontsize=7.5,
    )  # fmt: skip


def log_steps(axes: Axes, label: str = "step k") -> None:
    """A log axis of steps; numbers written out, few ticks."""
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter("{x:g}")
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_formatter("{x:g}")


def say(axes: Axes, words: str, at: tuple[float, float], colour: str, **more: Any) -> None:
    """Words beside a curve, in its colour."""
    axes.annotate(words, at, color=colour, weight="bold", fontsize=8, **more)
