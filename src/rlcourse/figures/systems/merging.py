"""Merging summaries in any order, any tree and any split; and ring attention, step by step.

Shapes: N queries, M keys, D head dimension, W ranks.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse.plot import PALETTE, Picture, panel, picture
from rlcourse.systems.online_softmax import (
    EMPTY,
    Floats,
    Summary,
    finish,
    merge,
    merge_all,
    safe_softmax,
    scores,
    summarize,
)
from rlcourse.systems.slow_memory import blocks

HALF = (3.4, 2.6)  # two panels side by side

# ------------------------------------------------------------------------------- any order


class Orders(NamedTuple):
    """Error of one output in float32 for each way of merging the same blocks, over all runs.

    error     way -> (runs,) largest error of o, relative to the largest element of o
    distinct  way -> how many different outputs, to the last bit
    """

    error: dict[str, Floats]
    distinct: dict[str, int]


def merge_tree(parts: list[Summary], *, rng: np.random.Generator) -> Summary:
    """Merge two parts drawn at random, until one is left: any order and any grouping."""
    parts = list(parts)
    while len(parts) > 1:
        i, j = rng.choice(len(parts), 2, replace=False)
        joined = merge(parts[i], parts[j])
        parts = [part for k, part in enumerate(parts) if k not in (i, j)] + [joined]
    return parts[0]


def merge_pairs(parts: list[Summary]) -> Summary:
    """Merge neighbours in pairs, then pairs of pairs, and so on."""
    while len(parts) > 1:
        parts = [merge_all(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def data_orders(
    *, rng: np.random.Generator, keys: int = 2048, dim: int = 16, block: int = 32, runs: int = 60
) -> Orders:
    """One query in float32; the truth in float64. Random blocks cut the keys anywhere."""
    x = (3 * rng.normal(size=keys)).astype(np.float32)
    v = rng.normal(size=(keys, dim)).astype(np.float32)
    truth = safe_softmax(x.astype(np.float64)) @ v.astype(np.float64)
    parts = [summarize(x[t], v[t]) for t in blocks(keys, block)]

    def shuffled() -> list[Summary]:
        return [parts[i] for i in rng.permutation(len(parts))]

    def any_split() -> list[Summary]:
        to = rng.integers(0, len(parts), keys)
        return [summarize(x[to == i], v[to == i]) for i in range(len(parts))]

    ways: dict[str, Callable[[], Summary]] = {
        "left to right": lambda: merge_all(parts),
        "pairs of pairs": lambda: merge_pairs(parts),
        "any order": lambda: merge_all(shuffled()),
        "any tree": lambda: merge_tree(parts, rng=rng),
        "any split": lambda: merge_all(any_split()),
    }
    error, distinct = {}, {}
    for name, way in ways.items():
        found = np.array([finish(way()) for _ in range(runs)])
        error[name] = np.abs(found - truth).max(-1) / np.abs(truth).max()
        distinct[name] = len(np.unique(found, axis=0))
    return Orders(error, distinct)


def draw_orders(data: Orders) -> Picture:
    """A row of dots for each way of merging."""
    figure, axes = panel("Error of the output, in epsilons", (3.7, 2.6))
    epsilon = np.finfo(np.float32).eps
    jitter = np.random.default_rng(0)
    for i, (name, error) in enumerate(data.error.items()):
        y = i + jitter.uniform(-0.25, 0.25, len(error))
        axes.plot(error / epsilon, y, "o", color=PALETTE[i], markersize=3, alpha=0.7)
        outputs = f"{data.distinct[name]} output{'s' * (data.distinct[name] > 1)}"
        axes.annotate(outputs, (1, i), (-2, 0), va="center", ha="right",
                      xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=7.5)  # fmt: skip
    axes.set_yticks(range(len(data.error)), list(data.error))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    worst = max(float(error.max()) for error in data.error.values()) / epsilon
    axes.set(xlim=(0, 1.4 * worst))
    return picture(
        figure,
        f"All outputs lie within {worst:.1f} epsilon of the truth, whatever the order, the tree or"
        " the split; but different orders give outputs that differ in their last bits.",
    )


# ------------------------------------------------------------------------------- the ring


class Ring(NamedTuple):
    """Ring attention, step by step.

    block  (W, W)  which block of keys rank w (row) holds at step t (column)
    error  (W, W)  rank w's largest error after step t, against attention over all keys
    """

    block: NDArray[np.intp]
    error: Floats


def data_ring(*, rng: np.random.Generator, ranks: int = 5, n: int = 16, dim: int = 16) -> Ring:
    """What each rank would answer after each step, from what it has met so far."""
    q, k, v = rng.normal(size=(3, ranks, n, dim))
    truth = safe_softmax(scores(q, k.reshape(-1, dim))) @ v.reshape(-1, dim)
    held, x, block, error = np.arange(ranks), EMPTY, [], []
    for _ in range(ranks):
        x = merge(x, summarize(scores(q, k[held]), v[held]))
        block.append(held)
        error.append(np.abs(finish(x) - truth).max((1, 2)))
        held = np.roll(held, 1)
    return Ring(np.array(block).T, np.array(error).T)


def draw_ring(data: Ring) -> Picture:
    """Left: who holds which block when. Right: the errors, down to rounding at the last step."""
    ranks = len(data.block)
    left, axes = panel("Block of keys that each rank holds", HALF)
    for rank in range(ranks):
        for step in range(ranks):
            b = data.block[rank, step]
            axes.barh(rank, 0.92, 0.84, left=step - 0.46, color=PALETTE[b % 6], alpha=0.35)
            axes.text(step, rank, str(b), ha="center", va="center", fontsize=9, weight="bold")
    axes.invert_yaxis()
    axes.grid(False)
    axes.set(xlabel="step", xticks=range(ranks), yticks=range(ranks))
    axes.set_yticklabels([f"rank {w}" for w in range(ranks)])
    right, axes = panel("Error of each rank's output", HALF)
    for rank in range(ranks):
        axes.semilogy(np.maximum(data.error[rank], 1e-17), "o-", color="#000000",
                      alpha=0.6, markersize=4, linewidth=1.2)  # fmt: skip
    axes.set(xlabel="step", xticks=range(ranks))
    return picture(
        [left, right],
        "Left: each rank begins with its own block and gets its neighbour's at each step, so that"
        " each meets all blocks, in an order of its own. Right: errors stay large until the last"
        " step, and fall to rounding there.",
    )
