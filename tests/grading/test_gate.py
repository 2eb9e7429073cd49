"""The gate itself is graded: each way to weaken a sound exercise is refused by the right rule."""

import json
import sys
import textwrap
import time
from importlib import import_module
from types import FunctionType
from typing import NamedTuple

import numpy as np
import pytest

from rlcourse.grading import exercise, fingerprint, gate, rules
from rlcourse.grading.cases import constant, gradients_unwatched, noisy, not_plain_data, square
from rlcourse.grading.lazy import lazy_answers

NONE = gate.Reviewed({}, {}, {})


def _mask(terminated, x):
    return np.where(terminated, 0.0, x)


def target(r, v_next, terminated, gamma):
    """r + γ v(s')."""
    if gamma > 1:
        raise ValueError("gamma must not exceed 1")
    return r + gamma * _mask(terminated, v_next)


def past_the_end(r, v_next, terminated, gamma):
    return target(r, v_next, False, gamma)


def forgets_gamma(r, v_next, terminated, gamma):
    return target(r, v_next, terminated, gamma / gamma)


def turns_the_mask(r, v_next, terminated, gamma):
    return target(r, v_next, ~terminated, gamma)


def believes_any_gamma(r, v_next, terminated, gamma):
    return r + gamma * _mask(terminated, v_next)


def by_multiplication(r, v_next, terminated, gamma):
    if not gamma <= 1:
        raise ValueError("too large")
    return r + gamma * (1 - terminated) * v_next


def row(rng, b=7, end=3, size=1.0, **others):
    """B learners, `end` of whom have just reached the end."""
    case = {"r": size * rng.normal(size=b), "v_next": size * rng.normal(size=b)}
    ended = rng.permutation(np.arange(b) < end)
    return case | {"terminated": ended, "gamma": rng.uniform(0.3, 0.9)} | others


def rows(rng):
    yield row(rng)
    yield row(rng, b=4, end=1, gamma=1.0)


def refusals(rng):
    yield row(rng)
    yield row(rng, b=5, gamma=1.0001)


def build(*draws, wrong=None, controls=(by_multiplication,), reference=target, **options):
    """An exercise with a check for each generator of cases."""
    x = exercise(reference, **options)
    for points, draw in enumerate(draws or (rows, refusals), 1):
        x.check(points=points)(named(draw))
    sound = [past_the_end, forgets_gamma, turns_the_mask, believes_any_gamma]
    for f in sound if wrong is None else wrong:
        x.misconception(f"{f.__name__}!")(f)
    for f in controls:
        x.control(f)
    return x


def named(draw):
    """The same generator under a name that this module has not: no check may exist twice."""
    return FunctionType(
        draw.__code__, draw.__globals__, f"test_{draw.__name__}", None, draw.__closure__
    )


def one(draw):
    """A check of a single case."""

    def a_case(rng):
        yield draw(rng)

    return a_case


@pytest.fixture(scope="module")
def weak():
    """The report on an exercise that never asks for the refusal."""
    return gate.report(build(rows))


def rules_broken(x):
    return set(gate.findings(gate.report(x), NONE))


def test_a_sound_exercise_passes_every_rule():
    assert gate.findings(gate.report(build()), NONE) == {}


# ------------------------------------------------------------------------------ plain data


def test_a_case_that_holds_a_function_is_refused():
    x = build(one(lambda rng: row(rng, r=np.sin)), rows)
    assert any("ufunc" in c for c in not_plain_data(x))
    assert rules_broken(x) == {"plain data"}


def test_a_check_without_cases_is_refused():
    def nothing(rng):
        yield from ()

    assert not_plain_data(build(nothing, rows)) == [
        "nothing: has no case, so that any answer passes"
    ]


def test_numbers_that_are_not_finite_make_the_journey():
    x = build(one(lambda rng: row(rng, gamma=np.nan) | {"r": np.full(7, -np.inf)}))
    assert not_plain_data(x) == []


# ------------------------------------------------------------------------------ lazy answers


def broken(x, rule):
    return gate.report(x).complaints[rule]


def test_the_lazy_are_tried_with_every_argument_and_every_field():
    class Pair(NamedTuple):
        m: np.ndarray
        l: np.ndarray

    def total(x, y):
        return x.m + y

    x = build(
        one(lambda rng: {"x": Pair(rng.normal(size=3), rng.normal(size=3)), "y": 1.0}),
        reference=total,
        wrong=(),
        controls=(),
    )
    assert {"returns x", "returns x.m", "returns x.l", "returns y"} <= set(lazy_answers(x))


def test_a_check_of_terminal_states_alone_pays_for_handing_back_an_argument():
    x = build(one(lambda rng: row(rng, end=7)))
    assert "who returns r passes: a case" in rules.nobody_answers_gain(x)


def test_a_check_whose_answers_are_all_zero_or_one_pays_for_zeros_and_ones():
    x = build(one(lambda rng: row(rng, size=0.0)), one(lambda rng: row(rng, r=np.ones(7), end=7)))
    gains = rules.nobody_answers_gain(x)
    assert {
        "who returns 0 everywhere passes: a case",
        "who returns 1 everywhere passes: a case",
    } <= {*gains}


def test_a_check_of_empty_cases_pays_for_zeros():
    x = build(one(lambda rng: row(rng, b=0, end=0)))
    assert "who returns 0 everywhere passes: a case" in rules.nobody_answers_gain(x)


def test_a_check_of_refusals_alone_pays_for_raising_always():
    x = build(one(lambda rng: row(rng, gamma=1.5)))
    assert rules.nobody_answers_gain(x) == ["who raises ValueError passes: a case"]


def test_a_check_that_asks_for_one_answer_pays_for_that_constant():
    def fixed(rng):
        yield row(np.random.default_rng(0))

    (gain,) = rules.nobody_answers_gain(build(fixed))
    assert gain.startswith("who returns one answer always")


def test_a_judge_that_accepts_everything_pays_for_none():
    x = build(judge=lambda got, expected, **case: None)
    assert "who returns None passes: rows" in rules.nobody_answers_gain(x)
    assert "past_the_end passes with seed 0" in rules.misconceptions_pass(x)


# ------------------------------------------------------------------------------ right answers


def test_a_wrong_control_is_refused():
    x = build(controls=(past_the_end,))
    assert any(c.startswith("past_the_end fails: rows") for c in rules.right_answers_lose(x, 1))


def test_a_control_that_is_wrong_in_few_draws_is_refused():
    def sometimes(r, v_next, terminated, gamma):
        return target(r, v_next, terminated, gamma) + (r.max() > 3)

    assert rules.right_answers_lose(build(controls=(sometimes,)), 1) == []
    assert rules.right_answers_lose(build(controls=(sometimes,)))


def test_a_control_that_comes_near_the_tolerance_is_refused():
    def nearly(r, v_next, terminated, gamma):
        return target(r, v_next, terminated, gamma) + 5e-10

    assert any(
        "0.5 tolerances off" in c for c in rules.right_answers_lose(build(controls=(nearly,)), 1)
    )


def test_a_control_that_changes_its_input_is_refused():
    def in_place(r, v_next, terminated, gamma):
        r += target(0 * r, v_next, terminated, gamma)
        return r

    assert any("in place" in c for c in rules.right_answers_lose(build(controls=(in_place,)), 1))


def test_a_reference_that_draws_is_refused():
    def drawing(r, v_next, terminated, gamma):
        return r + np.random.default_rng().normal()

    assert rules.right_answers_lose(build(reference=drawing, controls=()), 1)
    copy = FunctionType(drawing.__code__, drawing.__globals__)
    assert len(rules.right_answers_lose(build(rows, reference=drawing, controls=(copy,)), 2)) > 2


def test_a_right_answer_that_needs_most_of_the_time_limit_is_refused():
    slow = build(seconds=1e-4, controls=())
    assert rules.right_answers_lose(slow, 1) == ["target takes more than 25% of its time limit"]


def test_a_right_answer_that_never_ends_is_refused(monkeypatch):
    def hangs(r, v_next, terminated, gamma):
        while True:
            pass

    monkeypatch.setattr(rules, "PATIENCE", 0.3)
    assert rules.right_answers_lose(build(controls=(hangs,)), 1) == [
        "a right answer crashed, or was still running after a minute"
    ]


# ------------------------------------------------------------------------------ misconceptions


def test_two_misconceptions_are_too_few():
    x = build(wrong=(past_the_end, forgets_gamma))
    assert rules.misconceptions_pass(x) == ["has 2 misconceptions: at least 3 are needed"]


def test_a_check_without_terminal_states_misses_the_misconception():
    x = build(one(lambda rng: row(rng, end=0)))
    assert "past_the_end passes with seed 0" in rules.misconceptions_pass(x)


def test_two_misconceptions_that_answer_alike_are_refused():
    def the_same_again(r, v_next, terminated, gamma):
        return past_the_end(r, v_next, terminated, gamma)

    x = build(wrong=(past_the_end, forgets_gamma, the_same_again))
    assert "past_the_end is recognised as nothing: rows" in rules.misconceptions_pass(x)


def test_misconceptions_that_any_failing_check_tells_apart_are_recognised():
    def believes_gamma_one(r, v_next, terminated, gamma):
        return target(r, v_next, terminated, 1.0 if gamma > 1 else gamma)

    alike = (past_the_end, forgets_gamma, believes_any_gamma, believes_gamma_one)
    together = build(rows, refusals, wrong=alike)
    assert rules.misconceptions_pass(together) == []

    def outside(r, v_next, terminated, gamma):
        return past_the_end(r, v_next, terminated, min(gamma, 1))

    x = build(rows, refusals, wrong=(past_the_end, outside, forgets_gamma))
    assert rules.misconceptions_pass(x) == []  # alike in `rows`, apart in `refusals`
    x = build(rows, wrong=(past_the_end, outside, forgets_gamma))
    assert "outside is recognised as nothing: rows" in rules.misconceptions_pass(x)


def test_a_misconception_that_draws_is_not_recognised():
    def drawing(r, v_next, terminated, gamma):
        return r + np.random.default_rng().normal()

    x = build(wrong=(past_the_end, forgets_gamma, drawing))
    assert "drawing is recognised as nothing: rows" in rules.misconceptions_pass(x)


def test_a_misconception_that_never_ends_says_so_and_hides_no_other(monkeypatch):
    def hangs(r, v_next, terminated, gamma):
        while True:
            pass

    monkeypatch.setattr(rules, "PATIENCE", 0.5)
    x = build(rows, wrong=(hangs, believes_any_gamma))
    assert rules.misconceptions_pass(x, rules.tried(x, 2))[1:] == [
        "hangs crashed, or was still running after a minute",
        *(f"believes_any_gamma passes with seed {seed}" for seed in range(2)),
    ]


def test_two_misconceptions_of_one_name_are_refused():
    def other(r, v_next, terminated, gamma):
        return target(r, -v_next, terminated, gamma)

    other.__name__ = "past_the_end"
    x = build(wrong=(past_the_end, forgets_gamma, other))
    assert "two misconceptions have one name" in rules.misconceptions_pass(x)


def test_a_misconception_that_fails_by_a_hair_is_refused():
    def nearly(r, v_next, terminated, gamma):
        return target(r, v_next, terminated, gamma) + 3e-9

    x = build(wrong=(past_the_end, forgets_gamma, nearly))
    assert any(c.startswith("nearly is 3 tolerances off") for c in rules.misconceptions_pass(x))


def test_a_tolerance_wider_than_the_signal_is_refused():
    x = build(one(lambda rng: row(rng, size=1e-3)), tolerance=1e-2)
    assert rules.misconceptions_pass(x)
    assert rules.nobody_answers_gain(x)
    assert rules.mutants_survive(x)[1]


# ------------------------------------------------------------------------------ mutants


def test_a_check_without_terminal_states_lets_mutants_of_the_helper_live():
    number, survivors = rules.mutants_survive(build(one(lambda rng: row(rng, end=0))))
    assert number > 20
    assert "_mask: np.where(terminated, 0.0, x)  ->  x" in survivors


def test_a_check_without_refusals_lets_mutants_of_the_refusal_live():
    survivors = rules.mutants_survive(build(rows))[1]
    assert survivors["target: if gamma > 1:  ->  if False:"] == "passes with seed 0"


def test_a_mutant_that_only_some_seeds_kill_survives():
    def rarely(rng):
        yield row(rng, end=int(rng.random() > 0.7))

    survivors = rules.mutants_survive(build(rarely))[1]
    caught = {s.rpartition(" ")[2] for s in survivors.values()}
    assert caught - {"0"}, "every survivor lives with seed 0: the draw tells nothing"


def test_a_mutant_that_fails_by_a_hair_survives():
    def corrected(r, v_next, terminated, gamma):
        return r + gamma * _mask(terminated, v_next) + 3e-9

    survivors = rules.mutants_survive(build(rows, reference=corrected))[1]
    assert any("3 tolerances off" in how for how in survivors.values())


def test_a_mutant_that_never_ends_is_killed():
    def counting(r, v_next, terminated, gamma):
        n = 0
        while n < 3:
            n += 1
        return n * target(r, v_next, terminated, gamma)

    survivors = rules.mutants_survive(build(rows, reference=counting, seconds=0.3))[1]
    assert not [m for m in survivors if "n += 1" in m]


def test_a_mutant_as_slow_as_its_reference_is_not_taken_for_one_that_never_ends():
    def slow(r, v_next, terminated, gamma):
        start = time.process_time()
        while time.process_time() - start < 0.01:
            pass
        return target(r, v_next, terminated, gamma)

    survivors = rules.mutants_survive(build(one(row), reference=slow, seconds=0.005), seeds=2)[1]
    assert "target: if gamma > 1:  ->  if False:" in survivors


def test_functions_graded_in_the_same_topic_are_left_to_their_own_exercise():
    names = {"other": build(reference=_mask, wrong=(), controls=())}

    def topic(rng):
        yield from rows(rng)

    local_topic = FunctionType(topic.__code__, globals() | names, "topic")
    assert rules.graded(build(local_topic)) == {_mask}
    _, survivors = rules.mutants_survive(build(local_topic))
    assert not [m for m in survivors if m.startswith("_mask")]


# ------------------------------------------------------------------------------ rounding


def test_a_tolerance_below_the_noise_is_refused():
    assert any("rows: rounding alone" in c for c in noisy(build(tolerance=1e-16)))


def test_cancellation_that_eats_the_digits_is_refused():
    def cancels(r, v_next, terminated, gamma):
        return (r + 1e9) - 1e9 + v_next * gamma

    assert noisy(build(rows, reference=cancels))
    assert noisy(build(rows)) == []


def test_an_answer_whose_noise_cannot_be_measured_needs_a_control():
    def counts(r, v_next, terminated, gamma):
        return int(np.floor(1e10 * r[0]))

    def never_ends_in_single_precision(r, v_next, terminated, gamma):
        if r.dtype == np.float32:
            raise ArithmeticError
        return r

    accepts = {"judge": lambda got, expected, **case: None}
    for options in ({"reference": counts}, {"reference": never_ends_in_single_precision}, accepts):
        assert noisy(build(rows, controls=(), **options)) == [
            "rounding can't be measured in the other precision: add a control"
        ]
        assert noisy(build(rows, controls=(by_multiplication,), **options)) == []


# ------------------------------------------------------------------------------ what varies


def test_a_square_array_is_refused_but_not_one_of_ones():
    x = build(one(lambda rng: row(rng, r=rng.normal(size=(7, 7)))))
    assert square(x) == ["r has two axes of one size"]
    assert square(build(one(lambda rng: row(rng, b=1, r=np.ones((1, 1)))))) == []


def test_a_number_that_never_changes_is_refused():
    x = build(one(lambda rng: row(rng, gamma=0.9)), one(lambda rng: row(rng, b=4, gamma=0.9)))
    assert constant(x) == ["gamma is always 0.9"]


def test_an_axis_of_one_size_is_refused():
    x = build(one(row))
    assert set(constant(x)) == {
        f"axis -1 of {name} is always 7 long" for name in ("r", "v_next", "terminated")
    }


def test_a_mask_that_is_never_set_is_refused():
    x = build(one(lambda rng: row(rng, end=0)), one(lambda rng: row(rng, b=3, end=0)))
    assert constant(x) == ["every element of terminated is False"]


def test_fields_of_records_and_items_of_lists_must_vary_too():
    class Model(NamedTuple):
        p: np.ndarray
        n: int
        ends: list[int]

    def size(model):
        return model.p.sum() + model.n

    def models(rng):
        for s in (3, 4):
            yield {"model": Model(rng.normal(size=(s, 2)), 7, [1, 1])}

    x = build(models, reference=size, wrong=(), controls=())
    assert constant(x) == [
        "axis -1 of model.p is always 2 long",
        "model.n is always 7",
        "model.ends[] is always 1",
    ]


def test_a_gradient_that_nobody_watches_is_refused():
    torch = pytest.importorskip("torch")

    class Pair(NamedTuple):
        m: torch.Tensor
        l: torch.Tensor

    def product(x, y, pair):
        return (x * y).sum() + (pair.m * pair.l).sum()

    def tensors(rng):
        x, y, m, l = torch.from_numpy(rng.normal(size=(4, int(rng.integers(3, 9)))))
        yield {"x": x, "y": y, "pair": Pair(m, l)}

    def watched(*names):
        x = build(reference=product, wrong=(), controls=())
        x.checks.clear()
        x.check(points=1, gradients=names)(tensors)
        return x

    assert gradients_unwatched(watched("x", "y", "pair")) == []
    assert gradients_unwatched(watched("x", "pair")) == ["nobody watches the gradient of y"]
    assert gradients_unwatched(watched("x", "y")) == [
        "nobody watches the gradient of pair.l",
        "nobody watches the gradient of pair.m",
    ]
    assert gradients_unwatched(watched()) == []
    assert gate.report(watched("x", "y", "pair")).survivors == {}


def test_a_gradient_of_whole_numbers_is_refused():
    torch = pytest.importorskip("torch")

    def chosen(q, a):
        return q.gather(-1, a[:, None])[:, 0]

    def tensors(rng):
        n, k = rng.integers(3, 9, size=2)
        a = torch.from_numpy(rng.integers(k, size=n))
        yield {"q": torch.from_numpy(rng.normal(size=(n, k))), "a": a}

    x = build(reference=chosen, wrong=(), controls=())
    x.checks.clear()
    x.check(points=1, gradients=("q", "a"))(tensors)
    assert gradients_unwatched(x) == ["a holds no float tensor: it has no gradient"]


# ------------------------------------------------------------------------------ reviews


def reviews(found, equivalent=(), exempt=()):
    name = found.exercise
    return gate.Reviewed(
        {name: dict.fromkeys(equivalent, "why")}, {name: dict.fromkeys(exempt, "why")}, {}
    )


def test_a_reviewed_mutant_passes_and_a_review_without_its_mutant_is_refused(weak):
    assert "mutants" in gate.findings(weak, NONE)
    assert "mutants" not in gate.findings(weak, reviews(weak, weak.survivors))
    stale = gate.findings(weak, reviews(weak, [*weak.survivors, "x  ->  y"]))
    assert stale["reviewed"] == ["x  ->  y"]


def test_a_square_or_fixed_input_may_be_exempt_and_nothing_else(weak):
    found = weak._replace(
        survivors={}, complaints={"square": ["p is square"], "lazy answers": ["who sleeps passes"]}
    )
    known = reviews(weak, exempt=["p is square", "who sleeps passes", "gone"])
    assert gate.findings(found, known) == {
        "lazy answers": ["who sleeps passes"],
        "reviewed": ["who sleeps passes", "gone"],
    }


def test_the_author_reads_the_rule_its_advice_and_the_complaint(weak):
    text = gate.text(weak, NONE)
    assert "target: 1 points, 1 checks, 4 misconceptions, 1 controls" in text
    assert f"  mutants: {gate.ADVICE['mutants']}" in text
    assert "    - target: if gamma > 1:  ->  if False:  passes with seed 0" in text


def test_every_rule_has_its_advice(weak):
    rules_named = {*weak.complaints, "plain data", "mutants", "reviewed"}
    assert rules_named == set(gate.ADVICE)


# ------------------------------------------------------------------------------ kept reports


@pytest.fixture
def topic(tmp_path, monkeypatch):
    """Write a topic with one exercise to a file, and import it afresh."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(signed="x + y", stop=2):
        text = f"""
            from rlcourse.grading import exercise

            def total(x, y):
                return {signed}

            task = exercise(total)

            @task.check(points=1)
            def test_numbers_add_up(rng):
                for _ in range({stop}):
                    yield dict(x=rng.normal(), y=rng.normal())
        """
        (tmp_path / "sums.py").write_text(textwrap.dedent(text), "utf-8")
        sys.modules.pop("sums", None)
        return import_module("sums").task

    yield write
    sys.modules.pop("sums", None)


def test_a_report_is_kept_until_anything_it_depends_on_changes(tmp_path, topic, monkeypatch):
    kept = tmp_path / "kept"
    first = gate.cached(topic(), folder=kept)
    asked = []
    monkeypatch.setattr(gate, "report", lambda x, elsewhere: asked.append(x) or first)
    assert gate.cached(topic(), folder=kept) == first
    assert asked == []
    for change in ({"stop": 3}, {"signed": "y + x"}):
        asked.clear()
        gate.cached(changed := topic(**change), folder=kept)
        assert asked == [changed]
        assert len([*kept.iterdir()]) == 1
    gate.cached(changed, ["rlcourse._check"], folder=kept)
    assert len(asked) == 2


def test_a_damaged_report_is_made_anew(tmp_path, topic):
    kept = tmp_path / "kept"
    first = gate.cached(topic(), folder=kept)
    (path,) = kept.iterdir()
    for damage in ("", "{", json.dumps({"exercise": "x"})):
        path.write_text(damage, "utf-8")
        assert gate.cached(topic(), folder=kept) == first


def test_a_report_depends_on_helpers_in_other_modules_and_on_the_engine():
    package = fingerprint.PACKAGE
    found = fingerprint.sources([package / "exercises" / "tabular" / "gridworld.py"])
    names = {str(f.relative_to(package)) for f in found}
    assert {"tabular/mdp.py", "_check.py", "grading/compare.py"} <= {
        n.replace("\\", "/") for n in names
    }


# ------------------------------------------------------------------------------ the command


def test_the_command_names_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit) as end:
        gate.main(["no_such_topic"])
    assert end.value.code == 2
    assert "no_such_topic" in capsys.readouterr().err


@pytest.mark.parametrize(("draws", "status"), [((rows, refusals), 0), ((rows,), 1)])
def test_the_command_ends_with_one_where_an_exercise_fails(
    draws, status, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gate, "exercises", lambda words: [build(*draws)])
    assert gate.main([]) == status
    assert "mutants killed" in capsys.readouterr().out
