"""Figures of the PPO chapter, and what is recorded."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rlcourse.figures.deep.ppo_runs import DETAILS, TASKS, Run, cartpoles, data_run
from rlcourse.figures.records import plain


def recorded(run: Run, lowest: float) -> dict[str, Any]:
    """As plain data; `lowest` stands for the return of learners that have ended no episode yet."""
    finite = {"returns": np.nan_to_num(run.returns, nan=lowest), "explained": 0.0}
    finite["explained"] = np.nan_to_num(run.explained, nan=0.0).clip(-9, 1)
    return {
        name: plain(finite.get(name, x), 1 if name in ("steps", "returns", "final") else 4)
        for name, x in run._asdict().items()
    }


def recorded_details() -> dict[str, Any]:
    """CartPole-v1 with each detail switched off once, 10 learners each, 51 200 steps."""
    torch.set_num_threads(1)
    runs = {name: data_run(cartpoles, x, seed=1, learners=10) for name, x in DETAILS.items()}
    return {"seed": 1, "runs": {name: recorded(run, 0.0) for name, run in runs.items()}}


def recorded_tasks() -> dict[str, Any]:
    """Acrobot-v1 and Pendulum-v1, 5 learners each."""
    torch.set_num_threads(1)
    runs = {
        name: data_run(make, x, seed=1, learners=5, every=2) for name, (make, x) in TASKS.items()
    }
    lowest = {"Acrobot-v1": -500.0, "Pendulum-v1": -1600.0}
    return {"seed": 1, "runs": {name: recorded(x, lowest[name]) for name, x in runs.items()}}


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "details": recorded_details,
    "tasks": recorded_tasks,
}
RECORDED_MODULES = (
    "rlcourse.figures.records",
    "rlcourse.figures.deep.ppo_runs",
    "rlcourse.deep.acting",
    "rlcourse.deep.cartpole",
    "rlcourse.deep.classic_control",
    "rlcourse.deep.environments",
    "rlcourse.deep.generalized_advantage",
    "rlcourse.deep.learners_adam",
    "rlcourse.deep.networks",
    "rlcourse.deep.on_policy",
    "rlcourse.deep.policies",
    "rlcourse.deep.policy_losses",
    "rlcourse.deep.ppo",
    "rlcourse.deep.ppo_losses",
    "rlcourse.deep.rollouts",
    "rlcourse.deep.scaled",
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.targets",
)
