"""CartPole-v1 in NumPy: n carts that balance poles together, equal to Gymnasium's bit for bit.

A cart is pushed left (0) or right (1) with 10 N. It earns 1 a step until its pole leans more than
12 degrees, it leaves the track at ±2.4 m, or the time limit cuts the episode off. It moves as that
of Barto, Sutton and Anderson (1983), in steps of 0.02 s by Euler's method:

    push  = (force + m l θ'² sin θ) / M
    θ''   = (g sin θ − cos θ push) / (l (4/3 − m cos² θ / M))
    x''   = push − m l θ'' cos θ / M

with the pole's mass m = 0.1 kg, all mass M = 1.1 kg, half the pole's length l = 0.5 m. Each sum is
taken in Gymnasium's order, so that no bit differs; its scalars and our arrays go through the same
loops of NumPy. Cart i draws its episodes from a generator of its own, as an environment of
Gymnasium's does after `reset(seed=seeds[i])`: nothing that the others do changes it.

Shapes: n carts; an observation is (x, x', θ, θ'), D = 4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.deep.environments import Observations, Transition
from rlcourse.tabular.mdp import Bools, Floats, Ints

GRAVITY, TAU = 9.8, 0.02
MASS, TOTAL_MASS = 0.1, 0.1 + 1.0
HALF_LENGTH = 0.5
MASS_LENGTH = MASS * HALF_LENGTH
FORCE = np.array([-10.0, 10.0])
TRACK, LEAN = 2.4, 12 * 2 * np.pi / 360
FIRST = 0.05  # all of the first state is uniform in ±FIRST
AHEAD = 64  # first states that a cart draws in one go


class Carts(NamedTuple):
    """All that decides what happens next, besides the seeds and the limit.

    x         (4, n) position, velocity, angle and angular velocity
    steps     (n,)   taken in this episode
    episodes  (n,)   begun so far
    """

    x: Floats
    steps: Ints
    episodes: Ints


def moved(x: Floats, force: Floats) -> Floats:
    """The state (4, …) a step of 0.02 s later, under a force (…) in newtons."""
    _, speed, angle, turn = x
    cos, sin = np.cos(angle), np.sin(angle)
    push = (force + MASS_LENGTH * np.square(turn) * sin) / TOTAL_MASS
    turning = (GRAVITY * sin - cos * push) / (
        HALF_LENGTH * (4.0 / 3.0 - MASS * np.square(cos) / TOTAL_MASS)
    )
    speeding = push - MASS_LENGTH * turning * cos / TOTAL_MASS
    return np.asarray(x + TAU * np.array((speed, speeding, turn, turning)))


def fallen(x: Floats) -> Bools:
    """Whether a state (4, …) ends the episode: off the track, or the pole leans too far."""
    return np.asarray((np.abs(x[0]) > TRACK) | (np.abs(x[2]) > LEAN))


class CartPole:
    """n carts; `seeds` are n of them, or the first of n that follow one another.

    Raises ValueError for an n or a limit below 1, and for seeds that are negative or not n.
    """

    n_actions, observation_size = 2, 4

    def __init__(self, n: int, *, seeds: int | Sequence[int], limit: int = 500) -> None:
        self.n = _check.positive_integer("n", n)
        self.limit = _check.positive_integer("limit", limit)
        first = np.arange(n) + seeds if np.ndim(seeds) == 0 else np.asarray(seeds)
        _check.shape("seeds", first, (n,))
        self._seeds = _check.indices("seeds", first, np.iinfo(np.intp).max)
        self._x, self._steps = np.zeros((4, n)), np.zeros(n, dtype=np.intp)
        self._episodes = np.zeros(n, dtype=np.intp)
        self._generators = [np.random.default_rng(int(seed)) for seed in self._seeds]
        self._ahead = np.zeros((n, AHEAD, 4))

    def reset(self) -> Observations:
        """Begin an episode with each cart, the next of its generator's: (n, 4)."""
        self._begin(np.arange(self.n))
        return self._observe()

    def step(self, a: Ints) -> Transition:
        """Push each cart, a (n,): 0 left, 1 right; where an episode ends the next one begins.

        The step that ends an episode earns 1 too. Gymnasium allows steps beyond an end; here there
        are none. Raises ValueError before the first reset, and for actions that don't exist.
        """
        if not self._episodes[0]:
            raise ValueError("reset() must come before step()")
        pushes = _check.indices("a", a, 2)
        _check.shape("a", pushes, (self.n,))
        self._x = moved(self._x, FORCE.take(pushes))
        self._steps += 1
        terminated, truncated = fallen(self._x), self._steps >= self.limit
        s_next = s = self._observe()
        if (ended := terminated | truncated).any():
            self._begin(ended.nonzero()[0])
            s = self._observe()
        return Transition(s_next, np.ones(self.n), terminated, truncated, s.copy())

    def state(self) -> Carts:
        """A copy of where the carts are; with seeds and limit it decides all that follows."""
        return Carts(self._x.copy(), self._steps.copy(), self._episodes.copy())

    def set_state(self, x: Carts) -> None:
        """Go on from what `state` gave, bit for bit; `seeds` and `limit` must be the same.

        Raises ValueError for another number of carts.
        """
        _check.shape("x", x.x, (4, self.n))
        self._x, self._steps, self._episodes = x.x.copy(), x.steps.copy(), x.episodes.copy()
        for i, seed in enumerate(self._seeds):
            # the block that the running episode is of begins at its first number
            drawn = max(int(self._episodes[i]) - 1, 0) // AHEAD * AHEAD
            bits = np.random.PCG64(int(seed)).advance(4 * drawn)
            self._generators[i] = np.random.Generator(bits)
            if self._episodes[i]:
                self._ahead[i] = self._generators[i].uniform(-FIRST, FIRST, (AHEAD, 4))

    def _begin(self, carts: Ints) -> None:
        at = self._episodes[carts] % AHEAD
        for i in carts[at == 0]:
            self._ahead[i] = self._generators[i].uniform(-FIRST, FIRST, (AHEAD, 4))
        self._x[:, carts] = self._ahead[carts, at].T
        self._steps[carts] = 0
        self._episodes[carts] += 1

    def _observe(self) -> Observations:
        return np.ascontiguousarray(self._x.T, dtype=np.float32)
