"""The scoreboard: one line for each exercise, under its topic."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from . import course
from . import record as records
from .exercise import Exercise
from .report import MARKS, note
from .run import Graded

MISSING = "–"  # the mark of what cannot be judged on this machine


class Row(NamedTuple):
    """One exercise: a mark, points, and what is missing."""

    topic: str
    exercise: str
    points: int
    of: int
    mark: str
    note: str = ""

    @property
    def bar(self) -> str:
        return "█" * self.points + "░" * (self.of - self.points)


def judged(graded: Graded) -> Row:
    """The row of what was judged just now."""
    x = graded.exercise
    mark = MARKS[graded.outcome]
    return Row(x.topic, x.name, graded.points, x.points, mark, note(graded))


def recorded(record: Mapping[str, records.Entry], exercise: Exercise) -> Row:
    """The row of what the record says: the best so far, whatever the desk holds now."""
    old = record.get(records.key(exercise), records.Entry())
    said = ["changed since: check it again"] if records.changed(record, exercise) else []
    said += [f"solution seen {old.solution}"] if old.solution else []
    points = min(old.points, exercise.points)
    mark = "✓" if records.passed(record, exercise) else "…"  # it may be unwritten again
    return Row(exercise.topic, exercise.name, points, exercise.points, mark, "; ".join(said))


def missing(topic: str) -> Row:
    """The row of a topic that cannot be judged on this machine: no points, neither possible."""
    return Row(topic, ", ".join(course.names(topic)), 0, 0, MISSING, course.needs(topic))


def lines(rows: Iterable[Row]) -> list[str]:
    """The board as text, with its sum."""
    rows = list(rows)
    width = max((len(r.exercise) for r in rows), default=0)
    said = []
    for topic, group in groupby(rows, key=lambda r: r.topic):
        said.append(topic)
        for r in group:
            points = f"{r.points}/{r.of}" if r.of else ""
            said.append(f"  {r.exercise:{width}}  {r.bar:8} {points:5}{r.mark} {r.note}".rstrip())
    return [*said, total(rows)]


def total(rows: Iterable[Row]) -> str:
    rows = list(rows)
    return f"{sum(r.points for r in rows)} of {sum(r.of for r in rows)} points"
