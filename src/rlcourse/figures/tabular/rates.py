"""How fast the error of Robbins-Monro falls: measured slopes, exact errors, averaging.

Shapes: B runs, T steps, n iterates kept.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.figures.tabular.iterates import gaussian, kept, log_steps, say
from rlcourse.plot import BLUE, GREEN, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats, Ints
from rlcourse.tabular.stochastic_approximation import (
    exact_moments,
    incremental_mean,
    noisy,
    robbins_monro,
    step_sizes,
)


class Rates(NamedTuple):
    """How the root mean square error of w_k falls, for a_k = c/k^p on the line g(w) = w.

    settings  (c, p) of each row
    k         (n,) iterates kept
    error     (settings, groups, n) RMS over the runs of a group
    exact     (settings, n) from the exact mean and variance
    averaged  (groups, n) RMS of the average of w_1 .. w_k, for p = 0.7
    """

    settings: tuple[tuple[float, float], ...]
    k: Ints
    error: Floats
    exact: Floats
    averaged: Floats


POWERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FACTORS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
SETTINGS = (*((1.0, p) for p in POWERS), *((c, 1.0) for c in FACTORS if c != 1))
AVERAGED = 0.7  # the power whose iterates are averaged as well


def root_mean_square(w: Floats, groups: int) -> Floats:
    """(n, B) -> (groups, n): over the runs of each group."""
    return np.asarray(np.sqrt((w.reshape(len(w), groups, -1) ** 2).mean(-1)).T)


def exact_error(c: float, p: float, steps: int, start: float = 1.0, sigma: float = 1.0) -> Floats:
    """RMS error of w_1 .. w_{T+1} on the line g(w) = w, from the exact moments: (T + 1,)."""
    a = step_sizes(steps, c=c, p=p)
    exact = exact_moments(start, a, a, sigma)
    return np.asarray(np.sqrt(exact.mean**2 + exact.variance))


def data_rates(
    *, steps: int, groups: int, runs: int, rng: np.random.Generator,
    settings: tuple[tuple[float, float], ...] = SETTINGS,
) -> Rates:  # fmt: skip
    """g(w) = w from w_1 = 1 with noise N(0, 1): `groups` times `runs` runs of each setting."""
    k, w, line = kept(steps, 30), np.ones(groups * runs), noisy(lambda w: w)
    error, exact = np.empty((len(settings), groups, len(k))), np.empty((len(settings), len(k)))
    for i, (c, p) in enumerate(settings):
        noise = gaussian(steps, len(w), 1.0, rng=rng)
        path = robbins_monro(line, w, step_sizes(steps, c=c, p=p), noise, k).w
        error[i], exact[i] = root_mean_square(path, groups), exact_error(c, p, steps)[k]
    few = w[: groups * max(1, runs // 10)]  # all their iterates are held to be averaged
    noise = gaussian(steps, len(few), 1.0, rng=rng)
    whole = robbins_monro(line, few, step_sizes(steps, p=AVERAGED), noise).w
    averaged = root_mean_square(incremental_mean(whole.T).T[k], groups)
    return Rates(settings, k, error, exact, averaged)


def slopes(data: Rates, since: int = 300) -> Floats:
    """Slope of log error against log step from k = `since` on, (settings, groups)."""
    late = data.k + 1 >= since
    x = np.log(data.k[late] + 1)
    y = np.log(data.error[..., late])
    return np.asarray(((x - x.mean()) * y).sum(-1) / ((x - x.mean()) ** 2).sum())


def theory(c: float, p: float) -> float:
    """The slope in the limit, for a line of slope 1: -p/2, and -min(c, 1/2) for p = 1."""
    return -min(c, 0.5) if p == 1 else -p / 2


def power_of_k(c: float, p: float) -> str:
    """c/k^p in words."""
    return f"{c:g}/k" if p == 1 else f"{c:g}/$k^{{{p:g}}}$"


def draw_rates(data: Rates) -> Picture:
    """Errors of some settings, and the slopes of all."""
    left, axes = panel("Error against steps", (3.4, 3.0))
    x = data.k + 1
    shown = (((1.0, 1.0), BLUE, "o"), ((1.0, 0.6), GREEN, "s"), ((0.2, 1.0), RED, "^"))
    for (c, p), colour, mark in shown:
        i = data.settings.index((c, p))
        y = np.sqrt((data.error[i] ** 2).mean(0))
        axes.loglog(x, data.exact[i], color=colour, linewidth=1)
        axes.loglog(x[::2], y[::2], mark, color=colour, markersize=3.5)
        say(
            axes,
            power_of_k(c, p),
            (x[-1], y[-1]),
            colour,
            xytext=(5, -3),
            textcoords="offset points",
        )
    log_steps(axes)
    axes.set(ylabel="RMS error of w", xlim=(1, 15 * x[-1]))
    middle, axes = slope_panel("$1/k^p$", data, [(1.0, p) for p in POWERS], 1)
    axes.set_xlabel("power p")
    lower, axes = slope_panel("c/k", data, [(c, 1.0) for c in FACTORS], 0)
    axes.set_xlabel("factor c times the slope of g")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(FACTORS, [f"{c:g}" for c in FACTORS])
    return picture(
        [left, middle, lower, averages_panel(data)],
        "Errors fall along straight lines on log axes, slowly for the steps 0.2/k. Measured slopes"
        " lie on the line −p/2; for steps c/k the slope is −c until c is one half, and −1/2 from"
        " there on. The average of slow iterates is nearly as good as the best step.",
    )


def averages_panel(data: Rates) -> Figure:
    """Iterates with p = 0.7, their running average, and the best step."""
    figure, axes = panel("Averaging", (3.4, 3.0))
    x, rows = data.k + 1, data.settings.index
    mean = np.sqrt((data.averaged**2).mean(0))
    axes.loglog(x, data.exact[rows((1.0, AVERAGED))], color=GREEN, label=f"$1/k^{{{AVERAGED:g}}}$")
    axes.loglog(x, mean, "D", color=PURPLE, markersize=3.5, label="its average")
    axes.loglog(x, data.exact[rows((1.0, 1.0))], "--", color=BLUE, label="1/k, the best")
    log_steps(axes)
    axes.legend(loc="lower left")
    return figure


def slope_panel(
    title: str, data: Rates, rows: list[tuple[float, float]], by: int
) -> tuple[Figure, Axes]:
    """Measured slopes with the band of eight of ten groups, and the theory's line."""
    figure, axes = panel(f"Slope of the error with {title}", (3.4, 3.0))
    x = [row[by] for row in rows]
    measured = slopes(data)[[data.settings.index(row) for row in rows]]
    low, middle, high = np.quantile(measured, [0.1, 0.5, 0.9], axis=1)
    axes.errorbar(x, middle, (middle - low, high - middle), fmt="o", color=PURPLE, markersize=4,
                  capsize=3, linewidth=1.2)  # fmt: skip
    fine = np.union1d(np.linspace(x[0], x[-1], 15), x)
    limit = [theory(1.0, v) if by else theory(v, 1.0) for v in fine]
    axes.plot(fine, limit, "--", color="#000000", linewidth=1)
    axes.set_ylim(-0.56, 0)
    axes.set_yticks([-0.5, -0.4, -0.3, -0.2, -0.1, 0])
    return figure, axes


def draw_rate(
    c: float = 0.3, p: float = 1.0, sigma: float = 1.0, runs: int = 200, steps: int = 2000
) -> Picture:
    """Runs of one setting beside the exact error: for sliders."""
    k, rng = kept(steps, 24), np.random.default_rng(0)
    noise = gaussian(steps, runs, sigma, rng=rng)
    a = step_sizes(steps, c=c, p=p)
    got = robbins_monro(noisy(lambda w: w), np.ones(runs), a, noise, k)
    exact = exact_error(c, p, steps, sigma=sigma)[k]
    figure, axes = panel(f"Steps {power_of_k(c, p)}, σ = {sigma:g}", (4.6, 3.0))
    size = np.abs(got.w)
    low, high = np.quantile(size, [0.1, 0.9], axis=1)
    axes.fill_between(k + 1, low, high, color=BLUE, alpha=0.22, linewidth=0)
    axes.loglog(k + 1, np.sqrt((size**2).mean(1)), "o", color=BLUE, markersize=4)
    axes.loglog(k + 1, exact, "--", color="#000000", linewidth=1)
    log_steps(axes)
    axes.set_ylabel("distance from the root")
    end = len(k) // 2
    fit = float(np.polyfit(np.log(k[end:] + 1), np.log(exact[end:]), 1)[0])
    words = f"slope {fit:.2f}".replace("-", "−")
    say(axes, words, (0.04, 0.06), BLUE, xycoords="axes fraction")
    return picture(figure, f"Error of {runs} runs with c = {c:g}, p = {p:g}: {words}.")
