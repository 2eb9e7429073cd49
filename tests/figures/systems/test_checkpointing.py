"""What the chapter on checkpointing claims of segments, revolve, schedules, and of its bug hunt."""

import re
from functools import cache
from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from rlcourse.figures.systems import checkpointing as f
from rlcourse.figures.systems import checkpointing_hunt, checkpointing_schedules
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems import checkpointing as ck
from rlcourse.systems.recompute import recomputed

PAGE = Path(__file__).parents[3] / "book/systems/checkpointing.md"


def test_one_sequence_leaves_most_of_a_card_and_inputs_are_a_small_part_of_it():
    data = f.data_question()
    assert data.state == 8192 * 4096 * 2  # tokens, width, bytes of bf16
    assert f.CARD / 2 < data.layers * data.saved < f.CARD
    assert data.saved > 20 * data.state


def test_four_segments_climb_four_times_to_about_a_quarter_of_storing_all():
    data = f.data_question()
    tape = round(data.saved / data.state) - 1
    whole = schedules.held(schedules.store_all(16), [1] * 16, [tape] * 16)
    parts = schedules.held(schedules.segments(16, 4), [1] * 16, [tape] * 16)
    assert 0.2 < max(parts) / max(whole) < 0.3
    for held, number in ((whole, 1), (parts, 4)):
        high = [x > max(parts) / 2 for x in [0, *held, 0]]
        assert sum(b and not a for a, b in pairwise(high)) == number


@pytest.mark.parametrize("schedule", [schedules.segments(9, 4), schedules.revolve(9, 3)])
def test_what_is_held_peaks_where_the_runner_says(schedule):
    states, tapes = [3, 1, 4, 1, 5, 9, 2, 6, 5], [5, 3, 5, 8, 9, 7, 9, 3, 2]
    held = schedules.held(schedule, states, tapes)
    assert max(held) == schedules.run(schedule, [1] * 9, states, tapes).peak
    assert len(held) == len(schedule)
    for n, bytes_held in enumerate(held, start=1):  # by counting what has come and gone
        kept, taped = ({*numbers(schedule[:n], a)} - {*numbers(schedule[:n], b)} for a, b in LIVES)
        inputs = kept | {i - 1 for i in taped}
        assert bytes_held == sum(states[i] for i in inputs) + sum(tapes[i - 1] for i in taped)


LIVES = ("keep", "drop"), ("tape", "backward")  # here each state and tape comes and goes once


def numbers(schedule, kind):
    return [i for of, i in schedule if of == kind]


def test_without_tapes_the_root_is_best_and_with_tapes_it_is_near():
    thin, thick = f.data_segments(64, 1, 0), f.data_segments(64, 1, 19)
    assert min(thin, key=thin.__getitem__) == ck.best_parts(64, 1, 0) == 8
    assert min(thick, key=thick.__getitem__) == ck.best_parts(64, 1, 19) == 32
    root = (64 * 20) ** 0.5
    assert 32 < root - 1 < root < 40  # near, but not next to it
    assert thick[round(root)] > thick[32]


@pytest.mark.parametrize("layers", [4, 16, 32, 64])
def test_every_layer_is_a_segment_where_two_tapes_outweigh_half_the_states(layers):
    heavy = layers // 2 + 1
    assert ck.best_parts(layers, 1, heavy - 1) == layers
    assert ck.best_parts(layers, 1, layers // 2 - 2) < layers


def test_segments_never_run_a_layer_more_than_twice_and_take_at_most_a_third_longer():
    for layers in (1, 7, 16):
        for parts in range(1, layers + 1):
            taken = schedules.run(
                schedules.segments(layers, parts), *[[1] * layers for _ in range(3)]
            )
            assert (taken.forwards + 2 * layers) / (3 * layers) < 4 / 3


def times_untaped(schedule, layers):
    return [sum(a == ("forward", i) for a in schedule) for i in range(1, layers + 1)]


@pytest.mark.parametrize(("states", "most"), [(1, 3), (2, 3), (3, 2), (4, 2)])
def test_a_binomial_of_layers_gets_by_with_so_many_repetitions(states, most):
    reach = comb(states + most, states)
    assert max(times_untaped(schedules.revolve(reach, states), reach)) == most
    assert max(times_untaped(schedules.revolve(reach + 1, states), reach + 1)) > most


def test_the_closed_form_is_the_recursion():
    @cache
    def least(layers, states):
        if layers == 1 or states == 1:
            return layers * (layers - 1) // 2
        return min(k + least(layers - k, states - 1) + least(k, states) for k in range(1, layers))

    for layers in range(1, 40):
        for states in range(1, 8):
            assert ck.revolve_forwards(layers, states) == least(layers, states)


def test_revolve_keeps_four_states_at_most_and_holds_one_tape_at_a_time():
    data = checkpointing_schedules.data_schedule(16, "revolve", 4)
    at_once = [
        sum(start <= step < stop for _, start, stop in data.kept)
        for step in range(len(data.schedule))
    ]
    assert max(at_once) == 4
    assert data.cost.forwards == 16 + ck.revolve_forwards(16, 4)
    assert max(data.held) == data.cost.peak <= 5 + 3


def test_revolve_takes_fewer_forwards_than_halving_and_holds_as_much():
    (table,) = checkpointing_schedules.table_of_ways().tables
    rows = {name: [int(x) for x in row] for name, *row in table[1:]}
    assert rows["revolve, 4 states"][2] == rows["recursive"][2]
    assert rows["revolve, 4 states"][0] < rows["recursive"][0]
    leanest = min(rows["4 segments"][2], rows["16 segments"][2])
    assert rows["recompute all"][2] < rows["revolve, 2 states"][2] < leanest
    assert rows["store all"] == [16, 0, 16 * 20]
    assert rows["recompute all"] == [136, 120, 21]
    assert max(rows["4 segments"][1], rows["16 segments"][1]) < 16


def test_segments_take_less_than_a_forward_more_and_revolve_goes_lower():
    for layers, ways in f.data_revolve().items():
        held, extra = zip(*ways.segments, strict=True)
        assert max(extra) < 1
        assert list(extra) == sorted(extra, reverse=True)
        assert min(held) == f.segment_peak(layers, ck.best_parts(layers, 1, f.TAPE), 1, f.TAPE)
        assert ways.revolve[0][0] == f.TAPE + 2 < min(held)
        assert ways.revolve[0][1] == (layers - 1) / 2
        extra = [x for _, x in ways.revolve]
        assert extra == sorted(extra, reverse=True)


@pytest.mark.parametrize("way", checkpointing_schedules.WAYS)
@pytest.mark.parametrize("layers", [2, 32])
def test_the_live_figure_is_drawn_at_its_ends(way, layers):
    for number in (1, 16):
        assert len(checkpointing_schedules.draw_schedule(layers, way, number, 0).panels) == 2


def test_pictures_are_drawn():
    assert len(f.draw_question(f.data_question()).panels) == 2
    assert len(f.draw_segments().panels) == 2
    assert len(f.draw_revolve(f.data_revolve()).panels) == 1


# ------------------------------------------------------------------------------- the bug hunt


@cache
def suspect():
    """The checkpoint of the bug hunt, as the page has it."""
    source = re.search(r"(class Suspect.*?\n)\n\nhunt = ", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict = {"torch": torch}
    exec(source[1], names)
    return names["Suspect"].apply


def forgetful(layer, x):
    return checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False)


def test_the_suspect_learns_as_well_with_a_wrong_gradient():
    hunt = checkpointing_hunt.data_hunt(suspect(), rng=np.random.default_rng(0))
    assert hunt.right[-1] < hunt.right[0] / 3
    assert abs(hunt.suspect[-1] - hunt.right[-1]) < 0.02
    assert hunt.apart[0.0] == 0
    assert hunt.apart[0.5] > 0.05
    assert len(checkpointing_hunt.draw_hunt(hunt).panels) == 1


def test_pytorchs_checkpoint_has_the_bug_when_told_to_forget_the_generator():
    hunt = checkpointing_hunt.data_hunt(forgetful, rng=np.random.default_rng(0), steps=2)
    assert hunt.apart[0.0] == 0
    assert hunt.apart[0.5] > 0.05


def test_with_the_generator_set_back_nothing_differs():
    hunt = checkpointing_hunt.data_hunt(recomputed, rng=np.random.default_rng(0), steps=20)
    assert hunt.suspect == hunt.right
    assert hunt.apart == {0.0: 0, 0.5: 0}
