"""Decoding: a model says what may come next; decoding decides what does, and when to stop.

    p(y | x) = Π_t p(y_t | x, y_<t)                    each factor after `process`   (eq-rollout)

Prompts of unequal length are padded on the left, so that all of them end at one place, where the
first new token goes. Every token is read once: its keys and values stay in a cache. A row ends with
its first end-of-text token, which belongs to the response; what the batch still adds to it is
padding, and carries no weight.

Shapes: B prompts, T tokens of the longest prompt, R new tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse.language.attention import Attention, sdpa
from rlcourse.language.masks import padded_mask, padded_positions
from rlcourse.language.numbers import wide
from rlcourse.language.sampling import Sampling, draw, process
from rlcourse.language.transformer import Decoder


class Padded(NamedTuple):
    """Sequences of unequal length as one array.

    tokens   (B, T)  integers
    present  (B, T)  Boolean, False for padding
    """

    tokens: Tensor
    present: Tensor


class Rollout(NamedTuple):
    """Prompts and what was drawn after them.

    tokens     (B, T + R)  prompts padded on the left, responses padded on the right
    present    (B, T + R)  False for padding
    response   (B, R)      the last R of the tokens
    mask       (B, R)      True for the tokens of a response, its end-of-text token included
    log_probs  (B, R)      of each token in the distribution that it was drawn from; 0 for padding
    """

    tokens: Tensor
    present: Tensor
    response: Tensor
    mask: Tensor
    log_probs: Tensor


def left_pad(prompts: Sequence[Sequence[int]], pad: int) -> Padded:
    """All prompts end in the last column; before the shorter ones stands `pad`.

    Raises ValueError where there is no prompt, or a prompt has no token.
    """
    if not prompts:
        raise ValueError("prompts must not be empty, got none")
    lengths = [len(prompt) for prompt in prompts]
    if not all(lengths):
        raise ValueError(f"prompts must have a token each, number {lengths.index(0)} has none")
    longest = max(lengths)
    tokens = torch.tensor([[pad] * (longest - len(p)) + [*p] for p in prompts])
    present = torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]
    return Padded(tokens, present)


def response_mask(response: Tensor, eos: Sequence[int]) -> Tensor:
    """(B, R): True up to the first end-of-text token and for it, False after  (eq-response-mask).

    response (B, R); eos: the tokens that end a text. It looks at places, not at what padding is
    made of: a model whose padding is its end-of-text token still learns to stop.
    """
    ends = torch.isin(response, response.new_tensor(eos))
    return ends.cumsum(1) <= ends


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: Sampling,
    max_tokens: int,
    eos: Sequence[int],
    pad: int,
    generator: torch.Generator | None,
    attention: Attention = sdpa,
) -> Rollout:
    """Draw up to `max_tokens` tokens after each prompt  (eq-rollout).

    It stops when every row has met a token of eos. The uniforms of a row are its own: the same
    whatever the others do, as long as the row keeps its place. Temperature 0 needs no generator.
    Raises ValueError for empty prompts, ids outside the vocabulary, and more tokens than positions.
    """
    tokens, present = left_pad(prompts, pad)
    batch, start = tokens.shape
    end = start + max_tokens
    check_request(model, prompts, (pad, *eos), max_tokens)
    uniform = None
    if sampling.temperature > 0:
        if generator is None:
            raise ValueError("generator must be given unless temperature is 0, got None")
        uniform = torch.rand(batch, max_tokens, generator=generator, dtype=torch.float64)
    tokens = torch.cat([tokens, tokens.new_full((batch, max_tokens), pad)], 1)
    present = torch.cat([present, present.new_ones(batch, max_tokens)], 1)
    even = bool(present.all())
    places, cache = padded_positions(present), model.cache(batch, end)
    kind = wide(model.head.dtype)
    log_probs = torch.zeros(batch, max_tokens, dtype=kind)
    ends, alive = tokens.new_tensor(eos), torch.ones(batch, dtype=torch.bool)
    with torch.inference_mode():
        new = slice(0, start)
        for t in range(start, end):
            mask = None if even else padded_mask(present[:, :t], t - new.start)
            layout: dict[str, Any] = {"positions": places[:, new], "mask": mask, "cache": cache}
            states = model.states(tokens[:, new], **layout, attention=attention)
            logits = F.linear(states[:, -1], model.head).to(kind)
            z = process(logits, tokens[:, :t], sampling, present[:, :t])
            drawn, log_prob = draw(z, None if uniform is None else uniform[:, t - start])
            tokens[:, t] = torch.where(alive, drawn, pad)
            log_probs[:, t - start] = torch.where(alive, log_prob, 0)
            alive = alive & ~torch.isin(drawn, ends)
            new = slice(t, t + 1)
            if not alive.any():
                break
    response = tokens[:, start : new.stop]
    mask = response_mask(response, eos)
    present = torch.cat([present[:, :start], mask], 1)
    return Rollout(
        tokens[:, : new.stop], present, response, mask, log_probs[:, : response.shape[1]]
    )


def check_request(
    model: Decoder, prompts: Sequence[Sequence[int]], specials: Sequence[int], max_tokens: int
) -> None:
    """ValueError where the prompts or special ids are none of the model's, or there is no room."""
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    longest, most = max(map(len, prompts)), model.config.positions
    if longest + max_tokens > most:
        raise ValueError(
            f"max_tokens must leave room for a prompt of {longest} among {most} positions, "
            f"got {max_tokens}"
        )
    size = model.config.vocabulary
    for name, row in (*((f"prompts[{i}]", p) for i, p in enumerate(prompts)), ("eos", specials)):
        if wrong := [x for x in row if not 0 <= x < size]:
            raise ValueError(f"{name} must hold ids in [0, {size}), got {wrong[0]}")
