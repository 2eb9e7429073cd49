"""Softmax as programs on slow memory: how often does each read a score and write a weight?

A program takes the scores x (M,) in slow memory, reads `block` of them at a time, and keeps no more
than that plus a few numbers. Memory is a SlowMemory, which counts, or an array, which is timed.
"""

import time
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from rlcourse.plot import BLUE, OCHRE, Picture, panel, picture
from rlcourse.systems.online_softmax import Floats, Matrix, finish, merge, summarize, update
from rlcourse.systems.slow_memory import SlowMemory, blocks

# ------------------------------------------------------------------------------- weights


def naive_program(x: Matrix, y: Any, block: int) -> None:
    """Two passes: Σ exp(x), then the weights."""
    total = sum(np.exp(x[t]).sum() for t in blocks(len(x), block))
    for t in blocks(len(x), block):
        y[t] = np.exp(x[t]) / total


def safe_program(x: Matrix, y: Any, block: int) -> None:
    """Three passes: the max, then Σ exp(x - m), then the weights."""
    m = max(x[t].max() for t in blocks(len(x), block))
    total = sum(np.exp(x[t] - m).sum() for t in blocks(len(x), block))
    for t in blocks(len(x), block):
        y[t] = np.exp(x[t] - m) / total


def online_program(x: Matrix, y: Any, block: int) -> None:
    """Two passes: m and l together, then the weights."""
    m, l = running(x, block)
    for t in blocks(len(x), block):
        y[t] = np.exp(x[t] - m) / l


def running(x: Matrix, block: int) -> tuple[Any, Any]:
    """One pass: (m, l) of all scores."""
    m, l = -np.inf, 0.0
    for t in blocks(len(x), block):
        m, l = update(m, l, x[t])  # type: ignore[assignment]
    return m, l


# ------------------------------------------------------------------------------- and a consumer


def largest(x: Matrix, k: int, block: int) -> Floats:
    """One pass: the k largest numbers, in falling order."""
    best = np.zeros(0)
    for t in blocks(len(x), block):
        best = np.sort(np.concatenate([best, x[t]]))[::-1][:k]
    return best


def fused_largest(x: Matrix, k: int, block: int) -> Floats:
    """One pass in all: the k largest weights, of (m, l) and the k largest scores found together."""
    m, l, best = -np.inf, 0.0, np.zeros(0)
    for t in blocks(len(x), block):
        tile = x[t]
        m, l = update(m, l, tile)  # type: ignore[assignment]
        best = np.sort(np.concatenate([best, tile]))[::-1][:k]
    return np.exp(best - m) / l


def weighted_sum(x: Matrix, v: Matrix, block: int) -> Floats:
    """One pass: Σ p v, of the weights p and the values v, no weight written down."""
    return finish(reduce(merge, (summarize(x[t], v[t]) for t in blocks(len(x), block))))


# ------------------------------------------------------------------------------- counted


class Passes(NamedTuple):
    """Accesses to slow memory for each score: how often a program reads, and writes, M elements."""

    name: str
    reads: float
    writes: float


def count(name: str, program: Callable[[SlowMemory, SlowMemory], object], size: int) -> Passes:
    """Run a program on a slow x of `size` scores and a slow y as large, and count."""
    x, y = SlowMemory(np.linspace(-2, 2, size)), SlowMemory(np.zeros(size))
    program(x, y)
    reads = x.traffic.reads + y.traffic.reads
    return Passes(name, reads / size, (x.traffic.writes + y.traffic.writes) / size)


def data_passes(size: int = 1000, block: int = 64, k: int = 5) -> list[Passes]:
    """What each program moves, from the naive softmax to one fused with what uses its weights."""

    def then_largest(program: Callable[..., None], x: SlowMemory, y: SlowMemory) -> Floats:
        program(x, y, block)
        return largest(y, k, block)

    return [
        count("naive softmax", lambda x, y: naive_program(x, y, block), size),
        count("safe softmax", lambda x, y: safe_program(x, y, block), size),
        count("online softmax", lambda x, y: online_program(x, y, block), size),
        count("safe, then the top k", lambda x, y: then_largest(safe_program, x, y), size),
        count("online, then the top k", lambda x, y: then_largest(online_program, x, y), size),
        count("online with the top k", lambda x, y: fused_largest(x, k, block), size),
        count("online with values", lambda x, y: weighted_sum(x, np.ones((size, 1)), block), size),
    ]


def draw_passes(passes: list[Passes]) -> Picture:
    """A bar for each program: reads, then writes."""
    figure, axes = panel("Accesses, for each score", (3.7, 2.6))
    at = np.arange(len(passes))
    reads, writes = (np.array([getattr(p, name) for p in passes]) for name in ("reads", "writes"))
    axes.barh(at, reads, 0.62, color=BLUE, label="reads")
    axes.barh(at, writes, 0.62, left=reads, color=OCHRE, hatch="///", label="writes")
    for i, total in enumerate(reads + writes):
        axes.annotate(f"{total:g}", (total, i), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(at, [p.name for p in passes])
    axes.invert_yaxis()
    axes.grid(False)
    axes.set(xlim=(0, 5.9))
    axes.set_xticks([])
    axes.legend(loc="lower right")
    return picture(
        figure,
        "Bars of "
        + ", ".join(f"{p.reads + p.writes:g} accesses ({p.name})" for p in passes)
        + ": fusing saves more than the online softmax alone.",
    )


# ------------------------------------------------------------------------------- timed


def nanoseconds(program: Callable[[], object], size: int, repeats: int = 5) -> float:
    """The fastest of a few runs, for each of `size` elements."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        program()
        times.append(time.perf_counter() - began)
    return 1e9 * min(times) / size


def time_passes(
    *, rng: np.random.Generator, size: int = 2**22, block: int = 2**16
) -> dict[str, float]:
    """Nanoseconds for each element of a float32 array: a copy, then the three programs."""
    x = rng.normal(size=size).astype(np.float32)
    y = np.empty_like(x)
    programs: dict[str, Callable[[], object]] = {
        "copy (1 read, 1 write)": lambda: np.copyto(y, x),
        "naive softmax (2, 1)": lambda: naive_program(x, y, block),
        "safe softmax (3, 1)": lambda: safe_program(x, y, block),
        "online softmax (2, 1)": lambda: online_program(x, y, block),
        "(m, l) alone (1, 0)": lambda: running(x, block),
    }
    return {name: nanoseconds(program, size) for name, program in programs.items()}
