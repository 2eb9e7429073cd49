"""The playground of actor-critic: lambda between the critic's bias and the walk's noise.

A walk goes left or right by chance, as in the chapter on Monte Carlo; here that chance is a policy.
Bias and variance are exact; the walks that stand beside them are the same in the script and here.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.deep.gae_moments import gae_moments
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.playgrounds._random import generator
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import Floats, deterministic_mdp
from rlcourse.tabular.worlds import random_walk

CELLS, MIDDLE = 7, 3
AVERAGED = (1, 4, 16, 64)
UPDATES = 200
LAMBDAS = np.linspace(0, 1, 101)
ERROR = (0.25, 0.35, 0.3, -0.1, -0.35, -0.2, -0.05)
FARTHEST = 4.0  # that the critic can be off by

_outcome = random_walk(CELLS).mdp  # 0: to the left, 1: to the right
ROW = deterministic_mdp(_outcome.s_next[:, 0], _outcome.r[:, 0], _outcome.terminated[:, 0])
BY_CHANCE = np.full((CELLS, 2), 0.5)
"""The random walk as an MDP whose actions are left and right, and the policy that makes it one."""


class Settings(NamedTuple):
    """What the reader can change.

    lam    the lambda of GAE
    gamma  the discount, at least 0.8
    error  what the critic is off by in each of the 7 cells
    n      walks that an update averages, one of AVERAGED
    walk   the one that is looked into, 1 to 200: the first of that update
    t      its step whose advantage is formed
    """

    lam: float = 0.9
    gamma: float = 0.99
    error: tuple[float, ...] = ERROR
    n: int = 4
    walk: int = 4
    t: int = 0


PROMPTS = (
    Prompt(
        "Make the critic exact: which λ is best then?",
        {"error": (0.0,) * CELLS},
        "λ = 0, and it is not off at all: one TD error of an exact critic says what a step was"
        " worth. All that a larger λ adds is noise, 0.21 of it at λ = 1. The better the critic, the"
        " sooner it may be trusted.",
    ),
    Prompt(
        "Average 64 walks instead of 4: does the best λ rise or fall?",
        {"n": 64},
        "It rises, from 0.89 to 0.97. Averaging divides the variance by 16 more and leaves the bias"
        " as it is, so that now the bias is what costs most. Whoever samples enough has little use"
        " for the critic’s word.",
    ),
    Prompt(
        "A critic that is 0.5 too high in every cell: how large is its bias at λ = 0?",
        {"error": (0.5,) * CELLS},
        "There is none, at any λ: left and right look better by as much, and the actor only"
        " compares them. λ = 0 is off by less than 0.003. But at λ = 1, v̂(4) is the baseline, and"
        " a bad one: off by 0.33, where an exact critic is off by 0.21.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class Moments(NamedTuple):
    """What an estimate should be, its mean and its variance."""

    exact: float
    mean: Floats
    variance: Floats


class Walk(NamedTuple):
    """The cells of a walk, from the middle on, and whether it left the row to the right."""

    path: tuple[int, ...]
    right: bool


class ActorCriticPlayground(Playground):
    """GAE with a critic of the reader's own: bias and variance of what the actor learns.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "actor_critic"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        error = _check.finite("error", w.error)
        _check.shape("error", error, (CELLS,))
        for name, x, low, high in (
            ("lam", w.lam, 0, 1),
            ("gamma", w.gamma, 0.8, 1),
            ("error", np.abs(error).max(), 0, FARTHEST),
            ("walk", _check.positive_integer("walk", w.walk), 1, UPDATES),
        ):
            _check.interval(name, x, low, high)
        if w.n not in AVERAGED:
            raise ValueError(f"n must be one of {AVERAGED}, got {w.n!r}")
        _check.indices("t", w.t, len(walks(w.walk)[0].path))
        self.settings, self.title = w._replace(error=tuple(error.tolist())), title

    def data(self) -> dict[str, Any]:
        """Settings, prompts, and the package's numbers, which the script must repeat."""
        w = self.settings
        found = moments(w, LAMBDAS[::10])
        data = {
            "settings": w._asdict(),
            "golden": {
                "exact": [found.exact],
                "mean": found.mean.tolist(),
                "variance": found.variance.tolist(),
                "advantages": advantages(w, walks(w.walk))[:, 0].tolist(),
            },
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of bias, variance and their sum for some lambdas."""
        w, rows = self.settings, ""
        for lam in sorted({0.0, 0.5, 0.8, 0.95, 1.0, w.lam, best(w)}):
            exact, mean, variance = moments(w, lam)
            bias, noise = float(mean - exact), float(variance) / w.n
            parts = f"<td>{_minus(bias)}<td>{bias**2:.4f}<td>{noise:.4f}"
            rows += f"<tr><td>{lam:.2f}{parts}<td>{(bias**2 + noise) ** 0.5:.3f}"
        return (
            f"<table><caption>The advantage of going right in the middle of {CELLS} cells,"
            f" {_minus(moments(w, 0.0).exact)}, estimated with GAE from {w.n} walks and a critic"
            f" that is wrong; γ = {w.gamma:g}. With JavaScript this is a playground.</caption>"
            f"<tr><th>λ<th>bias<th>bias²<th>variance<th>off by (root mean square){rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"ActorCriticPlayground({fields})"


def _minus(x: float) -> str:
    return f"{x:.3f}".replace("-", "−")


# ------------------------------------------------------------------------------- exact


def values(gamma: float) -> Floats:
    """The values of the cells (S,)."""
    return closed_form(ROW, BY_CHANCE, gamma)


def critic(w: Settings) -> Floats:
    """What the critic takes for them (S,)."""
    return np.asarray(values(w.gamma) + np.array(w.error))


def moments(w: Settings, lam: ArrayLike) -> Moments:
    """Mean and variance (...) of what one walk says of going right in the middle, for each lambda.

    It says A of its first step if that goes right, -A if it goes left: so far gradient ascent moves
    the preference for right, by a learning rate of 1. An update averages n walks, and has 1/n of
    the variance.
    """
    found = gae_moments(ROW, BY_CHANCE, critic(w), w.gamma, lam)
    exact, mean = (np.diff(x[..., MIDDLE, :])[..., 0] / 2 for x in found[:2])
    second = (found.mean**2 + found.variance)[..., MIDDLE, :].mean(-1)  # of A, and so of -A
    return Moments(float(exact), mean, second - mean**2)


def best(w: Settings) -> float:
    """The lambda of LAMBDAS with the least bias² + variance."""
    exact, mean, variance = moments(w, LAMBDAS)
    return float(LAMBDAS[np.argmin((mean - exact) ** 2 + variance / w.n)])


# ------------------------------------------------------------------------------- sampled


@functools.cache
def walks(update: int, n: int = 1) -> tuple[Walk, ...]:
    """The first n walks of an update: a uniform number of at least 1/2 is a step to the right."""
    rng, found = generator(update), []
    for _ in range(n):
        path, at = [], MIDDLE
        while 0 <= at < CELLS:
            path.append(at)
            at += 1 if rng.random(1)[0] >= 0.5 else -1
        found.append(Walk(tuple(path), at > 0))
    return tuple(found)


def advantages(w: Settings, some: tuple[Walk, ...]) -> Floats:
    """GAE of each step of some walks, a column each (T, B); 0 after their ends."""
    at = np.full((max(len(walk.path) for walk in some) + 1, len(some)), CELLS)
    r = np.zeros((len(at) - 1, len(some)))
    terminated, truncated = np.zeros((2, *r.shape), dtype=np.bool_)
    for b, (path, right) in enumerate(some):
        at[: len(path), b] = path
        r[len(path) - 1, b], terminated[len(path) - 1, b] = right, True
    v = np.append(critic(w), 0.0)[at]
    return generalized_advantage(r, v[:-1], v[1:], terminated, truncated, w.gamma, w.lam)


def updates(w: Settings) -> Floats:
    """What each update says of going right in the middle, the mean of its n walks (UPDATES,)."""
    some = tuple(walk for b in range(UPDATES) for walk in walks(b + 1, w.n))
    sign = np.array([walk.path[1] - MIDDLE for walk in some])
    said = sign * advantages(w, some)[0]
    return np.asarray(said.reshape(UPDATES, w.n).mean(-1))
