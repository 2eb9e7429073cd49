"""What the tests of peers share: quantecon's model of an MDP."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlcourse.tabular.mdp import MDP


@pytest.fixture
def discrete_dp() -> Callable[[MDP, float], Any]:
    """quantecon's model, by plain loops; episodes go on for ever in one more state, worth 0."""
    from quantecon.markov import DiscreteDP

    def build(mdp: MDP, gamma: float) -> DiscreteDP:
        n_states, n_actions, n_outcomes = mdp.p.shape
        r, q = (
            np.zeros((n_states + 1, n_actions)),
            np.zeros((n_states + 1, n_actions, n_states + 1)),
        )
        q[-1, :, -1] = 1
        for s, a, k in np.ndindex(n_states, n_actions, n_outcomes):
            r[s, a] += mdp.p[s, a, k] * mdp.r[s, a, k]
            q[s, a, -1 if mdp.terminated[s, a, k] else mdp.s_next[s, a, k]] += mdp.p[s, a, k]
        return DiscreteDP(r, q, gamma)

    return build
