"""What is moved between slow and fast memory: counted where a check says so, and told by name."""

from typing import NamedTuple

import numpy as np
import pytest

from rlcourse.grading import check, exercise, rules, source
from rlcourse.grading.compare import Gap
from rlcourse.grading.traffic import ashore, excess
from rlcourse.grading.verdict import explain, grade, local
from rlcourse.systems.slow_memory import SlowMemory


class Moments(NamedTuple):
    """The mean and the mean square of the columns of x."""

    mean: np.ndarray
    square: np.ndarray


def moments(x: "np.ndarray | SlowMemory", block: int) -> Moments:
    """Σ x / n and Σ x² / n over the rows, `block` rows at a time."""
    first, second = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for i in range(0, len(x), block):
        part = x[i : i + block]
        first, second = first + part.sum(0), second + (part**2).sum(0)
    return Moments(first / len(x), second / len(x))


def in_two_passes(x, block):
    parts = range(0, len(x), block)
    mean = sum(x[i : i + block].sum(0) for i in parts) / len(x)
    return Moments(mean, sum((x[i : i + block] ** 2).sum(0) for i in parts) / len(x))


def all_at_once(x, block):
    rows = x[:]
    return Moments(rows.mean(0), (rows**2).mean(0))


def without_squares(x, block):
    return row_by_row(x, block)._replace(square=np.zeros(x.shape[1]))


def row_by_row(x, block):
    rows = [x[i] for i in range(len(x))]
    return Moments(sum(rows) / len(x), sum(r**2 for r in rows) / len(x))


def writes_the_mean_back(x, block):
    found = row_by_row(x, block)
    x[:1] = found.mean[None]
    return found


@pytest.fixture
def toy():
    x = exercise(moments, nudge="Both sums at once.")

    def are_means(rng):
        yield {"x": rng.normal(size=(7, 3)), "block": 2}
        yield {"x": rng.normal(size=(5, 2)), "block": 9}

    def are_read_once(rng):
        yield {"x": rng.normal(size=(9, 4)), "block": int(rng.integers(2, 5))}

    x.check(points=2)(are_means)
    x.check(points=1, slow=("x",))(are_read_once)
    x.misconception("Add up x and x² in the same pass.")(in_two_passes)
    x.misconception("Take `block` rows at a time.")(all_at_once)
    x.misconception("The second moment is the mean of x².")(without_squares)
    x.control(row_by_row)
    return x


def test_an_answer_that_moves_too_much_loses_that_check_alone(toy):
    for f, right in ((row_by_row, 1), (in_two_passes, 0), (all_at_once, 0)):
        assert [v.points for v in grade(toy, f, 3)] == [2, right], f


def test_each_way_to_move_too_much_is_recognised_by_its_own_name(toy):
    for f in toy.misconceptions:
        for v in grade(toy, f, 5):
            assert v.outcome == "right" or v.misconceptions == (f,)


def test_a_report_says_how_much_was_moved_and_how_much_is_needed(toy):
    first = grade(toy, in_two_passes, 3)[1]
    shown = explain(first, local(in_two_passes, 3.0, toy))
    n = np.prod(shown.question["case"]["x"]["shape"])
    assert shown.difference == f"read {2 * n} elements of x where {n} would be enough"
    assert shown.difference in repr(check(in_two_passes, toy, seed=3))
    at_once = grade(toy, all_at_once, 3)[1]
    assert at_once.difference.startswith("moved 36 elements of x at once where ")


def test_writing_into_slow_memory_changes_an_argument(toy):
    assert "changed its argument x" in grade(toy, writes_the_mean_back, 3)[1].difference


def test_an_answer_in_slow_memory_counts_as_an_ordinary_array():
    found = ashore(Moments(SlowMemory(np.ones(3)), np.zeros(2)))
    assert found.mean.tolist() == [1, 1, 1]
    assert type(found.mean) is np.ndarray
    assert ashore(4) == 4


def test_who_moves_less_than_the_reference_is_right():
    counts = {"fields": {"reads": 5, "writes": 0, "largest": 2}}
    more = {"fields": {"reads": 6, "writes": 1, "largest": 2}}
    assert not excess({"traffic": {"x": counts}}, {"traffic": {"x": more}})
    assert excess({"traffic": {"x": more}}, {"traffic": {"x": counts}}) == {
        "x.reads": "read 6 elements of x where 5 would be enough",
        "x.writes": "wrote 1 elements of x where 0 would be enough",
    }
    assert not excess({}, {"traffic": {"x": counts}})  # it raised an error, say


def test_the_gate_finds_nothing_wrong_with_such_an_exercise(toy):
    assert not rules.right_answers_lose(toy, seeds=2)
    assert not rules.misconceptions_pass(toy)
    assert not rules.nobody_answers_gain(toy)


def test_a_version_depends_on_what_lies_in_slow_memory(toy):
    question, right = toy.checks[1].paper(0)[0]
    assert question["slow"] == ["x"]
    assert toy.checks[1].gap(question, right, right) == Gap(0)
    before = source.version(toy)
    object.__setattr__(toy.checks[1], "slow", ())
    assert source.version(toy) != before
