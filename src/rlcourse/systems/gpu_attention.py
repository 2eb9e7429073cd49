"""FlashAttention on a GPU: the Triton kernels behind one differentiable function.

`gpu_attention` means what `rlcourse.systems.attention` says, and is a torch custom op: it works
under autograd and torch.compile, and a transformer takes it as its attention. Memory is O(N + M):
the forward saves the output and each row's log-sum-exp, in two parts, and the backward recomputes
the scores. The kernels run on GPUs of compute capability 8.0 and up. With TRITON_INTERPRET=1 set
before the import they run on a CPU, slowly, for tests.

Shapes and letters: `rlcourse.systems.attention`.
"""

import math
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction
from triton.tools.tensor_descriptor import TensorDescriptor

from rlcourse.systems import attention_kernels, backward_kernels
from rlcourse.systems.attention import FAR, empty_lse, reach
from rlcourse.systems.attention_arguments import Packing, check_attention
from rlcourse.systems.attention_launches import Launch, plain, tuned

KERNELS = {
    "forward": attention_kernels.forward_kernel,
    "backward_kv": backward_kernels.backward_kv_kernel,
    "backward_q": backward_kernels.backward_q_kernel,
}
INTERPRETED = isinstance(attention_kernels.forward_kernel, InterpretedFunction)
KINDS = (torch.float16, torch.bfloat16, torch.float32)


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
    """o_i = Σ_j softmax(s)_ij v_j, (B, H, N, D), without an N x M array  (eq-flash-update).

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
    scale, cap = options.scale, options.softcap or 0.0
    if scale <= 0:  # the kernels scale a maximum, not its scores
        q, scale = (-q, -scale) if scale else (0 * q, 1.0)
    o: Tensor = _forward(q, k, v, scale, back, ahead, cap, alibi, sinks, cu_q, cu_k)[0]
    return o


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
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    top = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    rest = torch.empty_like(top)
    if p.empty or cu_q is not None:  # there are rows that no program visits
        o.zero_()
        rest.zero_()
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


def block_d(x: Tensor) -> int:
    """D rounded up to a power of two, 16 at least: how wide a tile is."""
    return int(triton.next_power_of_2(max(x.shape[3], 16)))
