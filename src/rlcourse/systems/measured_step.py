"""A training step for real, and the most bytes alive in each of its phases.

    forward    logits and loss of a batch; the gradients of the step before are gone
    backward   gradients
    update     AdamW; its moments come in the first one

`MemoryCounter` measures on a CPU, to the byte; on a GPU any function that returns the peak so far
and starts anew can be handed in. The same three phases of a `memory_timeline` are the prediction.
Shapes: B sequences, N tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from rlcourse.language.config import Config
from rlcourse.language.numbers import wide
from rlcourse.language.rotary import cached_frequencies
from rlcourse.language.transformer import Decoder
from rlcourse.systems.decoder_memory import Sizes
from rlcourse.systems.memory_counter import MemoryCounter
from rlcourse.systems.memory_timeline import Moment

FUSED: Mapping[str, Any] = {"fused": True}


class Peaks(NamedTuple):
    """The most bytes alive in each phase of a step."""

    forward: int
    backward: int
    update: int


def decoder_of(
    sizes: Sizes, dtype: torch.dtype, checkpointing: bool, *, generator: torch.Generator
) -> Decoder:
    """A model of these sizes, on the generator's device; its table of frequencies is there."""
    config = Config(**sizes._asdict(), positions=2**20)
    model = Decoder(config, generator=generator).to(dtype)
    cached_frequencies(config.head_dim, config.theta, config.scaling)
    if checkpointing:
        checkpoint_modules(model.layers)
    return model


def checkpoint_modules(modules: Sequence[nn.Module] | nn.ModuleList) -> None:
    """From now on each of them keeps its input alone, and is run again in the backward pass.

    Nothing in them is random, so no state of a generator is kept.
    """
    for module in modules:
        module.forward = partial(
            checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False
        )


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of −log p of the targets (B, N) under logits (B, N, V), in float32 at least."""
    return F.cross_entropy(logits.flatten(0, 1).to(wide(logits.dtype)), targets.flatten())


def measured(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    optimizer: torch.optim.Optimizer,
    mark: Callable[[], int],
    steps: int = 2,
) -> list[Peaks]:
    """Peaks of so many steps; `mark` returns the peak since it was called last. (B, N) both."""
    peaks = []
    for _ in range(steps):
        optimizer.zero_grad()
        mark()
        loss = loss_of(model(inputs), targets)
        forward = mark()
        torch.autograd.backward(loss)
        backward = mark()
        optimizer.step()
        peaks.append(Peaks(forward, backward, mark()))
        del loss
    return peaks


def counted(
    sizes: Sizes,
    batch: int,
    tokens: int,
    dtype: torch.dtype = torch.float32,
    checkpointing: bool = False,
    *,
    generator: torch.Generator,
    update: Mapping[str, Any] = FUSED,
) -> list[Peaks]:
    """Peaks of the first and the second step of a decoder on a CPU, counted to the byte.

    update: options of torch.optim.AdamW.
    """
    model = decoder_of(sizes, dtype, checkpointing, generator=generator)
    x, y = torch.randint(sizes.vocabulary, (2, batch, tokens), generator=generator)
    x, y = x.clone(), y.clone()  # storages of their own
    optimizer = torch.optim.AdamW(model.parameters(), **update)
    with MemoryCounter() as counter:
        counter.add([*model.parameters(), x, y])
        return measured(model, x, y, optimizer, counter.mark)


def predicted(moments: Sequence[Moment]) -> Peaks:
    """The same of a timeline; a recomputation and a reduction belong to the backward pass."""
    phases = {
        "forward": "forward",
        "backward": "backward",
        "reduce": "backward",
        "update": "update",
    }
    most = dict.fromkeys(Peaks._fields, 0)
    for moment in moments:
        phase = phases[moment.name.split()[0]]
        most[phase] = max(most[phase], moment.total)
    return Peaks(**most)
