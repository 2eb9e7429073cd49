"""Layers that are not alike: the least time within a number of bytes, on halves of real blocks.

The bytes of states and tapes are those of real layers, saved on the page; the microseconds of each
half, and of the loss, are recorded in `benchmarks/checkpointing.py`. Sizes are rounded up to units
of a quarter of a state, in which the programme counts.
"""

from dataclasses import replace
from typing import NamedTuple

import torch

from rlcourse.figures.systems.checkpointing_run import CONFIG, Chain, chain, tape_bytes
from rlcourse.figures.systems.checkpointing_tensors import RECORD
from rlcourse.plot import BLUE, GREEN, OCHRE, RED, Picture, panel, picture
from rlcourse.results import load
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems.checkpoint_schedules import Cost, Schedule, run
from rlcourse.systems.memory_counter import storage_bytes
from rlcourse.systems.optimal_checkpoints import optimal
from rlcourse.systems.saved_tensors import saved_tensors

BLOCKS = 6
UNITS = 4  # of a state


class Sizes(NamedTuple):
    """Microseconds, units of each layer's input and units of its tape (L,)."""

    seconds: list[int]
    states: list[int]
    tapes: list[int]


class Frontier(NamedTuple):
    """Units at the peak and microseconds: of the optimum, budget by budget, and of other ways."""

    sizes: Sizes
    optimum: list[Cost]
    others: dict[str, list[Cost]]


def data_sizes(blocks: int = BLOCKS, *, generator: torch.Generator) -> Sizes:
    """Halves of so many blocks, then norm, logits and loss as the last layer."""
    parts = chain(replace(CONFIG, layers=blocks), halves=True, generator=generator)
    micros = load(RECORD)["layers"]
    seconds = [round(micros[name]["median"]) for name in ("attention", "SwiGLU")] * blocks
    seconds.append(round(micros["logits and loss"]["median"]))
    state = int(parts.x.nbytes)
    tapes = [*tape_bytes(parts), loss_bytes(parts)]
    units = [-(-UNITS * size // state) for size in tapes]
    return Sizes(seconds, [UNITS] * len(units), units)


def loss_bytes(parts: Chain) -> int:
    """What norm, logits and loss save beside their input."""
    return storage_bytes(saved_tensors(lambda: parts.loss(parts.x), parts.there))


def data_frontier(points: int = 24, *, generator: torch.Generator) -> Frontier:
    """The optimum for budgets between the least that any schedule needs and all."""
    sizes = data_sizes(generator=generator)
    layers = len(sizes.seconds)
    whole = run(schedules.store_all(layers), *sizes).peak
    lowest = run(schedules.recompute_all(layers), *sizes).peak
    step = max(1, (whole - lowest) // points)
    budgets = [*range(lowest, whole, step), whole]
    ways: dict[str, list[Schedule]] = {
        "segments": [schedules.segments(layers, k) for k in range(2, layers + 1)],
        "revolve": [schedules.revolve(layers, c) for c in range(1, layers)],
        "store all": [schedules.store_all(layers)],
    }
    others = {name: [run(s, *sizes) for s in found] for name, found in ways.items()}
    return Frontier(sizes, [run(optimal(*sizes, b), *sizes) for b in budgets], others)


def draw_frontier(data: Frontier) -> Picture:
    """Time over that of one forward, over bytes in states."""
    figure, axes = panel(f"{BLOCKS} blocks in halves, and the loss", (4.8, 3.1))
    forward = sum(data.sizes.seconds)

    def points(costs: list[Cost]) -> tuple[list[float], list[float]]:
        return [c.peak / UNITS for c in costs], [c.forwards / forward for c in costs]

    axes.step(*points(data.optimum), where="post", color=BLUE, label="optimum")
    looks = {"segments": (OCHRE, "s"), "revolve": (GREEN, "^"), "store all": (RED, "D")}
    for name, (colour, marker) in looks.items():
        axes.plot(*points(data.others[name]), marker, color=colour, markersize=4, label=name)
    axes.set(xlabel="held at once, in states", ylabel="time, forwards of the chain",
             ylim=(0.9, 3.2), xlim=(0, None))  # fmt: skip
    axes.legend(fontsize=7.5)
    held = data.optimum[-1].peak / UNITS
    return picture(
        figure,
        f"Time of all forwards over bytes held, up to {held:.0f} states' worth. No segments and no"
        " revolve lie below the optimum's staircase, which falls from left to right.",
    )


def saved_by_optimum(data: Frontier) -> float:
    """The largest part of the extra time of segments that the optimum spares at the same bytes."""
    forward = sum(data.sizes.seconds)
    best = 0.0
    for cost in data.others["segments"]:
        found = run(optimal(*data.sizes, cost.peak), *data.sizes)
        best = max(best, 1 - (found.forwards - forward) / (cost.forwards - forward))
    return best
