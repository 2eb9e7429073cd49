"""The ring of the chapter on ZeRO: ranks in a circle, each talking to its next one alone.

A tensor is cut into W chunks. What a rank holds of a chunk is the set of ranks whose numbers are
summed up in it, so that the simulation knows nothing of the formula.
"""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlcourse.plot import BLUE, GREEN, GREY, Picture, panel, picture

Held = list[list[frozenset[int]]]


class Ring(NamedTuple):
    """held: after each round, for each rank and chunk, who is summed up in it (empty: not held).

    sent: chunks that each rank has sent.
    """

    held: list[Held]
    sent: list[int]


def reduce_scatter(ranks: int) -> Ring:
    """In round i rank r sends chunk r - i, summed up so far, to rank r + 1, which adds its own."""
    now: Held = [[frozenset([rank])] * ranks for rank in range(ranks)]
    found, sent = [now], [0] * ranks
    for i in range(ranks - 1):
        after = [list(row) for row in now]
        for rank in range(ranks):
            chunk = (rank - i) % ranks
            into = after[(rank + 1) % ranks]
            into[chunk] = into[chunk] | now[rank][chunk]
            after[rank][chunk] = frozenset()
            sent[rank] += 1
        now = after
        found.append(now)
    return Ring(found, sent)


def all_gather(first: Held) -> Ring:
    """In round i rank r passes on the chunk that it got last, beginning with its own."""
    now, ranks = first, len(first)
    found, sent = [now], [0] * ranks
    for i in range(ranks - 1):
        after = [list(row) for row in now]
        for rank in range(ranks):
            chunk = (rank + 1 - i) % ranks
            after[(rank + 1) % ranks][chunk] = now[rank][chunk]
            sent[rank] += 1
        now = after
        found.append(now)
    return Ring(found, sent)


def data_ring(ranks: int = 4) -> tuple[Ring, Ring]:
    """A reduce-scatter, and the all-gather of its result: together an all-reduce."""
    scattered = reduce_scatter(ranks)
    return scattered, all_gather(scattered.held[-1])


def draw_ring(data: tuple[Ring, Ring]) -> Picture:
    """Rows are ranks, columns chunks; a number says how many ranks' gradients are summed up."""
    return picture(
        [_boards(*x) for x in zip(("Reduce-scatter", "All-gather"), data, strict=True)],
        "Squares, a row for each rank and a column for each chunk. At first each rank has all"
        " chunks of its own gradient. Round by round a chunk moves to the next rank and is added"
        " to, until each rank has one chunk of the whole sum. In as many rounds more the sums go"
        " round the circle, until all ranks have all.",
    )


def _boards(title: str, ring: Ring) -> Figure:
    """All rounds of a ring, two beside each other."""
    figure, axes = panel(title, (3.5, 3.9))
    ranks = len(ring.sent)
    for i, held in enumerate(ring.held):
        x, y = (i % 2) * (ranks + 1), (i // 2) * (ranks + 1.2)
        axes.annotate(f"after round {i}" if i else "begin", (x, y - 0.15), fontsize=8)
        for rank, row in enumerate(held):
            for chunk, of in enumerate(row):
                _square(axes, x + chunk, y + rank, len(of), ranks)
    lines = -(-len(ring.held) // 2)
    axes.set(xlim=(-0.1, 2 * ranks + 1), ylim=(lines * (ranks + 1.2), -0.8), aspect="equal")
    axes.set_axis_off()
    return figure


def _square(axes: Axes, x: float, y: float, summed: int, ranks: int) -> None:
    colour = GREEN if summed == ranks else BLUE if summed else GREY
    face = (colour, 0.45 if summed == ranks else 0.15 * summed)
    axes.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor=face, edgecolor=colour))
    if summed:
        axes.annotate(str(summed), (x + 0.45, y + 0.48), fontsize=8, ha="center", va="center")
