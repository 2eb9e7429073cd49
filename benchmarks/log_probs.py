"""Log-probabilities of tokens under a vocabulary of 151 936: fused with the last layer, and not.

    .venv/bin/python benchmarks/log_probs.py

writes src/rlcourse/results/benchmarks/log_probs.json, in some five minutes, on Linux.
fused is `language.log_probs.fused_log_probs`; plain is log_softmax and gather on the logits of all
tokens. Both are called forward and backward, with the gradient of a weighted sum, for states and
head. times_plain: seconds over those of plain, within a round, both of the CPU (one thread), so
that other work on the machine hardly counts. bytes: by how much the resident memory of a fresh
process grows at the peak of a call, inputs and libraries not counted, the gradients counted (that
of the head is 4 V C). `timing` says how they race. float32.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timing import peak_growth, race, ratios, rounded
from torch import Tensor

from rlcourse import results
from rlcourse.language.log_probs import fused_log_probs

V = 151_936  # Qwen2.5 and Qwen3
SIZES = ((512, 256), (2048, 256), (1024, 896))  # tokens and width; 896: Qwen2.5-0.5B
ROUNDS = 7


def plain(states: Tensor, head: Tensor, tokens: Tensor) -> Tensor:
    return torch.log_softmax(states @ head.T, -1).gather(-1, tokens[:, None])[:, 0]


METHODS: dict[str, Callable[..., Tensor]] = {"plain": plain, "fused": fused_log_probs}


def runs(n: int, width: int, size: int = V) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    """A call of each method; all get the same numbers."""
    g = torch.Generator().manual_seed(1)
    states = torch.randn(n, width, generator=g).requires_grad_()
    head = (torch.randn(size, width, generator=g) / width**0.5).requires_grad_()
    tokens = torch.randint(size, (n,), generator=g)
    weights = torch.randn(n, generator=g)

    def run(f: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        found = f(states, head, tokens)
        return (found, *torch.autograd.grad(found, (states, head), weights))

    return {name: lambda f=f: run(f) for name, f in METHODS.items()}  # type: ignore[misc]


def peak(method: str, n: int, width: int) -> int:
    """Bytes beyond the inputs at the peak of one call, in a fresh process."""
    arguments = [sys.executable, __file__, "--peak", method, str(n), str(width)]
    return int(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout)


def print_peak(method: str, n: int, width: int) -> None:
    runs(4, 8, 16)[method]()  # loads what is loaded on the first call
    run = runs(n, width)[method]
    print(peak_growth(run))


def compare(n: int, width: int) -> list[dict[str, Any]]:
    """A row for each method, after both have come to the same numbers."""
    both = runs(n, width)
    for a, b in zip(both["plain"](), both["fused"](), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    seconds = race(both, ROUNDS, time.process_time)
    rows = [
        {
            "method": name, "tokens": n, "width": width, "seconds": float(np.median(x)),
            "times_plain": ratios(x, seconds["plain"]), "bytes": peak(name, n, width),
        }
        for name, x in seconds.items()
    ]  # fmt: skip
    for row in rows:
        print(rounded(row), flush=True)
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        content = results.circumstances("numpy", "torch")
        content |= {"threads": 1, "load": os.getloadavg(), "vocabulary": V}
        content["rows"] = [rounded(row) for size in SIZES for row in compare(*size)]
        content["load"] = [content["load"], os.getloadavg()]
        print(results.write("benchmarks/log_probs", content))
