"""The memory tracer: what is held at once, beyond the arguments, and in which line."""

import sys
import tracemalloc

import numpy as np
import pytest

from rlcourse.grading import check, exercise, gate, rules, source
from rlcourse.grading.memory import Lines, amount, excess, held
from rlcourse.grading.plain import encode
from rlcourse.grading.report import lines
from rlcourse.grading.verdict import explain, grade, local


def far(x, y):
    """max_ij |x_i - y_j| for vectors of unequal size."""
    if len(x) * len(y) > 100:
        return max(float(np.abs(x - b).max()) for b in y)
    return float(np.abs(x[:, None] - y).max())


def all_at_once(x, y):
    differences = np.abs(x[:, None] - y)
    return float(differences.max())


def all_in_a_list(x, y):
    return max([abs(float(a) - float(b)) for a in x for b in y])


def through_a_helper(x, y):
    few = x[:1] + 0.0
    return table(x, y).max() + 0 * few[0]


def table(x, y):
    return np.abs(np.subtract.outer(x, y))


def signed(x, y):
    return max(float((x - b).max()) for b in y)


def all_at_once_and_signed(x, y):
    return float((x[:, None] - y).max())


def by_extremes(x, y):
    return float(max(x.max() - y.min(), y.max() - x.min()))


def ten_rows(x, y):
    return 10_000 + 8 * 10 * len(x)


@pytest.fixture
def toy():
    x = exercise(far, nudge="One y at a time.", seconds=60)

    def is_a_distance(rng):
        for sizes in ((3, 2), (5, 9)):
            yield {"x": rng.normal(size=sizes[0]) - 3, "y": rng.normal(size=sizes[1])}

    def needs_no_table(rng):
        """no table of all differences is held"""
        yield {"x": rng.normal(size=150) - 3, "y": rng.normal(size=120)}
        yield {"x": rng.normal(size=101) - 3, "y": rng.normal(size=204)}

    x.check(points=2)(is_a_distance)
    x.check(points=1, peak=ten_rows)(needs_no_table)
    x.misconception("That is a table of all pairs. Take one y at a time.")(all_at_once)
    x.misconception("A distance has no sign.")(signed)
    x.misconception("A distance has no sign, and a table is not needed.")(all_at_once_and_signed)
    x.control(by_extremes)
    return x


def points(x, f):
    return [v.points for v in grade(x, f, 3)]


def test_an_answer_that_is_wrong_in_memory_alone_loses_that_check_alone(toy):
    assert points(toy, by_extremes) == [2, 1]
    for f in (all_at_once, all_in_a_list, through_a_helper):
        assert points(toy, f) == [2, 0], f


def test_a_misconception_of_memory_is_recognised_by_its_own_name(toy):
    for f in toy.misconceptions:
        for v in grade(toy, f, 5):
            assert v.outcome == "right" or v.misconceptions == (f,)
    assert [v.misconceptions for v in grade(toy, all_in_a_list, 5)] == [(), (all_at_once,)]


def test_a_report_names_what_was_held_what_is_allowed_and_the_line(toy):
    verdict = explain(grade(toy, through_a_helper, 3)[1], local(through_a_helper, 3.0, toy))
    said = dict(lines(verdict))
    assert list(said)[:4] == ["does not hold", "for", "memory", "recognised"]
    assert said["for"].startswith("far(x=<shape (")
    number = through_a_helper.__code__.co_firstlineno
    helper = table.__code__.co_firstlineno + 1
    assert number < helper
    first, where = said["memory"].splitlines()
    assert first.startswith("held ")
    assert first.endswith(" kB are allowed")
    assert where == f"line {helper}, in table:  return np.abs(np.subtract.outer(x, y))"


def test_the_smallest_case_that_is_shown_still_holds_too_much(toy):
    first = grade(toy, all_at_once, 3)[1]
    small = explain(first, local(all_at_once, 3.0, toy))
    assert small.difference.startswith("held ")
    sizes = [
        [case["case"][n]["shape"][0] for n in "xy"] for case in (small.question, first.question)
    ]
    assert sizes[0] <= sizes[1]


def test_a_wrong_value_is_told_before_its_memory(toy):
    said = dict(lines(grade(toy, all_at_once_and_signed, 3)[1]))
    assert "memory" not in said
    assert "instead of" in said["difference"]


def test_half_the_bound_is_clearly_right_and_twice_clearly_wrong():
    sizes = [
        excess({"peak": 1000}, {"peak": {"bytes": b, "where": ""}})[0] for b in (500, 1000, 2000)
    ]
    assert sizes == pytest.approx([rules.CLEAR[0], 1, rules.CLEAR[1]])


def test_what_a_first_call_alone_holds_does_not_count():
    cache = {}

    def remembers(n):
        if not cache:
            cache[0] = np.ones(n)
        return 1.0

    assert held(remembers, {"n": 10**6}, 1000)[1]["bytes"] < 1000


def test_the_arguments_do_not_count_and_the_answer_does():
    x = np.ones(50_000)
    value, peak = held(lambda x: 2 * x, {"x": x}, 10**6)
    assert value.sum() == 100_000
    assert 400_000 <= peak["bytes"] < 402_000
    assert held(lambda x: x.sum(), {"x": x}, 10**6)[1]["bytes"] < 2000


def test_a_function_that_writes_into_its_argument_is_measured_on_a_copy_the_second_time(toy):
    def doubles(x, y):
        x *= 2
        return all_at_once(x, y)

    assert "changed its argument x" in grade(toy, doubles, 3)[1].difference


def test_tracing_ends_with_the_call_however_it_ends():
    def fails(x):
        raise ValueError

    trace = sys.gettrace()
    for most in (10**9, 0):
        with pytest.raises(ValueError):
            held(fails, {"x": 1}, most)
    held(all_at_once, {"x": np.ones(9), "y": np.ones(8)}, 1, Lines(bool))
    assert not tracemalloc.is_tracing()
    assert sys.gettrace() is trace


def test_a_learner_who_traces_memory_goes_on_doing_so():
    tracemalloc.start()
    try:
        _, peak = held(all_at_once, {"x": np.ones(90), "y": np.ones(80)}, 10**6)
        assert 2 * 90 * 80 * 8 <= peak["bytes"] < 4 * 90 * 80 * 8
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_the_gate_tries_misconceptions_and_lazy_answers_for_their_memory_too(toy):
    assert not rules.right_answers_lose(toy, seeds=2)
    assert not rules.misconceptions_pass(toy)
    assert not rules.nobody_answers_gain(toy)


def test_a_mutant_that_differs_in_memory_alone_is_killed(toy):
    never = "far: if len(x) * len(y) > 100:  ->  if False:"
    assert never not in rules.mutants_survive(toy)[1]
    del toy.checks[1]
    assert never in rules.mutants_survive(toy)[1]


def test_the_gate_refuses_a_bound_that_a_right_answer_nearly_reaches(toy):
    def tight(x, y):
        return held(far, {"x": x, "y": y}, 10**9)[1]["bytes"] + 1000

    toy.check(points=1, peak=tight)(
        lambda rng: iter([{"x": rng.normal(size=300), "y": np.ones(2)}])
    )
    assert any("tolerances off" in c for c in rules.right_answers_lose(toy, seeds=1))


def test_a_question_carries_its_bound_as_plain_data_and_a_version_depends_on_it(toy):
    asked = toy.checks[1]
    question, right = asked.paper(0)[0]
    assert question["peak"] == 10_000 + 80 * 150
    assert "peak" not in right
    assert asked.about({"x": encode(np.ones(2)), "y": encode(np.ones(3))})["peak"] == 10_160
    assert not gate.cases.not_plain_data(toy)
    assert "10000" in "".join(source._meaning([ten_rows]))


def test_amounts_are_told_in_round_numbers():
    assert [amount(b) for b in (12, 24_000, 999_400, 2_345_000)] == [
        "12 bytes",
        "24 kB",
        "999 kB",
        "2.35 MB",
    ]


def test_a_notebook_says_the_same(toy):
    result = check(through_a_helper, toy, seed=3)
    assert result.points == 2
    for text in (repr(result), result._repr_html_()):
        assert "held " in text
        assert " kB are allowed" in text
        assert "in table:" in text
