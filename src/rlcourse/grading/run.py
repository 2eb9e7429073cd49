"""One run over the desk: each file is read once, each exercise judged once."""

import faulthandler
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from . import desk
from .clock import limited
from .exercise import Check, Exercise
from .verdict import Verdict, explain, grade, local
from .window import window
from .worker import Function, named, opened

stderr = 2  # where a rescue says what happened
STUCK = 20.0  # seconds
IMPORT = 5.0  # seconds that a desk file may take to run


@dataclass(frozen=True)
class Graded:
    """What became of an exercise."""

    exercise: Exercise
    function: Function
    verdicts: tuple[Verdict, ...]

    @property
    def points(self) -> int:
        return sum(v.points for v in self.verdicts)

    @property
    def outcome(self) -> str:
        """The worst of the checks."""
        outcomes = {v.outcome for v in self.verdicts}
        return next(o for o in ("wrong", "not written", "right") if o in outcomes)

    @property
    def broken(self) -> bool:
        """Whether the desk file itself does not run."""
        return any(v.got and "import" in v.got for v in self.verdicts)

    def explained(self, verdict: Verdict) -> Verdict:
        """The verdict on the smallest case found that fails."""
        return explain(verdict, local(self.function, 3.0, self.exercise))

    @property
    def first(self) -> Verdict | None:
        """The first check that failed, else the first that is not written."""
        return next((v for v in self.verdicts if v.outcome == self.outcome != "right"), None)

    @property
    def shown(self) -> Verdict | None:
        """What a learner is told first, on the smallest case."""
        return self.explained(self.first) if self.first else None

    def on(self, check: Check) -> Verdict:
        return next(v for v in self.verdicts if v.check is check)


def graded(exercise: Exercise, seed: int) -> Graded:
    """The exercise on the desk as it is now; while the file stays the same, judged only once."""
    file = desk.path(exercise.topic)
    return _graded(exercise, seed, file, desk.read(file) if file.exists() else "")


@lru_cache(maxsize=256)
def _graded(exercise: Exercise, seed: int, file: Path, text: str) -> Graded:
    with _rescue(STUCK + exercise.seconds * len(exercise.checks)):
        function = named(*_opened(file, text), exercise.name)
        return judged(exercise, function, seed)


@contextmanager
def _rescue(seconds: float) -> Iterator[None]:
    """End the program, saying where, if a call of C never returns: no exception can stop it."""
    try:
        faulthandler.dump_traceback_later(seconds, exit=True, file=stderr)
    except (OSError, ValueError):  # a closed or unusual stderr
        yield
        return
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def judged(exercise: Exercise, function: Function, seed: int) -> Graded:
    """A function judged by an exercise."""
    return Graded(exercise, function, tuple(grade(exercise, function, seed)))


@lru_cache(maxsize=64)
def _opened(file: Path, text: str) -> tuple[Mapping[str, Any], BaseException]:
    def late(line: str) -> tuple[dict[str, Any], BaseException]:
        return {}, TimeoutError(f"the file itself is still running after {IMPORT:g} s\n{line}")

    with window():
        return limited(IMPORT, partial(opened, file), late)
