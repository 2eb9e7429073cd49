"""Checkpointing in PyTorch, from scratch: an autograd Function, and schedules on real layers.

`recomputed(f, x)` gives f(x) and saves x alone; backwards it runs f once more, this time with a
tape. The second run must be the first one again: what f draws (dropout) has to come out the same,
so the state of each generator is noted before the first run and set back for the second, and
afterwards it is as if the second run hadn't been. Weights that f uses get their gradients too.
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rlcourse.systems.checkpoint_schedules import Schedule

Dice = tuple[torch.Generator, ...]
Layer = Callable[..., Any]


def recomputed(f: Layer, *x: Tensor, generators: Sequence[torch.Generator] = ()) -> Any:
    """f(*x), of which only x is saved for the backward pass.

    f: tensors -> a tensor or a tuple of tensors, the same whenever it draws the same; it may use
    weights. generators: what f draws from beside PyTorch's own, on the CPU and on CUDA's devices
    of x. For `.backward()` only: `torch.autograd.grad` does not see the weights that f uses.
    TypeError where f returns anything else.
    """
    own = {torch.default_generator, *generators}
    for device in {t.device for t in x if t.is_cuda}:
        own.add(torch.cuda.default_generators[device.index])
    empty = torch.empty(0, requires_grad=True)  # so that backward is called
    return _Recomputed.apply(f, tuple(own), empty, *x)  # type: ignore[no-untyped-call]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Layer, dice: Dice, _: Tensor, *x: Tensor) -> Any:
        ctx.f, ctx.generators = f, dice
        ctx.drawn = [generator.get_state() for generator in dice]
        ctx.mixed = _autocast_of(x)
        ctx.save_for_backward(*x)
        y = f(*x)
        if not isinstance(y, Tensor | tuple):
            kind = type(y).__name__
            raise TypeError(f"f must return a tensor or a tuple, got {kind}")
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved, dice = ctx.saved_tensors, _as_then(ctx.generators, ctx.drawn)
        x = [t.detach().requires_grad_(t.requires_grad) for t in saved]
        with torch.enable_grad(), torch.autocast(**ctx.mixed), dice:
            y = ctx.f(*x)
        outputs = (y,) if isinstance(y, Tensor) else y
        pairs = zip(outputs, gradients, strict=True)
        wanted = [(t, g) for t, g in pairs if t.requires_grad and g is not None]
        torch.autograd.backward([t for t, _ in wanted], [g for _, g in wanted])
        return None, None, None, *(t.grad for t in x)


def _autocast_of(x: Sequence[Tensor]) -> dict[str, Any]:
    kind = next((t.device.type for t in x if t.device.type not in ("cpu", "meta")), "cpu")
    return {
        "device_type": kind,
        "enabled": torch.is_autocast_enabled(kind),
        "dtype": torch.get_autocast_dtype(kind),
    }


@contextmanager
def _as_then(generators: Dice, states: Sequence[Tensor]) -> Any:
    """Draw what was drawn then; afterwards they are where they were."""
    now = [generator.get_state() for generator in generators]
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    try:
        yield
    finally:
        for generator, state in zip(generators, now, strict=True):
            generator.set_state(state)


def backpropagate(
    schedule: Schedule,
    layers: Sequence[Callable[[Tensor], Tensor]],
    x: Tensor,
    loss: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor | None]:
    """Carry a schedule out on real layers: -> the loss, and its gradient with respect to x.

    The weights' gradients are added to their `.grad`. The last layer must be the first whose tape
    is run backwards (any schedule that `checkpoint_schedules.run` accepts). The layers must not
    draw: for those that do there is `recomputed`.
    """
    kept: dict[int, Tensor] = {}
    tapes: dict[int, tuple[Tensor, Tensor]] = {}
    at, gradient, value = x.detach(), None, None
    for kind, i in schedule:
        if kind == "keep":
            kept[i] = at
        elif kind == "load":
            at = kept[i]
        elif kind == "drop":
            del kept[i]
        elif kind == "forward":
            with torch.no_grad():
                at = layers[i - 1](at)
        elif kind == "tape":
            before = at.detach().requires_grad_()
            after = layers[i - 1](before)
            tapes[i], at = (before, after), after.detach()
        else:
            before, after = tapes.pop(i)
            if value is None:
                value = loss(after)
                value.backward()  # type: ignore[no-untyped-call]
            else:
                after.backward(gradient)  # type: ignore[no-untyped-call]
            gradient = before.grad
            del before, after
    if value is None:
        raise ValueError("schedule must run the last layer backwards, got none that does")
    return value.detach(), gradient
