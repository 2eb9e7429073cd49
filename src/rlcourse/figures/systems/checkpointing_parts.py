"""Gradient accumulation: what micro-batches hold, and what they must weigh.

Eight sequences of a decoder, of which only the first tokens of each count, as answers in a batch
do. Shapes: B sequences, N tokens, n micro-batches, P weights.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse.figures.systems.checkpointing_run import CONFIG
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, RED, Picture, panel, picture
from rlcourse.systems.checkpointing import accumulation_weights
from rlcourse.systems.memory_counter import MemoryCounter

BATCH, TOKENS = 8, 90
SMALL = replace(CONFIG, layers=3)
PARTS = (1, 2, 4, 8)
RATIOS = (1, 2, 4, 8)
MEAN = 45  # tokens that count, per sequence: 45 and 45, 60 and 30, 72 and 18, 80 and 10


class Batch(NamedTuple):
    """A decoder, its tokens and targets (B, N), of which −100 don't count."""

    model: Decoder
    tokens: Tensor
    targets: Tensor


def batch_of(ratio: int, *, generator: torch.Generator) -> Batch:
    """The first half of the sequences has `ratio` times as many tokens that count as the rest."""
    model = Decoder(SMALL, generator=generator)
    windows = torch.randint(SMALL.vocabulary // 2, (BATCH, TOKENS + 1), generator=generator)
    windows[: BATCH // 2] += SMALL.vocabulary // 2  # long and short ones speak of different things
    short = 2 * MEAN // (ratio + 1)
    length = torch.tensor([2 * MEAN - short] * (BATCH // 2) + [short] * (BATCH // 2))
    targets = windows[:, 1:].masked_fill(torch.arange(TOKENS) >= length[:, None], -100)
    return Batch(model, windows[:, :-1].contiguous(), targets)


def accumulate(batch: Batch, parts: int, weights: Sequence[float]) -> None:
    """Backward through one micro-batch after another; gradients add up."""
    pieces = zip(batch.tokens.chunk(parts), batch.targets.chunk(parts), weights, strict=True)
    for tokens, targets, weight in pieces:
        loss = F.cross_entropy(batch.model(tokens).flatten(0, 1), targets.flatten())
        torch.autograd.backward(weight * loss)


def counts(batch: Batch, parts: int) -> list[int]:
    """Tokens that count in each micro-batch."""
    return [int((x != -100).sum()) for x in batch.targets.chunk(parts)]


def gradient(batch: Batch, parts: int, weights: Sequence[float]) -> Tensor:
    """(P,): what the weights get by an accumulation."""
    for p in batch.model.parameters():
        p.grad = torch.zeros_like(p)
    accumulate(batch, parts, weights)
    return torch.cat([p.grad.flatten() for p in batch.model.parameters() if p.grad is not None])


class Parts(NamedTuple):
    """Micro-batches and their peaks; ratios of counts, errors of equal and of right weights.

    An error is |g − g'| / |g| against the whole batch at once, with four micro-batches.
    """

    peaks: dict[int, int]
    equal: dict[int, float]
    weighted: dict[int, float]


def data_parts(*, generator: torch.Generator) -> Parts:
    """Count bytes beyond weights and gradients, then compare gradients."""
    peaks: dict[int, int] = {}
    equal: dict[int, float] = {}
    weighted: dict[int, float] = {}
    batch = batch_of(1, generator=generator)
    gradient(batch, 1, [1.0])  # a process's first run makes a few bytes that stay
    for parts in PARTS:
        with MemoryCounter() as counter:
            for p in batch.model.parameters():
                counter.add([p, p.grad] if p.grad is not None else [p])
            counter.add([batch.tokens, batch.targets])
            before = counter.live
            accumulate(batch, parts, accumulation_weights(counts(batch, parts)))
            peaks[parts] = counter.peak - before
    for ratio in RATIOS:
        batch = batch_of(ratio, generator=generator)
        whole = gradient(batch, 1, [1.0])
        for found, weights in (
            (equal, [0.25] * 4),
            (weighted, accumulation_weights(counts(batch, 4))),
        ):
            off = gradient(batch, 4, weights) - whole
            found[ratio] = float(off.norm() / whole.norm())
    return Parts(peaks, equal, weighted)


def draw_parts(data: Parts) -> Picture:
    """Left the peak over the number of micro-batches, right errors over the ratio of counts."""
    left, axes = panel("8 sequences in n micro-batches", (3.6, 2.5))
    n = list(data.peaks)
    axes.loglog(n, [x / 1e6 for x in data.peaks.values()], "o-", color=BLUE, label="counted")
    axes.loglog(n, [data.peaks[1] / 1e6 / x for x in n], ":", color="#000000", label="1/n",
                linewidth=0.9)  # fmt: skip
    axes.set_xticks(n, [str(x) for x in n])
    low = data.peaks[n[-1]] / 1e6
    ticks = [round(low * 2**i, 1) for i in range(4)]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set(xlabel="n", ylabel="MB at the peak")
    axes.legend(fontsize=7.5)
    right, axes = panel("Four micro-batches against one batch", (3.6, 2.5))
    ratio = list(data.equal)
    axes.plot(ratio, list(data.equal.values()), "s--", color=RED, label="mean of the means")
    axes.plot(ratio, list(data.weighted.values()), "o-", color=BLUE, label="by tokens")
    axes.set_xticks(ratio, [f"{x}:1" for x in ratio])
    axes.set(xlabel="tokens of the long to the short", ylabel="gradient off by", ylim=(-0.05, 1.6))
    ticks = [0, 0.5, 1, 1.5]
    axes.set_yticks(ticks, [f"{t:.0%}" for t in ticks])
    axes.legend(fontsize=7.5)
    return picture(
        [left, right],
        f"The peak falls nearly as 1/n, from {data.peaks[1] / 1e6:.1f} MB to"
        f" {data.peaks[n[-1]] / 1e6:.1f}. The mean of the means is off by"
        f" {data.equal[ratio[-1]]:.0%} where counts are {ratio[-1]} to 1; weights by tokens are"
        f" off by {max(data.weighted.values()):.0e}.",
    )
