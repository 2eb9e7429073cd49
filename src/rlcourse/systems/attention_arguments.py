"""The options of attention and the checks of its arguments, for every way of computing it.

What the options mean: `rlcourse.systems.attention`, whose shapes and letters are those here.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse import _check

KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
Packing = tuple[Tensor, Tensor]


class Options(NamedTuple):
    """What there is to say about attention besides q, k and v; `check_attention` makes it.

    scale       factor of q·k
    causal      whether a query sees no key after its own place
    window      how many keys a query sees to its left, itself included; and, where it isn't
                causal, to its right. None: all
    softcap     bound of |s|, None for none
    alibi       (H,) slopes, or None; they are not learned
    sinks       (H,) a logit of each head that joins the denominator alone, or None; learned
    cu_seqlens  (cu_q, cu_k) where sequences are packed, else None
    """

    scale: float
    causal: bool
    window: int | None
    softcap: float | None
    alibi: Tensor | None
    sinks: Tensor | None
    cu_seqlens: Packing | None


def check_attention(
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
) -> Options:
    """The options, scale filled in; ValueError names the argument, what came, what was expected.

    Reads no numbers on a GPU, which would have to be waited for: there the lengths in cu_seqlens
    are for the caller to check (`check_lengths`).
    """
    _check_tensors(q, k, v)
    if alibi is not None:
        _check_per_head("alibi", alibi, q)
        if alibi.requires_grad:
            raise ValueError(
                "alibi must not require a gradient, got one that does: it isn't learned"
            )
    if sinks is not None:
        _check_per_head("sinks", sinks, q)
    if cu_seqlens is not None:
        _check_packing(cu_seqlens, q)
        if q.device.type == "cpu":
            check_lengths(cu_seqlens, q.shape[2], k.shape[2])
    return Options(
        scale=q.shape[3] ** -0.5 if scale is None else float(_check.finite("scale", scale)),
        causal=causal,
        window=None if window is None else _check.positive_integer("window", window),
        softcap=None if softcap is None else _check.positive("softcap", softcap),
        alibi=alibi, sinks=sinks, cu_seqlens=cu_seqlens,
    )  # fmt: skip


def _check_tensors(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, x in {"q": q, "k": k, "v": v}.items():
        _check_kind(name, x, q)
        if x.ndim != 4 or not (x.shape[1] and x.shape[3]):
            letters = "(B, H, N, D)" if name == "q" else "(B, G, M, D)"
            raise ValueError(f"{name} must have shape {letters}, got {tuple(x.shape)}")
    b, h, _, d = q.shape
    if (k.shape[0], k.shape[3]) != (b, d):
        raise ValueError(f"k must have shape ({b}, G, M, {d}) as q has, got {tuple(k.shape)}")
    if v.shape != k.shape:
        raise ValueError(f"v must have shape {tuple(k.shape)} as k has, got {tuple(v.shape)}")
    if h % k.shape[1]:
        raise ValueError(f"q must have a multiple of the {k.shape[1]} heads of k, got {h} heads")


def _check_kind(name: str, x: Tensor, q: Tensor, any_float: bool = False) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if x.dtype not in KINDS:
        raise ValueError(f"{name} must be of {', '.join(map(str, KINDS))}, got {x.dtype}")
    if x.device != q.device:
        raise ValueError(f"{name} must be on {q.device} as q is, got {x.device}")
    if x.dtype != q.dtype and not any_float:
        raise ValueError(f"{name} must be of {q.dtype} as q is, got {x.dtype}")


def _check_per_head(name: str, x: Tensor, q: Tensor) -> None:
    _check_kind(name, x, q, any_float=True)
    if x.shape != q.shape[1:2]:
        raise ValueError(
            f"{name} must have shape ({q.shape[1]},), one a head, got {tuple(x.shape)}"
        )


def _check_packing(cu_seqlens: Packing, q: Tensor) -> None:
    if not isinstance(cu_seqlens, tuple) or len(cu_seqlens) != 2:
        raise ValueError(f"cu_seqlens must be a pair (cu_q, cu_k), got {cu_seqlens!r}")
    if q.shape[0] != 1:
        raise ValueError(f"q must have batch size 1 where sequences are packed, got {q.shape[0]}")
    for name, cu in zip(("cu_q", "cu_k"), cu_seqlens, strict=True):
        if not isinstance(cu, Tensor) or cu.dtype != torch.int32 or cu.device != q.device:
            came = f"{cu.dtype} on {cu.device}" if isinstance(cu, Tensor) else type(cu).__name__
            raise ValueError(f"{name} must be a tensor of int32 on {q.device}, got {came}")
        if cu.ndim != 1 or not len(cu):
            raise ValueError(f"{name} must have shape (P + 1,), got {tuple(cu.shape)}")
    if len(cu_seqlens[0]) != len(cu_seqlens[1]):
        p, found = len(cu_seqlens[0]), len(cu_seqlens[1])
        raise ValueError(f"cu_k must have shape ({p},) as cu_q has, got ({found},)")


def check_lengths(cu_seqlens: Packing, n: int, m: int) -> None:
    """ValueError unless cu_q rises from 0 to N at most, and cu_k to M at most."""
    for name, cu, most in zip(("cu_q", "cu_k"), cu_seqlens, (n, m), strict=True):
        ends = cu.tolist()
        if ends[0] != 0:
            raise ValueError(f"{name} must begin with 0, got {ends[0]}")
        for start, stop in pairwise(ends):
            if stop < start:
                raise ValueError(f"{name} must not decrease, got {start} and then {stop}")
        if ends[-1] > most:
            raise ValueError(f"{name} must not exceed the length {most}, got {ends[-1]}")
