"""The learner's side of the judgement: questions in, answers out, both of plain data.

It needs nothing of rlcourse but plain, memory, traffic, kernels and addresses, so that it could run
in a process of its own.

    question  {"case": {name: value}, "gradients": [name, ...]}  and where memory counts
              "peak": bytes that may be held, "line": true if the line is asked for too,
              "slow": [name, ...] of what lies in slow memory
    answer    {"value": value, "gradients": {name: value}, "changed": [name, ...]}  and then
              "peak": {"bytes": held, "where": line}, "traffic": {name: counts}
              "launched": true where kernels did some of the work
              {"raised": type, "message": text, "where": [line, ...]}  or  {"unwritten": name}
              ("import": true beside "raised": the file itself does not run; "kernel": true: it was
              raised in a kernel)
    value     plain data
"""

import json
import linecache
import sys
import sysconfig
import traceback
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from os.path import normcase
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from .kernels import causes, interpreted
from .memory import Lines, held
from .plain import Data, decode, encode
from .traffic import ashore, sunk, traffic

__all__ = ["Data", "Function", "NoAnswer", "Stop", "answer", "decode", "encode", "load"]

Function = Callable[..., Any]
LIBRARY = [sysconfig.get_paths()[k] for k in ("stdlib", "purelib", "platlib")]
NOT_SHOWN = tuple(map(normcase, [*LIBRARY, str(Path(__file__).parent), "<frozen"]))


class Stop(BaseException):
    """Ends the learner's function from outside; no `except Exception` of theirs swallows it."""


class NoAnswer(Exception):
    """What came back is no plain data."""


def opened(path: Path | str) -> tuple[dict[str, Any], BaseException]:
    """The names that a learner's file defines, and why the others are missing."""
    module = ModuleType(f"desk.{Path(path).stem}")
    sys.modules[module.__name__] = module
    linecache.checkcache(str(path))
    try:  # compiled afresh: bytecode caches compare whole seconds and miss a quick edit
        text = Path(path).read_text("utf-8-sig") if Path(path).exists() else ""
        exec(compile(text, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        return {}, error
    return vars(module), NotImplementedError()


def load(path: Path | str, name: str) -> Function:
    """The function `name` of a learner's file; where there is none, one that raises the reason."""
    return named(*opened(path), name)


def named(names: Mapping[str, Any], why: BaseException, name: str) -> Function:
    """names[name], or a function that raises why it is missing."""

    def absent(**case: Any) -> Any:
        raise why

    absent.__name__ = name
    absent.__dict__["broken"] = not isinstance(why, NotImplementedError)
    return names[name] if callable(names.get(name)) else absent


def answer(function: Function, question: Data, types: Mapping[str, Any] | None = None) -> Data:
    """What `function` answers: its value, gradients and the inputs it changed, or how it failed.

    Records of the case become the function's own types of their names, else those of `types`.
    """
    known = ChainMap(getattr(function, "__globals__", {}), cast("dict[str, Any]", types or {}))
    try:
        case = {n: decode(x, known) for n, x in question["case"].items()}
        case = sunk(question, case, known)
        inputs = dict(_watched(case, question["gradients"]))
        with interpreted() as launched:
            value, peak = _called(function, case, question)
        try:
            value, after = ashore(value), {n: encode(ashore(x)) for n, x in case.items()}
            got = {"value": encode(value), "gradients": _gradients(value, inputs)}
            got["changed"] = [n for n, x in question["case"].items() if _differs(after[n], x)]
            return got | peak | traffic(case) | ({"launched": True} if launched else {})
        except TypeError as error:
            raise NoAnswer(str(error)) from None
    except Stop:
        raise
    except BaseException as error:
        return _failure(error, function)


def _called(function: Function, case: Mapping[str, Any], question: Data) -> tuple[Any, Data]:
    if "peak" not in question:
        return function(**case), {}
    lines = Lines(is_learners) if "line" in question else None
    value, peak = held(function, case, question["peak"], lines)
    return value, {"peak": peak}


def _failure(error: BaseException, function: Function) -> Data:
    chain = causes(error)
    frames = [f for e in chain for f in traceback.extract_tb(e.__traceback__)]
    frames, error = [f for f in frames if is_learners(f.filename)], chain[-1]
    if isinstance(error, NotImplementedError) and not error.args:  # torch's have a message
        return {"unwritten": frames[-1].name if frames else function.__name__}
    lines = [f"line {f.lineno}, in {f.name}:  {f.line}" for f in frames]
    if isinstance(error, SyntaxError):
        lines = [f"line {error.lineno}:  {(error.text or '').strip()}"]
    lines = lines if len(lines) < 7 else [*lines[:3], "...", *lines[-2:]]
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    failed = {"raised": type(error).__name__, "message": message[:500], "where": lines}
    marks = {"import": getattr(function, "broken", False), "kernel": len(chain) > 1}
    return failed | {k: True for k, is_so in marks.items() if is_so}


def is_learners(filename: str) -> bool:
    """Whether a line of that file is worth showing: not Python's, a library's or the engine's."""
    return not normcase(filename).startswith(NOT_SHOWN)


def _differs(after: Data, before: Data) -> bool:
    return bool(after != before) and json.dumps(after) != json.dumps(before)  # NaN is itself


def _watched(case: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, Any]]:
    """(path, input) of every tensor whose gradient is asked for; those of a record each alone."""
    for name in names:
        for path, x in _floats(name, case[name]):
            yield path, x.requires_grad_()


def _floats(path: str, x: Any) -> Iterator[tuple[str, Any]]:
    """(path, tensor) of every float tensor in a value."""
    if hasattr(x, "_asdict") or isinstance(x, dict):
        for name, item in (x if isinstance(x, dict) else x._asdict()).items():
            yield from _floats(f"{path}.{name}", item)
    elif isinstance(x, tuple | list):
        for i, item in enumerate(x):
            yield from _floats(f"{path}[{i}]", item)
    elif hasattr(x, "requires_grad") and x.is_floating_point():
        yield path, x


def _gradients(value: Any, inputs: Mapping[str, Any]) -> dict[str, Data]:
    """d Σ w·value / d input, with fixed unequal weights w that tell the outputs apart."""
    if not inputs:
        return {}
    import torch

    outputs = [x for _, x in _floats("", value) if x.requires_grad]
    weights = [_unequal(v.numel()).reshape(v.shape) for v in outputs]
    found: Any = [None] * len(inputs)
    if outputs:
        total: Any = sum((v * w).sum() for v, w in zip(outputs, weights, strict=True))
        found = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
    pairs = zip(inputs.items(), found, strict=True)
    return {n: encode(torch.zeros_like(x) if g is None else g) for (n, x), g in pairs}


@lru_cache(maxsize=256)
def _unequal(n: int) -> Any:
    """n weights, no two alike."""
    import torch

    return torch.cos(torch.arange(n))
