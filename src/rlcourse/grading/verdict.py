"""Judging: does the property hold, if not on which smallest case, and which misconception is it?

    judge(check, ask, seed)            one check, whatever `ask` stands for
    grade(exercise, function, seed)    all checks of a learner's function, by the rules of the house
    explain(verdict, ask)              the same verdict on the smallest case that fails alike

The judge never calls the learner's function. It asks questions through `ask`, which calls the
function in this process (`local`); a sandbox elsewhere would be another `ask`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from time import monotonic
from typing import Any, Literal

from . import memory, traffic
from .clock import limited
from .compare import gap
from .exercise import Check, Exercise
from .shrink import shapes, shrink
from .window import window
from .worker import Data, Function, answer

Ask = Callable[[Data], Data]
Reply = Callable[[Function, Data, Mapping[str, Any]], Data]
Trial = tuple[Data, Data, Data]  # question, got, expected
HURRY = 0.2  # seconds for each later check of a function that hung once


@dataclass(frozen=True)
class Verdict:
    """What became of one check; the fields of a failure are those of its smallest case."""

    check: Check
    seed: int
    outcome: Literal["right", "wrong", "not written"]
    size: float = 0.0
    question: Data | None = None
    got: Data | None = None
    expected: Data | None = None
    difference: str = ""
    misconceptions: tuple[Function, ...] = ()
    draw: int = 0  # which question of the paper failed

    @property
    def points(self) -> int:
        return self.check.points if self.outcome == "right" else 0


def local(function: Function, seconds: float, exercise: Exercise | None = None) -> Ask:
    """Ask a function of this process; its answers together may take `seconds`.

    Of a learner the exercise is given: then the function may not call the reference under test.
    """
    end = monotonic() + seconds
    types = exercise.types if exercise else None

    def late(line: str) -> Data:
        return hung(seconds, line)

    def ask(question: Data) -> Data:
        work = partial(answer, function, question, types)
        with window(exercise.reference if exercise else None) as seen:
            got = limited(max(end - monotonic(), 0.05), work, late)
        return seen.by(got)

    return ask


def hung(seconds: float, line: str) -> Data:
    """The answer of a function that was stopped at that line."""
    message = f"still running after {seconds:g} s"
    return {"raised": "TimeLimit", "message": message, "where": [line]}


def final(got: Data) -> bool:
    """Whether every other question would be answered alike: stopped, refused, or no file."""
    return got.get("raised") in ("TimeLimit", "OwnFunction") or "import" in got


def judge(check: Check, ask: Ask, seed: int, theirs: Reply = answer) -> Verdict:
    """The verdict on a check, on the smallest failing case as it was drawn.

    `misconceptions` are those that answer as the function does on all cases of this check; `theirs`
    has their answers.
    """
    trials: list[Trial] = []
    for question, expected in check.paper(seed):
        trials.append((question, got := ask(question), expected))
        if "unwritten" in got:
            return Verdict(check, seed, "not written", got=got)
        if final(got):
            break
    gaps = [check.gap(*trial) for trial in trials]
    size = max((g.size for g in gaps), default=0.0)
    if size <= 1:
        return Verdict(check, seed, "right", size)
    known = recognise(check, trials, theirs)
    failed = [i for i, g in enumerate(gaps) if g.size > 1]
    draw = min(failed, key=lambda i: weight(trials[i][0]))
    return Verdict(check, seed, "wrong", size, *trials[draw], gaps[draw].text, known, draw)


def weight(question: Data) -> int:
    """The numbers in the arrays of a case."""
    return sum(prod(shape) for shape in shapes(question["case"]))


def grade(exercise: Exercise, function: Function, seed: int) -> list[Verdict]:
    """The verdicts on a learner's function.

    A misconception is reported when it answers alike on all cases of all the checks that fail,
    and no other does. A function that hung is given less time in the next check.
    """
    verdicts: list[Verdict] = []
    for check in exercise.checks:
        slow = any(v.got and v.got.get("raised") == "TimeLimit" for v in verdicts)
        seconds = min(exercise.seconds, HURRY) if slow else exercise.seconds
        verdicts.append(judge(check, local(function, seconds, exercise), seed))
    return across(verdicts)


def across(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts on one function with the one misconception that explains all failures."""
    wrong = [v for v in verdicts if v.outcome == "wrong"]
    first = wrong[0].misconceptions if wrong else ()
    shared = [m for m in first if all(m in v.misconceptions for v in wrong)]
    only = tuple(shared) if len(shared) == 1 else ()
    return [replace(v, misconceptions=only if v.outcome == "wrong" else ()) for v in verdicts]


def recognise(check: Check, trials: list[Trial], theirs: Reply = answer) -> tuple[Function, ...]:
    """The misconceptions that answer as the learner does in every trial.

    To hang where an error is asked for is to go on, as one does that returns a value there.
    """
    if any(final(got) and not went_on(got, expected) for _, got, expected in trials):
        return ()

    def alike(wrong: Function, question: Data, got: Data, expected: Data) -> bool:
        its = theirs(wrong, question, check.exercise.types)
        if went_on(got, expected):
            return "value" in its
        costs = [
            (memory.excess(question, a)[0] > 1, traffic.excess(a, expected).keys())
            for a in (its, got)
        ]
        return costs[0] == costs[1] and same(its, got, check)

    known = check.exercise.misconceptions
    with warnings.catch_warnings():  # theirs are no business of the learner
        warnings.simplefilter("ignore")
        return tuple(wrong for wrong in known if all(alike(wrong, *trial) for trial in trials))


def went_on(got: Data, expected: Data) -> bool:
    """Whether a function was stopped by the clock where it should have raised an error."""
    return got.get("raised") == "TimeLimit" and "raised" in expected


def same(a: Data, b: Data, check: Check) -> bool:
    """Whether two answers are one and the same mistake."""
    if "value" in a and "value" in b:
        alike = gap({**a, "changed": []}, {**b, "changed": []}, check.exercise.tolerance)
        return bool(a["changed"] == b["changed"]) and alike.size <= 1
    return bool(a.get("raised", 0) == b.get("raised", 1))


def explain(verdict: Verdict, ask: Ask, seconds: float = 3.0) -> Verdict:
    """The same verdict on the smallest case that fails in the same way."""
    check, first = verdict.check, verdict.got or {}
    if verdict.outcome != "wrong" or verdict.question is None or final(first):
        return verdict

    def trial(case: Data, **more: Data) -> Verdict | None:
        question = check.about(case) | more
        expected = check.expected(question)
        if ("raised" in expected) != ("raised" in (verdict.expected or {})):
            return None  # no longer a case of this check: the reference refuses it, or not
        got = ask(question)
        wide = check.gap(question, got, expected)
        known = recognise(check, [(question, got, expected)])
        alike = all(got.get(k) == first.get(k) for k in ("raised", "changed", "unwritten"))
        if wide.size <= 1 or not alike or not {*verdict.misconceptions} <= {*known}:
            return None
        return replace(verdict, question=question, got=got, expected=expected, difference=wide.text)

    case = shrink(verdict.question["case"], lambda c: trial(c) is not None, monotonic() + seconds)
    return trial(case, line=True) or verdict
