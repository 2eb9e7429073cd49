"""FlashAttention as Triton kernels: the forward, and what it shares with the backward.

Each program owns one tile of queries of one head and walks over the keys; what it carries from tile
to tile is the running summary (m, l, o). Nothing of size N x M reaches memory, and no two programs
write to the same place.

Four tricks that the NumPy version does without:
    bits        exp(s) = 2^(s log2 e): scale and log2 e are one factor, and exp2 is one instruction;
                for 16-bit inputs alone, since in float32 the conversion's rounding would be seen
    two loops   tiles that every row sees in full need no mask; only the edges pay for one
    two parts   the log-sum-exp is kept as the maximum and the rest, top + rest: their sum would
                lose the digits that p = exp(s - top - rest) needs of logits in the thousands
    descriptors tiles are fetched by the tensor memory accelerator, which fills with zeros outside

Shapes: B batch, H query heads, G key heads, N queries, M keys, D head dimension.
Layout: (B, H, N, D) with any strides. Query i stands at place i' = i + M - N among the keys.
Source: Dao et al. (2022), algorithm 1; Dao (2023), section 3.
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def load_tile(descriptor, batch, head, row, ROWS: tl.constexpr, BLOCK_D: tl.constexpr):
    """Rows row .. row + ROWS of one head: (ROWS, BLOCK_D), zeros outside the tensor."""
    return descriptor.load([batch, head, row, 0]).reshape(ROWS, BLOCK_D)


@triton.jit
def tanh(x):
    """tanh in float32: a series where 1 - exp(-2 |x|) would cancel."""
    e = tl.exp2(tl.abs(x) * (-2 * LOG2E))
    y = x * x
    series = 1 + y * (-1 / 3 + y * (2 / 15 + y * (-17 / 315 + y * (62 / 2835))))
    return tl.where(tl.abs(x) < 0.25, x * series, tl.where(x < 0, e - 1, 1 - e) / (1 + e))


@triton.jit
def logits(
    qk, i, j, scale, softcap, slope,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """Logits of raw products, in bits or nats, and the slope of the soft cap (1 without one)."""
    unit: tl.constexpr = LOG2E if BITS else 1.0
    if SOFTCAP:
        t = tanh(qk * (scale / softcap))
        s = t * (softcap * unit)
        bend = 1 - t * t
    else:
        s = qk * (scale * unit)
        bend = 1.0
    if ALIBI:
        s -= (slope * unit) * tl.abs(i - j).to(tl.float32)
    return s, bend


@triton.jit
def power(x, BITS: tl.constexpr):
    """2^x of bits, e^x of nats."""
    return tl.exp2(x) if BITS else tl.exp(x)


@triton.jit
def hide(
    x, i, j, inside, back, ahead, value,
    BACK: tl.constexpr, AHEAD: tl.constexpr, RAGGED: tl.constexpr,
):  # fmt: skip
    """x where the query at place i sees key j, i - back <= j <= i + ahead, else `value`."""
    if RAGGED:
        x = tl.where(inside, x, value)
    if AHEAD:
        x = tl.where(j <= i + ahead, x, value)
    if BACK:
        x = tl.where(j >= i - back, x, value)
    return x


@triton.jit
def stretch(first, last, end, back, ahead, BLOCK: tl.constexpr):
    """Where the places first .. last look on an axis of length `end`: lo, bulk_lo, bulk_hi, hi.

    What any of them sees lies in lo .. hi, and all of them see the whole of bulk_lo .. bulk_hi;
    lo and the bulk are multiples of BLOCK.
    """
    lo = tl.maximum(0, first - back) // BLOCK * BLOCK
    hi = tl.maximum(tl.minimum(end, last + ahead + 1), lo)
    bulk_lo = tl.minimum(tl.cdiv(tl.maximum(0, last - back), BLOCK), tl.cdiv(hi, BLOCK)) * BLOCK
    bulk_hi = tl.maximum(tl.minimum(end, first + ahead + 1), 0) // BLOCK * BLOCK
    return lo, bulk_lo, tl.maximum(bulk_hi, bulk_lo), hi


@triton.jit
def place(tile, cu, sequences, BLOCK: tl.constexpr, PACKED: tl.constexpr):
    """Which sequence the tile belongs to, and its first row within it; sequence -1 for none.

    Packed sequences own ceil(length / BLOCK) tiles each; nobody tells the host how many that are.
    """
    sequence = 0
    first = tile * BLOCK
    if PACKED:
        sequence = -1
        before = 0
        for p in range(sequences):
            tiles = tl.cdiv(tl.load(cu + p + 1) - tl.load(cu + p), BLOCK)
            mine = (tile >= before) & (tile < before + tiles)
            sequence = tl.where(mine, p, sequence)
            first = tl.where(mine, (tile - before) * BLOCK, first)
            before += tiles
    return sequence, first


@triton.jit
def bounds(cu, sequence, rows, PACKED: tl.constexpr):
    """First row of a sequence in the tensor, and its length."""
    start = 0
    if PACKED:
        start = tl.load(cu + sequence)
        rows = tl.load(cu + sequence + 1) - start
    return start, rows


@triton.jit
def attend(
    acc, m, l, q, k_desc, v_desc, batch, g, k_start, i, lo, hi, keys,
    scale, softcap, slope, back, ahead,
    BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr, BACK: tl.constexpr, AHEAD: tl.constexpr,
    SOFTCAP: tl.constexpr, ALIBI: tl.constexpr, PACKED: tl.constexpr, BITS: tl.constexpr,
    RAGGED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Fold the keys lo .. hi into the summary (m, l, acc) of the queries at places i; scale > 0."""
    unit: tl.constexpr = LOG2E if BITS else 1.0
    for j0 in tl.range(lo, hi, BLOCK_K):
        k = load_tile(k_desc, batch, g, k_start + j0, BLOCK_K, BLOCK_D)
        j = j0 + tl.arange(0, BLOCK_K)
        s = tl.dot(q, k.T, input_precision="ieee")
        if SOFTCAP or ALIBI:
            s, _ = logits(s, i[:, None], j[None, :], scale, softcap, slope, SOFTCAP, ALIBI, BITS)
            factor = 1.0
        else:
            factor = scale * unit  # in the exponent below it costs nothing: a fused multiply-add
        if MASKED:
            s = hide(
                s, i[:, None], j[None, :], (j < keys)[None, :], back, ahead, -float("inf"),
                BACK, AHEAD, RAGGED,
            )  # fmt: skip
        m_new = tl.maximum(m, tl.max(s, 1) * factor)
        shift = tl.where(m_new == -float("inf"), 0.0, m_new) if MASKED else m_new
        p = power(s * factor - shift[:, None], BITS)
        alpha = power(m - shift, BITS)
        l = l * alpha + tl.sum(p, 1)
        acc = acc * alpha[:, None]
        v = load_tile(v_desc, batch, g, k_start + j0, BLOCK_K, BLOCK_D)
        if MASKED and PACKED:  # a neighbour's rows: 0 x NaN would be NaN
            v = tl.where((j < keys)[:, None], v, 0.0)
        acc = tl.dot(p.to(v.dtype), v, acc, input_precision="ieee")
        m = m_new
    return acc, m, l


@triton.jit
def forward_kernel(
    q_desc, k_desc, v_desc, o, top, rest, sinks, slopes, cu_q, cu_k, sequences,
    programs, H, G, N, M, D, scale, softcap, back, ahead,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
    BACK: tl.constexpr, AHEAD: tl.constexpr, SOFTCAP: tl.constexpr, ALIBI: tl.constexpr,
    SINKS: tl.constexpr, PACKED: tl.constexpr, RAGGED: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one head: o (B, H, N, D), top and rest (B, H, N), contiguous."""
    tile = tl.program_id(0) % programs
    if AHEAD and not PACKED:  # the longest rows first: they would end last
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

    q = load_tile(q_desc, batch, head, q_start + i0, BLOCK_Q, BLOCK_D)
    m = tl.full([BLOCK_Q], -float("inf"), tl.float32)
    l = tl.zeros([BLOCK_Q], tl.float32)
    acc = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    first = i0 + keys - rows
    lo, bulk_lo, bulk_hi, hi = stretch(first, first + BLOCK_Q - 1, keys, back, ahead, BLOCK_K)
    if BACK:
        acc, m, l = attend(
            acc, m, l, q, k_desc, v_desc, batch, g, k_start, place_i, lo, bulk_lo, keys,
            scale, softcap, slope, back, ahead,
            BLOCK_K, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED, True,
        )  # fmt: skip
    acc, m, l = attend(
        acc, m, l, q, k_desc, v_desc, batch, g, k_start, place_i, bulk_lo, bulk_hi, keys,
        scale, softcap, slope, back, ahead,
        BLOCK_K, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED, False,
    )  # fmt: skip
    if RAGGED or BACK or AHEAD:
        acc, m, l = attend(
            acc, m, l, q, k_desc, v_desc, batch, g, k_start, place_i, bulk_hi, hi, keys,
            scale, softcap, slope, back, ahead,
            BLOCK_K, BLOCK_D, BACK, AHEAD, SOFTCAP, ALIBI, PACKED, BITS, RAGGED, True,
        )  # fmt: skip
    if SINKS:
        sink = tl.load(sinks + head).to(tl.float32) * (LOG2E if BITS else 1.0)
        m_new = tl.maximum(m, sink)
        alpha = power(m - m_new, BITS)
        l = l * alpha + power(sink - m_new, BITS)
        acc = acc * alpha[:, None]
        m = m_new
    l = tl.where(l == 0, 1.0, l)
    acc = acc / l[:, None]
    row = (batch * H + head).to(tl.int64) * N + q_start + i
    d = tl.arange(0, BLOCK_D)
    tl.store(top + row, m, mask=i < rows)
    tl.store(rest + row, tl.log2(l) if BITS else tl.log(l), mask=i < rows)
    tl.store(
        o + row[:, None] * D + d[None, :],
        acc.to(o.dtype.element_ty),
        mask=(i < rows)[:, None] & (d < D)[None, :],
    )
