"""What `rlcourse COMMAND` does. Each returns an exit status: 0 all right, 1 not yet.

A ValueError is a mistake of the caller (status 2).
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from . import board, course, hints, notebook, record, report, run
from . import desk as desks
from . import watch as watching
from .exercise import Exercise, run_seed
from .source import solution as solved


def desk(given: Namespace) -> int:
    """Lay out the files to write in, or bring them up to date; what you wrote stays."""
    known, said = record.load()
    print(said, end="\n" * bool(said))
    for topic in course.select(given.what):
        exercises = _loaded(topic)
        if exercises:
            said = desks.lay(topic, exercises)
            print(f"{desks.path(topic)}: {said}")
            for x in exercises:
                if record.changed(known, x):
                    print(f"  {x.name} has changed since you were judged: rlcourse check {x.name}")
    return 0


def check(given: Namespace) -> int:
    """Judge what you wrote, and show the first thing that is wrong in each exercise."""
    wanted = course.select(given.what)
    print(f"desk: {desks.root()}   seed: {run_seed()}\n", flush=True)
    return _check(wanted)


def watch(given: Namespace) -> int:
    """Check again whenever you save; end with Ctrl-C."""
    wanted = course.select(given.what)
    files = {desks.path(t): t for t in wanted}
    saved = watching.saved([*files])
    status = _check(wanted)
    print("\nwatching; Ctrl-C ends", flush=True)
    with suppress(KeyboardInterrupt):
        for changed in saved:
            print(f"\n{'─' * 60}\n", flush=True)
            status = _check({t: wanted[t] for t in map(files.__getitem__, changed)})
    return status


def hint(given: Namespace) -> int:
    """The next hint of an exercise: a nudge, then the formula, then a worked case."""
    exercise = course.find(given.exercise)
    ladder, key = hints.ladder(exercise), record.key(exercise)
    if given.rung is not None and not 1 <= given.rung <= len(ladder):
        raise ValueError(f"RUNG: expected 1 to {len(ladder)}, got {given.rung}")
    with record.changing() as kept:
        old = kept.get(key, record.Entry())
        rung = given.rung or min(old.hints + 1, len(ladder))
        kept[key] = replace(old, hints=max(old.hints, rung))
    print(f"hint {rung} of {len(ladder)} for {exercise.name}\n\n{ladder[rung - 1]}\n")
    more = f"rlcourse hint {exercise.name}"
    print(f"next: {more if rung < len(ladder) else f'rlcourse solution {exercise.name} --give-up'}")
    return 0


def solution(given: Namespace) -> int:
    """The course's own solution, once yours is right (or with --give-up)."""
    exercise = course.find(given.exercise)
    with record.changing() as kept:
        right = record.passed(kept, exercise) or run.graded(exercise, run_seed()).outcome == "right"
        if not right and not given.give_up:
            print(f"{exercise.name} is not solved yet: rlcourse hint {exercise.name}")
            print(f"To see it all the same: rlcourse solution {exercise.name} --give-up")
            return 1
        old = kept.get(record.key(exercise), record.Entry())
        seen = old.solution or ("after a pass" if right else "before a pass")
        kept[record.key(exercise)] = replace(old, solution=seen)
    print(solved(exercise))
    return 0


def progress(given: Namespace) -> int:
    """Points for each topic, and what is next."""
    known, said = record.load()
    print(said, end="\n" * bool(said))
    print(notebook.overview(known))
    return 0


def reset(given: Namespace) -> int:
    """Start a topic afresh; what you wrote is kept beside it as .bak."""
    wanted = course.select([given.topic])
    topic = next(iter(wanted))
    if given.topic in course.names(topic):
        raise ValueError(f"reset takes a topic: rlcourse reset {topic.rpartition('/')[2]}")
    if len(wanted) != 1:
        raise ValueError(f"TOPIC: expected one of {', '.join(course.topics())}, got {given.topic}")
    kept = desks.reset(topic)
    print(f"{desks.path(topic)}: fresh" + (f"; yours is kept as {kept.name}" if kept else ""))
    return 0


def _check(wanted: Mapping[str, Sequence[str]]) -> int:
    """Judge, report and record; 0 where all that was asked for is right."""
    rows: list[board.Row] = []
    for topic, names in wanted.items():
        exercises = [x for x in _loaded(topic) if x.name in names]
        rows += _judged(exercises) or [board.missing(topic)]
    print("\n".join(board.lines(rows)), flush=True)
    return 0 if all(r.mark in (report.MARKS["right"], board.MISSING) for r in rows) else 1


def _judged(exercises: Sequence[Exercise]) -> list[board.Row]:
    rows, said = [], False
    for x in exercises:
        graded = run.graded(x, run_seed())
        rows.append(board.judged(graded))
        if graded.outcome == "wrong" and not (graded.broken and said):
            print(f"{report.summary(graded)}\n", flush=True)
            said = graded.broken
        with record.changing() as kept:
            record.earn(kept, x, graded.points)
    if exercises and not desks.path(exercises[0].topic).exists():
        print(f"there is no {desks.path(exercises[0].topic)} yet: rlcourse desk")
    return rows


def _loaded(topic: str) -> list[Exercise]:
    """The exercises of a topic; none, and a word about it, where it cannot be judged."""
    try:
        return course.load(topic)
    except course.Missing as missing:
        print(missing)
        return []
