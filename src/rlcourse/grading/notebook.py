"""check(f) and progress(): the same checks in a notebook, for a function defined in a cell.

What is earned is kept while the kernel lives. Where there is a desk it is written to its record
too, but for runs whose seed is given (RLCOURSE_SEED): those are replays, the book's build among
them, and must neither read nor change what a learner has earned.
"""

import os
from dataclasses import dataclass

from . import board, course, desk, hints, html, record, report
from .exercise import Case, Exercise, run_seed
from .plain import decode
from .run import Graded, judged
from .worker import Function

BEST = "Best so far, whatever your files hold now"
_earned: record.Record = {}


@dataclass(frozen=True)
class Result:
    """The verdicts on one function: text in a terminal, HTML in a notebook."""

    graded: Graded

    @property
    def points(self) -> int:
        return self.graded.points

    def __repr__(self) -> str:
        return report.summary(self.graded)

    def _repr_html_(self) -> str:
        return html.result(self.graded, hints.ladder(self.graded.exercise))


@dataclass(frozen=True)
class NotHere:
    """An exercise that cannot be judged on this machine, and why: it counts for nothing."""

    name: str
    needs: str

    @property
    def points(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"{board.MISSING} {self.name}: {self.needs}; its points do not count here"

    def _repr_html_(self) -> str:
        return html.boxed(repr(self))


def check(
    function: Function, exercise: Exercise | None = None, seed: int | None = None
) -> Result | NotHere:
    """Judge a function by the exercise of its name.

    Raises ValueError where no exercise has its name, TypeError where it is no function.
    """
    if not callable(function):
        raise TypeError(f"function: expected the function itself, got {type(function).__name__}")
    name = getattr(function, "__name__", type(function).__name__)
    try:
        exercise = exercise or course.find(name)
    except course.Missing as missing:
        return NotHere(name, missing.needs)
    graded = judged(exercise, function, run_seed() if seed is None else seed)
    record.earn(_earned, exercise, graded.points)
    if _kept():
        with record.changing() as kept:
            record.earn(kept, exercise, graded.points)
    return Result(graded)


def case(name: str, check: int, draw: int, *, seed: int) -> Case:
    """The arguments that a check of an exercise drew, to repeat a failure too long to print."""
    exercise = course.find(name)
    question, _ = exercise.checks[check].paper(seed)[draw]
    return {k: decode(x, exercise.types) for k, x in question["case"].items()}


@dataclass(frozen=True)
class Progress:
    """What was earned so far: text in a terminal, a table and a download in a notebook."""

    rows: tuple[board.Row, ...]
    next: str
    data: str

    def __repr__(self) -> str:
        return "\n".join([f"{BEST}:", *board.lines(self.rows), self.next])

    def _repr_html_(self) -> str:
        return html.progress(self.rows, self.next, self.data)


def progress() -> Progress:
    """Points of every exercise, what is next, and the record to download.

    A record that was downloaded counts again as `.progress.json` on a desk (exercises/).
    """
    return overview(record.load()[0] if _kept() else _earned)


def overview(known: record.Record) -> Progress:
    """The record as a board. Topics not begun are not imported: some take a second or two."""
    begun = {k.rpartition("/")[0] for k in known}
    rows: list[board.Row] = []
    for topic in course.topics():
        rows += _begun(topic, known) if topic in begun else [_untouched(topic)]
    first = next((r for r in rows if r.mark not in (report.MARKS["right"], board.MISSING)), None)
    says = f"Next: {first.exercise} ({first.topic})" if first else "All done."
    return Progress(tuple(rows), says, record.dumps(known))


def _begun(topic: str, known: record.Record) -> list[board.Row]:
    try:
        return [board.recorded(known, x) for x in course.load(topic)]
    except course.Missing:
        return [board.missing(topic)]


def _untouched(topic: str) -> board.Row:
    if course.needs(topic):
        return board.missing(topic)
    return board.Row(topic, course.names(topic)[0], 0, 0, "…", "not begun")


def _kept() -> bool:
    return "RLCOURSE_SEED" not in os.environ and desk.root().is_dir()
