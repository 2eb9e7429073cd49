"""A bar that says how far a long run is, and what it earns."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

import numpy as np

from rlcourse.tabular.mdp import Floats

Progress = Callable[[int, int, Floats], None]  # steps done, steps in all, returns of the learners
WIDTH = 24


def progress_bar(stream: TextIO | None = None) -> Progress:
    """Writes one line, over and over: the bar, the steps, the median return and the time left.

    Call it with the steps done, the steps in all, and the last return of each learner (B,), NaN
    where none is known yet. The stream is stderr unless given; the time counts from now.
    """
    began = time.perf_counter()

    def show(done: int, steps: int, returns: Floats) -> None:
        full = WIDTH * done // steps
        known = returns[np.isfinite(returns)]
        earns = f"return {np.median(known):.1f}" if len(known) else "no episode yet"
        left = (time.perf_counter() - began) * (steps - done) / max(done, 1)
        line = f"[{'#' * full}{'.' * (WIDTH - full)}] {done}/{steps}  {earns}  {left:.0f} s left"
        end = "\n" if done >= steps else ""
        print(f"\r{line:<78}", end=end, file=stream or sys.stderr, flush=True)

    return show
