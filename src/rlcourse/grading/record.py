"""What was earned, kept as JSON beside the desk: exercises/.progress.json.

Points belong to a version of an exercise. Within a version they never fall, so that a learner may
go on experimenting; when the exercise changes they count until it is checked again.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path

from . import desk
from .exercise import Exercise
from .source import version

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What is known of one exercise; `solution` is "" until it was looked at."""

    points: int = 0
    of: int = 0
    version: str = ""
    date: str = ""
    hints: int = 0
    solution: str = ""


Record = dict[str, Entry]  # by room/topic/exercise


def file() -> Path:
    return desk.root() / ".progress.json"


def key(exercise: Exercise) -> str:
    return f"{exercise.topic}/{exercise.name}"


def load() -> tuple[Record, str]:
    """The record, and what to tell the learner where it could not be read ("" if it could).

    A file that is no record, or of another format, is set aside and never overwritten.
    """
    if not file().exists():
        return {}, ""
    try:
        return loads(file().read_text("utf-8")), ""
    except (ValueError, TypeError, KeyError, AttributeError):
        kept = desk.set_aside(file())
        return {}, f"{file().name} could not be read: kept as {kept.name}, a new one is begun"


def loads(text: str) -> Record:
    """The record in a text; raises ValueError, TypeError, KeyError or AttributeError for none."""
    data = json.loads(text)
    if data["format"] != FORMAT:
        raise ValueError(f"format: expected {FORMAT}, got {data['format']!r}")
    record = {str(k): Entry(**e) for k, e in data["exercises"].items()}
    for e in record.values():
        for f in fields(Entry):
            if type(getattr(e, f.name)) is not f.type:
                raise TypeError(f"{f.name}: expected {f.type}, got {getattr(e, f.name)!r}")
    return record


def dumps(record: Mapping[str, Entry]) -> str:
    exercises = {k: asdict(record[k]) for k in sorted(record)}
    return json.dumps({"format": FORMAT, "exercises": exercises}, indent=1) + "\n"


@contextmanager
def changing(say: Callable[[str], object] = print) -> Iterator[Record]:
    """The record, saved at the end where there is a desk; the file is never seen half written."""
    record, trouble = load()
    if trouble:
        say(trouble)
    before = dict(record)
    yield record
    if record != before and desk.root().is_dir():
        desk.write(new := file().with_name(f".progress.{os.getpid()}.tmp"), dumps(record))
        try:
            new.replace(file())
        finally:
            with suppress(FileNotFoundError):
                new.unlink()


def earn(record: Record, exercise: Exercise, points: int) -> None:
    """Note what an exercise brought, if it is more than before or the exercise is another."""
    old, now = record.get(key(exercise), Entry()), version(exercise)
    if old.version != now or points > old.points:
        new = replace(old, points=points, of=exercise.points, version=now)
        record[key(exercise)] = replace(new, date=date.today().isoformat())


def changed(record: Mapping[str, Entry], exercise: Exercise) -> bool:
    """Whether the exercise is another than the one that was recorded."""
    old = record.get(key(exercise), Entry())
    return bool(old.version) and old.version != version(exercise)


def passed(record: Mapping[str, Entry], exercise: Exercise) -> bool:
    """Whether full marks were recorded for the exercise as it is."""
    old = record.get(key(exercise), Entry())
    return old.points == exercise.points and not changed(record, exercise)
