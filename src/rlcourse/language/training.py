"""Learning to predict the next token: the loss, the schedule and the loop.

    loss = mean over t of -log p(token t+1 | tokens up to t)            (eq-next-token-loss)

    window        T + 1 tokens from a random place of a long row: T predictions at once
    AdamW         decays matrices alone, not the gains of norms and the biases
    rate          rises for `warm_up` steps, then falls along half a cosine
    clipping      a gradient longer than `most` is shortened to it

Everything random comes from one generator, so a run repeats bit for bit, also one that was stopped
and resumed.

Shapes: B batch, T tokens of a window, V vocabulary. Losses are in nats a token.
Sources: Loshchilov and Hutter (2019), AdamW; (2017), the cosine; Brown et al. (2020), β2 = 0.95.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlcourse import _check
from rlcourse.deep.progress import Progress, progress_bar
from rlcourse.language.numbers import wide

Model = nn.Module  # tokens (B, T) -> logits (B, T, V)


@dataclass(frozen=True)
class Settings:
    """How to train: `steps` in all, each on `batch` windows of `window` predictions.

    The rate rises to `rate` over `warm_up` steps and falls to `last` times that at the end. Every
    `every` steps, and at the end, the loss on validation tokens is taken.
    """

    steps: int = 300
    batch: int = 16
    window: int = 128
    rate: float = 3e-3
    warm_up: int = 30
    last: float = 0.1
    decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    most: float = 1.0
    every: int = 100

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "window", "every"):
            _check.positive_integer(name, getattr(self, name))
        _check.positive("rate", self.rate)
        _check.interval("warm_up", self.warm_up, 0, self.steps)


@dataclass
class Run:
    """A model in training and all that decides how it goes on.

    losses: of each step, before it. checks: (steps done, validation loss), in nats a token.
    """

    model: Model
    ids: Tensor
    validation: Tensor | None
    settings: Settings
    generator: torch.Generator
    optimiser: torch.optim.Optimizer
    losses: list[float] = field(default_factory=list)
    checks: list[tuple[int, float]] = field(default_factory=list)


# ------------------------------------------------------------------------------- the parts


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean of -log p of each token but the first  (eq-next-token-loss).

    tokens (B, T+1), logits (B, T, V) of the first T of them; the mean is taken in float32 at
    least, in nats a token.
    """
    return F.cross_entropy(logits.flatten(0, 1).to(wide(logits.dtype)), tokens[:, 1:].flatten())


def random_windows(ids: Tensor, batch: int, size: int, *, generator: torch.Generator) -> Tensor:
    """(batch, size) pieces of ids (M,), from places drawn uniformly with replacement."""
    start = torch.randint(len(ids) - size + 1, (batch, 1), generator=generator)
    return ids[start + torch.arange(size)]


def learning_rate(step: int, settings: Settings) -> float:
    """The rate of step 0, 1, …: a straight rise, then half a cosine down to last · rate."""
    x = settings
    if step < x.warm_up:
        return x.rate * (step + 1) / x.warm_up
    done = (step - x.warm_up) / max(1, x.steps - x.warm_up)
    return x.rate * (x.last + (1 - x.last) * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def adamw(model: Model, settings: Settings) -> torch.optim.AdamW:
    """AdamW that lets matrices decay, and nothing of fewer axes."""
    parts = list(model.parameters())
    groups = [
        {"params": [p for p in parts if p.dim() >= 2], "weight_decay": settings.decay},
        {"params": [p for p in parts if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, settings.rate, betas=settings.betas, fused=True)


@torch.no_grad()
def mean_loss(model: Model, ids: Tensor, window: int, batch: int = 32) -> float:
    """Nats a token over a whole row of ids (M,), cut into windows one after another.

    Each token but the first is predicted once, from what stands before it in its window.
    """
    cuts = range(0, len(ids) - 1, window)
    rows = [ids[i : i + window + 1] for i in cuts]
    whole = [row for row in rows if len(row) == window + 1]
    parts = [torch.stack(whole[i : i + batch]) for i in range(0, len(whole), batch)]
    parts += [row[None] for row in rows[len(whole) :]]
    total = sum(float(next_token_loss(model(x[:, :-1]), x)) * x[:, 1:].numel() for x in parts)
    return total / (len(ids) - 1)


# ------------------------------------------------------------------------------- the loop


def begin(
    model: Model,
    ids: Sequence[int] | Tensor,
    settings: Settings,
    *,
    generator: torch.Generator,
    validation: Sequence[int] | Tensor | None = None,
) -> Run:
    """A run before its first step, on a row of tokens (M,).

    Raises ValueError for a row shorter than a window and the token after it, and for ids that are
    no integers; the model refuses those outside its vocabulary.
    """
    rows = [_row("ids", ids, settings.window + 1)]
    rows += [] if validation is None else [_row("validation", validation, 2)]
    return Run(
        model, rows[0], rows[1] if len(rows) > 1 else None, settings, generator,
        adamw(model, settings),
    )  # fmt: skip


def _row(name: str, ids: Sequence[int] | Tensor, least: int) -> Tensor:
    row = torch.as_tensor(ids)
    if row.dim() != 1 or row.is_floating_point() or row.dtype == torch.bool:
        raise ValueError(f"{name} must be a row of integers, got {row.dtype} {tuple(row.shape)}")
    if len(row) < least:
        raise ValueError(f"{name} must have at least {least} tokens, got {len(row)}")
    return row.long()


def train(run: Run, steps: int | None = None, *, progress: Progress | None = None) -> Run:
    """Go on for so many steps, or to the end; the run itself, with its losses.

    Raises FloatingPointError where the loss is no number.
    """
    x, done = run.settings, len(run.losses)
    todo = x.steps - done if steps is None else min(steps, x.steps - done)
    for step in range(done, done + todo):
        run.losses.append(update(run, step))
        if run.validation is not None and ((step + 1) % x.every == 0 or step + 1 == x.steps):
            run.checks.append((step + 1, mean_loss(run.model, run.validation, x.window)))
        if progress:
            progress(step + 1 - done, todo, np.array(run.losses[-20:]))
    return run


def update(run: Run, step: int) -> float:
    """One step of AdamW down the loss of random windows; that loss."""
    x = run.settings
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(step, x)
    tokens = random_windows(run.ids, x.batch, x.window + 1, generator=run.generator)
    loss = next_token_loss(run.model(tokens[:, :-1]), tokens)
    if not loss.isfinite():
        raise FloatingPointError(f"the loss is no number at step {step}")
    run.optimiser.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), x.most)
    run.optimiser.step()
    return float(loss.detach())


def loss_bar(out: TextIO | None = None) -> Progress:
    """A progress bar that shows the mean of the last losses; on stderr unless told otherwise."""
    return progress_bar(out, says=lambda losses: f"loss {losses.mean():.3f}")


# ------------------------------------------------------------------------------- checkpoints


def checkpoint(run: Run) -> dict[str, Any]:
    """A copy of all that decides how training goes on, for `resume` or torch.save."""
    parts = {
        "settings": run.settings,
        "model": run.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "generator": run.generator.get_state(),
        "losses": run.losses,
        "checks": run.checks,
    }
    return deepcopy(parts)


def resume(run: Run, saved: dict[str, Any]) -> None:
    """Put a run, begun alike, where a checkpoint was taken; it goes on bit for bit.

    Raises ValueError where the checkpoint has other settings.
    """
    if saved["settings"] != run.settings:
        raise ValueError(f"settings must be those of the checkpoint, {saved['settings']}")
    x = deepcopy(saved)
    run.model.load_state_dict(x["model"])
    run.optimiser.load_state_dict(x["optimiser"])
    run.generator.set_state(x["generator"])
    run.losses, run.checks = x["losses"], x["checks"]
