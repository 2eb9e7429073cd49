"""Figures and experiments of the stochastic approximation chapter: data_* computes, draw_* shows.

Two parts stand in modules of their own, `step_conditions` and `rates`.

Shapes: B runs, T steps, n iterates kept, S states, N samples of a data set, M of a mini-batch.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.figures.tabular.iterates import HALF, gaussian, kept, log_steps, say, show_root
from rlcourse.figures.tabular.rates import Rates, data_rates
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.gridworld import ZHAO, GridWorld, closed_form, grid_mdp, value_iteration
from rlcourse.tabular.mdp import (
    Floats,
    Ints,
    action_values,
    deterministic_policy,
    greedy_sets,
    uniform_policy,
)
from rlcourse.tabular.sampling import walk
from rlcourse.tabular.stochastic_approximation import (
    Iterates,
    cubic,
    minibatch_gradient,
    noisy,
    robbins_monro,
    step_sizes,
    td_reading,
)

ROOT = 5 ** (1 / 3)  # of the cubic
GAMMA = 0.9

# ------------------------------------------------------------------------------- the cubic


def safe_interval(a: Floats) -> tuple[Floats, Floats]:
    """The w from which a noise-free step on w³ - 5 leads nearer to the root  (eq-safe).

    a (w² + w w* + w*²) < 2, whose solutions lie around -w*/2; none is left if a is too large.
    """
    half = np.sqrt(np.maximum(2 / a - 0.75 * ROOT**2, 0))
    return -ROOT / 2 - half, -ROOT / 2 + half


def cubic_runs(
    offset: float, sigma: float, runs: int, steps: int, *, rng: np.random.Generator,
    keep: Ints | None = None,
) -> Iterates:  # fmt: skip
    """Robbins-Monro on w³ - 5 from w_1 = 0 with a_k = 1/(k + offset)."""
    noise = gaussian(steps, runs, sigma, rng=rng)
    return robbins_monro(
        noisy(cubic), np.zeros(runs), step_sizes(steps, offset=offset), noise, keep
    )


def draw_escape(
    *, rng: np.random.Generator, offsets: tuple[float, ...] = (0.0, 1.0), runs: int = 10,
    steps: int = 10,
) -> Picture:  # fmt: skip
    """Runs on w³ - 5 and the interval from which a step leads nearer, for each offset."""
    panels = []
    for offset in offsets:
        found = cubic_runs(offset, 1.0, runs, steps, rng=rng)
        name = f"k + {offset:g}" if offset else "k"
        figure, axes = panel(f"$a_k$ = 1/{f'({name})' if offset else name}", HALF)
        k = np.arange(1, steps + 2)
        low, high = safe_interval(1 / (k + offset))
        axes.fill_between(k, low, high, color=GREEN, alpha=0.2, linewidth=0)
        for b in range(runs):
            path = found.w[:, b]
            colour, look = (RED, "--") if found.diverged[b] else (BLUE, "-")
            out = np.flatnonzero(~(np.abs(path) < 20))
            path = path[: out[0]] if len(out) else path
            axes.plot(k[: len(path)], path, look, color=colour, linewidth=1)
            if len(out):
                axes.plot(k[len(path) - 1], path[-1], "x", color=RED, markersize=7)
        show_root(axes, ROOT, at=0.88)
        say(axes, "a step leads nearer", (4.6, -2.2), "#000000")
        axes.set(xlabel="step k", ylabel="w", ylim=(-8, 8), xlim=(1, steps + 1))
        panels.append(figure)
    return picture(
        panels,
        "A green region, from which a step leads nearer to the root, widens with the steps. With"
        " 1/k the second iterate, about 5, lies above it, and all runs are thrown out; with 1/(k+1)"
        " some are, and the others reach the root.",
    )


def exact_share(offset: float, sigma: float, *, reach: float = 6.0, n: int = 801) -> float:
    """P(a run on w³ - 5 never diverges), by quadrature: the density of w_k, step after step.

    Beyond ±6 nothing comes back, and after 15 steps nothing within escapes any more: wider grids,
    finer ones and more steps give the same six digits.
    """
    w = np.linspace(-reach, reach, n)
    h, a = w[1] - w[0], 1 / (1 + offset)
    density = np.exp(-(((w - 5 * a) / (a * sigma)) ** 2) / 2) / (a * sigma * np.sqrt(2 * np.pi))
    for k in range(2, 16):
        a = 1 / (k + offset)
        z = (w[:, None] - (w - a * cubic(w))) / (a * sigma)
        density = h * np.exp(-(z**2) / 2) @ density / (a * sigma * np.sqrt(2 * np.pi))
    return min(1.0, float(density.sum() * h))


class Shares(NamedTuple):
    """How many runs on w³ - 5 converge, for each offset (row) and σ (column).

    share  (groups, offsets, sigmas) of each group of runs
    exact  (offsets, sigmas)         by quadrature
    """

    offsets: tuple[float, ...]
    sigmas: tuple[float, ...]
    share: Floats
    exact: Floats


def data_shares(
    *, groups: int, runs: int, rng: np.random.Generator, offsets: tuple[float, ...] = (0, 1, 2),
    sigmas: tuple[float, ...] = (1.0, 0.5),
) -> Shares:  # fmt: skip
    """Sampled and exact shares; a run that hasn't diverged after 60 steps has converged."""
    last = np.array([60])
    share = np.array([
        [[1 - cubic_runs(o, s, runs, 60, rng=rng, keep=last).diverged.mean() for s in sigmas]
         for o in offsets]
        for _ in range(groups)
    ])  # fmt: skip
    return Shares(offsets, sigmas, share, exact_shares(offsets, sigmas))


def exact_shares(offsets: tuple[float, ...], sigmas: tuple[float, ...]) -> Floats:
    """`exact_share` of each offset (row) and σ (column)."""
    return np.array([[exact_share(o, s) for s in sigmas] for o in offsets])


def draw_shares(data: Shares) -> Picture:
    """Bars of the sampled shares with the exact ones as marks."""
    figure, axes = panel("Runs on w³ − 5 that converge", (4.6, 2.4))
    at = np.arange(len(data.offsets))
    for j, sigma in enumerate(data.sigmas):
        y = 100 * data.share[..., j].mean(0)
        colour = (BLUE, OCHRE)[j]
        bars = axes.barh(at + 0.4 * j, y, 0.36, color=colour, hatch="///" if j else "",
                         label=f"σ = {sigma:g}")  # fmt: skip
        axes.bar_label(bars, [f"{x:.3g} %" for x in y], padding=6, fontsize=8)
        axes.plot(100 * data.exact[:, j], at + 0.4 * j, "D", color="#000000", markersize=4,
                  clip_on=False)  # fmt: skip
    labels = [f"1/(k + {o:g})" if o else "1/k" for o in data.offsets]
    axes.set_yticks(at + 0.2, labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 118), xlabel="% of runs  (◆ exact, by quadrature)")
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.legend(loc="upper right")
    return picture(
        figure,
        "With steps 1/k hardly any run converges, with 1/(k+1) about three of four, with 1/(k+2)"
        " all; the exact marks lie at the ends of the bars.",
    )


# ------------------------------------------------------------------------------- gradients


class Batches(NamedTuple):
    """A line fitted to N points by SGD, mini-batches and BGD, from the same start and steps.

    x, y      (N, 2), (N,) the data
    best      (2,) the least squares solution
    k         (n,) iterates kept
    w         batch size M -> (n, B, 2) iterates
    """

    x: Floats
    y: Floats
    best: Floats
    k: Ints
    w: dict[int, Floats]

    def error(self, m: int) -> Floats:
        """RMS distance from the solution over the runs: (n,)."""
        return np.asarray(np.sqrt(((self.w[m] - self.best) ** 2).sum(-1).mean(-1)))


def data_points(n: int, *, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """N points near a line: rows (1, x), values y, and the least squares solution."""
    z = rng.normal(0, 1, n)
    x = np.stack([np.ones(n), z], axis=1)
    y = 1 + 2 * z + rng.normal(0, 1, n)
    return x, y, np.asarray(np.linalg.lstsq(x, y)[0], dtype=np.float64)


def data_batches(
    *, rng: np.random.Generator, sizes: tuple[int, ...] = (1, 10, 100), n: int = 100,
    steps: int = 1000, runs: int = 50,
) -> Batches:  # fmt: skip
    """The same function with three batch sizes; the full batch takes every row once."""
    x, y, best = data_points(n, rng=rng)
    k, start, w = kept(steps), np.tile([8.0, -6.0], (runs, 1)), {}
    for m in sizes:
        rows = (
            np.tile(np.arange(n), (runs, 1)) if m == n else rng.integers(n, size=(runs, m))
            for _ in range(steps)
        )
        a = step_sizes(steps, c=2, offset=9)
        w[m] = robbins_monro(lambda w, i: minibatch_gradient(w, x, y, i), start, a, rows, k).w
    return Batches(x, y, best, k, w)


def relative_noise(data: Batches, distance: float) -> float:
    """Noise of a one-row gradient over the full gradient, at a distance from the solution."""
    w = data.best + distance * np.array([0.8, -0.6])
    each = minibatch_gradient(
        np.tile(w, (len(data.y), 1)), data.x, data.y, np.arange(len(data.y))[:, None]
    )
    full = each.mean(0)
    return float(np.sqrt(((each - full) ** 2).sum(-1).mean() / (full**2).sum()))


NAMES = {1: "SGD", 10: "mini-batch of 10", 100: "BGD"}


def draw_batches(data: Batches) -> Picture:
    """Paths in the plane of the two unknowns, and errors against steps and samples read."""
    looks = {1: (RED, "-", 0.9), 10: (PURPLE, "--", 1.4), 100: (BLUE, "-", 2.2)}
    left, axes = panel("Paths to the solution", (3.4, 3.0))
    u, v = np.meshgrid(np.linspace(-1, 9, 25), np.linspace(-7, 4, 25))
    grid = np.stack([u, v], axis=-1) - data.best
    loss = np.einsum("...i,ij,...j->...", grid, data.x.T @ data.x / len(data.y), grid)
    axes.contour(u, v, loss, levels=[1, 8, 30, 80], colors=GREY, linewidths=0.6)
    first = data.k < 300
    for m, (colour, look, width) in looks.items():
        axes.plot(*data.w[m][first, 0].T, look, color=colour, linewidth=width, label=NAMES[m])
    axes.plot(*data.best, "*", color="#000000", markersize=9)
    axes.set(xlabel="intercept of the line", ylabel="slope of the line")
    axes.legend(loc="lower left", fontsize=7.5)
    panels = [left]
    for title, cost in (("Error against steps", False), ("Error against samples read", True)):
        figure, axes = panel(title, (3.4, 3.0))
        for m, (colour, look, width) in looks.items():
            at = (data.k + 1) * (m if cost else 1)
            axes.loglog(at, data.error(m), look, color=colour, linewidth=width, label=NAMES[m])
        log_steps(axes, "samples read" if cost else "step k")
        axes.set_ylim(8e-3, 20)
        if not cost:
            axes.set_ylabel("RMS distance from the solution")
        axes.legend(fontsize=7.5, loc="lower left")
        panels.append(figure)
    figure, axes = panel("Noise of one row over the gradient", (3.4, 3.0))
    far = np.geomspace(0.03, 30, 12)
    axes.loglog(far, [relative_noise(data, d) for d in far], "o-", color=RED, markersize=3.5)
    axes.axhline(1, color="#000000", linestyle="--", linewidth=0.9)
    log_steps(axes, "distance from the solution")
    axes.invert_xaxis()
    return picture(
        [*panels, figure],
        "From far away SGD, mini-batches and BGD take the same way to the star; near it SGD"
        " jitters. For each step a larger batch is nearer; for each sample read, at first, SGD is."
        " The noise of one row over the gradient is about 1 far away and grows near the star.",
    )


# ------------------------------------------------------------------------------- the bridge


class Bridge(NamedTuple):
    """TD(0) as Robbins-Monro on Zhao's world under the uniform policy.

    k      (n,) iterates kept
    error  step sizes -> (n, B) RMS over the states of v - v_π
    v      (S,) the last values of the best of them, averaged over the runs
    exact  (S,)
    """

    k: Ints
    error: dict[str, Floats]
    v: Floats
    exact: Floats


def transitions(
    world: GridWorld, pi: Floats, steps: int, runs: int, *, rng: np.random.Generator
) -> list[tuple[Any, ...]]:
    """One (s, r, s_next, terminated), each (B,), a step: s drawn uniformly, then one step of pi."""
    start = rng.integers(0, world.n_states, steps * runs)
    seen = walk(grid_mdp(world), pi, start, steps=1, rng=rng)
    shaped = (x.reshape(steps, runs) for x in (seen.s, seen.r, seen.s_next, seen.terminated))
    return list(zip(*shaped, strict=True))


def learn(
    reading: Callable[..., Floats], seen: list[tuple[Any, ...]], a: Floats, k: Ints, n_states: int
) -> Floats:
    """Values (n, B, S) by Robbins-Monro from 0, with td_reading or a suspect in its place."""
    start = np.zeros((len(seen[0][0]), n_states))
    return robbins_monro(lambda v, x: reading(v, *x, GAMMA), start, a, seen, k).w


BRIDGE: dict[str, Callable[[int], Floats]] = {
    "1/k": lambda steps: step_sizes(steps, c=25, offset=25),
    "constant step": lambda steps: step_sizes(steps, c=0.3, p=0),
    "c/k": lambda steps: step_sizes(steps, c=25 * 30, offset=25 * 60),
}
"""At visit n of a state, about every 25th step: 1/(1 + n), a constant, and 30/(60 + n)."""


def data_bridge(*, rng: np.random.Generator, steps: int = 30_000, runs: int = 10) -> Bridge:
    """TD(0) from states drawn uniformly, with three sequences of step sizes on the same samples."""
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    exact, k = closed_form(mdp, pi, GAMMA), kept(steps)
    seen = transitions(ZHAO, pi, steps, runs, rng=rng)
    error, v = {}, exact
    for name, a in BRIDGE.items():
        w = learn(td_reading, seen, a(steps), k, ZHAO.n_states)
        error[name], v = np.sqrt(((w - exact) ** 2).mean(-1)), w[-1].mean(0)
    return Bridge(k, error, v, exact)


def draw_bridge(data: Bridge) -> Picture:
    """The errors, and the values found beside the exact ones."""
    left, axes = panel("TD(0) on Zhao's world, uniform policy", HALF)
    looks = {"1/k": (BLUE, "-"), "constant step": (RED, "--"), "c/k": (GREEN, "-")}
    words = {"1/k": "1/k", "constant step": "0.3", "c/k": "30/(60 + k)"}
    for name, (colour, look) in looks.items():
        error = data.error[name]
        low, high = np.quantile(error, [0.1, 0.9], axis=1)
        axes.fill_between(data.k + 1, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.loglog(data.k + 1, np.median(error, 1), look, color=colour, label=words[name])
    log_steps(axes, "transitions seen")
    axes.set(ylabel="RMS error of the values", xlim=(100, None))
    axes.legend(
        loc="lower left", title="step at a state's visit k", title_fontsize=7.5, fontsize=7.5
    )
    right = draw_map(ZHAO, v=data.v, title="what 30/(60 + k) found")
    return picture(
        [left, right],
        "Left: TD's error stops at a floor with a constant step, falls slowly with 1/k, fast with"
        " 30/(60+k). Right: the values it found, on the map.",
    )


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """A suspect reading beside the right one, on the same transitions.

    k             (n,) iterates kept
    suspect       floor -> (n,) RMS error over states and runs
    right         floor -> (n,) the same of td_reading
    v, exact      (S,) what the suspect believes on the slippery floor, and the truth
    loss, least   mean square of the temporal differences under v, and under exact
    same_actions  whether both have the same best actions in every cell
    """

    k: Ints
    suspect: dict[str, Floats]
    right: dict[str, Floats]
    v: Floats
    exact: Floats
    loss: float
    least: float
    same_actions: bool


SMALL = GridWorld(2, 3, forbidden=(1,), target=(5,), terminal=True)
"""Two rows of three cells: the swamp above, the star at the lower right, where an episode ends."""
FLOORS = {"dry": SMALL, "slippery": replace(SMALL, slip=0.2)}


def best_actions(world: GridWorld, v: Floats) -> Ints:
    """The first greedy action in each state, one look ahead from v: (S,)."""
    return np.asarray(greedy_sets(action_values(grid_mdp(world), v, GAMMA)).argmax(-1))


def mean_square_td(world: GridWorld, pi: Floats, v: Floats) -> float:
    """E[δ²] over states drawn uniformly and all that may follow."""
    mdp = grid_mdp(world)
    delta = mdp.r + GAMMA * ~mdp.terminated * v[mdp.s_next] - v[:, None, None]
    return float((pi[:, :, None] * mdp.p * delta**2).sum((1, 2)).mean())


def data_hunt(
    reading: Callable[..., Floats], *, rng: np.random.Generator, steps: int = 20_000, runs: int = 10
) -> Hunt:
    """Evaluate the best arrows with a suspect's reading, on a dry and on a slippery floor."""
    k, n, slippery = kept(steps, 30), SMALL.n_states, FLOORS["slippery"]
    arrows = best_actions(slippery, value_iteration(grid_mdp(slippery), GAMMA).v)
    pi = deterministic_policy(arrows, SMALL.n_actions)
    suspect: dict[str, Floats] = {}
    right: dict[str, Floats] = {}
    v = exact = np.zeros(n)
    a = step_sizes(steps, c=n * 40, offset=n * 80)
    for name, world in FLOORS.items():
        seen = transitions(world, pi, steps, runs, rng=rng)
        exact = closed_form(grid_mdp(world), pi, GAMMA)
        for f, table in ((td_reading, right), (reading, suspect)):
            w = learn(f, seen, a, k, n)
            table[name], v = np.sqrt(((w - exact) ** 2).mean((1, 2))), w[-1].mean(0)
    loss, least = (mean_square_td(slippery, pi, x) for x in (v, exact))
    same = bool((best_actions(slippery, v) == best_actions(slippery, exact)).all())
    return Hunt(k, suspect, right, v, exact, loss, least, same)


LEAST = 1e-9  # a smaller error is none: there curves end


def draw_hunt(data: Hunt) -> Picture:
    """Errors on both floors: where the suspect is right, and where it isn't."""
    panels = []
    titles = {"dry": "Its unit test: a dry floor", "slippery": "In use: a slippery floor"}
    for name, title in titles.items():
        figure, axes = panel(title, HALF)
        for words, error, colour, look in (
            ("td_reading", data.right[name], GREEN, "-"),
            ("the suspect", data.suspect[name], RED, "--"),
        ):
            shown = error > LEAST
            axes.loglog(data.k[shown] + 1, error[shown], look, color=colour, label=words)
        log_steps(axes, "transitions seen")
        axes.set(xlim=(10, None), ylabel="RMS error of the values")
        if name == "slippery":
            axes.set_yticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
        axes.legend(loc="lower left")
        panels.append(figure)
    return picture(
        panels,
        "On a dry floor the error of the suspect falls to nothing, as the right one's does, only"
        " later; on a slippery floor it falls at first, then stays where it is.",
    )


# ------------------------------------------------------------------------------- recorded


def recorded_rates() -> dict[str, Any]:
    """Rates in full: 20 groups of 100 runs, 30 000 steps."""
    seed = 2025
    rng = np.random.default_rng(seed)
    data = data_rates(steps=30_000, groups=20, runs=100, rng=rng)
    return {"seed": seed, "runs": 2000, "settings": [list(s) for s in data.settings]} | {
        name: np.asarray(getattr(data, name)).round(6).tolist()
        for name in ("k", "error", "exact", "averaged")
    }


def recorded_shares() -> dict[str, Any]:
    """Shares in full: 20 groups of 10 000 runs."""
    seed = 2026
    data = data_shares(groups=20, runs=10_000, rng=np.random.default_rng(seed))
    found = {name: np.asarray(x).tolist() for name, x in data._asdict().items()}
    return {"seed": seed, "runs": 200_000} | found


def read_rates(record: dict[str, Any]) -> Rates:
    """The rates of a recorded run."""
    x = record["data"]["rates"]
    settings = tuple((float(c), float(p)) for c, p in x["settings"])
    return Rates(settings, *(np.array(x[name]) for name in ("k", "error", "exact", "averaged")))


def averaged_error(data: Rates) -> tuple[float, float]:
    """RMS error of the averaged iterates at the end, and its standard error from the groups."""
    square = data.averaged[:, -1] ** 2
    error = float(np.sqrt(square.mean()))
    return error, float(square.std(ddof=1) / np.sqrt(len(square)) / (2 * error))


def read_shares(record: dict[str, Any]) -> Shares:
    """The shares of a recorded run."""
    x = record["data"]["shares"]
    share, exact = np.array(x["share"]), np.array(x["exact"])
    return Shares(tuple(x["offsets"]), tuple(x["sigmas"]), share, exact)


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "rates": recorded_rates,
    "shares": recorded_shares,
}
RECORDED_MODULES = (
    "rlcourse.figures.tabular.iterates",
    "rlcourse.figures.tabular.rates",
    "rlcourse.tabular.stochastic_approximation",
)
