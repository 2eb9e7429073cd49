"""Payload, calls, bytes and seconds, against sums by hand and a simulated ring."""

import pytest

from rlcourse.systems.communication import (
    LINKS,
    calls,
    counted,
    payload,
    seconds,
    sent_in_step,
)


def test_a_step_sends_two_or_three_times_the_parameters() -> None:
    assert [payload(stage, 1000) for stage in range(4)] == [2000, 2000, 2000, 3000]


def test_stage_2_reduces_in_each_micro_batch_and_stage_3_gathers_too() -> None:
    assert [payload(stage, 10, micro_batches=4) for stage in range(4)] == [20, 20, 50, 120]


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("micro_batches", [1, 3])
def test_the_calls_carry_the_payload_where_nothing_is_padded(
    stage: int, micro_batches: int
) -> None:
    made = calls(stage, [8, 12, 4], 4, micro_batches=micro_batches)
    assert counted(made) == payload(stage, 24, micro_batches)


def test_a_unit_is_padded_to_whole_shares_where_it_is_cut() -> None:
    assert calls(0, [7], 4) == [("all_reduce", 7)]
    assert calls(1, [7], 4) == [("reduce_scatter", 8), ("all_gather", 8)]
    assert calls(2, [7], 4) == [("reduce_scatter", 8), ("all_gather", 8)]
    assert calls(3, [7], 4) == [("all_gather", 8), ("all_gather", 8), ("reduce_scatter", 8)]


def test_frozen_weights_are_gathered_by_stage_3_and_never_reduced() -> None:
    assert calls(2, [4], 2, frozen=[6]) == calls(2, [4], 2)
    made = calls(3, [4], 2, frozen=[5])
    assert sorted(made) == sorted(calls(3, [4], 2) + 2 * [("all_gather", 6)])


def test_a_unit_of_no_parameter_sends_nothing() -> None:
    assert calls(3, [0, 4], 2, frozen=[0, 0]) == calls(3, [4], 2)
    assert calls(0, [0], 2) == []


def test_shares_of_the_norm_are_added_up_where_the_gradient_is_cut() -> None:
    for stage in range(4):
        extra = [("all_reduce", 1)] if stage else []
        assert calls(stage, [4], 2, clip=True) == calls(stage, [4], 2) + extra


def ring(chunks: int, ranks: int, rounds: int) -> list[int]:
    """Elements that each rank of a ring hands to its neighbour, round after round."""
    sent = [0] * ranks
    for _ in range(rounds):
        for rank in range(ranks):
            sent[rank] += chunks
    return sent


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_the_bytes_are_those_of_a_ring_that_is_walked_round(ranks: int) -> None:
    unit, element = 5 * ranks, 2
    once = ring(5, ranks, ranks - 1)[0] * element
    assert sent_in_step(calls(0, [unit], ranks), element, ranks) == 2 * once
    assert sent_in_step(calls(3, [unit], ranks), element, ranks) == 3 * once


def test_seconds_are_bytes_over_the_rate_of_a_link() -> None:
    assert seconds(900 * 10**9, "NVLink 4") == 2
    assert seconds(0, "PCIe 4 x16") == 0
    assert seconds(10**9, "InfiniBand NDR") * 400 == pytest.approx(8)  # 400 Gb/s


def test_each_generation_of_a_link_is_faster_than_the_one_before() -> None:
    for newer, older in (
        ("NVLink 5", "NVLink 4"),
        ("NVLink 4", "NVLink 3"),
        ("PCIe 5 x16", "PCIe 4 x16"),
        ("InfiniBand NDR", "InfiniBand HDR"),
    ):
        assert LINKS[newer] > LINKS[older]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="stage must be 0, 1, 2 or 3, got 4"):
        payload(4, 10)
    with pytest.raises(ValueError, match="stage must be 0, 1, 2 or 3, got -1"):
        calls(-1, [10], 2)
    with pytest.raises(ValueError, match="parameters must be an integer of at least 1, got 0"):
        payload(1, 0)
    with pytest.raises(ValueError, match="micro_batches must be an integer of at least 1, got 0"):
        payload(0, 10, micro_batches=0)
    with pytest.raises(ValueError, match="units must be an integer of at least 1, got -3"):
        calls(1, [-3], 2)
    with pytest.raises(ValueError, match="ranks must be an integer of at least 1, got 0"):
        calls(1, [3], 0)
    with pytest.raises(ValueError, match=r"link must be one of NVLink 5, .* got 'string'"):
        seconds(1, "string")
    with pytest.raises(ValueError, match="sent must not be negative, got -1"):
        seconds(-1, "NVLink 4")
