"""Rotary positions: a pair of numbers is turned by an angle that grows with the place in the text.

    ω_i = θ^(-2i/D)                                         i = 0 .. D/2 - 1        (eq-rotary)
    (x_i, x_{i + D/2}) <- turned by p ω_i                   at position p

A turned query and a turned key meet in a product that knows p_q - p_k alone, so what a head sees
does not change when a text is shifted. Which numbers form a pair is a convention: here, as in the
checkpoints of the hub, number i and number i + D/2.

Shapes: T tokens, D head dimension (even). Angles are computed in float64: a float32 angle is off by
1e-4 at position 4096 and by 5e-3 at 131071.
Source: Su et al. (2021), RoFormer, equation 34.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.language.numbers import wide


class Llama3Scaling(NamedTuple):
    """How Llama 3.1 stretches rotary positions beyond the length it was trained on.

    factor              what the slow frequencies are divided by
    low, high           turns within `original` below which all of it, and above which nothing of it
    original            tokens, the length before the stretch
    """

    factor: float
    low: float
    high: float
    original: int


def frequencies(size: int, theta: float) -> Tensor:
    """ω (D/2,), radians a position, in float64  (eq-rotary)."""
    return theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)


def stretched(omega: Tensor, scaling: Llama3Scaling) -> Tensor:
    """ω (D/2,) slowed down `factor` times where a turn takes long, and not at all where it's quick.

    Source: Llama 3.1's `apply_scaling`.
    """
    turns = scaling.original * omega / (2 * math.pi)
    kept = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return omega * (kept + (1 - kept) / scaling.factor)


def cos_sin(positions: Tensor, omega: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of p ω for both numbers of each pair: (..., D) each, in float64.

    positions (...), omega (D/2,). The sine is negative for the first of a pair.
    """
    angle = positions[..., None] * omega.to(positions.device)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (..., D) with its pairs turned: x cos + (the other of the pair) sin. In float32 at least.

    cos and sin (..., D) broadcast, as `cos_sin` gives them.
    """
    z = x.to(wide(x.dtype))
    return torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin).to(x.dtype)


def rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """x with the pair (i, i + D/2) turned by the angle p θ^(-2i/D)  (eq-rotary).

    x (..., T, D), positions (..., T) of whole numbers, which broadcast against x without its last
    axis and may be negative.
    """
    return turn(x, *cos_sin(positions, frequencies(x.shape[-1], theta)))


@lru_cache(maxsize=64)
def cached_frequencies(size: int, theta: float, scaling: Llama3Scaling | None) -> Tensor:
    """The frequencies of a model, made once: never write to them."""
    omega = frequencies(size, theta)
    return omega if scaling is None else stretched(omega, scaling)
