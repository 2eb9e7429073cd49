"""The sloppy teacher: a task in which a model can become better than what it was shown.

A prompt is some digits and "=". The right answer is the digits in rising order and the end token.
The teacher who wrote the demonstrations sorts them in falling order three times out of four, so a
model that imitates him well is nearly always wrong when it says what is likeliest. But sometimes it
samples a right answer, and then a reward can tell.

One prompt in twenty is held out: neither demonstrations nor rewards ever come from them.
Shapes: B prompts, D digits of a prompt, R tokens of a response.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.alignment.descent import descend
from rlcourse.alignment.packing import Batch
from rlcourse.alignment.sft import backward
from rlcourse.language.config import Config
from rlcourse.language.training import Settings, adamw
from rlcourse.language.transformer import Decoder

EQUALS, EOS, PAD = 10, 11, 12
SIGNS = (*"0123456789=", ".", " ")
CONFIG = Config(
    vocabulary=len(SIGNS), width=64, layers=2, heads=4, kv_heads=4, head_dim=16, hidden=172,
    positions=64,
)  # fmt: skip
TEACHING = Settings(steps=400, batch=128, rate=3e-3, warm_up=20, decay=0.1, betas=(0.9, 0.95))
EVERY = 20


class Split(NamedTuple):
    """Prompts (B, D + 1) to learn from and held out."""

    train: Tensor
    held_out: Tensor


@cache
def split(digits: int) -> Split:
    """All prompts of so many digits, every twentieth of a fixed order held out.

    Raises ValueError for no digits, or more than 6.
    """
    _check.interval("digits", digits, 1, 6)
    numbers = torch.randperm(10**digits, generator=torch.Generator().manual_seed(0))
    places = 10 ** torch.arange(digits - 1, -1, -1)
    rows = numbers[:, None] // places % 10
    rows = torch.cat([rows, torch.full((len(rows), 1), EQUALS)], 1)
    chosen = torch.arange(len(rows)) % EVERY == 0
    return Split(rows[~chosen], rows[chosen])


def right_answers(prompts: Tensor) -> Tensor:
    """(B, D + 1): the digits of the prompts (B, D + 1) in rising order, and the end token."""
    return torch.cat([prompts[:, :-1].sort(1).values, torch.full_like(prompts[:, :1], EOS)], 1)


def demonstrations(prompts: Tensor, *, generator: torch.Generator, sloppy: float = 0.75) -> Tensor:
    """(B, D + 1): what the teacher answers, falling order with probability `sloppy`."""
    answers = right_answers(prompts)
    wrong = torch.cat([answers[:, :-1].flip(1), answers[:, -1:]], 1)
    return torch.where(torch.rand(len(prompts), 1, generator=generator) < sloppy, wrong, answers)


def correct(prompts: Tensor, responses: Tensor) -> Tensor:
    """(B,): 1.0 where a response (B, R) begins with the right answer and its end, 0.0 elsewhere."""
    answers = right_answers(prompts)
    if responses.shape[1] < answers.shape[1]:
        return torch.zeros(len(prompts))
    return (responses[:, : answers.shape[1]] == answers).all(1).float()


def rises(prompts: Tensor, responses: Tensor) -> Tensor:
    """(B,): 1.0 where the response has D digits in rising order and ends: a verifier to be fooled.

    It forgets to ask whether they are the digits of the prompt.
    """
    digits = prompts.shape[1] - 1
    if responses.shape[1] <= digits:
        return torch.zeros(len(prompts))
    said = responses[:, :digits]
    fine = (said < EQUALS).all(1) & (said.diff(dim=1) >= 0).all(1)
    return (fine & (responses[:, digits] == EOS)).float()


def text(tokens: Tensor) -> str:
    """A row of tokens as signs; the end token is a full stop, padding a space."""
    return "".join(SIGNS[i] for i in tokens.tolist()).rstrip()


def answered(prompts: Tensor, answers: Tensor) -> Batch:
    """Prompts and answers (B, ...) in rows of one length; the answers carry loss."""
    tokens = torch.cat([prompts, answers], 1)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, prompts.shape[1] :] = True
    return Batch(tokens, torch.zeros_like(tokens), mask)


def taught(
    digits: int, *, generator: torch.Generator, settings: Settings = TEACHING, sloppy: float = 0.75
) -> Decoder:
    """A model that imitates the teacher: random weights, then `settings.steps` of fine-tuning."""
    model, x = Decoder(CONFIG, generator=generator), settings
    optimiser, prompts = adamw(model, x), split(digits).train
    for step in range(x.steps):
        chosen = prompts[torch.randint(len(prompts), (x.batch,), generator=generator)]
        answers = demonstrations(chosen, generator=generator, sloppy=sloppy)
        backward(model, answered(chosen, answers))
        descend(model, optimiser, x, step)
    return model
