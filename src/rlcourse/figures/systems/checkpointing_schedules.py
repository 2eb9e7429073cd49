"""A schedule as it runs: which layer is at work in which action, and what is kept meanwhile."""

from collections.abc import Callable
from typing import NamedTuple

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, RED, Picture, panel, picture
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems.checkpoint_schedules import Cost, Schedule, held, run

WAYS: dict[str, Callable[[int, int], Schedule]] = {  # layers, number -> schedule
    "store all": lambda layers, _: schedules.store_all(layers),
    "recompute all": lambda layers, _: schedules.recompute_all(layers),
    "segments": schedules.segments,
    "recursive": lambda layers, _: schedules.recursive(layers),
    "revolve": schedules.revolve,
}
LOOKS = {"forward": (BLUE, "o"), "tape": (OCHRE, "s"), "backward": (RED, "v")}


class Shown(NamedTuple):
    """A schedule, when each state is kept (index, from, to), what it takes, and what is held."""

    schedule: Schedule
    kept: list[tuple[int, int, int]]
    cost: Cost
    held: list[int]


def data_schedule(layers: int = 16, way: str = "segments", number: int = 4, tape: int = 3) -> Shown:
    """A way with so many segments or states, where a tape weighs `tape` states."""
    schedule = WAYS[way](layers, min(number, layers))
    since: dict[int, int] = {}
    kept = []
    for step, (kind, i) in enumerate(schedule):
        if kind == "keep":
            since[i] = step
        elif kind == "drop":
            kept.append((i, since.pop(i), step))
    kept += [(i, start, len(schedule)) for i, start in since.items()]
    sizes = [1] * layers, [tape] * layers
    return Shown(schedule, kept, run(schedule, [1] * layers, *sizes), held(schedule, *sizes))


def draw_schedule(
    layers: int = 16, way: str = "segments", number: int = 4, tape: int = 3
) -> Picture:
    """Above the layer at work in each action, with bars for kept states; below what is held."""
    data = data_schedule(layers, way, number, tape)
    above, axes = panel(f"{way}: {data.cost.forwards} forwards of {layers} layers", (3.6, 2.7))
    for i, start, stop in data.kept:
        axes.plot([start, stop], [i + 0.5] * 2, color=GREEN, linewidth=1.6, alpha=0.7)
    for kind, (colour, marker) in LOOKS.items():
        at = [(step, i) for step, (of, i) in enumerate(data.schedule) if of == kind]
        if at:
            axes.plot(*zip(*at, strict=True), marker, color=colour, markersize=3.2, label=kind)
    axes.plot([], [], color=GREEN, label="kept")
    axes.set(xlabel="action", ylabel="layer", ylim=(0, 1.32 * layers))
    axes.set_yticks(range(0, layers + 1, max(1, layers // 4)))
    axes.legend(fontsize=7, ncols=4, loc="upper left", handletextpad=0.3, columnspacing=0.9)
    below, axes = panel(f"At most {data.cost.peak} states' worth", (3.6, 2.7))
    axes.fill_between(range(len(data.held)), data.held, step="post", color=GREY, alpha=0.5)
    axes.set(xlabel="action", ylabel="held, in states", ylim=(0, None))
    return picture(
        [above, below],
        f"{way.capitalize()} on {layers} layers: forwards rise, are taped and run backwards, part"
        f" by part; {data.cost.forwards} forwards and {data.cost.peak} states held at most.",
    )


def table_of_ways(layers: int = 16, tape: int = 19) -> Tables:
    """Forwards and the peak of each way."""
    rows: Rows = [("way", "forwards", "extra", "held at most, in states")]
    for way, number in (
        ("store all", 0), ("segments", 4), ("segments", layers), ("revolve", 4), ("revolve", 2),
        ("recursive", 0), ("recompute all", 0),
    ):  # fmt: skip
        cost = data_schedule(layers, way, number, tape).cost
        name = {"segments": f"{number} segments", "revolve": f"revolve, {number} states"}
        cells = str(cost.forwards), str(cost.forwards - layers), str(cost.peak)
        rows.append((name.get(way, way), *cells))
    return Tables(f"{layers} layers, a tape of {tape} states:", (rows,))
