"""FlashAttention's backward as Triton kernels.

One kernel gives dK and dV: a program owns a tile of keys and walks over the queries of all heads
that read it. Another gives dQ: a program owns a tile of queries and walks over the keys. Both make
the probabilities again, p = exp(s - top - rest), and pass them through the softmax's gradient,
ds = p (dp - delta)  (eq-flash-backward). Two products are done twice so that no two programs write
to the same place: there are no atomics, and the result is the same in every run.

Shapes, layout and places: `rlcourse.systems.attention_kernels`.
Source: Dao et al. (2022), algorithm 4; Dao (2023), section 3.
"""

import triton
import triton.language as tl

from rlcourse.systems.attention_kernels import (
    bounds,
    hide,
    load_tile,
    logits,
    place,
    power,
    stretch,
)


@triton.jit
def delta_kernel(
    o, do, do_b, do_h, do_n, delta, H, N, D, programs,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """delta = rowsum(dO * O): what every softmax gradient of the row has in common."""
    batch = tl.program_id(0) // programs // H
    head = tl.program_id(0) // programs % H
    i = tl.program_id(0) % programs * BLOCK + tl.arange(0, BLOCK)
    d = tl.arange(0, BLOCK_D)
    inside = (i < N)[:, None] & (d < D)[None, :]
    row = (tl.program_id(0) // programs).to(tl.int64) * N + i
    a = tl.load(o + row[:, None] * D + d[None, :], mask=inside, other=0.0).to(tl.float32)
    do += batch.to(tl.int64) * do_b + head.to(tl.int64) * do_h
    b = tl.load(do + i.to(tl.int64)[:, None] * do_n + d[None, :], mask=inside, other=0.0)
    product = tl.where(a == 0, 0.0, a * b.to(tl.float32))  # rows of nobody may hold NaN
    tl.store(delta + row, tl.sum(product, 1), mask=i < N)


@triton.jit
def gather_kv(
    dk, dv, k, v, q_desc, do_desc, top, rest, delta, batch, head, q_start, row, j, lo, hi, rows,
    shift, scale, softcap, slope, back, ahead,
    BLOCK_Q: tl.constexpr, BLOCK_D: tl.constexpr, BACK: tl.constexpr, AHEAD: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, PACKED: tl.constexpr, BITS: tl.constexpr,
    RAGGED: tl.constexpr,
):  # fmt: skip
    """Add what the queries lo .. hi send to the keys j; scores are held transposed, (K, Q)."""
    for i0 in tl.range(lo, hi, BLOCK_Q):
        i = i0 + tl.arange(0, BLOCK_Q)
        q = load_tile(q_desc, batch, head, q_start + i0, BLOCK_Q, BLOCK_D)
        do = load_tile(do_desc, batch, head, q_start + i0, BLOCK_Q, BLOCK_D)
        if RAGGED:
            top_i = tl.load(top + row + i, mask=i < rows, other=0.0)
            rest_i = tl.load(rest + row + i, mask=i < rows, other=0.0)
            delta_i = tl.load(delta + row + i, mask=i < rows, other=0.0)
            if PACKED:
                q = tl.where((i < rows)[:, None], q, 0.0)
                do = tl.where((i < rows)[:, None], do, 0.0)
        else:
            top_i = tl.load(top + row + i)
            rest_i = tl.load(rest + row + i)
            delta_i = tl.load(delta + row + i)
        qk = tl.dot(k, q.T, input_precision="ieee")
        s, bend = logits(
            qk, (i + shift)[None, :], j[:, None], scale, softcap, slope, SOFTCAP, ALIBI, BITS
        )
        p = power(s - top_i[None, :] - rest_i[None, :], BITS)
        p = hide(
            p, (i + shift)[None, :], j[:, None], (i < rows)[None, :], back, ahead, 0.0,
            BACK, AHEAD, RAGGED,
        )  # fmt: skip
        dv = tl.dot(p.to(do.dtype), do, dv, input_precision="ieee")
        dp = tl.dot(v, do.T, input_precision="ieee")
        ds = p * (dp - delta_i[None, :]) * bend
        dk = tl.dot(ds.to(q.dtype), q, dk, input_precision="ieee")
    return dk, dv


@triton.jit
def backward_kv_kernel(
    q_desc, do_desc, k_desc, v_desc, top, rest, delta, dk, dv, slopes, cu_q, cu_k, sequences,
    programs, H, G, N, M, D, scale, softcap, back, ahead,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
    BACK: tl.constexpr, AHEAD: tl.constexpr, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr,
    PACKED: tl.constexpr, RAGGED: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """One tile of keys of one key head: dk and dv (B, G, M, D), from all heads they serve."""
    tile = tl.program_id(0) % programs
    batch = tl.program_id(0) // programs // G
    g = tl.program_id(0) // programs % G
    sequence, j0 = place(tile, cu_k, sequences, BLOCK_K, PACKED)
    if PACKED:  # noqa: SIM102 (a constant, known when compiled, and a number that isn't)
        if sequence < 0:
            return
    q_start, rows = bounds(cu_q, sequence, N, PACKED)
    k_start, keys = bounds(cu_k, sequence, M, PACKED)
    shift = keys - rows
    j = j0 + tl.arange(0, BLOCK_K)
    k = load_tile(k_desc, batch, g, k_start + j0, BLOCK_K, BLOCK_D)
    v = load_tile(v_desc, batch, g, k_start + j0, BLOCK_K, BLOCK_D)
    dk_sum = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
    dv_sum = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
    lo, _, _, hi = stretch(j0 - shift, j0 - shift + BLOCK_K - 1, rows, ahead, back, BLOCK_Q)
    for head in range(g * (H // G), (g + 1) * (H // G)):
        slope = tl.load(slopes + head) if ALIBI else 0.0
        row = (batch * H + head).to(tl.int64) * N + q_start
        dk_sum, dv_sum = gather_kv(
            dk_sum, dv_sum, k, v, q_desc, do_desc, top, rest, delta, batch, head, q_start, row, j,
            lo, hi, rows, shift, scale, softcap, slope, back, ahead,
            BLOCK_Q, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED,
        )  # fmt: skip
    out = (batch * G + g).to(tl.int64) * M + k_start + j
    d = tl.arange(0, BLOCK_D)
    inside = (j < keys)[:, None] & (d < D)[None, :]
    at = out[:, None] * D + d[None, :]
    tl.store(dk + at, (dk_sum * scale).to(dk.dtype.element_ty), mask=inside)
    tl.store(dv + at, dv_sum.to(dv.dtype.element_ty), mask=inside)


@triton.jit
def gather_q(
    dq, q, do, k_desc, v_desc, top, rest, delta, batch, g, k_start, i, lo, hi, keys,
    scale, softcap, slope, back, ahead,
    BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr, BACK: tl.constexpr, AHEAD: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, PACKED: tl.constexpr, BITS: tl.constexpr,
    RAGGED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Add what the keys lo .. hi send to the queries at places i."""
    for j0 in tl.range(lo, hi, BLOCK_K):
        j = j0 + tl.arange(0, BLOCK_K)
        k = load_tile(k_desc, batch, g, k_start + j0, BLOCK_K, BLOCK_D)
        v = load_tile(v_desc, batch, g, k_start + j0, BLOCK_K, BLOCK_D)
        if MASKED and PACKED:
            k = tl.where((j < keys)[:, None], k, 0.0)
            v = tl.where((j < keys)[:, None], v, 0.0)
        qk = tl.dot(q, k.T, input_precision="ieee")
        dp = tl.dot(do, v.T, input_precision="ieee")
        s, bend = logits(qk, i[:, None], j[None, :], scale, softcap, slope, SOFTCAP, ALIBI, BITS)
        p = power(s - top[:, None] - rest[:, None], BITS)
        if MASKED:
            p = hide(
                p, i[:, None], j[None, :], (j < keys)[None, :], back, ahead, 0.0,
                BACK, AHEAD, RAGGED,
            )  # fmt: skip
        ds = p * (dp - delta[:, None]) * bend
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")
    return dq


@triton.jit
def backward_q_kernel(
    q_desc, do_desc, k_desc, v_desc, top, rest, delta, dq, slopes, cu_q, cu_k, sequences,
    programs, H, G, N, M, D, scale, softcap, back, ahead,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
    BACK: tl.constexpr, AHEAD: tl.constexpr, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr,
    PACKED: tl.constexpr, RAGGED: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one head: dq (B, H, N, D), contiguous."""
    tile = tl.program_id(0) % programs
    if AHEAD and not PACKED:
        tile = programs - 1 - tile
    batch = tl.program_id(0) // programs // H
    head = tl.program_id(0) // programs % H
    g = head // (H // G)
    sequence, i0 = place(tile, cu_q, sequences, BLOCK_Q, PACKED)
    if PACKED:  # noqa: SIM102 (a constant, known when compiled, and a number that isn't)
        if sequence < 0:
            return
    q_start, rows = bounds(cu_q, sequence, N, PACKED)
    k_start, keys = bounds(cu_k, sequence, M, PACKED)
    i = i0 + tl.arange(0, BLOCK_Q)
    place_i = i + (keys - rows)
    slope = tl.load(slopes + head) if ALIBI else 0.0
    row = (batch * H + head).to(tl.int64) * N + q_start + i
    top_i = tl.load(top + row, mask=i < rows, other=0.0)
    rest_i = tl.load(rest + row, mask=i < rows, other=0.0)
    delta_i = tl.load(delta + row, mask=i < rows, other=0.0)
    q = load_tile(q_desc, batch, head, q_start + i0, BLOCK_Q, BLOCK_D)
    do = load_tile(do_desc, batch, head, q_start + i0, BLOCK_Q, BLOCK_D)
    acc = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    first = i0 + keys - rows
    lo, bulk_lo, bulk_hi, hi = stretch(first, first + BLOCK_Q - 1, keys, back, ahead, BLOCK_K)
    if BACK:
        acc = gather_q(
            acc, q, do, k_desc, v_desc, top_i, rest_i, delta_i, batch, g, k_start, place_i,
            lo, bulk_lo, keys, scale, softcap, slope, back, ahead,
            BLOCK_K, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED, True,
        )  # fmt: skip
    acc = gather_q(
        acc, q, do, k_desc, v_desc, top_i, rest_i, delta_i, batch, g, k_start, place_i,
        bulk_lo, bulk_hi, keys, scale, softcap, slope, back, ahead,
        BLOCK_K, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED, False,
    )  # fmt: skip
    if RAGGED or BACK or AHEAD:
        acc = gather_q(
            acc, q, do, k_desc, v_desc, top_i, rest_i, delta_i, batch, g, k_start, place_i,
            bulk_hi, hi, keys, scale, softcap, slope, back, ahead,
            BLOCK_K, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED, True,
        )  # fmt: skip
    d = tl.arange(0, BLOCK_D)
    tl.store(
        dq + row[:, None] * D + d[None, :],
        (acc * scale).to(dq.dtype.element_ty),
        mask=(i < rows)[:, None] & (d < D)[None, :],
    )
