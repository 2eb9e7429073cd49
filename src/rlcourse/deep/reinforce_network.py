"""REINFORCE with a network and a learned baseline, B independent learners at once.

Each of B learners steps E environments T times, and turns what it saw into one step of its policy:

    G_t   reward-to-go, completed by the baseline's v where steps were cut  (eq-reward-to-go)
    Â_t   G_t - v(s_t; w)                                                   (eq-baseline)
    θ     one step of Adam down -mean(log π(a|s) Â) - β mean H      (eq-policy-gradient-loss)
    w     a few steps down mean (G - v(s; w))²

What completes a cut return is a guess. So estimates are biased as far as the baseline is wrong, and
an end of the world is never taken for a cut. Each ingredient can be switched off.

Shapes: B learners, E environments of each, T steps, N = T E samples, D observation size, A actions.
Source: Williams (1992); Sutton & Barto, section 13.4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rlcourse.deep.advantages import reward_to_go
from rlcourse.deep.environments import Resumable
from rlcourse.deep.networks import clip_gradients, forward, tensors
from rlcourse.deep.on_policy import Agent, Batch, begin_agent, by_learner, by_row, train, values
from rlcourse.deep.policy_losses import check_finite, policy_gradient_loss
from rlcourse.deep.progress import Progress
from rlcourse.tabular.mdp import Floats


@dataclass(frozen=True)
class Settings:
    """How to learn; each ingredient can be taken away.

    An update sees `steps` steps of `envs` environments. Without `baseline` v is 0 throughout;
    without `to_go` every action is weighted by what its episode earned from its first row on.
    `complete` False treats every cut as an end, `leak` lets returns run on across ends.
    """

    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 0.99
    rate: float = 3e-3
    baseline_rate: float = 3e-3
    envs: int = 8
    steps: int = 64
    fits: int = 5
    beta: float = 0.01
    most: float = 0.5
    baseline: bool = True
    to_go: bool = True
    complete: bool = True
    leak: bool = False


def begin(env: Resumable, settings: Settings, *, generator: torch.Generator) -> Agent[Settings]:
    """Learners before their first step: env.n / settings.envs of them (`begin_agent`)."""
    return begin_agent(
        env, settings, rate=settings.rate, value_rate=settings.baseline_rate, generator=generator
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
    """One step of the policy and a few of the baseline, each learner on its own batch."""
    x = agent.settings
    s, a = by_learner(agent, batch.s), by_learner(agent, batch.a)
    with torch.no_grad():
        v, v_next = values(agent, batch.s), values(agent, batch.s_next)
    g = by_learner(agent, returns(agent, batch, by_row(agent, v_next))).float()
    advantage = g - v if x.baseline else g
    for fit in range(x.fits):
        loss = ((forward(agent.value, s, torch.tanh)[..., 0] - g) ** 2).mean(-1)
        if fit == 0:
            logits = forward(agent.policy, s, torch.tanh)
            loss = loss + policy_gradient_loss(logits, a, advantage, x.beta)
        check_finite("the loss", loss, f"at update {agent.updates}")
        agent.optimiser.zero_grad()
        torch.autograd.backward(loss.sum())
        for net in (agent.policy, agent.value)[fit > 0 :]:
            clip_gradients(tensors(net), x.most)
        agent.optimiser.step()
    agent.updates += 1


def returns(agent: Agent[Settings], batch: Batch, v_next: Floats) -> Floats:
    """What each action is weighted by (T, B E), before the baseline is taken off."""
    x = agent.settings
    guess = v_next if x.complete and x.baseline else np.zeros(v_next.shape)
    never = np.zeros(batch.r.shape, dtype=np.bool_)
    ends, cuts = (never, never) if x.leak else (batch.terminated, batch.truncated)
    g = reward_to_go(batch.r, guess, ends, cuts, x.gamma)
    if x.to_go:
        return g
    first = np.zeros(g.shape, dtype=np.bool_)
    first[0], first[1:] = True, (batch.terminated | batch.truncated)[:-1]
    row = np.maximum.accumulate(np.where(first, np.arange(len(g))[:, None], 0), 0)
    return np.asarray(np.take_along_axis(g, row, 0))
