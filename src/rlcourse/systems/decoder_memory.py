"""What a decoder allocates and frees in a training step, operation by operation.

    embedding   positions, rows of the embedding, tables of cosines and sines
    block       norm, three projections, turns, attention, projection; norm, SwiGLU
    loss        final norm, logits, their logarithms; backwards their gradients first

Each pass is a list of `operation_memory.Step`s in the order of `language.transformer`, with
attention by PyTorch's fused kernel. Under a checkpoint a block's forward pass leaves its input and
output alone, and its backward pass begins with the forward pass, run again up to the last thing
that it saves.
Symbols: C width, H heads, G heads of keys, D head dimension, F hidden, V vocabulary, B sequences,
N tokens, e bytes of a weight, 2 or 4.
"""

from typing import NamedTuple

from rlcourse.systems.operation_memory import (
    NONE,
    WIDE,
    Step,
    Steps,
    allocations,
    fixed,
    linear_backward,
    norm_backward,
    norm_forward,
    per_row,
    per_token,
    turn_backward,
    turn_forward,
)


class Sizes(NamedTuple):
    """What counts of a decoder: V, C, L, H, G, D, F and the switches of its family."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = True


# ------------------------------------------------------------------------------- block


def block_forward(c: Sizes, e: int, saves: bool = True) -> Steps:
    """x + attention(norm(x)), then x + swiglu(norm(x)); the output replaces the input.

    saves: what the backward pass needs stays; else nothing but the input and the output.
    """
    x, f, lse = per_token(e * c.width), per_token(e * c.hidden), per_token(WIDE * c.heads)
    q, k = per_token(e * c.heads * c.head_dim), per_token(e * c.kv_heads * c.head_dim)
    lost, casts = 0 if saves else 1, e < WIDE
    steps = norm_forward(c.width, 1, e, saves) + allocations(q, k, k)
    for heads, y in ((c.heads, q), (c.kv_heads, k)):
        if c.qk_norm:
            steps += norm_forward(heads * c.head_dim, heads, e, saves)
        steps += turn_forward(heads * c.head_dim, e) + [Step(NONE, y)] * c.qk_norm
    if casts or lost or not c.qk_norm:
        steps += [Step(NONE, q + k)]
    steps += [Step(q + lse, lost * lse)] + [Step(q, lost * q)] * (c.qk_norm and c.heads > 1)
    steps += [Step(x, lost * (2 * q + 2 * k + x)), Step(x, x)]
    steps += norm_forward(c.width, 1, e, saves)
    steps += [Step(f, NONE), Step(f, lost * f), Step(f, NONE), Step(f, lost * 2 * f)]
    return [*steps, Step(x, lost * (f + x)), Step(x, x * (1 + lost if lost else 1 + 2 * casts))]


def block_recomputed(c: Sizes, e: int) -> Steps:
    """The forward pass again, up to the last thing that it saves."""
    x = per_token(e * c.width)
    return [*block_forward(c, e)[:-2], Step(NONE, x * (e < WIDE))]


def block_backward(c: Sizes, e: int, first: bool = False, again: bool = False) -> Steps:
    """From the gradient of the output to that of the input.

    first: the block that the backward pass comes to last, where the tables of positions go. again:
    under a checkpoint, where they go with the last thing that was saved, and so does the input.
    """
    steps = swiglu_backward(c, e, again)
    steps += norm_backward(c.width, 1, e, c.width, residual=True, again=again)
    steps += attention_backward(c, e, first and not again, again)
    steps += norm_backward(c.width, 1, e, c.width, residual=True, again=again)
    if again:
        late = 2 + 2 * (e < WIDE)
        goes = per_token(e * c.width) * (e < WIDE) + per_row(2 * WIDE * c.head_dim) * first
        steps[-late] = Step(steps[-late].grows, steps[-late].frees + goes)
    return steps


def swiglu_backward(c: Sizes, e: int, again: bool) -> Steps:
    """Down, product, up, SiLU, gate; the gradients of both branches meet."""
    x, f = per_token(e * c.width), per_token(e * c.hidden)
    down, into = (c.hidden, c.width, c.mlp_bias), (c.width, c.hidden, c.mlp_bias)
    steps = linear_backward(down, e, NONE, f, again) + [Step(f, NONE), Step(f, 3 * f)]
    steps += linear_backward(into, e, f) + [Step(f, 2 * f)]
    return [*steps, *linear_backward(into, e, f, x, again), Step(x, 2 * x)]


def attention_backward(c: Sizes, e: int, first: bool, again: bool) -> Steps:
    """Output, attention, turns and norms of keys and queries; then values, keys, queries meet.

    Gradients of several heads are put in order before the projection's.
    """
    hd, kd = c.heads * c.head_dim, c.kv_heads * c.head_dim
    x, q, k, lse = (per_token(n) for n in (e * c.width, e * hd, e * kd, WIDE * c.heads))
    keys, meet = (c.width, kd, c.qkv_bias), Step(x, 2 * x)
    copied = q * (c.qk_norm and c.heads > 1)
    steps = linear_backward((hd, c.width, c.o_bias), e, NONE, copied, again)
    steps += [Step(q + 2 * k, 3 * q + 2 * k + lse)]
    for i, heads in enumerate((c.kv_heads, c.heads)):
        steps += turn_backward(heads * c.head_dim, c.head_dim, e, first and i == 1)
        if c.qk_norm:
            steps += norm_backward(heads * c.head_dim, heads, e, c.head_dim, again=again)
    steps += linear_backward(keys, e, k)
    steps += [Step(k, k)] * (c.kv_heads > 1) + [*linear_backward(keys, e, k), meet]
    steps += [Step(q, q)] * (c.heads > 1)
    return [*steps, *linear_backward((c.width, hd, c.qkv_bias), e, q, x, again), meet]


# ------------------------------------------------------------------------------- ends


def embedding_forward(c: Sizes, e: int) -> Steps:
    """Positions, rows of the embedding, and the tables of cosines and sines, made in float64."""
    r = per_row(WIDE * c.head_dim)
    steps = [Step(per_row(8), NONE), Step(fixed(8), fixed(8)), Step(per_token(e * c.width), NONE)]
    steps += [*allocations(r, r, r, 2 * r, r), Step(2 * r, 4 * r)]
    return [*steps, Step(r, NONE), Step(r, 4 * r)]


def loss_forward(c: Sizes, e: int) -> Steps:
    """Final norm, logits, their softmax and the loss; the logits go, their logarithms stay."""
    v, wide = per_token(e * c.vocabulary), per_token(WIDE * c.vocabulary)
    casts = e < WIDE
    steps = [*norm_forward(c.width, 1, e), Step(NONE, per_row(8) + per_token(e * c.width) * casts)]
    steps += [Step(v, NONE)] + [Step(wide, NONE)] * casts
    return [*steps, Step(wide, NONE), Step(fixed(8), wide + v * casts)]


def loss_backward(c: Sizes, e: int) -> Steps:
    """Gradients of the logits, of the head and of the last block's output."""
    v, wide, x = per_token(e * c.vocabulary), per_token(WIDE * c.vocabulary), per_token(e * c.width)
    steps = [Step(fixed(4), NONE), Step(wide, fixed(4)), Step(wide, 2 * wide)]
    steps += [Step(v, wide)] * (e < WIDE)
    steps += [Step(fixed(e * c.vocabulary * c.width), NONE), Step(x, v + x)]
    return steps + norm_backward(c.width, 1, e, c.width)


def embedding_backward(c: Sizes, e: int) -> Steps:
    """The gradient of the embedding, whole; where it is tied it is added to that of the head."""
    size, x = fixed(e * c.vocabulary * c.width), per_token(e * c.width)
    sums = [Step(size, 2 * size)] * c.tied
    return [Step(size, x), *sums, Step(NONE, fixed(4))]
