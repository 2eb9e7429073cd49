"""The four words of an exercise: exercise, check, misconception, control.

    q_learning = exercise(td.q_learning_target, nudge="What follows a terminal state?")

    @q_learning.check(points=1)
    def test_q_learning_takes_the_best_action_even_where_all_values_are_negative(rng):
        yield dict(r=rng.normal(size=7), q_next=-rng.random((7, 4)), ...)

    @q_learning.misconception("A target never clips: the values may all be negative.")
    def clips_at_zero(r, q_next, terminated, gamma): ...

    @q_learning.control
    def with_a_loop(r, q_next, terminated, gamma): ...

A check is a generator of cases; the decorator leaves an ordinary pytest test in its place.
"""

import inspect
import os
import secrets
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import chain
from typing import Any

import numpy as np

from . import memory, traffic
from .compare import Gap, gap
from .worker import Data, answer, decode, encode
from .worker import Function as Function

DRAWS = 5  # times that a check draws its cases: one draw leaves the last row to luck
Case = dict[str, Any]
Cases = Callable[[np.random.Generator], Iterator[Case]]
Judge = Callable[..., str | None]
Peak = Callable[..., int]


@cache
def run_seed() -> int:
    """The seed of this run: RLCOURSE_SEED, or a fresh one."""
    given = os.environ.get("RLCOURSE_SEED") or str(secrets.randbelow(10**6))
    if not given.isdecimal():
        raise ValueError(f"RLCOURSE_SEED: expected a whole number of at least 0, got {given!r}")
    return int(given)


@dataclass(eq=False)
class Exercise:
    """One function of rlcourse, set as an exercise. Its points are those of its checks.

    tolerance  relative to max(1, |expected|)
    judge      judge(got, expected, **case) -> what is wrong, or None; where several are right
    nudge      the first rung of the hint ladder
    worked     the case of the last rung; without one, a small case of the first check
    seconds    time limit of one check
    """

    reference: Function
    tolerance: float = 1e-9
    judge: Judge | None = None
    nudge: str = ""
    worked: Case = field(default_factory=dict)
    seconds: float = 2.0
    checks: list["Check"] = field(default_factory=list)
    misconceptions: dict[Function, str] = field(default_factory=dict)
    controls: list[Function] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.reference.__name__

    @property
    def points(self) -> int:
        return sum(c.points for c in self.checks)

    @property
    def topic(self) -> str:
        """room/topic, from the module that sets it."""
        return "/".join(self.checks[0].cases.__module__.split(".")[-2:])

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The classes that a case's records may be of: the reference's, and what they mention."""
        own = vars(sys.modules[self.reference.__module__])
        homes = {v.__module__ for v in own.values() if isinstance(v, type)} & sys.modules.keys()
        near = {k: v for h in sorted(homes) for k, v in vars(sys.modules[h]).items()}
        return {k: v for k, v in {**near, **own}.items() if isinstance(v, type)}

    def check(
        self,
        *,
        points: int,
        gradients: tuple[str, ...] = (),
        peak: Peak | None = None,
        slow: tuple[str, ...] = (),
    ) -> Callable[[Cases], Callable[[], None]]:
        """Turn a generator of cases into a pytest test of the learner's function.

        gradients  tensors whose gradient is compared too
        peak       peak(**case), the bytes that it may hold (memory.py); a named function
        slow       arrays that lie in slow memory, where what is moved counts (traffic.py)
        """

        def decorate(cases: Cases) -> Callable[[], None]:
            if _stands(cases.__globals__, cases.__name__):
                raise NameError(f"{cases.__name__} exists twice: pytest would drop the first")
            check = Check(self, cases, points, gradients, peak, slow)
            self.checks.append(check)

            def test() -> None:
                from .plugin import run

                run(check)

            test.__name__ = test.__qualname__ = cases.__name__
            test.__doc__, test.__module__ = cases.__doc__, cases.__module__
            test.__dict__.update(place_as=cases, check=check)  # pytest shows the check's line
            return test

        return decorate

    def misconception(self, sentence: str) -> Callable[[Function], Function]:
        """Name a wrong solution that real learners write, with the sentence that helps."""

        def decorate(wrong: Function) -> Function:
            self.misconceptions[wrong] = sentence
            return wrong

        return decorate

    def control(self, right: Function) -> Function:
        """Name a right solution written differently."""
        self.controls.append(right)
        return right


def _stands(names: Mapping[str, Any], name: str) -> bool:
    """Whether the name is taken, and not by what an importlib.reload is about to replace."""
    old = names.get(name)
    check = getattr(old, "check", None)
    return old is not None and (check is None or check.exercise in names.values())


@dataclass(frozen=True, eq=False)
class Check:
    """A property of an exercise: a true sentence that either holds for a function or does not."""

    exercise: Exercise
    cases: Cases
    points: int
    gradients: tuple[str, ...] = ()
    peak: Peak | None = None
    slow: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        words = self.cases.__name__.removeprefix("test_").replace("_", " ")
        return inspect.cleandoc(self.cases.__doc__ or words).splitlines()[0]

    @lru_cache(maxsize=4096)  # noqa: B019  (checks live as long as the program)
    def paper(self, seed: int) -> list[tuple[Data, Data]]:
        """The questions of one run with the right answers, in the plain data of the protocol.

        Raises RuntimeError where a kernel of the course itself fails: then nobody can be judged.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.cases.__name__.encode())])
        cases = chain.from_iterable(self.cases(rng) for _ in range(DRAWS))
        paper = [(q, self.expected(q)) for q in map(self.question, cases)]
        for _, right in paper:
            if "kernel" in right:
                why = f"{right['raised']}: {right['message']}"
                raise RuntimeError(f"Triton's interpreter does not work on this machine ({why})")
        return paper

    def question(self, case: Case) -> Data:
        case = inspect.signature(self.exercise.reference).bind(**case).arguments
        return self.about({k: encode(v) for k, v in case.items()})

    def about(self, case: Data) -> Data:
        """The question that a case of plain data asks."""
        question = {"case": case, "gradients": list(self.gradients)}
        if self.slow:
            question["slow"] = list(self.slow)
        if self.peak:
            question["peak"] = self.peak(**decode({"dict": case}, self.exercise.types))
        return question

    def expected(self, question: Data) -> Data:
        plain = {k: x for k, x in question.items() if k != "peak"}
        return answer(self.exercise.reference, plain, self.exercise.types)

    def gap(self, question: Data, got: Data, expected: Data) -> Gap:
        """The distance of an answer from the right ones, and of what it held and moved."""
        found = self._gap(question, got, expected)
        if moved := traffic.excess(got, expected):
            found = Gap(float("inf"), found.text or next(iter(moved.values())))
        size, text = memory.excess(question, got)
        return Gap(max(found.size, size), found.text or text)

    def _gap(self, question: Data, got: Data, expected: Data) -> Gap:
        both = "value" in got and "value" in expected
        if self.exercise.judge and both and not got["changed"]:
            return self._judged(self.exercise.judge, question, got, expected)
        return gap(got, expected, self.exercise.tolerance)

    def _judged(self, judge: Judge, question: Data, got: Data, expected: Data) -> Gap:
        """What a judge says; an answer that it cannot read is wrong."""
        case = decode({"dict": question["case"]}, self.exercise.types)
        try:
            sides = [decode(a["value"], self.exercise.types) for a in (got, expected)]
            fault = judge(*sides, **case)
        except Exception as error:
            plain = gap(got, expected, self.exercise.tolerance)
            fault = plain.text or f"cannot be read: {error}"
        return Gap(float("inf"), fault) if fault else Gap(0)
