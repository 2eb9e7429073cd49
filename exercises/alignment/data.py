# desk 4b4e076f603d: the hash of what follows. Edit below, and the file is yours.
"""Your desk for alignment/data. Write the functions, then: rlcourse check data"""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor


class Sample(NamedTuple):
    """A conversation: tokens (T,) of integers, and mask (T,), True where a token carries loss."""

    tokens: Tensor
    mask: Tensor


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


class Targets(NamedTuple):
    """What a model reads, what it should say next, and which of that counts: (B, T - 1) each."""

    inputs: Tensor
    labels: Tensor
    mask: Tensor


class Packing(NamedTuple):
    """Where each of N sequences goes: its row, and the place in it where it begins."""

    row: list[int]
    offset: list[int]


def chat_sample(turns: Sequence[Turn]) -> Sample:
    """All turns in a row; content and end of the assistant's carry loss  (eq-loss-mask).

    Raises ValueError where there is no token at all.
    """
    raise NotImplementedError


def next_token_targets(tokens: Tensor, mask: Tensor) -> Targets:
    """Position t reads token t and is asked for token t + 1  (eq-shift).

    tokens and mask (B, T) -> (B, T - 1) each. The mask is that of the token asked for.
    """
    raise NotImplementedError


def token_loss(log_probs: Tensor, mask: Tensor, total: int) -> Tensor:
    """-Σ mask log p / K: the loss of a part of a batch that keeps `total` = K tokens (eq-sft-loss).

    log_probs and mask (B, T) -> (). The losses of the parts add up to that of the batch. What the
    mask leaves out has no say, be it infinite or NaN. Raises ValueError for a total below 1.
    """
    raise NotImplementedError


def truncate(tokens: Sequence[int], limit: int, mode: str) -> list[int]:
    """At most `limit` tokens of a sequence.

    "left" cuts at the beginning, "right" at the end, "middle" keeps limit // 2 at the beginning and
    the rest at the end, "error" raises ValueError where something would be cut. So do a limit below
    1 and another mode.
    """
    raise NotImplementedError


def pack(lengths: Sequence[int], capacity: int) -> Packing:
    """First fit, the longest first: each sequence goes into the first row that has room for it.

    Of equally long ones the earlier goes first. Raises ValueError for a length below 1 or above the
    capacity.
    """
    raise NotImplementedError


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Batches of sequence numbers, each of at most `budget` tokens with its padding.

    Sequences are taken in order of their length, the shortest first and of equals the earlier; a
    batch is closed when the next would make longest x count exceed the budget. Raises ValueError
    for a length below 1 or above the budget.
    """
    raise NotImplementedError
