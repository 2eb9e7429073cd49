"""Checkpointing on a real model: the blocks of a decoder, run by every schedule and counted.

The chain begins behind the embedding, so that its input is the first state; norm, logits and loss
come after the last layer. Shapes: L layers, B sequences, N tokens. Bytes are beyond what is there
before: weights, gradients of an earlier step, the input and the tables of rotary positions.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from rlcourse.language.attention import sdpa
from rlcourse.language.config import Config
from rlcourse.language.rotary import cached_frequencies, cos_sin
from rlcourse.language.training import next_token_loss
from rlcourse.language.transformer import Block, Decoder
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems.checkpoint_schedules import Cost, Schedule, run
from rlcourse.systems.memory_counter import MemoryCounter, storage_bytes
from rlcourse.systems.recompute import backpropagate, recomputed
from rlcourse.systems.saved_tensors import saved_tensors

CONFIG = Config(64, 64, 12, heads=4, kv_heads=4, head_dim=16, hidden=160)
BATCH, TOKENS = 4, 64
Layer = Callable[[Tensor], Tensor]
PRODUCTS = [torch.ops.aten.mm.default, torch.ops.aten.addmm.default]
ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


class Chain(NamedTuple):
    """Layers of a decoder, the loss of what the last one gives, and the input.

    there  tensors that are there before: weights, their gradients, input, tables
    """

    layers: list[Layer]
    loss: Layer
    x: Tensor
    weights: list[Tensor]
    there: list[Tensor]


def chain(
    config: Config = CONFIG, batch: int = BATCH, tokens: int = TOKENS, halves: bool = False,
    *, generator: torch.Generator,
) -> Chain:  # fmt: skip
    """The blocks of a decoder, or its halves: attention and SwiGLU in turn, each with its norm."""
    model: Any = Decoder(config, generator=generator)
    windows = torch.randint(config.vocabulary, (batch, tokens + 1), generator=generator)
    angle = angles(config, tokens)
    x = model.embed_tokens(windows[:, :-1]).detach().requires_grad_()
    weights: list[Tensor] = list(model.parameters())
    for p in weights:
        p.grad = torch.zeros_like(p)
    layers: list[Layer] = []
    for block in model.layers:
        parts = (_attention, _swiglu) if halves else (_block,)
        layers += [partial(part, block, angle) for part in parts]

    def loss(y: Tensor) -> Tensor:
        return next_token_loss(F.linear(model.norm(y), model.head), windows)

    gradients = [p.grad for p in weights if p.grad is not None]
    return Chain(layers, loss, x, weights, [x, windows, *weights, *gradients, *angle])


def angles(config: Config, tokens: int) -> tuple[Tensor, ...]:
    """Cosines and sines of the rotary positions, (1, 1, N, D) each."""
    omega = cached_frequencies(config.head_dim, config.theta, config.scaling)
    return tuple(a[:, None].float() for a in cos_sin(torch.arange(tokens)[None], omega))


def _block(block: Block, angle: Any, x: Tensor) -> Tensor:
    return block(x, angle, None, None, sdpa)  # type: ignore[no-any-return]


def _attention(block: Block, angle: Any, x: Tensor) -> Tensor:
    y: Tensor = block.self_attn(block.input_layernorm(x), angle, None, None, sdpa)
    return x + y


def _swiglu(block: Block, angle: Any, x: Tensor) -> Tensor:
    y: Tensor = block.mlp(block.post_attention_layernorm(x))
    return x + y


def tape_bytes(chain: Chain) -> list[int]:
    """Bytes that autograd saves in each layer beside its input, by PyTorch's own hooks."""
    return [storage_bytes(saved_tensors(partial(f, chain.x), chain.there)) for f in chain.layers]


# ------------------------------------------------------------------------------- the ways


def ways(layers: int) -> dict[str, Schedule]:
    """Schedules of this chapter, from the most memory to the least."""
    return {
        "store all": schedules.store_all(layers),
        **{f"{k} segments": schedules.segments(layers, k) for k in (2, 3, 4, 6)},
        "every block": schedules.segments(layers, layers),
        **{f"revolve, {c} states": schedules.revolve(layers, c) for c in (4, 3, 2)},
        "recursive": schedules.recursive(layers),
        "recompute all": schedules.recompute_all(layers),
    }


def autograd(wrap: Callable[[Layer], Layer], chain: Chain) -> None:
    """Forward and backward by autograd alone, each layer wrapped."""
    x = chain.x
    for f in chain.layers:
        x = wrap(f)(x)
    torch.autograd.backward(chain.loss(x))


def _keeping(kept: Iterable[Any]) -> Callable[[Layer], Layer]:
    contexts = partial(create_selective_checkpoint_contexts, list(kept))
    return lambda f: partial(checkpoint, f, use_reentrant=False, context_fn=contexts)


WRAPPED: dict[str, Callable[[Layer], Layer]] = {
    "autograd": lambda f: f,
    "recomputed": lambda f: partial(recomputed, f),
    "torch.utils.checkpoint": lambda f: partial(checkpoint, f, use_reentrant=False),
    "the same, products kept": _keeping(PRODUCTS),
    "the same, attention kept": _keeping([ATTENTION]),
}


def methods(chain: Chain) -> dict[str, Callable[[], object]]:
    """Every way on this chain, ready to run; gradients add up in the weights."""
    found: dict[str, Callable[[], object]] = {
        name: partial(backpropagate, schedule, chain.layers, chain.x, chain.loss)
        for name, schedule in ways(len(chain.layers)).items()
    }
    return found | {name: partial(autograd, wrap, chain) for name, wrap in WRAPPED.items()}


def counted(chain: Chain, method: Callable[[], object]) -> tuple[int, list[Tensor]]:
    """The most bytes alive in a run beyond what was there before, and the weights' gradients."""
    gradients = [p.grad for p in chain.weights if p.grad is not None]
    for gradient in gradients:
        gradient.zero_()
    with MemoryCounter() as counter:
        counter.add(chain.there)
        before = counter.live
        method()
        peak = counter.peak - before
    return peak, [gradient.clone() for gradient in gradients]


def costs(chain: Chain) -> dict[str, Cost]:
    """Forwards and bytes at the peak of each schedule, from the sizes of this chain's tensors."""
    tapes, layers = tape_bytes(chain), len(chain.layers)
    states = [int(chain.x.nbytes)] * layers
    return {
        name: run(schedule, [1] * layers, states, tapes) for name, schedule in ways(layers).items()
    }
