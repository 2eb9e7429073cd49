"""The bug hunt of the temporal-difference chapter: environments that begin anew by themselves.

Shapes: S states, A actions, B learners.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.plot import Picture, picture
from rlcourse.tabular.environment import environment, first_states, step
from rlcourse.tabular.gridworld import ZHAO, grid_mdp, value_iteration
from rlcourse.tabular.mdp import Bools, Floats, Ints, action_values, greedy_sets


class Seen(NamedTuple):
    """What B learners met in one step, all (B,), and where each begins if its episode is over."""

    s: Ints
    a: Ints
    r: Floats
    s_next: Ints
    terminated: Bools
    truncated: Bools
    first: Ints


Learn = Callable[[Floats, Seen, float], Ints]


class Hunt(NamedTuple):
    """What learners with a suspect step find, beside the truth.

    v, exact          (S,)    max_a q, mean of the learners, and v*
    best, exact_best  (S, A)  the best actions of that q, and all that are optimal
    """

    v: Floats
    exact: Floats
    best: Bools
    exact_best: Bools

    @property
    def optimal(self) -> bool:
        return bool((self.best <= self.exact_best).all())


def data_hunt(learn: Learn, *, seed: int = 0, limit: int = 20, steps: int = 12_000) -> Hunt:
    """Q-learning by learn(q, seen, gamma), which changes q (B, S, A) and returns the next states.

    Fifty learners know q* and walk at random on Zhao's world with a dear swamp. Nothing ends there,
    so a time limit cuts the episodes, at different moments for different learners.
    """
    mdp, rng, gamma = grid_mdp(replace(ZHAO, r_forbidden=-10.0)), np.random.default_rng(seed), 0.9
    exact = value_iteration(mdp, gamma, 1e-12).v
    truth = action_values(mdp, exact, gamma)
    env = environment(mdp, np.full(25, 1 / 25))
    q, age = np.tile(truth, (50, 1, 1)), np.arange(50)
    s = first_states(env, 50, rng=rng)
    for _ in range(steps):
        a, age = rng.integers(5, size=50), age + 1
        x = step(env, s, a, rng=rng)
        truncated = ~x.terminated & (age % limit == 0)
        first = first_states(env, 50, rng=rng)
        s = learn(q, Seen(s, a, x.r, x.s_next, x.terminated, truncated, first), gamma)
    mean = q.mean(0)
    return Hunt(mean.max(-1), exact, greedy_sets(mean), greedy_sets(truth))


def draw_hunt(data: Hunt) -> Picture:
    """Both maps side by side, with their numbers."""
    world = replace(ZHAO, r_forbidden=-10.0)
    maps = [
        draw_map(
            world, v=data.v, best=data.best, title="after 12 000 steps of the suspect", digits=2
        ),
        draw_map(world, v=data.exact, best=data.exact_best, title="before: the truth", digits=2),
    ]
    words = "optimal arrows" if data.optimal else "arrows that are not all optimal"
    return picture(maps, f"Two maps: values after the suspect's training with {words}; the truth.")
