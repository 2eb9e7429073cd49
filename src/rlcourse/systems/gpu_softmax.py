"""Softmax of rows in one kernel, forward and backward: each number is read once and written once.

torch's chain of operations (max, subtract, exp, sum, divide) passes over memory for each of them.
Here a row stays in registers from the first read to the only write. A row that is too long for that
is walked over twice, with the running (m, l) of the online softmax  (eq-online-update).

Shapes: N rows, M columns.
Source: Milakov & Gimelshein (2018), algorithm 3.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlcourse.systems.attention_kernels import LOG2E, power
from rlcourse.systems.attention_launches import INTERPRETED, Launch, tuned
from rlcourse.systems.gpu_attention import check_device

HELD = 16384  # columns that stay in registers


@triton.jit
def softmax_kernel(
    x, y, x_row, N, M,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, LONG: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """y = softmax(x) of ROWS rows; y (N, M) contiguous, x with rows x_row apart."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    x += i.to(tl.int64)[:, None] * x_row
    y += i.to(tl.int64)[:, None] * M
    j = tl.arange(0, BLOCK)[None, :]
    inside = (i < N)[:, None]
    unit: tl.constexpr = LOG2E if BITS else 1.0
    if not LONG:
        s = tl.load(x + j, mask=inside & (j < M), other=-float("inf")).to(tl.float32) * unit
        m = tl.max(s, 1)
        p = power(s - tl.where(m == -float("inf"), 0.0, m)[:, None], BITS)
        l = tl.sum(p, 1)
        p = p / tl.where(l == 0, 1.0, l)[:, None]
        tl.store(y + j, p.to(y.dtype.element_ty), mask=inside & (j < M))
    else:
        m = tl.full([ROWS], -float("inf"), tl.float32)
        l = tl.zeros([ROWS], tl.float32)
        for j0 in range(0, M, BLOCK):
            s = tl.load(x + j0 + j, mask=inside & (j0 + j < M), other=-float("inf"))
            s = s.to(tl.float32) * unit
            m_new = tl.maximum(m, tl.max(s, 1))
            shift = tl.where(m_new == -float("inf"), 0.0, m_new)
            l = l * power(m - shift, BITS) + tl.sum(power(s - shift[:, None], BITS), 1)
            m = m_new
        m = tl.where(m == -float("inf"), 0.0, m)
        l = tl.where(l == 0, 1.0, l)
        for j0 in range(0, M, BLOCK):
            s = tl.load(x + j0 + j, mask=inside & (j0 + j < M), other=-float("inf"))
            p = power(s.to(tl.float32) * unit - m[:, None], BITS) / l[:, None]
            tl.store(y + j0 + j, p.to(y.dtype.element_ty), mask=inside & (j0 + j < M))


@triton.jit
def softmax_backward_kernel(y, dy, dx, N, M, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """dx = y (dy - rowsum(y dy)) of ROWS rows, all (N, M) contiguous."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = i.to(tl.int64)[:, None] * M + tl.arange(0, BLOCK)[None, :]
    inside = (i < N)[:, None]
    total = tl.zeros([ROWS], tl.float32)
    for j0 in range(0, M, BLOCK):
        here = inside & (j0 + tl.arange(0, BLOCK) < M)[None, :]
        p = tl.load(y + at + j0, mask=here, other=0.0).to(tl.float32)
        total += tl.sum(p * tl.load(dy + at + j0, mask=here, other=0.0).to(tl.float32), 1)
    for j0 in range(0, M, BLOCK):
        here = inside & (j0 + tl.arange(0, BLOCK) < M)[None, :]
        p = tl.load(y + at + j0, mask=here, other=0.0).to(tl.float32)
        g = tl.load(dy + at + j0, mask=here, other=0.0).to(tl.float32)
        tl.store(dx + at + j0, (p * (g - total[:, None])).to(dx.dtype.element_ty), mask=here)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        (n, m), cut = x.shape, cut_for(x)
        softmax_kernel[(triton.cdiv(n, cut.block_q),)](
            x, y, x.stride(0), n, m, ROWS=cut.block_q, BLOCK=cut.block_k, LONG=m > cut.block_k,
            BITS=x.element_size() == 2, num_warps=cut.warps,
        )  # fmt: skip
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        dx = torch.empty_like(y)
        (n, m), cut = y.shape, cut_for(y)
        softmax_backward_kernel[(triton.cdiv(n, cut.block_q),)](
            y, dy.contiguous(), dx, n, m, ROWS=cut.block_q, BLOCK=cut.block_k, num_warps=cut.warps
        )
        return dx


def gpu_softmax(x: Tensor) -> Tensor:
    """softmax over the last axis, computed in float32, in the type of x; differentiable once.

    A row of -inf alone gives zeros. Raises ValueError for a type no kernel is here for, no axis,
    or a tensor that isn't on a GPU.
    """
    if not x.ndim:
        raise ValueError("x must have an axis to sum over, got a number")
    check_device(x[..., :1])
    if not x.numel():
        return x.clone()
    flat = x.reshape(-1, x.shape[-1])
    flat = flat if flat.stride(1) == 1 else flat.contiguous()
    y: Tensor = _Softmax.apply(flat)
    return y.view(x.shape)


def cut_for(x: Tensor) -> Launch:
    """Rows and columns that a program holds, and its warps: as measured, else plainly."""
    block = min(triton.next_power_of_2(x.shape[1]), HELD)
    if not INTERPRETED and x.element_size() == 2:
        found = tuned(torch.cuda.get_device_capability(x.device)).get(("softmax", block, "row"))
        if found:
            return found
    rows = max(1, min(2048 // block, 16))
    return Launch(rows, block, max(4, min(16, rows * block // 512)), 1)
