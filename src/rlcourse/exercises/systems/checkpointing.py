"""The five exercises of the checkpointing chapter: the peak of k segments, the best k, Revolve's
forwards, which tensors to keep, what micro-batches weigh.

Bytes, layers and seconds are whole numbers, small enough for one to show. Where several sets of
tensors save as much, a judge takes any of them.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise
from math import ceil, comb, isqrt, sqrt

import numpy as np

from rlcourse.grading import exercise
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems import checkpointing as ck


def whole(rng, low, high):
    """A whole number from low to high."""
    return int(rng.integers(low, high + 1))


def several(rng, low, high, number):
    """Whole numbers from low to high, some of them perhaps equal."""
    return rng.integers(low, high + 1, number).tolist()


def apart(rng, low, high, number):
    """Different whole numbers from low to high, in no order."""
    return [low + int(x) for x in rng.choice(high - low + 1, number, replace=False)]


def bytes_of(rng):
    """Bytes of a state and of a tape, not the same."""
    state, tape = apart(rng, 2, 25, 2)
    return {"state": state, "tape": tape}


# ------------------------------------------------------------------------------- peak of segments

segment_peak = exercise(
    ck.segment_peak,
    nudge="The backward pass begins with the last segment on its tapes. What else is kept then?",
    worked={"layers": 10, "parts": 4, "state": 2, "tape": 5},
)


@segment_peak.check(points=2)
def test_the_inputs_of_the_other_segments_are_kept_beside_one_segments_tapes(rng):
    """beside the tapes of one segment the inputs of the k - 1 others are kept"""
    for _ in range(4):
        parts, length = apart(rng, 2, 9, 2)
        yield {"layers": parts * length, "parts": parts} | bytes_of(rng)


@segment_peak.check(points=2)
def test_the_longest_segment_counts_where_they_are_not_of_one_length(rng):
    for _ in range(4):
        parts = whole(rng, 3, 9)
        layers = parts * whole(rng, 1, 7) + whole(rng, 1, parts - 1)
        yield {"layers": layers, "parts": parts} | bytes_of(rng)
    yield {"layers": 11, "parts": 8} | bytes_of(rng)
    yield {"layers": 3 * parts - 1, "parts": parts} | bytes_of(rng)


@segment_peak.check(points=1)
def test_one_segment_keeps_all_tapes_and_segments_of_one_layer_all_inputs(rng):
    for parts in (1, 2, None):
        layers = whole(rng, 5, 30)
        yield {"layers": layers, "parts": parts or layers} | bytes_of(rng)
    yield {"layers": 1, "parts": 1} | bytes_of(rng)
    yield {"layers": layers, "parts": 3, "state": 4, "tape": 0}
    yield {"layers": layers, "parts": 4, "state": 0, "tape": 7}


@segment_peak.check(points=1)
def test_no_segment_and_more_segments_than_layers_are_refused(rng):
    """no segment, or more of them than layers, raises ValueError"""
    layers = whole(rng, 5, 20)
    for parts in (whole(rng, 2, layers - 1), layers, 0, -2, layers + 1, 3 * layers):
        yield {"layers": layers, "parts": parts} | bytes_of(rng)
    for fault in ({"layers": 0}, {"layers": -1}, {"layers": -9, "parts": -9}):
        yield {"layers": layers, "parts": 1} | bytes_of(rng) | fault


def refuse_parts(layers, parts):
    if not 1 <= parts <= layers:
        raise ValueError("parts")


def peak(layers, parts, state, tape, length=None):
    """(k - 1) x + length (x + a), the length ⌈L/k⌉ unless another one is given."""
    refuse_parts(layers, parts)
    length = -(-layers // parts) if length is None else length
    return (parts - 1) * state + length * (state + tape)


@segment_peak.misconception(
    "Some segment holds the layers that are left over: the longest has ⌈L/k⌉, rounded up."
)
def rounds_the_length_down(layers, parts, state, tape):
    return peak(layers, parts, state, tape, layers // (parts or 1))


@segment_peak.misconception("A segment has whole layers: ⌈L/k⌉, not L/k.")
def counts_parts_of_a_layer(layers, parts, state, tape):
    return peak(layers, parts, state, tape, layers / (parts or 1))


@segment_peak.misconception(
    "That rounds L/k down and leaves the rest to the last segment. Lengths that differ by 1 at "
    "most are shorter: ⌈L/k⌉."
)
def leaves_the_rest_to_the_last_segment(layers, parts, state, tape):
    refuse_parts(layers, parts)
    return peak(layers, parts, state, tape, layers - (parts - 1) * (layers // parts))


@segment_peak.misconception(
    "The input of the segment at work is counted with its tapes already: k - 1 others are kept."
)
def counts_the_first_input_of_the_segment_twice(layers, parts, state, tape):
    return peak(layers, parts, state, tape) + state


@segment_peak.misconception(
    "On the tapes each layer of the segment has its input too: x + a for each of them."
)
def counts_no_inputs_inside_the_segment(layers, parts, state, tape):
    refuse_parts(layers, parts)
    return (parts - 1) * state - (-layers // parts) * tape


@segment_peak.misconception(
    "Within the segment every layer's input is held beside its tape, not only the first one's."
)
def counts_one_input_inside_the_segment(layers, parts, state, tape):
    refuse_parts(layers, parts)
    return parts * state - (-layers // parts) * tape


@segment_peak.misconception(
    "The other segments must begin somewhere, when their turn comes: their k - 1 inputs are kept."
)
def forgets_the_inputs_that_are_kept(layers, parts, state, tape):
    return peak(layers, parts, state, tape) - (parts - 1) * state


@segment_peak.misconception(
    "Kept inputs and the tapes of a segment are held at the same time: add them."
)
def takes_the_larger_of_both(layers, parts, state, tape):
    refuse_parts(layers, parts)
    return max((parts - 1) * state, -(-layers // parts) * (state + tape))


@segment_peak.misconception("k is the number of segments, and ⌈L/k⌉ the length of one.")
def takes_parts_for_the_length(layers, parts, state, tape):
    refuse_parts(layers, parts)
    return peak(layers, -(-layers // parts), state, tape, parts)


@segment_peak.misconception(
    "When a segment has run backwards its tapes are freed: only one has them at a time."
)
def keeps_the_tapes_of_all_segments(layers, parts, state, tape):
    return peak(layers, parts, state, tape, layers)


@segment_peak.misconception(
    "Only the first input of a segment is kept; those inside it are computed again."
)
def keeps_the_input_of_every_layer(layers, parts, state, tape):
    refuse_parts(layers, parts)
    return layers * state - (-layers // parts) * tape


@segment_peak.misconception("Segments needn't be of one length: L needs no k that divides it.")
def refuses_parts_that_do_not_divide(layers, parts, state, tape):
    refuse_parts(layers, parts)
    if layers % parts:
        raise ValueError("parts")
    return peak(layers, parts, state, tape)


@segment_peak.misconception("No segment, or one without a layer, can't be: raise ValueError.")
def believes_any_parts(layers, parts, state, tape):
    return (parts - 1) * state + ceil(layers / parts) * (state + tape)


@segment_peak.control
def takes_the_worst_of_all_segments(layers, parts, state, tape):
    if parts < 1 or parts > layers:
        raise ValueError("parts")
    ends = [layers * part // parts for part in range(parts + 1)]  # the shorter ones come first
    lengths = [end - start for start, end in pairwise(ends)]
    return max(i * state + length * (state + tape) for i, length in enumerate(lengths))


@segment_peak.control
def carries_the_schedule_out(layers, parts, state, tape):
    if layers < 1:
        raise ValueError("layers")
    schedule = schedules.segments(layers, parts)
    return schedules.run(schedule, [1] * layers, [state] * layers, [tape] * layers).peak


# ------------------------------------------------------------------------------- the best k

best_parts = exercise(
    ck.best_parts,
    nudge="There are only L numbers of segments: which has the least segment_peak?",
    worked={"layers": 16, "state": 1, "tape": 3},
)


def peaks(layers, state, tape):
    """The peak of 1, 2, ... L segments."""
    return [peak(layers, k, state, tape) for k in range(1, layers + 1)]


@best_parts.check(points=2)
def test_no_other_number_of_segments_has_a_lower_peak(rng):
    for low, high in ((10, 30), (30, 70), (30, 70), (70, 99)):
        yield {"layers": whole(rng, low, high)} | bytes_of(rng)
    for state, tape in ((1, 0), (1, whole(rng, 10, 20)), (whole(rng, 5, 9), 2)):
        yield {"layers": whole(rng, 40, 90), "state": state, "tape": tape}


def tied(rng):
    """A case in which several numbers of segments have the least peak."""
    while True:
        case = {"layers": whole(rng, 12, 60), "state": whole(rng, 1, 4), "tape": whole(rng, 0, 9)}
        found = peaks(**case)
        if found.count(min(found)) > 1:
            return case


@best_parts.check(points=1)
def test_of_equally_good_numbers_the_smallest_is_taken(rng):
    for _ in range(4):
        yield tied(rng)


@best_parts.check(points=1)
def test_heavy_tapes_are_held_one_at_a_time_and_nothing_is_cut_for_nothing(rng):
    """heavy tapes are held one at a time, and where nothing is saved nothing is cut"""
    layers = whole(rng, 4, 9)
    yield {"layers": layers, "state": 1, "tape": whole(rng, 200, 300)}
    yield {"layers": whole(rng, 10, 30), "state": 0, "tape": whole(rng, 1, 9)}
    yield {"layers": 1} | bytes_of(rng)
    for size in (2, 3):
        yield {"layers": size, "state": whole(rng, 1, 9), "tape": 0}
    yield {"layers": whole(rng, 10, 40), "state": 0, "tape": 0}
    yield {"layers": whole(rng, 40, 90)} | bytes_of(rng)


@best_parts.check(points=1)
def test_no_layers_have_no_best_number_of_segments(rng):
    """no layers, or fewer, raise ValueError"""
    for layers in (whole(rng, 20, 60), 1, 0, -1, -whole(rng, 5, 60)):
        yield {"layers": layers} | bytes_of(rng)


def refuse_layers(layers):
    if layers < 1:
        raise ValueError("layers")


def least(layers, found):
    """The smallest k from 1 to L with the least found(k)."""
    refuse_layers(layers)
    return min(range(1, layers + 1), key=found)


def near(layers, root):
    """A root as a number of segments."""
    return min(max(int(root), 1), layers)


@best_parts.misconception(
    "√L balances k against L/k where a tape is as small as nothing. With x and a it is near "
    "√(L (x + a)/x); try the numbers."
)
def takes_the_root_of_the_layers(layers, state, tape):
    refuse_layers(layers)
    return near(layers, isqrt(layers))


def continuous(layers, state, tape):
    refuse_layers(layers)
    return sqrt(layers * (state + tape) / state) if state else layers if tape else 1


@best_parts.misconception(
    "That is the minimum of (k - 1) x + (L/k)(x + a). Rounded up to whole layers the length is a "
    "staircase, with its best step somewhere near: try the numbers."
)
def rounds_the_root(layers, state, tape):
    return near(layers, continuous(layers, state, tape) + 0.5)


@best_parts.misconception(
    "The root, cut off to a whole number, is near the best, not the best: try the numbers."
)
def cuts_the_root_off(layers, state, tape):
    return near(layers, continuous(layers, state, tape))


@best_parts.misconception("Of equally good numbers the smallest is asked for: < while you go up.")
def takes_the_last_of_equals(layers, state, tape):
    refuse_layers(layers)
    return min(range(layers, 0, -1), key=lambda k: peak(layers, k, state, tape))


@best_parts.misconception("The longest segment has ⌈L/k⌉ layers, rounded up: it has the peak.")
def rounds_lengths_down(layers, state, tape):
    return least(layers, lambda k: peak(layers, k, state, tape, layers // k))


@best_parts.misconception("k needn't divide L: segments may differ by a layer.")
def tries_divisors_alone(layers, state, tape):
    refuse_layers(layers)
    divisors = [k for k in range(1, layers + 1) if layers % k == 0]
    return min(divisors, key=lambda k: peak(layers, k, state, tape))


@best_parts.misconception(
    "On the tapes each layer has its input too: the peak is (k - 1) x + ⌈L/k⌉ (x + a)."
)
def forgets_the_inputs_on_the_tapes(layers, state, tape):
    return least(layers, lambda k: (k - 1) * state - (-layers // k) * tape)


@best_parts.misconception("Asked for is the number of segments, not the bytes that it needs.")
def returns_the_peak(layers, state, tape):
    refuse_layers(layers)
    return min(peaks(layers, state, tape))


@best_parts.misconception("That is the length of a segment, ⌈L/k⌉. Return k.")
def returns_the_length(layers, state, tape):
    return -(-layers // ck.best_parts(layers, state, tape))


@best_parts.misconception("An argmin counts from 0, segments from 1: add 1.")
def counts_from_0(layers, state, tape):
    return ck.best_parts(layers, state, tape) - 1


@best_parts.misconception(
    "Rounding makes small hills: after a first rise the peak may fall again. Try all numbers."
)
def stops_where_the_peak_first_rises(layers, state, tape):
    refuse_layers(layers)
    found = peaks(layers, state, tape)
    last = next((k for k in range(1, layers) if found[k] > found[k - 1]), layers)
    return 1 + found.index(min(found[:last]))


@best_parts.misconception("A segment for each layer is allowed: k goes up to L.")
def never_tries_a_segment_a_layer(layers, state, tape):
    refuse_layers(layers)
    return min(range(1, layers), key=lambda k: peak(layers, k, state, tape), default=1)


@best_parts.misconception("Nothing is cut into no segments: raise ValueError without a layer.")
def believes_in_no_layers(layers, state, tape):
    return min(range(1, layers + 1), key=lambda k: peak(layers, k, state, tape), default=1)


@best_parts.control
def keeps_the_best_so_far(layers, state, tape):
    if layers < 1:
        raise ValueError("layers")
    best, lowest = 1, layers * (state + tape)
    for k in range(2, layers + 1):
        now = (k - 1) * state + ceil(layers / k) * (state + tape)
        if now < lowest:
            best, lowest = k, now
    return best


@best_parts.control
def tries_the_lengths(layers, state, tape):
    """The fewest segments for each length that the longest may have."""
    refuse_layers(layers)
    numbers = {-(-layers // length) for length in range(1, layers + 1)}
    return min((peak(layers, k, state, tape), k) for k in numbers)[1]


# ------------------------------------------------------------------------------- Revolve

revolve_forwards = exercise(
    ck.revolve_forwards,
    nudge="With r repetitions C(c + r, c) layers are reached. How many forwards do those layers "
    "save that need fewer than r?",
    worked={"layers": 11, "states": 3},
)


@revolve_forwards.check(points=2)
def test_no_schedule_with_as_many_states_needs_fewer_forwards(rng):
    for low, high in ((5, 15), (15, 30), (15, 30), (30, 45)):
        yield {"layers": whole(rng, low, high), "states": whole(rng, 2, 4)}
    yield {"layers": whole(rng, 30, 45), "states": whole(rng, 5, 7)}


@revolve_forwards.check(points=2)
def test_each_layer_past_a_binomial_is_computed_once_more(rng):
    """each layer past C(c + r, c) costs r + 1 forwards more, not r"""
    for c, r in ((2, whole(rng, 2, 6)), (3, whole(rng, 2, 4)), (whole(rng, 4, 5), 2)):
        reached = comb(c + r, c)
        for layers in (reached - 1, reached, reached + 1):
            yield {"layers": layers, "states": c}


@revolve_forwards.check(points=1)
def test_one_state_begins_each_time_at_the_input_and_many_only_once_more(rng):
    """one state alone begins at the input each time; with enough all but a layer run once more"""
    layers = whole(rng, 6, 20)
    for states in (1, 2, layers - 2, layers - 1, layers, 2 * layers):
        yield {"layers": layers, "states": states}
    for states in (1, whole(rng, 2, 9)):
        yield {"layers": 1, "states": states}
        yield {"layers": 2, "states": states}


@revolve_forwards.check(points=1)
def test_no_layer_and_no_state_are_refused(rng):
    """no layer, no state, and negative numbers of them raise ValueError"""
    layers, states = whole(rng, 12, 30), whole(rng, 2, 4)
    for fault in ({}, {"layers": 0}, {"layers": -3}, {"states": 0}, {"states": -1}):
        yield {"layers": layers, "states": states} | fault
    yield {"layers": -layers, "states": -states}
    yield {"layers": 1, "states": 0}


def refuse_states(layers, states):
    if min(layers, states) < 1:
        raise ValueError("layers or states")


def repetitions(layers, states):
    """The least r with C(c + r, c) >= L."""
    refuse_states(layers, states)
    return next(r for r in range(layers) if comb(states + r, states) >= layers)


def repeated(layers, states, r):
    """r L - C(c + r, r - 1)."""
    return r * layers - comb(states + r, r - 1) if r > 0 else 0


@revolve_forwards.misconception(
    "Asked for are the forwards beyond the L that every training step has: don't count those."
)
def counts_the_first_forward_pass_too(layers, states):
    return ck.revolve_forwards(layers, states) + layers


@revolve_forwards.misconception(
    "Not every layer is computed r times more: those near a kept state need fewer. C(c + r, r - 1) "
    "forwards are saved."
)
def computes_every_layer_r_times(layers, states):
    return layers * repetitions(layers, states)


@revolve_forwards.misconception(
    "r is the least number with C(c + r, c) >= L: the one before doesn't reach the last layers."
)
def takes_one_repetition_too_few(layers, states):
    return repeated(layers, states, repetitions(layers, states) - 1)


@revolve_forwards.misconception(
    "r is the least number with C(c + r, c) >= L: you counted one more. Where does r begin?"
)
def takes_one_repetition_too_many(layers, states):
    return repeated(layers, states, repetitions(layers, states) + 1)


@revolve_forwards.misconception("C(c + r, r - 1), with r - 1 below: C(c + r, r) is the reach.")
def subtracts_the_reach(layers, states):
    r = repetitions(layers, states)
    return r * layers - comb(states + r, r)


@revolve_forwards.misconception(
    "The input is one of the c states: it has to be kept as long as anything begins there."
)
def keeps_the_input_for_nothing(layers, states):
    refuse_states(layers, states)
    return ck.revolve_forwards(layers, states + 1)


@cache
def halved(layers, states):
    """Forwards of halving; with one state left from its start each time."""
    if layers == 1 or states == 1:
        return layers * (layers - 1) // 2
    first = layers // 2
    return first + halved(layers - first, states - 1) + halved(first, states)


@revolve_forwards.misconception(
    "The middle isn't the best place for the next state: the part before it has one state more, "
    "and may be longer. Take the best split."
)
def splits_in_the_middle(layers, states):
    refuse_states(layers, states)
    return halved(layers, states)


@revolve_forwards.misconception(
    "Halving takes as many states as it needs, about log₂ L. Here there are c of them."
)
def halves_with_any_number_of_states(layers, states):
    refuse_states(layers, states)
    return halved(layers, layers)


@revolve_forwards.misconception(
    "Segments of one length keep all their tapes at once. Here one tape is held, and states are "
    "placed anew in each part."
)
def runs_segments_once_more(layers, states):
    refuse_states(layers, states)
    return layers - -(-layers // min(states, layers))


@revolve_forwards.misconception(
    "From the input each time is what one state allows. With c, begin at the nearest kept one."
)
def begins_at_the_input_each_time(layers, states):
    refuse_states(layers, states)
    return layers * (layers - 1) // 2


@cache
def once_used(layers, states):
    """Forwards where a state is never used again after the part behind it is done."""
    if layers == 1 or states == 1:
        return layers * (layers - 1) // 2
    return min(
        k + once_used(layers - k, states - 1) + once_used(k, states - 1) for k in range(1, layers)
    )


@revolve_forwards.misconception(
    "When the layers behind a state are done, it is dropped, and its place is free for the layers "
    "before it: those have all c again."
)
def never_uses_a_place_again(layers, states):
    refuse_states(layers, states)
    return once_used(layers, states)


@revolve_forwards.misconception(
    "More states than layers are no mistake: some stay empty. Each layer but one runs once more."
)
def refuses_more_states_than_layers(layers, states):
    refuse_states(layers, states)
    if states > layers:
        raise ValueError("states")
    return ck.revolve_forwards(layers, states)


@revolve_forwards.misconception(
    "Without a layer or a state there is nothing to run, or nothing to begin at: ValueError."
)
def believes_any_states(layers, states):
    return ck.revolve_forwards(layers, states) if min(layers, states) > 0 else 0


@cache
def fewest(layers, states):
    """t(L, c) = min over k of k + t(L - k, c - 1) + t(k, c)."""
    if layers == 1 or states == 1:
        return layers * (layers - 1) // 2
    return min(k + fewest(layers - k, states - 1) + fewest(k, states) for k in range(1, layers))


@revolve_forwards.control
def takes_the_best_split(layers, states):
    if layers < 1 or states < 1:
        raise ValueError("layers or states")
    return fewest(layers, min(states, layers))


@revolve_forwards.control
def adds_the_repetitions_that_each_layer_brings(layers, states):
    refuse_states(layers, states)
    return sum(repetitions(n, states) for n in range(2, layers + 1))


# ------------------------------------------------------------------------------- the knapsack


def not_best(kept, expected, seconds, sizes, budget):
    """What is wrong with a list of indices: any best set is right."""
    kept = np.asarray(kept).tolist()
    if not all(type(i) is int and 0 <= i < len(sizes) for i in kept):
        return f"{kept} are not indices of {len(sizes)} tensors"
    if kept != sorted(set(kept)):
        return f"{kept} do not increase"
    held = sum(sizes[i] for i in kept)
    if held > budget:
        return f"{kept} take {held} bytes of a budget of {budget}"
    saved, most = (sum(seconds[i] for i in which) for which in (kept, expected))
    return f"{kept} save {saved} seconds instead of {most}" if saved < most else None


knapsack = exercise(
    ck.knapsack,
    judge=not_best,
    nudge="Take the tensors one after another. Of all sets so far, which can still be part of the "
    "best one?",
    worked={"seconds": [3, 4, 5, 6], "sizes": [2, 3, 4, 5], "budget": 5},
)


def subsets(number):
    """Every set of indices, the smaller ones first."""
    for size in range(number + 1):
        yield from combinations(range(number), size)


def total(numbers, which):
    return sum(numbers[i] for i in which)


def drawn(rng, number):
    """Tensors of which some must be left."""
    sizes = apart(rng, 3, 30, number)
    budget = whole(rng, max(sizes), sum(sizes) - min(sizes))
    return {"seconds": several(rng, 1, 30, number), "sizes": sizes, "budget": budget}


@knapsack.check(points=2)
def test_no_other_set_that_fits_saves_more(rng):
    for number in (5, 6, 7, 8):
        yield drawn(rng, number)
    big = whole(rng, 8, 20)  # the best ratio leaves too little for the two that fill the budget
    yield {
        "seconds": [big + 3, big, big],
        "sizes": [big + 1, big, big],
        "budget": 2 * big,
    }
    yield {"seconds": [big, 2, big + 1], "sizes": [big, 1, big + 9], "budget": big + 9}


@knapsack.check(points=1)
def test_a_set_may_fill_the_budget_to_the_last_byte(rng):
    for number in (5, 6, 7):
        sizes = apart(rng, 3, 30, number)
        chosen = rng.permutation(number)[: number // 2].tolist()
        yield {"seconds": [2 * n for n in sizes], "sizes": sizes, "budget": total(sizes, chosen)}
    for spare in (0, whole(rng, 1, 99)):
        case = drawn(rng, number)
        yield case | {"budget": sum(case["sizes"]) + spare}


@knapsack.check(points=1)
def test_what_needs_no_bytes_is_kept_and_what_is_too_large_alone_is_not(rng):
    number = whole(rng, 4, 7)
    seconds, sizes = several(rng, 1, 30, number), apart(rng, 5, 30, number)
    sizes[whole(rng, 0, number - 1)] = 0
    yield {"seconds": seconds, "sizes": sizes, "budget": whole(rng, 8, 40)}
    yield {"seconds": seconds, "sizes": sizes, "budget": 0}
    yield {"seconds": seconds, "sizes": [n + 2 for n in sizes], "budget": 1}
    seconds, sizes = several(rng, 1, 30, number), apart(rng, 5, 30, number)
    at = whole(rng, 0, number - 1)
    sizes[at], seconds[at] = 90, 99
    yield {"seconds": seconds, "sizes": sizes, "budget": whole(rng, 40, 60)}


@knapsack.check(points=1)
def test_negative_bytes_and_lists_of_two_lengths_are_refused(rng):
    """a negative size or budget, and lists of two lengths, raise ValueError"""
    number = whole(rng, 4, 6)
    case = drawn(rng, number)
    yield case
    yield case | {"budget": -1}
    for at in (0, number - 1):
        yield case | {"sizes": [-1 if i == at else n for i, n in enumerate(case["sizes"])]}
    yield case | {"seconds": case["seconds"][:-1]}
    yield case | {"sizes": case["sizes"][:-1]}


def refuse_sizes(seconds, sizes, budget):
    if min([budget, *sizes]) < 0 or len(seconds) != len(sizes):
        raise ValueError("seconds, sizes or budget")


def filled(order, sizes, budget):
    """Indices in this order, each that still fits."""
    kept = []
    for i in order:
        if total(sizes, kept) + sizes[i] <= budget:
            kept.append(i)
    return sorted(kept)


def by_ratio(seconds, sizes):
    """Indices, most seconds for a byte first."""
    return sorted(
        range(len(sizes)),
        key=lambda i: Fraction(seconds[i], sizes[i]) if sizes[i] else 1000 + seconds[i],
        reverse=True,
    )


@knapsack.misconception(
    "The most seconds for a byte is right where tensors can be cut. Whole ones may leave a gap "
    "that two others fill better: compare sets."
)
def takes_the_best_ratio_first(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    return filled(by_ratio(seconds, sizes), sizes, budget)


@knapsack.misconception(
    "After one that doesn't fit, a smaller one still may. And even then the best ratio first is "
    "not the best set."
)
def stops_at_the_first_that_does_not_fit(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    kept = []
    for i in by_ratio(seconds, sizes):
        if total(sizes, kept) + sizes[i] > budget:
            break
        kept.append(i)
    return sorted(kept)


@knapsack.misconception("A tensor is kept whole or not at all: all of its bytes must fit.")
def keeps_one_in_part(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    kept = []
    for i in by_ratio(seconds, sizes):
        if total(sizes, kept) < budget or not sizes[i]:
            kept.append(i)
    return sorted(kept)


@knapsack.misconception(
    "What takes longest to compute may be large as well: two smaller ones can save more."
)
def takes_the_dearest_first(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    return filled(sorted(range(len(sizes)), key=lambda i: -seconds[i]), sizes, budget)


@knapsack.misconception("Many small tensors may save less than a large one: seconds count.")
def takes_the_smallest_first(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    return filled(sorted(range(len(sizes)), key=lambda i: sizes[i]), sizes, budget)


@knapsack.misconception("The first that come are not the best: each may also be left.")
def takes_them_as_they_come(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    return filled(range(len(sizes)), sizes, budget)


@knapsack.misconception(
    "A tensor is kept once. In a table of one row go through the bytes downwards, or the row holds "
    "the tensor already."
)
def keeps_a_tensor_twice(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    best = [(0, ())] * (budget + 1)
    for i, (saved, size) in enumerate(zip(seconds, sizes, strict=True)):
        for held in range(size, budget + 1):
            gain, kept = best[held - size]
            best[held] = max(best[held], (gain + saved, (*kept, i)), key=lambda found: found[0])
    return sorted(best[-1][1])


@knapsack.misconception("A set of just `budget` bytes fits: <=, not <.")
def leaves_a_byte_free(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    return ck.knapsack(seconds, sizes, budget - 1) if budget else []


@knapsack.misconception("Asked for is which tensors to keep, not the seconds that they save.")
def returns_the_seconds(seconds, sizes, budget):
    return total(seconds, ck.knapsack(seconds, sizes, budget))


@knapsack.misconception("Those are the tensors to compute again. Return those that are kept.")
def returns_what_is_computed_again(seconds, sizes, budget):
    kept = ck.knapsack(seconds, sizes, budget)
    return [i for i in range(len(sizes)) if i not in kept]


@knapsack.misconception("Return the indices of what is kept, not yes or no for each tensor.")
def returns_yes_or_no(seconds, sizes, budget):
    kept = ck.knapsack(seconds, sizes, budget)
    return [i in kept for i in range(len(sizes))]


@knapsack.misconception(
    "Going back through the table finds the last tensor first: turn the list around."
)
def lists_the_last_first(seconds, sizes, budget):
    return ck.knapsack(seconds, sizes, budget)[::-1]


@knapsack.misconception(
    "Negative bytes, or seconds for other tensors than sizes, are a slip: raise ValueError."
)
def believes_any_bytes(seconds, sizes, budget):
    both = range(min(len(seconds), len(sizes)))
    fit = [s for s in subsets(len(both)) if total(sizes, s) <= budget]
    return list(max(fit, key=lambda s: total(seconds, s), default=[]))


@knapsack.control
def tries_every_set(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)
    fit = (s for s in subsets(len(sizes)) if total(sizes, s) <= budget)
    return list(max(fit, key=lambda s: total(seconds, s)))


@knapsack.control
def fills_a_table_of_bytes(seconds, sizes, budget):
    if budget < 0 or any(n < 0 for n in sizes) or len(seconds) != len(sizes):
        raise ValueError("seconds, sizes or budget")
    table = [[0] * (budget + 1)]
    for saved, size in zip(seconds, sizes, strict=True):
        row = table[-1]
        table.append(
            [max(row[b], row[b - size] + saved if b >= size else 0) for b in range(budget + 1)]
        )
    kept, left = [], budget
    for i in reversed(range(len(sizes))):
        if table[i + 1][left] > table[i][left]:
            kept, left = [i, *kept], left - sizes[i]
    return kept


@knapsack.control
def takes_or_leaves_the_first(seconds, sizes, budget):
    refuse_sizes(seconds, sizes, budget)

    def best(i, left) -> tuple[int, list[int]]:
        if i == len(sizes):
            return 0, []
        without = best(i + 1, left)
        if sizes[i] > left:
            return without
        gain, kept = best(i + 1, left - sizes[i])
        return max(without, (gain + seconds[i], [i, *kept]))

    return best(0, budget)[1]


# ------------------------------------------------------------------------------- micro-batches

accumulation_weights = exercise(
    ck.accumulation_weights,
    nudge="In the mean of the whole batch each token weighs the same, wherever it stands.",
    worked={"tokens": [6, 2, 0, 4]},
)


@accumulation_weights.check(points=2)
def test_a_micro_batch_weighs_as_many_tokens_as_count_in_it(rng):
    for parts in (2, 3, whole(rng, 4, 8)):
        yield {"tokens": apart(rng, 1, 60, parts)}
    yield {"tokens": [1, whole(rng, 100, 900)]}


@accumulation_weights.check(points=1)
def test_a_micro_batch_without_a_token_weighs_nothing(rng):
    for nothing in (1, 1, 2):
        tokens = apart(rng, 1, 60, whole(rng, 2, 5)) + [0] * nothing
        yield {"tokens": rng.permutation(tokens).tolist()}


@accumulation_weights.check(points=1)
def test_equal_micro_batches_weigh_the_same_and_one_alone_weighs_1(rng):
    parts, tokens = apart(rng, 2, 9, 2)
    yield {"tokens": [tokens] * parts}
    yield {"tokens": [whole(rng, 1, 60)]}
    yield {"tokens": [tokens, *[tokens + whole(rng, 1, 9)] * parts]}


@accumulation_weights.check(points=1)
def test_negative_numbers_and_a_batch_without_a_token_are_refused(rng):
    """a negative number, and a batch without a token, raise ValueError"""
    tokens = apart(rng, 2, 60, whole(rng, 2, 5))
    yield {"tokens": tokens}
    yield {"tokens": []}
    yield {"tokens": [0] * whole(rng, 1, 4)}
    for negative in (-1, -tokens[0], -100):
        yield {"tokens": rng.permutation([*tokens, negative]).tolist()}


def refuse_tokens(tokens):
    if not any(tokens) or min(tokens) < 0:
        raise ValueError("tokens")


@accumulation_weights.misconception(
    "1/N is right where all micro-batches have as many tokens. Else a token in a short one would "
    "weigh more: n / Σ n."
)
def weighs_all_micro_batches_alike(tokens):
    refuse_tokens(tokens)
    return [1 / len(tokens)] * len(tokens)


@accumulation_weights.misconception(
    "Those without a token weigh nothing, but the others aren't equal for that: n / Σ n."
)
def weighs_all_that_have_tokens_alike(tokens):
    refuse_tokens(tokens)
    return [(n > 0) / sum(m > 0 for m in tokens) for n in tokens]


@accumulation_weights.misconception(
    "Shares of the longest micro-batch don't add up to 1: divide by all tokens."
)
def divides_by_the_longest(tokens):
    refuse_tokens(tokens)
    return [n / max(tokens) for n in tokens]


@accumulation_weights.misconception(
    "Weights that add up to N give N times the gradient, unless somebody divides by N again. They "
    "add up to 1."
)
def adds_up_to_the_number_of_parts(tokens):
    refuse_tokens(tokens)
    return [n * len(tokens) / sum(tokens) for n in tokens]


@accumulation_weights.misconception("The batch has Σ n tokens, not N: divide by those.")
def divides_by_the_number_of_parts(tokens):
    refuse_tokens(tokens)
    return [n / len(tokens) for n in tokens]


@accumulation_weights.misconception(
    "That is the sum over tokens, whose gradient grows with the batch. For the mean divide by Σ n."
)
def weighs_by_the_sum(tokens):
    refuse_tokens(tokens)
    return [float(n) for n in tokens]


@accumulation_weights.misconception(
    "Each loss is a mean already, divided by its own n. The weight has to take that back."
)
def divides_by_its_own_tokens(tokens):
    refuse_tokens(tokens)
    return [1 / n if n else 0.0 for n in tokens]


@accumulation_weights.misconception("// rounds every share down to 0: divide with /.")
def divides_whole_numbers(tokens):
    refuse_tokens(tokens)
    return [n // sum(tokens) for n in tokens]


@accumulation_weights.misconception(
    "A micro-batch of padding alone happens: it weighs 0, and the others are fine."
)
def refuses_a_part_without_tokens(tokens):
    refuse_tokens(tokens)
    if 0 in tokens:
        raise ValueError("tokens")
    return [n / sum(tokens) for n in tokens]


@accumulation_weights.misconception(
    "Each micro-batch has its place in the answer, with weight 0 where nothing counts."
)
def leaves_out_parts_without_tokens(tokens):
    refuse_tokens(tokens)
    return [n / sum(tokens) for n in tokens if n]


@accumulation_weights.misconception(
    "At least one token each avoids a division by zero that isn't there: the sum isn't 0."
)
def counts_a_token_where_there_is_none(tokens):
    refuse_tokens(tokens)
    at_least = [max(n, 1) for n in tokens]
    return [n / sum(at_least) for n in at_least]


@accumulation_weights.misconception(
    "The mean of no token doesn't exist: raise ValueError, before it is divided by zero."
)
def divides_by_zero_where_nothing_counts(tokens):
    if min(tokens, default=0) < 0:
        raise ValueError("tokens")
    return [n / sum(tokens) for n in tokens]


@accumulation_weights.misconception(
    "Weights of 0 hide that the batch has no token, and no mean: raise ValueError."
)
def answers_zeros_where_nothing_counts(tokens):
    if min(tokens, default=0) < 0:
        raise ValueError("tokens")
    return [n / (sum(tokens) or 1) for n in tokens]


@accumulation_weights.misconception("There are no negative numbers of tokens: raise ValueError.")
def believes_negative_numbers(tokens):
    if not sum(tokens):
        raise ValueError("tokens")
    return [n / sum(tokens) for n in tokens]


@accumulation_weights.control
def weighs_with_exact_fractions(tokens):
    if not any(tokens) or any(n < 0 for n in tokens):
        raise ValueError("tokens")
    return [float(Fraction(n, sum(tokens))) for n in tokens]


def owners(tokens) -> Iterator[int]:
    for part, n in enumerate(tokens):
        yield from [part] * n


@accumulation_weights.control
def counts_the_tokens_one_by_one(tokens):
    refuse_tokens(tokens)
    each = [0.0] * len(tokens)
    for part in owners(tokens):
        each[part] += 1
    return [n / sum(each) for n in each]
