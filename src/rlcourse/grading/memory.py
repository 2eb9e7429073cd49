"""How much memory a function holds at its peak: some answers are wrong in nothing else.

tracemalloc sees all that Python and NumPy ask for, so a check may bound it, whatever the machine:

    def one_block(q, k, v, block):
        return 16_000 + 8 * 4 * block * k.shape[-1]

    @attention.check(points=1, peak=one_block)
    def test_no_more_than_one_block_of_scores_is_held(rng): ...

A bound is named, takes the case and gives bytes, counted beyond the arguments; leave room for what
Python needs itself. Right answers must stay below half of it and wrong ones reach twice of it: then
no verdict hangs on a few bytes. What torch allocates for tensors is not seen.
"""

import copy
import linecache
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from math import log2
from types import CodeType, FrameType
from typing import Any

from .plain import Data

STEEP = log2(10)  # half of the bound is 0.1 tolerances, and twice of it 10
Trace = Callable[[FrameType, str, object], Any]


class Lines:
    """A trace function that notes the learner's line in which most was held."""

    def __init__(self, mine: Callable[[str], bool]) -> None:
        self.mine, self.most = mine, 0
        self.now: tuple[CodeType, int] | None = None
        self.at: tuple[CodeType, int] | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> Trace | None:
        """Before each line, and when a function ends: what the line before it held."""
        if event == "call" and not self.mine(frame.f_code.co_filename):
            return None
        self.note()
        here = frame.f_back if event == "return" and frame.f_back else frame
        self.now = here.f_code, here.f_lineno
        return self

    def note(self) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        if peak > self.most:
            self.most, self.at = peak, self.now
        tracemalloc.reset_peak()

    def __str__(self) -> str:
        if self.at is None or not self.mine(self.at[0].co_filename):
            return ""
        code, line = self.at
        text = linecache.getline(code.co_filename, line).strip()
        return f"line {line}, in {code.co_name}:  {text}"


def held(
    function: Callable[..., Any], case: Mapping[str, Any], most: int, lines: Lines | None = None
) -> tuple[Any, Data]:
    """function(**case), and {"bytes": its peak, "where": the line if `lines` are to be traced}.

    What is beyond `most` is measured once more, on a copy of the case, and the lower peak counts: a
    first call may import a module or fill a cache. Lines are traced then alone: that takes time.
    """
    again = copy.deepcopy(case)
    value, peak = _peak(partial(function, **case))
    if peak > most:
        peak = min(peak, _peak(partial(function, **again), lines)[1])
    return value, {"bytes": peak, "where": str(lines or "")}


def _peak(work: Callable[[], Any], lines: Lines | None = None) -> tuple[Any, int]:
    """work(), and the bytes that it held at its peak."""
    tracing, trace = tracemalloc.is_tracing(), sys.gettrace()
    if not tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        if lines:
            sys.settrace(lines)
        value = work()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        if lines:
            sys.settrace(trace)
        if not tracing:
            tracemalloc.stop()
    return value, max(peak, lines.most if lines else 0) - before


def excess(question: Data, got: Data) -> tuple[float, str]:
    """The distance of a peak from its bound in tolerances, in words where it is beyond."""
    if "peak" not in question or "peak" not in got:
        return 0.0, ""
    most, peak = question["peak"], got["peak"]
    size = float((peak["bytes"] / most) ** STEEP)
    if size <= 1:
        return size, ""
    where = f"\n{peak['where']}" if peak["where"] else ""
    return size, f"held {amount(peak['bytes'])} at once where {amount(most)} are allowed{where}"


def amount(size: int) -> str:
    """Bytes as a reader counts them."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.3g} kB" if size < 1e6 - 500 else f"{size / 1e6:.3g} MB"
