"""Many environments stepped at once, in which an episode ends without a wasted or a wrong step.

When an episode ends its environment begins a new one within the same step, and both observations
are handed back: the one that the action led to, from which a learner may have to bootstrap, and the
one to act in next. So every transition is a real one, and there is no mask to forget.

    s = env.reset()
    x = env.step(a)                 # learn from (s, a, x.r, x.s_next, x.terminated)
    s = x.s

The world ends an episode (`terminated`), or a time limit cuts it off (`truncated`); both at once
where it falls on its last step. What follows a terminated step is worth 0, what follows a truncated
one is worth the value of s_next.

Shapes: n environments, D observation size. Of B learners that have E environments each n = B E, and
learner b's are b E, …, (b + 1) E − 1: `s.reshape(B, E, D)` parts them.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlcourse.tabular.mdp import Bools, Floats, Ints

Observations = NDArray[np.float32]


class Transition(NamedTuple):
    """What one step of n environments brought.

    s_next      (n, D) the observation that the action led to: an ended episode's last one
    r           (n,)   reward
    terminated  (n,)   True where the world ended the episode
    truncated   (n,)   True where the time limit did
    s           (n, D) the observation to act in next: a new episode's first where one ended
    """

    s_next: Observations
    r: Floats
    terminated: Bools
    truncated: Bools
    s: Observations


class VectorEnvironment(Protocol):
    """n environments that are stepped together; `CartPole` is one, `from_gymnasium` makes one."""

    @property
    def n(self) -> int:
        """The number of environments."""
        ...

    @property
    def n_actions(self) -> int:
        """The number of actions: 0, …, n_actions − 1."""
        ...

    @property
    def observation_size(self) -> int:
        """How many numbers an observation has, D."""
        ...

    def reset(self) -> Observations:
        """Begin a new episode in each environment: its first observation (n, D)."""
        ...

    def step(self, a: Ints) -> Transition:
        """Take action a (n,), one for each environment."""
        ...


class Resumable(VectorEnvironment, Protocol):
    """A vector environment whose state can be saved, so that training goes on bit for bit."""

    def state(self) -> Any:
        """A copy of all that decides what happens next."""
        ...

    def set_state(self, x: Any) -> None:
        """Go on from a state that `state` gave."""
        ...
