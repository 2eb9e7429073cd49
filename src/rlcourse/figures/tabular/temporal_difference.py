"""Figures of temporal-difference control: the wind, a maximum of guesses, Zhao's world.

`prediction` and `n_steps` have those of the chapter's first half, `cliff` and `autoreset` more of
the second. Shapes: S states, A actions, B seeds, N episodes, n points of a curve.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rlcourse.figures.records import run
from rlcourse.figures.tabular.cliff import (
    NAME,
    Limits,
    data_cliff,
    data_limits,
    data_step_sizes,
    draw_line,
    greedy_route,
    wide_map,
)
from rlcourse.figures.tabular.n_steps import data_n_steps
from rlcourse.plot import COLOUR_OF, HALF, LOOKS, Picture, panel, picture
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import ZHAO, GridWorld, grid_mdp, value_iteration
from rlcourse.tabular.mdp import Floats, action_values, greedy_sets
from rlcourse.tabular.monte_carlo import epsilon_greedy
from rlcourse.tabular.temporal_difference import Method, learn_q
from rlcourse.tabular.worlds import WIND, maximization_bias, windy_gridworld

WIND_MAP = GridWorld(7, 10, target=(37,), start=30, terminal=True, stay=False)

# ------------------------------------------------------------------------------- the wind


class Windy(NamedTuple):
    """Sarsa in the wind.

    steps   (N,) steps taken by the end of each episode, mean of the seeds
    low, high  (N,) the band that holds eight of ten seeds
    route   the greedy route of a seed that found a shortest one
    share   of the seeds whose greedy route is as short
    """

    steps: Floats
    low: Floats
    high: Floats
    route: list[int]
    share: float


def data_windy(*, rng: np.random.Generator, learners: int = 100, episodes: int = 300) -> Windy:
    """Sutton & Barto's example 6.5, Sarsa with α = 0.5 and ε = 0.1."""
    mdp, start, _ = windy_gridworld()
    x = learn_q(
        environment(mdp, start), "sarsa", episodes=episodes, learners=learners, alpha=0.5,
        gamma=1.0, epsilon=0.1, rng=rng,
    )  # fmt: skip
    steps = x.lengths.cumsum(0)
    low, high = np.quantile(steps, [0.1, 0.9], axis=1)
    routes = sorted((r for q in x.q if (r := greedy_route(mdp, q, start))), key=len)
    shortest = [len(r) == len(routes[0]) for r in routes]
    return Windy(steps.mean(1), low, high, routes[0], sum(shortest) / learners)


def draw_windy(data: Windy) -> Picture:
    """Episodes against steps, and the route."""
    left, axes = panel("Sarsa: episodes finished", HALF)
    k = np.arange(0, len(data.steps), 6)
    n = k + 1
    colour = COLOUR_OF["Sarsa"]
    axes.fill_betweenx(n, data.low[k], data.high[k], color=colour, alpha=0.2, linewidth=0)
    draw_line(axes, "Sarsa", data.steps[k], n.astype(float))
    begin = data.steps[-1] - 15 * (n[-1] - n[::10])
    axes.plot(begin[begin > 0], n[::10][begin > 0], color="#000000", linewidth=0.9, linestyle=":")
    axes.text(
        0.03, 0.97, "dotted: the slope of\n15 steps an episode", va="top", transform=axes.transAxes
    )
    axes.set(xlabel="steps taken", ylabel="episodes", xlim=(0, None), ylim=(0, None))
    right = wide_map(WIND_MAP, [(data.route, colour)], "A greedy route; wind below, upwards")
    axes = right.axes[0]
    axes.set_ylim(7.55, -0.02)
    for col, wind in enumerate(WIND):
        axes.text(col + 0.5, 7.15, f"↑{wind}" if wind else "0", ha="center", va="top", fontsize=8)
    return picture(
        [left, right],
        "Left: episodes finished against steps taken, a curve that bends upwards and ends with a"
        f" slope near that of 15 steps an episode. Right: a route of {len(data.route) - 1} steps.",
    )


# ------------------------------------------------------------------------------- maxima


class Maxima(NamedTuple):
    """How often methods go left, where going right is better.

    left  name -> (N,) share of the seeds
    bias  name -> mean over the seeds of q(A, left), after the last episode; it is -0.1
    """

    left: dict[str, Floats]
    bias: dict[str, float]


def data_maxima(*, rng: np.random.Generator, learners: int = 2000, episodes: int = 300) -> Maxima:
    """Sutton & Barto's example 6.7."""
    mdp, start, available = maximization_bias()
    found = Maxima({}, {})
    methods: tuple[Method, ...] = ("q_learning", "expected_sarsa", "double_q")
    for method in methods:
        x = learn_q(
            environment(mdp, start), method, episodes=episodes, learners=learners, alpha=0.1,
            gamma=1.0, epsilon=0.1, available=available, rng=rng,
        )  # fmt: skip
        found.left[NAME[method]] = (x.lengths == 2).mean(1)
        found.bias[NAME[method]] = float(x.q[:, 0, 0].mean())
    return found


def draw_maxima(data: Maxima) -> Picture:
    """The share that goes left against episodes, with the 5 % that exploring costs."""
    figure, axes = panel("Going left loses 0.1 on average", (4.6, 3.0))
    for name, y in data.left.items():
        k = np.unique(np.r_[np.arange(0, 40, 2), np.arange(40, len(y), 6)])
        draw_line(axes, name, k + 1.0, 100 * y[k])
    axes.axhline(5, color="#000000", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate("best possible: 5 %", (1, 5), (2, 3), textcoords="offset points", fontsize=7.5)
    axes.set(xlabel="episodes", ylabel="% that go left", ylim=(0, 100), xlim=(0, None))
    axes.legend(fontsize=8)
    return picture(
        figure,
        "The share of learners that go left: Q-learning's rises to nearly nine in ten and falls"
        " slowly; double Q-learning's falls from the start.",
    )


# ------------------------------------------------------------------------------- Zhao's world

ZHAO_EPISODIC = replace(
    ZHAO, start=0, terminal=True, r_step=-1.0, r_target=0.0, r_forbidden=-10.0, r_boundary=-10.0
)
"""The world of Zhao's figures 7.2 and 7.3: -1 a step until the star, -10 for swamp and wall."""


class Episodic(NamedTuple):
    """Returns and lengths of each episode by the method's name, (N,), mean of the seeds.

    best   what the best policy earns without exploring
    """

    earned: dict[str, Floats]
    lengths: dict[str, Floats]
    best: float


def data_episodic(*, rng: np.random.Generator, learners: int = 100) -> Episodic:
    """Sarsa and Q-learning on Zhao's world: α = 0.1, ε = 0.1, 500 episodes from the corner."""
    mdp = grid_mdp(ZHAO_EPISODIC)
    found = Episodic({}, {}, float(value_iteration(mdp, 1.0).v[0]))
    methods: tuple[Method, ...] = ("sarsa", "q_learning")
    for method in methods:
        x = learn_q(
            environment(mdp, 0), method, episodes=500, learners=learners, alpha=0.1, gamma=0.9,
            epsilon=0.1, rng=rng,
        )  # fmt: skip
        found.earned[NAME[method]] = x.returns.mean(1)
        found.lengths[NAME[method]] = x.lengths.mean(1)
    return found


def data_episodic_limits() -> Limits:
    """What could be earned there with ε = 0.1."""
    return data_limits(grid_mdp(ZHAO_EPISODIC), 0, 0.1, "uniform", 0.9)


class Behaviours(NamedTuple):
    """Off-policy Q-learning from behaviours that explore more or less.

    epsilons  of the behaviours, ε-greedy about the optimal policy; 1 is the uniform one
    steps     (n,)
    error     (epsilons, n) RMS error of max_a q over the states, mean of the seeds
    """

    epsilons: tuple[float, ...]
    steps: Floats
    error: Floats


def data_behaviours(
    *, rng: np.random.Generator, learners: int = 20, steps: int = 100_000, points: int = 25
) -> Behaviours:
    """Zhao's figures 7.4 and 7.5: Q-learning from one long walk, α = 0.1, γ = 0.9.

    The walk is cut to look at the values, and goes on from the upper left cell.
    """
    mdp = grid_mdp(ZHAO)
    exact = value_iteration(mdp, 0.9).v
    best = greedy_sets(action_values(mdp, exact, 0.9))
    env = environment(mdp, 0, limit=steps // points)
    epsilons = (1.0, 0.5, 0.1)
    error = np.empty((len(epsilons), points + 1))
    for i, epsilon in enumerate(epsilons):
        b, q = epsilon_greedy(best.astype(float), epsilon, "first"), np.zeros((1, learners, 25, 5))
        for k in range(points + 1):
            off = q[0].max(-1) - exact
            error[i, k] = np.sqrt((off**2).mean(-1)).mean()
            if k < points:
                q = learn_q(
                    env, "q_learning", episodes=1, learners=learners, alpha=0.1, gamma=0.9,
                    epsilon=0.0, behaviour=b, q=q, rng=rng,
                ).tables  # fmt: skip
    return Behaviours(epsilons, np.linspace(0, steps, points + 1), error)


def draw_zhao(data: Episodic, off: Behaviours) -> Picture:
    """Returns of each episode on the left, off-policy errors on the right."""
    left, axes = panel("Learning from its own steps", HALF)
    for name, y in data.earned.items():
        tens = y.reshape(-1, 10).mean(1)
        draw_line(axes, name, np.arange(10.0, len(y) + 1, 10), tens)
    axes.axhline(data.best, color="#000000", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        "best, without exploring", (500, data.best), (0, 3), ha="right", fontsize=7.5,
        textcoords="offset points",
    )  # fmt: skip
    axes.set(xlabel="episodes", ylabel="sum of rewards", ylim=(-160, 0))
    axes.legend(fontsize=7.5, loc="lower right")
    right, axes = panel("Q-learning from another's steps", HALF)
    colour = COLOUR_OF["Q-learning"]
    for epsilon, y, look in zip(off.epsilons, off.error, LOOKS, strict=False):
        words = "uniform" if epsilon == 1 else f"ε = {epsilon:g}"
        axes.plot(off.steps / 1000, y, look, color=colour, linewidth=1.5, label=words)
    axes.set(xlabel="thousand steps", ylabel="RMS error of v", ylim=(0, None))
    axes.legend(fontsize=7.5, title="behaviour", title_fontsize=7.5)
    return picture(
        [left, right],
        "Left: the sum of rewards rises within a hundred episodes and stays a little below the"
        " best. Right: with a uniform behaviour the error falls to zero; the less the behaviour"
        " explores, the more of it remains.",
    )


# ------------------------------------------------------------------------------- recorded


def recorded_cliff() -> dict[str, Any]:
    """1000 seeds of each method."""
    return run(2024, lambda rng: data_cliff(rng=rng, learners=1000))


def recorded_step_sizes() -> dict[str, Any]:
    """Ten step sizes, 100 seeds of each."""
    return run(2025, lambda rng: data_step_sizes(rng=rng, learners=100))


def recorded_n_steps() -> dict[str, Any]:
    """Eight n, 13 step sizes, 200 seeds of each."""
    n = (1, 2, 4, 8, 16, 32, 64, 128)
    return run(2026, lambda rng: data_n_steps(rng=rng, seeds=200, n=n))


def recorded_episodic() -> dict[str, Any]:
    """Sarsa and Q-learning on Zhao's world, 200 seeds."""
    return run(2027, lambda rng: data_episodic(rng=rng, learners=200))


def recorded_behaviours() -> dict[str, Any]:
    """Three behaviours, 100 seeds."""
    return run(2028, lambda rng: data_behaviours(rng=rng, learners=100))


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "cliff": recorded_cliff,
    "step_sizes": recorded_step_sizes,
    "n_steps": recorded_n_steps,
    "episodic": recorded_episodic,
    "behaviours": recorded_behaviours,
}
RECORDED_MODULES = (
    "rlcourse.figures.records",
    "rlcourse.figures.tabular.prediction",
    "rlcourse.figures.tabular.n_steps",
    "rlcourse.figures.tabular.cliff",
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.sampling",
    "rlcourse.tabular.environment",
    "rlcourse.tabular.targets",
    "rlcourse.tabular.learning",
    "rlcourse.tabular.worlds",
    "rlcourse.tabular.temporal_difference",
)
