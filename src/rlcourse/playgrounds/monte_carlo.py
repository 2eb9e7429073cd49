"""The playground of Monte Carlo: an early bias, or a late noise.

All learners see the same walks. Their coins are the bits of `_random.words`, in the script and
here, so that the package's own learners can walk them too.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.playgrounds._random import words
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import Bools, Floats
from rlcourse.tabular.returns import constant_alpha
from rlcourse.tabular.temporal_difference import learn_v
from rlcourse.tabular.worlds import random_walk

CELLS = (5, 19)
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, None)
"""How many steps a target waits for; None: for the end of the walk, as Monte Carlo does."""

LEARNERS = 200
EPISODES = 100
GUESS = 0.5
CHECKED = 16  # episodes whose errors the script must repeat

PROMPTS = (
    Prompt(
        "Take the guess 8 steps later: is the error between those of TD(0) and Monte Carlo?",
        {"n": 8},
        "No: it is below both, from the first episode to the last. After 16: 0.150, against 0.249"
        " of TD(0) and 0.215 of Monte Carlo. The news of an end travels eight cells an episode, and"
        " little noise comes with it.",
    ),
    Prompt(
        "TD(0) is ahead from episode 58 on. From which one if there are five cells, not 19?",
        {"cells": 5},
        "From the 11th, and before that it is never behind by more than 0.003. The news has three"
        " cells to go, not ten, so its bias fades nearly as fast as Monte Carlo’s at first; its"
        " noise is less than a tenth.",
    ),
    Prompt(
        "α = 0.2, five times as large: which of the two gains by it?",
        {"alpha": 0.2},
        "TD(0) alone: an error of 0.172 after 16 episodes instead of 0.249. Monte Carlo has no bias"
        " left, but each return now moves its values five times as far: 0.330, worse than the first"
        " guess, 0.274, where it knew nothing.",
    ),
)
"""Each answer is asserted, from the package's own learners, in tests/playgrounds."""


class Errors(NamedTuple):
    """How far the learners are off, before and after each of N episodes.

    bias   (N + 1,)  mean over the cells of the square of the learners' mean error
    noise  (N + 1,)  mean over the cells of the variance between the learners
    """

    bias: Floats
    noise: Floats

    @property
    def rms(self) -> Floats:
        """(N + 1,) root mean square error over cells and learners: sqrt(bias + noise)."""
        return np.asarray(np.sqrt(self.bias + self.noise))


class MonteCarloPlayground(Playground):
    """TD and Monte Carlo on the same random walks: their errors, and each update of one learner.

    cells    5 or 19 of them in the row
    alpha    the step size at the beginning, at least 0.01
    n        steps that the first learner waits for, one of STEPS: 1 is TD(0), None Monte Carlo
    episode  the one that is looked into at the beginning, 1 to 100
    title    replaces the question above the figure

    As it comes it asks three questions to predict. Raises ValueError for what can't be shown.
    """

    name = "monte_carlo"

    def __init__(
        self,
        cells: int = 19,
        alpha: float = 0.04,
        n: int | None = 1,
        episode: int = 16,
        title: str | None = None,
    ) -> None:
        for name, x, known in (("cells", cells, CELLS), ("n", n, STEPS)):
            if x not in known:
                raise ValueError(f"{name} must be one of {known}, got {x!r}")
        _check.interval("alpha", alpha, 0.01, 1)
        _check.interval("episode", _check.positive_integer("episode", episode), 1, EPISODES)
        self.cells, self.alpha, self.n = cells, float(alpha), n
        self.episode, self.title = episode, title

    def data(self) -> dict[str, Any]:
        """The choices, prompts, and the package's numbers, which the script must repeat."""
        chosen = {"cells": self.cells, "alpha": self.alpha, "n": self.n, "episode": self.episode}
        known = chosen == {"cells": 19, "alpha": 0.04, "n": 1, "episode": 16}
        first, last = (
            errors(self.cells, self.alpha, n, episodes=CHECKED).rms.tolist() for n in (self.n, None)
        )
        data = {
            "world": chosen | {"learner": 1},
            "golden": {"v": exact(self.cells).tolist(), "first": first, "last": last},
            "prompts": [prompt._asdict() for prompt in PROMPTS] if known else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of both errors and their parts after some episodes."""
        both = [errors(self.cells, self.alpha, n, episodes=CHECKED) for n in (self.n, None)]
        rows = "".join(
            f"<tr><td>{k}"
            + "".join(f"<td>{e.rms[k]:.3f}<td>{e.bias[k]:.4f} + {e.noise[k]:.4f}" for e in both)
            for k in (0, 1, 2, 4, 8, 16)
        )
        heads = [f"error of {method(n)}<th>its square: bias² + variance" for n in (self.n, None)]
        return (
            f"<table><caption>A random walk over {self.cells} cells from the first guess 1/2,"
            f" α = {self.alpha:g}: root mean square error over the cells and {LEARNERS} learners."
            " With JavaScript this is a playground.</caption>"
            f"<tr><th>episodes<th>{'<th>'.join(heads)}{rows}</table>"
        )

    def __repr__(self) -> str:
        return (
            f"MonteCarloPlayground(cells={self.cells}, alpha={self.alpha:g}, n={self.n},"
            f" episode={self.episode})"
        )


def method(n: int | None) -> str:
    """What the learner with n-step targets is called."""
    return "Monte Carlo" if n is None else "TD(0)" if n == 1 else f"{n}-step TD"


def exact(cells: int) -> Floats:
    """The values of the cells (S,)."""
    return closed_form(random_walk(cells).mdp, np.ones((cells, 1)), 1.0)


@functools.cache
def errors(cells: int, alpha: float, n: int | None, *, episodes: int = EPISODES) -> Errors:
    """The errors of the package's learners on the walks of the figure."""
    off = learned(cells, alpha, n, episodes=episodes) - exact(cells)
    return Errors((off.mean(1) ** 2).mean(-1), off.var(1).mean(-1))


def learned(cells: int, alpha: float, n: int | None, *, episodes: int = EPISODES) -> Floats:
    """Values before and after each of N episodes of all learners, (N + 1, B, S)."""
    world = random_walk(cells)
    env, pi = environment(world.mdp, world.start), np.ones((cells, 1))
    guess = np.full((LEARNERS, cells), GUESS)
    settings: Any = {
        "episodes": episodes,
        "alpha": alpha,
        "gamma": 1.0,
        "rng": Coins(cells, episodes),
    }
    if n is None:
        return constant_alpha(env, pi, guess, **settings)
    return np.concatenate(
        [guess[None], learn_v(env, pi, learners=LEARNERS, n=n, v=guess, **settings)]
    )


# ------------------------------------------------------------------------------- coins


class Coins(np.random.Generator):
    """The coins of the figure's walks, in place of random numbers.

    The package's learners, 200 of them side by side, walk what the figure's learners walk. They ask
    for two numbers a step: one for the action, of which there is one only, and one that decides
    between left and right.
    """

    def __init__(self, cells: int, episodes: int = EPISODES) -> None:
        super().__init__(np.random.PCG64(0))
        self._left_to_toss, self._acting = iter(tosses(cells, episodes)), False

    def random(self, *_: object, **__: object) -> Any:
        """1/4 for left and 3/4 for right, (B,), at every other call."""
        self._acting = not self._acting
        return np.zeros(LEARNERS) if self._acting else 0.25 + 0.5 * next(self._left_to_toss)


@functools.cache
def tosses(cells: int, episodes: int) -> Bools:
    """True for right: the coin of each step of each learner (T, B).

    All learners begin an episode together and wait for the last one; who waits gets False.
    """
    coins, tossed, each = fair_coins(), np.zeros(LEARNERS, dtype=np.intp), np.arange(LEARNERS)
    rows = []
    for _ in range(episodes):
        position, walking = np.full(LEARNERS, cells // 2), np.ones(LEARNERS, dtype=np.bool_)
        while walking.any():
            rows.append(coins[tossed, each] & walking)
            tossed += walking
            position += walking * (2 * rows[-1] - 1)
            walking = walking & (position >= 0) & (position < cells)
    return np.array(rows)


@functools.cache
def fair_coins(n: int = 512) -> Bools:
    """(32 n, B): the bits of n words of the generators seeded with 1 to B, the lowest first."""
    word = np.array([words(1 + b, n) for b in range(LEARNERS)]).T
    bits = word[:, None] >> np.arange(32, dtype=np.uint64)[:, None] & np.uint64(1)
    return np.asarray(bits.reshape(-1, LEARNERS), dtype=np.bool_)
