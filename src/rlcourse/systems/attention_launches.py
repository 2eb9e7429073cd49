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
    """A cut that fits GPUs with 99 KiB of shared memory a program, and spills no register there.

    name: forward, backward_kv or backward_q; d: the head dimension, a power of two. No register is
    spilled where attention is causal or not; packing, soft cap, ALiBi and all at once may spill.
    """
    if itemsize == 4:
        return Launch(16, 16, 8, 1)
    if d > 128:
        return Launch(32, 32, 8, 1)
    if d > 64:
        return {"forward": Launch(64, 64, 8, 2), "backward_kv": Launch(32, 64, 8, 1)}.get(
            name, Launch(64, 32, 8, 1)
        )
    return Launch(64, 64, 8, 2)


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
