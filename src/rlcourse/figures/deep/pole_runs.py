"""CartPole-v1 with learners that use each batch once: to run variants, and to record them.

Shapes: B learners, n points of a curve.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.on_policy import greedy_actions
from rlcourse.deep.rollouts import first_episodes
from rlcourse.tabular.mdp import Floats


class Pole(NamedTuple):
    """What B learners of one kind earned.

    steps    (n,)    of each learner
    returns  (n, B)  mean return of the episodes that ended lately
    final    (B,)    mean return of 100 fresh episodes, greedily
    """

    steps: Floats
    returns: Floats
    final: Floats


def data_pole(
    learner: Any, settings: Any, *, seed: int, learners: int = 10, updates: int = 200,
    every: int = 5, trials: int = 100,
) -> Pole:  # fmt: skip
    """Training by a module's `begin` and `learn`, and a greedy trial of each learner at the end."""
    env = CartPole(learners * settings.envs, seeds=1000 * seed)
    agent = learner.begin(env, settings, generator=torch.Generator().manual_seed(seed))
    seen: list[Floats] = []
    learner.learn(agent, updates, watch=lambda x: seen.append(x.returns))
    fresh = CartPole(learners * trials, seeds=1_000_000)
    earned = first_episodes(fresh, lambda s: greedy_actions(agent.policy, s)).earned
    at = np.arange(every - 1, updates, every)
    steps = np.asarray((at + 1.0) * settings.envs * settings.steps, dtype=np.float64)
    return Pole(steps, np.array(seen)[at], earned.reshape(learners, trials).mean(1))


def record_poles(learner: Any, variants: Mapping[str, Any]) -> dict[str, Any]:
    """Variants in full, 10 learners each and 102 400 steps of each, as plain data."""
    torch.set_num_threads(1)
    data = {}
    for name, settings in variants.items():
        found = data_pole(learner, settings, seed=1)
        returns = np.where(np.isfinite(found.returns), found.returns, 0.0)
        data[name] = {
            "steps": found.steps.tolist(),
            "returns": returns.round(1).tolist(),
            "final": found.final.round(2).tolist(),
        }
    return {"seed": 1, "variants": data}
