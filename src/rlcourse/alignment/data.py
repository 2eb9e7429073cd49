"""Data for supervised fine-tuning: which tokens carry loss, and what a batch makes of their loss.

    mask     1 for what the assistant says, and for the token that ends its turn      (eq-loss-mask)
    targets  position t predicts token t + 1: labels and mask move together           (eq-shift)
    loss     -Σ_t mask_t log p(y_t) / K, K the kept tokens of the whole batch         (eq-sft-loss)

The headers of a chat template, prompts and the output of tools are read and not learned. A model
that never sees a loss on the end of a turn never learns to stop. And K counts the whole batch, not
the part of it that a step of gradient accumulation sees: else tokens of short parts would count for
more.

Shapes: B sequences, T tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

MODES = "error", "left", "right", "middle"


class Turn(NamedTuple):
    """A turn of a conversation in tokens.

    role     who speaks: "system", "user", "assistant" or "tool"
    header   what the template writes before the content, such as "<|im_start|>user\\n"
    content  what is said
    end      the tokens that end the turn, such as "<|im_end|>"
    after    what the template writes behind the end, such as "\\n"
    """

    role: str
    header: Sequence[int]
    content: Sequence[int]
    end: Sequence[int]
    after: Sequence[int] = ()


class Sample(NamedTuple):
    """A conversation: tokens (T,) of integers, and mask (T,), True where a token carries loss."""

    tokens: Tensor
    mask: Tensor


class Targets(NamedTuple):
    """What a model reads, what it should say next, and which of that counts: (B, T - 1) each."""

    inputs: Tensor
    labels: Tensor
    mask: Tensor


def chat_sample(turns: Sequence[Turn]) -> Sample:
    """All turns in a row; content and end of the assistant's carry loss  (eq-loss-mask).

    Raises ValueError where there is no token at all.
    """
    tokens: list[int] = []
    mask: list[bool] = []
    for turn in turns:
        learned = turn.role == "assistant"
        for part, counts in (
            (turn.header, False),
            (turn.content, learned),
            (turn.end, learned),
            (turn.after, False),
        ):
            tokens += part
            mask += [counts] * len(part)
    if not tokens:
        raise ValueError("turns must hold a token, got none")
    return Sample(torch.tensor(tokens), torch.tensor(mask))


def next_token_targets(tokens: Tensor, mask: Tensor) -> Targets:
    """Position t reads token t and is asked for token t + 1  (eq-shift).

    tokens and mask (B, T) -> (B, T - 1) each. The mask is that of the token asked for.
    """
    return Targets(tokens[:, :-1], tokens[:, 1:], mask[:, 1:])


def token_loss(log_probs: Tensor, mask: Tensor, total: int) -> Tensor:
    """-Σ mask log p / K: the loss of a part of a batch that keeps `total` = K tokens (eq-sft-loss).

    log_probs and mask (B, T) -> (). The losses of the parts add up to that of the batch. What the
    mask leaves out has no say, be it infinite or NaN. Raises ValueError for a total below 1.
    """
    if total < 1:
        raise ValueError(f"total must be at least 1, got {total}")
    return -torch.where(mask, log_probs, 0).sum() / total


def truncate(tokens: Sequence[int], limit: int, mode: str) -> list[int]:
    """At most `limit` tokens of a sequence.

    "left" cuts at the beginning, "right" at the end, "middle" keeps limit // 2 at the beginning and
    the rest at the end, "error" raises ValueError where something would be cut. So do a limit below
    1 and another mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    n = len(tokens)
    if n <= limit:
        return [*tokens]
    if mode == "error":
        raise ValueError(f"tokens must not exceed limit = {limit}, got {n}; or choose a mode")
    first = {"left": 0, "right": limit, "middle": limit // 2}[mode]
    return [*tokens[:first], *tokens[n - (limit - first) :]]
