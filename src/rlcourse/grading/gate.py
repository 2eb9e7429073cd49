"""The quality gate: what an exercise must do before it may judge anybody.

    python -m rlcourse.grading.gate                      every exercise
    python -m rlcourse.grading.gate tabular.gridworld    those of a topic
    python -m rlcourse.grading.gate discounted_returns   one of them

run in the root of the repository. It prints what is wrong with each exercise and exits with 1 if
anything is. A grader that lets a wrong answer pass is a bug; each rule below refuses one kind.
"""

import argparse
import json
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import cases, course, rules
from .exercise import Exercise
from .fingerprint import fingerprint

CACHE = Path("_build/gate")
REVIEWED = Path("tests/equivalent.py")

ADVICE = {
    "plain data": "cases and answers are numbers, strings, arrays, tensors and tuples of them",
    "right answers": "the reference and every control have full marks in 200 draws, in time",
    "lazy answers": "nobody earns a point without work: mix special rows with ordinary ones",
    "misconceptions": "each fails clearly, and is recognised by its own name and no other",
    "rounding": "raise the tolerance above the noise, or keep the numbers smaller",
    "square": "give every axis a size of its own, or say in tests/equivalent.py why not",
    "constant": "draw it, in two sizes, or say in tests/equivalent.py why it is fixed",
    "gradients": "name it in @exercise.check(gradients=...)",
    "mutants": "a wrong answer passes: add a case that tells them apart, or, if it is no mistake, "
    "a line with the reason to EQUIVALENT in tests/equivalent.py",
    "reviewed": "remove the line from tests/equivalent.py: nothing like it is found any more",
}


class Report(NamedTuple):
    """What the gate found out about an exercise.

    caught      misconception -> for each check whether it catches it
    complaints  rule -> what is wrong
    survivors   mutants that some seed does not kill -> how they come through
    """

    exercise: str
    sentences: list[str]
    points: list[int]
    controls: list[str]
    caught: dict[str, list[bool]]
    complaints: dict[str, list[str]]
    mutants: int
    survivors: dict[str, str]


class Reviewed(NamedTuple):
    """What people looked at and let pass, each with the reason (tests/equivalent.py).

    equivalent  exercise -> mutant -> why it is no mistake
    exempt      exercise -> complaint of "square" or "constant" -> why it stands
    elsewhere   module -> why its functions are not mutated
    """

    equivalent: dict[str, dict[str, str]]
    exempt: dict[str, dict[str, str]]
    elsewhere: dict[str, str]


def reviewed(path: Path = REVIEWED) -> Reviewed:
    """The reviewed lists; none where the file is absent."""
    names = runpy.run_path(str(path)) if path.exists() else {}
    return Reviewed(*(names.get(n.upper(), {}) for n in Reviewed._fields))


def name_of(exercise: Exercise) -> str:
    """room.topic.function."""
    return f"{exercise.topic.replace('/', '.')}.{exercise.name}"


def report(exercise: Exercise, elsewhere: Sequence[str] = ()) -> Report:
    """All rules, applied to an exercise."""
    empty = Report(
        exercise=name_of(exercise),
        sentences=[c.sentence for c in exercise.checks],
        points=[c.points for c in exercise.checks],
        controls=[c.__name__ for c in exercise.controls],
        caught={},
        complaints={},
        mutants=0,
        survivors={},
    )
    if faults := cases.not_plain_data(exercise):  # then nothing else can be tried
        return empty._replace(complaints={"plain data": faults})
    table = rules.tried(exercise)
    number, survivors = rules.mutants_survive(exercise, elsewhere)
    complaints = {
        "right answers": rules.right_answers_lose(exercise),
        "lazy answers": rules.nobody_answers_gain(exercise),
        "misconceptions": rules.misconceptions_pass(exercise, table),
        "rounding": cases.noisy(exercise),
        "square": cases.square(exercise),
        "constant": cases.constant(exercise),
        "gradients": cases.gradients_unwatched(exercise),
    }
    caught = {wrong: [not m.right for m in seeds[0] or ()] for wrong, seeds in table.items()}
    return empty._replace(caught=caught, complaints=complaints, mutants=number, survivors=survivors)


def findings(found: Report, known: Reviewed) -> dict[str, list[str]]:
    """rule -> complaints that nobody has reviewed; and reviews that nothing needs any more."""
    equivalent = known.equivalent.get(found.exercise, {})
    exempt = known.exempt.get(found.exercise, {})
    open_to_review = [*found.complaints.get("square", []), *found.complaints.get("constant", [])]
    result = {
        rule: [c for c in complaints if not (rule in ("square", "constant") and c in exempt)]
        for rule, complaints in found.complaints.items()
    }
    result["mutants"] = [f"{m}  {how}" for m, how in found.survivors.items() if m not in equivalent]
    stale = [m for m in equivalent if m not in found.survivors]
    result["reviewed"] = stale + [c for c in exempt if c not in open_to_review]
    return {rule: complaints for rule, complaints in result.items() if complaints}


def cached(exercise: Exercise, elsewhere: Sequence[str] = (), folder: Path = CACHE) -> Report:
    """The report, kept under the version of all that it depends on (fingerprint.py)."""
    name = name_of(exercise)
    path = folder / f"{name}-{fingerprint(exercise, elsewhere)}.json"
    try:
        return Report(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        pass
    found = report(exercise, elsewhere)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}-*.json"):
        old.unlink(missing_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(found._asdict(), ensure_ascii=False, indent=1), "utf-8")
    draft.replace(path)  # at once: other workers read it
    return found


def of(name: str, root: Path) -> Report:
    """The kept report on room.topic.function, with what the repository at `root` has reviewed."""
    (exercise,) = (x for x in exercises([name.rpartition(".")[0]]) if name_of(x) == name)
    return cached(exercise, [*reviewed(root / REVIEWED).elsewhere], root / CACHE)


def text(found: Report, known: Reviewed) -> str:
    """What the author reads."""
    killed = found.mutants - len(found.survivors)
    lines = [
        f"{found.exercise}: {sum(found.points)} points, {len(found.sentences)} checks, "
        f"{len(found.caught)} misconceptions, {len(found.controls)} controls, "
        f"{killed} of {found.mutants} mutants killed"
    ]
    for rule, complaints in findings(found, known).items():
        lines += ["", f"  {rule}: {ADVICE[rule]}", *(f"    - {c}" for c in complaints)]
    return "\n".join(lines)


def exercises(words: Sequence[str] = ()) -> list[Exercise]:
    """Those of the rooms, topics or names given, or all that can be judged on this machine.

    Raises ValueError for a word that means none.
    """
    chosen = course.select([w.replace(".", "/") for w in words])
    chosen = {t: names for t, names in chosen.items() if words or not course.needs(t)}
    return [x for topic, names in chosen.items() for x in course.load(topic) if x.name in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 where every exercise passes, 1 where one does not."""
    parser = argparse.ArgumentParser(
        prog="python -m rlcourse.grading.gate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help="rooms, topics or exercises")
    try:
        chosen = exercises(parser.parse_args(arguments).words)
    except ValueError as error:
        parser.error(str(error))
    known, failed = reviewed(), False
    for exercise in chosen:
        found = cached(exercise, [*known.elsewhere])
        failed |= bool(findings(found, known))
        print(text(found, known), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
