"""Axes on which numbers grow by factors."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

from rlcourse.tabular.mdp import Ints


def spaced(n: int, points: int = 40) -> Ints:
    """About so many whole numbers from 1 to n, evenly spaced on a log scale."""
    return np.unique(np.geomspace(1, n, points).round().astype(np.intp))


def log_axis(axes: Axes, ticks: list[int]) -> None:
    """A horizontal log axis with ticks at these numbers, written out."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
