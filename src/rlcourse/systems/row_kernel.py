"""Online softmax as a Triton kernel: one program a row, one block of scores at a time.

A row may be longer than what a program can hold. So the program walks over its blocks twice: first
for the running max m and the running sum l (eq-online-update), then for the probabilities. Whoever
also needs a weighted sum of values stays in the first walk: that is attention.

Needs torch and Triton, which runs on Linux; with TRITON_INTERPRET=1 the kernel runs on a CPU.
Shapes: N queries (rows), M keys (columns).
Source: Milakov & Gimelshein (2018), algorithm 3.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

FLOOR = tl.constexpr(-3.4e38)  # the max of no scores: finite, since -inf - (-inf) is NaN


@triton.jit
def online_softmax_kernel(s_ptr, lengths_ptr, p_ptr, keys, scale, BLOCK: tl.constexpr):
    """One row of s to one row of p, both `keys` long, BLOCK scores at a time."""
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths_ptr + row)
    s_ptr += row * keys
    p_ptr += row * keys
    m = FLOOR
    l = 0.0
    for start in range(0, length, BLOCK):
        j = start + tl.arange(0, BLOCK)
        s = tl.load(s_ptr + j, mask=j < length, other=float("-inf")).to(tl.float32) * scale
        m_next = tl.maximum(m, tl.max(s, 0))
        l = l * tl.exp(m - m_next) + tl.sum(tl.exp(s - m_next), 0)
        m = m_next
    total = tl.where(l == 0, 1.0, l)
    for start in range(0, keys, BLOCK):
        j = start + tl.arange(0, BLOCK)
        s = tl.load(s_ptr + j, mask=j < length, other=float("-inf")).to(tl.float32) * scale
        tl.store(p_ptr + j, tl.exp(s - m) / total, mask=j < keys)


def online_softmax_rows(s: Tensor, lengths: Tensor, scale: float, block: int) -> Tensor:
    """p_ij = exp(scale s_ij - m_i) / l_i for j < length_i, and 0 beyond  (eq-online-update).

    s (N, M) float16 or float32, contiguous, and lengths (N,) int32 -> (N, M) float32, computed in
    float32. Of a row no more than `block` scores, a power of two, are held at a time. A score of
    -inf is a key that is not seen, and a row that sees no key is 0. Beyond its length a row holds
    padding, be it NaN. scale > 0.

    Raises ValueError unless 0 <= length <= M. To run it without a GPU set TRITON_INTERPRET=1.
    """
    if not ((lengths >= 0) & (lengths <= s.shape[1])).all():
        raise ValueError(f"lengths must lie in [0, {s.shape[1]}], got {lengths.tolist()}")
    p = torch.empty(s.shape, dtype=torch.float32, device=s.device)
    online_softmax_kernel[(len(s),)](s, lengths, p, s.shape[1], scale, BLOCK=block)
    return p
