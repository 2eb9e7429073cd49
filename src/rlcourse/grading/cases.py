"""Rules about the cases of an exercise: a constant, a transpose or luck must not pass.

Each rule takes an exercise and returns its complaints, so that a test can say "none".
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from .compare import leaves
from .exercise import Check, Exercise
from .forked import run
from .rules import CLEAR
from .shrink import over
from .worker import Data, decode, encode

SEEDS = 3
SECONDS = 10.0  # of CPU time for the noise of a check
HALVES = 2.0**-29  # rounding of float64 over that of float32


def not_plain_data(exercise: Exercise) -> list[str]:
    """Questions and right answers survive the journey to another process, as JSON."""
    complaints = []
    for check in exercise.checks:
        try:
            paper = check.paper(0)
        except TypeError as error:
            complaints.append(f"{check.sentence}: {error}")
            continue
        if not paper:
            complaints.append(f"{check.sentence}: has no case, so that any answer passes")
        for trial in map(list, paper):
            text = json.dumps(trial)
            case = {n: encode(decode(x, exercise.types)) for n, x in trial[0]["case"].items()}
            again = json.dumps([trial[0] | {"case": case}, trial[1]])
            if not text == again == json.dumps(json.loads(text)):
                complaints.append(f"{check.sentence}: changed by the journey")
    return list(dict.fromkeys(complaints))


def square(exercise: Exercise) -> list[str]:
    """No two axes of one size in any array (0 and 1 aside), or a transpose could pass."""
    found = [
        f"{path} has two axes of one size"
        for _, path, x in inputs(exercise)
        if any(a == b > 1 for a, b in combinations(getattr(x, "shape", ()), 2))
    ]
    return list(dict.fromkeys(found))


def constant(exercise: Exercise) -> list[str]:
    """Every number takes two values, every axis two sizes, every array two elements."""
    seen: dict[str, list[Any]] = defaultdict(list)
    for _, path, x in inputs(exercise):
        seen[path].append(x)
    return [fault for path, values in seen.items() for fault in _fixed(path, values)]


def _fixed(path: str, values: list[Any]) -> Iterator[str]:
    arrays = [np.asarray(x) for x in values if hasattr(x, "shape")]
    if len(arrays) < len(values) or all(a.ndim == 0 for a in arrays):
        if len({repr(x) for x in values}) < 2:
            yield f"{path} is always {values[0]!r}"
        return
    for axis in range(1, max(a.ndim for a in arrays) + 1):
        sizes = {a.shape[-axis] if a.ndim >= axis else None for a in arrays}
        if len(sizes) < 2:
            yield f"axis -{axis} of {path} is always {sizes.pop()} long"
    elements = {x for a in arrays for x in np.unique(a)[:2].tolist()}
    if len(elements) == 1:
        yield f"every element of {path} is {elements.pop()!r}"


def gradients_unwatched(exercise: Exercise) -> list[str]:
    """Every float tensor has its gradient watched by some check, if any has."""
    watched = {n for c in exercise.checks for n in c.gradients}
    floats = {
        path: re.split(r"[.[]", path)[0]  # the argument that holds it
        for _, path, x in inputs(exercise)
        if type(x).__module__ == "torch" and x.is_floating_point()
    }
    missed = [p for p, name in sorted(floats.items()) if name not in watched]
    complaints = [f"nobody watches the gradient of {p}" for p in missed if watched]
    empty = sorted(watched - {*floats.values()})
    return complaints + [f"{n} holds no float tensor: it has no gradient" for n in empty]


def noisy(exercise: Exercise, seeds: int = 5) -> list[str]:
    """The reference's own rounding stays below a tenth of the tolerance.

    It is measured in the other precision: float32 cases against float64, and the reverse, scaled by
    the ratio of their roundings. That says nothing where a judge decides, where an integer (a count
    of sweeps, an index) comes out otherwise, or where the other precision has no answer at all:
    there a control must exist, whose 200 draws then show that two right solutions agree.
    """
    found = run([partial(_noise, check, seeds) for check in exercise.checks], SECONDS)
    complaints, unmeasured = [], exercise.judge is not None or None in found
    for check, sizes in zip(exercise.checks, found, strict=True):
        measured = [s for s in sizes or [] if s is not None]
        unmeasured |= len(measured) < len(sizes or [])
        if (worst := max(measured, default=0.0)) > CLEAR[0]:
            complaints.append(f"{check.sentence}: rounding alone reaches {worst:.1g} tolerances")
    if unmeasured and not exercise.controls:
        complaints.append("rounding can't be measured in the other precision: add a control")
    return complaints


def _noise(check: Check, seeds: int) -> list[float | None]:
    """The noise of each case in tolerances; None where it can't be measured."""
    return [
        _distance(check, question, case, expected, up)
        for question, expected in (trial for seed in range(seeds) for trial in check.paper(seed))
        for up in (False, True)
        if (case := {n: over(x, partial(_cast, up=up)) for n, x in question["case"].items()})
        != question["case"]
        and "value" in expected
        and not check.exercise.judge
    ]


def _distance(check: Check, question: Data, case: Data, expected: Data, up: bool) -> float | None:
    other = check.expected(question | {"case": case})
    if "value" not in other:
        return None
    cast = dict(leaves(other["value"]))
    for path, x in leaves(expected["value"]):
        if not _is_float(x) and not np.array_equal(np.asarray(x), np.asarray(cast.get(path))):
            return None
    return check.gap(question, other, expected).size * (1 if up else HALVES)


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or "float" in str(getattr(x, "dtype", ""))


def _cast(a: Any, up: bool) -> Any:
    name, target = str(a.dtype).removeprefix("torch."), "float64" if up else "float32"
    if name != ("float32" if up else "float64"):
        return a
    return getattr(a, "double" if up else "float")() if hasattr(a, "double") else a.astype(target)


def inputs(exercise: Exercise, seeds: int = SEEDS) -> Iterator[tuple[Check, str, Any]]:
    """(check, path, leaf) of everything the cases hold; items of a sequence share a path."""
    for check in exercise.checks:
        for question, _ in (trial for seed in range(seeds) for trial in check.paper(seed)):
            for name, x in question["case"].items():
                for path, leaf in leaves(x, name):
                    yield check, re.sub(r"\[\d+\]", "[]", path), leaf
