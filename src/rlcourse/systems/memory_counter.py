"""Counting the bytes that tensors hold, operation by operation: an allocator's log for the CPU.

A CPU has no `torch.cuda.max_memory_allocated`. Yet PyTorch hands every operation to a dispatch
mode, below autograd, so that the backward pass and the optimizer are seen too. What is new in the
output of an operation is added, and taken off when the last tensor that shares it is gone:

    live = Σ bytes of the storages that still exist,  peak = the most that live has been

    a view, an in-place operation      0: the storage is known
    out=                               0, or the growth of the storage
    what the context didn't see made   0, unless `add` was told of it (a model's weights)

What a kernel allocates for itself and frees before it returns isn't seen. Bytes are those asked
for; CUDA's allocator, for one, rounds each up to 512.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which `live` and `peak` count the bytes of storages, to the byte.

    owner: the operation at the peak, as "aten.mul.Tensor"; "" where nothing was allocated.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self.owner = ""
        self._bytes: dict[int, int] = {}

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Counts tensors that were there before, each storage once: weights, gradients, moments."""
        for tensor in tensors:
            self._see(tensor, "")

    def mark(self) -> int:
        """The peak so far; from here on a new one is counted, from what is alive."""
        peak, self.peak, self.owner = self.peak, self.live, ""
        return peak

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """The operation itself, and what is new in its output."""
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        # torch.tensor(1.0) makes its storage unseen, and hands it over as this one's input
        fresh = func is torch.ops.aten.lift_fresh.default
        unknown = set() if fresh else {_key(x) for x in given} - self._bytes.keys()
        out = func(*args, **kwargs)
        results = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        for x in [*given, *results]:
            if _key(x) not in unknown:
                self._see(x, str(func))
        return out

    def _see(self, tensor: Tensor, owner: str) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key not in self._bytes:
            weakref.finalize(storage, self._free, key)
        size = storage.nbytes()
        self.live += size - self._bytes.get(key, 0)
        self._bytes[key] = size
        if self.live > self.peak:
            self.peak, self.owner = self.live, owner

    def _free(self, key: int) -> None:
        self.live -= self._bytes.pop(key)


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes that these tensors hold together, each storage once."""
    storages = {_key(x): x.untyped_storage().nbytes() for x in tensors}
    return sum(storages.values())
