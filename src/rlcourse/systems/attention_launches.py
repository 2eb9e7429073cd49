"""How the attention kernels are cut and launched: as measured on such a GPU, else plainly.

`attention_tuned.json` is what benchmarks/gpu/tune_attention.py measured, where and with what.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

TUNED = Path(__file__).with_name("attention_tuned.json")


class Launch(NamedTuple):
    """Rows of queries and of keys in a tile, warps of a program, stages of its pipeline."""

    block_q: int
    block_k: int
    warps: int
    stages: int


def plain(name: str, d: int, itemsize: int) -> Launch:
    """A cut that fits GPUs with 99 KiB of shared memory for a program.

    name: forward, backward_kv or backward_q; d: the head dimension, a power of two. Eight warps,
    since a program that wants more registers than there are spills them.
    """
    if itemsize == 4:
        return Launch(16, 16, 8, 1)
    rows = {
        "forward": ((64, 64), (64, 64), (64, 32)),
        "backward_kv": ((32, 64), (32, 64), (32, 32)),
        "backward_q": ((64, 32), (64, 32), (64, 16)),
    }
    wide = (d > 64) + (d > 128)
    return Launch(*rows[name][wide], 8, 2 if d <= 64 or (name, d) == ("forward", 128) else 1)


@cache
def tuned(capability: tuple[int, int]) -> dict[tuple[str, int, str], Launch]:
    """The measured launches for GPUs of this capability, by (kernel, D, "causal" or "full")."""
    table = json.loads(TUNED.read_text(encoding="utf-8"))
    if list(capability) != table["capability"]:
        return {}
    return {
        (row["kernel"], row["D"], row["edges"]): Launch(**row["launch"])
        for row in table["launches"]
    }
