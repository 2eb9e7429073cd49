"""The random numbers of the playgrounds: the same in Python and in `js/random.js`."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from rlcourse.tabular.mdp import Floats

_MASK = np.uint64(0xFFFFFFFF)


def words(seed: int, n: int, start: int = 0) -> NDArray[np.uint64]:
    """Integers of 32 random bits, (n,), those from place `start` on in the stream of a seed.

    mulberry32 (Ettinger, 2017): a counter that is mixed, in arithmetic modulo 2³².
    """
    count = np.arange(start + 1, start + n + 1, dtype=np.uint64)
    a = (np.uint64(seed) + count * np.uint64(0x6D2B79F5)) & _MASK
    t = (a ^ (a >> np.uint64(15))) * (a | np.uint64(1)) & _MASK
    t ^= (t + ((t ^ (t >> np.uint64(7))) * (t | np.uint64(61)) & _MASK)) & _MASK
    return np.asarray((t ^ (t >> np.uint64(14))) & _MASK)


def uniforms(seed: int, n: int, start: int = 0) -> Floats:
    """Uniform numbers in [0, 1), (n,), likewise."""
    return np.asarray(words(seed, n, start) / 2.0**32)


def normals(seed: int, steps: int, runs: int) -> Floats:
    """Standard normal numbers (T, B), the same as the script's to rounding.

    Two uniform numbers make one (Box & Muller, 1958).
    """
    radius, angle = uniforms(seed, 2 * steps * runs).reshape(steps, runs, 2).transpose(2, 0, 1)
    return np.asarray(np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle))


def generator(seed: int) -> np.random.Generator:
    """What the learners of the package draw from: `random(n)` gives the next n uniform numbers.

    It has no other method: what asks for one can't be repeated by a script.
    """
    return cast(np.random.Generator, _Stream(seed))


class _Stream:
    def __init__(self, seed: int) -> None:
        self.seed, self.used, self.chunk, self.first = seed, 0, uniforms(seed, 0), 0

    def random(self, n: int) -> Floats:
        begin = self.used - self.first
        if begin + n > len(self.chunk):
            self.chunk, self.first, begin = uniforms(self.seed, 2**14 + n, self.used), self.used, 0
        self.used += n
        return self.chunk[begin : begin + n]
