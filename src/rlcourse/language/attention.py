"""Attention with grouped queries, in the plain form that is graded, and PyTorch's own.

    o_i = Σ_j p_ij v_j,  p = softmax over the keys j that i sees of q_i·k_j / √D

Query head h reads key head h // (H/G)                                  (eq-grouped-attention)

A decoder is handed its attention: any function of q (B, H, N, D), k and v (B, G, M, D) and a
Boolean mask (B, 1, N, M) or (N, M), or None for causal with the last query at the last key.
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
    """softmax(q·k / √D) v over the keys that are seen, by PyTorch  (eq-grouped-attention).

    The mask is (N, M) or (B, 1, N, M): one for all heads.
    """
    n, m, g = q.shape[2], k.shape[2], k.shape[1]
    if n == 1:  # all queries of a group see the same keys: let them be rows of one product
        rows = q.reshape(q.shape[0], g, -1, q.shape[3])
        return F.scaled_dot_product_attention(rows, k, v, mask).reshape(q.shape)
    if mask is None and n < m:
        mask = causal_mask(n, m, device=q.device)
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=True)
