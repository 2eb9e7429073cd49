"""The experiment of the chapter on checkpointing: every way on one chain, bytes beside seconds.

Bytes are counted where this runs, seconds recorded in `benchmarks/checkpointing.py`.
"""

from typing import NamedTuple

import torch

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.figures.systems.checkpointing_run import (
    CONFIG,
    chain,
    costs,
    counted,
    methods,
    tape_bytes,
)
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.results import load
from rlcourse.systems.checkpoint_schedules import Cost

DASH = "–\N{WORD JOINER}"  # no line ends behind it
RECORDED_ONLY = ("3 segments", "6 segments", "revolve, 3 states")  # to save a page's seconds


class Measured(NamedTuple):
    """One way: bytes at the peak counted, and the schedule's cost where it is one of ours.

    apart  the largest difference of a gradient from autograd's
    """

    peak: int
    cost: Cost | None
    apart: float


class Experiment(NamedTuple):
    """Bytes of a state and of a tape beside it, and every way."""

    state: int
    tape: int
    ways: dict[str, Measured]


def data_experiment(*, generator: torch.Generator) -> Experiment:
    """Run the ways on twelve blocks, all but those that are RECORDED_ONLY, and count."""
    found = chain(generator=generator)
    live = {name: of for name, of in methods(found).items() if name not in RECORDED_ONLY}
    measured = {name: counted(found, method) for name, method in live.items()}
    _, expected = measured["autograd"]
    predicted, rows = costs(found), {}
    for name, (peak, gradients) in measured.items():
        pairs = zip(gradients, expected, strict=True)
        apart = max(float((a - b).abs().max()) for a, b in pairs)
        rows[name] = Measured(peak, predicted.get(name), apart)
    return Experiment(int(found.x.nbytes), max(tape_bytes(found)), rows)


def draw_experiment(data: Experiment) -> Picture:
    """Time, from forwards alone, over bytes counted; in the right panel without storing all."""
    looks = {"segment": (OCHRE, "s"), "revolve": (GREEN, "^"), "every": (BLUE, "o"),
             "store": (RED, "D"), "recursive": (PURPLE, "v"), "recompute": (GREY, "x")}  # fmt: skip
    words = {"segment": "2, 4 segments", "revolve": "revolve, 4, 2 states",
             "every": "every block", "store": "store all"}  # fmt: skip
    figures = []
    for title, most in (("All ways", None), ("The lean ones", 2.6e6)):
        figure, axes = panel(title, (3.6, 2.9))
        for kind, (colour, marker) in looks.items():
            found = [
                (way.peak / 1e6, relative_time(way.cost))
                for name, way in data.ways.items()
                if way.cost and kind in name and (most is None or way.peak < most)
            ]
            if found:
                axes.plot(*zip(*found, strict=True), marker, color=colour, markersize=5,
                          label=words.get(kind, kind))  # fmt: skip
        axes.set(xlabel="MB at the peak, counted", ylabel="time, store all = 1", ylim=(0.9, 3))
        axes.set_xlim(*((0, None) if most is None else (1.8, most / 1e6)))
        if most is None:
            axes.legend(fontsize=7)
        figures.append(figure)
    peaks = {name: data.ways[name].peak / 1e6 for name in ("store all", "every block")}
    times = {name: relative_time(way.cost) for name, way in data.ways.items() if way.cost}
    return picture(
        figures,
        f"Storing all peaks at {peaks['store all']:.1f} MB. A checkpoint at every block takes"
        f" {peaks['every block']:.1f} MB and {times['every block']:.2f} times as long. Revolve with"
        " fewer states and recomputing all save little more and take up to"
        f" {max(times.values()):.1f} times as long.",
    )


def recorded_times() -> dict[str, float]:
    """Recorded seconds of each way over those of autograd, the medians."""
    rows = load("benchmarks/checkpointing")["rows"]
    return {row["way"]: row["times"]["median"] for row in rows}


def relative_time(cost: Cost) -> float:
    """(forwards + 2 L) over 3 L: a layer's backward takes as long as two forwards."""
    layers = CONFIG.layers
    return (cost.forwards + 2 * layers) / (3 * layers)


def table_of_experiment(data: Experiment) -> Tables:
    """Bytes counted on the page, and recorded seconds, over those of autograd."""
    record = load("benchmarks/checkpointing")
    times = {row["way"]: row["times"] for row in record["rows"]}
    rows: Rows = [("way", "kB", "more", "forwards", "time", "measured")]
    for name, way in data.ways.items():
        found = times[name]
        quartiles = f"{found['median']:.2f} ({found['low']:.2f}{DASH}{found['high']:.2f})"
        cells = [f"{way.peak / 1e3:,.0f}", "", "", ""]
        if way.cost:
            rest = f"{(way.peak - way.cost.peak) / data.state:.1f}"
            cells[1:] = [rest, str(way.cost.forwards), f"{relative_time(way.cost):.2f}"]
        rows.append((name, *cells, quartiles))
    sizes = record["problem"]
    says = (
        f"Bytes of this page's run, width {CONFIG.width}, and how many states more than the"
        " schedule says; time by the count of forwards, and seconds over autograd's with their"
        f" quartiles, width {sizes['width']}, recorded on {record['date']},"
        f" {record['machine']['cpu']}, one thread, PyTorch {record['versions']['torch']}:"
    )
    return Tables(says, (rows,))
