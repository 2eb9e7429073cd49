"""A critic of begun answers: before each token, what will the score be?

    v(x, y_<t) = w · state after the tokens before t + b                 (eq-token-value)

It begins as the fine-tuned model with w = 0, so that it foretells nothing at first.

Shapes: B responses, R tokens of the longest.
"""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from rlcourse.alignment.actor import states
from rlcourse.alignment.columns import Columns, parts, stacked
from rlcourse.language.transformer import Decoder


class Critic(nn.Module):
    """A decoder's copy with one number for a head, 0 at first."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = deepcopy(decoder)
        self.value = nn.Linear(decoder.config.width, 1).to(decoder.head.dtype)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, batch: Columns) -> Tensor:
        """v before each token of the responses: (B, R), 0 for padding."""
        found = cast(Tensor, self.value(states(self.decoder, batch)))[:, :, 0]
        return torch.where(batch["mask"], found, 0)


def valued(critic: Critic, batch: Columns, rows: int) -> dict[str, Tensor]:
    """The column `value`, so many rows at a time, without gradients."""
    with torch.no_grad():
        return stacked([{"value": critic(part)} for part in parts(batch, rows)])
