"""Figures of linear values: the question, three objectives, LSTD, and the bug hunt.

Shapes: S states, F features, B seeds, T steps, n points of a curve.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rlcourse.deep.function_approximation import (
    bellman_error,
    best_fit,
    least_residual,
    projected_bellman_error,
    td_fixed_point,
    value_error,
)
from rlcourse.deep.least_squares import (
    LstdState,
    lstd_start,
    lstd_weights,
    recursive_lstd_step,
)
from rlcourse.deep.linear_learning import follow, gradient_monte_carlo
from rlcourse.deep.long_walk import groups
from rlcourse.figures.deep.linear_runs import walk_world, zhao_features, zhao_world
from rlcourse.figures.tabular.prediction import rms
from rlcourse.plot import COLOUR_OF, GREY, HALF, LOOKS, Picture, panel, picture
from rlcourse.tabular.environment import environment
from rlcourse.tabular.mdp import Bools, Floats, Ints
from rlcourse.tabular.sampling import walk
from rlcourse.tabular.worlds import random_walk

LINE = np.append(np.arange(0, 1000, 37), 999)  # states enough to draw a smooth line
STAIRS = np.unique(np.append(np.arange(0, 1000, 100), np.arange(99, 1000, 100)))  # or ten steps

# ------------------------------------------------------------------------------- the question


class Question(NamedTuple):
    """What a table and ten groups have learned of a thousand states from the same few episodes.

    v         (1000,) exact
    table     (1000,) one weight a state
    groups    (1000,) one weight a hundred states
    episodes  how many were seen
    unseen    the share of the states that no episode visited
    errors    root mean square errors of table and groups over the states
    """

    v: Floats
    table: Floats
    groups: Floats
    episodes: int
    unseen: float
    errors: tuple[float, float]


def data_question(*, rng: np.random.Generator, episodes: int = 100) -> Question:
    """Constant-α Monte Carlo on the long walk from v = 0; of a few step sizes each has the best."""
    mdp, pi, _, start, v, _ = walk_world()
    env = environment(mdp, start)
    seed = int(rng.integers(2**32))
    found = []
    for phi, alpha in ((np.eye(1000), 0.2), (groups(10), 0.003)):
        w = gradient_monte_carlo(
            env, pi, phi, episodes=episodes, learners=1, alpha=alpha, gamma=1.0,
            keep=np.array([episodes]), rng=np.random.default_rng(seed),
        )  # fmt: skip
        found.append(phi @ w[0, 0])
    table, few = found
    unseen = float((table == 0).mean())
    errors = (float(rms(table, v)), float(rms(few, v)))
    return Question(v, table, few, episodes, unseen, errors)


def draw_question(data: Question) -> Picture:
    """Both guesses beside the exact values."""
    figures = []
    s = np.arange(1, 1001)
    for title, values, colour in (
        ("A table: 1000 numbers", data.table, COLOUR_OF["table"]),
        ("Ten groups: 10 numbers", data.groups, COLOUR_OF["state aggregation"]),
    ):
        figure, axes = panel(title, HALF)
        if values is data.table:
            axes.plot(s[::12], values[::12], ".", color=colour, markersize=4.5)
        else:
            axes.plot(s[STAIRS], values[STAIRS], color=colour, linewidth=2)
        axes.plot(s[LINE], data.v[LINE], color="#000000", linewidth=1, linestyle="--")
        axes.set(xlabel="state", ylabel="value", ylim=(-1.15, 1.15))
        figures.append(figure)
    return picture(
        figures,
        f"After {data.episodes} episodes on a walk of a thousand states: the table's values scatter"
        " far and wide, some are still 0; ten steps of a staircase follow the exact line.",
    )


# ------------------------------------------------------------------------------- objectives


class Objectives(NamedTuple):
    """Three solutions with ten groups on the long walk, and the errors of each.

    v         (1000,) exact
    values    name -> (1000,)
    errors    name -> its root errors: value, Bellman, projected Bellman
    features  (n,)  how many, on Zhao's world
    best, td  (n,)  root value errors there, γ = 0.9
    bound     (n,)  what the error of the fixed point cannot exceed
    """

    v: Floats
    values: dict[str, Floats]
    errors: dict[str, tuple[float, float, float]]
    features: Ints
    best: Floats
    td: Floats
    bound: Floats


def data_objectives() -> Objectives:
    """All exact: linear solves on known models."""
    _, _, model, _, v, d = walk_world()
    phi = groups(10)
    weights = {
        "best fit": best_fit(phi, v, d),
        "TD fixed point": td_fixed_point(phi, *model, d, 1.0),
        "least residual": least_residual(phi, *model, d, 1.0),
    }
    errors = {}
    for name, w in weights.items():
        ve, be = value_error(w, phi, v, d), bellman_error(w, phi, *model, d, 1.0)
        pbe = projected_bellman_error(w, phi, *model, d, 1.0)
        errors[name] = (float(np.sqrt(ve)), float(np.sqrt(be)), float(np.sqrt(pbe)))
    return Objectives(v, {n: phi @ w for n, w in weights.items()}, errors, *zhao_bound())


def zhao_bound() -> tuple[Ints, Floats, Floats, Floats]:
    """Number of features, root value errors of best fit and fixed point, and the bound."""
    _, _, model, _, v, d = zhao_world()
    every = [phi for name, phi in zhao_features().items() if name != "table"]
    sets = [every[i] for i in np.argsort([phi.shape[1] for phi in every])]
    best = np.array([value_error(best_fit(phi, v, d), phi, v, d) for phi in sets])
    td = np.array([value_error(td_fixed_point(phi, *model, d, 0.9), phi, v, d) for phi in sets])
    count = np.array([phi.shape[1] for phi in sets])
    return count, np.sqrt(best), np.sqrt(td), np.sqrt(best / (1 - 0.9**2))


def draw_objectives(data: Objectives) -> Picture:
    """Three staircases; and how near to the best fit the fixed point is."""
    left, axes = panel("Three answers, ten groups", HALF)
    s = np.arange(1, 1001)
    axes.plot(s[LINE], data.v[LINE], color="#000000", linewidth=1, label="exact")
    for (name, values), look in zip(data.values.items(), ("--", "-", "-."), strict=True):
        axes.plot(
            s[STAIRS], values[STAIRS], look, color=COLOUR_OF[name], linewidth=1.5, label=name
        )  # fmt: skip
    axes.set(xlabel="state", ylabel="value", ylim=(-1.1, 1.1))
    axes.legend(fontsize=7.5, loc="upper left")
    right, axes = panel("Zhao's world, γ = 0.9", HALF)
    axes.plot(data.features, data.bound, ":", color="#000000", linewidth=1, label="bound for TD")
    for name, y, mark in (("TD fixed point", data.td, "o-"), ("best fit", data.best, "s--")):
        axes.plot(data.features, y, mark, color=COLOUR_OF[name], markersize=4, label=name)
    axes.set(xlabel="features", ylabel="√VE", ylim=(0, None))
    axes.legend(fontsize=7.5)
    return picture(
        [left, right],
        "Left: three staircases beside the exact values; that of the fixed point is flatter than"
        " the best fit, that of the least residual flatter still. Right: on Zhao's world the fixed"
        " point's error is hardly above that of the best fit, and far below its bound.",
    )


# ------------------------------------------------------------------------------- LSTD


class LeastSquares(NamedTuple):
    """Value errors on Zhao's world against steps.

    steps  (n,)
    error  method -> (n, B)
    floor  the error of TD's fixed point
    """

    steps: Ints
    error: dict[str, Floats]
    floor: float


def data_least_squares(
    *,
    rng: np.random.Generator,
    steps: int = 4000,
    seeds: int = 20,
    alphas: tuple[float, ...] = (0.005, 0.05),
    ridge: float = 1.0,
) -> LeastSquares:
    """Ten polynomial features: recursive LSTD and TD(0) on the same walks."""
    mdp, pi, model, _, v, d = zhao_world()
    phi = zhao_features()["polynomial, 10"]
    x = walk(mdp, pi, rng.integers(25, size=seeds), steps=steps, rng=rng)
    keep = np.unique(np.geomspace(10, steps, 30).astype(np.intp))
    start = lstd_start(10, ridge)
    state = LstdState(np.tile(start.inverse, (seeds, 1, 1)), np.tile(start.b, (seeds, 1)))
    found = []
    for t in range(steps):
        here, there = phi[x.s[t]], phi[x.s_next[t]]
        state = recursive_lstd_step(state, here, x.r[t], there, x.terminated[t], 0.9)
        if t + 1 in keep:
            found.append(lstd_weights(state))
    error = {"LSTD": np.sqrt(value_error(np.array(found), phi, v, d))}
    for alpha in alphas:
        w = follow(x, phi, "td", alpha=alpha, gamma=0.9, keep=keep)
        error[f"TD(0), α = {alpha:g}"] = np.sqrt(value_error(w, phi, v, d))
    floor = value_error(td_fixed_point(phi, *model, d, 0.9), phi, v, d)
    return LeastSquares(keep, error, float(np.sqrt(floor)))


def draw_least_squares(data: LeastSquares) -> Picture:
    """Medians and bands of eight of ten seeds."""
    figure, axes = panel("The same steps, used better", (4.6, 3.1))
    for (name, error), look in zip(data.error.items(), LOOKS, strict=False):
        low, middle, high = np.quantile(error, [0.1, 0.5, 0.9], axis=1)
        colour = COLOUR_OF[name.split(",")[0]]
        axes.fill_between(data.steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(data.steps, middle, look, color=colour, label=name, linewidth=1.5)
    axes.axhline(data.floor, color="#000000", linewidth=0.9, linestyle=":")
    axes.annotate(
        "TD's fixed point", (data.steps[0], data.floor), (2, 3), textcoords="offset points"
    )
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="RMS error of v", ylim=(0.1, 30))
    axes.set_yticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    axes.set_xticks([10, 100, 1000], ["10", "100", "1000"])
    axes.minorticks_off()
    axes.legend(fontsize=7.5, loc="upper left")
    return picture(
        figure,
        "LSTD comes near the fixed point's error within the run; TD with a small step is far away,"
        " with a large one it stops early and trembles.",
    )


# ------------------------------------------------------------------------------- the bug hunt

Step = Callable[[Floats, Floats, Floats, Floats, Bools, float, float], Floats]


class Hunt(NamedTuple):
    """What a suspect step learns on five states in a row, with a table.

    exact   (5,)
    v       (5,)  mean of the learners over the last third of the steps
    spread  (5,)  standard error of that mean over the learners
    error   (n,)  mean square TD error of the learners on the way
    """

    exact: Floats
    v: Floats
    spread: Floats
    error: Floats


def data_hunt(step: Step, *, rng: np.random.Generator, seeds: int = 200, steps: int = 6000) -> Hunt:
    """Sutton & Barto's example 6.2 with one feature a state: α = 0.03, γ = 1, from v = 1/2."""
    mdp, start, _ = random_walk(5)
    x = walk(mdp, np.ones((5, 1)), np.full(seeds, start), steps=steps, rng=rng)
    phi, w, total, error = np.eye(5), np.full((seeds, 5), 0.5), np.zeros((seeds, 5)), []
    late = steps * 2 // 3
    for t in range(steps):
        here, there = phi[x.s[t]], phi[x.s_next[t]]
        v_next = ~x.terminated[t] * (there * w).sum(1)
        error.append(float(((x.r[t] + v_next - (here * w).sum(1)) ** 2).mean()))
        w = step(w, here, x.r[t], there, x.terminated[t], 0.03, 1.0)
        total += (t >= late) * w
    mean = total / (steps - late)
    smooth = np.array(error).reshape(60, -1).mean(1)
    return Hunt(np.arange(1, 6) / 6, mean.mean(0), mean.std(0) / np.sqrt(seeds), smooth)


def draw_hunt(data: Hunt) -> Picture:
    """The mean square TD error falls; the values settle."""
    left, axes = panel("Mean square of δ", HALF)
    axes.plot(np.arange(60) * 100, data.error, color=GREY)
    axes.set(xlabel="steps", ylabel="mean of δ²", ylim=(0, None))
    right, axes = panel("Values it settles at", HALF)
    at = np.arange(5)
    axes.plot(at, data.exact, "o-", color="#000000", linewidth=1, markersize=4, label="exact")
    axes.errorbar(
        at, data.v, 2 * data.spread, fmt="s--", color=COLOUR_OF["TD(0)"], markersize=4,
        label="the suspect",
    )  # fmt: skip
    axes.set_xticks(at, "ABCDE")
    axes.set(ylim=(0, 1), ylabel="value")
    axes.legend(fontsize=7.5)
    return picture(
        [left, right],
        "Left: the mean square TD error of the suspect falls and stays low. Right: its values rise"
        " from A to E, but less steeply than the exact ones: too high left, too low right.",
    )
