"""The hint ladder of an exercise: a nudge, the formula, a worked case.

Only the nudge is written by hand. The formula is the first line of the reference's docstring, and
the worked case is one row of a check's case, in round numbers, answered by the reference.
"""

from .exercise import Check, Exercise
from .plain import Data
from .show import arguments, show
from .shrink import over, pick, rounded, shapes
from .verdict import weight

ROWS = 3


def ladder(exercise: Exercise) -> list[str]:
    """The rungs, least telling first."""
    formula = (exercise.reference.__doc__ or "").strip().partition("\n")[0]
    return [exercise.nudge, formula, worked(exercise)]


def worked(exercise: Exercise) -> str:
    """A call with its answer, of few rows where the reference takes fewer, in round numbers."""
    check = exercise.checks[0]
    papers = [q for q, expected in check.paper(seed=0) if "value" in expected]
    case = min(papers, key=weight)["case"]
    size = next((s[0] for s in shapes(case) if s), 0)
    fewer = over(case, lambda x: pick(x, size, [*range(min(ROWS, size))]))
    case = fewer if _answer(check, fewer) else case
    for name in case:
        rounder = case | {name: rounded(case[name], 1)}
        case = rounder if _answer(check, rounder) else case
    return f"{arguments(exercise.name, case)}\n= {show(_answer(check, case), 2, 0)}"


def _answer(check: Check, case: Data) -> Data:
    """What the reference answers; nothing where it refuses."""
    return check.expected({"case": case, "gradients": []}).get("value")
