"""Figures and experiments of the FlashAttention chapter: data_* computes, draw_* shows.

What a card can do is its maker's data sheet; what an algorithm moves is counted while it runs.
Shapes: N queries, M keys, D head dimension, H heads; n points of a curve.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlcourse.plot import BLUE, COLOUR_OF, GREEN, GREY, OCHRE, RED, Picture, panel, picture
from rlcourse.systems.attention_tiles import (
    attention_flops,
    forward_traffic,
    intensity,
    largest_block,
    standard_traffic,
    tallest_block,
    visible_tiles,
)
from rlcourse.systems.flash_attention import (
    Floats,
    Forward,
    flash_forward,
    forward_within,
    standard_attention,
)
from rlcourse.systems.slow_memory import count_traffic

HALF = (3.6, 2.7)
STANDARD, FLASH = COLOUR_OF["standard attention"], COLOUR_OF["FlashAttention"]
BF16 = 2  # bytes


class Card(NamedTuple):
    """What a data sheet says.

    flops      16-bit operations a second
    bandwidth  bytes of slow memory a second
    memory     bytes of slow memory
    cache      bytes of L2, between the two
    shared     bytes of fast memory that one block of threads may use
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    cache: float
    shared: int


H100 = Card("H100", 989.4e12, 3.35e12, 80e9, 50e6, 227 * 1024)
"""SXM, dense bfloat16; shared memory by compute capability 9.0."""


# ------------------------------------------------------------------------------- the question


class Question(NamedTuple):
    """One layer of H heads on a card, the forward in bfloat16.

    compute, move  seconds that the arithmetic and the traffic of standard attention take
    n              (n,) lengths
    saved          name -> (n,) bytes that the backward needs
    """

    compute: float
    move: float
    n: Floats
    saved: dict[str, Floats]


def data_question(n: int = 8192, d: int = 128, heads: int = 32, card: Card = H100) -> Question:
    """What standard attention asks of a card: time to compute, time to move, bytes to keep."""
    compute = attention_flops(n, n, d, heads) / card.flops
    move = BF16 * heads * sum(standard_traffic(n, n, d)) / card.bandwidth
    length = 2.0 ** np.arange(10, 18)
    saved = {
        "standard: P": BF16 * heads * length**2,
        "flash: O, log-sum-exp": heads * length * (BF16 * d + 4),
    }
    return Question(compute, move, length, saved)


def draw_question(data: Question, card: Card = H100) -> Picture:
    """The two reasons why attention over long texts needs another algorithm."""
    left, axes = panel(f"Standard attention, 8192 tokens, {card.name}", HALF)
    seconds = [1e3 * data.compute, 1e3 * data.move]
    bars = axes.barh([1, 0], seconds, 0.55, color=[GREEN, STANDARD], hatch=["", "///"])
    axes.bar_label(bars, [f"{x:.1f} ms" for x in seconds], padding=4, fontsize=8)
    axes.set_yticks([1, 0], ["to\ncompute", "to move\nscores"])
    axes.set(xlabel="milliseconds, by the data sheet", xlim=(0, 1.25 * max(seconds)))
    axes.grid(axis="y", visible=False)
    right, axes = panel("Kept for the backward, one layer", HALF)
    looks = ((STANDARD, "-"), (FLASH, "--"))
    for name, (colour, line) in zip(data.saved, looks, strict=True):
        axes.loglog(data.n, data.saved[name] / 1e9, line, color=colour, label=name)
    axes.axhline(card.memory / 1e9, color="#000000", linewidth=0.9, linestyle=":")
    axes.annotate("all of the card's memory", (data.n[0], card.memory / 1e9), (0, 3),
                  textcoords="offset points", fontsize=7.5)  # fmt: skip
    _lengths(axes, data.n[::2])
    axes.set(ylabel="gigabytes", xlabel="tokens")
    axes.legend(loc="lower right", fontsize=7.5)
    return picture(
        [left, right],
        "Moving the scores takes several times as long as computing with them. What standard"
        " attention keeps grows with the square of the length and passes the card's whole memory;"
        " what FlashAttention keeps grows with the length.",
    )


def _lengths(axes: Axes, n: Floats) -> None:
    axes.set_xticks(n, [f"{int(x) // 1024}k" for x in n])
    axes.minorticks_off()


# ------------------------------------------------------------------------------- tiles


class TileMap(NamedTuple):
    """The tiles of N x M scores, and what one forward over them was seen to move."""

    n: int
    m: int
    block_q: int
    block_k: int
    full: Floats
    seen: Floats
    moved: int
    standard: int


def data_tile_map(
    n: int, m: int, block_q: int, block_k: int, causal: bool = True, d: int = 4
) -> TileMap:
    """Which tiles are whole, cut or hidden; the traffic is counted while both forwards run."""
    q, k = np.zeros((n, d)), np.zeros((m, d))
    full, seen = visible_tiles(n, m, block_q, block_k, causal)
    _, flash = count_traffic(flash_forward, q, k, k, block_q, block_k, causal)
    _, standard = count_traffic(standard_attention, q, k, k, causal)
    return TileMap(n, m, block_q, block_k, full, seen, *(sum(t[:2]) for t in (flash, standard)))


KINDS = {"whole": (BLUE, 0.55), "cut by the mask": (OCHRE, 0.5), "hidden: skipped": (GREY, 0.0)}


def draw_tile(axes: Axes, kind: str, x: float, y: float, w: float, h: float) -> None:
    """A tile in the colour of its kind, with a mark: a dot where it is cut, a stroke if hidden."""
    colour, alpha = KINDS[kind]
    axes.add_patch(Rectangle((x, y), w, h, facecolor=(colour, alpha), edgecolor=colour))
    if kind == "cut by the mask":
        axes.plot(x + w / 2, y + h / 2, "o", color=colour, markersize=3)
    elif kind == "hidden: skipped":  # hatching would weigh ten times as much
        axes.plot([x, x + w], [y + h, y], color=colour, linewidth=0.8)


def tile_panel(data: TileMap, title: str, size: tuple[float, float] = (2.9, 2.7)) -> Figure:
    """Scores as tiles: queries downwards, keys to the right, the mask's edge as a line."""
    figure, axes = panel(title, size)
    for i, (f, s) in enumerate(zip(data.full, data.seen, strict=True)):
        for j in range(-(-data.m // data.block_k)):
            kind = "whole" if j < f else "cut by the mask" if j < s else "hidden: skipped"
            x, y = j * data.block_k, i * data.block_q
            draw_tile(
                axes, kind, x, y, min(data.block_k, data.m - x), min(data.block_q, data.n - y)
            )
    rows = np.repeat(np.arange(data.n + 1), 2)[1:-1]
    edge = np.clip(np.repeat(np.arange(data.n) + 1 + data.m - data.n, 2), 0, data.m)
    if (data.full < -(-data.m // data.block_k)).any():
        axes.plot(edge, rows, color="#000000", linewidth=1.4)
    axes.set(xlim=(-0.15, data.m + 0.15), ylim=(data.n + 0.15, -0.15), aspect="equal")
    axes.set(xlabel="key", ylabel="query")
    axes.set_xticks(range(0, data.m + 1, data.block_k))
    axes.set_yticks(range(0, data.n + 1, data.block_q))
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


def draw_tile_maps(shapes: tuple[tuple[int, int], ...] = ((12, 12), (5, 12), (12, 8))) -> Picture:
    """Bottom-right alignment for as many keys as queries, for more, and for fewer."""
    found = [data_tile_map(n, m, 2, 3) for n, m in shapes]
    titles = [f"{x.n} queries, {x.m} keys" for x in found]
    panels = [tile_panel(x, title) for x, title in zip(found, titles, strict=True)]
    key, axes = panel("", (3.0, 1.1))
    for i, name in enumerate(KINDS):
        draw_tile(axes, name, 0, 2 - i, 0.5, 0.6)
        axes.annotate(name, (0.75, 2.3 - i), va="center", fontsize=9)
    axes.set(xlim=(0, 5), ylim=(-0.1, 2.8))
    axes.set_axis_off()
    return picture(
        [*panels, key],
        "A staircase, the mask's edge, ends in the lower right corner of each matrix of scores."
        " Tiles below it are whole, tiles on it are cut, tiles above it are skipped. With more"
        " queries than keys the first rows of tiles are all skipped.",
    )


def draw_tiles(
    n: int = 12, m: int = 12, block_q: int = 3, block_k: int = 3, causal: bool = True
) -> Picture:
    """One map of tiles, and what was moved, counted."""
    data = data_tile_map(n, m, block_q, block_k, causal)
    visited, all_tiles = int(data.seen.sum()), len(data.seen) * -(-m // block_k)
    words = f"{visited} of {all_tiles} tiles visited; moved {data.moved}, standard {data.standard}"
    return picture(
        tile_panel(data, words, (4.2, 3.6)),
        f"{n} by {m} scores in tiles of {block_q} by {block_k}: {words}.",
    )


# ------------------------------------------------------------------------------- the bill


class Bill(NamedTuple):
    """Elements moved by one head, counted while it ran.

    sram      (n,)  elements of fast memory
    flash     D -> (n,) with the tallest tile of queries beside `block_k` keys
    square    D -> (n,) with the largest square tile
    standard  D -> what standard attention moves, whatever the fast memory
    inside    D -> elements of q, k, v, o and lse: the least that any algorithm moves
    """

    n: int
    block_k: int
    sram: Floats
    flash: dict[int, Floats]
    square: dict[int, Floats]
    standard: dict[int, int]
    inside: dict[int, int]


def data_bill(
    *, rng: np.random.Generator, n: int = 384, dims: tuple[int, int] = (16, 32), block_k: int = 2,
    powers: tuple[int, int] = (10, 14),
) -> Bill:  # fmt: skip
    """Run the forward beside fast memories of 2^10 to 2^14 elements, and count."""
    sram = [2**power for power in range(powers[0], powers[1] + 1)]
    flash: dict[int, Floats] = {}
    square: dict[int, Floats] = {}
    standard, inside = {}, {}
    for d in dims:
        q, k, v = rng.normal(size=(3, n, d))
        tall = [(min(n, tallest_block(s, d, block_k)), block_k) for s in sram]
        even = [(min(n, largest_block(s, d)), min(n, largest_block(s, d))) for s in sram]
        for found, shapes in ((flash, tall), (square, even)):
            runs = (forward_within(s, q, k, v, *x) for s, x in zip(sram, shapes, strict=True))
            found[d] = np.array([moved.reads + moved.writes for _, moved in runs])
        standard[d] = sum(count_traffic(standard_attention, q, k, v)[1][:2])
        inside[d] = 4 * n * d + n
    return Bill(n, block_k, np.array(sram), flash, square, standard, inside)


def leading_bill(data: Bill, d: int) -> Floats:
    """4 N² D² / SRAM, the leading term with tiles far taller than wide."""
    return np.asarray(4 * data.n**2 * d**2 / data.sram)


def slope(x: Floats, y: Floats) -> float:
    """Of log y against log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def passes(data: Bill, d: int) -> Floats:
    """What flash moved beyond reading q and writing o and lse: the keys and values, again."""
    return np.asarray(data.flash[d] - 2 * data.n * d - data.n)


def draw_bill(data: Bill) -> Picture:
    """Measured traffic against the fast memory: marks are counted, lines are the formula."""
    left, axes = panel("What one forward moves", (3.7, 3.1))
    for d, face, line in zip(data.flash, (FLASH, "none"), ("-", "--"), strict=True):
        axes.loglog(data.sram, data.flash[d], "o", color=FLASH, markerfacecolor=face, markersize=6,
                    label=f"flash, D = {d}")  # fmt: skip
        least = 2 * data.n * d + data.n
        axes.loglog(data.sram, leading_bill(data, d) + least, line, color=FLASH, linewidth=1)
        axes.axhline(data.standard[d], color=STANDARD, linestyle=line, linewidth=1.3,
                     label=f"standard, D = {d}")  # fmt: skip
    _memories(axes, data)
    axes.set(ylabel="elements moved")
    axes.legend(fontsize=7)
    right, axes = panel("Tall tiles and square ones, D = 32", (3.7, 3.1))
    for name, y, line, marker in (
        (f"tall: {data.block_k} keys wide", data.flash[32], "-", "o"),
        ("square", data.square[32], "--", "s"),
    ):
        axes.loglog(data.sram, y, marker + line, color=FLASH, linewidth=1, markersize=5.5,
                    markerfacecolor=FLASH if line == "-" else "none", label=name)  # fmt: skip
    axes.axhline(data.inside[32], color="#000000", linewidth=0.9, linestyle=":")
    axes.annotate("Q, K, V and O once", (data.sram[0], data.inside[32]), (0, 3), fontsize=7.5,
                  textcoords="offset points")  # fmt: skip
    _memories(axes, data)
    axes.legend(fontsize=7)
    return picture(
        [left, right],
        "Left: counted traffic falls along lines of slope minus one as the fast memory grows; twice"
        " the head dimension moves four times as much. Standard attention moves the same whatever"
        " the memory. Right: square tiles move more than tall ones once the memory is large.",
    )


def _memories(axes: Axes, data: Bill) -> None:
    at = data.sram
    axes.set_xticks(at, [f"{s // 1024}k" for s in at])
    axes.minorticks_off()
    axes.set(xlabel="elements of fast memory")


# ------------------------------------------------------------------------------- the roofline


class Roof(NamedTuple):
    """Operations per byte of slow memory, and how fast a card lets them run.

    points  name -> (operations per byte, TFLOP/s at most)
    ridge   operations per byte from which arithmetic is the limit
    """

    points: dict[str, tuple[float, float]]
    ridge: float


def data_roof(n: int = 8192, d: int = 128, card: Card = H100) -> Roof:
    """Standard attention, flash with tiles of 128 queries, and with keys that all tiles share."""
    flops = attention_flops(n, n, d)
    moved = {
        "standard": standard_traffic(n, n, d),
        "flash, tiles of 128": forward_traffic(n, n, d, 128, 64),
        "flash, keys read once": forward_traffic(n, n, d, n, 64),
    }
    points = {}
    for name, traffic in moved.items():
        x = intensity(flops, traffic, BF16)
        points[name] = (x, min(card.flops, x * card.bandwidth) / 1e12)
    return Roof(points, card.flops / card.bandwidth)


def draw_roof(data: Roof, card: Card = H100) -> Picture:
    """The roofline of the data sheet, and where each algorithm stands below it."""
    figure, axes = panel(f"At most this fast, {card.name}, D = 128, 8192 tokens", (5.2, 2.9))
    x = np.geomspace(20, 6000, 200)
    axes.loglog(
        x, np.minimum(card.flops, x * card.bandwidth) / 1e12, color="#000000", linewidth=1.2
    )
    axes.axvline(data.ridge, color=GREY, linewidth=0.9, linestyle=":")
    axes.annotate(f"ridge: {data.ridge:.0f}", (data.ridge, 75), (-4, 0), fontsize=7.5, ha="right",
                  textcoords="offset points")  # fmt: skip
    looks = zip(data.points.items(), (STANDARD, FLASH, FLASH), "osD", strict=True)
    for (name, (at, high)), colour, marker in looks:
        axes.plot(at, high, marker, color=colour, markersize=7, label=f"{name}: {at:.0f}")
    axes.set_yticks([100, 300, 1000], ["100", "300", "1000"])
    axes.set_xticks([30, 100, 300, 1000, 3000], ["30", "100", "300", "1000", "3000"])
    axes.minorticks_off()
    axes.set(xlabel="operations per byte of slow memory", ylabel="TFLOP/s", ylim=(60, 1500))
    axes.legend(fontsize=7.5, loc="lower right")
    return picture(
        figure,
        "A rising line of the memory's bandwidth meets the flat one of the arithmetic at the ridge."
        " Standard attention stands lowest, FlashAttention with tiles of 128 queries twice as high,"
        " yet left of the ridge; with keys that are read once it lies far to the right.",
    )


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """A suspect forward against the definition, on two kinds of keys.

    tile   (T,)             number of the tile that holds the largest score of each query
    error  (T,)             largest error of o, relative to the largest value of o
    sink   (2,)             with a first key that every query likes best: error of o, of lse
    plain  (2,)             without
    """

    tile: Floats
    error: Floats
    sink: Floats
    plain: Floats


def data_hunt(
    forward: Callable[..., Forward], *, rng: np.random.Generator, n: int = 32, m: int = 64,
    d: int = 16, block: int = 8,
) -> Hunt:  # fmt: skip
    """Plant the best key in one tile after another; then a test with a sink, and one without."""
    q, k, v = rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng.normal(size=(m, d))
    q[:, 0] = 1.0

    def errors(place: int | None) -> Floats:
        keys = k.copy()
        if place is not None:
            keys[place] = 0
            keys[place, 0] = 40.0
        found, right = forward(q, keys, v, block, block), standard_attention(q, keys, v)
        lse = flash_forward(q, keys, v, m, m).lse
        o = np.abs(found.o - right.o).max() / np.abs(right.o).max()
        return np.array([o, np.abs(found.lse - lse).max()])

    tile = np.arange(m // block)
    error = np.array([errors(int(t) * block)[0] for t in tile])
    return Hunt(tile, error, errors(0), errors(None))


LEAST = 1e-17


def draw_hunt(data: Hunt) -> Picture:
    """The error against the tile in which the largest score comes."""
    figure, axes = panel("A key that all queries like best, planted in one tile", (4.6, 2.7))
    axes.semilogy(data.tile + 1, np.maximum(data.error, LEAST), "o", color=RED, markersize=6)
    axes.axhline(1e-12, color="#000000", linewidth=0.9, linestyle=":")
    axes.annotate("rounding", (data.tile[-1] + 1, 1e-12), (0, -11), fontsize=7.5, ha="right",
                  textcoords="offset points")  # fmt: skip
    axes.set(xlabel="tile of keys that holds it", ylabel="largest relative error of o")
    axes.set_xticks(data.tile + 1)
    axes.set_ylim(1e-18, 1e3)
    return picture(
        figure,
        "With the best key in the first tile the error is rounding; in every later tile it is as"
        " large as the output itself.",
    )
