"""Log-probabilities of the tokens that came, without ever holding the logits of them all.

    log p(y_t) = z_{t, y_t} - log Σ_v exp(z_{t, v}),   z_t = W x_t            (eq-token-log-prob)

With a vocabulary of 152 000 the logits z of 2 000 tokens take 1.2 GB in float32, their softmax as
much again, and its gradient too: often the peak of a training step. But they are cheap to compute
anew, so `fused_log_probs` goes through the tokens in chunks, keeps one number for each, the
log-sum-exp, and in the backward has the logits of one chunk at a time again:

    ∂/∂z_{t, v} = g_t (1[v = y_t] - p_{t, v})            for any loss with g_t = ∂L/∂ log p(y_t)

Shapes: T tokens (any leading axes), C width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from rlcourse.language.numbers import wide

NUMBERS = 1 << 24  # logits of a chunk: 64 MiB in float32


def token_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log p(y_t): logits (..., V), tokens (...) -> (...)  (eq-token-log-prob)."""
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)


def fused_log_probs(
    states: Tensor, head: Tensor, tokens: Tensor, *, chunk: int | None = None
) -> Tensor:
    """`token_log_probs(states @ head.T, tokens)` a chunk of tokens at a time (eq-token-log-prob).

    states (..., C), head (V, C), tokens (...) -> (...), in float32 at least. For a temperature
    divide the states by it. chunk: tokens at a time, else as many as have 2^24 logits. Gradients of
    states and head are exact for any use of the result; second derivatives are not there. Raises
    ValueError for shapes that don't fit, and for tokens outside the vocabulary.
    """
    size, width = head.shape
    if states.shape != (*tokens.shape, width):
        expected = (*tokens.shape, width)
        raise ValueError(f"states must have shape {expected}, got {tuple(states.shape)}")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        wrong = tokens[(tokens < 0) | (tokens >= size)]
        raise ValueError(f"tokens must lie in [0, {size}), got {int(wrong[0])}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    rows = chunk or max(1, NUMBERS // size)
    flat: Tensor = _Fused.apply(states.reshape(-1, width), head, tokens.reshape(-1), rows)  # type: ignore[no-untyped-call]
    return flat.reshape(tokens.shape)


class _Fused(torch.autograd.Function):
    """states (T, C), head (V, C), tokens (T,) -> (T,)."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, tokens: Tensor, rows: int) -> Tensor:
        kind = wide(states.dtype)
        lse = states.new_empty(len(states), dtype=kind)
        own = states.new_empty(len(states), dtype=kind)
        for part in _parts(len(states), rows):
            z = (states[part] @ head.T).to(kind)
            own[part] = z.gather(1, tokens[part, None])[:, 0]
            lse[part] = z.logsumexp(1)
        ctx.save_for_backward(states, head, tokens, lse)
        ctx.rows = rows
        return own - lse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, head, tokens, lse = ctx.saved_tensors
        (g,) = gradients
        d_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        d_head = head.new_zeros(head.shape, dtype=lse.dtype) if ctx.needs_input_grad[1] else None
        for part in _parts(len(states), ctx.rows):
            z = (states[part] @ head.T).to(lse.dtype)
            z = z.sub_(lse[part, None]).exp_().mul_(-g[part, None])  # -g p
            z.scatter_add_(1, tokens[part, None], g[part, None])
            if d_states is not None:
                d_states[part] = z.to(head.dtype) @ head
            if d_head is not None:
                d_head.addmm_(z.T, states[part].to(lse.dtype))
        return d_states, None if d_head is None else d_head.to(head.dtype), None, None


def _parts(n: int, rows: int) -> list[slice]:
    return [slice(i, i + rows) for i in range(0, n, rows)]
