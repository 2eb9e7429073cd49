"""Figures and experiments of the online softmax chapter: data_* computes, draw_* shows.

Three parts stand in modules of their own: `memory_passes`, `merging` and `precision`.

Shapes: N queries, M keys, D head dimension, W ranks.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse.figures.systems import precision
from rlcourse.figures.systems.merging import HALF
from rlcourse.plot import BLUE, COLOUR_OF, GREEN, RED, Picture, panel, picture
from rlcourse.systems.online_softmax import Floats, Partial, partial, safe_softmax, summarize

KINDS_16 = ("bfloat16", "float16")

# ------------------------------------------------------------------------------- the question

LENGTHS = 2 ** np.arange(10, 21)
WIDTH = 128  # head dimension


def scores_bytes(n: Any) -> Any:
    """Bytes of the N x N scores of one head, 2 each."""
    return 2 * n**2


def operand_bytes(n: Any) -> Any:
    """Bytes of q, k, v and o of one head, 2 an element."""
    return 4 * 2 * n * WIDTH


def draw_question(lost: precision.Lost) -> Picture:
    """Left: rows that the naive softmax loses. Right: what the scores of one head take."""
    left, axes = panel("Rows lost to NaN", HALF)
    marks = {"float16": "-", "bfloat16": "-", "float32": "--"}
    for kind, share in lost.share.items():
        axes.semilogx(lost.scales, 100 * share, marks[kind], color=COLOUR_OF[kind], label=kind)
    axes.minorticks_off()
    axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    axes.set(xlabel="standard deviation of the scores", ylabel="% of rows")
    axes.legend(loc="center left", fontsize=7.5)
    right, axes = panel("Memory of one head", HALF)
    axes.loglog(LENGTHS, scores_bytes(LENGTHS), color=RED, label="all scores")
    axes.loglog(LENGTHS, operand_bytes(LENGTHS), "--", color=GREEN, label="q, k, v and o")
    axes.minorticks_off()
    axes.set_xscale("log", base=2)
    axes.set_xticks(LENGTHS[::3], ["1 k", "8 k", "64 k", "512 k"])
    axes.set_yscale("log", base=2)
    axes.set_yticks([2**20, 2**30, 2**40], ["1 MiB", "1 GiB", "1 TiB"])
    axes.set(xlabel="tokens")
    axes.legend(loc="upper left", fontsize=7.5)
    return picture(
        [left, right],
        "Left: the naive softmax loses rows to NaN from small scores on, in float16 first. Right:"
        " the scores of one head grow with the square of the length, from megabytes to terabytes;"
        " what goes in and out grows in proportion.",
    )


# ------------------------------------------------------------------------------- new maxima


class Maxima(NamedTuple):
    """How many of the first (n,) blocks bring a new maximum.

    n         (n,)
    found     (n, B), for scores in random order
    expected  (n,)   1 + 1/2 + ... + 1/n
    """

    n: NDArray[np.intp]
    found: Floats
    expected: Floats


def data_maxima(*, rng: np.random.Generator, rows: int = 1000, length: int = 4096) -> Maxima:
    """Count the running maxima of independent scores."""
    x = rng.normal(size=(rows, length))
    highest = np.maximum.accumulate(x, axis=1)
    new = np.cumsum(np.diff(highest, axis=1, prepend=-np.inf) > 0, axis=1)
    n = 2 ** np.arange(int(np.log2(length)) + 1)
    return Maxima(n, new[:, n - 1].T, np.cumsum(1 / np.arange(1, length + 1))[n - 1])


def draw_maxima(data: Maxima) -> Picture:
    """The mean over rows on the expected number, with the band of eight of ten rows."""
    figure, axes = panel("New maxima among n scores", (3.8, 2.4))
    low, high = np.quantile(data.found, [0.1, 0.9], axis=1)
    axes.fill_between(data.n, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.semilogx(data.n, data.found.mean(1), "o", color=BLUE, markersize=4, label="measured")
    axes.plot(data.n, data.expected, "--", color="#000000", linewidth=1, label="1 + 1/2 + … + 1/n")
    axes.minorticks_off()
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set(xlabel="scores seen, in random order", ylabel="new maxima")
    axes.legend(loc="upper left")
    return picture(
        figure,
        f"The number of new maxima grows like the logarithm: {data.found[-1].mean():.1f} on average"
        f" among {data.n[-1]} scores, on the curve of the harmonic numbers.",
    )


# ------------------------------------------------------------------------------- the bug hunt

Merge = Callable[[Partial, Partial], Partial]


class Hunt(NamedTuple):
    """A suspect merge of partial results, by the number of splits and the sharpness of attention.

    splits   (n,)
    error    (scale,) -> (n,) RMS error over the RMS of the output
    same     (scale,) -> (n,) share of queries whose largest output stays the same
    """

    splits: tuple[int, ...]
    error: dict[float, Floats]
    same: dict[float, Floats]


def data_hunt(
    suspect: Merge, *, rng: np.random.Generator, queries: int = 200, keys: int = 2048,
    dim: int = 16, splits: tuple[int, ...] = (2, 3, 4, 8, 16, 32),
    scales: tuple[float, ...] = (1.0, 6.0),
) -> Hunt:  # fmt: skip
    """Decode from a cache in splits, merged from left to right by a suspect."""
    v, noise = rng.normal(size=(keys, dim)), rng.normal(size=(queries, keys))
    error, same = {}, {}
    for scale in scales:
        truth = safe_softmax(scale * noise) @ v
        found = [_in_splits(suspect, scale * noise, v, n) for n in splits]
        wrong = [np.sqrt(((o - truth) ** 2).mean() / (truth**2).mean()) for o in found]
        agree = [(o.argmax(-1) == truth.argmax(-1)).mean() for o in found]
        error[scale], same[scale] = np.array(wrong), np.array(agree)
    return Hunt(splits, error, same)


def _in_splits(merge: Merge, x: Floats, v: Floats, splits: int) -> Floats:
    rows = np.array_split(np.arange(len(v)), splits)
    return reduce(merge, (partial(summarize(x[:, r], v[r])) for r in rows)).o


def draw_hunt(data: Hunt, right: Hunt) -> Picture:
    """The suspect's error and the right one's, by the number of splits."""
    panels = []
    for scale, title in zip(data.error, ("Flat attention", "Sharp attention"), strict=True):
        figure, axes = panel(title, HALF)
        axes.loglog(data.splits, np.maximum(data.error[scale], 1e-17), "X--", color=RED,
                    label="the suspect")  # fmt: skip
        axes.loglog(data.splits, np.maximum(right.error[scale], 1e-17), "o-", color=GREEN,
                    label="merge_partials")  # fmt: skip
        axes.minorticks_off()
        axes.set_xscale("log", base=2)
        axes.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
        axes.set(xlabel="splits", ylabel="relative error", ylim=(1e-17, 100))
        axes.legend(loc="center right")
        panels.append(figure)
    return picture(
        panels,
        "With two splits the suspect is right to the last bits, with three and more its error jumps"
        " by many orders of magnitude and grows with the number of splits, less so where attention"
        " is sharp. merge_partials stays at rounding throughout.",
    )


# ------------------------------------------------------------------------------- recorded


def digits(x: Floats) -> Any:
    """Numbers of any shape with three significant digits, as plain lists."""
    return [digits(row) for row in x] if x.ndim else float(f"{x:.3g}")


def recorded_sums() -> dict[str, Any]:
    """The sums in full: 50 rows of up to 32 768 keys."""
    seed = 2025
    data = precision.data_sums(rows=50, doublings=15, rng=np.random.default_rng(seed))
    error = [[*way, digits(e)] for way, e in data.error.items()]
    return {"seed": seed, "rows": 50, "keys": data.keys.tolist(), "error": error}


def read_sums(record: dict[str, Any]) -> precision.Sums:
    """The sums of a recorded run."""
    x = record["data"]["sums"]
    return precision.Sums(np.array(x["keys"]), {(k, how): np.array(e) for k, how, e in x["error"]})


def recorded_outputs() -> dict[str, Any]:
    """The outputs in full: 64 queries, 8192 keys, width 64."""
    seed = 2026
    rng = np.random.default_rng(seed)
    data = precision.data_outputs(queries=64, keys=8192, dim=64, rng=rng)
    return {"seed": seed, "error": [[*way, digits(e)] for way, e in data.error.items()]}


def read_outputs(record: dict[str, Any]) -> precision.Outputs:
    """The outputs of a recorded run."""
    x = record["data"]["outputs"]
    return precision.Outputs({(kind, how): np.array(e) for kind, how, e in x["error"]})


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "sums": recorded_sums,
    "outputs": recorded_outputs,
}
RECORDED_MODULES = (
    "rlcourse.figures.systems.precision",
    "rlcourse.systems.low_precision",
    "rlcourse.systems.online_softmax",
    "rlcourse.systems.slow_memory",
)
