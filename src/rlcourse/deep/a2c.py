"""A2C: an actor and a critic with networks, B independent learners at once.

Each of B learners steps E environments T times, and takes one step of Adam down

    L = -mean(log π(a|s) Â) - β mean H + c mean ½ (v - G)²                   (eq-a2c-loss)

with Â by generalized advantage estimation (eq-gae) and the critic's target G = Â + v. Both are
data. λ says how far an advantage looks before it trusts the critic. What often goes wrong can be
switched on.

Shapes: B learners, E environments of each, T steps, N = T E samples, D observation size, A actions.
Source: Mnih et al. (2016); Schulman et al. (2016).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlcourse.deep import policy_losses
from rlcourse.deep.environments import Resumable
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.networks import clip_gradients, forward, tensors
from rlcourse.deep.on_policy import Agent, Batch, begin_agent, by_learner, by_row, train, values
from rlcourse.deep.policy_losses import categorical_entropy, check_finite
from rlcourse.deep.progress import Progress
from rlcourse.tabular.mdp import Floats


@dataclass(frozen=True)
class Settings:
    """How to learn, and three mistakes.

    An update sees `steps` steps of `envs` environments. `ends` is what counts as the end of the
    world: "terminated", or "either" (a time limit too), or "never" (advantages leak across ends).
    The critic's step, value_rate, is the longer one: the actor climbs by what the critic says.
    `through` lets the actor's gradient flow through the advantage into the critic.
    """

    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 0.99
    lam: float = 0.95
    rate: float = 3e-3
    value_rate: float = 1e-2
    envs: int = 8
    steps: int = 64
    value_weight: float = 0.5
    beta: float = 0.01
    most: float = 0.5
    ends: str = "terminated"
    through: bool = False


def a2c_loss(
    log_prob: Tensor,
    entropy: Tensor,
    v: Tensor,
    advantage: Tensor,
    target: Tensor,
    value_weight: float,
    beta: float,
) -> Tensor:
    """-mean(log π(a|s) Â) - β mean H + c mean ½ (v - G)²  (eq-a2c-loss).

    Log-probabilities of the actions taken, entropies, values v, advantages and targets G, all
    (..., N) -> (...), to be made small. Advantages and targets are data: no gradient flows through
    them. Mnih et al. (2016), section 4.
    """
    gain = log_prob * advantage.detach() + beta * entropy
    return (value_weight * (v - target.detach()) ** 2 / 2 - gain).mean(-1)


def begin(env: Resumable, settings: Settings, *, generator: torch.Generator) -> Agent[Settings]:
    """Learners before their first step: env.n / settings.envs of them (`begin_agent`)."""
    if settings.ends not in ("terminated", "either", "never"):
        raise ValueError(f"ends must be terminated, either or never, got {settings.ends!r}")
    return begin_agent(
        env, settings, rate=settings.rate, value_rate=settings.value_rate, generator=generator
    )


def learn(
    agent: Agent[Settings],
    updates: int,
    *,
    watch: Callable[[Agent[Settings]], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Go on for so many updates; `watch` sees the agent after each.

    Raises FloatingPointError, with the update and the learners, where a loss is no number.
    """
    see = (lambda x, _: watch(x)) if watch else None
    train(agent, update, updates, watch=see, progress=progress)


def update(agent: Agent[Settings], batch: Batch) -> None:
    """One step of actor and critic together, each learner on its own batch."""
    x = agent.settings
    with torch.no_grad():
        before = [by_row(agent, values(agent, s)) for s in (batch.s, batch.s_next)]
    advantage = advantages(x, batch, *before)
    target = by_learner(agent, advantage + before[0]).float()
    v = values(agent, batch.s)
    logits = forward(agent.policy, by_learner(agent, batch.s), torch.tanh)
    known = policy_losses.log_prob(logits, by_learner(agent, batch.a))
    weight = by_learner(agent, advantage).float()
    loss = a2c_loss(known, categorical_entropy(logits), v, weight, target, x.value_weight, x.beta)
    if x.through:  # the weight again, as a function of the critic: its gradient alone is added
        loss = loss - (known.detach() * (v.detach() - v)).mean(-1)
    check_finite("the loss", loss, f"at update {agent.updates}")
    agent.optimiser.zero_grad()
    torch.autograd.backward(loss.sum())
    for net in (agent.policy, agent.value):
        clip_gradients(tensors(net), x.most)
    agent.optimiser.step()
    agent.updates += 1


def advantages(settings: Settings, batch: Batch, v: Floats, v_next: Floats) -> Floats:
    """Â (T, B E) of a batch from the critic's values of s and s_next, by what counts as an end."""
    ended, cut = batch.terminated, batch.truncated
    if settings.ends == "either":
        ended = ended | cut
    if settings.ends == "never":
        ended = cut = ended & False
    return generalized_advantage(batch.r, v, v_next, ended, cut, settings.gamma, settings.lam)
