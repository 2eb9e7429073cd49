"""The bug hunt of the chapter on checkpointing: a network with dropout, checkpointed by a suspect.

Three classes of points, four residual layers that are checkpointed. Shapes: n steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlcourse.plot import BLUE, RED, Picture, panel, picture

Checkpoint = Callable[[Callable[[Tensor], Tensor], Tensor], Any]
WIDTH, DEPTH, POINTS = 24, 4, 300


class Network(nn.Module):
    """Points to classes; the layers between are handed to a checkpoint one by one."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, WIDTH), nn.Linear(WIDTH, 3)
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Dropout(dropout))
            for _ in range(DEPTH)
        )

    def forward(self, x: Tensor, checkpoint: Checkpoint) -> Tensor:
        """x (n, 2) -> logits (n, 3)."""
        x = self.first(x)
        for layer in self.inner:
            x = x + checkpoint(layer, x)
        return self.last(x)  # type: ignore[no-any-return]


class Hunt(NamedTuple):
    """Losses (n,) without a checkpoint and with the suspect's, and how far gradients are apart.

    apart  dropout -> |g - g'| / |g| at the first step, from the same weights and draws
    """

    right: list[float]
    suspect: list[float]
    apart: dict[float, float]


def data_hunt(
    checkpoint: Checkpoint, *, rng: np.random.Generator, dropout: float = 0.5, steps: int = 80
) -> Hunt:
    """Train both; PyTorch's own generator draws the masks, and is left as it was."""
    label = torch.tensor(rng.choice(3, size=POINTS))
    turn = 2.1 * label + torch.tensor(rng.normal(size=POINTS) / 2)
    x = (
        torch.stack([turn.cos(), turn.sin()], 1).float()
        + 0.2 * torch.tensor(rng.normal(size=(POINTS, 2))).float()
    )
    seed = int(rng.integers(2**31))

    def first(f: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
        return f(y)

    ways = first, checkpoint
    right, suspect = (_train(way, x, label, dropout, steps, seed) for way in ways)
    apart = {}
    for p in (0.0, dropout):
        a, b = (_gradient(_begin(p, seed), way, x, label, seed) for way in ways)
        apart[p] = float((a - b).norm() / a.norm())
    return Hunt(right, suspect, apart)


def _begin(dropout: float, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(dropout)


def _gradient(
    model: Network, checkpoint: Checkpoint, x: Tensor, label: Tensor, seed: int
) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        torch.autograd.backward(F.cross_entropy(model(x, checkpoint), label))
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _train(
    checkpoint: Checkpoint, x: Tensor, label: Tensor, dropout: float, steps: int, seed: int
) -> list[float]:
    """The loss without dropout, step by step, of 40 points a step."""
    model, losses = _begin(dropout, seed), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(steps):
        rows = torch.arange(40 * step, 40 * step + 40) % len(x)
        optimizer.zero_grad()
        _gradient(model, checkpoint, x[rows], label[rows], seed + step)
        optimizer.step()
        with torch.no_grad():
            loss = F.cross_entropy(model.eval()(x, checkpoint), label)
        model.train()
        losses.append(float(loss))
    return losses


def draw_hunt(data: Hunt) -> Picture:
    """Both losses over the steps."""
    figure, axes = panel("Three classes, dropout", (4.2, 2.3))
    axes.plot(data.right, color=BLUE, label="without a checkpoint")
    axes.plot(data.suspect, "--", color=RED, label="with the suspect")
    axes.set(xlabel="step", ylabel="cross-entropy, nats", ylim=(0, None))
    axes.legend()
    return picture(
        figure,
        f"Both losses fall, to {data.right[-1]:.3f} without a checkpoint and to"
        f" {data.suspect[-1]:.3f} with the suspect.",
    )
