"""Softmax in low precision: what rounding the scores costs, and what rounding the sums costs.

Shapes: B rows, M keys, N queries, D head dimension.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse.plot import COLOUR_OF, Picture, panel, picture
from rlcourse.systems.low_precision import rounded
from rlcourse.systems.online_softmax import Floats, safe_softmax
from rlcourse.systems.slow_memory import blocks

KINDS = ("bfloat16", "float16", "float32")
LOOK_OF = {"bfloat16": "s", "float16": "^", "float32": "o"}

# ------------------------------------------------------------------------------- rounding


def naive_in(x: Floats, kind: str) -> Floats:
    """exp(x) / Σ exp(x), every result rounded to a type; the sum once, at its end."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        p = rounded(np.exp(x), kind)
        return rounded(p / rounded(p.sum(-1, keepdims=True), kind), kind)


def safe_in(x: Floats, kind: str) -> Floats:
    """exp(x - m) / Σ exp(x - m), rounded in the same way."""
    p = rounded(np.exp(rounded(x - x.max(-1, keepdims=True), kind)), kind)
    return rounded(p / rounded(p.sum(-1, keepdims=True), kind), kind)


class Running(NamedTuple):
    """m (B,), and l (n, B) after each block: the online softmax in a type of few bits."""

    m: Floats
    l: Floats


def running_in(x: Floats, kind: str, block: int = 1) -> Running:
    """(m, l) of x (B, M), a block at a time, l in a type; a block's own sum is rounded once."""
    m: Floats = np.full(len(x), -np.inf)
    l: Floats = np.zeros(len(x))
    path = []
    for t in blocks(x.shape[-1], block):
        tile = x[:, t]
        higher = np.maximum(m, tile.max(-1))
        p = rounded(np.exp(rounded(tile - higher[:, None], kind)), kind)
        scale = rounded(np.exp(rounded(m - higher, kind)), kind)
        m, l = higher, rounded(rounded(l * scale, kind) + rounded(p.sum(-1), kind), kind)
        path.append(l)
    return Running(m, np.array(path))


def tree_in(x: Floats, kind: str) -> Floats:
    """l (B,) of x (B, M), M a power of two, merged in pairs, then pairs of pairs, and so on."""
    m, l = x, np.ones_like(x)
    while m.shape[-1] > 1:
        higher = np.maximum(m[:, ::2], m[:, 1::2])
        left, right = (
            rounded(rounded(np.exp(rounded(m[:, i::2] - higher, kind)), kind) * l[:, i::2], kind)
            for i in range(2)
        )
        m, l = higher, rounded(left + right, kind)
    return np.asarray(l[:, 0])


def online_in(x: Floats, kind: str, block: int = 1) -> Floats:
    """The weights exp(x - m) / l, with l from `running_in`."""
    m, path = running_in(x, kind, block)
    p = rounded(np.exp(rounded(x - m[:, None], kind)), kind)
    return rounded(p / path[-1][:, None], kind)


# ------------------------------------------------------------------------------- overflow


class Lost(NamedTuple):
    """Share of rows that the naive softmax loses to NaN: kind -> (n,), for each of (n,) scales."""

    scales: Floats
    share: dict[str, Floats]


def data_lost(*, rng: np.random.Generator, rows: int = 200, keys: int = 1024) -> Lost:
    """Scores from a normal distribution of a growing standard deviation."""
    scales, x = np.geomspace(1, 100, 41), rng.normal(size=(rows, keys))
    share = {
        kind: np.array([np.isnan(naive_in(rounded(s * x, kind), kind)).any(-1).mean()
                        for s in scales])
        for kind in KINDS
    }  # fmt: skip
    return Lost(scales, share)


# ------------------------------------------------------------------------------- errors


class Errors(NamedTuple):
    """Largest error of a weight over the largest weight, median over rows, by type and by size.

    sizes  (n,)
    safe, online, naive  kind -> (n,), NaN where the naive softmax lost more than half of the rows
    """

    sizes: Floats
    safe: dict[str, Floats]
    online: dict[str, Floats]
    naive: dict[str, Floats]


def data_errors(*, rng: np.random.Generator, rows: int = 40, keys: int = 256) -> Errors:
    """Scores N(size, 1), rounded to a type, then their weights, against those of the scores given.

    A block of 64 scores is summed at once, as a kernel does.
    """
    sizes = 2.0 ** np.arange(14)
    noise = rng.normal(size=(rows, keys))
    programs = {"safe": safe_in, "online": lambda x, k: online_in(x, k, 64), "naive": naive_in}
    found: dict[str, dict[str, Floats]] = {name: {} for name in programs}
    for kind in KINDS:
        for name, program in programs.items():
            column = []
            for size in sizes:
                truth = safe_softmax(size + noise)
                wrong = np.abs(program(rounded(size + noise, kind), kind) - truth).max(-1)
                column.append(float(np.median(wrong / truth.max(-1))))
            found[name][kind] = np.array(column)
    return Errors(sizes, **found)


def draw_errors(data: Errors) -> Picture:
    """One line a type (safe), marks on it (online), a cross where the naive softmax ends."""
    figure, axes = panel("Error of the weights", (3.7, 2.9))
    for kind in KINDS:
        colour = COLOUR_OF[kind]
        axes.loglog(data.sizes, data.safe[kind], color=colour)
        axes.plot(data.sizes, data.online[kind], LOOK_OF[kind], color=colour, fillstyle="none",
                  markersize=6)  # fmt: skip
        last = np.flatnonzero(np.isfinite(data.naive[kind]))[-1]
        axes.plot(data.sizes[last], data.naive[kind][last], "X", color=colour, markersize=10)
        axes.annotate(kind, (1, data.safe[kind][0]), (2, 10), color=colour, weight="bold",
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.minorticks_off()
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set(xlabel="size of the scores", ylabel="error / largest weight", ylim=(1e-8, 9))
    return picture(
        figure,
        "Errors of the safe (lines) and the online softmax (marks) coincide and grow in proportion"
        " to the size of the scores, for bfloat16, float16 and float32, which lie far apart. The"
        " naive softmax ends in crosses: in float16 first.",
    )


# ------------------------------------------------------------------------------- accumulation


class Sums(NamedTuple):
    """Relative error of l after (n,) keys, for each way of summing.

    keys   (n,)
    error  (kind, how) -> (n, B)
    """

    keys: NDArray[np.intp]
    error: dict[tuple[str, str], Floats]


WAYS = (
    ("bfloat16", "one by one"),
    ("bfloat16", "blocks of 64"),
    ("bfloat16", "pairs of pairs"),
    ("float16", "one by one"),
    ("float32", "one by one"),
)


def data_sums(
    *, rng: np.random.Generator, rows: int = 20, doublings: int = 12,
    ways: tuple[tuple[str, str], ...] = WAYS,
) -> Sums:  # fmt: skip
    """Scores of standard deviation 1, the running sum kept in a type; the truth in float64."""
    keys = 2 ** np.arange(6, doublings + 1)
    x = rng.normal(size=(rows, keys[-1]))
    error: dict[tuple[str, str], Floats] = {}
    for kind, how in ways:
        scores = rounded(x, kind)
        sums = _sums(scores, kind, how, keys)
        truth = [np.exp(scores[:, :n] - scores[:, :n].max(-1)[:, None]).sum(-1) for n in keys]
        error[kind, how] = np.abs(sums / np.array(truth) - 1)
    return Sums(keys, error)


def _sums(x: Floats, kind: str, how: str, keys: NDArray[np.intp]) -> Floats:
    if how == "pairs of pairs":
        return np.array([tree_in(x[:, :n], kind) for n in keys])
    block = 64 if how == "blocks of 64" else 1
    return running_in(x, kind, block).l[keys // block - 1]


LINE_OF = {"one by one": "-", "blocks of 64": "--", "pairs of pairs": ":"}


def draw_sums(data: Sums) -> Picture:
    """A line for each way, with the band that holds eight of ten rows."""
    figure, axes = panel("Error of the sum l", (3.7, 3.1))
    for (kind, how), error in data.error.items():
        low, high = np.quantile(error, [0.1, 0.9], axis=1)
        axes.fill_between(data.keys, low, high, color=COLOUR_OF[kind], alpha=0.15, linewidth=0)
        middle = np.median(error, 1)
        axes.loglog(data.keys, middle, LINE_OF[how], color=COLOUR_OF[kind],
                    label=f"{kind}, {how}")  # fmt: skip
    axes.minorticks_off()
    axes.set_xscale("log", base=2)
    axes.set_xticks(data.keys[::2], [f"{n:,}".replace(",", " ") for n in data.keys[::2]])
    axes.set(xlabel="keys", ylabel="relative error")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(0.0, 0.36))
    return picture(
        figure,
        "Errors of l against the number of keys. In bfloat16 and one by one the error nears 1;"
        " blocks of 64 delay it, pairs of pairs avoid it. float16 follows later, float32 stays"
        " below one in ten thousand.",
    )


def draw_running(
    kind: str = "bfloat16", block: int = 1, scale: float = 0.0, keys: int = 1024, seed: int = 0
) -> Picture:
    """The running sum l in a type, beside the exact one; for `live`."""
    x = rounded(scale * np.random.default_rng(seed).normal(size=(1, keys)), kind)
    m, path = running_in(x, kind, block)
    seen = np.array([t.stop for t in blocks(keys, block)])
    running = np.maximum.accumulate(x[0])[seen - 1]
    exact = np.cumsum(np.exp(x[0] - m[0]))[seen - 1] * np.exp(m[0] - running)
    figure, axes = panel(f"Running sum in {kind}, {block} at a time", (3.7, 2.4))
    axes.plot(seen, exact, "--", color="#000000", linewidth=1.2, label="exact")
    axes.plot(seen, path[:, 0], "-", color=COLOUR_OF[kind], label=kind)
    axes.set(xlabel="keys seen", ylabel="sum l", xlim=(0, keys), ylim=(0, None))
    axes.legend(loc="upper left")
    share = 100 * path[-1, 0] / exact[-1]
    return picture(figure, f"The running sum ends at {share:.0f} % of the exact one.")


# ------------------------------------------------------------------------------- the output


class Outputs(NamedTuple):
    """Relative error of attention's output: (kind, how) -> (N,)."""

    error: dict[tuple[str, str], Floats]


HOWS = ("whole row at once", "online, sums in float32", "online, sums in the type")


def data_outputs(
    *, rng: np.random.Generator, queries: int = 32, keys: int = 2048, dim: int = 32, block: int = 1
) -> Outputs:
    """Scores, weights and values in a type; o and l kept in float32 or in the type itself.

    `block` is that of the sums in the type; the others take 64 scores at a time.
    """
    x, v = rng.normal(size=(queries, keys)), rng.normal(size=(keys, dim))
    error: dict[tuple[str, str], Floats] = {}
    for kind in KINDS:
        scores, values = rounded(x, kind), rounded(v, kind)
        truth = safe_softmax(scores) @ values
        found = (
            rounded(rounded(safe_in(scores, "float32"), kind) @ values, kind),
            attend_in(scores, values, kind, "float32", 64),
            attend_in(scores, values, kind, kind, block),
        )
        size = np.sqrt((truth**2).mean(-1))
        for how, o in zip(HOWS, found, strict=True):
            error[kind, how] = np.sqrt(((o - truth) ** 2).mean(-1)) / size
    return Outputs(error)


def attend_in(x: Floats, v: Floats, kind: str, sums: str, block: int) -> Floats:
    """Online attention, scores (N, M), values (M, D): weights in `kind`, l and o in `sums`."""
    m: Floats = np.full(len(x), -np.inf)
    l: Floats = np.zeros(len(x))
    o: Floats = np.zeros((len(x), v.shape[-1]))
    for t in blocks(x.shape[-1], block):
        higher = np.maximum(m, x[:, t].max(-1))
        p = rounded(np.exp(rounded(x[:, t] - higher[:, None], sums)), kind)
        scale = rounded(np.exp(rounded(m - higher, sums)), sums)
        l = rounded(rounded(l * scale, sums) + rounded(p.sum(-1), sums), sums)
        o = rounded(rounded(o * scale[:, None], sums) + rounded(p @ v[t], sums), sums)
        m = higher
    return rounded(rounded(o / l[:, None], sums), kind)


def relative(data: Outputs, kind: str) -> tuple[float, float]:
    """Median errors online, with sums in float32 and in the type, over that of the whole row."""
    whole, wide, narrow = (float(np.median(data.error[kind, how])) for how in HOWS)
    return wide / whole, narrow / whole


def draw_outputs(data: Outputs) -> Picture:
    """Three dots for each type."""
    figure, axes = panel("Error of the output", (3.7, 2.7))
    marks = dict(zip(HOWS, ("o", "x", "D"), strict=True))
    for how, mark in marks.items():
        for i, kind in enumerate(KINDS):
            error = data.error[kind, how]
            middle = float(np.median(error))
            low, high = np.quantile(error, [0.1, 0.9])
            y = i + 0.16 * (HOWS.index(how) - 1)
            axes.plot([low, high], [y, y], color=COLOUR_OF[kind], linewidth=1.2)
            axes.plot(middle, y, mark, color=COLOUR_OF[kind], markersize=6)
        axes.plot([], [], mark, color="#000000", linestyle="none", label=how)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_yticks(range(3), KINDS)
    axes.set(xlabel="relative error of o", ylim=(2.4, -1.5))
    axes.legend(fontsize=7, loc="upper left")
    return picture(
        figure,
        "In bfloat16 and in float16 the whole row and the online softmax with float32 sums have the"
        " same error; with sums kept in the type it is much larger. In float32 all are small.",
    )
