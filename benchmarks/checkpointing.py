"""Seconds of a forward and backward pass under every way of checkpointing, side by side.

    .venv/bin/python benchmarks/checkpointing.py

writes src/rlcourse/results/benchmarks/checkpointing.json, in about five minutes, on a CPU.
rows: twelve blocks of a decoder in float32, by each schedule of `systems.checkpoint_schedules`, by
autograd alone and by PyTorch's checkpoints. times: seconds over those of autograd, within a round.
forwards: layers run forwards; a backward pass of a layer counts as two of them in `model`, the
ratio that the schedule alone leads to. bytes: counted at the peak, weights and gradients left out.
layers: microseconds of the forward pass of half a block, and of norm, logits and loss; tensors:
microseconds to compute what one block saves, tensor by tensor, each from what comes before it.
`timing` says how they race. Seconds are the CPU's, one thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import time
from typing import Any

import numpy as np
import torch
from timing import quartiles, race, ratios, rounded

from rlcourse import results
from rlcourse.figures.systems import checkpointing_run as figure
from rlcourse.figures.systems.checkpointing_tensors import steps
from rlcourse.language.config import Config

CONFIG = Config(256, 256, 12, heads=4, kv_heads=4, head_dim=64, hidden=688)
BATCH, TOKENS = 2, 256
ROUNDS = 11
LENGTHS = ((BATCH, TOKENS), (1, 2048))  # B and N of the block whose tensors are timed


def chain(halves: bool = False) -> figure.Chain:
    generator = torch.Generator().manual_seed(0)
    return figure.chain(CONFIG, BATCH, TOKENS, halves, generator=generator)


def rows() -> list[dict[str, Any]]:
    found = chain()
    seconds = race(figure.methods(found), ROUNDS, time.process_time)
    costs = figure.costs(found)
    layers = len(found.layers)
    table = []
    for name, method in figure.methods(found).items():
        row: dict[str, Any] = {"way": name, "seconds": float(np.median(seconds[name]))}
        row["times"] = ratios(seconds[name], seconds["autograd"])
        if name in costs:
            forwards, held = costs[name]
            row |= {"forwards": forwards, "model": (forwards + 2 * layers) / (3 * layers)}
            row["held"] = held
        table.append(rounded(row) | {"bytes": figure.counted(found, method)[0]})
        print(table[-1], flush=True)
    return table


def tensors(batch: int, tokens: int) -> dict[str, Any]:
    block = steps(CONFIG, batch, tokens, generator=torch.Generator().manual_seed(0))
    found = micros({name: step.again for name, step in block.items()})
    return {name: of | {"bytes": block[name].bytes} for name, of in found.items()}


def micros(runs: dict[str, Any]) -> dict[str, Any]:
    seconds = race(runs, 5 * ROUNDS, time.process_time)
    return {name: rounded(quartiles(1e6 * x)) for name, x in seconds.items()}


if __name__ == "__main__":
    content = results.circumstances("numpy", "torch") | {"load": os.getloadavg()}
    content["problem"] = {
        "layers": CONFIG.layers, "width": CONFIG.width, "heads": CONFIG.heads,
        "hidden": CONFIG.hidden, "vocabulary": CONFIG.vocabulary, "B": BATCH, "N": TOKENS,
        "dtype": "float32",
    }  # fmt: skip
    content["rows"] = rows()
    parts = chain(halves=True)
    with torch.no_grad():
        attention, swiglu, *_ = parts.layers
        ends = {"attention": attention, "SwiGLU": swiglu, "logits and loss": parts.loss}
        content["layers"] = micros({k: lambda f=f: f(parts.x) for k, f in ends.items()})  # type: ignore[misc]
        content["tensors"] = {str(n): tensors(b, n) for b, n in LENGTHS}
    content["load"] = [content["load"], os.getloadavg()]
    print(content["layers"], content["tensors"], sep="\n")
    print(results.write("benchmarks/checkpointing", content))
