"""Online softmax: attention one block of keys at a time, exactly.

Softmax seems to need every score before it can weigh the first value. It does
not: the triple (m, l, o) summarises any set of keys, two summaries merge into the
summary of the union (eq. os-merge), and attention is a fold over blocks of keys.
The N x M score matrix is never held.

Shapes: N queries, M keys, D head dimension; "..." stands for batch and heads.
"""

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor


class Summary(NamedTuple):
    """Softmax-weighted sum of values over some keys, not yet normalised (eq. os-state).

    m  (..., N)     max of the scores
    l  (..., N)     Σ exp(score - m)
    o  (..., N, D)  Σ exp(score - m) value
    """

    m: Tensor
    l: Tensor
    o: Tensor


def _finite(m: Tensor) -> Tensor:
    """Replace the max of an empty set, -inf, by 0 so that exp(score - m) is 0, not NaN."""
    return torch.where(m.isinf(), torch.zeros_like(m), m)


def summarize(scores: Tensor, v: Tensor) -> Summary:
    """Summarise one block: scores (..., N, M), values (..., M, D)  (eq. os-state)."""
    m = scores.amax(dim=-1)
    p = torch.exp(scores - _finite(m)[..., None])
    return Summary(m, p.sum(dim=-1), p @ v)


def merge(a: Summary, b: Summary) -> Summary:
    """Summary of the union of two disjoint sets of keys  (eq. os-merge)."""
    m = torch.maximum(a.m, b.m)
    wa, wb = torch.exp(a.m - _finite(m)), torch.exp(b.m - _finite(m))
    return Summary(m, wa * a.l + wb * b.l, wa[..., None] * a.o + wb[..., None] * b.o)


def finish(x: Summary) -> Tensor:
    """Divide by the total weight: (..., N, D); a query that sees no key gets 0."""
    return x.o / torch.where(x.l == 0, torch.ones_like(x.l), x.l)[..., None]


def attention(q: Tensor, k: Tensor, v: Tensor, *, block: int, causal: bool = False) -> Tensor:
    """softmax(q kᵀ / √D) v, reading `block` keys at a time  (eq. os-attention).

    q (..., N, D), k and v (..., M, D) -> (..., N, D). With `causal`, query i sees
    keys 0..i; N and M must then agree.
    """
    n, m, d = q.shape[-2], k.shape[-2], q.shape[-1]
    row = torch.arange(n, device=q.device)[:, None]

    def tile(start: int) -> Summary:
        cols = torch.arange(start, min(start + block, m), device=q.device)
        scores = q @ k[..., cols, :].mT / d**0.5
        if causal:
            scores = scores.masked_fill(cols > row, -torch.inf)
        return summarize(scores, v[..., cols, :])

    return finish(reduce(merge, map(tile, range(0, m, block))))
