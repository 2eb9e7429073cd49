"""Checkpoints for layers of unequal cost and size: the least time within a number of bytes.

    T(s, t, m)   least seconds to run layers s + 1 ... t backwards, x_s there and m bytes free
      = min      f_{s+1} + ... + f_k + T(k, t, m - x_k) + T(s, k, m)     keep x_k, come back later
                 f_{s+1} + T(s + 1, t, m - a_{s+1} - x_{s+1})            tape layer s + 1 right away
    T(t - 1, t, m) = f_t where a_t <= m                                  (eq-optimal-checkpoints)

f seconds of a forward, x bytes of a state, a bytes of a tape beside its input. This is the best of
all schedules that drop a state only when the layers after it are done ("persistent"). Where states
differ in size another may be faster, which drops one early and makes it again.
Source: Beaumont, Eyraud-Dubois, Hermann, Joly and Shilova (2019), Optimal checkpointing for
heterogeneous chains, theorem 1.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from math import inf
from typing import NamedTuple

from rlcourse._check import positive_integer
from rlcourse.systems.checkpoint_schedules import Action, Schedule


class Option(NamedTuple):
    """Seconds, and the middle k of the first way; None: tape the first layer right away."""

    seconds: float
    middle: int | None


def optimal(
    seconds: Sequence[int], state_bytes: Sequence[int], tape_bytes: Sequence[int], budget: int
) -> Schedule:
    """The persistent schedule with the least seconds within `budget`  (eq-optimal-checkpoints).

    seconds and bytes (L,) as `checkpoint_schedules.run` takes them; the input x_0 counts. Time and
    space grow with the budget: count in MiB, rounded up, for large tensors. ValueError where no
    schedule fits, and unless all three have the same length.
    """
    layers = positive_integer("layers", len(seconds))
    if not layers == len(state_bytes) == len(tape_bytes):
        raise ValueError(
            f"seconds, state_bytes and tape_bytes must have the same length, got {layers}, "
            f"{len(state_bytes)} and {len(tape_bytes)}"
        )
    spent = list(accumulate(seconds, initial=0))

    @cache
    def best(low: int, high: int, room: int) -> Option:
        if room < tape_bytes[low]:
            return Option(inf, None)
        if high - low == 1:
            return Option(seconds[low], None)
        after = room - tape_bytes[low] - state_bytes[low + 1]
        found = Option(seconds[low] + best(low + 1, high, after).seconds, None)
        for k in range(low + 1, high):
            later = best(k, high, room - state_bytes[k]).seconds
            took = spent[k] - spent[low] + later + best(low, k, room).seconds
            found = min(found, Option(took, k), key=lambda option: option.seconds)
        return found

    def laid_out(low: int, high: int, room: int) -> Schedule:
        middle = best(low, high, room).middle
        if high - low == 1:
            return [Action("load", low), Action("tape", high), Action("backward", high)]
        if middle is None:
            after = room - tape_bytes[low] - state_bytes[low + 1]
            first = [Action("load", low), Action("tape", low + 1), Action("keep", low + 1)]
            rest = laid_out(low + 1, high, after)
            return [*first, *rest, Action("drop", low + 1), Action("backward", low + 1)]
        there = [Action("load", low), *(Action("forward", i) for i in range(low + 1, middle + 1))]
        second = laid_out(middle, high, room - state_bytes[middle])
        first = laid_out(low, middle, room)
        return [*there, Action("keep", middle), *second, Action("drop", middle), *first]

    room = budget - state_bytes[0]
    if best(0, layers, room).seconds == inf:
        raise ValueError(f"budget must hold a schedule, got {budget}, which holds none")
    return [Action("keep", 0), *laid_out(0, layers, room)]
