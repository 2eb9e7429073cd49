"""PPO on a leash: runs on the sloppy teacher's task, and the best policies of each price.

The policy begins as a model that imitates the teacher. A right answer earns 1, any other 0. Asked
are prompts of five digits that nobody learned from.

Shapes: n points of a curve, I iterations.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import optimum, sloppy_teacher
from rlcourse.alignment.actor import Writing
from rlcourse.alignment.columns import Columns
from rlcourse.alignment.critic import Critic
from rlcourse.alignment.policy_step import Recipe, Run, begin
from rlcourse.alignment.preference_training import log_probs_of
from rlcourse.alignment.sloppy_teacher import EOS, PAD, answered, correct, right_answers, split
from rlcourse.alignment.trainer import roles_of, train
from rlcourse.deep.ppo_losses import explained_variance
from rlcourse.figures.alignment.dpo import (
    DIGITS,
    HELD,
    greedy_accuracy,
    said,
    taught,
    with_padding,
)
from rlcourse.language.sampling import Sampling
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder
from rlcourse.tabular.mdp import Floats

STEPS, SHORT, EVERY, KEPT = 60, 30, 5, 9


class Way(NamedTuple):
    """How PPO is held to its reference: a name, and options of `Recipe`."""

    name: str
    options: dict[str, Any]


WAYS = {
    "reward": Way("in the reward, β = 0.01", {"beta": 0.01}),
    "loss": Way("in the loss, β = 0.1", {"beta": 0.1, "leash": "loss"}),
    "none": Way("no leash", {}),
    "adaptive": Way("adaptive, 1 nat", {"beta": 0.2, "kl_target": 1.0, "horizon": 1280}),
}
BETAS = (0.1, 0.2, 0.3, 0.5, 1.0)
LEASHES = {f"{beta:g}": Way(f"β = {beta:g}", {"beta": beta}) for beta in BETAS}
KINDS = {
    kind: Way(kind, {"beta": 1.0, "leash": "loss", "kind": kind}) for kind in ("k1", "k2", "k3")
} | {"none": WAYS["none"]}


def recipe(way: Way, steps: int) -> Recipe:
    """256 answers to as many prompts, two minibatches, once."""
    training = Settings(steps=steps, batch=128, rate=5e-4, warm_up=0, decay=0.0)
    writing = Writing(DIGITS + 1, (EOS,), PAD)
    return Recipe(training, writing, prompts=256, samples=1, **way.options)


def score(batch: Columns) -> dict[str, Tensor]:
    """1 for a right answer, 0 for any other."""
    prompts = batch["prompts"]
    return {"score": correct(prompts, batch["tokens"][:, prompts.shape[1] :])}


# ------------------------------------------------------------------------------- a run


class Learned(NamedTuple):
    """A run of PPO.

    step, greedy          (n,)  held-out greedy accuracy, before the first iteration and on
    score, kl, entropy, value_loss, explained, beta  (I,)  of each iteration, before its steps
    gap, ratio            the largest of all iterations: see `learn` of `policy_step`
    right, falling, away  at the end, on held-out prompts: the mean probability of the right answer
                          and of the digits in falling order; KL of an answer from the reference
    """

    step: Floats
    greedy: Floats
    score: Floats
    kl: Floats
    entropy: Floats
    value_loss: Floats
    explained: Floats
    beta: Floats
    gap: float
    ratio: float
    right: float
    falling: float
    away: float


def well_taught(seed: int) -> Decoder:
    """A model after all lessons of the teacher, where `taught` has had some."""
    draw = torch.Generator().manual_seed(seed)
    return sloppy_teacher.taught(DIGITS, generator=draw).requires_grad_(False)


def learn(
    way: Way,
    seed: int,
    steps: int,
    kept: int = KEPT,
    start: Callable[[int], Decoder] = taught,
) -> tuple[Decoder, Learned, Columns]:
    """A copy of the model that it starts with, after PPO; and the batch of iteration `kept`."""
    reference = start(seed)
    model = copy.deepcopy(reference).requires_grad_(True)
    run = begin(
        model, recipe(way, steps), reference=reference, critic=Critic(model),
        generator=torch.Generator().manual_seed(seed + 1),
    )  # fmt: skip
    greedy, explained, betas, batches = [greedy_accuracy(model)], [], [run.beta], []

    def watch(run: Run, batch: Columns) -> None:
        mask = batch["mask"]
        explained.append(float(explained_variance(batch["value"][mask], batch["target"][mask])))
        betas.append(run.beta)
        if run.step == kept:
            batches.append(batch)
        if run.step % EVERY == 0:
            greedy.append(greedy_accuracy(model))

    train(run, split(DIGITS).train, roles_of(run, score), watch=watch)
    seen = {name: np.array([each[name] for each in run.history]) for name in run.history[0]}
    right, falling = (float(x.exp().mean()) for x in answered_surely(model))
    found = Learned(
        np.linspace(0, steps, steps // EVERY + 1), np.array(greedy), seen["score"], seen["kl"],
        seen["entropy"], seen["value_loss"], np.array(explained), np.array(betas[:-1]),
        float(seen["rollout_gap"].max()), float(seen["first_ratio"].max()),
        right, falling, away(model, reference),
    )  # fmt: skip
    return model, found, batches[0]


def held_out() -> Tensor:
    """Prompts that are asked for, (HELD, D + 1)."""
    return split(DIGITS).held_out[:HELD]


def answered_surely(model: Decoder) -> tuple[Tensor, Tensor]:
    """log π of the right answer to each held-out prompt, and of the digits in falling order."""
    right = right_answers(held_out())
    falling = torch.cat([right[:, :-1].flip(1), right[:, -1:]], 1)
    own, other = (log_probs_of(model, answered(held_out(), x)) for x in (right, falling))
    return own, other


def away(model: Decoder, reference: Decoder, samples: int = 8) -> float:
    """KL(π ‖ π_ref) of an answer, in nats, by samples of the model."""
    found = said(model, held_out(), samples, Sampling(), 0)
    rows = found.prompts.repeat_interleave(samples, 0)
    batch = with_padding(rows, found.response.flatten(0, 1), found.mask.flatten(0, 1))
    return float((log_probs_of(model, batch) - log_probs_of(reference, batch)).mean())


class Best(NamedTuple):
    """The best policy of a price β, in means over held-out prompts: as at the end of `Learned`."""

    right: float
    falling: float
    away: float


def best(log_p: Tensor, log_falling: Tensor, beta: float) -> Best:
    """The reference, tilted by the score (`optimum.tilted`); 0 and inf are the ends of that.

    log_p and log_falling (HELD,): what the reference says of `answered_surely`.
    """
    p = log_p.double()
    log_ref = torch.stack([p, torch.log1p(-p.exp())], -1)
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    ends = {0.0: torch.where(scores == 1, 0, -torch.inf).expand_as(log_ref), torch.inf: log_ref}
    pi = ends[beta] if beta in ends else optimum.tilted(log_ref, scores, beta)
    falling = (log_falling + pi[:, 1] - log_ref[:, 1]).exp()  # all wrong answers by one factor
    away = optimum.divergence(pi, log_ref)
    return Best(*(float(x.mean()) for x in (pi[:, 0].exp(), falling, away)))
