"""A bar that says how far a long run is, and what it earns or loses."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

import numpy as np

from rlcourse.tabular.mdp import Floats

Progress = Callable[[int, int, Floats], None]  # steps done, steps in all, what is said
WIDTH = 24


def median_return(returns: Floats) -> str:
    """The median of the learners' last returns (B,), NaN where none is known yet, in words."""
    known = returns[np.isfinite(returns)]
    return f"return {np.median(known):.1f}" if len(known) else "no episode yet"


def progress_bar(
    stream: TextIO | None = None, says: Callable[[Floats], str] = median_return
) -> Progress:
    """Writes one line, over and over: the bar, the steps, what `says` says and the time left.

    Call it with the steps done, the steps in all, and the numbers that `says` puts into words. The
    stream is stderr unless given; the time counts from now.
    """
    began = time.perf_counter()

    def show(done: int, steps: int, numbers: Floats) -> None:
        full = WIDTH * done // steps
        left = (time.perf_counter() - began) * (steps - done) / max(done, 1)
        bar = f"[{'#' * full}{'.' * (WIDTH - full)}]"
        line = f"{bar} {done}/{steps}  {says(numbers)}  {left:.0f} s left"
        end = "\n" if done >= steps else ""
        print(f"\r{line:<78}", end=end, file=stream or sys.stderr, flush=True)

    return show
