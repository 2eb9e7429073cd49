"""The long experiments of the PPO chapter: each detail switched off once, and three tasks.

Shapes: B learners, n points of a curve.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from rlcourse.deep import ppo
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.classic_control import Acrobot, Pendulum
from rlcourse.deep.rollouts import first_episodes
from rlcourse.deep.scaled import Scaled
from rlcourse.tabular.mdp import Floats

Make = Callable[[int, int], Any]  # number of environments and first seed -> environments

WHOLE = ppo.Settings()
DETAILS = {
    "all details": WHOLE,
    "no clip": replace(WHOLE, epsilon=math.inf),
    "one epoch": replace(WHOLE, epochs=1),
    "no normalised advantages": replace(WHOLE, normalise=False),
    "no scaled rewards": replace(WHOLE, reward_scale=1.0),
    "no small last layer": replace(WHOLE, orthogonal=False),
    "no falling rate": replace(WHOLE, anneal=False),
    "no limit of gradients": replace(WHOLE, most=math.inf),
    "λ = 1": replace(WHOLE, lam=1.0),
    "cuts taken for ends": replace(WHOLE, complete=False),
    "with clipped values": replace(WHOLE, value_epsilon=0.2),
    "with an entropy bonus": replace(WHOLE, beta=0.01),
    "with a KL stop": replace(WHOLE, target_kl=0.015),
    "KL stop, no clip": replace(WHOLE, target_kl=0.015, epsilon=math.inf),
}
TASKS: dict[str, tuple[Make, ppo.Settings]] = {
    "Acrobot-v1": (
        lambda n, seed: Scaled(Acrobot(n, seeds=seed), (1, 1, 1, 1, 4, 9)),
        replace(WHOLE, envs=16, steps=128, updates=60),
    ),
    "Pendulum-v1": (
        lambda n, seed: Pendulum(n, seeds=seed),
        replace(WHOLE, gamma=0.9, rate=1e-3, steps=256, epochs=10, reward_scale=0.1),
    ),
}


class Run(NamedTuple):
    """What B learners earned, and how far each update moved them.

    steps      (n,)    of each learner
    returns    (n, B)  mean return of the episodes that ended lately, NaN before the first
    kl         (n, B)  k3 while the update went on, mean over its steps
    clipped    (n, B)  share of ratios beyond 1 ± 0.2
    explained  (n, B)  of the targets' variance by the values
    final      (B,)    mean return of 100 fresh episodes, greedily
    """

    steps: Floats
    returns: Floats
    kl: Floats
    clipped: Floats
    explained: Floats
    final: Floats


def cartpoles(n: int, seed: int) -> CartPole:
    """CartPole-v1."""
    return CartPole(n, seeds=seed)


def data_run(
    make: Make, settings: ppo.Settings, *, seed: int, learners: int, updates: int | None = None,
    every: int = 4, trials: int = 100,
) -> Run:  # fmt: skip
    """PPO of B learners, and greedy trials of each at the end."""
    env = make(learners * settings.envs, 1000 * seed)
    agent = ppo.begin(env, settings, generator=torch.Generator().manual_seed(seed))
    seen: list[list[Floats]] = []

    def watch(x: ppo.PpoAgent, report: ppo.Report) -> None:
        seen.append([x.returns, report.kl, report.clipped, report.explained])

    ppo.learn(agent, updates or settings.updates, watch=watch)
    fresh = make(learners * trials, 1_000_000)
    earned = first_episodes(fresh, lambda s: ppo.greedy(agent, s)).earned
    at = np.arange(every - 1, len(seen), every)
    curves = np.array(seen)[at]
    steps = np.asarray((at + 1.0) * settings.envs * settings.steps, dtype=np.float64)
    returns, kl, clipped, explained = curves.swapaxes(0, 1)
    final = earned.reshape(learners, trials).mean(1)
    return Run(steps, returns, kl, clipped, explained, final)
