"""Slow memory that counts: a program's traffic is measured, not asserted.

An accelerator computes on a small fast memory and keeps its arrays in a large slow one. Here the
slow one is an array that can be reached in slices alone, and each slice is a copy that counts.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check


class Traffic(NamedTuple):
    """Elements moved between slow and fast memory, and the largest slice that one access moved."""

    reads: int
    writes: int
    largest: int


class Meter:
    """Counters that the arrays of one slow memory share."""

    def __init__(self) -> None:
        self.traffic = Traffic(0, 0, 0)

    def count(self, reads: int = 0, writes: int = 0) -> None:
        """Add what one access has moved."""
        so_far = self.traffic
        largest = max(so_far.largest, reads, writes)
        self.traffic = Traffic(so_far.reads + reads, so_far.writes + writes, largest)


class SlowMemory:
    """An array that counts the elements of each slice read, x[i:j], and written, x[i:j] = y.

    What is read is a copy: to change slow memory, write to it. `values` looks without counting.
    """

    def __init__(self, values: ArrayLike, meter: Meter | None = None) -> None:
        """An array with counters of its own, or with those of a meter that others share."""
        self.values: NDArray[Any] = np.array(values)
        self._meter = Meter() if meter is None else meter

    def reset(self) -> None:
        """Set the counters to 0."""
        self._meter.traffic = Traffic(0, 0, 0)

    @property
    def traffic(self) -> Traffic:
        """What has been moved since the last reset."""
        return self._meter.traffic

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape; looking at it costs nothing."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's type."""
        return self.values.dtype

    def __len__(self) -> int:
        """Return the size of the first axis."""
        return len(self.values)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return a copy of the slice, and count its elements."""
        part = np.array(self.values[index])
        self._meter.count(reads=part.size)
        return part

    def __setitem__(self, index: Any, values: ArrayLike) -> None:
        """Write a slice, and count its elements."""
        size = np.asarray(self.values[index]).size
        self.values[index] = values
        self._meter.count(writes=size)

    def __array_function__(self, f: Any, types: Any, args: Any, kwargs: Any) -> "SlowMemory":
        """np.empty_like(x, shape=...) is a new array in the same memory; all else has to read."""
        if f not in (np.empty_like, np.zeros_like):
            raise TypeError(f"{f.__name__} can't reach into slow memory: read a slice first")
        return SlowMemory(f(self.values, *args[1:], **kwargs), self._meter)

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        """Refuse: arithmetic on the whole would move it uncounted."""
        raise TypeError("arithmetic can't reach into slow memory: read a slice first")


def count_traffic(f: Callable[..., Any], *args: Any) -> tuple[Any, Traffic]:
    """f(*args) with its arrays in one slow memory, and what it moves there.

    Arrays that f makes by np.empty_like of another lie in the same memory. f returns one of these,
    or a NamedTuple of them; it comes back as ordinary arrays.
    """
    meter = Meter()
    slow = (SlowMemory(x, meter) if isinstance(x, np.ndarray) else x for x in args)
    found = f(*slow)
    if isinstance(found, tuple):
        return type(found)(*(x.values for x in found)), meter.traffic
    return found.values, meter.traffic


def blocks(size: int, block: int) -> Iterator[slice]:
    """The slices [0, block), [block, 2 block), ... of an axis; the last may be shorter."""
    _check.positive_integer("block", block)
    return (slice(start, min(start + block, size)) for start in range(0, size, block))
