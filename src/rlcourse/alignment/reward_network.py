"""A reward model on top of a decoder, and its training on comparisons.

    r(x, y) = w · state of the last token                                     (eq-last-token)

It begins as the fine-tuned model with w = 0, so that every reward is 0 and the loss log 2. Both
answers of a pair go through in one batch.

Shapes: B pairs, T tokens of a row, C model width.
"""

from collections.abc import Callable
from copy import deepcopy
from itertools import islice
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlcourse.alignment.descent import batches, descend, finite
from rlcourse.alignment.packing import Batch
from rlcourse.alignment.reward_model import last_rewards, pairwise_loss
from rlcourse.deep.progress import Progress
from rlcourse.language.masks import padded_mask, padded_positions
from rlcourse.language.training import Settings, adamw
from rlcourse.language.transformer import Decoder

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # rewards of chosen, of rejected, margin: (B,)


class Comparisons(NamedTuple):
    """Rows of prompt and answer, of M comparisons: the chosen ones and the rejected ones."""

    chosen: Batch
    rejected: Batch


def both_sides(comparisons: Comparisons, which: Tensor) -> Batch:
    """The chosen rows `which` (B,), under them the rejected ones: (2B, T), as wide as the longest.

    The sides may differ in width, and what is padding at the end of all these rows is cut off.
    """
    sides = [Batch(*(column[which] for column in side)) for side in comparisons]
    width = max(int((x.segments >= 0).any(0).nonzero().max()) + 1 for x in sides)
    fills = 0, -1, 0  # a token, no segment, no loss
    return Batch(*(
        torch.cat([F.pad(x, (0, width - x.shape[1]), value=fill) for x in columns])
        for *columns, fill in zip(*sides, fills, strict=True)
    ))  # fmt: skip


class RewardModel(nn.Module):
    """A decoder's copy with one number for a head, 0 at first."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = deepcopy(decoder)
        self.score = nn.Linear(decoder.config.width, 1, bias=False).to(decoder.head.dtype)
        nn.init.zeros_(self.score.weight)

    def forward(self, batch: Batch) -> Tensor:
        """The reward of each row, (B,); a row is one sequence, padded on either side."""
        present = batch.segments >= 0
        states = self.decoder.states(
            batch.tokens,
            positions=padded_positions(present),
            mask=padded_mask(present, present.shape[1]),
        )
        return last_rewards(cast(Tensor, self.score(states))[:, :, 0], present)


def rewards_of(model: RewardModel, batch: Batch, rows: int = 4096) -> Tensor:
    """The rewards (B,) of many rows, so many at a time, without gradients."""
    with torch.no_grad():
        parts = zip(*(torch.split(x, rows) for x in batch), strict=True)
        return torch.cat([model(Batch(*part)) for part in parts])


def train_reward_model(
    model: RewardModel,
    comparisons: Comparisons,
    settings: Settings,
    *,
    generator: torch.Generator,
    margin: Tensor | float = 0.0,
    loss: Loss = pairwise_loss,
    progress: Progress | None = None,
) -> list[float]:
    """Down the pairwise loss, `settings.batch` comparisons a step, each epoch in another order.

    margin: (M,), or one number for all. loss: another than the pairwise one. Returns the losses, in
    nats a comparison, each before its step. Raises ValueError for fewer comparisons than a batch,
    and FloatingPointError where a loss is no number.
    """
    x, count = settings, len(comparisons.chosen.tokens)
    margins = torch.as_tensor(margin, dtype=model.score.weight.dtype).expand(count)
    optimiser, losses = adamw(model, x), []
    rows = batches(count, x.batch, generator=generator)
    for step, own in enumerate(islice(rows, x.steps)):
        better, worse = model(both_sides(comparisons, own)).chunk(2)
        total = loss(better, worse, margins[own]).mean()
        losses.append(finite(total, step))
        torch.autograd.backward(total)
        descend(model, optimiser, x, step)
        if progress:
            progress(step + 1, x.steps, np.array(losses[-20:]))
    return losses
