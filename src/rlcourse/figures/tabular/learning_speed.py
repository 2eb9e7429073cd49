"""What learners in step are worth: Q-learning against the plain loop over Gymnasium's environment.

Shapes: n numbers of learners, 3 a lower quartile, a median and an upper quartile.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from rlcourse.figures.tabular.scales import log_axis
from rlcourse.plot import COLOUR_OF, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

ARRAY, LISTS = "gymnasium loop, NumPy table", "gymnasium loop, lists"
TARGETS = {"steps": 100.0, "optimal": 30.0}  # times the loop with a NumPy table
LOOKS = {"CliffWalking": ("o", "-", "cliff"), "FrozenLake8x8": ("s", "--", "lake 8×8")}
SIZE = (3.6, 3.2)


class Benchmark(NamedTuple):
    """What benchmarks/temporal_difference.py measured, by world; ratios within a round.

    learners  (n,) that share a call
    ahead     world -> (n, 3)  learning steps a second over those of the loop with a NumPy table
    lists     world -> (3,)    the same of the loop with lists
    over      world -> loop -> (3,)  its seconds over ours until 95 of 100 seeds are optimal
    early     the same, had each of its seeds stopped at its first check passed
    hundred   world -> how long a step of 100 learners takes, over a step of one
    """

    learners: Floats
    ahead: dict[str, Floats]
    lists: dict[str, Floats]
    over: dict[str, dict[str, Floats]]
    early: dict[str, dict[str, Floats]]
    hundred: dict[str, float]


def data_benchmark(record: dict[str, Any]) -> Benchmark:
    """The ratios of both worlds."""
    steps, optimal = record["steps"], record["optimal"]
    ours = [name for name in next(iter(steps.values())) if name.startswith("ours")]

    def sooner(kind: str) -> dict[str, dict[str, Floats]]:
        return {
            world: {loop: _quartiles(row[loop][kind]) for loop in (ARRAY, LISTS)}
            for world, row in optimal.items()
        }

    def rate(row: dict[str, Any]) -> float:
        return float(row["steps_per_second"])

    return Benchmark(
        np.array([float(name.split()[1]) for name in ours]),
        {
            world: np.array([_quartiles(row[name]["times_the_loop"]) for name in ours])
            for world, row in steps.items()
        },
        {world: _quartiles(row[LISTS]["times_the_loop"]) for world, row in steps.items()},
        sooner("over_ours"),
        sooner("over_ours_early"),
        {
            world: 100 * rate(row["ours, 1 learner"]) / rate(row["ours, 100 learners"])
            for world, row in steps.items()
        },
    )


def _quartiles(x: dict[str, float]) -> Floats:
    return np.array([x["low"], x["median"], x["high"]])


def draw_benchmark(data: Benchmark) -> Picture:
    """Steps a second against the number of learners, and the time until learners are optimal."""
    return picture(
        [_draw_steps(data), _draw_optimal(data)],
        "Left: with one learner ours makes fewer steps than the loop; the ratio grows with the"
        " number of learners up to about a hundred. Right: until 95 of 100 seeds are optimal the"
        " loop takes many times as long as ours, with lists less than with a NumPy table.",
    )


def _draw_steps(data: Benchmark) -> Figure:
    figure, axes = panel("Learning steps a second", SIZE)
    ours, loop = COLOUR_OF["Q-learning"], COLOUR_OF["gymnasium loop"]
    for world, (marker, line, short) in LOOKS.items():
        low, y, high = data.ahead[world].T
        axes.vlines(data.learners, low, high, ours, linewidth=0.8)
        axes.plot(data.learners, y, line, marker=marker, color=ours, markersize=4.5,
                  linewidth=1.3, label=f"in step, {short}")  # fmt: skip
        axes.plot(1, data.lists[world][1], marker, color=loop, markersize=4.5,
                  label=f"loop with lists, {short}")  # fmt: skip
    axes.axhline(1, color=loop, linewidth=1.3, label="loop with a NumPy table")
    axes.axhline(TARGETS["steps"], color="#000000", linewidth=0.8, linestyle=":")
    axes.annotate("target: 100×", (1, TARGETS["steps"]), (-3, 3), fontsize=7.5,
                  textcoords="offset points")  # fmt: skip
    log_axis(axes, [int(n) for n in data.learners])
    axes.set_yscale("log")
    axes.set_yticks([1, 10, 100], ["1×", "10×", "100×"])
    axes.minorticks_off()
    axes.set(xlabel="learners in step", ylabel="times those of the loop", ylim=(0.15, 300))
    lines, words = axes.get_legend_handles_labels()
    order = [0, 2, 1, 3, 4]
    figure.legend([lines[i] for i in order], [words[i] for i in order], fontsize=7, ncols=2,
                  loc="outside lower center")  # fmt: skip
    return figure


def _draw_optimal(data: Benchmark) -> Figure:
    figure, axes = panel("Time until 95 of 100 seeds are optimal", SIZE)
    loop = COLOUR_OF["gymnasium loop"]
    rows = [(world, kind) for world in LOOKS for kind in (ARRAY, LISTS)]
    for i, (world, kind) in enumerate(rows):
        for found, dy, face in ((data.over, -0.15, loop), (data.early, 0.15, "none")):
            low, x, high = found[world][kind]
            axes.hlines(i + dy, low, high, loop, linewidth=0.8)
            axes.plot(x, i + dy, LOOKS[world][0], color=loop, markersize=5.5, markerfacecolor=face)
            axes.annotate(f"{x:.0f}×", (low, i + dy), (-6, 0), fontsize=7.5, ha="right",
                          va="center", textcoords="offset points")  # fmt: skip
    for x, line, colour, words in (
        (1, "-", COLOUR_OF["Q-learning"], "in step"),
        (TARGETS["optimal"], ":", "#000000", "target: 30×"),
    ):
        axes.axvline(x, color=colour, linewidth=1, linestyle=line)
        axes.annotate(words, (x, 3.85), (3, 0), fontsize=7.5, textcoords="offset points")
    faces = {"as many episodes as ours": loop, "each seed stops when optimal": "none"}
    for words, face in faces.items():
        axes.plot([], [], "o", color=loop, markerfacecolor=face, markersize=5.5, label=words)
    axes.set_xscale("log")
    axes.set_xticks([1, 10, 100], ["1×", "10×", "100×"])
    axes.minorticks_off()
    kinds = {ARRAY: "NumPy table", LISTS: "lists"}
    names = [f"{LOOKS[world][2]},\n{kinds[kind]}" for world, kind in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xlabel="the loop's seconds over ours", xlim=(0.8, 130), ylim=(3.95, -0.5))
    figure.legend(fontsize=7, ncols=2, loc="outside lower center")
    return figure
