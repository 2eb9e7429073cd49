"""The long experiments of the actor-critic chapter: learners on a grid, and A2C on CartPole.

Shapes: B learners, n points of a curve.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rlcourse.deep import a2c
from rlcourse.deep.actor_critic import Method, learn_actor_critic
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policies import tabular_features
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import ZHAO, grid_mdp
from rlcourse.tabular.mdp import Floats

GAMMA, LIMIT = 0.9, 20
CELLS, ACTIONS = 25, 5
ANYWHERE = np.full(CELLS, 1 / CELLS)
BY_CHANCE = np.full((CELLS, ACTIONS), 1 / ACTIONS)
KINDS: dict[str, tuple[Method, Floats | None]] = {
    "actor-critic": ("actor_critic", None),
    "QAC": ("qac", None),
    "off-policy actor-critic": ("actor_critic", BY_CHANCE),
}
WHOLE = a2c.Settings()
LAMBDAS = {f"λ = {lam:g}": replace(WHOLE, lam=lam) for lam in (0.0, 0.5, 0.9, 0.95, 1.0)}
MISTAKES = {
    "time limits taken for ends": replace(WHOLE, ends="either"),
    "gradient through Â": replace(WHOLE, through=True),
    "a critic as slow as the actor": replace(WHOLE, value_rate=WHOLE.rate),
    "leaks across ends": replace(WHOLE, ends="never"),
}
VARIANTS = LAMBDAS | MISTAKES


class Grid(NamedTuple):
    """What B learners of each kind are worth, exactly: their mean value over all cells.

    steps (n,) of each learner; begun and endless map a kind to mean and standard error (2, n): with
    episodes of 20 steps that begin anywhere, and with a single one that never ends.
    """

    steps: Floats
    begun: dict[str, Floats]
    endless: dict[str, Floats]


def data_grid(
    *, rng: np.random.Generator, learners: int = 20, steps: int = 20_000, every: int = 500
) -> Grid:
    """Each kind of learner on Zhao's grid world, from a uniform policy and values of 0."""
    found = [
        {
            name: learn_grid(name, limit, learners=learners, steps=steps, every=every, rng=rng)
            for name in KINDS
        }
        for limit in (LIMIT, None)
    ]
    return Grid(np.arange(0.0, steps + 1, every), *found)


def learn_grid(
    name: str, limit: int | None, *, learners: int, steps: int, every: int, rng: np.random.Generator
) -> Floats:
    """Mean and standard error (2, 1 + steps / every) of J, exactly, for one kind of learner."""
    method, behaviour = KINDS[name]
    mdp, x = grid_mdp(ZHAO), tabular_features(CELLS, ACTIONS)
    learned = learn_actor_critic(
        environment(mdp, ANYWHERE, limit), x, method, behaviour=behaviour, steps=steps,
        learners=learners, alpha=0.1, alpha_w=0.1, gamma=GAMMA, every=every, rng=rng,
    )  # fmt: skip
    j = np.array(
        [value_objective(mdp, x, theta, ANYWHERE, GAMMA).objective for theta in learned.theta]
    )
    return np.array([j.mean(1), j.std(1, ddof=1) / np.sqrt(learners)])
