"""What a gradient derived by hand is worth: PPO on CartPole against Stable-Baselines3.

Shapes: n seeds.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from rlcourse.plot import COLOUR_OF, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

RECORD = "benchmarks/ppo"
TARGETS = {"readable": 2.0, "lean": 6.0}  # times as fast as Stable-Baselines3 with tuned settings
LOOKS = {  # system -> what draws it, its words
    "lean": ("PPO in NumPy", "o", "NumPy,\nby hand"),
    "readable": ("PPO in torch", "s", "torch,\nautograd"),
    "same": ("Stable-Baselines3", "D", "SB3, our\nsettings"),
    "zoo": ("Stable-Baselines3", "^", "SB3,\ntuned"),
    "defaults": ("Stable-Baselines3", "v", "SB3,\ndefaults"),
}
SIZE = (3.6, 3.1)


class Speed(NamedTuple):
    """What benchmarks/ppo.py measured, by system.

    seconds  (n,) of the CPU until the policy is good, and `steps` (n,) that it took
    medians  of the seconds
    times    (3,) the seconds of "zoo" over its own: the medians' ratio in the middle; below it
             zoo's lower quartile over its upper one, above it the reverse
    solved   how many of the n seeds were: the seconds of the others are a lower bound
    """

    seconds: dict[str, Floats]
    steps: dict[str, Floats]
    medians: dict[str, float]
    times: dict[str, Floats]
    solved: dict[str, int]


def data_speed(record: dict[str, Any]) -> Speed:
    """Medians and ratios of the record."""
    systems = record["systems"]
    seconds = {name: np.array(systems[name]["seconds"]) for name in LOOKS}
    quartiles = {name: np.quantile(x, (0.25, 0.5, 0.75)) for name, x in seconds.items()}
    return Speed(
        seconds,
        {name: np.array(systems[name]["steps"], dtype=np.float64) for name in LOOKS},
        {name: float(x[1]) for name, x in quartiles.items()},
        {name: quartiles["zoo"] / x[::-1] for name, x in quartiles.items()},
        {name: sum(systems[name]["solved"]) for name in LOOKS},
    )


def draw_speed(data: Speed) -> Picture:
    """Seconds until the policy is good, and microseconds for each step that it took."""
    each = {name: 1e6 * data.seconds[name] / data.steps[name] for name in LOOKS}
    return picture(
        [
            _draw("CPU seconds until the pole stays up", "seconds", data.seconds, data.times),
            _draw("What a step of the world costs", "microseconds, learning included", each),
        ],
        "Left: seconds of each seed for five systems. Ours in NumPy needs the fewest, ours in torch"
        " some times as many, Stable-Baselines3 most. Right: the same seconds for each step of the"
        " environment, in the same order.",
    )


def _draw(
    title: str, words: str, found: dict[str, Floats], times: dict[str, Floats] | None = None
) -> Figure:
    figure, axes = panel(title, SIZE)
    for i, (name, (key, marker, _)) in enumerate(LOOKS.items()):
        x, middle, colour = found[name], float(np.median(found[name])), COLOUR_OF[key]
        axes.plot(x, np.full(len(x), i), marker, color=colour, markersize=4, alpha=0.5)
        axes.vlines(middle, i - 0.3, i + 0.3, colour, linewidth=2)
        label = f"{middle:.0f}"
        if times is not None:
            label = f"{middle:.2g} s" + (f" ({times[name][1]:.2g}×)" if name != "zoo" else "")
        axes.annotate(label, (middle, i - 0.36), fontsize=7.5, ha="center", va="bottom")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [x for x in (0.1, 1, 10, 100, 1000) if low / 2 < x < 2 * high]
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(LOOKS)), [look[2] for look in LOOKS.values()])
    axes.set(xlabel=words, ylim=(len(LOOKS) - 0.5, -0.85), xlim=(low / 2, 2 * high))
    return figure
