# desk f3a90b074fa6: the hash of what follows. Edit below, and the file is yours.
"""Your desk for language/decoding. Write the functions, then: rlcourse check decoding"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Padded(NamedTuple):
    """Sequences of unequal length as one array.

    tokens   (B, T)  integers
    present  (B, T)  Boolean, False for padding
    """

    tokens: Tensor
    present: Tensor


class BeamStep(NamedTuple):
    """The best continuations of a step, best first: score, parent and token, (B, n) each.

    parent is the number of the beam that a continuation comes from.
    """

    score: Tensor
    parent: Tensor
    token: Tensor


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """The fewest likeliest tokens whose probabilities sum to p or more; the rest -inf  (eq-top-p).

    The token with which the sum reaches p is kept, so at least one is. Of equals the first counts
    as the likelier. logits (..., V), 0 < p <= 1.
    """
    raise NotImplementedError


def penalise_repetition(
    logits: Tensor, tokens: Tensor, penalty: float, present: Tensor | None = None
) -> Tensor:
    """z / c where z > 0 and z c elsewhere, for the tokens that stand in their row  (eq-repetition).

    logits (B, V), tokens (B, T); present (B, T) is False for padding, which doesn't count. However
    often a token stands there, it is penalised once.
    """
    raise NotImplementedError


def sampled_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(z) at the tokens: the log-probability with which each was drawn  (eq-sampled).

    logits (..., V) after all that reshaped and cut them, tokens (...). A token that was cut has
    -inf.
    """
    raise NotImplementedError


def left_pad(prompts: Sequence[Sequence[int]], pad: int) -> Padded:
    """All prompts end in the last column; before the shorter ones stands `pad`.

    Raises ValueError where there is no prompt, or a prompt has no token.
    """
    raise NotImplementedError


def response_mask(response: Tensor, eos: Sequence[int]) -> Tensor:
    """(B, R): True up to the first end-of-text token and for it, False after  (eq-response-mask).

    response (B, R); eos: the tokens that end a text. It looks at places, not at what padding is
    made of: a model whose padding is its end-of-text token still learns to stop.
    """
    raise NotImplementedError


def beam_step(scores: Tensor, log_probs: Tensor, n: int) -> BeamStep:
    """The n best of all K V continuations of each batch row  (eq-beam).

    scores (B, K): the log-probability of each beginning; log_probs (B, K, V): of the tokens after
    it. Of equals the one with the lower beam comes first, then the one with the lower token.
    """
    raise NotImplementedError
