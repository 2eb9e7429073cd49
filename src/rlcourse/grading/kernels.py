"""Triton kernels, judged without a GPU: Triton's interpreter runs them, on NumPy.

    with interpreted():
        launcher(x)

Inside, launching any kernel interprets it, in a process that compiles kernels otherwise and on a
machine with a GPU alike. Three things are stricter than on a GPU. An address outside of the tensors
that a kernel was given raises IndexError, where a GPU takes what lies there or crashes. A tile
holds TILE elements at most, so that "one tile for the whole row" ends early here too. And
torch.empty holds NaN.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import FunctionType, ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

TILE = 1024  # elements of a tile; Triton's own limit is 2^20
ACCESS = {"load": "reads", "store": "writes", "atomic_rmw": "changes", "atomic_cas": "changes"}
Function = Callable[..., Any]


class Span(NamedTuple):
    """A tensor that a kernel was given: its address, elements, and the storage that it lies in."""

    name: str
    first: int
    item: int
    elements: int
    start: int
    end: int


def is_kernel(x: object) -> bool:
    """Whether triton.jit has wrapped it."""
    jit = sys.modules.get("triton.runtime.jit")
    return jit is not None and isinstance(x, jit.KernelInterface) and hasattr(x, "fn")


def bare(x: Any) -> Any:
    """The function inside a kernel; anything else as it is."""
    return bare(x.fn) if is_kernel(x) else x


@contextmanager
def interpreted() -> Iterator[None]:
    """Interpret the kernels that are launched inside; nothing to do where Triton is not loaded."""
    if "triton.runtime.jit" not in sys.modules:
        yield
        return
    import triton
    from triton.runtime import interpreter, jit

    methods: dict[str, Any] = {"run": _run, "__call__": _call}
    memory = interpreter._interpreter
    guards: dict[str, Any] = {n: partial(_guarded, getattr(memory, n), n) for n in ACCESS}
    with (
        np.errstate(all="ignore"),
        _asked_for(),
        _nothing_left_over(),
        patch.multiple(jit.JITFunction, **methods),
        patch.multiple(interpreter.InterpretedFunction, **methods),
        patch.multiple(memory, **guards),
        patch.object(triton._utils, "TRITON_MAX_TENSOR_NUMEL", TILE),
    ):
        yield


@contextmanager
def _asked_for() -> Iterator[None]:
    """Say that kernels are interpreted, as Triton wants it said: constants stay plain then."""
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        yield
    finally:
        del os.environ["TRITON_INTERPRET"]
        if before is not None:
            os.environ["TRITON_INTERPRET"] = before


@contextmanager
def _nothing_left_over() -> Iterator[None]:
    """Fill torch.empty with NaN: what a kernel forgets to write must not be right by luck."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warns)


def causes(error: BaseException) -> list[BaseException]:
    """An error, and what Triton's interpreter wrapped in it."""
    inside = error.__cause__ if type(error).__name__ == "InterpreterError" else None
    return [error, *(causes(inside) if inside else [])]


def _run(kernel: Any, *args: Any, grid: Any, warmup: bool = False, **kwargs: Any) -> None:
    """kernel[grid](...), interpreted."""
    from triton.runtime.interpreter import GridExecutor

    given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
    _spans[:] = [_span(name, x) for name, x in given.items() if hasattr(x, "data_ptr")]
    with _language():
        GridExecutor(_rewritten(bare(kernel)), kernel.arg_names, grid)(*args, **kwargs)


def _call(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """kernel(...), called by another one; tl.sum is such a kernel too."""
    return _rewritten(bare(kernel))(*args, **kwargs)


_spans: list[Span] = []


def _span(name: str, x: Any) -> Span:
    storage = x.untyped_storage()
    start = storage.data_ptr()
    end = start + storage.nbytes()
    return Span(name, x.data_ptr(), x.element_size(), x.numel(), start, end)


def _guarded(access: Function, name: str, *args: Any) -> Any:
    """An access of memory by the interpreter, unless it lies outside of what the kernel has."""
    match name, args:
        case "load", (ptrs, mask, _, kind):
            item = kind.itemsize
        case ("store", (ptrs, value, mask)) | ("atomic_rmw", (_, ptrs, value, mask, *_)):
            item = value.dtype.itemsize
        case _:
            ptrs, mask, item = args[0], True, args[2].dtype.itemsize
    inside = ~np.broadcast_to(mask, ptrs.shape)
    for s in _spans:
        inside = inside | ((ptrs >= s.start) & (ptrs + np.uint64(item) <= s.end))
    if not inside.all():
        at = int(ptrs[~inside][0])
        near = min(_spans, key=lambda s: max(s.start - at, at - s.end))
        index = (at - near.first) // near.item
        what = f"{ACCESS[name]} {near.name}[{index}], and {near.name} has {near.elements} elements"
        raise IndexError(f"the kernel {what}: mask it")
    return access(*args)


@cache
def _rewriting(fn: Function) -> Function:
    """The function as Triton rewrites it, in a copy of its names, since Triton adds some to them.

    The language is among them: what is made to interpret is what a kernel sees under any name.
    """
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction

    names = fn.__globals__ | {"_tl": tl, "_core": tl.core}
    twin = FunctionType(fn.__code__, names, fn.__name__, fn.__defaults__, fn.__closure__)
    rewritten: Function = InterpretedFunction(twin).rewrite()
    return rewritten


def _rewritten(fn: Function) -> Function:
    """The function as the interpreter runs it, with its names as they are now."""
    rewritten = _rewriting(fn)
    rewritten.__globals__.update(fn.__globals__)
    return rewritten


@contextmanager
def _language() -> Iterator[None]:
    """Put triton.language back as it was: some versions of the interpreter leave their mark."""
    import triton.language as tl

    modules: list[ModuleType] = [tl, tl.core, tl.math]
    classes = {x for m in modules for x in vars(m).values() if isinstance(x, type)}
    places = [*modules, *(c for c in classes if c.__module__.startswith("triton"))]
    before = [(p, dict(vars(p))) for p in places]
    try:
        yield
    finally:
        for place, names in before:
            now = dict(vars(place))
            for name in now.keys() - names.keys():
                delattr(place, name)
            for name, x in names.items():
                if now.get(name, names) is not x:
                    setattr(place, name, x)
