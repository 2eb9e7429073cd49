"""A verdict in words: the property, the case, got, expected, the difference, the misconception."""

from textwrap import wrap

from . import desk
from .memory import excess
from .plain import Data
from .run import Graded
from .show import LONGEST, arguments, brief, call, show
from .verdict import Verdict
from .window import OWN

MARKS = {"right": "✓", "wrong": "✗", "not written": "…"}
WIDTH = 84  # of prose beside its title
Lines = list[tuple[str, str]]  # (title, text) in reading order


def lines(v: Verdict) -> Lines:
    """The parts of a report in reading order."""
    name, got = v.check.exercise.name, v.got or {}
    if v.outcome == "right":
        return []
    if v.outcome == "not written":
        whose = got["unwritten"]
        calls = "not written yet" if whose == name else f"calls {whose}, not written yet"
        return [("not written", calls)]
    if "import" in got:
        return [("does not run", str(desk.path(v.check.exercise.topic))), ("error", result(got))]
    if got.get("raised") == OWN["raised"]:
        return [("no points", got["message"])]
    return [("does not hold", v.check.sentence), *_failure(v, got), *_help(v, got)]


def _failure(v: Verdict, got: Data) -> Lines:
    hung = got.get("raised") == "TimeLimit"  # which line it is says more than the whole case
    heavy = v.difference != "" and v.difference == excess(v.question or {}, got)[1]
    shape = brief if hung or heavy else arguments
    shown = shape(v.check.exercise.name, (v.question or {})["case"])
    if heavy:  # the value is right
        return [("for", shown), ("memory", v.difference)]
    found = [("for", shown), ("got", result(got)), ("expected", expectation(v.expected or {}))]
    return found if hung else [*found, ("difference", v.difference)]


def expectation(expected: Data) -> str:
    """The right answer; of an error without the course's own lines."""
    return result(expected | {"where": []} if "raised" in expected else expected)


def _help(v: Verdict, got: Data) -> Lines:
    name = v.check.exercise.name
    known = [
        (m.__name__.replace("_", " "), v.check.exercise.misconceptions[m]) for m in v.misconceptions
    ]
    return [
        *(("recognised", f"{title}\n{sentence}") for title, sentence in known),
        *([("printed", got["printed"])] if "printed" in got else []),
        ("to repeat", repeat(v)),
        ("next", f"rlcourse hint {name}     (this run again: RLCOURSE_SEED={v.seed})"),
    ]


def repeat(v: Verdict) -> str:
    """A line of Python that calls the learner's function on the case once more."""
    exercise = v.check.exercise
    line = call(exercise.name, (v.question or {})["case"], exercise.types)
    if len(line) <= LONGEST:
        return line
    number = exercise.checks.index(v.check)
    again = f"case({exercise.name!r}, {number}, {v.draw}, seed={v.seed})"
    return f"from rlcourse.grading import case; {exercise.name}(**{again})"


def text(parts: Lines) -> str:
    """The parts in two columns."""
    said = []
    for title, body in parts:
        if title in ("does not hold", "recognised"):
            body = "\n".join(line for row in body.splitlines() for line in wrap(row, WIDTH))
        said.append(f"{title:>13}  " + body.replace("\n", "\n" + " " * 15))
    return "\n".join(said)


def result(answer: Data) -> str:
    """An answer of the protocol as a reader sees it."""
    if answer.get("raised") == "NoAnswer":
        return str(answer["message"])
    if "raised" in answer:
        event = answer["raised"] + (f": {answer['message']}" if answer["message"] else "")
        return "\n".join([event, *answer["where"]])
    gradients = [f"gradient by {k}: {show(g)}" for k, g in answer["gradients"].items()]
    return "\n".join([show(answer["value"]), *gradients])


def summary(graded: Graded) -> str:
    """What became of an exercise: its checks, and the first failure in full."""
    x, shown, whole = graded.exercise, graded.shown, word(graded)
    points = f"{graded.points} of {x.points} points"
    head = f"{x.name}: {whole}, {points}" if whole else f"{x.name}: {points}"
    if shown is None or (whole and not graded.broken):
        return head
    checks = [
        f"  {MARKS[v.outcome]} {v.check.sentence}  {v.points}/{v.check.points}"
        for v in graded.verdicts
    ]
    return "\n".join([head, *([] if whole else [*checks, ""]), text(lines(shown))])


def word(graded: Graded) -> str:
    """What is to be said of the function as a whole, rather than of one of its checks; or ""."""
    first = graded.first
    if first is None:
        return ""
    own = (first.got or {}).get("raised") == OWN["raised"]
    if first.outcome == "not written" or own:
        return lines(first)[0][1]
    return "does not run" if graded.broken else ""


def note(graded: Graded) -> str:
    """The board's word on an exercise: the whole, or the first property that does not hold."""
    return word(graded) or (graded.first.check.sentence if graded.first else "")
