"""Acrobot-v1 and Pendulum-v1 in NumPy: many at once, equal to Gymnasium's bit for bit.

    Acrobot   two links hang from a bar, and a motor at the elbow pushes left, not, or right. A step
              of 0.2 s (Runge-Kutta of fourth order) earns -1, until the tip is one link above the
              bar: that step earns 0 and ends the episode. At most 500 steps. Sutton (1996)
    Pendulum  one link, and a torque between -2 and 2, too weak to lift it in one go. A step of
              0.05 s earns -(θ² + θ'²/10 + u²/1000), θ = 0 upright. It never ends: 200 steps

Sums are taken in Gymnasium's order, so that no bit differs, but for the square of a torque in a
pendulum's reward, now and then by one rounding in float32. Copy i draws its episodes from a
generator of its own, as one of Gymnasium's does after `reset(seed=seeds[i])`.

Shapes: n copies; an observation is (cos, sin, cos, sin, speed, speed) of the two angles, D = 6,
and (cos θ, sin θ, θ'), D = 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.deep.environments import Observations, Transition
from rlcourse.tabular.mdp import Bools, Floats, Ints

G_ACROBOT, DT_ACROBOT = 9.8, 0.2
FASTEST_1, FASTEST_2 = 4 * np.pi, 9 * np.pi
TORQUES = np.array([-1.0, 0.0, 1.0])
G_PENDULUM, DT_PENDULUM = 10.0, 0.05
FASTEST, STRONGEST = 8.0, 2.0


class Links(NamedTuple):
    """All that decides what happens next, besides the seeds and the limit.

    x         (n, K) angles, then angular velocities
    steps     (n,)   taken in this episode
    episodes  (n,)   begun so far
    """

    x: Floats
    steps: Ints
    episodes: Ints


class Copies:
    """n copies of one environment; what they share: seeds, episodes, limits, and to be resumed.

    Raises ValueError for an n or a limit below 1, and for seeds that are negative or not n.
    """

    observation_size: int
    first: tuple[float, ...]  # the first state is uniform in ± these

    def __init__(self, n: int, *, seeds: int | Sequence[int], limit: int) -> None:
        self.n = _check.positive_integer("n", n)
        self.limit = _check.positive_integer("limit", limit)
        each = np.arange(n) + seeds if np.ndim(seeds) == 0 else np.asarray(seeds)
        _check.shape("seeds", each, (n,))
        self._seeds = _check.indices("seeds", each, np.iinfo(np.intp).max)
        self._generators = [np.random.default_rng(int(seed)) for seed in self._seeds]
        self._x, self._steps = np.zeros((n, len(self.first))), np.zeros(n, dtype=np.intp)
        self._episodes = np.zeros(n, dtype=np.intp)

    def reset(self) -> Observations:
        """Begin an episode with each, the next of its generator's: (n, D)."""
        self._begin(np.arange(self.n))
        return self._observe()

    def state(self) -> Links:
        """A copy of where all are; with seeds and limit it decides all that follows."""
        return Links(self._x.copy(), self._steps.copy(), self._episodes.copy())

    def set_state(self, x: Links) -> None:
        """Go on from what `state` gave, bit for bit; `seeds` and `limit` must be the same.

        Raises ValueError for another number of copies.
        """
        _check.shape("x", x.x, self._x.shape)
        self._x, self._steps, self._episodes = x.x.copy(), x.steps.copy(), x.episodes.copy()
        for i, seed in enumerate(self._seeds):
            bits = np.random.PCG64(int(seed)).advance(len(self.first) * int(self._episodes[i]))
            self._generators[i] = np.random.Generator(bits)

    def _step(self, x: Floats, r: Floats, terminated: Bools) -> Transition:
        if not self._episodes[0]:
            raise ValueError("reset() must come before step()")
        self._x, self._steps = x, self._steps + 1
        truncated = self._steps >= self.limit
        s_next = s = self._observe()
        if (ended := terminated | truncated).any():
            self._begin(ended.nonzero()[0])
            s = self._observe()
        return Transition(s_next, r, terminated, truncated, s.copy())

    def _begin(self, which: Ints) -> None:
        high = np.array(self.first)
        for i in which:
            self._x[i] = self._drawn(self._generators[i].uniform(-high, high))
        self._steps[which] = 0
        self._episodes[which] += 1

    def _drawn(self, x: Floats) -> Floats:
        return x

    def _observe(self) -> Observations:
        raise NotImplementedError("a kind of environment says what is seen of it")


class Acrobot(Copies):
    """n acrobots; `seeds` are n of them, or the first of n that follow one another."""

    n_actions, observation_size = 3, 6
    first = (0.1, 0.1, 0.1, 0.1)

    def __init__(self, n: int, *, seeds: int | Sequence[int], limit: int = 500) -> None:
        super().__init__(n, seeds=seeds, limit=limit)

    def step(self, a: Ints) -> Transition:
        """Push each elbow, a (n,): 0 left, 1 not, 2 right; where an episode ends the next begins.

        Raises ValueError before the first reset, and for actions that don't exist.
        """
        pushes = _check.indices("a", a, 3)
        _check.shape("a", pushes, (self.n,))
        x = swung(self._x.T, TORQUES.take(pushes))
        up = -np.cos(x[0]) - np.cos(x[1] + x[0]) > 1.0
        return self._step(np.ascontiguousarray(x.T), np.where(up, 0.0, -1.0), up)

    def _drawn(self, x: Floats) -> Floats:
        return x.astype(np.float32)  # as Gymnasium rounds it

    def _observe(self) -> Observations:
        one, two = self._x[:, 0], self._x[:, 1]
        fresh = self._steps == 0
        seen = [f(angle) for angle in (one, two) for f in (np.cos, np.sin)]
        if fresh.any():  # of a state in float32 Gymnasium takes sine and cosine in float32
            few = self._x[fresh, :2].astype(np.float32)
            for k in range(4):
                seen[k][fresh] = (np.cos, np.sin)[k % 2](few[:, k // 2])
        return np.stack([*seen, self._x[:, 2], self._x[:, 3]], 1).astype(np.float32)


class Pendulum(Copies):
    """n pendulums; their actions are numbers, one each: the torque."""

    action_size, observation_size = 1, 3
    first = (np.pi, 1.0)

    def __init__(self, n: int, *, seeds: int | Sequence[int], limit: int = 200) -> None:
        super().__init__(n, seeds=seeds, limit=limit)

    def step(self, a: Floats) -> Transition:
        """Turn each, a (n, 1), clipped to ±2; where an episode is cut off the next begins.

        Raises ValueError before the first reset, and for actions that are no numbers.
        """
        _check.shape("a", _check.finite("a", a), (self.n, 1))
        u = np.clip(np.asarray(a, dtype=np.float32)[:, 0], -STRONGEST, STRONGEST)
        angle, turn = self._x.T
        lean = ((angle + np.pi) % (2 * np.pi)) - np.pi
        cost = squared(lean) + 0.1 * squared(turn) + np.float32(0.001) * u**2
        faster = turn + (3 * G_PENDULUM / 2 * np.sin(angle) + np.float32(3.0) * u) * DT_PENDULUM
        faster = np.clip(faster, -FASTEST, FASTEST)
        x = np.stack([angle + faster * DT_PENDULUM, faster], 1)
        return self._step(x, -cost, np.zeros(self.n, dtype=np.bool_))

    def _observe(self) -> Observations:
        angle, turn = self._x.T
        return np.stack([np.cos(angle), np.sin(angle), turn], 1).astype(np.float32)


def squared(x: Floats) -> Floats:
    """x² as Gymnasium's scalars have it: by pow, whose last bit at times isn't that of x x."""
    return np.asarray(np.float_power(x, 2.0))


# ------------------------------------------------------------------------------- acrobot


def swung(x: Floats, torque: Floats) -> Floats:
    """The state (4, n) of acrobots 0.2 s later, under torques (n,), by one step of Runge-Kutta."""
    dt, half = DT_ACROBOT, DT_ACROBOT / 2
    k1 = swinging(x, torque)
    k2 = swinging(x + half * k1, torque)
    k3 = swinging(x + half * k2, torque)
    k4 = swinging(x + dt * k3, torque)
    y = x + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
    for angle in y[:2]:
        while (over := angle > np.pi).any():
            angle[over] -= 2 * np.pi
        while (under := angle < -np.pi).any():
            angle[under] += 2 * np.pi
    y[2] = np.clip(y[2], -FASTEST_1, FASTEST_1)
    y[3] = np.clip(y[3], -FASTEST_2, FASTEST_2)
    return y


def swinging(x: Floats, torque: Floats) -> Floats:
    """dx/dt (4, n): both links 1 m and 1 kg, their centres in the middle, moments of inertia 1."""
    one, two, turn, bend = x
    g, l1, c = G_ACROBOT, 1.0, 0.5
    d1 = c**2 + (l1**2 + c**2 + 2 * l1 * c * np.cos(two)) + 1.0 + 1.0
    d2 = (c**2 + l1 * c * np.cos(two)) + 1.0
    phi2 = c * g * np.cos(one + two - np.pi / 2.0)
    phi1 = (
        -l1 * c * squared(bend) * np.sin(two)
        - 2 * l1 * c * bend * turn * np.sin(two)
        + (c + l1) * g * np.cos(one - np.pi / 2)
        + phi2
    )
    bending = (torque + d2 / d1 * phi1 - l1 * c * squared(turn) * np.sin(two) - phi2) / (
        c**2 + 1.0 - squared(d2) / d1
    )
    return np.array((turn, bend, -(d2 * bending + phi1) / d1, bending))
