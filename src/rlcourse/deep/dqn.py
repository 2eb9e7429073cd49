"""Deep Q-learning: Q-learning's step taken by gradient descent on a network's minibatch.

The table of Q-learning becomes a network q(s, a; w), and its step a loss whose gradient stops at
the target (eq-dqn-loss):

    loss(w) = mean of huber(target - q(s, a; w)) over a minibatch of transitions

    target                                               keeps a wrong value from
    r + γ max_a q(s', a; w⁻)              (eq-dqn-target)    chasing itself: w⁻ is an old copy of w
    r + γ q(s', argmax_a q(s', a; w); w⁻) (eq-double-dqn-target)    being chosen for its error

    ingredient                                           removes
    replay         random transitions    (eq-replay)     the likeness of neighbours
    huber          |slope| <= κ          (eq-huber)      the pull of one large error
    dueling        v + b - mean b        (eq-dueling)    the need to learn v for each action

Where an episode terminated nothing follows; where a time limit truncated it, the value of its last
state does: the buffer holds `terminated` and the true successor.

Shapes: A actions, B independent learners, N transitions of a minibatch, D numbers in an
observation; (...) stands for any leading axes.
Source: Mnih et al. (2015); van Hasselt, Guez & Silver (2016); Wang et al. (2016); Lin (1992).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.deep.environments import Observations, Resumable
from rlcourse.deep.networks import (
    Mlp,
    clip_gradients,
    copy_of,
    from_tensors,
    tensors,
    uniform_mlp,
)
from rlcourse.deep.progress import Progress
from rlcourse.deep.q_learning import (
    blend,
    double_dqn_target,
    dqn_loss,
    dqn_target,
    epsilon_greedy_action,
    linear_epsilon,
    q_values,
)
from rlcourse.deep.replay import Batch, Replay, add, draw_slots, empty_replay, n_step_transitions
from rlcourse.tabular.mdp import Floats

# ------------------------------------------------------------------------------- the learner


@dataclass(frozen=True)
class Settings:
    """How to learn; each ingredient can be taken away.

    Steps are those of one learner; n in a row make a transition. A bout is `every` steps of the
    environment, then `updates` of the network, of which every `copy_every`-th is followed by
    w⁻ <- (1 - τ) w⁻ + τ w: with 1 and τ = 1 there is no target network. Adam's rate falls to 0 over
    `fade` updates, never if that is 0. A small `capacity` is no replay; kappa = ∞ no Huber loss.
    `truncation_ends` is a bug: a time limit taken for an end of the world.
    """

    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 0.99
    rate: float = 2e-3
    fade: int = 0
    n: int = 10
    batch: int = 64
    capacity: int = 50_000
    warm_up: int = 1000
    every: int = 250
    updates: int = 125
    copy_every: int = 1
    tau: float = 0.05
    explore: int = 8000
    epsilon: float = 0.04
    most: float = 10.0
    double: bool = True
    dueling: bool = True
    kappa: float = 10.0
    truncation_ends: bool = False


@dataclass
class Agent:
    """B learners and all that decides how they go on.

    s (B, D) is what they see now; `earned` (B,) counts the running episode, `returns` (B,) holds
    the last finished one, NaN before that; `done` and `updated` count steps and updates.
    """

    settings: Settings
    env: Resumable
    generators: Sequence[torch.Generator]
    net: Mlp
    old: Mlp
    optimiser: torch.optim.Optimizer
    replay: Replay
    s: Observations
    earned: Floats
    returns: Floats
    done: int = 0
    updated: int = 0


def begin(env: Resumable, settings: Settings, *, generators: Sequence[torch.Generator]) -> Agent:
    """B learners before their first step: one environment and one generator each.

    Raises ValueError where their numbers differ.
    """
    if len(generators) != env.n:
        raise ValueError(
            f"generators must be one for each of {env.n} learners, got {len(generators)}"
        )
    outputs = env.n_actions + settings.dueling  # v, then the advantages
    sizes = [env.observation_size, *settings.hidden, outputs]
    each = [tensors(uniform_mlp(sizes, 1, generator=g)) for g in generators]
    parts = [torch.cat(x).detach().requires_grad_() for x in zip(*each, strict=True)]
    net, s = from_tensors(parts), env.reset()
    flags = torch.zeros(env.n, dtype=torch.bool)
    seen = torch.as_tensor(s)
    like = Batch(seen, flags.long(), flags.float(), seen, flags, flags)
    return Agent(
        settings, env, generators, net, copy_of(net),
        torch.optim.Adam(parts, settings.rate, fused=True),
        empty_replay(settings.capacity, like), s, np.zeros(env.n), np.full(env.n, np.nan),
    )  # fmt: skip


def learn(
    agent: Agent,
    steps: int,
    *,
    watch: Callable[[Agent], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Go on for so many steps: bouts of acting ε-greedily, each followed by updates.

    `watch` sees the agent after each bout. Raises ValueError unless steps is a multiple of
    settings.every, and FloatingPointError where the loss is no number. Mnih et al. (2015).
    """
    x = agent.settings
    bouts, rest = divmod(_check.positive_integer("steps", steps), x.every)
    if rest:
        raise ValueError(f"steps must be a multiple of settings.every = {x.every}, got {steps}")
    for bout in range(bouts):
        draws = [torch.rand((x.every, 2), generator=g) for g in agent.generators]
        for u in torch.stack(draws, 1):
            act(agent, u)
        if agent.done >= x.warm_up:
            how = agent.replay, x.batch, x.updates, x.n
            for slots in draw_slots(*how, generators=agent.generators):
                update(agent, *n_step_transitions(agent.replay, slots, x.n, x.gamma))
        if watch:
            watch(agent)
        if progress:
            progress((bout + 1) * x.every, steps, agent.returns)


@torch.no_grad()
def act(agent: Agent, u: Tensor) -> None:
    """One step of each learner, ε-greedy by uniforms u (B, 2), into the replay buffer."""
    x, s = agent.settings, torch.as_tensor(agent.s)
    epsilon = linear_epsilon(agent.done, x.explore, x.epsilon)
    a = epsilon_greedy_action(q_values(agent.net, s[:, None], x.dueling)[:, 0], epsilon, u)
    step = agent.env.step(a.numpy())
    over = step.terminated | step.truncated
    ends = over if x.truncation_ends else step.terminated
    parts = (torch.as_tensor(y) for y in (step.r, step.s_next, ends, step.truncated))
    add(agent.replay, Batch(s, a, *parts))
    agent.s, agent.done, agent.earned = step.s, agent.done + 1, agent.earned + step.r
    agent.returns = np.where(over, agent.earned, agent.returns)
    agent.earned = np.where(over, 0.0, agent.earned)


def update(agent: Agent, batch: Batch, discount: Tensor) -> None:
    """One step of Adam down the loss of a minibatch (B, N, ...), each learner on its own.

    discount (B, N) is γ^m where s_next lies m steps ahead.
    """
    x, gamma = agent.settings, cast(Any, discount)  # a target broadcasts over its γ as well
    with torch.no_grad():
        q_next = q_values(agent.old, batch.s_next, x.dueling)
        if x.double:
            q_choose = q_values(agent.net, batch.s_next, x.dueling)
            target = double_dqn_target(batch.r, q_choose, q_next, batch.terminated, gamma)
        else:
            target = dqn_target(batch.r, q_next, batch.terminated, gamma)
    loss = dqn_loss(q_values(agent.net, batch.s, x.dueling), batch.a, target, x.kappa)
    if not (good := loss.isfinite()).all():
        lost = (~good).nonzero()[:, 0].tolist()
        where = f"update {agent.updated}, step {agent.done}"
        raise FloatingPointError(f"the loss of learners {lost} is no number at {where}")
    for group in agent.optimiser.param_groups if x.fade else ():
        group["lr"] = x.rate * max(0.0, 1 - agent.updated / x.fade)
    agent.optimiser.zero_grad()
    torch.autograd.backward(loss.sum())
    clip_gradients(tensors(agent.net), x.most)
    agent.optimiser.step()
    agent.updated += 1
    if agent.updated % x.copy_every == 0:
        pairs = zip(tensors(agent.old), tensors(agent.net), strict=True)
        agent.old = from_tensors([blend(w_old, w.detach(), x.tau) for w_old, w in pairs])


# ------------------------------------------------------------------------------- checkpoints


def checkpoint(agent: Agent) -> dict[str, Any]:
    """A copy of everything that decides how training goes on, for `resume` or torch.save."""
    parts = vars(agent) | {
        "net": [x.detach() for x in tensors(agent.net)],
        "old": tensors(agent.old),
        "optimiser": agent.optimiser.state_dict(),
        "generators": [g.get_state() for g in agent.generators],
        "env": agent.env.state(),
    }
    return deepcopy(parts)


def resume(agent: Agent, saved: dict[str, Any]) -> None:
    """Put an agent, begun alike, where a checkpoint was taken; it goes on bit for bit."""
    if saved["settings"] != agent.settings:
        raise ValueError(f"settings must be those of the checkpoint, {saved['settings']}")
    x = deepcopy(saved)
    with torch.no_grad():
        for mine, theirs in zip(tensors(agent.net), x["net"], strict=True):
            mine.copy_(theirs)
    agent.old = from_tensors(x["old"])
    agent.optimiser.load_state_dict(x["optimiser"])
    agent.env.set_state(x["env"])
    for generator, state in zip(agent.generators, x["generators"], strict=True):
        generator.set_state(state)
    for name in ("replay", "s", "earned", "returns", "done", "updated"):
        setattr(agent, name, x[name])
