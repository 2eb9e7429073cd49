"""How far an answer is from the right one, and where it first differs.

A distance is measured in tolerances: |got - expected| / (tolerance · max(1, |expected|)).
At most 1 is right. The quality gate keeps the land between 0.1 and 10 empty, so that no verdict
ever hangs on rounding.

Numbers are what counts, not their wrapping: a list may stand for an array or a tuple, a Python
number for a NumPy scalar, an integer for a float. Not so where the difference would break the
next line of code: booleans and numbers, a float for an index or a count, arrays and tensors,
a plain tuple for a record.
"""

from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

import numpy as np

from .worker import Data, decode


class Gap(NamedTuple):
    """Distance of an answer in tolerances, and the first difference in words."""

    size: float
    text: str = ""


def gap(got: Data, expected: Data, tolerance: float) -> Gap:
    """The distance between two answers of the protocol."""
    if "value" not in got or "value" not in expected:
        if got.get("raised", 0) == expected.get("raised", 1) and "import" not in got:
            return Gap(0)
        return Gap(
            inf,
            f"{_event(got, 'returned', 'raised')} instead of "
            f"{_event(expected, 'returning', 'raising')}",
        )
    if got["changed"]:
        names = ", ".join(got["changed"])
        advice = "copy it first, for example with np.array"
        return Gap(inf, f"changed its argument {names} in place: {advice}")
    if "launched" in expected and "launched" not in got:
        return Gap(inf, "launched no kernel: a kernel is what is asked for")
    gaps = [_tree("", got["value"], expected["value"], tolerance)]
    for name, e in expected["gradients"].items():
        g = got["gradients"].get(name)
        gaps.append(_tree(f"gradient by {name}", g, e, tolerance))
    first = next((g.text for g in gaps if g.size > 1), "")
    return Gap(max(g.size for g in gaps), first)


def leaves(tree: Data, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every (path, leaf) of plain data: an array, a tensor, a number, a string or None."""
    parts = _parts(tree)
    if parts is None:
        yield path, decode(tree)
    else:
        for name, item in parts.items():
            yield from leaves(item, path + name)


def _parts(tree: Data) -> dict[str, Data] | None:
    match tree:
        case {"tuple": items} | ([*items]):
            return {f"[{i}]": item for i, item in enumerate(items)}
        case {"record": _, "fields": items} | {"dict": items}:
            return {f".{name}": item for name, item in items.items()}
    return None


def _tree(path: str, got: Data, expected: Data, tolerance: float) -> Gap:
    """The widest distance over all leaves, with the first difference."""
    parts = _parts(expected)
    if parts is None:
        if type(got) is type(expected) and got == expected:
            return Gap(0)  # to the last bit
        return _leaf(path, _packed(got, expected), decode(expected), tolerance)
    theirs = _parts(got)
    if theirs is None or (_named(expected) and not _named(got)):
        return _other(path, kind(got), kind(expected))
    if odd := [n for n in [*parts, *theirs] if (n in parts) != (n in theirs)]:
        word = "lacks part" if odd[0] in parts else "has an unexpected part"
        return Gap(inf, f"{path} {word} {odd[0]}".strip())
    gaps = [_tree(path + n, theirs[n], e, tolerance) for n, e in parts.items()]
    first = next((g.text for g in gaps if g.size > 1), "")
    return Gap(max((g.size for g in gaps), default=0.0), first)


def _named(tree: Data) -> bool:
    return isinstance(tree, dict) and ("record" in tree or "dict" in tree)


def _packed(got: Data, expected: Data) -> Any:
    """What came; a list or tuple of numbers as the array that was expected."""
    if (
        isinstance(expected, dict)
        and "array" in expected
        and _parts(got) is not None
        and not _named(got)
    ):
        try:
            array = np.asarray(decode(got))
        except Exception:  # ragged, or tensors of another device: reported as what it is
            return got
        if not array.size:
            return array.astype(expected["array"])
        return array if array.dtype.kind in "biuf" else got
    return decode(got) if _parts(got) is None else got


def _leaf(path: str, got: Any, expected: Any, tolerance: float) -> Gap:
    if isinstance(expected, str | None) or isinstance(got, str | None):
        same = type(got) is type(expected) and got == expected
        return Gap(0) if same else _other(path, kind(got), kind(expected))
    if isinstance(got, dict | list) or _tensor(got) != _tensor(expected):
        return _other(path, kind(got), kind(expected))
    g, e = (np.asarray(x.double() if _floats(x) else x) for x in (got, expected))
    if g.shape != e.shape:
        return _other(path, f"shape {g.shape}", f"{e.shape}", "")
    if (wanted := _class(e)) not in (_class(g), "float") or (_class(g) == "bool" != wanted):
        return _other(path, f"{g.dtype}", f"{e.dtype}", "of type ")
    found = _numbers(path, g, e, tolerance)
    if "float32" in str(got.dtype if hasattr(got, "dtype") else "") and _near(g, e):
        found = found._replace(text=found.text + " (float32: compute in float64)")
    return found


def _near(g: Any, e: Any) -> bool:
    """Whether two arrays differ by no more than rounding may: float64 was expected, then."""
    return e.dtype == np.float64 and np.allclose(g, e, 1e-4, 1e-4, equal_nan=True)


def _numbers(path: str, got: Any, expected: Any, tolerance: float) -> Gap:
    g, e = got.astype(float), expected.astype(float)
    with np.errstate(all="ignore"):
        size = np.abs(g - e) / (tolerance * np.maximum(1, np.abs(e)))
    equal = (g == e) | (np.isnan(g) & np.isnan(e))
    size = np.where(equal, 0.0, np.where(np.isnan(size), inf, size))
    if not (size > 1).any():
        return Gap(float(size.max(initial=0)))
    at = tuple(int(i) for i in np.argwhere(size > 1)[0])
    index = f"[{', '.join(map(str, at))}]" if at else ""
    d = 4 if abs(g[at] - e[at]) > 1e-3 * abs(e[at]) else 12  # enough digits to see it
    words = [
        str(bool(x[at])) if x.dtype.kind == "b" else f"{float(x[at]) + 0.0:.{d}g}"
        for x in (got, expected)
    ]
    return Gap(float(size.max()), f"{path}{index} {' instead of '.join(words)}".strip())


def _other(path: str, got: str, expected: str, verb: str = "is ") -> Gap:
    advice = "" if path or got != "None" else ": is a `return` missing?"
    return Gap(inf, f"{path} {verb}{got} instead of {expected}{advice}".strip())


def _tensor(x: Any) -> bool:
    return hasattr(x, "double")


def _floats(x: Any) -> bool:
    return _tensor(x) and bool(x.is_floating_point())


def _class(x: Any) -> str:
    return {"b": "bool", "i": "integer", "u": "integer"}.get(x.dtype.kind, "float")


def kind(x: Any) -> str:
    """What a value, or the plain data of one, is called in a sentence."""
    match x:
        case None | str():
            return repr(x)
        case {"record": name, "fields": fields}:
            return f"{name}({', '.join(fields)})"
        case {"array": dtype} | {"tensor": dtype}:
            return f"{'an array' if 'array' in x else 'a tensor'} of {dtype}"
        case {"tuple": _} | {"dict": _}:
            return f"a {next(iter(x))}"
    if hasattr(x, "dtype"):
        return f"{'a tensor' if _tensor(x) else 'an array'} of {x.dtype}"
    name = type(x).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _event(a: Data, returned: str, raised: str) -> str:
    if "unwritten" in a:
        return f"{a['unwritten']} is not written"
    if a.get("raised") == "NoAnswer":
        return f"{returned} what is no answer"
    return f"{raised} {a['raised']}" if "raised" in a else f"{returned} a value"
