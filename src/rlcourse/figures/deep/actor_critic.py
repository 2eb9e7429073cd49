"""Figures of the actor-critic chapter, and what is recorded."""

from collections.abc import Callable
from typing import Any

from rlcourse.deep import a2c
from rlcourse.figures.deep.a2c_runs import VARIANTS, data_grid
from rlcourse.figures.deep.pole_runs import record_poles
from rlcourse.figures.records import run


def recorded_grid() -> dict[str, Any]:
    """20 000 steps of 20 learners of each kind on Zhao's grid world, begun anew and not."""
    return run(7, lambda rng: data_grid(rng=rng))


def recorded_pole() -> dict[str, Any]:
    """Nine variants of A2C on CartPole-v1, 10 learners each, 102 400 steps."""
    return record_poles(a2c, VARIANTS)


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "grid": recorded_grid,
    "pole": recorded_pole,
}
RECORDED_MODULES = (
    "rlcourse.figures.records",
    "rlcourse.figures.deep.pole_runs",
    "rlcourse.figures.deep.a2c_runs",
    "rlcourse.deep.a2c",
    "rlcourse.deep.acting",
    "rlcourse.deep.actor_critic",
    "rlcourse.deep.cartpole",
    "rlcourse.deep.environments",
    "rlcourse.deep.generalized_advantage",
    "rlcourse.deep.networks",
    "rlcourse.deep.objectives",
    "rlcourse.deep.on_policy",
    "rlcourse.deep.policies",
    "rlcourse.deep.policy_losses",
    "rlcourse.deep.rollouts",
    "rlcourse.tabular.environment",
    "rlcourse.tabular.gridworld",
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.sampling",
    "rlcourse.tabular.targets",
)
