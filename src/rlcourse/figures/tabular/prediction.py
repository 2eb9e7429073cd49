"""Figures of temporal-difference prediction: the drive home, the random walk, batches.

Shapes: S states, B seeds, N episodes, n points of a curve.
"""

from typing import Any, NamedTuple

import numpy as np

from rlcourse.figures.tabular.scales import log_axis, spaced
from rlcourse.plot import COLOUR_OF, GREY, HALF, LOOKS, Picture, panel, picture
from rlcourse.tabular.environment import Episodes, environment, sample_episodes
from rlcourse.tabular.mdp import Bools, Floats, Ints, discounted_returns
from rlcourse.tabular.returns import constant_alpha, mean_returns
from rlcourse.tabular.targets import td_target
from rlcourse.tabular.temporal_difference import batch_td, learn_v
from rlcourse.tabular.worlds import random_walk

BLUE, PURPLE = COLOUR_OF["TD(0)"], COLOUR_OF["Monte Carlo"]
MARKS = "os^Dv<>P"

# ------------------------------------------------------------------------------- the question

PLACES = ("office", "car, rain", "off the highway", "behind a truck", "home street", "home")
ELAPSED = (0.0, 5.0, 20.0, 30.0, 40.0, 43.0)
LEFT = (30.0, 35.0, 15.0, 10.0, 3.0, 0.0)


class Drive(NamedTuple):
    """A drive home, in minutes: what was predicted as total time at each place but the last, and
    what two methods correct it to; every field is (5,)."""

    predicted: Floats
    td: Floats
    monte_carlo: Floats


def data_drive() -> Drive:
    """Sutton & Barto's example 6.1: the reward of a step is the time it takes."""
    elapsed, left = np.array(ELAPSED), np.array(LEFT)
    r, ends = np.diff(elapsed), np.arange(5) == 4
    td = td_target(r, left[1:], ends, 1.0)
    before = elapsed[:-1]
    return Drive(before + left[:-1], before + td, before + discounted_returns(r, 1.0))


def draw_drive(data: Drive) -> Picture:
    """Each prediction, and an arrow to what it is corrected to."""
    figures = []
    for title, target, colour in (
        ("Monte Carlo: to the outcome", data.monte_carlo, PURPLE),
        ("TD: to the next prediction", data.td, BLUE),
    ):
        figure, axes = panel(title, HALF)
        x = np.arange(6)
        axes.plot(x, [*data.predicted, ELAPSED[-1]], "o-", color="#000000", linewidth=1.2)
        for i in range(5):
            if target[i] != data.predicted[i]:
                axes.annotate(
                    "", (x[i], target[i]), (x[i], data.predicted[i]),
                    arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.4, "shrinkA": 3,
                                "shrinkB": 0},
                )  # fmt: skip
        axes.axhline(ELAPSED[-1], color=colour if target is data.monte_carlo else GREY,
                     linestyle="--", linewidth=0.9)  # fmt: skip
        axes.set_xticks(x, [place.replace(" ", "\n", 1) for place in PLACES], fontsize=7)
        axes.set(ylabel="predicted total minutes", ylim=(28, 46))
        figures.append(figure)
    return picture(
        figures,
        "Predicted total time at six places of a drive home, 30 to 43 minutes. Monte Carlo's arrows"
        " all lead to the outcome, 43; TD's lead to the next prediction.",
    )


# ------------------------------------------------------------------------------- random walk


class Walk(NamedTuple):
    """Five states in a row: values of one learner, and errors of many.

    shown   (n,)      episodes after which v is shown
    v       (n, 5)    its values, TD(0) with alpha 0.1
    alphas  method -> its step sizes
    error   method -> (alphas, N + 1) RMS error over the states, mean of the seeds
    spread  method -> (alphas, N + 1) standard error of that mean
    """

    shown: tuple[int, ...]
    v: Floats
    alphas: dict[str, tuple[float, ...]]
    error: dict[str, Floats]
    spread: dict[str, Floats]


def rms(v: Floats, exact: Floats) -> Floats:
    """Root mean square error over the states: (..., S) -> (...)."""
    return np.asarray(np.sqrt(((v - exact) ** 2).mean(-1)))


def data_walk(*, rng: np.random.Generator, seeds: int = 100, episodes: int = 100) -> Walk:
    """Sutton & Barto's example 6.2: TD(0) and constant-α Monte Carlo from v = 1/2."""
    mdp, start, _ = random_walk(5)
    env, pi, exact = environment(mdp, start), np.ones((5, 1)), np.arange(1, 6) / 6
    alphas: dict[str, tuple[float, ...]] = {
        "TD(0)": (0.05, 0.1, 0.15),
        "Monte Carlo": (0.01, 0.02, 0.04),
    }
    half = np.full((seeds, 5), 0.5)
    runs: dict[str, list[Floats]] = {"TD(0)": [], "Monte Carlo": []}
    settings: Any = {"episodes": episodes, "gamma": 1.0, "rng": rng}
    for alpha in alphas["TD(0)"]:
        v = learn_v(env, pi, learners=seeds, alpha=alpha, v=half, **settings)
        runs["TD(0)"].append(np.concatenate([half[None], v]))
    for alpha in alphas["Monte Carlo"]:
        runs["Monte Carlo"].append(constant_alpha(env, pi, half, alpha=alpha, **settings))
    error = {name: rms(np.array(v), exact) for name, v in runs.items()}
    shown = (0, 1, 10, episodes)
    return Walk(
        shown,
        runs["TD(0)"][1][list(shown), 0],
        alphas,
        {name: x.mean(-1) for name, x in error.items()},
        {name: x.std(-1) / np.sqrt(seeds) for name, x in error.items()},
    )


def draw_walk(data: Walk) -> Picture:
    """Values of one learner, and the errors of all."""
    left, axes = panel("One TD(0) learner, α = 0.1", HALF)
    x = np.arange(5)
    axes.plot(x, (x + 1) / 6, color="#000000", linewidth=1, label="exact")
    for v, episodes, look, mark in zip(data.v, data.shown, LOOKS[::-1], MARKS, strict=False):
        axes.plot(
            x, v, look, marker=mark, color=BLUE, markersize=4, label=f"after {episodes}",
            alpha=1 if episodes == data.shown[-1] else 0.7, linewidth=1.3,
        )  # fmt: skip
    axes.set_xticks(x, "ABCDE")
    axes.set(ylim=(0, 1), ylabel="value")
    axes.legend(fontsize=7.5)
    right, axes = panel("Error against episodes", HALF)
    k = np.arange(0, data.error["TD(0)"].shape[1], 4)
    for name, errors in data.error.items():
        for alpha, error, spread, look in zip(
            data.alphas[name], errors, data.spread[name], LOOKS, strict=False
        ):
            low, high = error - 2 * spread, error + 2 * spread
            axes.fill_between(k, low[k], high[k], color=COLOUR_OF[name], alpha=0.15, linewidth=0)
            axes.plot(
                k, error[k], look, color=COLOUR_OF[name], linewidth=1.4,
                label=f"{'TD' if name == 'TD(0)' else 'MC'} α = {alpha:g}",
            )  # fmt: skip
    axes.set(ylim=(0, 0.34), xlabel="episodes", ylabel="RMS error")
    axes.legend(fontsize=7, ncols=2, loc="upper right")
    return picture(
        [left, right],
        "Left: values of the random walk rise towards the straight line of the exact ones. Right:"
        " TD's error is below Monte Carlo's at nearly every number of episodes.",
    )


class Batch(NamedTuple):
    """Batch methods on the same episodes: the RMS error is that of the mean over the seeds.

    episodes     (n,)
    td           (n, B)  of the values of the model that the episodes suggest
    monte_carlo  (n, B)  of mean returns
    """

    episodes: Floats
    td: Floats
    monte_carlo: Floats


def transitions(x: Episodes, columns: slice) -> tuple[Ints, Floats, Ints, Bools]:
    """The steps (s, r, s_next, terminated) of some episodes, each (N,)."""
    alive = x.alive[:, columns]
    last = alive & ~np.vstack([alive[1:], np.zeros_like(alive[:1])])
    s_next = np.where(last, x.s_last[columns], np.roll(x.s[:, columns], -1, 0))
    ends = last & x.terminated[columns]
    return x.s[:, columns][alive], x.r[:, columns][alive], s_next[alive], ends[alive]


def data_batch(*, rng: np.random.Generator, seeds: int = 100, episodes: int = 100) -> Batch:
    """Sutton & Barto's figure 6.2: after each of some numbers of episodes, all they can say."""
    mdp, start, _ = random_walk(5)
    exact = np.arange(1, 6) / 6
    x = sample_episodes(environment(mdp, start), np.ones((5, 1)), seeds * episodes, rng=rng)
    n = spaced(episodes, 16)
    td, monte_carlo = np.empty((2, len(n), seeds))
    first = np.arange(seeds) * episodes
    for i, count in enumerate(n):
        mine = (first[:, None] + np.arange(count)).ravel()
        few = Episodes(*(field[..., mine] for field in x))  # type: ignore[arg-type]
        v = mean_returns(few, seeds, 5, 1.0, "every").v
        monte_carlo[i] = rms(v, exact)
        for b in range(seeds):
            steps = transitions(few, slice(b * count, (b + 1) * count))
            td[i, b] = rms(batch_td(*steps, 5, 1.0), exact)
    return Batch(n.astype(np.float64), td, monte_carlo)


def draw_batch(data: Batch) -> Picture:
    """The error of both batch methods against the episodes they have seen."""
    figure, axes = panel("All that the same episodes can say", (4.4, 3.0))
    for name, error, mark in (("Monte Carlo", data.monte_carlo, "s"), ("TD(0)", data.td, "o")):
        middle, spread = error.mean(1), error.std(1) / np.sqrt(error.shape[1])
        colour = COLOUR_OF[name]
        axes.fill_between(
            data.episodes, middle - 2 * spread, middle + 2 * spread, color=colour, alpha=0.25,
            linewidth=0,
        )  # fmt: skip
        axes.plot(data.episodes, middle, "-", marker=mark, color=colour, markersize=4)
        axes.annotate(
            f"batch {'TD' if name == 'TD(0)' else 'Monte Carlo'}", (data.episodes[-6], middle[-6]),
            (4, 9) if mark == "s" else (-6, -15), textcoords="offset points", color=colour,
            weight="bold", ha="left" if mark == "s" else "right",
        )  # fmt: skip
    log_axis(axes, [1, 3, 10, 30, 100])
    axes.set(xlabel="episodes", ylabel="RMS error", ylim=(0, None))
    return picture(
        figure, "Batch TD's error falls below batch Monte Carlo's, and stays there as both shrink."
    )
