"""Sarsa with n steps: how far back a reward is heard.

Shapes: N episodes, n curves.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.ticker import FixedLocator, ScalarFormatter

from rlcourse.plot import LOOKS, PALETTE, Picture, panel, picture
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import GridWorld, grid_mdp, value_iteration
from rlcourse.tabular.learning import Learned
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.temporal_difference import learn_n_step_sarsa

START, TARGET = 18, 26  # 1 for reaching the target, 8 steps away, and nothing else
PLAIN = GridWorld(6, 9, target=(TARGET,), terminal=True, stay=False, r_boundary=0.0)


class Heard(NamedTuple):
    """Sarsa with n steps on `PLAIN`.

    n         (n,)
    length    (n, N)  steps of an episode, mean of the seeds
    spread    (n, N)  standard error of that mean
    heard     (n,)    action values above 0 after the first episode, mean of the seeds
    shortest  steps of the shortest routes
    """

    n: tuple[int, ...]
    length: Floats
    spread: Floats
    heard: Floats
    shortest: int


def data_heard(
    *, rng: np.random.Generator, n: tuple[int, ...] = (1, 4, 16), learners: int = 200
) -> Heard:
    """40 episodes with α = 0.4, ε = 0.1, γ = 0.95; the first one is the same walk for every n."""
    mdp, seed = grid_mdp(PLAIN), rng.integers(2**31)

    def learn(steps: int, episodes: int) -> Learned:
        return learn_n_step_sarsa(
            environment(mdp, START), n=steps, episodes=episodes, learners=learners, alpha=0.4,
            gamma=0.95, epsilon=0.1, rng=np.random.default_rng(seed),
        )  # fmt: skip

    lengths = np.array([learn(steps, 40).lengths for steps in n])
    heard = [(learn(steps, 1).q > 0).sum((1, 2)).mean() for steps in n]
    v = value_iteration(mdp, 0.95).v[START]
    shortest = 1 + round(float(np.log(v) / np.log(0.95)))  # only the last of its steps earns
    spread = lengths.std(-1) / np.sqrt(learners)
    return Heard(n, lengths.mean(-1), spread, np.array(heard), shortest)


def draw_heard(data: Heard) -> Picture:
    """The steps of each episode, a curve for each n."""
    figure, axes = panel("Sarsa with n steps", (4.6, 3.0))
    k = np.arange(1, data.length.shape[1] + 1)
    for i, (n, y) in enumerate(zip(data.n, data.length, strict=True)):
        axes.plot(k, y, LOOKS[i], color=PALETTE[i], linewidth=1.6, label=f"n = {n}")
    axes.axhline(data.shortest, color="#000000", linewidth=0.9, linestyle=":")
    axes.text(k[-1], data.shortest * 0.97, "the shortest way", ha="right", va="top")
    axes.set(xlabel="episode", ylabel="steps", yscale="log", xlim=(1, k[-1]), ylim=(6, None))
    axes.yaxis.set_major_locator(FixedLocator([10, 20, 50, 100, 200]))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.legend()
    return picture(
        figure,
        "All curves begin at one point, since the first episode is a walk by chance. That of n = 16"
        " falls first, that of n = 1 last.",
    )
