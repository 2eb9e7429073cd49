"""Attention on a CPU: tiled, PyTorch's own, and as it stands in the textbook.

    .venv/bin/python benchmarks/tiled_attention.py

writes src/rlcourse/results/benchmarks/tiled_attention.json, in about three minutes, on Linux.
One head of dimension 64, float32, no mask. SDPA is PyTorch's scaled_dot_product_attention, a fused
kernel in C++; naive is softmax(q kᵀ / √D) v.
times_sdpa: how many times SDPA's speed, within a round. bytes: by how much the resident memory of a
fresh process grows at the peak, inputs and libraries not counted.
`timing` says how they race. One thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timing import peak_growth, race, ratios, rounded
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rlcourse import results
from rlcourse.systems.tiled_attention import tiled_attention

D = 64
ROUNDS = {2048: 21, 8192: 9}


def naive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, -1) @ v


METHODS: dict[str, Callable[..., Tensor]] = {
    "tiled": tiled_attention,
    "SDPA": scaled_dot_product_attention,
    "naive": naive,
}
PASSES = ("forward", "forward and backward")


def runs(n: int, what: str) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    """A call of each method; all get the same numbers."""
    generator = torch.Generator().manual_seed(1)
    q, k, v, do = torch.randn(4, 1, 1, n, D, generator=generator).unbind()
    leaves = [x.requires_grad_(what != PASSES[0]) for x in (q, k, v)]

    def run(f: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        o = f(*leaves)
        return (o, *torch.autograd.grad(o, leaves, do)) if o.requires_grad else (o,)

    return {name: lambda f=f: run(f) for name, f in METHODS.items()}  # type: ignore[misc]


def agree(n: int, what: str) -> None:
    """AssertionError unless all methods come to the same numbers."""
    ours, theirs, _ = (run() for run in runs(n, what).values())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def peak(method: str, what: str, n: int) -> int:
    """Bytes beyond the inputs at the peak of one call, in a fresh process."""
    arguments = [sys.executable, __file__, "--peak", method, what, str(n)]
    return int(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout)


def print_peak(method: str, what: str, n: int) -> None:
    runs(256, what)[method]()  # loads what is loaded on the first call
    run = runs(n, what)[method]
    print(peak_growth(run))


def compare(n: int, what: str, rounds: int) -> list[dict[str, Any]]:
    """A row for each method."""
    agree(n, what)
    seconds = race(runs(n, what), rounds)
    rows = [
        {
            "what": what, "method": name, "N": n, "seconds": float(np.median(x)),
            "times_sdpa": ratios(seconds["SDPA"], x), "bytes": peak(name, what, n),
        }
        for name, x in seconds.items()
    ]  # fmt: skip
    for row in rows:
        print(rounded(row), flush=True)
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        content = results.circumstances("numpy", "torch")
        content |= {"blas_threads": 1, "load": os.getloadavg()}
        content["problem"] = {"heads": 1, "d": D, "causal": False, "dtype": "float32"}
        rows = [x for n, rounds in ROUNDS.items() for p in PASSES for x in compare(n, p, rounds)]
        content["rows"] = [rounded(row) for row in rows]
        content["load"] = [content["load"], os.getloadavg()]
        print(results.write("benchmarks/tiled_attention", content))
