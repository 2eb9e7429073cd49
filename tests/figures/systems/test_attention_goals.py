"""Goals are judged case by case, and the page says of the record what it holds."""

import pytest

from rlcourse.figures.systems import attention_goals as g
from rlcourse.figures.systems.attention_speed import GPU, read

CASE = dict(kind="attention", B=1, H=16, G=16, N=4096, D=128, causal=False)


def case(ours: float, flash: float, **other: object) -> dict:
    speeds = {"ours": ours, "sdpa_flash": flash}
    return CASE | dict(forward_tflops=speeds, backward_tflops=speeds) | other


def softmax(m: int, ours: float, torch: float) -> dict:
    return dict(kind="softmax", N=64, M=m, of_copy={"ours": ours, "torch": torch})


RECORD = {
    "rows": [
        case(240.0, 200.0),
        case(500.0, 200.0, N=8192),
        case(202.0, 200.0, causal=True, N=8192),
        case(1.0, 200.0, D=64),  # no part of a goal
        case(1.0, 200.0, N=2048),
        CASE | dict(forward_tflops={"ours": 252.0}, backward_tflops={"ours": 240.0}),  # again
        dict(kind="packed", ours_ms=1.0),
        softmax(1024, 0.9, 0.3),
        softmax(g.HELD + 1, 0.6, 0.3),
    ]
}


def judged() -> dict[str, tuple[list[float], int]]:
    return {goal.says: (values, met) for goal, values, met in g.judge(RECORD)}


def test_a_goal_takes_the_cases_it_is_about_and_counts_those_that_meet_it():
    assert judged()["forward, over PyTorch's flash"] == ([1.01, 1.2, 2.5], 2)
    assert judged()["backward, over PyTorch's flash"][1] == 3
    assert judged()["forward, the best in TFLOP/s"] == ([500.0], 0)


def test_rows_that_are_held_and_longer_ones_are_judged_apart():
    assert judged()["softmax, rows held, over a copy"] == ([0.9], 1)
    assert judged()["softmax, longer rows, over a copy"] == ([0.6], 0)
    assert judged()["softmax, over torch.softmax"] == ([pytest.approx(2), pytest.approx(3)], 2)


def test_what_was_not_measured_has_no_line():
    assert not any("cuDNN" in says or "decoding" in says for says in judged())


def test_the_table_says_what_was_met_and_what_was_missed():
    lines = {row[0]: row[1:] for row in g.goal_table(RECORD).tables[0]}
    assert lines["forward, over PyTorch's flash: ≥ 1.2"] == ("1.01 to 2.50", "2 of 3 met")
    assert lines["forward, the best in TFLOP/s: ≥ 560"] == ("500", "missed")
    assert lines["softmax, rows held, over a copy: ≥ 0.9"] == ("0.900", "met")


def test_repeats_compares_measurements_of_one_case():
    assert g.repeats(RECORD, "forward") == pytest.approx(0.05)
    assert g.repeats(RECORD, "backward") == 0


@pytest.mark.skipif(read(GPU) is None, reason="no record of the card")
def test_of_the_record_each_goal_has_its_cases_and_the_distance_to_cudnn_is_largest_unmasked():
    found = {goal.says: (goal, values, met) for goal, values, met in g.judge(read(GPU))}
    assert [*found] == [goal.says for goal in g.GOALS]
    assert len(found["forward, over PyTorch's flash"][1]) == 8  # two of them with shared keys
    unmasked, masked = (found[f"forward, over cuDNN{x}"][1] for x in ("", ", causal"))
    assert max(unmasked) < min(masked)
    assert found["softmax, longer rows, over a copy"][1][-1] < 2 / 3
    assert 0 < g.repeats(read(GPU), "forward") < 0.1


def test_the_softmax_kernel_holds_as_many_columns_as_the_goals_say():
    pytest.importorskip("triton")
    from rlcourse.systems.gpu_softmax import HELD

    assert HELD == g.HELD


def test_warps_that_only_fetch_did_not_pay_with_this_kernel() -> None:
    trial = g.specialised()
    assert 0 < trial.hung < trial.tried
    assert trial.best < 0.8 * trial.best_without
