"""Log-probabilities of the tokens that came, without ever holding the logits of them all.

    log p(y_t) = z_{t, y_t} - log Σ_v exp(z_{t, v}),   z_t = W x_t / τ        (eq-sampled)
    H_t        = - Σ_v p_{t, v} log p_{t, v}

With a vocabulary of 152 000 the logits z of 2 000 tokens take 1.2 GB in float32, their softmax as
much again, and its gradient too: often the peak of a training step. But they are cheap to compute
anew, so `fused_log_probs` goes through the vocabulary in chunks that fit the processor's cache. It
keeps the largest logit so far and the sum of exponentials beside it, as online softmax does. The
backward has the logits of a chunk again, and writes that chunk's rows of ∂L/∂W once:

    ∂L/∂z_{t, v} = g_t (1[v = y_t] - p_{t, v}) - h_t p_{t, v} (log p_{t, v} + H_t)
                                   for any loss, with g_t = ∂L/∂ log p(y_t) and h_t = ∂L/∂H_t

Shapes: T tokens (any leading axes), C width, V vocabulary.
Sources: Hsu et al. (2024), Liger kernels; Wijmans et al. (2024), cut cross-entropy.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlcourse.language.numbers import wide

NUMBERS, FEWEST = 1 << 20, 128  # logits of a chunk: 4 MiB in float32; columns of one at least


def fused_log_probs(
    states: Tensor,
    head: Tensor,
    tokens: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """`sampled_log_probs(states @ head.T / temperature, tokens)` without all those logits.

    The first that `fused_log_probs_and_entropy` returns, which says the rest  (eq-sampled).
    """
    return fused_log_probs_and_entropy(states, head, tokens, temperature=temperature, chunk=chunk)[
        0
    ]


def fused_log_probs_and_entropy(
    states: Tensor,
    head: Tensor,
    tokens: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """log p(y_t) and the entropy H_t, in nats  (eq-sampled).

    states (..., C), head (V, C), tokens (...) -> (...) each. Products are in the type of head, as
    in the layer itself; sums are in float32 at least. chunk: columns of logits at a time, else so
    many that 2^20 logits are held. Gradients of states and head are exact for any use of the two;
    second derivatives are refused. Raises ValueError for shapes that don't fit, types that differ,
    tokens outside the vocabulary, and a temperature that isn't positive.
    """
    size, width = head.shape
    if states.shape != (*tokens.shape, width):
        expected = (*tokens.shape, width)
        raise ValueError(f"states must have shape {expected}, got {tuple(states.shape)}")
    if states.dtype != head.dtype:
        raise ValueError(f"states must have the type of head, {head.dtype}, got {states.dtype}")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        wrong = tokens[(tokens < 0) | (tokens >= size)]
        raise ValueError(f"tokens must lie in [0, {size}), got {int(wrong[0])}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    columns = chunk or max(FEWEST, NUMBERS // max(1, tokens.numel()))
    log_probs, entropy = _Fused.apply(  # type: ignore[no-untyped-call]
        states.reshape(-1, width), head, tokens.flatten(), temperature, columns
    )
    return log_probs.reshape(tokens.shape), entropy.reshape(tokens.shape)


class _Fused(torch.autograd.Function):
    """states (T, C), head (V, C), tokens (T,) -> log-probabilities and entropy, (T,) each."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, tokens: Tensor, temperature: float, columns: int
    ) -> tuple[Tensor, Tensor]:
        kind = wide(states.dtype)
        own, total, mean = states.new_zeros(3, len(states), 1, dtype=kind)
        largest = torch.full_like(own, torch.finfo(kind).min)
        for start, part in _parts(head, columns):
            z = _logits(states, part, temperature)
            here, column = _places(tokens, start, len(part))
            own = torch.where(here, z.gather(1, column), own)
            new = torch.maximum(largest, z.amax(1, keepdim=True))
            shift = largest - new
            mean = (mean + total * shift) * shift.exp()  # Σ e^(z - new) (z - new), so far
            total, largest = total * shift.exp(), new
            e = z.sub_(new).exp()
            mean += torch.linalg.vecdot(e, z)[:, None]
            total += e.sum(1, keepdim=True)
        entropy = total.log() - mean / total
        lse = largest + total.log()
        ctx.save_for_backward(states, head, tokens, lse, entropy)
        ctx.temperature, ctx.columns = temperature, columns
        ctx.set_materialize_grads(False)
        return (own - lse)[:, 0], entropy[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        states, head, tokens, lse, entropy = ctx.saved_tensors
        g, h = (None if x is None else x[:, None] / ctx.temperature for x in gradients)
        g = torch.zeros_like(lse) if g is None else g
        d_states = torch.zeros_like(states, dtype=lse.dtype) if ctx.needs_input_grad[0] else None
        d_head = torch.empty_like(head) if ctx.needs_input_grad[1] else None
        for start, part in _parts(head, ctx.columns):
            z = _logits(states, part, ctx.temperature).sub_(lse)  # log p
            if h is None:
                z.exp_().mul_(-g)
            else:
                z = z.exp().mul_((z + entropy).mul_(-h).sub_(g))
            here, column = _places(tokens, start, len(part))
            z.scatter_add_(1, column, torch.where(here, g, 0))
            z = z.to(head.dtype)
            if d_states is not None:
                d_states += z @ part
            if d_head is not None:
                torch.mm(z.T, states, out=d_head[start : start + len(part)])
        return None if d_states is None else d_states.to(states.dtype), d_head, None, None, None


def _parts(head: Tensor, columns: int) -> list[tuple[int, Tensor]]:
    return [(i, head[i : i + columns]) for i in range(0, len(head), columns)]


def _logits(states: Tensor, part: Tensor, temperature: float) -> Tensor:
    z = (states @ part.T).to(wide(states.dtype))
    return z if temperature == 1 else z.div_(temperature)


def _places(tokens: Tensor, start: int, columns: int) -> tuple[Tensor, Tensor]:
    """Which tokens (T,) lie in the columns from `start` on, and in which one: (T, 1) each."""
    column = tokens[:, None] - start
    return (column >= 0) & (column < columns), column.clamp(0, columns - 1)
