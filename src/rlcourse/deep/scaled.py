"""Observations brought to one size, so that a network feels each of them alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcourse import _check
from rlcourse.deep.environments import Observations, Resumable, Transition
from rlcourse.tabular.mdp import Ints


class Scaled:
    """An environment whose observations are divided by fixed sizes (D,), all positive.

    The rest is as it was. Raises ValueError for sizes that are not D positive numbers.
    """

    def __init__(self, env: Resumable, sizes: Sequence[float]) -> None:
        divisors = _check.finite("sizes", sizes)
        _check.shape("sizes", divisors, (env.observation_size,))
        for size in divisors:
            _check.positive("sizes", float(size))
        self.env, self.sizes = env, divisors.astype(np.float32)
        self.n, self.n_actions = env.n, env.n_actions
        self.observation_size = env.observation_size

    def reset(self) -> Observations:
        """The first observations, scaled."""
        return self.env.reset() / self.sizes

    def step(self, a: Ints) -> Transition:
        """The step of the environment, with s_next and s scaled."""
        x = self.env.step(a)
        return x._replace(s_next=x.s_next / self.sizes, s=x.s / self.sizes)

    def state(self) -> Any:
        """That of the environment."""
        return self.env.state()

    def set_state(self, x: Any) -> None:
        """Go on from what `state` gave."""
        self.env.set_state(x)
