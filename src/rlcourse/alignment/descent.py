"""What every training of this room does at a step: an order of samples, a check, and a step down.

The rate's schedule, AdamW and the longest gradient are those of `rlcourse.language.training`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rlcourse.language.training import Model, Settings, learning_rate


def batches(count: int, size: int, *, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows (size,) of `count` samples for ever, each epoch in another order; what an epoch leaves
    over, less than a batch, is not used. Raises ValueError for fewer samples than a batch."""
    if count < size:
        raise ValueError(f"samples must be at least {size}, a batch, got {count}")
    while True:
        order = torch.randperm(count, generator=generator)[: count // size * size]
        yield from order.view(-1, size)


def finite(loss: Tensor, step: int) -> float:
    """The loss as a number; FloatingPointError says at which step it was none."""
    if not loss.isfinite():
        raise FloatingPointError(f"the loss is no number at step {step}")
    return float(loss.detach())


def descend(model: Model, optimiser: torch.optim.Optimizer, settings: Settings, step: int) -> float:
    """Go down the gradient that the weights hold, at the rate of this step, and forget it.

    It is shortened to `settings.most` where it is longer. Returns its length before that.
    """
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, settings)
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.most)
    optimiser.step()
    optimiser.zero_grad()
    return float(length)
