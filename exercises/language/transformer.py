# desk c68ebc574ad9: the hash of what follows. Edit below, and the file is yours.
"""Your desk for language/transformer. Write the functions, then: rlcourse check transformer"""

import torch
from torch import Tensor
from torch.nn import functional as F


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """w x / √(mean(x²) + ε) over the last axis; x (..., C), weight (C,)  (eq-rms-norm).

    The mean and the quotient are in float32 at least; then the type of x.
    """
    raise NotImplementedError


def rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """x with the pair (i, i + D/2) turned by the angle p θ^(-2i/D)  (eq-rotary).

    x (..., T, D), positions (..., T) of whole numbers, which broadcast against x without its last
    axis and may be negative.
    """
    raise NotImplementedError


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """o (B, H, N, D): each head of queries with its group's keys  (eq-grouped-attention).

    q (B, H, N, D), k and v (B, G, M, D), mask Boolean, broadcasting to (B, H, N, M). A query that
    sees no key gets 0.
    """
    raise NotImplementedError


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """W_down (silu(W_gate x) · W_up x), silu(z) = z / (1 + exp(-z))  (eq-swiglu).

    x (..., C), w_gate and w_up (hidden, C), w_down (C, hidden) -> (..., C).
    """
    raise NotImplementedError


def padded_mask(present: Tensor, n: int, window: int | None = None) -> Tensor:
    """(B, 1, N, M): causal, and padding is seen by nobody else  (eq-padded-mask).

    The N queries are the last of the M tokens.
    """
    raise NotImplementedError


def packed_positions(segments: Tensor) -> Tensor:
    """(B, T): the place within the segment, counted from 0 anew where the segment changes."""
    raise NotImplementedError
