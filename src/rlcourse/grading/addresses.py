"""The addresses that a kernel may touch, while Triton's interpreter runs it.

A GPU takes what lies beyond a tensor, or crashes, and so does the interpreter. Here each access is
looked at first: one outside of the tensors that the kernel was given raises IndexError.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

ACCESS = {"load": "reads", "store": "writes", "atomic_rmw": "changes", "atomic_cas": "changes"}


class Span(NamedTuple):
    """A tensor that a kernel was given: its address, elements, and the storage that it lies in."""

    name: str
    first: int
    item: int
    elements: int
    start: int
    end: int


_spans: list[Span] = []


def allow(given: Mapping[str, Any]) -> None:
    """From now on the storage of these arguments may be touched, and nothing else."""
    held = {name: getattr(x, "base", x) for name, x in given.items()}  # that of a descriptor
    _spans[:] = [_span(name, x) for name, x in held.items() if hasattr(x, "data_ptr")]


def _span(name: str, x: Any) -> Span:
    storage = x.untyped_storage()
    start = storage.data_ptr()
    end = start + storage.nbytes()
    return Span(name, x.data_ptr(), x.element_size(), x.numel(), start, end)


def guards(memory: Any) -> dict[str, Any]:
    """The interpreter's accesses of memory by their names, each after a look at its addresses."""
    return {name: partial(_guarded, getattr(memory, name), name) for name in ACCESS}


def _guarded(access: Callable[..., Any], name: str, *args: Any) -> Any:
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
        raise IndexError(_words(ACCESS[name], int(ptrs[~inside][0])))
    return access(*args)


def _words(verb: str, at: int) -> str:
    if not _spans:
        return f"the kernel {verb} memory, and was given no tensor"
    near = min(_spans, key=lambda s: max(s.start - at, at - s.end))
    index = (at - near.first) // near.item
    place = f"{near.name}[{index}], and {near.name} has {near.elements} elements"
    return f"the kernel {verb} {place}: mask it"
