"""What a policy earns: the first episode of each of n environments, played to its end.

Shapes: n environments, D observation size.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rlcourse.deep.environments import Observations, VectorEnvironment
from rlcourse.tabular.mdp import Bools, Floats, Ints

Policy = Callable[[Observations], Ints]  # observations (n, D) -> actions (n,)


class Rollouts(NamedTuple):
    """One episode of each environment; all (n,).

    earned      Σ r
    discounted  Σ γ^t r_t, what the first state turned out to be worth
    steps       its length
    terminated  whether the world ended it; a time limit otherwise
    """

    earned: Floats
    discounted: Floats
    steps: Ints
    terminated: Bools


def first_episodes(env: VectorEnvironment, policy: Policy, gamma: float = 1.0) -> Rollouts:
    """Reset, and act until each environment's first episode is over; later ones don't count."""
    s = env.reset()
    earned, discounted = np.zeros(env.n), np.zeros(env.n)
    steps = np.zeros(env.n, dtype=np.intp)
    alive, ended = np.ones(env.n, dtype=np.bool_), np.zeros(env.n, dtype=np.bool_)
    while alive.any():
        x = env.step(policy(s))
        earned += alive * x.r
        discounted += alive * gamma**steps * x.r
        steps += alive
        ended |= alive & x.terminated
        alive &= ~(x.terminated | x.truncated)
        s = x.s
    return Rollouts(earned, discounted, steps, ended)
