"""FlashAttention on a GPU: the Triton kernels behind one differentiable function.

`gpu_attention` means what `rlcourse.systems.attention` says, and is a torch custom op: it works
under autograd and torch.compile, and a transformer takes it as its attention. Memory is O(N + M):
the forward saves the output and one log-sum-exp per row, the backward recomputes the rest.

How a kernel is cut and launched is a `Launch`: the tuned table beside this file where one was
measured for such a GPU, else a plain choice that fits every GPU of compute capability 8.0 and up.
With TRITON_INTERPRET=1 set before the import the kernels run on a CPU, slowly, for tests.

Shapes and letters: `rlcourse.systems.attention`.
"""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction
from triton.tools.tensor_descriptor import TensorDescriptor

from rlcourse.systems import attention_kernels as kernels
from rlcourse.systems.attention import FAR, empty_lse, reach
from rlcourse.systems.attention_arguments import Packing, check_attention

INTERPRETED = isinstance(kernels.forward_kernel, InterpretedFunction)
TUNED = Path(__file__).with_name("attention_tuned.json")
KINDS = (torch.float16, torch.bfloat16, torch.float32)


class Launch(NamedTuple):
    """Rows of queries and of keys in a tile, warps of a program, stages of its pipeline."""

    block_q: int
    block_k: int
    warps: int
    stages: int


# ------------------------------------------------------------------------------- the function


def gpu_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    causal: bool = False,
    window: int | None = None,
    softcap: float | None = None,
    alibi: Tensor | None = None,
    sinks: Tensor | None = None,
    cu_seqlens: Packing | None = None,
) -> Tensor:
    """o_i = Σ_j softmax(s)_ij v_j, (B, H, N, D), without an N x M array  (eq-fa-forward).

    Differentiable in q, k, v and sinks. Head dimensions up to 256, float16, bfloat16 and float32.
    Raises ValueError as `check_attention` does, and for what no kernel is here for.
    """
    options = check_attention(
        q, k, v, scale=scale, causal=causal, window=window, softcap=softcap,
        alibi=alibi, sinks=sinks, cu_seqlens=cu_seqlens,
    )  # fmt: skip
    check_device(q)
    cu_q, cu_k = cu_seqlens or (None, None)
    back, ahead = reach(options)
    cap = options.softcap or 0.0
    return _forward(q, k, v, options.scale, back, ahead, cap, alibi, sinks, cu_q, cu_k)[0]


def check_device(q: Tensor) -> None:
    """ValueError unless the kernels can take q."""
    if q.dtype not in KINDS:
        raise ValueError(f"q must be of {', '.join(map(str, KINDS))}, got {q.dtype}")
    if q.shape[-1] > 256:
        raise ValueError(f"q must have a head dimension of at most 256, got {q.shape[-1]}")
    if q.device.type != "cuda" and not INTERPRETED:
        raise ValueError(
            f"q must be on a GPU, got one on {q.device}"
            " (TRITON_INTERPRET=1 set before the import runs the kernels on a CPU)"
        )


# ------------------------------------------------------------------------------- the custom op


@torch.library.custom_op("rlcourse::flash_attention", mutates_args=())
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    back: int,
    ahead: int,
    softcap: float,
    alibi: Tensor | None,
    sinks: Tensor | None,
    cu_q: Tensor | None,
    cu_k: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """o, contiguous; top and rest (B, H, N): their sum is the log-sum-exp, in bits or nats."""
    p = Problem(q, k, v, scale, back, ahead, softcap, alibi, cu_q, cu_k)
    o, top, rest = (
        p.new(q.shape),
        p.new(q.shape[:3], torch.float32),
        p.new(q.shape[:3], torch.float32),
    )
    if p.empty or cu_q is not None:  # rows that no program visits
        o.zero_(), rest.zero_()
        top.copy_(empty_lse(q, sinks) * unit(q))
    if not p.empty:
        out = o, top, rest, sinks
        launch("forward", p, {"q": (q,), "k": (k, v)}, out, SINKS=sinks is not None)
    return o, top, rest


@_forward.register_fake
def _(q: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    top = q.new_empty(q.shape[:3], dtype=torch.float32)
    return q.new_empty(q.shape), top, torch.empty_like(top)


@torch.library.custom_op("rlcourse::flash_attention_backward", mutates_args=())
def _backward(
    do: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    top: Tensor,
    rest: Tensor,
    scale: float,
    back: int,
    ahead: int,
    softcap: float,
    alibi: Tensor | None,
    cu_q: Tensor | None,
    cu_k: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dq, dk, dv and delta (B, H, N) = rowsum(dO * O), all contiguous."""
    p = Problem(q, k, v, scale, back, ahead, softcap, alibi, cu_q, cu_k)
    make = torch.zeros if p.empty or cu_q is not None else torch.empty
    dq, dk, dv = (make(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    delta = torch.zeros_like(top)
    if not p.empty:
        row_products(o, do, delta)
        launch("backward_kv", p, {"q": (q, do), "k": (k, v)}, (top, rest, delta, dk, dv))
        launch("backward_q", p, {"q": (q, do), "k": (k, v)}, (top, rest, delta, dq))
    return dq, dk, dv, delta


@_backward.register_fake
def _(do: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, ...]:
    delta = q.new_empty(q.shape[:3], dtype=torch.float32)
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), delta


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    q, k, v, scale, back, ahead, softcap, alibi, sinks, cu_q, cu_k = inputs
    ctx.save_for_backward(q, k, v, *output, alibi, sinks, cu_q, cu_k)
    ctx.numbers = scale, back, ahead, softcap
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx: Any, do: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    q, k, v, o, top, rest, alibi, sinks, cu_q, cu_k = ctx.saved_tensors
    dq, dk, dv, delta = _backward(do, q, k, v, o, top, rest, *ctx.numbers, alibi, cu_q, cu_k)
    dsinks = None
    if sinks is not None:  # the sink's own probability times (0 - delta): its value is 0
        p = torch.exp(sinks.float()[:, None] - (top + rest) / unit(q))
        dsinks = -(p * delta).sum((0, 2)).to(sinks.dtype)
    return dq, dk, dv, None, None, None, None, None, dsinks, None, None


_forward.register_autograd(_differentiate, setup_context=_save)


def unit(q: Tensor) -> float:
    """Logits per nat in the kernels: log2 e in 16 bits, else 1."""
    return math.log2(math.e) if q.element_size() == 2 else 1.0


# ------------------------------------------------------------------------------- launching


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
        return not self.q.numel() or not self.k.numel()

    def new(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Memory that a kernel fills."""
        return torch.empty(shape, dtype=dtype or self.q.dtype, device=self.q.device)


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
    getattr(kernels, f"{name}_kernel")[(programs * b * heads,)](
        *(tiles(x, block[axis]) for axis in "qk" for x in fetched[axis]),
        *others, slopes, p.cu_q, p.cu_k, sequences,
        programs, h, g, n, m, d, p.scale, p.softcap, p.back, p.ahead,
        BLOCK_Q=cut.block_q, BLOCK_K=cut.block_k, BLOCK_D=triton.next_power_of_2(max(d, 16)),
        BACK=bounded[0], AHEAD=bounded[1], SOFTCAP=p.softcap > 0, ALIBI=slopes is not None,
        PACKED=sequences > 0, BITS=p.q.element_size() == 2,
        RAGGED=sequences > 0 or walked % block_walked > 0,
        num_warps=cut.warps, num_stages=cut.stages, **flags,
    )  # fmt: skip


def row_products(o: Tensor, do: Tensor, delta: Tensor) -> None:
    """delta = rowsum(dO * O)  (eq-fa-delta); o contiguous, do strided."""
    b, h, n, d = o.shape
    do = do if do.stride(-1) == 1 else do.contiguous()
    block, block_d = 32, triton.next_power_of_2(max(d, 16))
    kernels.delta_kernel[(triton.cdiv(n, block) * b * h,)](
        o, do, *do.stride()[:3], delta, h, n, d, triton.cdiv(n, block),
        BLOCK=block, BLOCK_D=block_d,
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
    block = [1, 1, rows, triton.next_power_of_2(max(d, 16))]
    return TensorDescriptor(x, list(x.shape), [*strides[:3], 1], block)


# ------------------------------------------------------------------------------- how to cut


def launch_for(name: str, p: Problem) -> Launch:
    """How kernel `name` is cut for this problem: as measured, else plainly."""
    if INTERPRETED:
        return Launch(32, 32, 4, 1)
    d = triton.next_power_of_2(max(p.q.shape[3], 16))
    if p.q.element_size() == 2 and p.cu_q is None and not p.softcap:
        edges = "causal" if p.ahead < FAR else "full"
        if found := tuned(torch.cuda.get_device_capability(p.q.device)).get((name, d, edges)):
            return found
    return plain(name, d, p.q.element_size())


def plain(name: str, d: int, itemsize: int) -> Launch:
    """A cut that fits GPUs with 99 KiB of shared memory a program, 255 registers a thread."""
    if itemsize == 4:
        rows = 32 if d > 64 else 64
        return Launch(rows, 16 if d > 128 else 32, 4, 1)
    if d > 128:
        return Launch(64, 32, 8, 1) if name != "backward_kv" else Launch(32, 64, 8, 1)
    if name == "forward":
        return Launch(128, 64, 8 if d > 64 else 4, 2)
    return Launch(64, 64, 4, 2 if d <= 64 else 1)


@cache
def tuned(capability: tuple[int, int]) -> dict[tuple[str, int, str], Launch]:
    """The measured launches for GPUs of this capability, by (kernel, D, "causal" or "full")."""
    if not TUNED.is_file():
        return {}
    table = json.loads(TUNED.read_text(encoding="utf-8"))
    if list(capability) != table["capability"]:
        return {}
    return {
        (row["kernel"], row["D"], row["edges"]): Launch(**row["launch"])
        for row in table["launches"]
    }
