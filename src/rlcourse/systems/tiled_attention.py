"""FlashAttention in torch: attention and its gradient, a tile of queries by keys at a time.

    forward   for each row of tiles       (m, l, o) of no key, or of the sink
                for each tile               s = q kᵀ, masked;   m' = max(m, max_j s)
                                            p = exp(s - m');    α = exp(m - m')
                                            l = α l + Σ_j p;    o = α o + p v   (eq-flash-update)
              o / l and lse = m + log l   are all that is kept, besides q, k and v
    backward  for each row of tiles       δ = Σ_d do o                          (eq-delta)
                for each tile               p = exp(s - lse)                    (eq-recompute)
                                            dv += pᵀ do;        ds = p (do vᵀ - δ)
                                            dq += ds k;         dk += dsᵀ q  (eq-flash-backward)

No tensor of N x M is ever made. Tiles that no query sees are left out, and only those that some
query doesn't see in full are masked. Rows of tiles come one after another, so dk and dv can add up
in memory, and one sweep does for all three. Logits are in base 2, exp(s) = 2^(s log₂ e): the factor
is free, since there is a scale already, and exp2 takes a third of the time of exp.

Shapes and options: `rlcourse.systems.attention`. The R = H/G query heads that share a head of keys
share its tiles: T queries of each are R·T rows.
Source: Dao et al. (2022), algorithms 1 and 4; Dao (2023), section 3.1.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.systems.attention import empty_lse, reach, sequences, wide
from rlcourse.systems.attention_arguments import Options, Packing, check_attention

LOG2E = math.log2(math.e)
Blocks = tuple[int, int]


def tiled_attention(
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
    block_q: int = 512,
    block_k: int = 512,
) -> Tensor:
    """`attention_reference` to rounding, in O(N + M) memory: (B, H, N, D).

    block_q rows by block_k keys make a tile, of any size. In 16 bits, sums are kept in float32.
    Can be differentiated once. Raises ValueError as `check_attention` does, or for an empty tile.
    """
    options = check_attention(
        q, k, v, scale=scale, causal=causal, window=window, softcap=softcap,
        alibi=alibi, sinks=sinks, cu_seqlens=cu_seqlens,
    )  # fmt: skip
    _check.positive_integer("block_q", block_q)
    _check.positive_integer("block_k", block_k)
    apply: Callable[..., Tensor] = TiledAttention.apply
    return apply(q, k, v, sinks, options, (block_q, block_k))


class TiledAttention(torch.autograd.Function):
    """What autograd is told: the forward keeps o and lse, the backward makes the tiles again.

    lse is in float64, whatever q is: at logits of 1000 float32 rounds it by 1e-4 or so, and every p
    of the backward would inherit that.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None,
        options: Options, blocks: Blocks,
    ) -> Tensor:  # fmt: skip
        o, lse = torch.zeros_like(q), empty_lse(q, sinks).double()
        for part in parts(q, k, options):
            at_q, at_k = part.queries, part.keys
            forward(part, blocks, q[at_q], o[at_q], lse[at_q], k[at_k], v[at_k])
        ctx.save_for_backward(q, k, v, sinks, o, lse)
        ctx.options, ctx.blocks = options, blocks
        return o

    @staticmethod
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # once_differentiable misses it where do is a constant
            raise RuntimeError("tiled_attention can be differentiated once: no create_graph=True")
        q, k, v, sinks, o, lse = ctx.saved_tensors
        dq, dk, dv, delta = (torch.zeros_like(x) for x in (q, k, v, lse))
        for part in parts(q, k, ctx.options):
            rows = (x[part.queries] for x in (q, o, lse, do, dq, delta))
            backward(part, ctx.blocks, *rows, *(x[part.keys] for x in (k, v, dk, dv)))
        if sinks is None:
            return dq, dk, dv, None, None, None
        p = torch.exp(sinks[:, None] - finite(lse))
        dsinks = -(p * delta).sum((0, 2))  # a sink is a key whose value is 0: ds = p (0 - δ)
        return dq, dk, dv, dsinks.to(sinks.dtype), None, None


# ------------------------------------------------------------------------------- one head of keys


class Part(NamedTuple):
    """A head of keys in a sequence, and the R heads of queries that read it.

    queries, keys  where they lie in (B, H, N) and in (B, G, M)
    n, m           how many there are
    """

    queries: tuple[int, slice, slice]
    keys: tuple[int, int, slice]
    n: int
    m: int
    options: Options


def parts(q: Tensor, k: Tensor, options: Options) -> Iterator[Part]:
    """All heads of keys, of all batches and sequences."""
    shared = q.shape[1] // k.shape[1]
    for rows, keys in sequences(q, k, options.cu_seqlens):
        n, m = rows.stop - rows.start, keys.stop - keys.start
        for b, g in product(range(q.shape[0]), range(k.shape[1])):
            heads = slice(g * shared, (g + 1) * shared)
            yield Part((b, heads, rows), (b, g, keys), n, m, options)


def forward(
    part: Part, blocks: Blocks, q: Tensor, o: Tensor, lse: Tensor, k: Tensor, v: Tensor
) -> None:
    """Fill o (R, n, D) and lse (R, n), which comes with the sinks; q (R, n, D), k and v (m, D)."""
    k, v = (x.to(wide(x.dtype)) for x in (k, v))
    for rows in row_tiles(part, blocks[0]):
        x = flat(q, rows)
        sink = flat(lse, rows).mul(LOG2E).to(x.dtype)  # a key whose value is 0; -∞: there is none
        m, l, sums = finite(sink), sink.isfinite().to(x.dtype), torch.zeros_like(x)
        x = x * factor(part.options)
        for keys in key_tiles(part, rows, blocks[1]):
            s, _ = logits(part, x, k[keys], rows, keys)
            highest = torch.maximum(m, s.amax(1, keepdim=True))
            p, alpha = s.sub_(highest).exp2_(), m.sub_(highest).exp2_()
            l.mul_(alpha).add_(p.sum(1, keepdim=True))
            sums.mul_(alpha).addmm_(p, v[keys])
            m = highest
            del s, p  # before the next tile is made
        o[:, rows] = (sums / l.masked_fill(l == 0, 1)).view_as(o[:, rows])
        lse[:, rows] = ((m + l.double().log2()) / LOG2E).view_as(lse[:, rows])


def backward(
    part: Part, blocks: Blocks,
    q: Tensor, o: Tensor, lse: Tensor, do: Tensor, dq: Tensor, delta: Tensor,
    k: Tensor, v: Tensor, dk: Tensor, dv: Tensor,
) -> None:  # fmt: skip
    """Fill dq (R, n, D), delta (R, n), dk and dv (m, D)."""
    k, v, dk_sum, dv_sum = (x.to(wide(x.dtype)) for x in (k, v, dk, dv))
    for rows in row_tiles(part, blocks[0]):
        x, up = flat(q, rows), flat(do, rows)
        mean = (up * flat(o, rows)).sum(1, keepdim=True)
        delta[:, rows] = mean.view_as(delta[:, rows])
        total = finite(flat(lse, rows) * LOG2E)
        near = total.to(x.dtype)  # p = 2^(s - near) w, and w goes where it costs nothing
        w = torch.exp2(near - total).to(x.dtype)
        up, mean, dx = up * w, mean * w, torch.zeros_like(x)
        scaled = x * factor(part.options)
        for keys in key_tiles(part, rows, blocks[1]):
            s, bend = logits(part, scaled, k[keys], rows, keys)
            p = s.sub_(near).exp2_()
            dv_sum[keys].addmm_(p.T, up)
            ds = torch.mm(up, v[keys].T).sub_(mean).mul_(p)
            if bend is not None:
                ds.mul_(bend)
            dx.addmm_(ds, k[keys])
            dk_sum[keys].addmm_(ds.T, x)
            del s, p, ds, bend
        dq[:, rows] = dx.mul_(part.options.scale).view_as(dq[:, rows])
    dk.copy_(dk_sum.mul_(part.options.scale))
    dv.copy_(dv_sum)


# ------------------------------------------------------------------------------- one tile


def factor(options: Options) -> float:
    """What q·k is multiplied with at first: the scale in base 2, or into the softcap."""
    return options.scale * LOG2E if options.softcap is None else options.scale / options.softcap


def logits(
    part: Part, x: Tensor, k: Tensor, rows: slice, keys: slice
) -> tuple[Tensor, Tensor | None]:
    """s (R·T, cols) in base 2, and, where there is a softcap, its slope; x comes with `factor`."""
    options, bend = part.options, None
    s = torch.mm(x, k.T)
    if options.softcap is not None:
        s.tanh_()
        bend = 1 - s.square()
        s.mul_(options.softcap * LOG2E)
    t, c = rows.stop - rows.start, keys.stop - keys.start
    by_head = s.view(-1, t, c)
    place = rows.start + part.m - part.n - keys.start  # of the first row, among the tile's keys
    if options.alibi is not None:
        slopes = options.alibi[part.queries[1], None, None].to(s.dtype) * LOG2E
        i = torch.arange(place, place + t, device=s.device)[:, None]
        by_head.addcmul_(slopes, (i - torch.arange(c, device=s.device)).abs(), value=-1)
    back, ahead = reach(options)
    if place + ahead < c - 1:  # adding a triangle of -∞ takes a sixth of the time of a mask
        by_head.add_(s.new_full((t, c), -torch.inf).triu_(place + ahead + 1))
    if place + t - 1 - back > 0:
        by_head.add_(s.new_full((t, c), -torch.inf).tril_(place - back - 1))
    return s, bend


def row_tiles(part: Part, block: int) -> Iterator[slice]:
    """T queries each: `block` rows of all heads together, or one query where they are more."""
    heads = part.queries[1]
    return tiles(0, part.n, max(1, block // (heads.stop - heads.start)))


def key_tiles(part: Part, rows: slice, block: int) -> Iterator[slice]:
    """The tiles that hold all keys which a query of `rows` sees."""
    (back, ahead), shift = reach(part.options), part.m - part.n
    return tiles(max(0, rows.start + shift - back), min(part.m, rows.stop + shift + ahead), block)


def tiles(start: int, stop: int, block: int) -> Iterator[slice]:
    return (slice(i, min(i + block, stop)) for i in range(start, stop, block))


def flat(x: Tensor, rows: slice) -> Tensor:
    """The rows of all heads, one below the other: (R, n, D) or (R, n) -> (R·T, D or 1), `wide`."""
    return x[:, rows].reshape(-1, x.shape[2] if x.ndim == 3 else 1).to(wide(x.dtype))


def finite(x: Tensor) -> Tensor:
    """x with a number below all logits in place of -∞, since -∞ - (-∞) is no number."""
    return x.clamp(min=torch.finfo(torch.float32).min)
