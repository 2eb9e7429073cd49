"""The exercise of the FlashAttention chapter that is a Triton kernel: softmax of rows, online.

It is judged by its launcher, in Triton's interpreter, and has a desk of its own since it needs
torch and Triton. The interpreter takes a millisecond for a block of a row: cases are few and small.

Axes differ in size and vary: N rows, M keys.
"""

import inspect
import linecache
from functools import cache

import numpy as np
import torch
import triton
import triton.language as tl

from rlcourse.grading import exercise
from rlcourse.systems import row_kernel

online_softmax_rows = exercise(
    row_kernel.online_softmax_rows,
    tolerance=5e-6,
    nudge="One program, one row. Which two numbers has it to carry from block to block, and which "
    "keys may it read?",
    worked={
        "s": torch.tensor([[0.0, 2.0, 4.0], [8.0, 2.0, 2.0]]),
        "lengths": torch.tensor([3, 1], dtype=torch.int32),
        "scale": 0.5,
        "block": 2,
    },
    seconds=10.0,
)


def rows(rng, n, m, size=2.0, kind=torch.float32):
    return torch.tensor(rng.normal(rng.uniform(-1, 1), size, (n, m)), dtype=kind)


def case(s, lengths, scale, block):
    return {
        "s": s,
        "lengths": torch.tensor(np.asarray(lengths), dtype=torch.int32),
        "scale": float(scale),
        "block": int(block),
    }


def full(s):
    return np.full(len(s), s.shape[1])


@online_softmax_rows.check(points=1)
def test_a_row_that_fits_in_one_block_becomes_the_softmax_of_its_scaled_scores(rng):
    n, m = int(rng.integers(1, 3)), int(rng.integers(4, 9))
    s = rows(rng, n, m)
    yield case(s, full(s), rng.uniform(0.2, 0.9), rng.choice([8, 16]))
    yield case(rows(rng, 1, 3), [3], rng.uniform(0.2, 0.9), 4)


@online_softmax_rows.check(points=2)
def test_a_row_longer_than_a_block_does_too_wherever_its_maximum_lies(rng):
    """so does a row longer than a block, or than any tile, wherever its maximum lies"""
    s = rows(rng, 2, int(rng.integers(9, 13)))
    yield case(s, full(s), rng.uniform(0.3, 1.5), 4)
    yield case(s[:1, :3], [3], rng.uniform(0.3, 1.5), 1)
    for size, low in ((12, -40_000), (rng.choice([800, 16384]), 0)):  # exact in float32
        m = int(rng.integers(9, 14))
        steps = np.round(size * np.linspace(-1, 1, m)) + rng.integers(0, 3, m) + low
        s = torch.tensor(np.stack([steps, steps[::-1]]), dtype=torch.float32)
        yield case(s, full(s), rng.choice([0.25, 0.5, 2.0]), 4)
    s = rows(rng, 1, int(rng.integers(1030, 1100)), 4.0)
    yield case(s, full(s), rng.uniform(0.4, 0.6), 512)


@online_softmax_rows.check(points=1)
def test_beyond_its_length_a_row_is_zero_and_nothing_there_is_read(rng):
    m = int(rng.integers(6, 10))
    lengths = rng.permutation([0, 1, m, int(rng.integers(2, m))])
    s = rows(rng, 4, m)
    for row, length in zip(s, lengths, strict=True):
        row[length:] = float(rng.choice([np.nan, np.inf, 1e4]))
    yield case(s, lengths, rng.uniform(0.3, 1.2), rng.choice([4, 16]))


@online_softmax_rows.check(points=1)
def test_scores_in_half_precision_are_summed_in_single_precision(rng):
    m = int(rng.integers(9, 17))
    s = rows(rng, 3, m, 1.5, torch.float16)
    yield case(s, rng.permutation([m, m - 1, 5]), rng.uniform(0.5, 1.5), 8)


@online_softmax_rows.check(points=1)
def test_a_score_of_minus_infinity_weighs_nothing_and_a_row_of_them_is_zero(rng):
    """a score of -∞ weighs nothing, be it the first block, and a row of them is 0"""
    m, block = int(rng.integers(7, 12)), int(rng.choice([2, 4]))
    s = rows(rng, 4, m)
    s[torch.tensor(rng.random((4, m)) < 0.3)] = -torch.inf
    first, last, none, some = rng.permutation(4)
    s[first, :block], s[first, block] = -torch.inf, 0.5
    s[last, 0], s[last, block:], s[none] = 0.5, -torch.inf, -torch.inf
    s[some, 1] = 0.5
    lengths = np.full(4, m)
    lengths[some] = int(rng.integers(2, m))
    yield case(s, lengths, rng.uniform(0.4, 1.4), block)


@online_softmax_rows.check(points=1)
def test_lengths_that_are_no_lengths_of_these_rows_are_refused(rng):
    """lengths below 0 or beyond the row are refused, wherever they stand"""
    n, m = int(rng.integers(2, 5)), int(rng.integers(6, 9))
    s = rows(rng, n, m)
    for odd in (-1, m + 1, 40, -40):
        lengths = rng.integers(0, m + 1, n)
        lengths[rng.integers(n)] = odd
        yield case(s, lengths, 0.5, 4)
    yield case(s[:2], rng.permutation([int(rng.integers(1, m)), m]), 0.5, 8)


# ------------------------------------------------------------------------------- wrong kernels


@cache
def kernel_with(*changes):
    """The course's kernel with some of its text replaced, a kernel of its own."""
    text = inspect.getsource(row_kernel.online_softmax_kernel.fn)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file = f"<kernel with {changes}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    names = dict(vars(row_kernel))
    exec(compile(text, file, "exec"), names)
    return names["online_softmax_kernel"]


def launch(kernel, s, lengths, scale, block, empty=torch.empty, kind=torch.float32, refuse=True):
    if refuse and not ((lengths >= 0) & (lengths <= s.shape[1])).all():
        raise ValueError("lengths")
    p = empty(s.shape, dtype=kind)
    kernel[(len(s),)](s, lengths, p, s.shape[1], scale, BLOCK=block)
    return p


MAXIMUM = "tl.maximum(m, tl.max(s, 0))"


@online_softmax_rows.misconception(
    "l is relative to the old maximum: l exp(m - m') + Σ exp(s - m')."
)
def does_not_rescale_the_sum(s, lengths, scale, block):
    return launch(kernel_with(("l * tl.exp(m - m_next)", "l")), s, lengths, scale, block)


@online_softmax_rows.misconception(
    "Upside down: when the maximum grows the sum shrinks, by exp(m - m'), not exp(m' - m)."
)
def rescales_upside_down(s, lengths, scale, block):
    return launch(kernel_with(("m - m_next)", "m_next - m)")), s, lengths, scale, block)


@online_softmax_rows.misconception(
    "The terms of a block are relative to the new maximum, which the block itself may bring."
)
def adds_terms_relative_to_the_old_maximum(s, lengths, scale, block):
    changed = kernel_with(("tl.exp(s - m_next)", "tl.exp(s - m)"))
    return launch(changed, s, lengths, scale, block)


@online_softmax_rows.misconception(
    "The maximum runs over all blocks so far: tl.maximum(m, tl.max(s, 0))."
)
def takes_the_maximum_of_a_block_alone(s, lengths, scale, block):
    return launch(kernel_with((MAXIMUM, "tl.max(s, 0)")), s, lengths, scale, block)


@online_softmax_rows.misconception("Subtract the running maximum: exp of 89 overflows float32.")
def subtracts_no_running_maximum(s, lengths, scale, block):
    return launch(
        kernel_with((MAXIMUM, "0.0 * l"), ("m = FLOOR", "m = 0.0")), s, lengths, scale, block
    )


@online_softmax_rows.misconception(
    "The first walk ends after one block: m and l need all blocks up to the length."
)
def walks_over_one_block(s, lengths, scale, block):
    changed = kernel_with(("range(0, length, BLOCK)", "range(0, tl.minimum(length, 1), BLOCK)"))
    return launch(changed, s, lengths, scale, block)


@online_softmax_rows.misconception(
    "A row may be longer than any tile: take BLOCK = block, and walk over the row."
)
def holds_the_whole_row(s, lengths, scale, block):
    kernel = row_kernel.online_softmax_kernel
    return launch(kernel, s, lengths, scale, triton.next_power_of_2(s.shape[1]))


@online_softmax_rows.misconception("Keys from the length on are padding: mask them, j < length.")
def reads_the_padding(s, lengths, scale, block):
    return launch(kernel_with(("j < length", "j < keys")), s, lengths, scale, block)


@online_softmax_rows.misconception(
    "What is masked gets a score of -∞ (other=); a score of 0 weighs exp(0 - m)."
)
def takes_masked_scores_for_zero(s, lengths, scale, block):
    changed = kernel_with(('other=float("-inf")', "other=0.0"))
    return launch(changed, s, lengths, scale, block)


@online_softmax_rows.misconception(
    "torch.empty holds anything: write zeros beyond the length, up to the last key."
)
def leaves_the_padding_unwritten(s, lengths, scale, block):
    changed = kernel_with(
        ("range(0, keys, BLOCK)", "range(0, length, BLOCK)"), ("j < keys", "j < length")
    )
    return launch(changed, s, lengths, scale, block)


@online_softmax_rows.misconception(
    "The last block reaches beyond the row: mask the store with j < keys."
)
def stores_without_a_mask(s, lengths, scale, block):
    return launch(kernel_with((", mask=j < keys", "")), s, lengths, scale, block)


@online_softmax_rows.misconception("The scores are scale s.")
def forgets_the_scale(s, lengths, scale, block):
    return launch(
        kernel_with((".to(tl.float32) * scale", ".to(tl.float32)")), s, lengths, scale, block
    )


@online_softmax_rows.misconception("The second walk divides by l: a row of p sums to 1.")
def does_not_divide_by_the_sum(s, lengths, scale, block):
    return launch(kernel_with((" / total", "")), s, lengths, scale, block)


@online_softmax_rows.misconception("exp2 is 2^x: scale by log2 e as well, or take exp.")
def takes_powers_of_two(s, lengths, scale, block):
    return launch(kernel_with(("tl.exp(", "tl.exp2(")), s, lengths, scale, block)


@online_softmax_rows.misconception(
    "While nothing was seen -∞ - (-∞) is NaN. Begin with a finite maximum, or subtract 0 there."
)
def begins_with_minus_infinity(s, lengths, scale, block):
    changed = kernel_with(("m = FLOOR", 'm = float("-inf")'))
    return launch(changed, s, lengths, scale, block)


@online_softmax_rows.misconception(
    "Scores may all lie below -10000. Begin with -∞, or with the lowest number of float32."
)
def begins_with_minus_ten_thousand(s, lengths, scale, block):
    return launch(kernel_with(("m = FLOOR", "m = -1e4")), s, lengths, scale, block)


@online_softmax_rows.misconception("A row that sees nothing has l = 0: divide by 1 there, not 0.")
def divides_by_zero(s, lengths, scale, block):
    return launch(kernel_with(("tl.where(l == 0, 1.0, l)", "l")), s, lengths, scale, block)


@online_softmax_rows.misconception("Row i begins at i M in memory, whatever the block is.")
def steps_from_row_to_row_by_the_block(s, lengths, scale, block):
    return launch(kernel_with(("row * keys", "row * BLOCK")), s, lengths, scale, block)


@online_softmax_rows.misconception(
    "p is float32 whatever s is: torch.empty_like(s) rounds it to half precision."
)
def answers_in_half_precision(s, lengths, scale, block):
    return launch(row_kernel.online_softmax_kernel, s, lengths, scale, block, kind=s.dtype)


@online_softmax_rows.misconception(
    "Half precision keeps three digits of a sum: convert what is loaded, .to(tl.float32)."
)
def sums_in_half_precision(s, lengths, scale, block):
    changed = kernel_with(
        ("m_next = tl.max", "m_next = tl.max"),
        (
            "        m = m_next",
            "        l = l.to(s_ptr.dtype.element_ty).to(tl.float32)\n        m = m_next",
        ),
    )
    return launch(changed, s, lengths, scale, block)


@online_softmax_rows.misconception("Right, but torch did it: the work is the kernel's to do.")
def leaves_the_work_to_torch(s, lengths, scale, block):
    if not ((lengths >= 0) & (lengths <= s.shape[1])).all():
        raise ValueError("lengths")
    seen = torch.arange(s.shape[1]) < lengths[:, None]
    p = torch.softmax(torch.where(seen, scale * s.float(), -torch.inf), -1)
    return torch.where(p.isnan(), 0.0, p)


@online_softmax_rows.misconception("A length beyond the row would read the next one: ValueError.")
def refuses_no_length(s, lengths, scale, block):
    lengths = lengths.clamp(0, s.shape[1])
    return launch(row_kernel.online_softmax_kernel, s, lengths, scale, block, refuse=False)


# ------------------------------------------------------------------------------- right ones


@triton.jit
def three_walks_kernel(s_ptr, lengths_ptr, p_ptr, n, keys, scale, BLOCK: tl.constexpr):
    """Row after row, from the last: the maximum, then the sum, then what the length leaves."""
    for row in range(n - 1 - tl.program_id(0), -1, -tl.num_programs(0)):
        length = tl.load(lengths_ptr + row)
        m = float("-inf")
        for start in range(tl.cdiv(length, BLOCK)):
            j = start * BLOCK + tl.arange(0, BLOCK)
            s = tl.load(s_ptr + row * keys + j, mask=j < length, other=float("-inf"))
            m = tl.maximum(m, tl.max(s.to(tl.float32), 0) * scale)
        m = tl.where(m == float("-inf"), 0.0, m)
        l = 0.0
        for start in range(tl.cdiv(length, BLOCK)):
            j = start * BLOCK + tl.arange(0, BLOCK)
            s = tl.load(s_ptr + row * keys + j, mask=j < length, other=0.0).to(tl.float32)
            l += tl.sum(tl.where(j < length, tl.exp(s * scale - m), 0.0), 0)
        for start in range(tl.cdiv(length, BLOCK)):
            j = start * BLOCK + tl.arange(0, BLOCK)
            s = tl.load(s_ptr + row * keys + j, mask=j < length, other=0.0).to(tl.float32)
            p = tl.exp(s * scale - m) / tl.maximum(l, 1e-30)
            tl.store(p_ptr + row * keys + j, p, mask=j < length)


@online_softmax_rows.control
def in_three_walks_over_zeros(s, lengths, scale, block):
    if len(s) and (lengths.max() > s.shape[1] or lengths.min() < 0):
        raise ValueError("lengths")
    p = torch.zeros(s.shape)
    three_walks_kernel[(2,)](s, lengths, p, len(s), s.shape[1], scale, BLOCK=block)
    return p


@triton.jit
def rescaled(m, m_next):
    """exp(m - m'), and 0 as long as m is -∞."""
    return tl.where(m == float("-inf"), 0.0, tl.exp(m - m_next))


@triton.jit
def one_by_one_kernel(s_ptr, lengths_ptr, p_ptr, keys, scale):
    row = tl.program_id(0)
    m = float("-inf")
    l = 0.0
    for j in range(tl.load(lengths_ptr + row)):
        s = tl.load(s_ptr + row * keys + j).to(tl.float32) * scale
        m_next = tl.maximum(m, s)
        l = l * rescaled(m, m_next) + rescaled(s, m_next)
        m = m_next
    for j in range(keys):
        p = 0.0
        if (j < tl.load(lengths_ptr + row)) & (l > 0):
            p = rescaled(tl.load(s_ptr + row * keys + j).to(tl.float32) * scale, m) / l
        tl.store(p_ptr + row * keys + j, p)


@online_softmax_rows.control
def one_score_at_a_time(s, lengths, scale, block):
    if any(not 0 <= length <= s.shape[1] for length in lengths.tolist()):
        raise ValueError("lengths")
    if s.shape[1] > 100:  # too slow in the interpreter
        return launch(row_kernel.online_softmax_kernel, s, lengths, scale, block)
    p = torch.empty(s.shape)
    one_by_one_kernel[(len(s),)](s, lengths, p, s.shape[1], scale)
    return p
