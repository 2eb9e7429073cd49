"""Figures of the policy gradient chapter, and what is recorded."""

from collections.abc import Callable
from typing import Any

from rlcourse.deep import reinforce_network as network
from rlcourse.figures.deep.pole_runs import record_poles
from rlcourse.figures.deep.reinforce_runs import VARIANTS, data_corridor
from rlcourse.figures.records import run


def recorded_corridor() -> dict[str, Any]:
    """1000 episodes of 100 learners of each kind."""
    return run(2024, lambda rng: data_corridor(rng=rng))


def recorded_pole() -> dict[str, Any]:
    """Six variants of REINFORCE on CartPole-v1, 10 learners each, 102 400 steps."""
    return record_poles(network, VARIANTS)


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "corridor": recorded_corridor,
    "pole": recorded_pole,
}
RECORDED_MODULES = (
    "rlcourse.figures.records",
    "rlcourse.figures.deep.pole_runs",
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
