"""Argument checks: each error names the argument, what came and what was expected."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def finite(name: str, x: ArrayLike) -> Floats:
    """x as an array of float64; ValueError where an element is NaN or infinite."""
    try:
        a = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None
    if not np.isfinite(a).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(a))[0])
        raise ValueError(f"{name} must be finite, got {a[at]} at index {at}")
    return a


def shape(name: str, a: NDArray[np.generic], expected: tuple[int | str, ...]) -> None:
    """ValueError unless a has the expected shape; a letter stands for any positive size."""
    fits = a.ndim == len(expected) and all(
        n > 0 if isinstance(e, str) else n == e for n, e in zip(a.shape, expected, strict=True)
    )
    if not fits:
        words = ", ".join(map(str, expected))
        raise ValueError(f"{name} must have shape ({words}), got {a.shape}")


def indices(name: str, x: ArrayLike, size: int) -> NDArray[np.intp]:
    """x as an array of integers in [0, size); ValueError otherwise."""
    a = np.asarray(x)
    if a.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, got {a.dtype}")
    if a.size and not (a.min() >= 0 and a.max() < size):
        worst = a.min() if a.min() < 0 else a.max()
        raise ValueError(f"{name} must lie in [0, {size}), got {worst}")
    return a.astype(np.intp)


def probabilities(name: str, x: ArrayLike, tolerance: float = 1e-9) -> Floats:
    """x as an array whose last axis holds probabilities; ValueError unless each row sums to 1."""
    p = finite(name, x)
    if p.min(initial=0) < 0:
        at = tuple(int(i) for i in np.argwhere(p < 0)[0])
        raise ValueError(f"{name} must not be negative, got {p[at]:g} at index {at}")
    off = np.abs(p.sum(-1) - 1) > tolerance
    if off.any():
        at = tuple(int(i) for i in np.argwhere(off)[0])
        raise ValueError(f"{name} must sum to 1 in each row, got {p.sum(-1)[at]:.10g} in row {at}")
    return p


def interval(name: str, x: float, low: float, high: float) -> float:
    """x as a float; ValueError unless low <= x <= high."""
    if not low <= x <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {x!r}")
    return float(x)


def positive(name: str, x: float) -> float:
    """x as a float; ValueError unless 0 < x < infinity."""
    if not 0 < x < np.inf:
        raise ValueError(f"{name} must be positive, got {x!r}")
    return float(x)


def step_size(name: str, x: float) -> float:
    """x as a float; ValueError unless 0 < x <= 1."""
    if not 0 < x <= 1:
        raise ValueError(f"{name} must lie in (0, 1], got {x!r}")
    return float(x)


def positive_integer(name: str, x: int) -> int:
    """x as an int; ValueError unless it is an integer of at least 1."""
    if isinstance(x, bool) or not isinstance(x, int | np.integer) or x < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {x!r}")
    return int(x)


def spread(name: str, x: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """A copy of x broadcast to a shape; ValueError where it doesn't fit."""
    try:
        return np.broadcast_to(x, shape).copy()
    except ValueError:
        raise ValueError(f"{name} must broadcast to shape {shape}, got {np.shape(x)}") from None
