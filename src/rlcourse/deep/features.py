"""Features: what a linear value function sees of a state.

v(s) = φ(s)ᵀw can be no better than its features. Four families, each from a point x of the unit
box to a vector φ(x):

    polynomial   φ_i = Π_d x_d^{c_id}, with Σ_d c_id ≤ n         (eq-polynomial-features)
    Fourier      φ_i = cos(π c_i·x), with 0 ≤ c_id ≤ n           (eq-fourier-features)
    tile coding  φ_i = 1 in one tile of each tiling, 0 elsewhere (eq-tile-coding)
    radial       φ_i = exp(-|x - c_i|² / 2σ²)                    (eq-radial-features)

The first two reach everywhere: a step at one state moves the values of all. The last two are local.
What a step at x does to the value at y is α δ times φ(x)ᵀφ(y), the kernel of the features
(eq-kernel); radial features on an ever finer grid have a kernel that can be written down, so that
infinitely many of them cost no more than as many states.

Shapes: D coordinates of a point, F features, N and M points, T tilings; x is (..., D).
Source: Sutton & Barto, 2nd ed., section 9.5; Zhao, Mathematical Foundations of RL, section 8.2;
Konidaris, Osentoski & Thomas (2011).
"""

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular.mdp import Floats, Ints


def to_unit_box(x: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """(x - low) / (high - low): x (..., D) between the bounds (D,) -> (..., D) in [0, 1]."""
    bottom, top = _check.finite("low", low), _check.finite("high", high)
    if not (bottom < top).all():
        raise ValueError(f"low must be below high, got {bottom.tolist()} and {top.tolist()}")
    return np.asarray((_check.finite("x", x) - bottom) / (top - bottom))


def exponents(n_coordinates: int, degree: int) -> Ints:
    """The powers (F, D) of all monomials of D coordinates whose degree is at most n.

    Sorted by degree, and within a degree with the highest power of the first coordinate first:
    1, x, y, x², xy, y², ... . There are (n + D choose D).
    """
    every = product(range(degree + 1), repeat=_check.positive_integer("D", n_coordinates))
    kept = (c for c in every if sum(c) <= degree)
    rows = sorted(kept, key=lambda c: (sum(c), [-power for power in c]))
    return np.array(rows, dtype=np.intp)


def polynomial_features(x: Floats, degree: int) -> Floats:
    """φ_i(x) = Π_d x_d^{c_id} for all powers with Σ_d c_id ≤ n  (eq-polynomial-features).

    x (..., D) -> (..., F), in the order of `exponents`: 1, x, y, x², xy, y², ... . Zhao, section
    8.2.4; Sutton & Barto, eq. 9.17, bound each power by n instead of their sum.
    """
    c = exponents(x.shape[-1], degree)
    return np.asarray((x[..., None, :] ** c).prod(-1))


def fourier_features(x: Floats, order: int) -> Floats:
    """φ_i(x) = cos(π c_i·x), c_i in {0, 1, ..., n}^D  (eq-fourier-features).

    x (..., D) in [0, 1] -> (..., (n + 1)^D). The last coordinate's frequency runs fastest:
    c = (0, 0), (0, 1), ..., (1, 0), ... . The cosines alone suffice: a function on the box is half
    of an even one. Sutton & Barto, eq. 9.18; Zhao, section 8.2.4.
    """
    c = np.array(list(product(range(order + 1), repeat=x.shape[-1])))
    return np.asarray(np.cos(np.pi * x @ c.T))


def tile_indices(x: Floats, tilings: int, tiles: int) -> Ints:
    """The tile of each tiling that holds x: floor(n x_d + k (2d - 1) / T mod 1)  (eq-tile-coding).

    x (..., D) in [0, 1] -> (..., T) integers below T (n + 1)^D. Each coordinate is cut into n
    tiles; tiling k = 0, 1, ..., T - 1 is shifted along coordinate d = 1, ..., D by the fraction
    k (2d - 1) / T mod 1 of a tile, so that it needs n + 1 tiles to cover the box. Tilings are
    numbered one after the other, and their tiles with the last coordinate fastest.
    Sutton & Barto, section 9.5.4.
    """
    k, d = np.arange(tilings), np.arange(x.shape[-1])
    shift = k[:, None] * (2 * d + 1) / tilings % 1
    cell = (tiles * x[..., None, :] + shift).astype(np.intp)  # nothing is negative: rounds down
    digits = (cell * (tiles + 1) ** d[::-1]).sum(-1)
    return np.asarray(k * (tiles + 1) ** x.shape[-1] + digits)


def binary_features(index: Ints, n_features: int) -> Floats:
    """φ_i = 1 for each index in the last axis, 0 otherwise: (..., T) -> (..., F).

    State aggregation is the case T = 1, a table that with one index for each state.
    """
    active = _check.indices("index", index, n_features)
    return np.asarray(np.eye(n_features)[active].sum(-2))


def tile_features(x: Floats, tilings: int, tiles: int) -> Floats:
    """One feature for each tile of T tilings, 1 where it holds x: (..., D) -> (..., F)."""
    n_features = tilings * (tiles + 1) ** x.shape[-1]
    return binary_features(tile_indices(x, tilings, tiles), n_features)


def radial_features(x: Floats, centres: Floats, width: float) -> Floats:
    """φ_i(x) = exp(-|x - c_i|² / 2σ²)  (eq-radial-features).

    x (..., D), centres (F, D) -> (..., F). Sutton & Barto, section 9.5.5.
    """
    distance = x[..., None, :] - centres
    return np.asarray(np.exp(-(distance**2).sum(-1) / (2 * _check.positive("width", width) ** 2)))


def kernel(phi: Floats, phi_other: Floats) -> Floats:
    """k(x, y) = φ(x)ᵀφ(y): what learning at x does to the value at y  (eq-kernel).

    phi (N, F), phi_other (M, F) -> (N, M).
    """
    return phi @ phi_other.T


def gaussian_kernel(x: Floats, y: Floats, width: float) -> Floats:
    """k(x, y) = exp(-|x - y|² / 4σ²): radial features at every point  (eq-gaussian-kernel).

    x (N, D), y (M, D) -> (N, M). With centres on a grid of spacing h over the whole space, the
    φ(x)ᵀφ(y) of width σ tends to (σ √π / h)^D times it as h goes to 0: a product of two bells,
    summed over all centres, is a bell of the distance, √2 times as wide.
    """
    return radial_features(x, y, np.sqrt(2) * _check.positive("width", width))
