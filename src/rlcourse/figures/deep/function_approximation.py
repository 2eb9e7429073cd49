"""Figures of the function approximation chapter: Zhao's experiment, and what is recorded.

`ring` has the flagship, `linear_solutions` the question, the objectives, LSTD and the bug hunt,
`state_features` the features, `divergence` Baird's example, `linear_runs` the long experiments.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcourse.figures.deep import linear_runs
from rlcourse.figures.deep.linear_runs import data_bases, data_tilings, data_zhao
from rlcourse.figures.records import run
from rlcourse.plot import COLOUR_OF, HALF, Picture, panel, picture


def draw_zhao(data: linear_runs.Curves) -> Picture:
    """Zhao's figures 8.6 to 8.8: error against episodes, polynomials left and cosines right."""
    figures = []
    n = len(data.episodes)
    k = np.unique(np.concatenate([np.arange(0, min(60, n), 6), np.arange(60, n, 20), [n - 1]]))
    for kind in ("polynomial", "Fourier"):
        figure, axes = panel(f"TD(0): {kind} features", HALF)
        looks = iter(("-", "--", "-."))
        for name, error in data.error.items():
            if name != "table" and not name.startswith(kind):
                continue
            colour = COLOUR_OF["table" if name == "table" else kind]
            look = ":" if name == "table" else next(looks)
            label = name if name == "table" else f"{name.split(', ')[1]} features"
            axes.plot(k, error[k], look, color=colour, linewidth=1.5, label=label)
        axes.set(xlabel="episodes", ylabel="RMS error of v", yscale="log", ylim=(0.03, 5))
        axes.set_yticks([0.03, 0.1, 0.3, 1, 3], ["0.03", "0.1", "0.3", "1", "3"])
        axes.minorticks_off()
        axes.legend(fontsize=7.5)
        figures.append(figure)
    return picture(
        figures,
        "Errors of TD(0) on Zhao's world fall with the episodes. Linear learners stop at a floor,"
        " the lower the more features they have; the table goes on towards zero.",
    )


# ------------------------------------------------------------------------------- recorded


def recorded_zhao() -> dict[str, Any]:
    """Seven sets of features, 500 episodes of 500 steps, 20 seeds."""
    return run(2024, lambda rng: data_zhao(rng=rng))


def recorded_bases() -> dict[str, Any]:
    """Polynomials and cosines on the long walk, 5000 episodes, 20 seeds."""
    return run(2025, lambda rng: data_bases(rng=rng))


def recorded_tilings() -> dict[str, Any]:
    """One tiling and fifty on the long walk, 5000 episodes, 20 seeds."""
    return run(2026, lambda rng: data_tilings(rng=rng))


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "zhao": recorded_zhao,
    "bases": recorded_bases,
    "tilings": recorded_tilings,
}
RECORDED_MODULES = (
    "rlcourse.figures.records",
    "rlcourse.figures.deep.linear_runs",
    "rlcourse.deep.features",
    "rlcourse.deep.function_approximation",
    "rlcourse.deep.linear_learning",
    "rlcourse.deep.linear_td",
    "rlcourse.deep.long_walk",
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.sampling",
    "rlcourse.tabular.environment",
    "rlcourse.tabular.targets",
    "rlcourse.tabular.gridworld",
)
