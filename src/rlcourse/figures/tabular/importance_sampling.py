"""Figures of importance sampling: two estimates of a hand, and a mean that does not settle.

Shapes: B runs, N episodes, n checkpoints.
"""

from typing import Any, NamedTuple

import numpy as np

from rlcourse.figures.tabular.monte_carlo import HAND
from rlcourse.figures.tabular.scales import spaced
from rlcourse.plot import COLOUR_OF, Picture, panel, picture
from rlcourse.tabular.blackjack import blackjack, stick_from
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.importance_sampling import (
    SecondMoments,
    second_moments,
)
from rlcourse.tabular.mdp import MDP, Floats, Ints, finite_mdp, uniform_policy

# ------------------------------------------------------------------------------- ratios


class Ratios(NamedTuple):
    """Squared error of two off-policy estimates of a blackjack hand, and what theory says.

    episodes            (n,)
    ordinary, weighted  (n,)  mean over the runs
    exact               (n,)  σ²/N of the ordinary estimate
    limit               (n,)  what the weighted one tends to, E[ρ² (G - v)²]/N
    """

    episodes: Ints
    ordinary: Floats
    weighted: Floats
    exact: Floats
    limit: Floats


def ratio_moments() -> tuple[SecondMoments, SecondMoments]:
    """Second moments of ρ G and of ρ (G - v): games pay once, so v can be taken off the pay."""
    game, pi = blackjack(), stick_from(20)
    b, v = uniform_policy(game.mdp), closed_form(game.mdp, pi, 1.0)[HAND]
    less = game.mdp._replace(r=np.where(game.mdp.terminated, game.mdp.r - v, game.mdp.r))
    of_g, of_rest = (second_moments(x, pi, b, 1.0, HAND) for x in (game.mdp, less))
    return of_g, of_rest


def data_ratios(ordinary: Floats, weighted: Floats, episodes: int) -> Ratios:
    """Errors (n,) of a run with the lines of theory."""
    at = spaced(episodes)
    v = closed_form(blackjack().mdp, stick_from(20), 1.0)[HAND]
    of_g, of_rest = ratio_moments()
    return Ratios(at, ordinary, weighted, (of_g.ordinary - v**2) / at, of_rest.ordinary / at)


def recorded_of_ratios(record: dict[str, Any]) -> Ratios:
    """The experiment of a recorded run."""
    data = record["data"]["ratios"]
    errors = (np.mean(data[name], axis=0) for name in ("ordinary", "weighted"))
    return data_ratios(next(errors), next(errors), data["episodes"])


def draw_ratios(data: Ratios, title: str = "Two estimates from another’s games") -> Picture:
    """Mean squared error against episodes on log axes (Sutton & Barto, figure 5.3)."""
    figure, axes = panel(title, (4.8, 3.2))
    for name, error, theory, look in (
        ("ordinary", data.ordinary, data.exact, "o"),
        ("weighted", data.weighted, data.limit, "s"),
    ):
        colour = COLOUR_OF[f"{name} importance sampling"]
        axes.loglog(data.episodes, error, look, color=colour, markersize=3.6, label=name)
        axes.loglog(data.episodes[[0, -1]], theory[[0, -1]], "--", color=colour, linewidth=1)
    axes.set(xlabel="episodes", ylabel="mean squared error", ylim=(2e-4, 30))
    axes.legend(loc="lower left")
    axes.text(0.97, 0.9, "dashed: exact, and limit", transform=axes.transAxes, ha="right")
    return picture(
        figure,
        "On log axes both errors fall along straight lines of theory. At first the ordinary"
        " estimate's error is many times that of the weighted one; later both are close.",
    )


# ------------------------------------------------------------------------------- infinite variance


def paying_loop(back: float) -> MDP:
    """Left pays 1 and comes back with this probability; right pays 1 and ends."""
    ends = [[[False, True], [True, True]]]
    p = [[[back, 1 - back], [1.0, 0.0]]]
    return finite_mdp(np.zeros((1, 2, 2), dtype=np.intp), p, 1.0, ends)


class Infinite(NamedTuple):
    """Ordinary estimates of example 5.5 after so many episodes, whose true value is 1.

    episodes  (n,)
    ordinary  (n, B)
    """

    episodes: Ints
    ordinary: Floats


def recorded_of_infinite(record: dict[str, Any]) -> Infinite:
    """The experiment of a recorded run."""
    data = record["data"]["infinite"]
    return Infinite(np.array(data["episodes"]), np.array(data["ordinary"]).T)


def draw_infinite(data: Infinite) -> Picture:
    """Running estimates that never settle (Sutton & Barto, figure 5.4)."""
    figure, axes = panel("A mean that does not settle", (5.2, 3.3))
    colour = COLOUR_OF["ordinary importance sampling"]
    for i, run in enumerate(data.ordinary.T):
        name = "_" if i else f"ordinary, {data.ordinary.shape[1]} runs"
        axes.plot(data.episodes, run, color=colour, linewidth=1, label=name)
    green = COLOUR_OF["weighted importance sampling"]
    axes.axhline(1, color=green, linewidth=2.2, label="weighted: 1, the value")
    axes.set_xscale("log")
    axes.set(
        xlabel="episodes", ylabel="estimated value", ylim=(0, 3.2), xlim=(1, data.episodes[-1])
    )
    axes.legend(loc="upper center")
    return picture(
        figure,
        "Ten running means jump up at single episodes and sink in between. After a million episodes"
        " they still differ, most of them below the true value of one.",
    )
