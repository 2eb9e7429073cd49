"""Proximal policy optimisation: several epochs on one batch, and a clip that ends their effect.

B independent learners step E environments each, T times, and then use the batch several times:

    Â, G     generalised advantages, and Â + v as targets of the values
    L        -mean min(ρ Â, clip(ρ, 1 ± ε) Â) - β mean H + c mean value loss       (eq-ppo-loss)
    epochs   each goes once through the batch, in minibatches of a new order

The objective is a few lines. The rest is details, each of which can be switched off: small last
weights of the policy, normalised advantages, scaled rewards, a rate that falls to 0, gradients of
limited length, cuts completed by v, and an end of the update when the policy has moved too far.

Shapes: B learners, E environments of each, T steps, N = T E samples, D observation size.
Source: Schulman et al. (2017); details by Huang et al. (2022).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.deep import on_policy, ppo_losses
from rlcourse.deep.acting import Continuous, policy_of
from rlcourse.deep.environments import Observations, Resumable
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.learners_adam import LearnersAdam
from rlcourse.deep.networks import clip_gradients, forward, orthogonal_mlp, tensors, uniform_mlp
from rlcourse.deep.on_policy import Agent, Batch, by_learner, by_row, learners_of, train, values
from rlcourse.deep.policy_losses import check_finite
from rlcourse.deep.progress import Progress
from rlcourse.tabular.mdp import Floats


@dataclass(frozen=True)
class Settings:
    """How to learn. An update sees `steps` steps of `envs` environments, `epochs` times.

    The rate falls to 0 over `updates` if `anneal`. epsilon, value_epsilon and `most` (the longest
    gradient) may be inf. A learner's update ends once k3 is beyond target_kl. Without `complete`
    every cut is an end.
    """

    updates: int = 100
    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 0.99
    lam: float = 0.95
    rate: float = 2.5e-3
    envs: int = 8
    steps: int = 64
    epochs: int = 4
    minibatches: int = 4
    epsilon: float = 0.2
    value_epsilon: float = math.inf
    value_weight: float = 0.5
    beta: float = 0.0
    most: float = 0.5
    target_kl: float = math.inf
    reward_scale: float = 0.05
    log_std: float = 0.0
    orthogonal: bool = True
    normalise: bool = True
    anneal: bool = True
    complete: bool = True


@dataclass
class PpoAgent(Agent[Settings]):
    """An agent with an optimiser that can stop learners one by one, and a generator of epochs."""

    optimiser: LearnersAdam
    shuffler: Any = None


class Samples(NamedTuple):
    """A batch as samples of each learner: (B, N), s (B, N, D), actions (B, N) or (B, N, K)."""

    s: Tensor
    a: Tensor
    log_prob: Tensor
    v: Tensor
    advantage: Tensor
    target: Tensor


class Report(NamedTuple):
    """What an update was like; all (B,), means over the minibatches that a learner took part in.

    kl is k3, `clipped` a share of ratios, `explained` one of the targets' variance (by the values
    before the update), `steps` the number of minibatches.
    """

    kl: Floats
    clipped: Floats
    entropy: Floats
    explained: Floats
    steps: Floats


# ------------------------------------------------------------------------------- the update


def update(agent: PpoAgent, batch: Batch) -> Report:
    """A few epochs on one batch, each learner on its own samples and for as long as it may."""
    x, k = agent.settings, agent.updates
    data = samples(agent, batch)
    check_finite("an advantage", data.advantage, f"at update {k}, before its first epoch")
    if x.anneal:
        agent.optimiser.param_groups[0]["lr"] = x.rate * max(1 - k / x.updates, 0.0)
    active = torch.ones(len(data.s), dtype=torch.bool)
    total = torch.zeros(4, len(active), dtype=torch.float64)
    for i, rows in enumerate(minibatches(agent, data.s.shape[1])):
        loss, log_ratio, entropy = losses(agent, Samples(*(y[:, rows] for y in data)))
        epoch, m = divmod(i, x.minibatches)
        check_finite("the loss", loss, f"at update {k}, epoch {epoch}, minibatch {m}")
        kl = ppo_losses.kl_estimates(log_ratio).k3.mean(-1)
        active &= kl <= x.target_kl
        if not active.any():
            break
        agent.optimiser.zero_grad()
        torch.autograd.backward(loss.sum())
        clip_gradients(parameters(agent), x.most)
        agent.optimiser.advance(active)
        seen = [kl, ppo_losses.clip_fraction(log_ratio, x.epsilon), entropy, torch.ones_like(kl)]
        total += active * torch.stack([y.double() for y in seen])
    agent.updates += 1
    kl, clipped, entropy = total[:3] / total[3].clamp(min=1)
    found = (kl, clipped, entropy, ppo_losses.explained_variance(data.v, data.target), total[3])
    return Report(*(y.numpy() for y in found))


def losses(agent: PpoAgent, part: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """Of a minibatch: the losses (B,), and as data log ρ (B, N) and the mean entropies (B,)."""
    x = agent.settings
    pi = policy_of(agent.policy, agent.log_std, part.s)
    log_prob, entropy = pi.log_prob(part.a), pi.entropy()
    v = forward(agent.value, part.s, torch.tanh)[..., 0]
    loss = ppo_losses.ppo_loss(
        log_prob, entropy, ppo_losses.clipped_value_loss(v, part.v, part.target, x.value_epsilon),
        part.log_prob, ppo_losses.normalised(part.advantage) if x.normalise else part.advantage,
        x.epsilon, x.value_weight, x.beta,
    )  # fmt: skip
    return loss, (log_prob - part.log_prob).detach(), entropy.detach().mean(-1)


@torch.no_grad()
def samples(agent: PpoAgent, batch: Batch) -> Samples:
    """Advantages and targets of a batch, and all of it learner by learner."""
    x = agent.settings
    v, v_next = values(agent, batch.s), values(agent, batch.s_next)
    ends, after = batch.terminated, by_row(agent, v_next)
    if not x.complete:
        ends, after[-1] = ends | batch.truncated, 0.0
    advantage = generalized_advantage(
        x.reward_scale * batch.r, by_row(agent, v), after, ends, batch.truncated, x.gamma, x.lam
    )
    a_hat = by_learner(agent, advantage).float()
    s, a, known = (by_learner(agent, y) for y in (batch.s, batch.a, batch.log_prob))
    return Samples(s, a, known, v, a_hat, a_hat + v)


def minibatches(agent: PpoAgent, n: int) -> Iterator[Tensor]:
    """Rows of each minibatch of each epoch: every sample once an epoch, in a new order."""
    x = agent.settings
    for _ in range(x.epochs):
        yield from torch.randperm(n, generator=agent.shuffler).chunk(x.minibatches)


# ------------------------------------------------------------------------------- the learner


def begin(
    env: Resumable | Continuous, settings: Settings, *, generator: torch.Generator
) -> PpoAgent:
    """Learners before their first step: env.n / settings.envs of them.

    Raises ValueError where env.n is no multiple of envs, or T E none of `minibatches`.
    """
    x = settings
    learners = learners_of(env, x.envs)
    if x.steps * x.envs % x.minibatches:
        raise ValueError(f"minibatches must share out {x.steps * x.envs} samples evenly")
    k = getattr(env, "action_size", 0)
    shapes = [env.observation_size, *x.hidden]
    policy, value = (
        orthogonal_mlp([*shapes, out], learners, last_gain=gain, generator=generator)
        if x.orthogonal
        else uniform_mlp([*shapes, out], learners, generator=generator)
        for out, gain in ((k or env.n_actions, 0.01), (1, 1.0))  # type: ignore[union-attr]
    )
    log_std = torch.full((learners, 1, k), x.log_std, requires_grad=True) if k else None
    shuffler = torch.Generator().manual_seed(generator.initial_seed() + 1)
    parts = [*tensors(policy), *tensors(value), *([] if log_std is None else [log_std])]
    return PpoAgent(
        x, env, generator, policy, value, LearnersAdam(parts, x.rate),
        env.reset(), np.zeros(env.n), np.full(learners, np.nan), 0, log_std, shuffler,
    )  # fmt: skip


def learn(
    agent: PpoAgent,
    updates: int,
    *,
    watch: Callable[[PpoAgent, Report], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Go on for so many updates; FloatingPointError says where a loss was no number first."""
    train(agent, update, updates, watch=watch, progress=progress)


def greedy(agent: PpoAgent, s: Observations) -> Any:
    """The likeliest actions for observations (B E, D), E of each learner -> (B E, ...)."""
    x = torch.as_tensor(s).reshape(len(agent.returns), -1, s.shape[-1])
    return policy_of(agent.policy, agent.log_std, x).likeliest().detach().flatten(0, 1).numpy()


def parameters(agent: PpoAgent) -> list[Tensor]:
    """All that is learned: policy, value, and log σ where there is one."""
    return list(agent.optimiser.param_groups[0]["params"])


# ------------------------------------------------------------------------------- checkpoints


def checkpoint(agent: PpoAgent) -> dict[str, Any]:
    """A copy of everything that decides how training goes on, for `resume` or torch.save."""
    return on_policy.checkpoint(agent) | {"shuffler": agent.shuffler.get_state()}


def resume(agent: PpoAgent, saved: dict[str, Any]) -> None:
    """Put an agent, begun alike, where a checkpoint was taken; it goes on bit for bit."""
    on_policy.resume(agent, saved)
    agent.shuffler.set_state(saved["shuffler"])
