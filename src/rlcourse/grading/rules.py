"""Rules about answers: right ones have full marks, lazy and wrong ones are caught and named.

Each rule takes an exercise and returns its complaints, so that a test can say "none". Functions are
tried in processes of their own (`forked`); a verdict never depends on how busy the machine is.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from math import inf
from typing import Any, NamedTuple

from .exercise import Check, Exercise
from .forked import allow, run
from .lazy import lazy_answers
from .mutants import mutants
from .verdict import Ask, Reply, across, judge
from .worker import Data, Function, answer

CLEAR = (0.1, 10.0)  # tolerances; between them a verdict would hang on rounding
SLOWER = 3  # times the reference's CPU time that a mutant may need, beside a check's time limit
PATIENCE = 60.0  # seconds of CPU time for what ought to finish
TOGETHER = 5  # jobs that share a process: to start one takes as long as a quick job
FEWEST = 3  # misconceptions of an exercise
SHARE = 0.25  # of an exercise's time limit that a right answer may need


class Mark(NamedTuple):
    """What one check made of one function.

    size   distance from the right answers in tolerances; infinite where there is no answer
    names  the misconceptions it was recognised as
    """

    sentence: str
    right: bool
    size: float
    difference: str
    names: tuple[str, ...]


Place = tuple[int, int]  # the number of a check, and of a question in its paper
Marks = list[Mark] | None  # None: crashed, or never ended


def asked(exercise: Exercise, function: Function, reply: Reply = answer) -> Ask:
    """Ask a function without a time limit: the process around it has one."""
    return lambda question: reply(function, question, exercise.types)


def marks(
    exercise: Exercise,
    function: Function,
    seed: int,
    ask: Ask | None = None,
    theirs: Reply = answer,
) -> list[Mark]:
    """The mark of each check, as a learner with that function and seed would have it."""
    ask = ask or asked(exercise, function)
    verdicts = across([judge(c, ask, seed, theirs) for c in exercise.checks])
    return [
        Mark(
            v.check.sentence,
            v.outcome == "right",
            inf if v.outcome == "not written" else v.size,
            v.difference,
            tuple(m.__name__ for m in v.misconceptions),
        )
        for v in verdicts
    ]


def distances(check: Check, function: Function, seed: int) -> Iterator[float]:
    """How far each answer is from the right one, in tolerances; infinite for the stub's."""
    return (distance(check, function, *trial) for trial in check.paper(seed))


def distance(check: Check, function: Function, question: Data, expected: Data) -> float:
    """How far one answer is from the right one."""
    got = asked(check.exercise, function)(question)
    return inf if "unwritten" in got else check.gap(question, got, expected).size


def warm(exercise: Exercise, seeds: int) -> None:
    """Draw the papers of these seeds once, here, and not in every child."""
    for check in exercise.checks:
        for seed in range(seeds):
            check.paper(seed)


def right_answers_lose(exercise: Exercise, seeds: int = 40) -> list[str]:
    """The reference and the controls have full marks in 200 draws (five for each seed), in time."""
    jobs = [partial(_losses, exercise, seed) for seed in range(seeds)]
    found = run(jobs, PATIENCE, TOGETHER)
    never = ["a right answer crashed, or was still running after a minute"]
    losses = (c for complaints in found for c in (never if complaints is None else complaints))
    return list(dict.fromkeys(losses))


def _losses(exercise: Exercise, seed: int) -> list[str]:
    """What right answers lose with a seed.

    The reference answers anew with seed 0 or without controls; else theirs show that it does not
    draw, since they are compared with its own.
    """
    complaints = []
    for f in (exercise.reference, *exercise.controls):
        start = time.process_time()
        known = _on_paper(exercise, seed) if seed and exercise.controls else ()
        for m in marks(exercise, f, seed, asked(exercise, f, remembering(known))):
            if not m.right:
                complaints.append(f"{f.__name__} fails: {m.sentence} ({m.difference})")
            elif m.size > CLEAR[0]:
                complaints.append(f"{f.__name__} is {m.size:.1g} tolerances off: {m.sentence}")
        if time.process_time() - start > SHARE * exercise.seconds * len(exercise.checks):
            complaints.append(f"{f.__name__} takes more than {SHARE:.0%} of its time limit")
    return complaints


def _on_paper(exercise: Exercise, seed: int) -> Iterator[tuple[Function, Data, Data]]:
    """What the reference has answered already; papers leave out what it held at its peak."""
    for check in exercise.checks:
        if not check.peak:
            yield from ((exercise.reference, *trial) for trial in check.paper(seed))


def nobody_answers_gain(exercise: Exercise, seeds: int = 3) -> list[str]:
    """The stub and the lazy pass no check, with any seed."""
    lazy = lazy_answers(exercise)
    jobs = [partial(_gains, exercise, f, seeds) for f in lazy.values()]
    found = run(jobs, PATIENCE, TOGETHER)
    gains = [*zip(lazy, found, strict=True)]
    crashed = [f"who {what} crashes the judge" for what, gained in gains if gained is None]
    return crashed + [f"who {what} passes: {s}" for what, gained in gains for s in gained or ()]


def _gains(exercise: Exercise, function: Function, seeds: int) -> list[str]:
    return [
        check.sentence
        for check in exercise.checks
        if any(all(d <= 1 for d in distances(check, function, seed)) for seed in range(seeds))
    ]


def tried(exercise: Exercise, seeds: int = 5) -> dict[str, list[Marks]]:
    """Misconception -> its marks for each seed.

    It answers each question once, but with seed 0 twice, as a learner's copy of it would: one that
    draws is not recognised then.
    """
    warm(exercise, seeds)
    wrongs, jobs = [*exercise.misconceptions], []
    for seed in range(seeds):
        once = remembering()
        for wrong in wrongs:
            ask = asked(exercise, wrong, once if seed else answer)
            jobs.append(partial(marks, exercise, wrong, seed, ask, once))
    found = run(jobs, PATIENCE, together=len(wrongs) or 1)
    table: dict[str, list[Marks]] = {}
    for i, wrong in enumerate(wrongs):
        table.setdefault(wrong.__name__, []).extend(found[i :: len(wrongs)])
    return table


def remembering(known: Iterable[tuple[Function, Data, Data]] = ()) -> Reply:
    """`answer`, which asks no function the same question twice, nor what is `known`."""
    kept = {(f, id(question)): (question, its) for f, question, its in known}

    def once(function: Function, question: Data, types: Mapping[str, Any]) -> Data:
        key = function, id(question)
        if key not in kept:
            kept[key] = question, answer(function, question, types)  # held: no id comes again
        return kept[key][1]

    return once


def misconceptions_pass(
    exercise: Exercise, table: dict[str, list[Marks]] | None = None
) -> list[str]:
    """There are three; each fails clearly, and is recognised by its own name and no other."""
    table = tried(exercise) if table is None else table
    few = len(exercise.misconceptions)
    complaints = [f"has {few} misconceptions: at least {FEWEST} are needed"] * (few < FEWEST)
    if len(table) < few:
        complaints.append("two misconceptions have one name")
    for wrong, seeds in table.items():
        for seed, marked in enumerate(seeds):
            complaints += _unclear(wrong, seed, marked)
    return list(dict.fromkeys(complaints))


def _unclear(wrong: str, seed: int, marked: Marks) -> Iterator[str]:
    if marked is None:
        yield f"{wrong} crashed, or was still running after a minute"
    elif all(m.right for m in marked):
        yield f"{wrong} passes with seed {seed}"
    for m in marked or ():
        if CLEAR[0] < m.size < CLEAR[1]:
            yield f"{wrong} is {m.size:.2g} tolerances off: {m.sentence}"
        if not m.right and m.names != (wrong,):
            names = " or ".join(m.names) or "nothing"
            yield f"{wrong} is recognised as {names}: {m.sentence}"


def mutants_survive(
    exercise: Exercise, elsewhere: Collection[str] = (), seeds: int = 3
) -> tuple[int, dict[str, str]]:
    """How many mutants there are, and those that don't clearly fail with every seed, with why.

    Modules of `elsewhere` are not mutated, nor are the other graded functions of the topic.
    """
    warm(exercise, seeds)
    every = list(mutants(exercise.reference, {*graded(exercise), *elsewhere}))
    (costs,) = run([partial(_costs, exercise, seeds)], PATIENCE)
    limits = {place: exercise.seconds + SLOWER * cost for place, cost in (costs or {}).items()}
    jobs = [partial(_survival, exercise, m.function, seeds, limits) for m in every]
    found = run(jobs, exercise.seconds + seeds * SLOWER * sum((costs or {}).values()))
    return len(every), {m.what: how for m, how in zip(every, found, strict=True) if how}


def _costs(exercise: Exercise, seeds: int) -> dict[Place, float]:
    """Seconds of CPU time that the reference needs for each question, at the worst seed."""
    costs: dict[Place, float] = defaultdict(float)
    for seed in range(seeds):
        for place, (check, question, expected) in _places(exercise, seed).items():
            start = time.process_time()
            distance(check, exercise.reference, question, expected)
            costs[place] = max(costs[place], time.process_time() - start)
    return costs


def _places(exercise: Exercise, seed: int) -> dict[Place, tuple[Check, Data, Data]]:
    """(number of the check, number of the question) -> what is asked there, and the answer."""
    return {
        (c, q): (check, *trial)
        for c, check in enumerate(exercise.checks)
        for q, trial in enumerate(check.paper(seed))
    }


def _survival(
    exercise: Exercise, function: Function, seeds: int, limits: Mapping[Place, float]
) -> str:
    """How a mutant comes through the first seed that doesn't kill it; "" where each does.

    It is asked first where it died before. Each question has a clock of its own: a mutant that
    never ends shall be found out soon, and no survivor be taken for one.
    """
    deadly: Place | None = None
    for seed in range(seeds):
        places, widest = _places(exercise, seed), 0.0
        for place in sorted(places, key=lambda p: p != deadly):
            check, *trial = places[place]
            allow(limits.get(place, exercise.seconds))
            widest = max(widest, distance(check, function, *trial))
            if widest >= CLEAR[1]:
                deadly = place
                break
        if widest < CLEAR[1]:
            how = "passes" if widest <= CLEAR[0] else f"is {widest:.2g} tolerances off"
            return f"{how} with seed {seed}"
    return ""


def graded(exercise: Exercise) -> set[Function]:
    """The other functions graded in this topic: their mutants die in exercises of their own."""
    names = [getattr(c.cases, "__globals__", {}) for c in exercise.checks]
    every = {x for values in names for x in values.values() if isinstance(x, Exercise)}
    return {x.reference for x in every} - {exercise.reference}
