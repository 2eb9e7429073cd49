"""What operations allocate and free, one after another, forwards and backwards.

A pass is a list of steps; each allocates so many bytes, and when it is done so many are given back.
Two numbers then say all that matters of a part of a pass, whatever it consists of:

    net   = Σ (grows − frees)                                  what is alive after it
    most  = max over its steps of what is alive beyond the start

    forwards    what the backward pass needs stays
    backwards   what was saved goes, gradients of weights come and stay

Sizes are linear in three numbers, so a size is a vector (fixed, per N, per B N): gradients of
weights are fixed, tables of rotary positions grow with N, all else with B N. Each step is one
operation of ATen that allocates, in PyTorch 2.13 on a CPU.
Symbols: B sequences, N tokens, e bytes of an element, 2 or 4.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = NDArray[np.int64]  # (3,): bytes fixed, per N and per B N
WIDE = 4  # bytes of float32, in which norms, rotary positions and the loss are computed


class Step(NamedTuple):
    """Bytes that an operation allocates, and those that go after it."""

    grows: Size
    frees: Size


Steps = list[Step]


def fixed(n: int) -> Size:
    """n bytes."""
    return np.array([n, 0, 0])


def per_row(n: int) -> Size:
    """n bytes for each of the N places."""
    return np.array([0, n, 0])


def per_token(n: int) -> Size:
    """n bytes for each of the B N tokens."""
    return np.array([0, 0, n])


NONE = fixed(0)


def net(steps: Steps) -> Size:
    """Σ (grows − frees): what is alive at the end beyond the start."""
    return sum((s.grows - s.frees for s in steps), NONE)


def heights(steps: Steps) -> list[Size]:
    """What is alive beyond the start while each of the steps runs."""
    alive, high = NONE, []
    for s in steps:
        high.append(alive + s.grows)
        alive = alive + s.grows - s.frees
    return high


def allocations(*sizes: Size) -> Steps:
    """Steps that free nothing."""
    return [Step(x, NONE) for x in sizes]


# ------------------------------------------------------------------------------- norm


def norm_forward(c: int, rows: int, e: int, saves: bool = True) -> Steps:
    """Root mean square norm of c numbers a token, in `rows` rows: square, mean, 1/√, two products.

    In 16 bits a copy in float32 comes first, and the output is cast back. Heads lie apart: where
    there are several rows the output is put in order.
    """
    x, z, s = per_token(e * c), per_token(WIDE * c), per_token(WIDE * rows)
    casts = e < WIDE
    lost, apart = 0 if saves else 1, rows > 1
    steps = allocations(*[z] * casts, z, s) + [Step(s, z + s), Step(z, NONE)]
    if casts:
        steps += [Step(z, lost * z * (2 - apart))] + [Step(z, z + lost * z)] * apart
        return [*steps, Step(x, z + lost * s)]
    if apart:
        return [*steps, Step(z, lost * z), Step(z, z + lost * s)]
    return [*steps, Step(z, lost * (z + s))]


def norm_backward(
    c: int, rows: int, e: int, size: int, residual: bool = False, again: bool = False
) -> Steps:
    """The gradient replaces that of the output; `size` weights get theirs; what was saved goes.

    residual: the gradient that goes round the norm is added in. again: what was saved is of a
    second forward pass, and goes a step earlier.
    """
    x, z, s = per_token(e * c), per_token(WIDE * c), per_token(WIDE * rows)
    casts, gain, meet = e < WIDE, fixed(WIDE * size), Step(per_token(e * c), per_token(2 * e * c))
    steps = [Step(z, x)] * casts + [Step(z, NONE), Step(z, again * z)]
    rest = (2 - again) * z
    steps += (
        [Step(gain, z), Step(fixed(e * size), gain + rest)] if casts else [Step(gain, z + rest)]
    )
    steps += [*allocations(z, z), Step(s, 2 * z)]
    steps += [meet] * (residual and not casts) + allocations(s, s) + [Step(s, 4 * s), Step(z, s)]
    steps += [*allocations(z, z), Step(z, 4 * z), Step(z, 2 * z)]
    return steps + [Step(x, z)] * casts + [meet] * (residual and casts)


# ------------------------------------------------------------------------------- rotary


def turn_forward(c: int, e: int) -> Steps:
    """Product with the cosine, the other of the pair, sum; in 16 bits cast to float32 and back."""
    x, z = per_token(e * c), per_token(WIDE * c)
    casts = e < WIDE
    steps = [*allocations(*[z] * casts, z, z), Step(z, 2 * z)]
    return [*steps, Step(x, 2 * z)] if casts else steps


def turn_backward(c: int, d: int, e: int, last: bool = False) -> Steps:
    """The gradient before the turn replaces the one after it; the last of all ends the tables."""
    x, z, r = per_token(e * c), per_token(WIDE * c), per_row(WIDE * d)
    casts = e < WIDE
    steps = [Step(z, x)] * casts + [Step(r, NONE), Step(z, r + r * last), Step(z, z)]
    return [*steps, Step(z, z + r * last), Step(z, 2 * z)] + [Step(x, z)] * casts


# ------------------------------------------------------------------------------- linear


def linear_backward(
    shape: tuple[int, int, bool], e: int, goes: Size, saved: Size = NONE, again: bool = False
) -> Steps:
    """Gradients of the weights and of the input come; shape: inputs, outputs, whether biased.

    goes: what isn't needed after that; saved: the input, where nobody else needs it. What a second
    forward pass saved goes as soon as the gradient of the weights is there.
    """
    inputs, outputs, bias = shape
    weight, x = fixed(e * inputs * outputs), per_token(e * inputs)
    if bias:
        early = again * saved
        last = Step(fixed(e * outputs), goes + saved - early)
        return [Step(x, NONE), Step(weight, early), last]
    return [Step(weight, NONE), Step(x, goes + saved)]
