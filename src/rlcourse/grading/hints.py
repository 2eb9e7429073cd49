"""The hint ladder of an exercise: a nudge, the formula, a worked case.

The nudge is written by hand. The formula is the first line of the reference's docstring, and the
worked case, unless the exercise gives one, is a row of a check's case in round numbers; the
reference answers it.
"""

import re

from .exercise import Check, Exercise
from .plain import Data
from .show import arguments, show
from .shrink import over, pick, rounded, shapes
from .verdict import weight

ROWS = 3
LABEL = re.compile(r"\s*\(eq-[\w-]+\)")  # of an equation in the book


def ladder(exercise: Exercise) -> list[str]:
    """The rungs, least telling first."""
    formula = (exercise.reference.__doc__ or "").strip().partition("\n")[0]
    return [exercise.nudge, LABEL.sub("", formula), worked(exercise)]


def worked(exercise: Exercise) -> str:
    """A call with its answer: the exercise's own case, or a small one."""
    check = exercise.checks[0]
    own = exercise.worked
    case = check.question(own)["case"] if own else _small(check)
    return f"{arguments(exercise.name, case)}\n= {show(_answer(check, case), 2, 0)}"


def _small(check: Check) -> Data:
    """A case of few rows where the reference takes fewer, in round numbers."""
    papers = [q for q, expected in check.paper(seed=0) if "value" in expected]
    case = min(papers, key=weight)["case"]
    size = next((s[0] for s in shapes(case) if s), 0)
    fewer = over(case, lambda x: pick(x, size, [*range(min(ROWS, size))]))
    case = fewer if _answer(check, fewer) else case
    for name in case:
        rounder = case | {name: rounded(case[name], 1)}
        case = rounder if _answer(check, rounder) else case
    return case


def _answer(check: Check, case: Data) -> Data:
    """What the reference answers; nothing where it refuses."""
    return check.expected({"case": case, "gradients": []}).get("value")
