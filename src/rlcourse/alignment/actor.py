"""A policy at work: it writes answers, says how likely they were, and learns from them.

Each function takes named columns and returns new ones:

    prompts             (B, T)      padded on the left by `pad`
    tokens, present     (B, T + R)  prompts and responses; False for padding
    mask                (B, R)      the response's tokens that the policy wrote
    log_prob_rollout    (B, R)      as they were drawn, token by token, with a cache
    log_prob_old        (B, R)      by the weights that learn, before the first step
    log_prob_ref        (B, R)      by the reference
    advantage           (B, R)

Shapes: B responses, T tokens of the longest prompt, R of the longest response.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.alignment.columns import Columns, parts, stacked
from rlcourse.language.decoding import generate
from rlcourse.language.log_probs import fused_log_probs_and_entropy
from rlcourse.language.masks import padded_mask, padded_positions
from rlcourse.language.sampling import Sampling
from rlcourse.language.transformer import Decoder


@dataclass(frozen=True)
class Writing:
    """How answers are drawn: until a token of `eos`, or `max_tokens`; `pad` is no token.

    Only the temperature may shape the distribution: by it the same weights say later, without a
    cache, how likely the answer was. What a cut would have left out can't be said then.
    """

    max_tokens: int
    eos: tuple[int, ...]
    pad: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check.positive_integer("max_tokens", self.max_tokens)
        _check.positive("temperature", self.temperature)
        if self.pad in self.eos:
            raise ValueError(f"pad must be no end-of-text token, got {self.pad} in {self.eos}")


def written(
    model: Decoder, batch: Columns, how: Writing, *, generator: torch.Generator
) -> dict[str, Tensor]:
    """An answer to each prompt: tokens, present, mask, log_prob_rollout."""
    rows = [row[row != how.pad].tolist() for row in batch["prompts"]]
    found = generate(
        model, rows, sampling=Sampling(how.temperature), max_tokens=how.max_tokens, eos=how.eos,
        pad=how.pad, generator=generator,
    )  # fmt: skip
    return {
        "tokens": found.tokens, "present": found.present, "mask": found.mask,
        "log_prob_rollout": found.log_probs,
    }  # fmt: skip


def states(model: Decoder, batch: Columns) -> Tensor:
    """What the model has read before each token of the responses: (B, R, C)."""
    tokens, present = batch["tokens"][:, :-1], batch["present"][:, :-1]
    even = bool(present[:, 0].all())  # padding on the right alone: nobody looks there
    layout: dict[str, Any] = {} if even else {
        "positions": padded_positions(present),
        "mask": padded_mask(present, present.shape[1]),
    }  # fmt: skip
    return model.states(tokens, **layout)[:, -batch["mask"].shape[1] :]


def response_log_probs(
    model: Decoder, batch: Columns, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """log π(y_t) of each token of the responses, and the entropy before it: (B, R) each, in nats.

    At the temperature that they were drawn with; 0 for padding.
    """
    mask = batch["mask"]
    answer = batch["tokens"][:, -mask.shape[1] :]
    found = fused_log_probs_and_entropy(
        states(model, batch), model.head, answer, temperature=temperature
    )
    return tuple(torch.where(mask, x, 0) for x in found)  # type: ignore[return-value]


def scored(
    model: Decoder, batch: Columns, name: str, rows: int, temperature: float = 1.0
) -> dict[str, Tensor]:
    """log π(y_t) as a column of this name, so many rows at a time, without gradients."""
    with torch.no_grad():
        return stacked(
            [{name: response_log_probs(model, part, temperature)[0]} for part in parts(batch, rows)]
        )
