"""Reinforcement learning from a verifiable reward: the sloppy teacher's pupil learns to sort.

A model that imitates the teacher is nearly always wrong when it says what is likeliest. It answers
each of 32 prompts eight times, a program says which answers are right, and that is all it is told.

Shapes: n points of a curve, K seeds.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import grpo, sloppy_teacher
from rlcourse.alignment.actor import Writing
from rlcourse.alignment.columns import Columns
from rlcourse.alignment.policy_step import Recipe, TokenLoss, begin, ppo
from rlcourse.alignment.policy_step import Run as Training
from rlcourse.alignment.ppo_rlhf import policy_loss
from rlcourse.alignment.sloppy_teacher import EOS, PAD, TEACHING, correct, rises, split
from rlcourse.alignment.trainer import Advantages, roles_of, train
from rlcourse.language.decoding import generate
from rlcourse.language.sampling import GREEDY, Sampling
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder
from rlcourse.tabular.mdp import Floats

DIGITS, PROMPTS, SAMPLES, HELD, SEEDS = 5, 32, 8, 400, 5
WRITING = Writing(max_tokens=DIGITS + 1, eos=(EOS,), pad=PAD)
LEARNING = Settings(steps=40, batch=128, rate=5e-4, warm_up=0, last=0.1, decay=0.0)
QUICK = Settings(steps=250, batch=64, rate=4e-3, warm_up=20)
EVERY = 4  # iterations in one mean
# iterations after which the likeliest answers are judged
LOOKS = (0, 1, 2, 4, 8, 16, 24, 32, 40, 60, 80)
Verifier = Callable[[Tensor, Tensor], Tensor]  # prompts and responses (B, ...) -> scores (B,)


# ------------------------------------------------------------------------------- ways to learn


def clip_higher(log_prob: Tensor, old: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """PPO's loss with DAPO's bounds, 0.2 and 0.28."""
    return policy_loss(log_prob, old, advantage, 0.2, 0.28)


def cispo(log_prob: Tensor, old: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """A weight of at most 1.28, and no lower bound."""
    return grpo.cispo_loss(log_prob, old, advantage, 1.0, 0.28)


def gspo(log_prob: Tensor, old: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """PPO's loss of the answer's ratio, ε = 0.05."""
    ratio = grpo.sequence_log_ratio(log_prob, old, mask)
    return policy_loss(ratio, torch.zeros_like(ratio), advantage, 0.05)


def teaching(batch: Columns) -> Columns:
    """The responses of the first PROMPTS groups whose rewards differ, for dynamic sampling."""
    keep = grpo.informative(batch["score"], batch["group"])
    kept = torch.unique(batch["group"][keep])[:PROMPTS]
    return {name: x[torch.isin(batch["group"], kept)] for name, x in batch.items()}


def strangers(r: Tensor, groups: Tensor) -> Tensor:
    """GRPO's advantages, the groups numbered as if all prompts were answered in turn: a bug."""
    return grpo.grpo_advantages(r, torch.arange(PROMPTS).repeat(SAMPLES))


class Way(NamedTuple):
    """Advantages of answers, a loss of a token, and what else differs from GRPO."""

    name: str
    advantages: Advantages = grpo.grpo_advantages
    loss: TokenLoss = ppo
    choose: Callable[[Columns], Columns] | None = None
    score: Verifier = correct
    steps: int = LEARNING.steps
    rate: float = LEARNING.rate
    recipe: dict[str, Any] = {}  # noqa: RUF012


WAYS = {
    "grpo": Way("GRPO"),
    "rloo": Way("RLOO", grpo.leave_one_out),
    "dr_grpo": Way(
        "Dr. GRPO", partial(grpo.grpo_advantages, scale="none"),
        recipe={"way": "constant", "length": DIGITS + 1},
    ),
    "reinforce": Way("REINFORCE", lambda r, groups: grpo.batch_baseline(r)),
    "reinforce++": Way("REINFORCE++", partial(grpo.grpo_advantages, scale="batch")),
    "dapo": Way("DAPO", loss=clip_higher, choose=teaching, recipe={"prompts": 2 * PROMPTS}),
    "cispo": Way("CISPO", loss=cispo),
    "gspo": Way("GSPO", loss=gspo, recipe={"way": "sequence mean"}),
}  # fmt: skip
OTHERS = {
    "strangers": Way("wrong groups", strangers),
    "fooled": Way("no leash", score=rises, steps=80, rate=1e-3),
    "leashed": Way("β = 0.05", score=rises, steps=80, rate=1e-3, recipe={"beta": 0.05}),
    "clipped": Way("ε = 0.2", recipe={"epochs": 4}),
    "higher": Way("clip-higher, 0.28", loss=clip_higher, recipe={"epochs": 4}),
}


# ------------------------------------------------------------------------------- a run


@cache
def taught(seed: int = 0, settings: Settings = TEACHING) -> Decoder:
    """The model that imitates the teacher, never to be written to."""
    torch.set_num_threads(1)  # faster for so small a model
    draw = torch.Generator().manual_seed(seed)
    model = sloppy_teacher.taught(DIGITS, generator=draw, settings=settings)
    return model.requires_grad_(False)


def answers(model: Decoder, prompts: Tensor, sampling: Sampling = GREEDY) -> Tensor:
    """One answer to each prompt, (B, R), the likeliest or a sample."""
    return generate(
        model, prompts.tolist(), sampling=sampling, max_tokens=DIGITS + 1, eos=[EOS], pad=PAD,
        generator=torch.Generator().manual_seed(0),
    ).response  # fmt: skip


def accuracy(model: Decoder, sampling: Sampling = GREEDY) -> float:
    """How often an answer to a prompt held out is right."""
    prompts = split(DIGITS).held_out[:HELD]
    return float(correct(prompts, answers(model, prompts, sampling)).mean())


class Run(NamedTuple):
    """A way of learning.

    greedy                     (n,)  held-out greedy accuracy after LOOKS iterations
    score, true, entropy,
    clipped, equal_groups      (m,)  means over EVERY iterations each: what the verifier
                               says, which answers are right, nats a token, share of ratios off by
                               more than 0.2, share of groups with one score
    sampled                    held-out accuracy of samples at the end
    seconds                    of one core, for the iterations, looking included
    """

    greedy: Floats
    score: Floats
    true: Floats
    entropy: Floats
    clipped: Floats
    equal_groups: Floats
    sampled: float
    seconds: float


FIELDS = "score", "true", "entropy", "clipped", "equal_groups"


def learn(way: Way, seed: int, teaching: Settings = TEACHING) -> tuple[Decoder, Run]:
    """A copy of the taught model, after learning from rewards."""
    reference = taught(seed, teaching)
    model = copy.deepcopy(reference).requires_grad_(True)
    settings = replace(LEARNING, steps=way.steps, rate=way.rate)
    recipe = Recipe(settings, WRITING, **({"prompts": PROMPTS, "samples": SAMPLES} | way.recipe))
    draw = torch.Generator().manual_seed(seed + 1)
    run = begin(model, recipe, generator=draw, reference=reference if recipe.beta else None)
    greedy, true = [accuracy(model)], []

    def score(batch: Columns) -> dict[str, Tensor]:
        responses = batch["tokens"][:, DIGITS + 1 :]
        true.append(float(correct(batch["prompts"], responses).mean()))
        return {"score": way.score(batch["prompts"], responses)}

    def watch(run: Training, batch: Columns) -> None:
        if run.step in LOOKS:
            greedy.append(accuracy(model))

    roles = roles_of(run, score, way.advantages, loss=way.loss, choose=way.choose)
    began = time.process_time()
    train(run, split(DIGITS).train, roles, watch=watch)
    seconds = time.process_time() - began
    history = [seen | {"true": each} for seen, each in zip(run.history, true, strict=True)]
    curves = {name: block_means([seen.get(name, 0.0) for seen in history]) for name in FIELDS}
    sampled = accuracy(model, Sampling())
    return model, Run(greedy=np.array(greedy), sampled=sampled, seconds=seconds, **curves)


def block_means(values: list[float]) -> Floats:
    """Means over EVERY iterations each."""
    found: Floats = np.array(values).reshape(-1, EVERY).mean(1)
    return found


# ------------------------------------------------------------------------------- on the page


class Live(NamedTuple):
    """One run on the page; prompts, and what was answered most likely before and after."""

    run: Run
    prompts: list[str]
    before: list[str]
    after: list[str]


@cache
def data_live(seed: int = 0) -> Live:
    """GRPO, here and now, on a model that was taught in fewer steps."""
    model, run = learn(WAYS["grpo"], seed, QUICK)
    before, after = said(taught(seed, QUICK)), said(model)
    return Live(run, [sloppy_teacher.text(x) for x in asked()], before, after)


def asked() -> Tensor:
    """Six prompts that were held out."""
    return split(DIGITS).held_out[:6]


def said(model: Decoder) -> list[str]:
    """The likeliest answers to them."""
    return [sloppy_teacher.text(x) for x in answers(model, asked())]


# ------------------------------------------------------------------------------- recorded


def recorded_teaching() -> dict[str, list[float]]:
    """Imitating the teacher in full: seconds of one core, and greedy accuracy, by seed (K,)."""
    seconds, greedy = [], []
    for seed in range(SEEDS):
        began = time.process_time()
        model = taught(seed)
        seconds.append(round(time.process_time() - began, 2))
        greedy.append(round(accuracy(model), 4))
    return {"seconds": seconds, "greedy": greedy}


def recorded_ways() -> dict[str, Any]:
    """Each way with each seed: curves (K, n), and numbers at the end (K,)."""
    return {name: recorded(way) for name, way in WAYS.items()}


def recorded_others() -> dict[str, Any]:
    """The same for a bug, for a verifier that can be fooled, and for a batch used four times."""
    return {name: recorded(way) for name, way in OTHERS.items()}


def recorded_quick() -> dict[str, Any]:
    """The run of the page."""
    return together([data_live().run])


def recorded_answers() -> list[str]:
    """What a model says that was rewarded by the verifier with a hole."""
    return said(learn(OTHERS["fooled"], 0)[0])


def recorded(way: Way) -> dict[str, Any]:
    """A way with each seed."""
    runs = []
    for seed in range(SEEDS):
        runs.append(learn(way, seed)[1])
        print(way.name, seed, runs[-1].greedy, flush=True)
    return together(runs)


def together(runs: list[Run]) -> dict[str, Any]:
    """Runs of several seeds as plain rounded lists."""
    columns = zip(Run._fields, zip(*runs, strict=True), strict=True)
    return {name: np.round(np.array(column), 4).tolist() for name, column in columns}


RECORDED: dict[str, Callable[[], Any]] = {
    "teaching": recorded_teaching,
    "ways": recorded_ways,
    "others": recorded_others,
    "answers": recorded_answers,
    "quick": recorded_quick,
}
RECORDED_MODULES = (
    "rlcourse.alignment.descent",
    "rlcourse.alignment.sloppy_teacher",
    "rlcourse.alignment.aggregation",
    "rlcourse.alignment.actor",
    "rlcourse.alignment.ppo_rlhf",
    "rlcourse.alignment.policy_step",
    "rlcourse.alignment.trainer",
    "rlcourse.alignment.grpo",
)
