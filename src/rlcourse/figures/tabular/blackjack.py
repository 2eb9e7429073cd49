"""Blackjack played and solved: the chapter's picture of a value, and its optimum from games.

Shapes: S states, B players or learners, N games.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from rlcourse.figures.tabular.monte_carlo import HAND
from rlcourse.figures.tabular.scales import log_axis, spaced
from rlcourse.plot import COLOUR_OF, GREEN, GREY, RED, Picture, panel, picture
from rlcourse.tabular.blackjack import HIT, blackjack, state, stick_from
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.gridworld import closed_form, value_iteration
from rlcourse.tabular.importance_sampling import second_moments
from rlcourse.tabular.mdp import Bools, Floats, action_values

# ------------------------------------------------------------------------------- one hand


class Games(NamedTuple):
    """Games from one hand, and what their mean says.

    g      (N, B)  what each game paid: 1, 0 or -1
    exact  the value of the hand
    sigma  the standard deviation of a game
    """

    g: Floats
    exact: float
    sigma: float


def data_games(*, games: int, players: int, rng: np.random.Generator) -> Games:
    """Sutton & Barto's hand of example 5.4, played by a player who sticks on 20 and 21 only."""
    game, pi = blackjack(), stick_from(20)
    x = sample_episodes(environment(game.mdp, HAND), pi, games * players, rng=rng)
    v = float(closed_form(game.mdp, pi, 1.0)[HAND])
    square = second_moments(game.mdp, pi, pi, 1.0, HAND).ordinary
    return Games(x.r.sum(0).reshape(games, players), v, float(np.sqrt(square - v**2)))


def draw_games(data: Games, shown: int = 24) -> Picture:
    """The first games of one player, and the running means of all players."""
    left, axes = panel(f"The first {shown} games", (3.6, 2.9))
    g, at = data.g[:shown, 0], np.arange(1, shown + 1)
    for result, colour, mark in ((1, GREEN, "^"), (0, GREY, "o"), (-1, RED, "v")):
        here = g == result
        axes.vlines(at[here], 0, g[here], color=colour, linewidth=1.2)
        axes.plot(at[here], g[here], mark, color=colour, markersize=6)
    axes.axhline(0, color="#000000", linewidth=0.6)
    axes.set(xlabel="game", ylim=(-1.4, 1.4))
    axes.set_yticks([-1, 0, 1], ["lost −1", "drawn 0", "won 1"])
    right, axes = panel("The mean of all games so far", (3.6, 2.9))
    n = spaced(len(data.g), 60)
    mean = data.g.cumsum(0)[n - 1] / n[:, None]
    band = 2 * data.sigma / np.sqrt(n)
    axes.fill_between(n, data.exact - band, data.exact + band, color=GREY, alpha=0.2, linewidth=0)
    axes.plot(n, mean, color=COLOUR_OF["Monte Carlo"], linewidth=1)
    axes.axhline(data.exact, color="#000000", linestyle="--", linewidth=1.2)
    log_axis(axes, [1, 10, 100, 1000])
    axes.set(xlabel="games", ylim=(-1.05, 0.75), xlim=(1, len(data.g)))
    axes.text(n[-1], data.exact + 0.33, f"exact: {data.exact:.4f}".replace("-", "−"), ha="right")
    axes.text(n[-1], -0.75, "band: ±2σ/√N", ha="right", color=GREY)
    return picture(
        [left, right],
        "Left: single games are won, drawn or lost, without a pattern. Right: the running means of"
        " several players close in on the exact value, inside a band that narrows as one over the"
        " root of the number of games.",
    )


# ------------------------------------------------------------------------------- the optimum


class Optimum(NamedTuple):
    """Blackjack solved exactly and learned from games; arrays are (2, 10, 10).

    Axes: usable ace no or yes, player's sum 12 .. 21, dealer's card 1 .. 10.

    hits   share of the learners that hit
    v      mean over the learners of max_a q
    best   True where hitting is exactly best
    exact  optimal values
    close  True where both actions are within 0.02: sampling does not decide them
    """

    hits: Floats
    v: Floats
    best: Bools
    exact: Floats
    close: Bools


def _table(x: Floats) -> Floats:
    """(S, ...) of the game -> (2, 10, 10, ...) of the sums from 12 on."""
    rows = x[state(12, 1, 0) : state(21, 10, 1) + 1]
    return np.moveaxis(rows.reshape(10, 10, 2, *x.shape[1:]), 2, 0)


def data_optimum(hits: Floats, v: Floats) -> Optimum:
    """What learners found, (S,) each, beside the exact solution."""
    mdp = blackjack().mdp
    exact = value_iteration(mdp, 1.0).v
    q = action_values(mdp, exact, 1.0)
    close = np.abs(q[:, HIT] - q[:, 1 - HIT]) < 0.02
    best = q.argmax(-1) == HIT
    return Optimum(*(_table(x) for x in (hits, v, best, exact, close)))  # type: ignore[arg-type]


def recorded_of_optimum(record: dict[str, Any]) -> Optimum:
    """The experiment of a recorded run."""
    data = record["data"]["blackjack"]["late"]
    return data_optimum(np.array(data["hits"]), np.array(data["v"]))


def draw_optimum(data: Optimum) -> Picture:
    """Both policies with the exact border, and sampled against exact values."""
    panels = [
        _draw_policy(data, usable, f"{'A usable' if usable else 'No usable'} ace")
        for usable in (0, 1)
    ]
    figure, axes = panel("Sampled against exact values", (4.6, 3.0))
    low, high = float(data.exact.min()) - 0.08, 1.0
    axes.plot([low, high], [low, high], color="#000000", linewidth=0.8, linestyle="--")
    looks = ("Monte Carlo", "no usable ace", 3.4), ("exploring starts", "usable ace", 2.4)
    for usable, (colour, label, width) in enumerate(looks):
        x, y = data.exact[usable].ravel(), data.v[usable].ravel()
        axes.plot(*_dots(x, y), color=COLOUR_OF[colour], linewidth=width, label=label)
    axes.set(xlabel="exact v*", ylabel="learned from games")
    axes.legend(loc="upper left")
    return picture(
        [*panels, figure],
        "Two tables of the player's sum against the dealer's card: the learners hit where the exact"
        " policy does, with doubts at its border alone. Beside them learned values lie on the"
        " diagonal of exact ones.",
    )


def _dots(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Points as strokes too short to be seen as such: one path for all, in few bytes."""
    gap = np.full(len(x), np.nan)
    return np.stack([x, x + 0.004, gap], -1).ravel(), np.stack([y, y, gap], -1).ravel()


def _square(x: float, y: float, side: float = 0.92) -> Path:
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
    return Path(corners * side + (x, y), closed=True)


def _draw_policy(data: Optimum, usable: int, title: str) -> Figure:
    figure, axes = panel(f"{title}: who hits", (3.2, 3.2))
    axes.grid(visible=False)
    for share in np.unique(data.hits[usable]):
        if share > 0:
            cells = np.argwhere(data.hits[usable] == share) + (11.54, 0.54)
            axes.add_patch(
                PathPatch(
                    Path.make_compound_path(*(_square(x, y) for y, x in cells)),
                    facecolor=COLOUR_OF["exploring starts"], alpha=0.15 + 0.7 * share, linewidth=0,
                )
            )  # fmt: skip
    for row, column in np.argwhere(data.close[usable]):
        axes.plot(column + 1, row + 12, "o", color="#000000", markersize=3)
    border = 11.5 + data.best[usable].sum(0)
    axes.step(np.arange(0.5, 11), np.append(border, border[-1]), where="post", color="#000000")
    axes.set_xticks(range(1, 11), ["A", *map(str, range(2, 11))])
    axes.set_yticks(range(12, 22))
    axes.set(xlabel="dealer shows", ylabel="player’s sum", xlim=(0.4, 10.6), ylim=(11.4, 21.6))
    axes.text(5.5, 20, "stick", ha="center", va="center")
    axes.text(9 if not usable else 5.5, 13.5, "hit", ha="center", va="center")
    return figure
