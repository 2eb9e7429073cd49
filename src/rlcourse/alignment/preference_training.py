"""Training on comparisons with a loss of `rlcourse.alignment.dpo`, or any like it.

    total = mean loss(h) + w · (SFT loss on the chosen)                  (eq-dpo-with-sft)

The reference scores every answer once, before the first step; then it is not needed any more. The
SFT term keeps what DPO alone lets go: a margin grows as well where both answers lose probability,
the rejected more than the chosen.

Shapes: M comparisons, B of them in a batch, T tokens of a row.
"""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment.data import token_loss
from rlcourse.alignment.descent import batches, descend, finite
from rlcourse.alignment.dpo import SequenceLogProbs, preference_margin, sequence_log_probs
from rlcourse.alignment.packing import Batch
from rlcourse.alignment.reward_network import Comparisons, both_sides
from rlcourse.alignment.sft import scored
from rlcourse.deep.progress import Progress
from rlcourse.language.training import Settings, adamw
from rlcourse.language.transformer import Decoder


class Answers(NamedTuple):
    """Log-probabilities of chosen and rejected answers, in all and a token, by the policy; and
    log π_ref of them, (B,) each."""

    chosen: SequenceLogProbs
    rejected: SequenceLogProbs
    chosen_ref: Tensor
    rejected_ref: Tensor


class PreferenceStep(NamedTuple):
    """A step, before it: its loss, and means over its pairs.

    accuracy: the share of pairs with a positive margin; chosen and rejected: log π/π_ref, in nats.
    """

    loss: float
    accuracy: float
    chosen: float
    rejected: float


Loss = Callable[[Answers, Tensor], Tensor]  # log-probabilities and the margin h (B,) -> (B,)


def log_probs_of(model: Decoder, batch: Batch, rows: int = 1024) -> Tensor:
    """log π(y|x) of each row's answer, (B,), so many rows at a time, without gradients."""
    with torch.no_grad():
        parts = zip(*(torch.split(x, rows) for x in batch), strict=True)
        found = [sequence_log_probs(*scored(model, Batch(*part))).total for part in parts]
    return torch.cat(found)


def train_on_comparisons(
    model: Decoder,
    reference: Decoder,
    comparisons: Comparisons,
    loss: Loss,
    settings: Settings,
    *,
    generator: torch.Generator,
    sft_weight: float = 0.0,
    progress: Progress | None = None,
) -> list[PreferenceStep]:
    """`settings.batch` comparisons a step, each epoch in another order.

    model is written to, the reference isn't; they may begin as copies, not as one object. Raises
    ValueError for fewer comparisons than a batch and for one model twice, FloatingPointError where
    a loss is no number.
    """
    x, count = settings, len(comparisons.chosen.tokens)
    if model is reference:
        raise ValueError("reference must be a copy of the model, got the model itself")
    ref = [log_probs_of(reference, side) for side in comparisons]
    optimiser, steps = adamw(model, x), []
    rows = batches(count, x.batch, generator=generator)
    for step, own in enumerate(islice(rows, x.steps)):
        ref_chosen, ref_rejected = (side[own] for side in ref)
        log_probs, mask = scored(model, both_sides(comparisons, own))
        parts = zip(log_probs.chunk(2), mask.chunk(2), strict=True)
        better, worse = (sequence_log_probs(*part) for part in parts)
        answers = Answers(better, worse, ref_chosen, ref_rejected)
        chosen, rejected = better.total, worse.total
        margin = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
        total = loss(answers, margin).mean()
        if sft_weight:
            kept = mask[: x.batch]
            total = total + sft_weight * token_loss(log_probs[: x.batch], kept, int(kept.sum()))
        finite(total, step)
        torch.autograd.backward(total)
        descend(model, optimiser, x, step)
        says = total, (margin > 0).double(), chosen - ref_chosen, rejected - ref_rejected
        steps.append(PreferenceStep(*(float(a.detach().mean()) for a in says)))
        if progress:
            progress(step + 1, x.steps, np.array([s.loss for s in steps[-20:]]))
    return steps
