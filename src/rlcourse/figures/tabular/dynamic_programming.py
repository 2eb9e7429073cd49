"""Figures and experiments of the dynamic programming chapter: data_* computes, draw_* shows.

`convergence` has contraction, bounds and the bug hunt, `problems` the gambler and the car rental.

Shapes: S states, A actions, B random worlds.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rlcourse.figures.tabular.convergence import DEAR, values_of
from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.plot import COLOUR_OF, GREY, Picture, panel, picture
from rlcourse.tabular.asynchronous import in_place_sweep, predecessors, prioritized_sweeping
from rlcourse.tabular.dynamic_programming import (
    policy_improvement,
    policy_iteration,
    truncated_evaluation,
)
from rlcourse.tabular.gridworld import GridWorld, grid_mdp, value_iteration
from rlcourse.tabular.mdp import (
    MDP,
    Bools,
    Floats,
    Ints,
    action_values,
    bellman_optimality,
    greedy_sets,
)

GAMMA = 0.9
STAY = 4
VALUE, TRUNCATED, POLICY = (
    "value iteration",
    "truncated policy iteration",
    "policy iteration",
)

# ------------------------------------------------------------------------------- the question


class Early(NamedTuple):
    """Value iteration on Zhao's world with a dear swamp, sweep by sweep.

    error  (sweeps,)    max|v - v*|
    wrong  (sweeps,)    cells in which an action that seems best is not
    v      (sweeps, S)  the values
    """

    error: Floats
    wrong: Ints
    v: Floats

    @property
    def actions_right(self) -> int:
        """The first sweep from which on every action that seems best is best."""
        return int(np.flatnonzero(self.wrong)[-1]) + 2

    @property
    def values_right(self) -> int:
        """The first sweep after which no value is off by 1e-3."""
        return int((self.error >= 1e-3).sum()) + 1


def data_early(sweeps: int = 100, gamma: float = GAMMA) -> Early:
    """How wrong the values are after each sweep, and how many cells' actions."""
    mdp = grid_mdp(DEAR)
    exact = policy_iteration(mdp, gamma).v
    best = greedy_sets(action_values(mdp, exact, gamma))
    v = np.zeros((sweeps + 1, len(exact)))
    wrong = np.empty(sweeps, dtype=np.intp)
    for k in range(sweeps):
        v[k + 1] = bellman_optimality(mdp, v[k], gamma)
        seems = greedy_sets(action_values(mdp, v[k + 1], gamma))
        wrong[k] = (seems & ~best).any(-1).sum()
    return Early(np.abs(v[1:] - exact).max(-1), wrong, v[1:])


def draw_early(data: Early, gamma: float = GAMMA) -> Picture:
    """The map when its actions are right for the first time, and both errors against sweeps."""
    k = data.actions_right
    v = data.v[k - 1]
    best = greedy_sets(action_values(grid_mdp(DEAR), v, gamma))
    left = draw_map(DEAR, v=v, best=best, title=f"After {k} sweeps all arrows are right")
    right, top = panel("Cells with a wrong arrow", (3.6, 3.4))
    rows = right.add_gridspec(2, 1)
    top.set_subplotspec(rows[0])
    below = right.add_subplot(rows[1], sharex=top)
    x = np.arange(1, len(data.error) + 1)
    top.bar(x[:k], data.wrong[:k], color=GREY, width=0.8)
    below.plot(x, data.error, color=COLOUR_OF[VALUE])
    below.plot(k, data.error[k - 1], "o", color=COLOUR_OF[VALUE], markersize=6)
    for axes in (top, below):
        axes.axvline(k, color="#000000", linewidth=0.8, linestyle=":")
    top.annotate("none from here on", (k, 9), (6, 0), textcoords="offset points")
    below.annotate(f"{data.error[k - 1]:.1f}", (k, data.error[k - 1]), (7, 4),
                   textcoords="offset points", weight="bold")  # fmt: skip
    below.annotate(f"below 0.001\nafter {data.values_right}", (data.values_right, 0), (-26, 34),
                   textcoords="offset points", ha="center",
                   arrowprops={"arrowstyle": "->", "lw": 1, "shrinkB": 3})  # fmt: skip
    below.set_title("Largest error of the values")
    below.set(xlabel="sweeps of value iteration", xlim=(0, 101), ylim=(0, None))
    return picture(
        [left, right],
        f"After {k} sweeps every arrow on the map is right. The error of the values needs"
        f" {data.values_right} sweeps to fall below a thousandth.",
    )


# ------------------------------------------------------------------------------- one family


class Iterations(NamedTuple):
    """The mean value over the cells after each iteration, beginning with v = 0.

    mean   method -> (iterations,)
    exact  the mean of the optimal values
    """

    mean: dict[str, Floats]
    exact: float


def data_iterations(iterations: int = 41, j: int = 5, gamma: float = GAMMA) -> Iterations:
    """Zhao's figure 4.4 on his world with a dear swamp: three methods, iteration by iteration."""
    mdp = grid_mdp(DEAR)
    exact = policy_iteration(mdp, gamma).v
    depth = {VALUE: 1, f"truncated, j = {j}": j, POLICY: None}
    mean = {name: np.empty(iterations) for name in depth}
    for name, sweeps in depth.items():
        v, a = np.zeros(len(exact)), np.full(len(exact), STAY)
        for k in range(iterations):
            mean[name][k] = v.mean()
            a = policy_improvement(action_values(mdp, v, gamma), a)
            if sweeps is None:
                v = values_of(mdp, a, gamma)
            else:
                v = truncated_evaluation(mdp, a, v, gamma, sweeps)
    return Iterations(mean, float(exact.mean()))


class Ties(NamedTuple):
    """Iterations until max|v - v*| < 1e-3, for each depth j and each way to break ties.

    j           (n,)
    iterations  rule -> (n,); j times as many sweeps
    """

    j: Ints
    iterations: dict[str, Ints]


def data_ties(depths: tuple[int, ...] = (1, 2, 3, 5, 8, 10, 15, 20, 30)) -> Ties:
    """Truncated policy iteration from v = 0 on Zhao's world with a dear swamp, gamma 0.9."""
    mdp = grid_mdp(DEAR)
    exact = policy_iteration(mdp, GAMMA).v
    counts = {
        name: np.array([_iterations(mdp, exact, j, rule) for j in depths])
        for name, rule in RULES.items()
    }
    return Ties(np.array(depths), counts)


Rule = Callable[[Floats, Ints], Ints]
RULES: dict[str, Rule | None] = {
    "the first": lambda q, a: q.argmax(-1),
    "the last": lambda q, a: q.shape[1] - 1 - q[:, ::-1].argmax(-1),
    "the old, from “stay”": None,
}
"""Which of several best actions is taken; None keeps the old one, and evaluates "stay" first."""


def _iterations(mdp: MDP, exact: Floats, j: int, rule: Rule | None) -> int:
    v, a, count = np.zeros(len(exact)), np.full(len(exact), STAY), 0
    while np.abs(v - exact).max() >= 1e-3:
        if rule is not None:
            a = rule(action_values(mdp, v, GAMMA), a)
        elif count:
            a = policy_improvement(action_values(mdp, v, GAMMA), a)
        v = truncated_evaluation(mdp, a, v, GAMMA, j)
        count += 1
    return count


def draw_family(data: Iterations, ties: Ties) -> Picture:
    """Values against iterations, and the sweeps until the values are right against j."""
    left, axes = panel("Per iteration: deeper is faster", (3.6, 3.2))
    looks = ("-", "--", "-.")
    for (name, y), look in zip(data.mean.items(), looks, strict=True):
        method = TRUNCATED if name.startswith("truncated") else name
        axes.plot(np.arange(len(y)), y, look, color=COLOUR_OF[method], label=name)
    axes.axhline(data.exact, color="#000000", linewidth=0.8, linestyle=":")
    axes.annotate("optimal", (len(y) - 1, data.exact), (0, 4), textcoords="offset points",
                  ha="right")  # fmt: skip
    axes.set(xlabel="iterations", ylabel="mean value of the cells")
    axes.legend(loc="lower right")
    right, axes = panel("Per sweep: it isn't, and ties decide", (3.6, 3.2))
    for (rule, count), look in zip(ties.iterations.items(), ("o-", "s--", "^:"), strict=True):
        axes.loglog(ties.j, ties.j * count, look, color=COLOUR_OF[TRUNCATED], markersize=4.5,
                    label=rule, linewidth=1.4)  # fmt: skip
    axes.set_xticks(ties.j, [str(j) for j in ties.j])
    axes.set_yticks([80, 160, 320], ["80", "160", "320"])
    axes.minorticks_off()
    axes.set(xlabel="sweeps between two improvements, j", ylabel="sweeps until the error < 0.001")
    axes.legend(loc="upper left", fontsize=7.5, title="among equals take", title_fontsize=7.5)
    return picture(
        [left, right],
        "Left: policy iteration reaches the optimal values in the fewest iterations, value"
        " iteration in the most. Right: sweeps against j: the rules agree up to five, then part.",
    )


# ------------------------------------------------------------------------------- affine rewards


def draw_affine(shift: float = 1.0, gamma: float = GAMMA) -> Picture:
    """Zhao's world with a target that ends the episode, after raising all rewards."""
    world = replace(DEAR, terminal=True)
    v, best = data_shifted(grid_mdp(world), shift, gamma)
    best[list(world.target)] = False
    figure = draw_map(world, v=v, best=best, title=f"A star that ends, rewards {shift:g} higher")
    figure.set_size_inches(4.4, 4.4)
    return picture(
        figure,
        "The map with a star that ends the episode and each reward one higher: no arrow enters the"
        " star, and all other cells are worth 10.",
    )


def data_shifted(mdp: MDP, shift: float, gamma: float = GAMMA) -> tuple[Floats, Bools]:
    """Optimal values (S,) and all best actions (S, A) with `shift` added to each reward.

    A terminal state stays worth 0: no step begins there.
    """
    here = np.arange(len(mdp.p))[:, None, None]
    over = (mdp.terminated & (mdp.s_next == here)).all((1, 2), keepdims=True)
    raised = mdp._replace(r=mdp.r + shift * ~over)
    v = policy_iteration(raised, gamma).v
    return v, greedy_sets(action_values(raised, v, gamma))


# ------------------------------------------------------------------------------- asynchronous


class Backups(NamedTuple):
    """Backups a state that it takes to know all values to 1e-6, in B random worlds of each size.

    sizes   (sizes,)                the worlds have sizes² cells
    counts  order -> (sizes, B)     backups of single states, over the number of states
    looks   (sizes, B)              looks ahead of prioritized sweeping, over the states, as if all
                                    had as many predecessors as the average one: good to 2 %
    """

    sizes: Ints
    counts: dict[str, Floats]
    looks: Floats


SWEEP_GAMMA = 0.95
ALL_AT_ONCE, ROWS, RANDOM, OUTWARDS, PRIORITIZED = (
    "all at once",
    "in place, row by row",
    "in place, random",
    "in place, from the target",
    "prioritized",
)


def random_world(n: int, slip: float, *, rng: np.random.Generator) -> GridWorld:
    """n x n cells: a target that ends the episode, a quarter of the cells forbidden."""
    cells = [int(s) for s in rng.permutation(n * n)]
    forbidden = tuple(sorted(cells[1 : 1 + n * n // 4]))
    return GridWorld(n, n, forbidden=forbidden, target=(cells[0],), terminal=True, slip=slip)


def data_backups(
    sizes: tuple[int, ...], worlds: int, slip: float, *, rng: np.random.Generator
) -> Backups:
    """Every order stops on its own bound of the true error, 1e-6; gamma is 0.95."""
    counts = {name: np.empty((len(sizes), worlds)) for name in (ALL_AT_ONCE, *ORDERS, PRIORITIZED)}
    looks = np.empty((len(sizes), worlds))
    for at in np.ndindex(looks.shape):
        world = random_world(sizes[at[0]], slip, rng=rng)
        mdp = grid_mdp(world)
        counts[ALL_AT_ONCE][at] = value_iteration(mdp, SWEEP_GAMMA, 1e-6).sweeps
        for name, order in ORDERS.items():
            counts[name][at] = _sweeps_in_place(mdp, partial(order, world, rng))
        found = prioritized_sweeping(mdp, SWEEP_GAMMA, 1e-6).backups / world.n_states
        counts[PRIORITIZED][at] = found
        each = np.mean([len(states) for states in predecessors(mdp)])
        looks[at] = 1 + found * (2 + each)
    return Backups(np.array(sizes), counts, looks)


def _sweeps_in_place(mdp: MDP, order: Callable[[], Ints]) -> int:
    """Sweeps in the orders given until no value is off by more than 1e-6."""
    v, sweeps, change = np.zeros(len(mdp.p)), 0, np.inf
    while SWEEP_GAMMA / (1 - SWEEP_GAMMA) * change > 1e-6:
        before, v = v, in_place_sweep(mdp, v, SWEEP_GAMMA, order())
        change, sweeps = float(np.abs(v - before).max()), sweeps + 1
    return sweeps


def _outwards(world: GridWorld) -> Ints:
    """The cells by their distance from the target."""
    row, col = np.divmod(np.arange(world.n_states), world.n_cols)
    to_row, to_col = divmod(world.target[0], world.n_cols)
    return np.argsort(np.abs(row - to_row) + np.abs(col - to_col), kind="stable")


ORDERS: dict[str, Callable[[GridWorld, np.random.Generator], Ints]] = {
    ROWS: lambda world, rng: np.arange(world.n_states),
    RANDOM: lambda world, rng: rng.permutation(world.n_states),
    OUTWARDS: lambda world, rng: _outwards(world),
}


def draw_backups(data: dict[str, Backups]) -> Picture:
    """Medians and 10-90 % bands against the size, a panel for each kind of world."""
    looks = {
        ALL_AT_ONCE: ("o-", COLOUR_OF[VALUE]),
        ROWS: ("s--", COLOUR_OF["in place"]),
        RANDOM: ("v:", COLOUR_OF["in place"]),
        OUTWARDS: ("D-", COLOUR_OF["in place"]),
        PRIORITIZED: ("^-", COLOUR_OF["prioritized sweeping"]),
    }
    panels = []
    for title, x in data.items():
        figure, axes = panel(title, (3.6, 3.4))
        for name, (look, colour) in looks.items():
            low, middle, high = np.quantile(x.counts[name], [0.1, 0.5, 0.9], axis=1)
            axes.fill_between(x.sizes, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.loglog(
                x.sizes, middle, look, color=colour, markersize=4, linewidth=1.3, label=name
            )
        axes.loglog(x.sizes, np.median(x.looks, axis=1), "-.", linewidth=1,
                    color=COLOUR_OF["prioritized sweeping"], label="… and its looks")  # fmt: skip
        axes.set_xticks(x.sizes, [f"{n}×{n}" for n in x.sizes])
        axes.minorticks_off()
        axes.set(xlabel="cells of the world", ylabel="backups a state", ylim=(0.6, 2000))
        panels.append(figure)
    panels[0].axes[0].legend(fontsize=7, loc="upper left", ncols=2)
    return picture(
        panels,
        "Backups a state against the size of the world. Where steps are certain, sweeping all"
        " states at once takes the most, in place from the target less, and prioritized sweeping"
        " about one. On a slippery floor the orders lie closer together.",
    )


# ------------------------------------------------------------------------------- benchmark


class Benchmark(NamedTuple):
    """What benchmarks/dynamic_programming.py measured at one gamma; NaN where it was not tried.

    n        (n,)            the worlds' sides
    seconds  method -> (n,)  until it returned, from its own model
    error    method -> (n,)  how far off its values can be, by their Bellman error; 1e-8 was asked
    over     method -> (n,)  seconds over quantecon's best, median of paired ratios
    """

    n: Floats
    seconds: dict[str, Floats]
    error: dict[str, Floats]
    over: dict[str, Floats]


def data_benchmark(record: dict[str, Any], gamma: float = 0.99) -> Benchmark:
    """The worlds of that gamma."""
    tables = record["worlds"][f"{gamma:g}"]
    methods = dict.fromkeys(name for table in tables.values() for name in table)

    def column(read: Callable[[dict[str, Any]], float]) -> dict[str, Floats]:
        return {
            name: np.array([read(t[name]) if name in t else np.nan for t in tables.values()])
            for name in methods
        }

    return Benchmark(
        np.array([float(n) for n in tables]),
        column(lambda row: row["model"]["seconds"]),
        column(lambda row: max(row["error_at_most"], 1e-15)),
        column(lambda row: row["model"]["over_quantecon"]["median"]),
    )


def random_over(record: dict[str, Any], method: str, gamma: float = 0.99) -> float:
    """The method's seconds over quantecon's best on the general MDP, median of paired ratios."""
    return float(record["random"][f"{gamma:g}"][method]["model"]["over_quantecon"]["median"])


def draw_benchmark(data: Benchmark, n: int = 50) -> Picture:
    """Seconds against the size of the world, and the error of what was returned at one size."""
    looks = {
        POLICY: ("o-", COLOUR_OF[POLICY]),
        TRUNCATED: ("s-", COLOUR_OF[TRUNCATED]),
        "grid stencil": ("D-", COLOUR_OF["grid stencil"]),
        "quantecon, policy iteration": ("o--", COLOUR_OF["quantecon"]),
        "quantecon, value iteration": ("v--", COLOUR_OF["quantecon"]),
        "quantecon, modified policy iteration": ("s--", COLOUR_OF["quantecon"]),
        "pymdptoolbox, value iteration": ("v:", COLOUR_OF["pymdptoolbox"]),
        "pymdptoolbox, modified policy iteration": ("s:", COLOUR_OF["pymdptoolbox"]),
        "pymdptoolbox, policy iteration": ("o:", COLOUR_OF["pymdptoolbox"]),
    }
    left, axes = panel("Seconds to return", (3.6, 3.6))
    right, errors = panel(f"… and how far off, {n}×{n}", (3.6, 3.6))
    at = int(np.flatnonzero(data.n == n)[0])
    for name, (look, colour) in looks.items():
        y = data.seconds.get(name, np.full(len(data.n), np.nan))
        seen = np.isfinite(y)
        if seen.any():
            axes.loglog(data.n[seen], y[seen], look, color=colour, markersize=4, linewidth=1.3,
                        label=_short(name))  # fmt: skip
        if seen[at]:
            errors.loglog(y[at], data.error[name][at], look[0], color=colour, markersize=6,
                          label=_short(name))  # fmt: skip
    axes.set_xticks(data.n, [f"{n:g}×{n:g}" for n in data.n])
    axes.minorticks_off()
    errors.axhline(1e-8, color="#000000", linewidth=0.8, linestyle=":")
    errors.annotate("what was asked for", (errors.get_xlim()[0], 1e-8), (2, 3),
                    textcoords="offset points")  # fmt: skip
    errors.set(xlabel="seconds", ylabel="error of the values, at most", ylim=(1e-16, 1e3))
    left.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return picture(
        [left, right],
        "Left: seconds against the size of the world; on the largest the grid stencil is first."
        " Right: error against seconds: ours and quantecon's modified policy iteration lie below"
        " the line that was asked for, pymdptoolbox's value iteration far above it.",
    )


def _short(method: str) -> str:
    for long, short in (
        ("truncated policy", "truncated"),
        ("modified policy", "modified"),
        (", ", " "),
        (" iteration", ""),
    ):
        method = method.replace(long, short)
    return method


# ------------------------------------------------------------------------------- recorded


def recorded_backups() -> dict[str, Any]:
    """The experiment in full: 20 worlds of each of four sizes, firm and slippery."""
    seed, found = 2025, {}
    for title, slip in (("certain steps", 0.0), ("slip 0.2", 0.2)):
        x = data_backups((5, 10, 15, 20), 20, slip, rng=np.random.default_rng(seed))
        found[title] = {
            "sizes": x.sizes.tolist(),
            "counts": {name: y.round(6).tolist() for name, y in x.counts.items()},
            "looks": x.looks.round(6).tolist(),
        }
    return {"seed": seed, "worlds": found}


def read_backups(record: dict[str, Any]) -> dict[str, Backups]:
    """The recorded experiment."""
    return {
        title: Backups(
            np.array(x["sizes"]),
            {name: np.array(y) for name, y in x["counts"].items()},
            np.array(x["looks"]),
        )
        for title, x in record["data"]["backups"]["worlds"].items()
    }


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"backups": recorded_backups}
RECORDED_MODULES = (
    "rlcourse.tabular.mdp",
    "rlcourse.tabular.gridworld",
    "rlcourse.tabular.asynchronous",
)
