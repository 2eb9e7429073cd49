"""Schedules are counted against closed forms, a dynamic programme and a search over all of them."""

import heapq
from functools import cache
from itertools import product

import numpy as np
import pytest

from rlcourse.systems import checkpoint_schedules as c
from rlcourse.systems.checkpoint_schedules import Action, run
from rlcourse.systems.checkpointing import revolve_forwards
from rlcourse.systems.optimal_checkpoints import optimal

LAYERS = range(1, 19)


def ones(layers: int) -> list[int]:
    return [1] * layers


def zeros(layers: int) -> list[int]:
    return [0] * layers


@pytest.mark.parametrize("layers", LAYERS)
def test_storing_all_computes_each_layer_once_and_holds_all_tapes(layers: int) -> None:
    assert run(c.store_all(layers), ones(layers), zeros(layers), ones(layers)) == (layers, layers)


@pytest.mark.parametrize("layers", LAYERS)
def test_recomputing_all_holds_one_tape_and_takes_a_triangle_of_forwards(layers: int) -> None:
    found = run(c.recompute_all(layers), ones(layers), zeros(layers), ones(layers))
    assert found == (sum(range(1, layers + 1)), 1)


@pytest.mark.parametrize("layers", LAYERS)
def test_segments_hold_one_part_of_the_tapes_and_compute_all_but_the_last_twice(
    layers: int,
) -> None:
    for parts in range(1, layers + 1):
        found = run(c.segments(layers, parts), ones(layers), zeros(layers), ones(layers))
        longest = -(-layers // parts)
        assert found == (2 * layers - longest, longest)
        states = run(c.segments(layers, parts), ones(layers), ones(layers), zeros(layers)).peak
        assert states <= parts - 1 + longest


def kept_sets(layers: int) -> list[tuple[int, ...]]:
    """Every set of states that can be kept, the input among them."""
    chosen = product((False, True), repeat=layers - 1)
    return [(0, *(i for i, keep in enumerate(each, 1) if keep)) for each in chosen]


@pytest.mark.parametrize("layers", range(1, 8))
def test_segments_at_any_bounds_hold_the_inputs_before_them_and_their_own_tapes(
    layers: int,
) -> None:
    for kept in kept_sets(layers):
        lengths = np.diff([*kept, layers]).tolist()
        for tape in (0, 1, 5):
            found = run(c.segments_at(layers, kept), ones(layers), ones(layers), [tape] * layers)
            # on the way to segment j the inputs of those before are kept, its own is in its tape
            held = [j + length * (1 + tape) for j, length in enumerate(lengths)]
            assert found == (2 * layers - lengths[-1], max(held))


@pytest.mark.parametrize("layers", LAYERS)
def test_even_bounds_are_the_segments(layers: int) -> None:
    assert c.segments_at(layers, [0]) == c.store_all(layers)
    for parts in range(1, layers + 1):
        bounds = [layers * part // parts for part in range(parts)]
        assert c.segments_at(layers, bounds) == c.segments(layers, parts)


def test_early_segments_may_be_longer_than_even_ones() -> None:
    def peak(kept: list[int]) -> int:
        return run(c.segments_at(16, kept), ones(16), ones(16), [3] * 16).peak

    even = min(peak([16 * part // parts for part in range(parts)]) for parts in range(1, 17))
    assert (even, peak([0, 3, 6, 8, 10, 12, 14, 15])) == (15, 13)


def test_the_root_of_the_layers_is_the_best_number_of_segments() -> None:
    layers = 64
    peaks = {
        parts: run(c.segments(layers, parts), ones(layers), ones(layers), ones(layers)).peak
        for parts in (1, 2, 4, 8, 16, 32, 64)
    }
    assert min(peaks, key=peaks.__getitem__) in (8, 16)
    assert peaks[8] <= 2 * 8 + 8


@pytest.mark.parametrize("layers", LAYERS)
def test_halving_holds_a_logarithm_of_states(layers: int) -> None:
    found = run(c.recursive(layers), ones(layers), ones(layers), zeros(layers))
    assert found.peak <= 2 + int(np.ceil(np.log2(layers)))


@cache
def least(layers: int, states: int) -> int:
    """Forwards without tapes, by the recursion of Griewank and Walther."""
    if layers == 1:
        return 0
    if states == 1:
        return layers * (layers - 1) // 2
    return min(k + least(layers - k, states - 1) + least(k, states) for k in range(1, layers))


@pytest.mark.parametrize("layers", LAYERS)
def test_revolve_takes_what_the_dynamic_programme_finds(layers: int) -> None:
    for states in range(1, 7):
        found = run(c.revolve(layers, states), ones(layers), ones(layers), zeros(layers))
        assert found.forwards - layers == least(layers, states)
        assert found.forwards - layers == revolve_forwards(layers, states)
        assert found.peak <= states + 1  # and the input of the one tape


Node = tuple[int, frozenset[int], frozenset[int], int]


def search(seconds: list[int], states: list[int], tapes: list[int], budget: int) -> int | None:
    """The least seconds of any schedule at all within the budget, by Dijkstra's algorithm.

    A node: where the computation stands, the states kept, the tapes held, the layers left.
    """
    layers = len(seconds)
    begin: Node = (0, frozenset({0}), frozenset(), layers)
    queue, seen, ticket = [(0, 0, begin)], set(), 0
    while queue:
        spent, _, node = heapq.heappop(queue)
        if node in seen:
            continue
        seen.add(node)
        at, kept, held, left = node
        if left == 0:
            return spent
        moves = []
        if at >= 0:
            moves.append((0, (at, kept | {at}, held, left)))
        for i in kept:
            moves.append((0, (i, kept, held, left)))
            moves.append((0, (at, kept - {i}, held, left)))
        if 0 <= at < left:
            cost = seconds[at]
            moves.append((cost, (at + 1, kept, held, left)))
            moves.append((cost, (at + 1, kept, held | {at + 1}, left)))
        if left in held:
            moves.append((0, (-1, kept, held - {left}, left - 1)))
        for cost, after in moves:
            inputs = {i for i in after[1] | {tape - 1 for tape in after[2]} if i < layers}
            size = sum(states[i] for i in inputs) + sum(tapes[t - 1] for t in after[2])
            if size <= budget:
                ticket += 1
                heapq.heappush(queue, (spent + cost, ticket, after))
    return None


@pytest.mark.parametrize(("layers", "states"), [*product((2, 3, 4, 5), (1, 2, 3))])
def test_no_schedule_at_all_beats_revolve(layers: int, states: int) -> None:
    # a tape weighs so much that only one fits beside the states
    sizes, tapes = ones(layers), [10] * layers
    found = run(c.revolve(layers, states), ones(layers), sizes, tapes)
    assert search(ones(layers), sizes, tapes, found.peak) == found.forwards


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_fits_and_no_schedule_at_all_is_faster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(2, 5))
    seconds, states, tapes = (rng.integers(1, 6, layers).tolist() for _ in range(3))
    whole = run(c.store_all(layers), seconds, states, tapes)
    for budget in range(whole.peak + 1):
        fastest = search(seconds, states, tapes, budget)
        if fastest is None:
            with pytest.raises(ValueError, match="budget"):
                optimal(seconds, states, tapes, budget)
            continue
        found = run(optimal(seconds, states, tapes, budget), seconds, states, tapes)
        assert found.peak <= budget
        assert found.forwards == fastest
    assert found.forwards == sum(seconds)


def test_a_state_dropped_early_can_be_faster_where_sizes_differ() -> None:
    sizes = [5, 8, 7, 1], [5, 5, 8, 1], [6, 4, 4, 4]
    words = (
        "keep 0, forward 1, keep 1, forward 2, forward 3, tape 4, backward 4,"
        " load 1, drop 1, forward 2, tape 3, backward 3, load 0, forward 1, tape 2, backward 2,"
        " load 0, tape 1, backward 1"
    )
    early = [Action(kind, int(i)) for kind, i in (word.split() for word in words.split(", "))]
    assert run(early, *sizes) == (54, 17)
    assert run(optimal(*sizes, 17), *sizes).forwards == 59  # of the persistent ones


@pytest.mark.parametrize(
    "words",
    [
        "forward 1, tape 2, backward 2, forward 0, tape 1, backward 1",  # x_0 is gone
        "forward 1, tape 2, backward 2, keep -1",
        "forward 1, tape 2, keep 2",
    ],
)
def test_what_is_not_at_hand_cannot_be_used(words: str) -> None:
    schedule = [Action(kind, int(i)) for kind, i in (word.split() for word in words.split(", "))]
    with pytest.raises(ValueError, match="schedule can't"):
        run(schedule, ones(2), ones(2), ones(2))


def test_a_schedule_that_cannot_be_done_is_refused() -> None:
    good = c.segments(4, 2)
    for at in range(len(good)):
        broken = good[:at] + good[at + 1 :]
        if good[at].kind == "drop":
            continue  # to forget to drop is no error
        with pytest.raises(ValueError, match="schedule"):
            run(broken, ones(4), ones(4), ones(4))
    with pytest.raises(ValueError, match="can't jump 1 as action 0"):
        run([Action("jump", 1)], ones(1), ones(1), ones(1))


def test_wrong_sizes_are_refused() -> None:
    for parts in (0, 5):
        with pytest.raises(ValueError, match="parts"):
            c.segments(4, parts)
    for kept in ([], [1], [0, 0], [0, 3, 2], [0, 4], [0, -1]):
        with pytest.raises(ValueError, match="kept must increase from 0"):
            c.segments_at(4, kept)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="states"):
            c.revolve(4, wrong)
        with pytest.raises(ValueError, match="layers"):
            c.revolve(wrong, 2)
    with pytest.raises(ValueError, match="same length"):
        optimal([1, 1], [1], [1, 1], 9)
