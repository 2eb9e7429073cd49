"""Schedules of checkpointing, action by action: what is kept, computed and run backwards when.

    schedule        held at once (a tape with its input)    forwards, those of the tapes included
    store_all       L tapes                                 L
    recompute_all   1 tape, 1 state                         L (L + 1)/2
    segments        k - 1 states, ⌈L/k⌉ tapes               2L - ⌈L/k⌉
    recursive       1 tape, 1 + ⌈log₂ L⌉ states             about L (log₂ L)/2 more than L
    revolve         1 tape, c states                        L + r L - C(c + r, r - 1)

`run` carries a schedule out, refuses what can't be done, and counts. The formulas are those of
`rlcourse.systems.checkpointing`.
Source: Griewank and Walther (2000), Algorithm 799: revolve.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from rlcourse._check import positive_integer
from rlcourse.systems.checkpointing import revolve_forwards


class Action(NamedTuple):
    """keep or drop state x_i; load x_i; forward, tape or backward through layer i, from 1 on."""

    kind: str
    i: int


Schedule = list[Action]


class Cost(NamedTuple):
    """What a schedule took: seconds (or forwards, where each takes 1) and bytes at its peak."""

    forwards: int
    peak: int


def store_all(layers: int) -> Schedule:
    """Every tape is kept: the ordinary forward and backward pass."""
    return _taped(0, layers) + _backward(0, layers)


def recompute_all(layers: int) -> Schedule:
    """From the input again for each layer: L (L + 1)/2 forwards."""
    return [Action("keep", 0), *_from_input(0, layers)]


def segments(layers: int, parts: int) -> Schedule:
    """The inputs of k parts are kept, and a part's tapes made when its turn comes.

    The parts' lengths differ by 1 at most, the shorter ones come first; the last one is taped at
    once. ValueError unless 1 <= parts <= layers.
    """
    if not 1 <= positive_integer("parts", parts) <= layers:
        raise ValueError(f"parts must lie in [1, layers = {layers}], got {parts}")
    return segments_at(layers, [layers * part // parts for part in range(parts)])


def segments_at(layers: int, kept: Sequence[int]) -> Schedule:
    """The states x_i of `kept` begin the segments, which may be of any lengths.

    kept (k,) increases from 0, the input, and stays below L. The last segment is taped at once,
    so its input is in its first tape and isn't kept beside it. ValueError for other `kept`.
    """
    bounds = [*kept, positive_integer("layers", layers)]
    if bounds[0] != 0 or any(low >= high for low, high in pairwise(bounds)):
        raise ValueError(f"kept must increase from 0 to below layers = {layers}, got {kept}")
    *earlier, (last, _) = pairwise(bounds)
    found: Schedule = []
    for low, high in earlier:
        found += [Action("keep", low), *_forward(low, high)]
    found += _taped(last, layers) + _backward(last, layers)
    for low, high in reversed(earlier):
        found += [Action("load", low), Action("drop", low)]
        found += _taped(low, high) + _backward(low, high)
    return found


def recursive(layers: int) -> Schedule:
    """Halve: keep the middle, run the second half backwards, then the first, each the same way."""
    positive_integer("layers", layers)
    return [Action("keep", 0), *_halved(0, layers)]


def revolve(layers: int, states: int) -> Schedule:
    """The least forwards with so many states held at once, the input among them  (eq-revolve)."""
    positive_integer("states", states)
    positive_integer("layers", layers)
    return [Action("keep", 0), *_revolved(0, layers, states)]


def run(
    schedule: Sequence[Action],
    seconds: Sequence[int],
    state_bytes: Sequence[int],
    tape_bytes: Sequence[int],
) -> Cost:
    """Carry out a schedule on L layers and count.

    seconds (L,) of each forward; state_bytes (L,) of x_0 to x_{L-1}; tape_bytes (L,): what autograd
    saves in layer i beside its input, of which a tape keeps a copy unless it is kept already.
    Raises ValueError at an action that can't be done, and where a layer isn't run backwards.
    """
    peak = max(held(schedule, state_bytes, tape_bytes))
    return Cost(sum(seconds[i - 1] for kind, i in schedule if kind in ("forward", "tape")), peak)


def held(
    schedule: Sequence[Action], state_bytes: Sequence[int], tape_bytes: Sequence[int]
) -> list[int]:
    """Bytes of states and tapes after each action; sizes and errors are those of `run`."""
    layers, found = len(state_bytes), []
    at: int | None = 0  # the state at hand; none after a backward
    kept: set[int] = set()
    tapes: set[int] = set()
    left = layers
    for step, (kind, i) in enumerate(schedule):
        ready = {
            "keep": at == i < layers,
            "load": i in kept,
            "drop": i in kept,
            "forward": at == i - 1 < layers,
            "tape": at == i - 1 < layers,
            "backward": i in tapes and i == left,
        }
        if not ready.get(kind):
            raise ValueError(f"schedule can't {kind} {i} as action {step}")
        if kind == "keep":
            kept.add(i)
        elif kind == "drop":
            kept.remove(i)
        elif kind == "load":
            at = i
        elif kind == "backward":
            tapes.remove(i)
            left, at = i - 1, None
        else:
            at = i
            if kind == "tape":
                tapes.add(i)
        inputs = kept | {tape - 1 for tape in tapes}
        found.append(sum(state_bytes[j] for j in inputs) + sum(tape_bytes[t - 1] for t in tapes))
    if left:
        raise ValueError(f"schedule must run all layers backwards, got none through layer {left}")
    return found


# ------------------------------------------------------------------------------- the pieces


def _forward(low: int, high: int) -> Schedule:
    return [Action("forward", i) for i in range(low + 1, high + 1)]


def _taped(low: int, high: int) -> Schedule:
    return [Action("tape", i) for i in range(low + 1, high + 1)]


def _backward(low: int, high: int) -> Schedule:
    return [Action("backward", i) for i in range(high, low, -1)]


def _from_input(low: int, high: int) -> Schedule:
    """Backwards through the layers after x_low, which is kept and loaded, each from x_low again."""
    found: Schedule = []
    for i in range(high, low, -1):
        found += [Action("load", low), *_forward(low, i - 1)]
        found += [Action("tape", i), Action("backward", i)]
    return found


def _split(low: int, middle: int, first: Schedule, second: Schedule) -> Schedule:
    """To x_middle, which is kept while `second` runs back to it; then `first`."""
    there = [Action("load", low), *_forward(low, middle), Action("keep", middle)]
    return [*there, *second, Action("drop", middle), *first]


def _halved(low: int, high: int) -> Schedule:
    if high - low == 1:
        return _from_input(low, high)
    middle = (low + high) // 2
    return _split(low, middle, _halved(low, middle), _halved(middle, high))


def _revolved(low: int, high: int, states: int) -> Schedule:
    if states == 1 or high - low == 1:
        return _from_input(low, high)
    middle = low + _best_split(high - low, states)
    first, second = _revolved(low, middle, states), _revolved(middle, high, states - 1)
    return _split(low, middle, first, second)


@cache
def _best_split(layers: int, states: int) -> int:
    """How far to the next kept state: the k with the least k + t(L - k, c - 1) + t(k, c)."""

    def more(k: int) -> int:
        return k + revolve_forwards(layers - k, states - 1) + revolve_forwards(k, states)

    return min(range(1, layers), key=more)
