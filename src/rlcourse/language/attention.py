"""Attention with grouped queries, in the plain form that is graded, and PyTorch's own.

    o_i = Σ_j p_ij v_j,  p = softmax over the keys j that i sees of q_i·k_j / √D

Query head h reads key head h // (H/G)                                  (eq-grouped-attention)

A decoder is handed its attention: any function of q (B, H, N, D), k and v (B, G, M, D) and a mask,
Boolean and broadcasting to (B, H, N, M), or None for causal with the last query at the last key.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse.language.masks import causal_mask

Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """o (B, H, N, D): each head of queries with its group's keys  (eq-grouped-attention).

    q (B, H, N, D), k and v (B, G, M, D), mask Boolean, broadcasting to (B, H, N, M). A query that
    sees no key gets 0.
    """
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    s = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    return torch.softmax(s, -1).masked_fill(~mask, 0) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q·k / √D) v over the keys that are seen, by PyTorch  (eq-grouped-attention)."""
    n, m = q.shape[2], k.shape[2]
    if mask is None and 1 < n < m:
        mask = causal_mask(n, m, device=q.device)
    whole = mask is None and n == m
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=whole, enable_gqa=True)
