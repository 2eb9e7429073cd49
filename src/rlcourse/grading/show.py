"""Plain data as a reader sees them, and as Python that makes them again."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from .plain import Data, decode

WIDTH = 72  # characters up to which a record stays on one line
ROWS = 10  # lines of one array
LONGEST = 1500  # characters of code worth pasting


def show(tree: Data, indent: int = 0, base: int | None = None) -> str:
    """Plain data as short text whose first line begins in column `indent` of a line that itself
    is indented by `base`.
    """
    left = indent if base is None else base
    match tree:
        case {"record": name, "fields": fields}:
            return _items(f"{name}(", [(f"{k}=", v) for k, v in fields.items()], ")", left)
        case {"tuple": items}:
            return _items("(", [("", v) for v in items], ",)" if len(items) == 1 else ")", left)
        case {"dict": items}:
            return _items("{", [(f"{k!r}: ", v) for k, v in items.items()], "}", left)
        case list():
            return _items("[", [("", v) for v in tree], "]", left)
        case {"array": _} | {"tensor": _}:
            return _array(numbers(tree), indent)
        case str() if "\n" in tree:
            return f"\n{' ' * indent}".join(tree.splitlines())
        case float():
            return repr(float(f"{tree:.6g}") + 0.0)
    return repr(decode(tree))


def arguments(name: str, case: Data) -> str:
    """A call as a reader sees it, one argument a line."""
    shown = ",\n".join(f"    {k} = {show(x, 7 + len(k), 4)}" for k, x in case.items())
    return f"{name}(\n{shown})"


def brief(name: str, case: Data) -> str:
    """A call in one line: arrays by their shape, records by their name."""

    def short(x: Data) -> str:
        match x:
            case {"shape": shape}:
                return f"<shape {tuple(shape)}>"
            case {"record": record}:
                return f"{record}(...)"
        return show(x) if not isinstance(x, dict | list) else "..."

    return f"{name}({', '.join(f'{k}={short(x)}' for k, x in case.items())})"


def numbers(tree: Data) -> Any:
    """The array or tensor as an array of NumPy, with 0 for -0."""
    x = decode(tree)
    x = np.asarray(x.double() if hasattr(x, "double") and x.is_floating_point() else x)
    return x if x.dtype.kind == "b" else x + 0


def _items(start: str, items: list[tuple[str, Data]], end: str, indent: int) -> str:
    flat = start + ", ".join(k + show(v) for k, v in items) + end
    if "\n" not in flat and indent + len(flat) <= WIDTH:
        return flat
    pad = "\n" + " " * (indent + 4)
    return (
        start
        + ",".join(f"{pad}{k}{show(v, indent + 4 + len(k), indent + 4)}" for k, v in items)
        + end
    )


def _array(x: Any, indent: int) -> str:
    plain = x.dtype.kind == "f" and bool((np.abs(x[x != 0]) >= 1e-4).all())
    text = np.array2string(
        x,
        precision=4,
        threshold=60,
        edgeitems=2,
        separator=", ",
        prefix=" " * indent,
        suppress_small=plain,  # 0.0003 rather than 3.0000e-04
    )
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > ROWS:
        lines = [*lines[: ROWS - 1], " " * indent + " ..."]
    return "\n".join(lines) + (f"  shape {x.shape}" if "..." in "".join(lines) else "")


def code(tree: Data) -> str:
    """Python that makes the value again, exactly, but 0.0 for -0.0; np and torch stand for their
    libraries.
    """
    match tree:
        case {"record": name, "fields": fields}:
            return f"{name}({', '.join(f'{k}={code(v)}' for k, v in fields.items())})"
        case {"tuple": items}:
            return f"({''.join(code(v) + ', ' for v in items).rstrip() or ''})"
        case {"dict": items}:
            return f"{{{', '.join(f'{k!r}: {code(v)}' for k, v in items.items())}}}"
        case list():
            return f"[{', '.join(map(code, tree))}]"
        case {"array": dtype, "shape": shape}:
            usual = dtype in ("float64", "int64", "bool") and 0 not in shape
            return _made("np.array", "np.full", "" if usual else f"np.{dtype}", tree)
        case {"tensor": dtype}:
            return _made("torch.tensor", "torch.full", f"torch.{dtype}", tree)
        case float() if not isfinite(tree):
            return f"float('{tree}')"
        case float():
            return repr(tree + 0.0)
    return repr(decode(tree))


def _made(make: str, fill: str, dtype: str, tree: Data) -> str:
    x, library = decode(tree), make.split(".")[0]
    flat, shape = x.reshape(-1).tolist(), tuple(x.shape)
    end = f", dtype={dtype})" if dtype else ")"
    if len(shape) and len({repr(v) for v in flat} or {0}) == 1 and len(flat) not in (1, 2, 3):
        return f"{fill}({shape}, {_literal(flat[0] if flat else 0, library)}{end}"
    return f"{make}({_literal(x.tolist(), library)}{end}"


def _literal(x: Any, library: str) -> str:
    if isinstance(x, list):
        return f"[{', '.join(_literal(v, library) for v in x)}]"
    if isinstance(x, float) and not isfinite(x):
        return f"{'-' if x < 0 else ''}{library}.{'nan' if x != x else 'inf'}"
    return repr(x + 0.0 if isinstance(x, float) else x)


def call(name: str, case: Data, types: Mapping[str, Any] | None = None) -> str:
    """One line of Python that calls the function on the case; `types` are those of its records."""
    text = f"{name}({', '.join(f'{k}={code(v)}' for k, v in case.items())})"
    imports = ["import numpy as np; "] * ("np." in text) + ["import torch; "] * ("torch." in text)
    imports += [f"from {(types or {})[n].__module__} import {n}; " for n in _records(case, types)]
    return "".join(imports) + text


def _records(tree: Data, types: Mapping[str, Any] | None) -> list[str]:
    """The names of the records in plain data that have a type, each once."""
    match tree:
        case {"record": name, "fields": fields}:
            inside = [name] * (name in (types or {})) + _records(fields, types)
        case dict():
            inside = [n for v in tree.values() for n in _records(v, types)]
        case list():
            inside = [n for v in tree for n in _records(v, types)]
        case _:
            inside = []
    return list(dict.fromkeys(inside))
