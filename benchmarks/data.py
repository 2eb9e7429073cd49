"""Conversations padded, packed and in batches by a budget of tokens: how fast a model learns them.

    .venv/bin/python benchmarks/data.py

writes src/rlcourse/results/benchmarks/data.json, in some minutes. 64 conversations of the chapter
on data go forward and backward through its model, the psalmist, once:
    padded      16 at a time in the order they come, each as long as the longest of its batch
    budget      `token_budget_batches` of 1024 tokens, padding counted
    packed      rows of 256 tokens, four at a time, block-diagonal attention
    one by one  each alone: no padding, and no batch
tokens: those of the conversations, without padding; times_padded: seconds over those of padded,
within a round, of the CPU (one thread). `timing` says how they race. float32.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from timing import race, ratios, rounded

from rlcourse import results
from rlcourse.alignment.data import Sample, token_loss
from rlcourse.alignment.packing import Batch, packed_batch, padded_batch, token_budget_batches
from rlcourse.alignment.sft import kept, parts_of, scored
from rlcourse.figures.alignment.data import WINDOW, conversations
from rlcourse.figures.language.psalmist import psalmist
from rlcourse.language.transformer import Decoder

COUNT, AT_ONCE, BUDGET, ROUNDS = 64, 16, 1024, 9


def layouts(samples: Sequence[Sample]) -> dict[str, list[Batch]]:
    lengths = [len(sample.tokens) for sample in samples]
    cuts = range(0, len(samples), AT_ONCE)
    budgets = token_budget_batches(lengths, BUDGET)
    return {
        "padded": [padded_batch(samples[i : i + AT_ONCE]) for i in cuts],
        "budget": [padded_batch([samples[i] for i in batch]) for batch in budgets],
        "packed": parts_of(packed_batch(samples, WINDOW), BUDGET // WINDOW),
        "one by one": [padded_batch([sample]) for sample in samples],
    }


def gradient(model: Decoder, batches: Sequence[Batch]) -> list[torch.Tensor]:
    """The gradient of the loss over all conversations, whatever their layout."""
    model.zero_grad()
    total = sum(int(kept(batch).sum()) for batch in batches)
    for batch in batches:
        torch.autograd.backward(token_loss(*scored(model, batch), total))
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def main() -> None:
    model = Decoder(psalmist().model.config, generator=torch.Generator())
    model.load_state_dict(psalmist().model.state_dict())
    samples = conversations()[:COUNT]
    tokens = sum(len(sample.tokens) for sample in samples)
    each = layouts(samples)
    found = {name: gradient(model, batches) for name, batches in each.items()}
    for other in found.values():
        torch.testing.assert_close(other, found["padded"], rtol=1e-3, atol=1e-5)
    runs: dict[str, Callable[[], Any]] = {
        name: partial(gradient, model, batches) for name, batches in each.items()
    }
    seconds = race(runs, ROUNDS, time.process_time)
    content = results.circumstances("numpy", "torch")
    content |= {"threads": 1, "conversations": COUNT, "tokens": tokens}
    content["rows"] = [
        rounded({
            "layout": name,
            "cells": sum(batch.tokens.numel() for batch in each[name]),
            "seconds": float(np.median(x)),
            "tokens_per_second": tokens / float(np.median(x)),
            "times_padded": ratios(x, seconds["padded"]),
        })
        for name, x in seconds.items()
    ]  # fmt: skip
    print(*content["rows"], results.write("benchmarks/data", content), sep="\n")


if __name__ == "__main__":
    main()
