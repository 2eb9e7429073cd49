"""FlashAttention on a GPU: the Triton kernels behind one differentiable function.

`gpu_attention` means what `rlcourse.systems.attention` says, and is a torch custom op: it works
under autograd and torch.compile, and a transformer takes it as its attention. Memory is O(N + M):
the forward saves the output and each row's log-sum-exp, in two parts, and the backward recomputes
the scores. The kernels run on GPUs of compute capability 8.0 and up. With TRITON_INTERPRET=1 set
before the import they run on a CPU, slowly, for tests.

Shapes and letters: `rlcourse.systems.attention`.
"""

import math
from typing import Any

import torch
from torch import Tensor

from rlcourse.systems.attention import empty_lse, reach
from rlcourse.systems.attention_arguments import Packing, check_attention
from rlcourse.systems.attention_launches import INTERPRETED, Problem, launch, row_products

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
