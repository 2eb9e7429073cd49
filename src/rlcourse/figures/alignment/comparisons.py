"""A world where preferences can be known: a sloppy teacher's model and all answers of a prompt.

Three digits are asked for in rising order. An answer's true quality is 4 times the share of places
that are right, in nats of log-odds, and Bradley and Terry are right: the better of two answers is
called so with probability σ(q_a - q_b). There are 1000 answers of three digits, so that whatever a
policy is expected to earn is a sum, with nothing estimated.

Shapes: P prompts, Y answers of each, N comparisons, D digits.
"""

import itertools
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.alignment import sloppy_teacher as task
from rlcourse.alignment.packing import Batch
from rlcourse.alignment.preference_training import log_probs_of
from rlcourse.alignment.reward_model import calibration_error, pairwise_loss, preference_probability
from rlcourse.alignment.reward_network import (
    Comparisons,
    Loss,
    RewardModel,
    rewards_of,
    train_reward_model,
)
from rlcourse.language.decoding import generate
from rlcourse.language.sampling import Sampling
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

DIGITS = 3
TAUGHT = Settings(steps=150, batch=128, rate=3e-3, warm_up=20)
BATCH, EPOCHS, RATE = 32, 3, 1e-3
BEST = 4.0  # the quality of the right answer
BINS = 10


def quality(prompts: Tensor, answers: Tensor) -> Tensor:
    """(B,): 4 times the share of digits of the answers (B, D + 1) that stand in their place."""
    right = answers[:, :DIGITS] == task.right_answers(prompts)[:, :DIGITS]
    return BEST * right.double().mean(1)


@cache
def teachers_model() -> Decoder:
    """What imitates the teacher, π_ref. Written to by nobody."""
    torch.set_num_threads(1)
    model = task.taught(DIGITS, generator=torch.Generator().manual_seed(0), settings=TAUGHT)
    return model.requires_grad_(False)


# ------------------------------------------------------------------------------- all answers


class World(NamedTuple):
    """Prompts (P, D + 1), rows of prompt and answer (P·Y, ...), log π_ref and quality (P, Y)."""

    prompts: Tensor
    rows: Batch
    log_ref: Tensor
    quality: Tensor


@cache
def world(prompts: int) -> World:
    """So many held-out prompts, each with all answers of three digits; their π_ref adds up to 1."""
    asked = task.split(DIGITS).held_out[:prompts]
    digits = torch.tensor([*itertools.product(range(10), repeat=DIGITS)])
    answers = torch.cat([digits, torch.full((len(digits), 1), task.EOS)], 1)
    each = asked.repeat_interleave(len(answers), 0)
    said = answers.repeat(len(asked), 1)
    rows = task.answered(each, said)
    log_ref = log_probs_of(teachers_model(), rows).view(len(asked), -1).double()
    return World(
        asked, rows, log_ref.log_softmax(1), quality(each, said).view(len(asked), -1)
    )  # fmt: skip


class Pairs(NamedTuple):
    """Two different answers of held-out prompts: places (M,) among the answers, P(a ≻ b), and
    whether a was called the better one."""

    prompt: Tensor
    a: Tensor
    b: Tensor
    p: Tensor
    won: Tensor


@cache
def held_out_pairs(prompts: int, count: int = 100_000) -> Pairs:
    """Pairs drawn from π_ref, those of equal answers set aside."""
    here, g = world(prompts), torch.Generator().manual_seed(1)
    each = count // prompts
    drawn = (torch.multinomial(here.log_ref.exp(), each, True, generator=g) for _ in range(2))
    a, b = (x.flatten() for x in drawn)
    prompt = torch.arange(prompts).repeat_interleave(each)
    prompt, a, b = (x[a != b] for x in (prompt, a, b))
    p = preference_probability(here.quality[prompt, a], here.quality[prompt, b])
    won = torch.rand(len(p), generator=g, dtype=torch.double) < p
    return Pairs(prompt, a, b, p, won.double())


# ------------------------------------------------------------------------------- comparisons


@cache
def data_comparisons(pairs: int, seed: int) -> Comparisons:
    """Answers of π_ref to prompts of the training half, two a prompt, and which one was chosen.

    Of so many pairs those of equal answers are set aside.
    """
    g = torch.Generator().manual_seed(seed)
    known = task.split(DIGITS).train
    asked = known[torch.randint(len(known), (pairs,), generator=g)]
    drawn = generate(
        teachers_model(), asked.repeat(2, 1).tolist(), sampling=Sampling(temperature=1.0),
        max_tokens=DIGITS + 1, eos=[task.EOS], pad=task.PAD, generator=g,
    )  # fmt: skip
    a, b = drawn.response.chunk(2)
    differ = (a != b).any(1)
    asked, a, b = asked[differ], a[differ], b[differ]
    p = preference_probability(quality(asked, a), quality(asked, b))
    first = (torch.rand(len(p), generator=g, dtype=torch.double) < p)[:, None]
    chosen, rejected = torch.where(first, a, b), torch.where(first, b, a)
    return Comparisons(task.answered(asked, chosen), task.answered(asked, rejected))


class Learned(NamedTuple):
    """The losses of each step, and the rewards (P, Y) of all answers of held-out prompts."""

    losses: list[float]
    rewards: Tensor


@cache
def data_learned(
    pairs: int = 3000, seed: int = 0, prompts: int = 12, epochs: int = EPOCHS,
    loss: Loss = pairwise_loss,
) -> Learned:  # fmt: skip
    """A reward model that learns from so many pairs."""
    learned = data_comparisons(pairs, seed)
    model = RewardModel(teachers_model()).requires_grad_(True)
    steps = max(1, epochs * len(learned.chosen.tokens) // BATCH)
    settings = Settings(steps=steps, batch=BATCH, rate=RATE, warm_up=min(10, steps))
    generator = torch.Generator().manual_seed(seed)
    losses = train_reward_model(model, learned, settings, generator=generator, loss=loss)
    rewards = rewards_of(model, world(prompts).rows, rows=1000)
    return Learned(losses, rewards.view(prompts, -1).double())


# ------------------------------------------------------------------------------- judging


class Judged(NamedTuple):
    """How well rewards foretell what a rater prefers, over held-out pairs.

    accuracy: the share of pairs in whose order the rater agrees; best: with the true qualities.
    error: the calibration error. said, came, pairs: of each part of [0, 1], the mean probability,
    the share that came true, and how many pairs lie in it (none: 0 of each).
    """

    accuracy: float
    best: float
    error: float
    said: list[float]
    came: list[float]
    pairs: list[int]


def data_judged(rewards: Tensor) -> Judged:
    """Of the rewards (P, Y)."""
    x = held_out_pairs(len(rewards))
    margin = rewards[x.prompt, x.a] - rewards[x.prompt, x.b]
    agreed = torch.where(margin > 0, x.p, torch.where(margin < 0, 1 - x.p, 0.5))
    said = margin.sigmoid()
    place = (said * BINS).long().clamp(max=BINS - 1)
    count, p, won = (
        torch.zeros(BINS, dtype=torch.double).index_add(0, place, values)
        for values in (torch.ones_like(said), said, x.won)
    )
    means = ((y / count.clamp(min=1)).tolist() for y in (p, won))
    return Judged(  # type: ignore[call-arg]  # two means
        float(agreed.mean()),
        float(torch.maximum(x.p, 1 - x.p).mean()),
        float(calibration_error(said, x.won, BINS)),
        *means,
        [int(n) for n in count],
    )
