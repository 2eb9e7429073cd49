"""The smallest case that still fails: fewer rows, then rounder numbers.

An axis is known by its size. A check never gives two axes one size, so that "keep row 3 of the
axis of 7" means the same axis in every array of the case, whatever the function is about.
"""

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

import numpy as np

from .worker import Data, decode, encode

TRIALS = 400  # what ends the search, and not the clock: a seed shall show one case on any machine


def shrink(case: Data, fails: Callable[[Data], bool], end: float) -> Data:
    """Walk from case to smaller case while one still fails, until the time `end` at the latest."""
    left = iter(range(TRIALS))

    def go_on(smaller: Data) -> bool:
        return next(left, None) is not None and monotonic() < end and fails(smaller)

    while found := next(filter(go_on, simpler(case)), None):
        case = found
    return case


def simpler(case: Data) -> Iterator[Data]:
    """Cases one step simpler: a single index of an axis, one index less, rounded numbers."""
    sizes = {n for shape in shapes(case) for n in shape}
    for size in sorted(sizes - {0, 1}, reverse=True):
        alone = [[i] for i in range(size)]
        without = [[j for j in range(size) if j != i] for i in range(size)]
        for keep in alone + without:
            numbered = _renumbered(case, size, keep)
            yield over(numbered, partial(_fewer, size=size, keep=keep))
    for name in case:
        for digits in (0, 1):
            rounder = {**case, name: rounded(case[name], digits)}
            if rounder != case:
                yield rounder


def _renumbered(tree: Data, size: int, keep: list[int]) -> Data:
    """The case with the states in s_next numbered as when only those of `keep` are left.

    What led to one that goes leads to the first then: a smaller case, if no longer the same.
    """
    match tree:
        case {"record": _, "fields": {"s_next": {"array": _, "shape": [n, *_]} as x} as fields}:
            s_next = decode(x)
            if n == size and ((s_next >= 0) & (s_next < n)).all():
                new = np.zeros(n, s_next.dtype)
                new[keep] = np.arange(len(keep))
                return {**tree, "fields": {**fields, "s_next": encode(new[s_next])}}
            return tree
        case dict():
            return {k: _renumbered(v, size, keep) for k, v in tree.items()}
        case list():
            return [_renumbered(v, size, keep) for v in tree]
    return tree


def shapes(case: Data) -> list[tuple[int, ...]]:
    """The shape of every array and tensor of a case."""
    found: list[tuple[int, ...]] = []

    def note(x: Any) -> Any:
        found.append(tuple(x.shape))
        return x

    over(case, note)
    return found


def rounded(case: Data, digits: int) -> Data:
    """The case with every float rounded, but a lone number keeps a decimal place."""
    return over(case, partial(_rounder, digits=digits), d=digits)


def _rounder(x: Any, digits: int) -> Any:
    """Rounded numbers; where each row was a distribution it still is one, and none reaches 1.

    What was below 1 may be a uniform that picks one of A things by floor(A u): 1 would pick none.
    """
    y, below = x.round(decimals=digits), bool(((x >= 0) & (x < 1)).all())
    if _distribution(x) and x.shape[-1] > 1:
        most, rest = x.argmax(-1), 1 - y.sum(-1)
        for at in np.ndindex(*most.shape):
            y[(*at, int(most[at]))] += rest[at]
        y = y.round(decimals=max(digits, 1))
    elif below:
        y = y.clip(max=0.9)
    return x if below and (y >= 1).any() else y


def _fewer(x: Any, size: int, keep: list[int]) -> Any:
    """Some indices of every axis of that size; where each row was a distribution it still is."""
    y = pick(x, size, keep)
    if _distribution(x) and not _distribution(y):
        y = y + (y.sum(-1) == 0)[..., None]
        y = y / y.sum(-1)[..., None]
    return y


def _distribution(x: Any) -> bool:
    """Whether every row holds probabilities."""
    floats = x.ndim and "float" in str(x.dtype)
    return bool(floats and (x >= 0).all() and (abs(x.sum(-1) - 1) < 1e-9).all())


def pick(x: Any, size: int, keep: list[int]) -> Any:
    """Keep some indices of every axis of that size."""
    for axis, n in enumerate(x.shape):
        if n == size:
            x = x[(slice(None),) * axis + (keep,)]
    return x


def over(tree: Data, change: Callable[[Any], Any], d: int | None = None) -> Data:
    """The tree with every array, and with digits `d` every float, changed."""
    match tree:
        case {"array": _} | {"tensor": _}:
            x = decode(tree)
            return tree if d is not None and "float" not in str(x.dtype) else encode(change(x))
        case dict():
            return {k: over(v, change, d) for k, v in tree.items()}
        case list():
            return [over(v, change, d) for v in tree]
        case float() if d is not None:
            return round(tree, max(d, 1)) or tree  # but not to 0
    return tree
