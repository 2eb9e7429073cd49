"""Answers without work: what a grader must never pay for."""

from typing import Any

import numpy as np

from .exercise import Exercise
from .worker import Data, Function, decode, encode

ERRORS = (NotImplementedError, ValueError, TypeError, IndexError)
ODD: dict[str, Any] = {
    "an answer and a count": (np.zeros(3), 7),
    "a list": [0.0],
    "a ragged list": [[1.0], [2.0, 3.0]],
    "a dict": {"v": 1.0},
    "a string": "v",
}


def lazy_answers(exercise: Exercise) -> dict[str, Function]:
    """What an answer without work does -> a function that does it, whatever it is asked."""
    lazy = {"is not written": fails(NotImplementedError())}
    lazy |= {f"raises {e.__name__}": fails(e("no")) for e in ERRORS}
    lazy["returns None"] = returns(None)
    lazy |= {f"returns {what}": returns(x) for what, x in ODD.items()}
    for check in exercise.checks:
        for question, right in check.paper(0):
            for name, value in decode({"dict": question["case"]}, exercise.types).items():
                lazy[f"returns {name}"] = argument(name)
                for field in getattr(value, "_fields", ()):
                    lazy[f"returns {name}.{field}"] = argument(name, field)
            if "value" in right:
                what = f"returns one answer always, right in {check.sentence!r},"
                lazy.setdefault(what, returns(decode(right["value"], exercise.types)))
                for x in (0, 1):
                    lazy.setdefault(f"returns {x} everywhere", flat(exercise, right["value"], x))
    return lazy


def fails(error: Exception) -> Function:
    def lazy(**case: Any) -> Any:
        raise error

    return lazy


def returns(value: object) -> Function:
    def lazy(**case: Any) -> Any:
        return value

    return lazy


def argument(name: str, field: str | None = None) -> Function:
    def lazy(**case: Any) -> Any:
        return getattr(case.get(name), field, None) if field else case.get(name)

    return lazy


def flat(exercise: Exercise, other: Data, x: int) -> Function:
    """The right structure and shape, filled with x; where an error is right, another case's."""

    def lazy(**case: Any) -> Any:
        try:
            right = encode(exercise.reference(**case))
        except Exception:
            right = other
        return decode(filled(right, x), exercise.types)

    return lazy


def filled(tree: Data, x: int) -> Data:
    """Plain data with every number replaced by x of its own type."""
    match tree:
        case {"array": _}:
            return encode(np.full_like(decode(tree), x))
        case {"tensor": _}:
            return encode(decode(tree).fill_(x))
        case {"record": name, "fields": fields}:
            return {"record": name, "fields": {n: filled(v, x) for n, v in fields.items()}}
        case {"tuple": items}:
            return {"tuple": filled(items, x)}
        case {"dict": items}:
            return {"dict": {n: filled(v, x) for n, v in items.items()}}
        case list():
            return [filled(v, x) for v in tree]
        case bool() | int() | float():
            return type(tree)(x)
    return tree
