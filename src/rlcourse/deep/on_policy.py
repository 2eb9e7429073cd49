"""What learners share that throw their steps away after use: to collect them, and to be resumed.

B learners step E environments each, T times, with the policy of the moment, and learn from just
these N = T E steps. What they make of them differs (REINFORCE, actor-critic, PPO); how they come
by them doesn't.

Shapes: B learners, E environments of each, T steps, N = T E samples, D observation size, A actions.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.deep.acting import Continuous, policy_of
from rlcourse.deep.environments import Observations, Resumable
from rlcourse.deep.networks import Mlp, forward, orthogonal_mlp, tensors
from rlcourse.deep.progress import Progress
from rlcourse.tabular.mdp import Bools, Floats, Ints


class Plan(Protocol):
    """What every learner's settings say: widths of hidden layers, and T steps of E environments."""

    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def envs(self) -> int: ...
    @property
    def steps(self) -> int: ...


S = TypeVar("S", bound=Plan)


class Batch(NamedTuple):
    """T steps of B E environments: (T, B E), observations (T, B E, D).

    Actions are (T, B E, K) where each is K numbers. log_prob is log π(a|s) of the policy that
    acted, float32.
    """

    s: Observations
    a: Any
    log_prob: Floats
    r: Floats
    s_next: Observations
    terminated: Bools
    truncated: Bools


@dataclass
class Agent(Generic[S]):
    """B learners and all that decides how they go on.

    s (B E, D) is what they see now, `earned` (B E,) what the running episodes have brought, and
    `returns` (B,) the mean of those that ended in the last batch that saw one, NaN before. log σ
    (B, 1, K) is there where actions are numbers.
    """

    settings: S
    env: Resumable | Continuous
    generator: torch.Generator
    policy: Mlp
    value: Mlp
    optimiser: torch.optim.Optimizer
    s: Observations
    earned: Floats
    returns: Floats
    updates: int = 0
    log_std: Tensor | None = None


A = TypeVar("A", bound=Agent[Any])
R = TypeVar("R")


def learners_of(env: Resumable | Continuous, envs: int) -> int:
    """How many learners have so many environments each; ValueError where that is no number."""
    learners, rest = divmod(env.n, _check.positive_integer("envs", envs))
    if rest:
        raise ValueError(f"env.n must be a multiple of envs = {envs}, got {env.n}")
    return learners


def begin_agent(
    env: Resumable,
    settings: S,
    *,
    rate: float,
    value_rate: float,
    generator: torch.Generator,
) -> Agent[S]:
    """Learners before their first step: env.n / settings.envs of them, and one Adam for all.

    Policy and value are orthogonal networks with tanh, their last layers scaled by 0.01 and 1.
    Raises ValueError where env.n is no multiple of settings.envs.
    """
    learners = learners_of(env, settings.envs)
    sizes = (env.observation_size, *settings.hidden)
    policy = orthogonal_mlp([*sizes, env.n_actions], learners, last_gain=0.01, generator=generator)
    value = orthogonal_mlp([*sizes, 1], learners, last_gain=1.0, generator=generator)
    groups = [
        {"params": tensors(policy), "lr": rate},
        {"params": tensors(value), "lr": value_rate},
    ]
    optimiser = torch.optim.Adam(groups, fused=True)
    return Agent(
        settings, env, generator, policy, value, optimiser,
        env.reset(), np.zeros(env.n), np.full(learners, np.nan),
    )  # fmt: skip


@torch.no_grad()
def collect(agent: Agent[Any]) -> Batch:
    """T steps of every environment, actions drawn from the policies."""
    rows, ended = [], []
    for _ in range(agent.settings.steps):
        pi = policy_of(agent.policy, agent.log_std, parted(agent, agent.s))
        a = pi.draw(agent.generator)
        taken, known = (y.flatten(0, 1).numpy() for y in (a, pi.log_prob(a)))
        x = agent.env.step(taken)
        rows.append((agent.s, taken, known, x.r, x.s_next, x.terminated, x.truncated))
        agent.s, agent.earned = x.s, agent.earned + x.r
        over = x.terminated | x.truncated
        ended.append(np.where(over, agent.earned, np.nan))
        agent.earned = np.where(over, 0.0, agent.earned)
    by_learner = np.array(ended).reshape(len(ended), len(agent.returns), -1)
    seen = np.isfinite(by_learner).sum((0, 2))
    mean = np.nansum(by_learner, (0, 2)) / np.maximum(seen, 1)
    agent.returns = np.where(seen > 0, mean, agent.returns)
    return Batch(*(np.array(column) for column in zip(*rows, strict=True)))


def train(
    agent: A,
    update: Callable[[A, Batch], R],
    updates: int,
    *,
    watch: Callable[[A, R], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Collect a batch and learn from it, so many times; `watch` sees what each update returned."""
    size = agent.settings.envs * agent.settings.steps
    for k in range(_check.positive_integer("updates", updates)):
        found = update(agent, collect(agent))
        if watch:
            watch(agent, found)
        if progress:
            progress((k + 1) * size, updates * size, agent.returns)


def values(agent: Agent[Any], s: Observations) -> Tensor:
    """v(s; w) of observations (T, B E, D), as samples of each learner (B, N)."""
    return forward(agent.value, by_learner(agent, s), torch.tanh)[..., 0]


def greedy_actions(policy: Mlp, s: Observations) -> Ints:
    """The likeliest action for observations (B E, D), E of each learner -> (B E,)."""
    with torch.no_grad():
        x = torch.as_tensor(s).reshape(len(policy.weights[0]), -1, s.shape[-1])
        return np.asarray(forward(policy, x, torch.tanh).argmax(-1).reshape(-1).numpy())


# ------------------------------------------------------------------------------- shapes


def parted(agent: Agent[Any], x: np.ndarray) -> Tensor:
    """(B E, ...) -> (B, E, ...)."""
    return torch.as_tensor(x).reshape(len(agent.returns), -1, *x.shape[1:])


def by_learner(agent: Agent[Any], x: np.ndarray) -> Tensor:
    """(T, B E, ...) -> (B, N, ...), the samples of each learner."""
    rows = torch.as_tensor(x).reshape(len(x), len(agent.returns), -1, *x.shape[2:])
    return rows.transpose(0, 1).flatten(1, 2)


def by_row(agent: Agent[Any], x: Tensor) -> Floats:
    """(B, N) -> (T, B E), as floats."""
    rows = x.reshape(len(x), agent.settings.steps, -1).transpose(0, 1)
    return np.asarray(rows.reshape(agent.settings.steps, -1).double().numpy())


# ------------------------------------------------------------------------------- checkpoints


def checkpoint(agent: Agent[Any]) -> dict[str, Any]:
    """A copy of everything that decides how training goes on, for `resume` or torch.save."""
    return deepcopy(
        vars(agent)
        | {
            "policy": [x.detach() for x in tensors(agent.policy)],
            "value": [x.detach() for x in tensors(agent.value)],
            "optimiser": agent.optimiser.state_dict(),
            "generator": agent.generator.get_state(),
            "env": agent.env.state(),
            "log_std": None if agent.log_std is None else agent.log_std.detach(),
        }
    )


def resume(agent: Agent[Any], saved: dict[str, Any]) -> None:
    """Put an agent, begun alike, where a checkpoint was taken; it goes on bit for bit."""
    if saved["settings"] != agent.settings:
        raise ValueError(f"settings must be those of the checkpoint, {saved['settings']}")
    x = deepcopy(saved)
    with torch.no_grad():
        for name in ("policy", "value"):
            for mine, theirs in zip(tensors(getattr(agent, name)), x[name], strict=True):
                mine.copy_(theirs)
        if agent.log_std is not None:
            agent.log_std.copy_(x["log_std"])
    agent.optimiser.load_state_dict(x["optimiser"])
    agent.env.set_state(x["env"])
    agent.generator.set_state(x["generator"])
    for name in ("s", "earned", "returns", "updates"):
        setattr(agent, name, x[name])
