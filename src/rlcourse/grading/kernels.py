"""Triton kernels, judged without a GPU: Triton's interpreter runs them, on NumPy.

    with interpreted() as launched:
        launcher(x)

Inside, launching any kernel interprets it, in a process that compiles kernels otherwise and on a
machine with a GPU alike. Three things are stricter than on a GPU. An access beyond the tensors that
a kernel was given raises IndexError (addresses.py). A tile holds TILE elements at most, so that
"one tile for the whole row" ends early here too. And torch.empty holds NaN.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .addresses import allow, guards

TILE = 1024  # elements of a tile; Triton's own limit is 2^20
IDLE = "binary_op_sanitize_overflow_impl"  # looks for overflows, and says so in debug mode alone
Function = Callable[..., Any]
Change = tuple[Any, str, Any]  # a place, the name of its attribute, a value


def is_kernel(x: object) -> bool:
    """Whether triton.jit has wrapped it."""
    homes = ("jit", "KernelInterface"), ("interpreter", "InterpretedFunction")
    kinds = [getattr(sys.modules.get(f"triton.runtime.{m}"), name, ()) for m, name in homes]
    return isinstance(x, tuple(kinds)) and hasattr(x, "fn")


def bare(x: Any) -> Any:
    """The function inside a kernel; anything else as it is."""
    return bare(x.fn) if is_kernel(x) else x


@contextmanager
def interpreted() -> Iterator[list[str]]:
    """Interpret the kernels that are launched inside, and note their names.

    Nothing is to be done where Triton is not loaded.
    """
    _launched.clear()
    if "triton.runtime.jit" not in sys.modules:
        yield _launched
        return
    with np.errstate(all="ignore"), _asked_for(), _nothing_left_over(), _changed(_changes()):
        yield _launched


def _changes() -> list[Change]:
    """What is another while kernels are interpreted."""
    import triton.language as tl
    from triton.runtime import interpreter, jit

    memory = interpreter._interpreter
    return [
        (jit.KernelInterface, "__getitem__", _launcher),
        (interpreter.InterpretedFunction, "__getitem__", _launcher),
        (jit.JITFunction, "__call__", _call),
        (interpreter.InterpretedFunction, "__call__", _call),
        (interpreter.interpreter_semantic, IDLE, _nothing),
        *((memory, name, guarded) for name, guarded in guards(memory).items()),
        (sys.modules[tl.core.validate_block_shape.__module__], "TRITON_MAX_TENSOR_NUMEL", TILE),
    ]


@contextmanager
def _changed(changes: list[Change]) -> Iterator[None]:
    """Set attributes, and put what was there before back; this runs at each question."""
    before = [vars(place).get(name, _changed) for place, name, _ in changes]
    for place, name, value in changes:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name, _), old in zip(changes, before, strict=True):
            if old is _changed:  # it was inherited
                delattr(place, name)
            else:
                setattr(place, name, old)


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

    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms loads the compiler
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def causes(error: BaseException) -> list[BaseException]:
    """An error, and what Triton's interpreter wrapped in it."""
    inside = error.__cause__ if type(error).__name__ == "InterpreterError" else None
    return [error, *(causes(inside) if inside else [])]


@contextmanager
def closed(names: Iterable[Any], refuse: Function) -> Iterator[None]:
    """While open, launching a kernel that is among `names` refuses."""
    _refusals.extend((kernel, refuse) for kernel in filter(is_kernel, names))
    try:
        yield
    finally:
        _refusals.clear()


def _launcher(kernel: Any, grid: Any) -> Function:
    """kernel[grid], which is called with the arguments."""
    return partial(_run, kernel, grid)


def _run(kernel: Any, grid: Any, /, *args: Any, **kwargs: Any) -> None:
    """kernel[grid](...), interpreted."""
    from triton.runtime.interpreter import GridExecutor

    for other, refuse in _refusals:
        if other is kernel:
            refuse()
    _launched.append(bare(kernel).__name__)
    executor = GridExecutor(_rewritten(bare(kernel)), kernel.arg_names, grid)
    copies = executor._init_args_hst

    def on_the_host(*given: Any) -> Any:
        args, kwargs = copies(*given)
        allow(dict(zip(kernel.arg_names, args, strict=False)) | kwargs)
        return args, kwargs

    executor._init_args_hst = on_the_host  # what lies on a GPU is copied, and back in the end
    with _changed(_language()):
        executor(*args, **kwargs)


def _call(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """kernel(...), called by another one; tl.sum is such a kernel too."""
    return _rewritten(bare(kernel))(*args, **kwargs)


_refusals: list[tuple[Any, Function]] = []
_launched: list[str] = []


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


@cache
def _language() -> list[Change]:
    """What Triton's interpreter changes in triton.language, the same for each kernel.

    To find it out takes as long as a small kernel. All is back as it was at the end.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    modules: list[ModuleType] = [tl, tl.core, tl.math]
    classes = {x for m in modules for x in vars(m).values() if isinstance(x, type)}
    places = [*modules, *(c for c in classes if c.__module__.startswith("triton"))]
    before = [(p, dict(vars(p))) for p in places]
    interpreter._patch_lang(SimpleNamespace(__globals__={"tl": tl, "core": tl.core}))
    found = [
        (place, name, x)
        for place, names in before
        for name, x in vars(place).items()
        if names.get(name, names) is not x and not isinstance(x, ModuleType)  # a late import
    ]
    old = dict(before)
    for place, name, _ in found:
        if name in old[place]:
            setattr(place, name, old[place][name])
        else:
            delattr(place, name)
    patched = SimpleNamespace(restore=_nothing)
    return [*found, (interpreter, "_patch_lang", lambda fn: patched)]


def _nothing(*args: Any) -> None:
    """Instead of what takes long and changes nothing."""
