"""Split-KV decoding as Triton kernels: many programs share the keys of few queries.

A token being generated asks one query a head. One program a head would leave most of the GPU idle
while it reads a long cache, so the keys are split: each program summarises a stretch of them as
(m, l, o), and a second kernel merges the summaries  (eq-merge). The queries of all heads
that share a head of keys are the rows of one tile, so that the cache is read once.

Shapes: B batch, H query heads, G key heads, R = H/G, N queries (few), M keys, D head dimension,
S splits. Source: Dao et al. (2023), Flash-Decoding.
"""

import triton
import triton.language as tl

from rlcourse.systems.attention_kernels import load_tile, logits, power


@triton.jit
def split_kernel(
    q, q_b, q_h, q_n, k_desc, v_desc, lengths, slopes, o, top, sums,
    R, G, N, M, D, splits, per_split, scale, softcap, back,
    ROWS: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
    BACK: tl.constexpr, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, LENGTHS: tl.constexpr,
    BITS: tl.constexpr,
):  # fmt: skip
    """The summary of one stretch of keys: o (B, G, S, R N, D) and top, sums (B, G, S, R N)."""
    split = tl.program_id(0) % splits
    batch = tl.program_id(0) // splits // G
    g = tl.program_id(0) // splits % G
    row = tl.arange(0, ROWS)
    d = tl.arange(0, BLOCK_D)
    head = g * R + row // N
    keys = tl.load(lengths + batch) if LENGTHS else M
    i = row % N + keys - N  # the last query stands at the last key
    real = row < R * N
    slope = tl.load(slopes + head, mask=real, other=0.0)[:, None] if ALIBI else 0.0
    at = batch.to(tl.int64) * q_b + head.to(tl.int64) * q_h + (row % N).to(tl.int64) * q_n
    x = tl.load(q + at[:, None] + d[None, :], mask=real[:, None] & (d < D)[None, :], other=0.0)
    m = tl.full([ROWS], -float("inf"), tl.float32)
    l = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, BLOCK_D], tl.float32)
    lo = split * per_split
    hi = tl.minimum(keys, lo + per_split)
    if BACK:
        lo = tl.maximum(lo, (keys - N - back) // BLOCK_K * BLOCK_K)
    for j0 in tl.range(lo, hi, BLOCK_K):
        j = j0 + tl.arange(0, BLOCK_K)
        k = load_tile(k_desc, batch, g, j0, BLOCK_K, BLOCK_D)
        s = tl.dot(x, k.T, input_precision="ieee")
        s, _ = logits(s, i[:, None], j[None, :], scale, softcap, slope, SOFTCAP, ALIBI, BITS)
        seen = (j[None, :] < hi) & (j[None, :] <= i[:, None])
        if BACK:
            seen &= i[:, None] - j[None, :] <= back
        s = tl.where(seen, s, -float("inf"))
        m_new = tl.maximum(m, tl.max(s, 1))
        shift = tl.where(m_new == -float("inf"), 0.0, m_new)
        p = power(s - shift[:, None], BITS)
        alpha = power(m - shift, BITS)
        l = l * alpha + tl.sum(p, 1)
        v = load_tile(v_desc, batch, g, j0, BLOCK_K, BLOCK_D)
        if LENGTHS:  # what lies beyond a row's length may be NaN
            v = tl.where((j < hi)[:, None], v, 0.0)
        acc = tl.dot(p.to(v.dtype), v, acc * alpha[:, None], input_precision="ieee")
        m = m_new
    out = tl.program_id(0).to(tl.int64)  # (batch, g, split): reordered for the merge
    out = ((batch * G + g).to(tl.int64) * splits + split) * (R * N) + row
    tl.store(top + out, m, mask=real)
    tl.store(sums + out, l, mask=real)
    inside = real[:, None] & (d < D)[None, :]
    tl.store(o + out[:, None] * D + d[None, :], acc, mask=inside)


@triton.jit
def merge_kernel(
    o, top, sums, sinks, out, R, G, N, D, splits,
    SPLITS: tl.constexpr, BLOCK_D: tl.constexpr, SINKS: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """One row of out (B, H, N, D): the summaries of its splits, merged and divided."""
    pid = tl.program_id(0)  # (batch, g, row)
    row = pid % (R * N)
    g = pid // (R * N) % G
    s = tl.arange(0, SPLITS)
    d = tl.arange(0, BLOCK_D)
    at = (pid // (R * N)).to(tl.int64) * splits * (R * N) + s * (R * N) + row
    here = s < splits
    m_s = tl.load(top + at, mask=here, other=-float("inf"))
    l_s = tl.load(sums + at, mask=here, other=0.0)
    m = tl.max(m_s, 0)
    if SINKS:
        sink = tl.load(sinks + g * R + row // N).to(tl.float32)
        sink = sink * (1.4426950408889634 if BITS else 1.0)
        m = tl.maximum(m, sink)
    m = tl.where(m == -float("inf"), 0.0, m)
    w = power(m_s - m, BITS)
    l = tl.sum(w * l_s, 0)
    if SINKS:
        l += power(sink - m, BITS)
    parts = tl.load(
        o + at[:, None] * D + d[None, :], mask=here[:, None] & (d < D)[None, :], other=0.0
    )
    merged = tl.sum(w[:, None] * parts, 0) / tl.where(l == 0, 1.0, l)
    tl.store(out + pid.to(tl.int64) * D + d, merged.to(out.dtype.element_ty), mask=d < D)
