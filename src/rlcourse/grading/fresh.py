"""Fresh wrong answers: written by someone who has not read the checks, tried before an exercise
counts as done, and recorded as they came out the first time.

    python -m rlcourse.grading.fresh discounted_returns wrong.py

judges every function of wrong.py (whatever it is called) as an answer to that exercise. The counts
go into src/rlcourse/results/fresh_wrong_answers.json; the answers that passed become misconceptions
with a check that catches them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import TypedDict

import rlcourse

from . import course, rules
from .exercise import Exercise
from .forked import run
from .worker import Function, opened

RECORD = Path(rlcourse.__file__).parent / "results" / "fresh_wrong_answers.json"


class Fresh(TypedDict):
    """How many fresh wrong answers were tried on an exercise, and caught the first time."""

    tried: int
    caught: int


def recorded(path: Path = RECORD) -> dict[str, Fresh]:
    """exercise -> the recorded trial; ValueError where more were caught than tried."""
    found: dict[str, Fresh] = json.loads(path.read_text("utf-8"))
    for name, trial in found.items():
        if not 0 <= trial["caught"] <= trial["tried"]:
            raise ValueError(f"{path.name}: {name} must have 0 <= caught <= tried, got {trial}")
    return found


def answers(path: Path) -> dict[str, Function]:
    """The functions that a file defines, but for private helpers; raises what the file raises."""
    names, error = opened(path)
    if not names:
        raise error
    return {
        name: f
        for name, f in names.items()
        if isinstance(f, FunctionType) and f.__code__.co_filename == str(path) and name[0] != "_"
    }


def outcomes(exercise: Exercise, functions: dict[str, Function]) -> Iterator[tuple[str, bool, str]]:
    """(name, whether it is caught with every seed, what was seen) for each function."""
    jobs = [partial(rules.marks, exercise, f, s) for f in functions.values() for s in range(3)]
    found = iter(run(jobs, rules.PATIENCE))
    for name in functions:
        seeds = [next(found) for _ in range(3)]
        missed = [s for s, marked in enumerate(seeds) if marked and all(m.right for m in marked)]
        wrong = {m.sentence: m.names for marked in seeds for m in marked or () if not m.right}
        seen = [f"passes with seed {s}" for s in missed]
        seen += [f"{s} {('= ' + n[0]) if n else ''}".strip() for s, n in wrong.items()]
        yield name, not missed, "; ".join(seen) or "never ended"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 where all are caught, 1 where one passes."""
    parser = argparse.ArgumentParser(
        prog="python -m rlcourse.grading.fresh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("exercise")
    parser.add_argument("file", type=Path)
    asked = parser.parse_args(arguments)
    found = [*outcomes(course.find(asked.exercise), answers(asked.file))]
    for name, caught, seen in found:
        print(f"{'caught' if caught else 'PASSES'}  {name}: {seen}")
    print(json.dumps({"tried": len(found), "caught": sum(caught for _, caught, _ in found)}))
    return int(not all(caught for _, caught, _ in found))


if __name__ == "__main__":
    sys.exit(main())
