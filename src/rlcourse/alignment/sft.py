"""Supervised fine-tuning: next-token loss on what the assistant said, whatever the layout.

    log p of each token asked for     `fused_log_probs`, without the logits of them all
    loss = -Σ mask log p / K          K the kept tokens of a step, in all its parts   (eq-sft-loss)

A step may see its samples padded, packed or in parts, one after another: the gradient is the same.
Packed rows take the block-diagonal mask and positions that start anew; the first token of a
sequence is nobody's to predict, since what stands before it is another sequence.

Shapes: B rows, T tokens of a row.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment.data import Sample, next_token_targets, token_loss
from rlcourse.alignment.packing import Batch, packed_batch, padded_batch
from rlcourse.deep.progress import Progress
from rlcourse.language.log_probs import fused_log_probs
from rlcourse.language.masks import packed_mask, packed_positions
from rlcourse.language.training import Settings, adamw, learning_rate
from rlcourse.language.transformer import Decoder


class Scored(NamedTuple):
    """log p of the tokens asked for and which of them carry loss, (B, T - 1) each."""

    log_probs: Tensor
    mask: Tensor


def kept(batch: Batch) -> Tensor:
    """(B, T - 1): which tokens carry loss, among those that follow one of their own sequence."""
    same = batch.segments[:, 1:] == batch.segments[:, :-1]
    return next_token_targets(batch.tokens, batch.mask).mask & same


def scored(model: Decoder, batch: Batch) -> Scored:
    """What the model gives each token, after those of its own sequence alone."""
    inputs, labels, _ = next_token_targets(batch.tokens, batch.mask)
    segments = batch.segments[:, :-1]
    states = model.states(
        inputs, positions=packed_positions(segments), mask=packed_mask(segments)
    )  # fmt: skip
    return Scored(fused_log_probs(states, model.head, labels), kept(batch))


def parts_of(batch: Batch, rows: int) -> list[Batch]:
    """The batch in parts of so many rows, the last may have fewer."""
    return [Batch(*x) for x in zip(*(torch.split(x, rows) for x in batch), strict=True)]


def backward(model: Decoder, batch: Batch, rows: int | None = None) -> float:
    """Add the gradient of the batch's loss to the weights'; that loss, in nats a kept token.

    With `rows` it goes through so many at a time: less memory, the same gradient. Raises ValueError
    where no token carries loss.
    """
    total = int(kept(batch).sum())
    if not total:
        raise ValueError("batch must have tokens that carry loss, got none")
    loss = 0.0
    for part in parts_of(batch, rows or len(batch.tokens)):
        own = token_loss(*scored(model, part), total)
        torch.autograd.backward(own)
        loss += float(own.detach())
    return loss


def fine_tune(
    model: Decoder,
    samples: Sequence[Sample],
    settings: Settings,
    *,
    generator: torch.Generator,
    packed: bool = True,
    rows: int | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Train on samples, `settings.batch` a step, epoch after epoch shuffled; the losses.

    packed: into rows of `settings.window` tokens, else padded to the longest. The rate's schedule,
    AdamW and clipping are those of `language.training`. Raises ValueError for a sample longer than
    the window, fewer samples than a batch, and FloatingPointError where a loss is no number.
    """
    x = settings
    if len(samples) < x.batch:
        raise ValueError(f"samples must be at least {x.batch}, a batch, got {len(samples)}")
    if longest := [n for s in samples if (n := len(s.tokens)) > x.window]:
        raise ValueError(f"samples must fit the window of {x.window} tokens, got {longest[0]}")
    optimiser, order, losses = adamw(model, x), [], []  # type: ignore[var-annotated]
    for step in range(x.steps):
        if len(order) < x.batch:
            order = torch.randperm(len(samples), generator=generator).tolist()
        chosen, order = [samples[i] for i in order[: x.batch]], order[x.batch :]
        batch = packed_batch(chosen, x.window) if packed else padded_batch(chosen)
        optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = learning_rate(step, x)
        optimiser.zero_grad()
        losses.append(backward(model, batch, rows))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss is no number at step {step}")
        torch.nn.utils.clip_grad_norm_(model.parameters(), x.most)
        optimiser.step()
        if progress:
            progress(step + 1, x.steps, np.array(losses[-20:]))
    return losses
