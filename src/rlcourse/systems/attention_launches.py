"""How the attention kernels are launched and cut: as measured on such a GPU, else plainly.

`attention_tuned.json` is what benchmarks/gpu/tune_attention.py measured, where and with what.
Shapes and letters: `rlcourse.systems.attention`.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction
from triton.tools.tensor_descriptor import TensorDescriptor

from rlcourse.systems import attention_kernels, backward_kernels
from rlcourse.systems.attention import FAR

KERNELS = {
    "forward": attention_kernels.forward_kernel,
    "backward_kv": backward_kernels.backward_kv_kernel,
    "backward_q": backward_kernels.backward_q_kernel,
}
INTERPRETED = isinstance(attention_kernels.forward_kernel, InterpretedFunction)
TUNED = Path(__file__).with_name("attention_tuned.json")


class Problem(NamedTuple):
    """What all kernels are told of a problem; back, ahead: `reach`; softcap 0 for none."""

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float
    back: int
    ahead: int
    softcap: float
    alibi: Tensor | None
    cu_q: Tensor | None
    cu_k: Tensor | None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute."""
        nobody = self.cu_q is not None and len(self.cu_q) == 1
        return nobody or not self.q.numel() or not self.k.numel()


def launch(
    name: str,
    p: Problem,
    fetched: dict[str, tuple[Tensor, ...]],
    others: tuple[Tensor | None, ...],
    **flags: bool,
) -> None:
    """Run a kernel: `fetched` comes in tiles of rows of q or of k, `others` by address."""
    (b, h, n, d), (g, m) = p.q.shape, p.k.shape[1:3]
    cut = launch_for(name, p)
    block = {"q": cut.block_q, "k": cut.block_k}
    owner, heads, length = ("k", g, m) if name == "backward_kv" else ("q", h, n)
    walked, block_walked = (n, cut.block_q) if owner == "k" else (m, cut.block_k)
    sequences = 0 if p.cu_q is None else len(p.cu_q) - 1
    programs = triton.cdiv(length, block[owner]) + sequences
    bounded = p.back < FAR, p.ahead < FAR
    slopes = None if p.alibi is None else p.alibi.float().contiguous()
    KERNELS[name][(programs * b * heads,)](
        *(tiles(x, block[axis]) for axis in "qk" for x in fetched[axis]),
        *others, slopes, p.cu_q, p.cu_k, sequences,
        programs, h, g, n, m, d, p.scale, p.softcap, p.back, p.ahead,
        BLOCK_Q=cut.block_q, BLOCK_K=cut.block_k, BLOCK_D=block_d(p.q),
        BACK=bounded[0], AHEAD=bounded[1], SOFTCAP=p.softcap > 0, ALIBI=slopes is not None,
        PACKED=sequences > 0, BITS=p.q.element_size() == 2,
        RAGGED=sequences > 0 or walked % block_walked > 0,
        num_warps=cut.warps, num_stages=cut.stages, **flags,
    )  # fmt: skip


def row_products(o: Tensor, do: Tensor, delta: Tensor) -> None:
    """delta = rowsum(dO * O)  (eq-delta); o contiguous, do strided."""
    b, h, n, d = o.shape
    do = do if do.stride(-1) == 1 else do.contiguous()
    programs = triton.cdiv(n, 32)
    backward_kernels.delta_kernel[(programs * b * h,)](
        o, do, *do.stride()[:3], delta, h, n, d, programs, BLOCK=32, BLOCK_D=block_d(o)
    )  # fmt: skip


def tiles(x: Tensor, rows: int) -> TensorDescriptor:
    """Tiles (rows, D) of x (B, H, N, D), D rounded up to a power of two.

    The memory accelerator wants rows in one piece, every row and the first at a multiple of 16
    bytes, and no stride 0: x is copied where it isn't so.
    """
    d, step = x.shape[3], 16 // x.element_size()
    odd = any(
        s % step or not s for s, size in zip(x.stride()[:3], x.shape, strict=False) if size > 1
    )
    if x.stride(3) != 1 or odd or x.data_ptr() % 16:
        room = x.new_empty((*x.shape[:3], triton.cdiv(d, step) * step))
        x = room[..., :d].copy_(x)
    strides = [s if size > 1 else step for s, size in zip(x.stride(), x.shape, strict=True)]
    return TensorDescriptor(x, list(x.shape), [*strides[:3], 1], [1, 1, rows, block_d(x)])


def block_d(x: Tensor) -> int:
    """D rounded up to a power of two, 16 at least: how wide a tile is."""
    return int(triton.next_power_of_2(max(x.shape[3], 16)))


# ------------------------------------------------------------------------------- how to cut


class Launch(NamedTuple):
    """Rows of queries and of keys in a tile, warps of a program, stages of its pipeline."""

    block_q: int
    block_k: int
    warps: int
    stages: int


def launch_for(name: str, p: Problem) -> Launch:
    """How kernel `name` is cut for this problem: as measured for its kind, else plainly."""
    if INTERPRETED:
        return Launch(32, 32, 4, 1)
    d, usual = block_d(p.q), p.cu_q is None and p.alibi is None and not p.softcap
    if p.q.element_size() == 2 and usual:
        edges = "causal" if p.ahead < FAR else "full"
        if found := tuned(torch.cuda.get_device_capability(p.q.device)).get((name, d, edges)):
            return found
    return plain(name, d, p.q.element_size())


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
