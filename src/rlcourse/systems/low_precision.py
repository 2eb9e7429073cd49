"""Low precision in NumPy: what float16, bfloat16 and float32 make of a number.

    type       significand   whole numbers exact up to   largest     exp(x) overflows above
    float16    11 bits       2048                        65504       11.09
    bfloat16    8 bits       256                         3.39e38     88.72
    float32    24 bits       16 777 216                  3.40e38     88.72

A program in low precision is one in float64 that rounds after each operation: rounded(a + b, kind).
For +, -, × and ÷ that gives what the narrow type itself gives if the wide one has twice the bits
and two more (Figueroa 1995): float64 has, for all three, and float32 has for the two of 16 bits.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
SIGNIFICAND = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
"""Bits of the significand, the leading one included."""


def rounded(x: ArrayLike, kind: str) -> Floats:
    """x rounded to the nearest number of a type, ties to even; ±inf beyond the largest.

    Any shape -> float64 of that shape, bfloat16 by way of float32, as hardware does it. Raises
    ValueError for a kind that SIGNIFICAND doesn't list.
    """
    if kind not in SIGNIFICAND:
        raise ValueError(f"kind must be one of {list(SIGNIFICAND)}, got {kind!r}")
    with np.errstate(over="ignore"):
        a = np.asarray(x, dtype=np.float64)
        narrow = a.astype("float32" if kind == "bfloat16" else kind)
    return (to_bfloat16(narrow) if kind == "bfloat16" else narrow).astype(np.float64)


def to_bfloat16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The upper 16 bits of a float32, plus one where the lower 16 are above one half.

    A tie goes to the even number, a carry runs on into the exponent and up to inf; NaN stays.
    """
    bits = np.ascontiguousarray(x).view(np.uint32)
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    cut = (bits + up) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, cut.view(np.float32))


def largest(kind: str) -> float:
    """The largest number of a type: its log is where exp overflows."""
    if kind == "bfloat16":
        return float((2 - 2.0**-7) * 2.0**127)
    return float(np.finfo(np.dtype(kind)).max)
