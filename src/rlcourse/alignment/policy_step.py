"""A batch of answers becomes steps of a policy, and of its critic.

A minibatch is a slice of the batch, and the old log-probabilities are taken slice by slice too: at
the first of them the ratio is exactly 1. What a token weighs is settled for the whole minibatch, so
that it may go through in parts of any size, and the gradient is the same.

Shapes: B responses, R tokens of the longest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.alignment.actor import Writing, response_log_probs
from rlcourse.alignment.aggregation import token_weights
from rlcourse.alignment.columns import Columns, joined, parts
from rlcourse.alignment.critic import Critic
from rlcourse.alignment.descent import descend, finite
from rlcourse.alignment.ppo_rlhf import kl_penalty, policy_loss
from rlcourse.deep.ppo_losses import clipped_value_loss
from rlcourse.language.training import Settings, adamw
from rlcourse.language.transformer import Decoder

Numbers = dict[str, float]
TokenLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""log π, log π_old, advantage and mask, (B, R) each -> (B, R)."""
LEASHES = "reward", "loss"


@dataclass(frozen=True)
class Recipe:
    """How to learn: `training.steps` iterations, minibatches of `training.batch` responses.

    prompts, samples   of each iteration, and answers to each; epochs: how often a batch is used
    way, length        how the losses of tokens are summed, see `aggregation`
    beta, leash, kind  the price of a nat of KL(π ‖ π_ref), in the "reward" or in the "loss", there
                       by an estimate of some kind, see `kl_penalty`
    kl_target, horizon let β follow the KL of an answer, see `adapted_beta`; 0 for a fixed β
    gamma, lam         of a critic's advantages; value_epsilon: the clip of its loss
    micro              responses that go through at a time, a minibatch if None
    drop_cut           answers that came to no end have no loss
    """

    training: Settings
    writing: Writing
    prompts: int = 32
    samples: int = 8
    epochs: int = 1
    way: str = "token mean"
    length: int | None = None
    beta: float = 0.0
    leash: str = "reward"
    kind: str = "k3+"
    kl_target: float = 0.0
    horizon: int = 10_000
    gamma: float = 1.0
    lam: float = 0.95
    value_epsilon: float = torch.inf
    micro: int | None = None
    drop_cut: bool = False

    def __post_init__(self) -> None:
        for name in ("prompts", "samples", "epochs"):
            _check.positive_integer(name, getattr(self, name))
        for name in ("beta", "kl_target"):
            _check.interval(name, getattr(self, name), 0, torch.inf)
        if self.leash not in LEASHES:
            raise ValueError(f"leash must be one of {LEASHES}, got {self.leash!r}")


@dataclass
class Run:
    """All that decides how training goes on. history: what each iteration was like."""

    recipe: Recipe
    policy: Decoder
    reference: Decoder | None
    critic: Critic | None
    generator: torch.Generator
    optimisers: list[torch.optim.Optimizer]
    beta: float
    step: int = 0
    history: list[Numbers] = field(default_factory=list)


def begin(
    policy: Decoder,
    recipe: Recipe,
    *,
    generator: torch.Generator,
    reference: Decoder | None = None,
    critic: Critic | None = None,
) -> Run:
    """A run before its first iteration; the policy and the critic are written to.

    Raises ValueError where the reference has another vocabulary, is the policy itself, or is
    missing though a leash needs it.
    """
    for name, other in {"reference": reference, "critic": critic and critic.decoder}.items():
        if other is policy:
            raise ValueError(f"{name} must be a copy of the policy, got the policy itself")
        if other and other.config.vocabulary != policy.config.vocabulary:
            raise ValueError(
                f"{name} must have the policy's vocabulary of {policy.config.vocabulary} tokens, "
                f"got {other.config.vocabulary}"
            )
    if (recipe.beta or recipe.kl_target) and not reference:
        raise ValueError(f"reference must be given for beta = {recipe.beta}, got None")
    learners = [policy, *([critic] if critic else [])]
    optimisers: list[torch.optim.Optimizer] = [adamw(x, recipe.training) for x in learners]
    return Run(recipe, policy, reference, critic, generator, optimisers, recipe.beta)


def ppo(log_prob: Tensor, log_prob_old: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """PPO's loss of a token with ε = 0.2."""
    return policy_loss(log_prob, log_prob_old, advantage)


def learn(run: Run, loss: TokenLoss, batch: Columns) -> Numbers:
    """The steps of all epochs over one batch; means of what its minibatches were like.

    first_ratio: how far a ratio was from 1 at the first minibatch; rollout_gap: the greatest
    difference of log-probabilities as drawn and as learned from; kl: log π/π_ref of an answer.
    """
    x = run.recipe
    old = batch["log_prob_old"]
    found = {"rollout_gap": float((old - batch["log_prob_rollout"]).abs().max())}
    if run.reference:
        found["kl"] = float((old - batch["log_prob_ref"]).sum(1).mean())
    minibatches = [
        part for part in parts(counted(batch, x), x.training.batch) if part["counts"].any()
    ]
    seen = [step(run, loss, part) for _ in range(x.epochs) for part in minibatches]
    if seen:
        found |= {name: sum(each[name] for each in seen) / len(seen) for name in seen[0]}
        found["first_ratio"] = seen[0]["furthest_ratio"]
    return found


def counted(batch: Columns, x: Recipe) -> dict[str, Tensor]:
    """The batch, and the column `counts`: which tokens carry loss."""
    mask = batch["mask"]
    ended = torch.isin(batch["tokens"][:, -mask.shape[1] :], torch.tensor(x.writing.eos)) & mask
    return joined(batch, {"counts": mask & ended.any(1, keepdim=True) if x.drop_cut else mask})


def step(run: Run, loss: TokenLoss, batch: Columns) -> Numbers:
    """One step of the policy, and of the critic, on a minibatch; what it was like before."""
    x = run.recipe
    weights = {"weight": token_weights(batch["counts"], x.way, x.length)}
    found = [
        accumulate(run, loss, part)
        for part in parts(joined(batch, weights), x.micro or x.training.batch)
    ]
    totals = {name: torch.stack([each[name] for each in found]) for name in found[0]}
    finite(totals["loss"].sum(), run.step)
    lengths = [
        descend(learner, optimiser, x.training, run.step)
        for learner, optimiser in zip((run.policy, run.critic), run.optimisers, strict=False)
        if learner
    ]
    furthest = float(totals.pop("furthest_ratio").max())
    sums = {name: float(column.sum()) for name, column in totals.items()}
    return sums | {"furthest_ratio": furthest, "gradient": lengths[0]}


def accumulate(run: Run, loss: TokenLoss, part: Columns) -> dict[str, Tensor]:
    """Add a part's gradients to the weights'; its share of the minibatch's numbers."""
    x, w, counts = run.recipe, part["weight"], part["counts"]
    old = part["log_prob_old"]

    def summed(column: Tensor) -> Tensor:
        return (w * torch.where(counts, column, 0)).sum()

    log_prob, entropy = response_log_probs(run.policy, part, x.writing.temperature)
    own = loss(log_prob, old, part["advantage"], counts)
    if run.beta and x.leash == "loss":
        own = own + run.beta * kl_penalty(log_prob, part["log_prob_ref"], x.kind)
    total = summed(own)
    torch.autograd.backward(total)
    away = torch.expm1(log_prob.detach() - old).abs()
    found = {
        "loss": total.detach(), "entropy": summed(entropy.detach()),
        "clipped": summed((away > 0.2).double()), "furthest_ratio": away.max(),
    }  # fmt: skip
    if run.critic:
        v = run.critic(part)
        error = summed(clipped_value_loss(v, part["value"], part["target"], x.value_epsilon))
        torch.autograd.backward(error)
        found["value_loss"] = error.detach()
    return found
