"""Figures of the policy gradient chapter, and what is recorded."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rlcourse.figures.deep.reinforce_runs import VARIANTS, data_corridor, data_pole
from rlcourse.figures.records import run


def recorded_corridor() -> dict[str, Any]:
    """1000 episodes of 100 learners of each kind."""
    return run(2024, lambda rng: data_corridor(rng=rng))


def recorded_pole() -> dict[str, Any]:
    """Six variants of REINFORCE on CartPole-v1, 10 learners each, 102 400 steps."""
    torch.set_num_threads(1)
    data = {}
    for name, settings in VARIANTS.items():
        found = data_pole(settings, seed=1)
        returns = np.where(np.isfinite(found.returns), found.returns, 0.0)
        data[name] = {
            "steps": found.steps.tolist(),
            "returns": returns.round(1).tolist(),
            "final": found.final.round(2).tolist(),
        }
    return {"seed": 1, "variants": data}


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "corridor": recorded_corridor,
    "pole": recorded_pole,
}
RECORDED_MODULES = (
    "rlcourse.figures.records",
    "rlcourse.figures.deep.reinforce_runs",
    "rlcourse.deep.acting",
    "rlcourse.deep.advantages",
    "rlcourse.deep.cartpole",
    "rlcourse.deep.environments",
    "rlcourse.deep.networks",
    "rlcourse.deep.on_policy",
    "rlcourse.deep.policies",
    "rlcourse.deep.policy_losses",
    "rlcourse.deep.policy_worlds",
    "rlcourse.deep.reinforce",
    "rlcourse.deep.reinforce_network",
    "rlcourse.deep.rollouts",
    "rlcourse.tabular.environment",
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.returns",
    "rlcourse.tabular.sampling",
    "rlcourse.tabular.targets",
)
