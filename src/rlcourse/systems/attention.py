"""What attention is in this room: one meaning, for every way of computing it.

    s_ij = scale q_i·k_j                                    scale = 1/√D unless given
    s_ij <- softcap tanh(s_ij / softcap)                    with a softcap
    s_ij <- s_ij - alibi_h |i' - j|                         with ALiBi, a slope for each head
    o_i = Σ_j exp(s_ij) v_j / [Σ_j exp(s_ij) + exp(sink_h)] over the keys j that i sees; the sink
                                                            only where there is one

i' = i + M - N is the place of query i among the keys, so that the last query stands at the last
key (bottom-right alignment). What query i sees is a stretch of keys around i' (`reach`). A query
that sees no key gets 0, and passes no gradient on.

`attention_reference` writes this down as it stands, N x M scores and all: slow, large, and what
every other implementation is tested against.

Shapes: B batch, H heads of queries, G heads of keys (H a multiple of G: query head h reads key head
h // (H/G)), N queries, M keys, D head dimension. q (B, H, N, D); k and v (B, G, M, D).
Packed sequences: B = 1, and cu_seqlens = (cu_q, cu_k), each (P + 1,) and int32: sequence p owns the
queries cu_q[p]:cu_q[p + 1] and the keys cu_k[p]:cu_k[p + 1], and i' is counted within it. What lies
after the last sequence is padding: nobody reads it, and its output is 0.
"""

from itertools import pairwise

import torch
from torch import Tensor

from rlcourse.systems.attention_arguments import Options, Packing, check_attention

FAR = 1 << 30  # keys: longer than any sequence, and an int32 can still hold a sum of it and a place
Stretch = tuple[slice, slice]


# ------------------------------------------------------------------------------- the reference


def attention_reference(
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
    """o_i = Σ_j p_ij v_j with p = softmax(s), as the module says: (B, H, N, D).

    All arithmetic is in the type of q, so that in 16 bits it is the naive computation that a better
    one has to beat; autograd differentiates it. Raises ValueError as `check_attention` does.
    """
    options = check_attention(
        q, k, v, scale=scale, causal=causal, window=window, softcap=softcap,
        alibi=alibi, sinks=sinks, cu_seqlens=cu_seqlens,
    )  # fmt: skip
    return attend(q, k, v, options)[0]


def attend(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """o (B, H, N, D) and lse (B, H, N), the log of the denominator, in float32 at least.

    lse is -inf where a query sees no key, or the sink where there is one. It carries no gradient.
    """
    o, lse = q.new_zeros(q.shape), empty_lse(q, options.sinks)
    for rows, keys in sequences(q, k, options.cu_seqlens):
        o[:, :, rows], lse[:, :, rows] = _dense(
            q[:, :, rows], k[:, :, keys], v[:, :, keys], options
        )
    return o, lse


def _dense(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """o and lse of one sequence of each batch."""
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    n, m = q.shape[2], k.shape[2]
    j = torch.arange(m, device=q.device)
    i = torch.arange(m - n, m, device=q.device)[:, None]
    s = q * options.scale @ k.mT
    if options.softcap is not None:
        s = options.softcap * torch.tanh(s / options.softcap)
    if options.alibi is not None:
        s = s - options.alibi.to(s.dtype)[:, None, None] * (i - j).abs()
    seen = visible(i, j, options)
    logits = s.masked_fill(~seen, -torch.inf)
    if options.sinks is not None:
        sink = options.sinks.to(s.dtype)[:, None, None].expand(*s.shape[:-1], 1)
        logits = torch.cat([logits, sink], -1)
    p = torch.softmax(logits, -1)[..., :m].masked_fill(~seen, 0)  # softmax of no key at all is NaN
    return p @ v, logits.detach().to(wide(q.dtype)).logsumexp(-1)


# ------------------------------------------------------------------------------- who sees whom


def reach(options: Options) -> tuple[int, int]:
    """(back, ahead): query i sees the keys j with i' - back <= j <= i' + ahead."""
    side = FAR if options.window is None else min(options.window - 1, FAR)
    return side, 0 if options.causal else side


def visible(i: Tensor, j: Tensor, options: Options) -> Tensor:
    """Whether the query at place i (= i') sees key j; i and j broadcast."""
    back, ahead = reach(options)
    return (i - j <= back) & (j - i <= ahead)


def sequences(q: Tensor, k: Tensor, cu_seqlens: Packing | None) -> list[Stretch]:
    """(queries, keys) of each sequence; of one where nothing is packed. Waits for a GPU."""
    if cu_seqlens is None:
        return [(slice(0, q.shape[2]), slice(0, k.shape[2]))]
    rows, keys = ([slice(*ab) for ab in pairwise(cu.tolist())] for cu in cu_seqlens)
    return list(zip(rows, keys, strict=True))


def empty_lse(q: Tensor, sinks: Tensor | None) -> Tensor:
    """lse (B, H, N) of queries that see no key."""
    lse = q.new_full(q.shape[:3], -torch.inf, dtype=wide(q.dtype))
    return lse if sinks is None else lse.copy_(sinks.detach()[:, None])


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that sums are kept in: float32 for 16 bits, else the type itself."""
    return torch.promote_types(dtype, torch.float32)
