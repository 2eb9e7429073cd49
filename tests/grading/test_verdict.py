"""Judging one function: recognition, the course's own function, time, output, small cases."""

import sys
import time
import warnings
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from rlcourse.grading import exercise
from rlcourse.grading.plain import decode, encode
from rlcourse.grading.report import lines
from rlcourse.grading.verdict import across, explain, grade, judge, local
from rlcourse.grading.window import window
from rlcourse.grading.worker import answer


class Step(NamedTuple):
    """r and terminated, (B,)."""

    r: np.ndarray
    terminated: np.ndarray


def target(step, v_next, gamma):
    """r + γ v(s')."""
    return step.r + gamma * np.where(step.terminated, 0.0, v_next)


def right(step, v_next, gamma):
    return step.r + gamma * (1 - step.terminated) * v_next


def past_the_end(step, v_next, gamma):
    return step.r + gamma * v_next


def without_gamma(step, v_next, gamma):
    return step.r + np.where(step.terminated, 0.0, v_next)


def only_the_reward(step, v_next, gamma):
    return step.r + 0.0


def case(rng, ended, b=7):
    ends = rng.permutation(np.arange(b) < ended)
    gamma = rng.uniform(0.3, 0.9)
    return dict(step=Step(rng.normal(size=b), ends), v_next=rng.normal(size=b), gamma=gamma)


@pytest.fixture
def toy():
    """An exercise with two checks and three misconceptions."""
    x = exercise(target, seconds=0.4)

    def adds_the_next_value(rng):
        yield case(rng, 0)
        yield case(rng, 0, 5)

    def lets_nothing_follow_the_end(rng):
        """Nothing follows the end.

        Not even a little.
        """
        yield case(rng, 3)

    x.check(points=2)(adds_the_next_value)
    x.check(points=1)(lets_nothing_follow_the_end)
    for wrong in (past_the_end, without_gamma, only_the_reward):
        x.misconception(f"The sentence of {wrong.__name__}.")(wrong)
    return x


def test_a_right_function_has_full_marks(toy):
    assert [v.points for v in grade(toy, right, 3)] == [2, 1]


def test_a_sentence_is_the_docstring_or_the_name(toy):
    assert [c.sentence for c in toy.checks] == ["adds the next value", "Nothing follows the end."]


def test_a_misconception_is_recognised_by_its_name_alone(toy):
    for wrong in toy.misconceptions:
        names = {v.misconceptions for v in grade(toy, wrong, 3) if v.outcome == "wrong"}
        assert names == {(wrong,)}


def test_two_mistakes_at_once_are_no_misconception(toy):
    def both(step, v_next, gamma):
        inside = not step.terminated.any()
        return (without_gamma if inside else past_the_end)(step, v_next, gamma)

    alone = [judge(c, local(both, 1), 3).misconceptions for c in toy.checks]
    assert alone == [(without_gamma,), (past_the_end,)]
    verdicts = grade(toy, both, 3)
    assert [v.outcome for v in verdicts] == ["wrong", "wrong"]
    assert [v.misconceptions for v in verdicts] == [(), ()]


def test_a_mistake_that_two_misconceptions_explain_is_left_unnamed(toy):
    toy.misconception("The same in other words.")(lambda **k: past_the_end(**k))
    assert {v.misconceptions for v in grade(toy, past_the_end, 3)} == {()}


def test_a_mistake_in_some_cases_only_is_no_misconception(toy):
    def sometimes(step, v_next, gamma):
        return (without_gamma if gamma > 0.6 else target)(step, v_next, gamma)

    verdicts = [judge(c, local(sometimes, 1), 3) for c in toy.checks]
    assert "wrong" in {v.outcome for v in verdicts}
    assert across(verdicts)[0].misconceptions == ()


def test_the_reference_is_the_courses_own_however_it_is_called(toy):
    def swallows(**k):
        try:
            return target(**k)
        except BaseException:
            return right(**k)

    wrapped = SimpleNamespace(f=target)
    for own in (target, lambda **k: target(**k), lambda **k: wrapped.f(**k), swallows):
        verdicts = grade(toy, own, 3)
        assert {v.outcome for v in verdicts} == {"wrong"}
        assert verdicts[0].got["message"] == "this is the course's own function"
        assert explain(verdicts[0], local(own, 1, toy)) is verdicts[0]
    assert target(Step(1.0, False), 2.0, 0.5) == 2.0  # and works again


def test_another_function_of_the_course_may_be_called(toy):
    def uses_numpy_and_a_helper(step, v_next, gamma):
        return right(step, v_next, gamma)

    assert sum(v.points for v in grade(toy, uses_numpy_and_a_helper, 3)) == 3


def test_a_reference_that_closes_over_variables_is_closed_too():
    gamma = 0.5

    def closed(x):
        return gamma * x

    with window(closed) as seen:
        got = answer_of(closed)
    assert seen.by(got)["raised"] == "OwnFunction"
    assert closed(2.0) == 1.0


def answer_of(function):
    try:
        return answer(function, {"case": {"x": 2.0}, "gradients": []})
    except BaseException:
        return {}


def test_a_function_that_hangs_is_given_less_time_afterwards(toy):
    def hangs(step, v_next, gamma):
        while True:
            gamma += 1

    start = time.monotonic()
    verdicts = grade(toy, hangs, 3)
    assert time.monotonic() - start < 3
    messages = [v.got["message"] for v in verdicts]
    assert messages == ["still running after 0.4 s", "still running after 0.2 s"]
    assert "in hangs" in verdicts[0].got["where"][0]


def test_to_hang_where_an_error_is_asked_for_is_to_believe_any_argument(toy):
    def refuses(x):
        """x, or ValueError where it is negative."""
        if x < 0:
            raise ValueError("x must not be negative")
        return x

    def hangs(x):
        while x < 0:
            x -= 1
        return x

    x = exercise(refuses, seconds=0.4)
    x.check(points=1)(lambda rng: iter([{"x": rng.random()}, {"x": -rng.random()}]))
    x.misconception("Anything goes.")(goes_on := lambda x: x)
    x.misconception("Half of anything goes.")(lambda x: x / 2)
    (verdict,) = grade(x, hangs, 3)
    assert verdict.got["raised"] == "TimeLimit"
    assert verdict.misconceptions == (goes_on,)
    said = dict(lines(verdict))
    assert said["for"].startswith("refuses(x=-0.")
    assert said["expected"] == "ValueError: x must not be negative"
    (verdict,) = grade(x, lambda x: hangs(-1), 3)
    assert verdict.misconceptions == ()


def test_a_hang_inside_a_library_names_the_learners_line(toy):
    def sleeps(step, v_next, gamma):
        for _ in range(10**9):
            np.linalg.norm(np.ones((50, 50)), 2)

    where = grade(toy, sleeps, 3)[0].got["where"][0]
    assert "in sleeps" in where
    assert "range(10**9)" in where or "np.linalg.norm" in where


def test_what_is_printed_is_kept_short_and_never_shown_at_once(toy, capsys):
    def prints(step, v_next, gamma):
        for _ in range(1000):
            print("gamma", gamma)
            print("to stderr", file=sys.stderr)
        return v_next

    verdict = grade(toy, prints, 3)[0]
    assert verdict.got["printed"].startswith("gamma 0.")
    assert "characters more" in verdict.got["printed"]
    assert len(verdict.got["printed"]) < 2100
    assert capsys.readouterr() == ("", "")


def test_a_warning_is_no_error(toy):
    def divides_by_zero(step, v_next, gamma):
        return right(step, v_next, gamma) + 0 * np.isnan(np.zeros(1) / 0)

    assert sum(v.points for v in grade(toy, divides_by_zero, 3)) == 3


def test_the_case_shown_is_the_smallest_that_fails_alike(toy):
    verdict = grade(toy, past_the_end, 3)[1]
    shown = explain(verdict, local(past_the_end, 5, toy))
    case = decode({"dict": shown.question["case"]}, toy.types)
    assert isinstance(case["step"], Step)
    assert case["step"].terminated.tolist() == [True]
    assert shown.misconceptions == (past_the_end,)
    assert shown.difference.startswith("[0] ")
    again = explain(grade(toy, past_the_end, 3)[1], local(past_the_end, 5, toy))
    assert again == shown  # a seed gives one report


def test_shrinking_keeps_distributions():
    def mean(p, q):
        """Σ p q."""
        return (p * q).sum(-1)

    x = exercise(mean)
    x.check(points=1)(
        lambda rng: iter([dict(p=rng.dirichlet(np.ones(4), 3), q=rng.normal(size=(3, 4)))])
    )
    wrong = lambda p, q: (p * q).max(-1)  # noqa: E731
    shown = explain(grade(x, wrong, 1)[0], local(wrong, 5, x))
    p = decode(shown.question["case"]["p"])
    assert p.size < 12
    assert np.allclose(p.sum(-1), 1)


def test_shrinking_keeps_uniforms_below_one():
    """which pick one of A things by floor(A u): 1 would pick none"""

    def pick(q, u):
        return (u * q.shape[-1]).astype(int)

    x = exercise(pick)
    x.check(points=1)(
        lambda rng: iter([dict(q=rng.normal(size=(5, 3)), u=rng.uniform(0.7, 1, size=5))])
    )
    wrong = lambda q, u: np.zeros(len(u), int)  # noqa: E731
    for seed in range(5):
        shown = explain(grade(x, wrong, seed)[0], local(wrong, 5, x))
        assert decode(shown.question["case"]["u"]).max() < 1


def test_a_changed_argument_is_a_fault_even_with_the_right_answer(toy):
    def in_place(step, v_next, gamma):
        got = right(step, v_next, gamma)
        v_next *= 0
        return got

    verdicts = grade(toy, in_place, 3)
    assert {v.difference for v in verdicts} == {
        "changed its argument v_next in place: copy it first, for example with np.array"
    }
    shown = explain(verdicts[0], local(in_place, 5, toy))
    assert shown.got["changed"] == ["v_next"]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ((np.zeros(7), 3), "a tuple instead of an array"),
        ([[1.0], [2.0, 3.0]], "a list instead of an array"),
        ({"v": 1.0}, "a dict instead of an array"),
        ("v", "is 'v' instead of"),
        (None, "is None instead of"),
    ],
)
def test_an_answer_that_the_judge_cannot_read_is_wrong(toy, odd, words):
    toy.judge = lambda got, expected, **case: None if np.isfinite(got - expected).all() else "no"
    verdicts = grade(toy, lambda step, v_next, gamma: odd, 3)
    assert {v.outcome for v in verdicts} == {"wrong"}
    assert words in verdicts[0].difference
    assert words in explain(verdicts[0], local(lambda **k: odd, 5, toy)).difference


def test_an_exercise_that_calls_an_unwritten_function_says_which(toy):
    def merge(a):
        raise NotImplementedError

    def calls(step, v_next, gamma):
        return merge(step)

    verdict = grade(toy, calls, 3)[0]
    assert verdict.outcome == "not written"
    assert verdict.got == {"unwritten": "merge"}


def test_a_wrong_signature_is_told(toy):
    verdict = grade(toy, lambda step, v: v, 3)[0]
    assert verdict.got["raised"] == "TypeError"
    assert "unexpected keyword argument" in verdict.got["message"]


def test_a_second_check_of_the_same_name_is_refused(toy):
    def test_a_wrong_signature_is_told(rng):
        yield {}

    with pytest.raises(NameError, match="exists twice"):
        toy.check(points=1)(test_a_wrong_signature_is_told)


def test_a_decorated_check_is_a_plain_function(toy):
    def only_here(rng):
        """The words."""
        yield case(rng, 1)

    test = toy.check(points=1)(only_here)
    assert test.__code__.co_argcount == 0
    assert (test.__name__, test.__doc__, test.place_as) == ("only_here", "The words.", only_here)


def test_two_runs_of_one_seed_ask_the_same_and_two_seeds_do_not(toy):
    check = toy.checks[0]
    assert check.paper.__wrapped__(check, 5) == check.paper.__wrapped__(check, 5)
    assert check.paper(5) != check.paper(6)


def test_gradients_reach_the_fields_of_records():
    def twice_the_product(x):
        return 2 * x.r * x.terminated

    both = Step(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    question = {"case": {"x": encode(both)}, "gradients": ["x"]}
    got = answer(twice_the_product, question)
    assert [*got["gradients"]] == ["x.r", "x.terminated"]
    assert decode(got["gradients"]["x.r"]).tolist() == pytest.approx([6.0, 8 * np.cos(1)])
    assert got["changed"] == []
    assert answer(lambda x: both.r, question)["gradients"]["x.r"] == encode(torch.zeros(2))


def test_gradients_reach_every_float_tensor_that_an_argument_holds():
    """and whole numbers and flags beside them are left alone"""
    mixed = Step(torch.tensor([1.0, 2.0]), torch.tensor([False, True]))
    layers = (torch.tensor([[3.0]]), [torch.tensor([4.0]), torch.tensor([5])])
    case = {"x": encode(mixed), "layers": encode(layers), "table": encode({"b": torch.ones(1)})}

    def weighed(x, layers, table):
        return {"sum": (x.r * layers[0] * layers[1][0] * ~x.terminated).sum(), "b": table["b"]}

    got = answer(weighed, {"case": case, "gradients": ["x", "layers", "table"]})
    found = {n: decode(g).flatten().tolist() for n, g in got["gradients"].items()}
    assert found == {"x.r": [12, 0], "layers[0]": [4], "layers[1][0]": [3], "table.b": [1]}


def test_the_warnings_of_a_misconception_stay_unheard():
    def root(x):
        return np.sqrt(np.maximum(x, 0.0))

    def wrong(x):
        return np.sqrt(x)

    def mine(x):
        with np.errstate(invalid="ignore"):
            return np.sqrt(x)

    x = exercise(root)
    x.check(points=1)(lambda rng: iter([{"x": rng.normal(size=9)}]))
    x.misconception("A square root needs a number of at least 0.")(wrong)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert grade(x, mine, 1)[0].misconceptions == (wrong,)
    assert heard == []
