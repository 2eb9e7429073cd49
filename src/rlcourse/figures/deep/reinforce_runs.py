"""The long experiments of the policy gradient chapter: the short corridor and CartPole.

Shapes: B learners, n points of a curve.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rlcourse.deep import reinforce_network as network
from rlcourse.deep.policies import softmax_policy
from rlcourse.deep.policy_worlds import short_corridor
from rlcourse.deep.reinforce import reinforce
from rlcourse.tabular.environment import environment
from rlcourse.tabular.mdp import Floats

START = (1.47, -1.47)  # (left, right): right with probability 0.05
CORRIDOR = {  # name: α and α_w
    "α = 2⁻¹²": (2.0**-12, 0.0),
    "α = 2⁻¹³": (2.0**-13, 0.0),
    "α = 2⁻¹⁴": (2.0**-14, 0.0),
    "with baseline": (2.0**-9, 2.0**-6),
}
WHOLE = network.Settings()
VARIANTS = {
    "all ingredients": WHOLE,
    "no baseline": replace(WHOLE, baseline=False),
    "total return": replace(WHOLE, to_go=False),
    "cuts taken for ends": replace(WHOLE, complete=False),
    "no entropy bonus": replace(WHOLE, beta=0.0),
    "leaks across ends": replace(WHOLE, leak=True),
}


class Corridor(NamedTuple):
    """Returns of B learners of each kind, averaged over blocks of episodes.

    episodes  (n,)            the last of each block
    mean      (n, kinds)      over the learners
    error     (n, kinds)      its standard error
    right     (kinds, B)      π(right) at the end
    """

    names: list[str]
    episodes: Floats
    mean: Floats
    error: Floats
    right: Floats


def data_corridor(
    *, rng: np.random.Generator, learners: int = 100, episodes: int = 1000, block: int = 10,
    limit: int = 500,
) -> Corridor:  # fmt: skip
    """Figures 13.1 and 13.2 of Sutton & Barto, all learners in one loop."""
    world = short_corridor()
    alpha, alpha_w = np.repeat(np.array(list(CORRIDOR.values())), learners, axis=0).T
    found = reinforce(
        environment(world.mdp, world.start, limit), world.x, np.tile(START, (len(alpha), 1)),
        episodes=episodes, alpha=alpha, alpha_w=alpha_w, gamma=world.gamma, rng=rng,
    )  # fmt: skip
    returns = found.returns.reshape(-1, block, len(CORRIDOR), learners).mean(1)
    right = softmax_policy(world.x, found.theta)[:, 0, 1].reshape(len(CORRIDOR), learners)
    error = returns.std(-1, ddof=1) / np.sqrt(learners)
    at = np.arange(block, episodes + 1, block, dtype=np.float64)
    return Corridor(list(CORRIDOR), at, returns.mean(-1), error, right)
