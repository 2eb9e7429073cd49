"""Figures and experiments of the GridWorld chapter: data_* computes, draw_* shows.

Shapes: S states, A actions, N episodes, B seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from rlcourse.figures.frames import with_buttons, with_slider
from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.plot import BLUE, COLOUR_OF, GREY, PALETTE, RED, Picture, panel, picture
from rlcourse.tabular import linear
from rlcourse.tabular.gridworld import (
    SUTTON_BARTO_3_5,
    ZHAO,
    GridWorld,
    closed_form,
    grid_mdp,
    value_iteration,
)
from rlcourse.tabular.mdp import (
    MDP,
    Bools,
    Floats,
    action_values,
    bellman_expectation,
    discounted_returns,
    greedy_sets,
    uniform_policy,
)
from rlcourse.tabular.sampling import walk

GAMMA = 0.9

# ------------------------------------------------------------------------------- the question


class Routes(NamedTuple):
    """Two ways to the target and what each earns, for each fine of the swamp.

    cells    name -> the cells visited
    returns  name -> the return from the first cell, one for each fine
    """

    cells: dict[str, list[int]]
    fines: tuple[float, ...]
    returns: dict[str, list[float]]


def data_routes(fines: tuple[float, ...] = (-1.0, -10.0), gamma: float = GAMMA) -> Routes:
    """Through the swamp or around it: rewards of both ways, then staying in the target."""
    cells = {
        "through the swamp": [0, 5, 10, 11, 12, 17],
        "around it": [0, 1, 2, 3, 8, 13, 14, 19, 24, 23, 22, 17],
    }
    returns = {}
    for name, way in cells.items():
        rows = []
        for fine in fines:
            cell = np.zeros(ZHAO.n_states)
            cell[list(ZHAO.forbidden)], cell[list(ZHAO.target)] = fine, ZHAO.r_target
            stay = ZHAO.r_target / (1 - gamma)  # 1 + γ + γ² + ...
            rewards = np.append(cell[way[1:]], stay)
            rows.append(float(discounted_returns(rewards, gamma)[0]))
        returns[name] = rows
    return Routes(cells, fines, returns)


def draw_routes(data: Routes) -> Picture:
    """The map with both routes, and their returns as bars."""
    colours = dict(zip(data.cells, (BLUE, RED), strict=True))
    routes = [(cells, colours[name]) for name, cells in data.cells.items()]
    left = draw_map(ZHAO, title="Two ways to the star", routes=routes)
    right, axes = panel("What each way earns", (3.4, 3.4))
    at = np.arange(len(data.fines))
    for i, (name, values) in enumerate(data.returns.items()):
        bars = axes.barh(
            at + 0.36 * i, values, 0.32, color=colours[name], label=name, hatch="///" if i else ""
        )
        axes.bar_label(bars, [f"{x:.2f}".replace("-", "−") for x in values], padding=3)
    axes.set_yticks(at + 0.18, [f"swamp costs\n{-fine:g}" for fine in data.fines])
    axes.invert_yaxis()
    axes.axvline(0, color="#000000", linewidth=0.8)
    axes.margins(x=0.22)
    axes.set_xlabel("discounted return from ●,  γ = 0.9")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=2)
    return picture(
        [left, right],
        "A five by five map. One route cuts through the swamp, another goes around it. Through the"
        " swamp earns more if the swamp costs 1, less if it costs 10.",
    )


# ------------------------------------------------------------------------------- values


def draw_values(world: GridWorld, pi: Floats, gamma: float, title: str = "") -> Picture:
    """The exact values of a policy on its map."""
    v = closed_form(grid_mdp(world), pi, gamma)
    words = f"Values of a policy on the map, from {v.min():.1f} to {v.max():.1f}."
    return picture(draw_map(world, v=v, title=title), words)


def optimal_map(world: GridWorld, gamma: float, title: str = "") -> Figure:
    """Optimal values and all best actions of a world."""
    mdp = grid_mdp(world)
    v = value_iteration(mdp, gamma).v
    best = greedy_sets(action_values(mdp, v, gamma))
    return draw_map(world, v=v, best=best, title=title)


def draw_optimal(fines: Sequence[float] = (-1.0, -10.0), gamma: float = GAMMA) -> Picture:
    """Optimal values and actions for each fine of the swamp."""
    maps = [
        optimal_map(replace(ZHAO, r_forbidden=fine), gamma, f"swamp costs {-fine:g}")
        for fine in fines
    ]
    return picture(
        maps,
        "Optimal values and actions. With the cheap swamp arrows lead through it, with the dear one"
        " around it; in some cells two actions are equally good.",
    )


def draw_slippery(gamma: float = 0.9, slip: float = 0.2, r_forbidden: float = -10.0) -> Picture:
    """The optimum of Zhao's world on a slippery floor: for sliders."""
    world = replace(ZHAO, slip=slip, r_forbidden=r_forbidden)
    title = f"γ = {gamma:.2f}, slip = {slip:.2f}"
    return picture(optimal_map(world, gamma, title), f"Optimal values and actions, {title}.")


class Published(NamedTuple):
    """Our values of a world whose values are printed in a book.

    v                   (S,)
    largest_difference  from the printed table
    """

    v: Floats
    largest_difference: float


PRINTED_3_5 = (
    (3.3, 8.8, 4.4, 5.3, 1.5),
    (1.5, 3.0, 2.3, 1.9, 0.5),
    (0.1, 0.7, 0.7, 0.4, -0.4),
    (-1.0, -0.4, -0.4, -0.6, -1.2),
    (-1.9, -1.3, -1.2, -1.4, -2.0),
)
"""Sutton & Barto, 2nd ed., figure 3.2: uniform policy, gamma 0.9."""


def data_published() -> Published:
    """Sutton & Barto's example 3.5 by the closed form, beside the printed table."""
    mdp = grid_mdp(SUTTON_BARTO_3_5)
    v = closed_form(mdp, uniform_policy(mdp), GAMMA)
    return Published(v, float(np.abs(v - np.ravel(PRINTED_3_5)).max()))


# ------------------------------------------------------------------------------- sweeps


class Convergence(NamedTuple):
    """True error and its bound after each sweep, for each gamma.

    error  (gammas, sweeps)  max|v_k - v_π|
    bound  (gammas, sweeps)  γ / (1 - γ) max|v_k - v_{k-1}|
    """

    gammas: tuple[float, ...]
    error: Floats
    bound: Floats


def data_convergence(
    gammas: tuple[float, ...] = (0.5, 0.9, 0.99), sweeps: int = 150
) -> Convergence:
    """Iterative evaluation of the uniform policy on Zhao's world, against the exact values."""
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    error, bound = np.empty((2, len(gammas), sweeps))
    for i, gamma in enumerate(gammas):
        exact, v = closed_form(mdp, pi, gamma), np.zeros(ZHAO.n_states)
        for k in range(sweeps):
            before, v = v, bellman_expectation(mdp, pi, v, gamma)
            error[i, k] = np.abs(v - exact).max()
            bound[i, k] = gamma / (1 - gamma) * np.abs(v - before).max()
    return Convergence(gammas, error, bound)


def draw_convergence(data: Convergence) -> Picture:
    """Error and bound against sweeps on a log scale: straight lines of slope log γ."""
    figure, axes = panel("Each sweep shrinks the error by γ", (4.6, 3.2))
    k = np.arange(1, data.error.shape[1] + 1)
    for i, gamma in enumerate(data.gammas):
        seen = (data.error[i] > 1e-12) & (k % 3 == 1)  # straight lines need no more points
        axes.semilogy(k[seen], data.error[i][seen], color=PALETTE[i], linewidth=1.4)
        axes.semilogy(k[seen], data.bound[i][seen], color=PALETTE[i], linestyle=":", linewidth=2.6)
        last = min(int(seen.sum()) - 1, len(k) - 1)
        axes.annotate(
            f"γ = {gamma:g}", (k[seen][last], data.error[i][seen][last]), (4, 0),
            textcoords="offset points", color=PALETTE[i], va="center", weight="bold",
        )  # fmt: skip
    axes.set(xlabel="sweeps", ylabel="max error of v", ylim=(1e-13, 1e4), xlim=(0, 1.17 * k[-1]))
    axes.text(0.55, 0.3, "solid: true error\ndotted: its bound", transform=axes.transAxes)
    return picture(
        figure,
        "The true error falls on straight lines in a log plot, steeply for gamma 0.5, slowly for"
        " 0.99, always below the dotted bound.",
    )


def looseness(data: Convergence) -> float:
    """The largest ratio of the bound to the true error, where rounding doesn't matter."""
    seen = data.error > 1e-10
    return float((data.bound[seen] / data.error[seen]).max())


def data_news(sweeps: int = 12, gamma: float = GAMMA) -> Floats:
    """v after 0, 1, 2, ... sweeps of value iteration with a dear swamp: (sweeps + 1, S)."""
    mdp = grid_mdp(replace(ZHAO, r_forbidden=-10.0))
    v = np.zeros((sweeps + 1, ZHAO.n_states))
    for k in range(sweeps):
        v[k + 1] = action_values(mdp, v[k], gamma).max(-1)
    return v


def draw_news(v: Floats) -> go.Figure:
    """One frame a sweep, with a slider and Play: value spreads one cell a sweep."""
    shape = (ZHAO.n_rows, ZHAO.n_cols)

    def heat(x: Floats) -> go.Heatmap:
        marks = np.full(ZHAO.n_states, "", dtype=object)
        marks[list(ZHAO.forbidden)], marks[list(ZHAO.target)] = "✕ ", "★ "
        text = [
            f"{mark}{value:.2f}" if value else mark for mark, value in zip(marks, x, strict=True)
        ]
        return go.Heatmap(
            z=x.reshape(shape).round(4).tolist(),
            text=np.array(text).reshape(shape).tolist(),
            texttemplate="%{text}",
            hovertemplate="row %{y}, column %{x}: %{z:.4f}<extra></extra>",
            x=list(range(1, shape[1] + 1)),
            y=list(range(1, shape[0] + 1)),
            zmin=0,
            zmax=float(v.max()),
            colorscale=[[0, "rgba(42,127,184,0.04)"], [1, "rgba(42,127,184,0.75)"]],
            showscale=False,
            xgap=3,
            ygap=3,
        )

    names = [str(k) for k in range(len(v))]
    frames = [go.Frame(data=[heat(x)], name=name) for x, name in zip(v, names, strict=True)]
    shown = 4
    figure = go.Figure(data=[heat(v[shown])], frames=frames)
    figure.update_layout(
        meta={"alt": "Values of all cells after each sweep, spreading from the target."},
        height=560,
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 14, "color": GREY},
        xaxis={"visible": False, "constrain": "domain", "fixedrange": True},
        yaxis={"visible": False, "autorange": "reversed", "scaleanchor": "x", "fixedrange": True},
    )  # fmt: skip
    with_buttons(figure, 500, top=110)
    return with_slider(figure, shown, "after sweep ", top=10, size=16)


# ------------------------------------------------------------------------------- the experiment


class Sampled(NamedTuple):
    """How far the mean of N sampled returns is from the exact value.

    n       (n,)     episodes averaged from each state
    error   (B, n)   root mean square over the states of mean return - v
    theory  (n,)     σ / √n with the exact standard deviation σ of a return
    """

    n: Floats
    error: Floats
    theory: Floats


def return_variance(mdp: MDP, pi: Floats, gamma: float) -> Floats:
    """Var[G] of the return from each state (S,): E[G²] solves a Bellman equation with γ².

    E[G²] = Σ π p [r² + 2 γ r v(s') + γ² E[G'²]]. Source: Sobel (1982), theorem 1.
    """
    v = closed_form(mdp, pi, gamma)
    later = gamma * ~mdp.terminated * v[mdp.s_next]
    weight = pi[..., None] * mdp.p
    square = (weight * (mdp.r**2 + 2 * mdp.r * later)).sum((1, 2))
    w = (gamma**2 * weight * ~mdp.terminated).reshape(len(pi), -1)
    return linear.solve(mdp.s_next.reshape(len(pi), -1), w, square) - v**2


def data_sampled(
    *, episodes: int, seeds: int, rng: np.random.Generator, steps: int = 120, gamma: float = GAMMA
) -> Sampled:
    """Average sampled returns of the uniform policy, from every cell of Zhao's world.

    An episode is cut after `steps`: what is left out is below γ^steps / (1 - γ), 3e-5 here.
    """
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    v = closed_form(mdp, pi, gamma)
    n = 2 ** np.arange(int(np.log2(episodes)) + 1)
    start = np.repeat(np.arange(ZHAO.n_states), episodes)
    error = np.empty((seeds, len(n)))
    for row in error:
        rewards = walk(mdp, pi, start, steps=steps, rng=rng).r
        g = discounted_returns(rewards.T, gamma)[:, 0].reshape(-1, episodes)
        mean = g.cumsum(1)[:, n - 1] / n
        row[:] = np.sqrt(((mean - v[:, None]) ** 2).mean(0))
    theory = np.sqrt(return_variance(mdp, pi, gamma).mean() / n)
    return Sampled(n.astype(np.float64), error, theory)


def draw_sampled(data: Sampled, title: str = "Sampling converges as 1/√N") -> Picture:
    """Median and 10-90 % band of the error over the seeds, with the theory's line."""
    figure, axes = panel(title, (4.6, 3.2))
    colour = COLOUR_OF["sampled returns"]
    low, middle, high = np.quantile(data.error, [0.1, 0.5, 0.9], axis=0)
    axes.fill_between(data.n, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.loglog(data.n, middle, "o", color=colour, markersize=4.5)
    axes.loglog(data.n, data.theory, color="#000000", linestyle="--", linewidth=1)
    axes.set(
        xlabel="episodes from each cell, N", ylabel="error of the mean return (RMS over cells)"
    )
    axes.annotate("exact σ/√N", (data.n[1], data.theory[1]), (8, 8), textcoords="offset points")
    axes.annotate(
        f"median of {len(data.error)} seeds,\nband: 10-90 %", (data.n[-3], middle[-3]), (-6, -8),
        textcoords="offset points", color=colour, ha="right", va="top",
    )  # fmt: skip
    return picture(
        figure,
        "On log axes the error of the sampled mean falls along the line sigma over root N.",
    )


def recorded_sampled(record: dict[str, Any]) -> Sampled:
    """The experiment of a recorded run."""
    fields = record["data"]["sampled"]
    return Sampled(*(np.array(fields[name]) for name in Sampled._fields))


def slope(data: Sampled) -> float:
    """The slope of log median error against log N, by least squares."""
    median = np.median(data.error, axis=0)
    return float(np.polyfit(np.log(data.n), np.log(median), 1)[0])


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """What a suspect backup finds, beside the truth.

    v, exact          (S,)    its values and the right ones
    best, exact_best  (S, A)  its best actions and the right ones
    """

    v: Floats
    exact: Floats
    best: Bools
    exact_best: Bools

    @property
    def same_actions(self) -> bool:
        return bool((self.best == self.exact_best).all())


Backup = Callable[[MDP, Floats, float], Floats]


def data_hunt(backup: Backup, gamma: float = GAMMA, sweeps: int = 400) -> Hunt:
    """Sweep v <- max_a backup(mdp, v, gamma) on Zhao's world with a dear swamp."""
    mdp = grid_mdp(replace(ZHAO, r_forbidden=-10.0))
    v = np.zeros(ZHAO.n_states)
    for _ in range(sweeps):
        v = backup(mdp, v, gamma).max(-1)
    exact = value_iteration(mdp, gamma).v
    best, exact_best = (
        greedy_sets(backup(mdp, v, gamma)),
        greedy_sets(action_values(mdp, exact, gamma)),
    )
    return Hunt(v, exact, best, exact_best)


def draw_hunt(data: Hunt) -> Picture:
    """Both maps side by side, with their numbers."""
    world = replace(ZHAO, r_forbidden=-10.0)
    maps = [
        draw_map(world, v=data.v, best=data.best, title="the suspect", digits=2),
        draw_map(world, v=data.exact, best=data.exact_best, title="the truth", digits=2),
    ]
    arrows = "the same arrows" if data.same_actions else "different arrows"
    return picture(maps, f"Two maps with {arrows}: the values of the suspect, and the true ones.")


# ------------------------------------------------------------------------------- benchmark


class Benchmark(NamedTuple):
    """What benchmarks/gridworld.py measured, side by side in one run.

    n        (n,)  the worlds' sides
    seconds  method -> (n,) seconds to evaluate the uniform policy, from P_π and r_π
    over     method -> (n,) the same over quantecon's, median of paired ratios
    steps    method -> environment steps per second of a random walk on CliffWalking
    ahead    how many times the steps of the gymnasium loop 1024 walkers make
    """

    n: Floats
    seconds: dict[str, Floats]
    over: dict[str, Floats]
    steps: dict[str, float]
    ahead: float


def data_benchmark(record: dict[str, Any]) -> Benchmark:
    """The rows that the page shows; of quantecon's two models the faster one for each size."""
    values = record["values"]
    seconds: dict[str, Floats] = {}
    over: dict[str, Floats] = {}
    for i, row in enumerate(values.values()):
        for name, times in row.items():
            method = name.split(",")[0].split(" (")[0]
            for table, x in (
                (seconds, times["model"]["seconds"]),
                (over, times["model"]["over_quantecon"]["median"]),
            ):
                column = table.setdefault(method, np.full(len(values), np.nan))
                column[i] = np.fmin(column[i], x)
    walks = record["walks"]["CliffWalking"]
    steps = {name: float(row["steps_per_second"]) for name, row in walks.items()}
    ahead = float(walks["ours, 1024 walkers"]["times_the_loop"]["median"])
    return Benchmark(np.array([float(n) for n in values]), seconds, over, steps, ahead)


def _short(x: float) -> str:
    return f"{x / 1e6:.1f} M" if x >= 1e6 else f"{x / 1e3:.0f} k"


def draw_benchmark(data: Benchmark) -> Picture:
    """Seconds against the size of the world, and steps per second of random walks."""
    left, axes = panel("Seconds to the exact values", (3.5, 3.2))
    looks = ("o-", "s--", "^-.", "v:", "D-")
    for (method, y), look in zip(sorted(data.seconds.items()), looks, strict=True):
        seen = np.isfinite(y)
        colour = COLOUR_OF[method]
        axes.loglog(data.n[seen], y[seen], look, color=colour, markersize=4, label=method)
    axes.set_xticks(data.n, [f"{n:g}×{n:g}" for n in data.n])
    axes.minorticks_off()
    axes.legend(fontsize=7.5)
    right, axes = panel("Random walks", (3.5, 3.2))
    names = list(data.steps)
    ours = [name.startswith("ours") for name in names]
    colours = [COLOUR_OF["sampled returns"] if mine else GREY for mine in ours]
    bars = axes.barh(range(len(names)), list(data.steps.values()), color=colours)
    for bar, mine in zip(bars, ours, strict=True):
        bar.set_hatch("" if mine else "///")
    axes.bar_label(bars, [_short(x) for x in data.steps.values()], padding=3, fontsize=7.5)
    axes.set_xscale("log")
    labels = [name.removeprefix("ours, ").replace("gymnasium loop", "loop") for name in names]
    labels = [label.removeprefix("gymnasium ") for label in labels]
    labels[names.index("ours, 1 walkers")] = "1 walker"
    axes.set_yticks(range(len(names)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlabel("steps per second (hatched: Gym)")
    return picture(
        [left, right],
        "Left: seconds against the size of the world; on the largest the structured grid is first,"
        " plain Python last. Right: a thousand walkers in step beat the loop by far.",
    )


# ------------------------------------------------------------------------------- recorded


def recorded_sampling() -> dict[str, Any]:
    """The experiment in full: 1024 episodes from each cell, 200 seeds."""
    seed = 2024
    data = data_sampled(episodes=1024, seeds=200, rng=np.random.default_rng(seed))
    return {"seed": seed} | {name: x.round(6).tolist() for name, x in data._asdict().items()}


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"sampled": recorded_sampling}
RECORDED_MODULES = (
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.sampling",
    "rlcourse.tabular.linear",
    "rlcourse.tabular.gridworld",
)
