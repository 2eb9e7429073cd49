"""What the benchmarks share: a race in turns, ratios within a round, the worlds they run on.

On a shared machine a burst of other work would hit one method and spoil the ratio, so all take
turns, round after round: seconds are medians over the rounds, a ratio is the median of the ratios
within a round, with its lower and upper quartile beside it. One call to warm up; a script sets one
BLAS thread before NumPy loads. With `clock=time.process_time` only seconds of the CPU count.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlcourse.tabular.gridworld import ZHAO, GridWorld
from rlcourse.tabular.mdp import Floats

Clock = Callable[[], float]
SLOW, FEW = 5.0, 3  # a run of more seconds than that takes part in the first rounds only


def race(
    runs: dict[str, Callable[[], Any]], rounds: int, clock: Clock = time.perf_counter
) -> dict[str, Floats]:
    """Seconds of a call in each round; the runs take turns, short ones in batches of 20 ms."""
    first = {name: _seconds(f, 1, clock) for name, f in runs.items()}  # compiles, fills caches
    again = {name: x if x > SLOW else _seconds(runs[name], 1, clock) for name, x in first.items()}
    batches = {name: max(1, int(0.02 / x)) for name, x in again.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds):
        for name, f in runs.items():
            if i < FEW or again[name] <= SLOW:
                seconds[name].append(_seconds(f, batches[name], clock))
    return {name: np.array(x) for name, x in seconds.items()}


def _seconds(f: Callable[[], Any], times: int, clock: Clock) -> float:
    began = clock()
    for _ in range(times):
        f()
    return (clock() - began) / times


def ratios(seconds: Floats, base: Floats) -> dict[str, float]:
    """Quartiles of the ratios within a round, of the rounds that both took part in."""
    n = min(len(seconds), len(base))
    return quartiles(seconds[:n] / base[:n])


def quartiles(x: Floats) -> dict[str, float]:
    low, middle, high = np.quantile(x, (0.25, 0.5, 0.75))
    return {"median": middle, "low": low, "high": high}


def rounded(x: Any) -> Any:
    """The same tables with numbers of four digits: the fifth differs from run to run."""
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    return float(f"{x:.4g}") if isinstance(x, float) else x


def world_of(n: int) -> GridWorld:
    """Zhao's world for n = 5, else one like it: every seventh cell forbidden, one target."""
    if n == 5:
        return ZHAO
    target = n * n // 2
    return GridWorld(n, n, tuple(s for s in range(3, n * n, 7) if s != target), (target,))


def peak_growth(run: Callable[[], Any]) -> int:
    """Bytes by which the resident memory grows at the peak of a call. Linux, in a fresh process."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _resident("VmRSS")
    run()
    return _resident("VmHWM") - before


def _resident(key: str) -> int:
    """A number of bytes from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))
