"""Figures of divergence: Baird's counterexample, what makes it stable, gradient TD.

Shapes: F weights, B seeds, T steps.
"""

from typing import Any, NamedTuple

import numpy as np

from rlcourse.deep.counterexamples import Counterexample, baird
from rlcourse.deep.function_approximation import (
    norm,
    on_policy_distribution,
    projected_bellman_error,
    value_error,
)
from rlcourse.deep.linear_learning import Method, follow
from rlcourse.deep.mean_updates import (
    LinearSystem,
    gradient_td_system,
    largest_growth,
    mean_path,
    td_system,
)
from rlcourse.figures.tabular.scales import spaced
from rlcourse.plot import BLUE, COLOUR_OF, GREEN, GREY, HALF, OCHRE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats, Ints, policy_model
from rlcourse.tabular.sampling import walk

GAMMA = 0.99


class Triad(NamedTuple):
    """Baird's example, and what happens without one of the three.

    weights  (T + 1, 8)  of one learner of semi-gradient TD, off-policy
    t        (n,)  numbers of steps
    error    case -> (n,) root mean square error after so many steps, in the mean, over the states
             that are visited; infinite where it is too large for a number
    growth   case -> largest real part of -A's eigenvalues
    lost     the share of the learners whose error has grown
    """

    weights: Floats
    t: Ints
    error: dict[str, Floats]
    growth: dict[str, float]
    lost: float


def visits(world: Counterexample, policy: Floats) -> Floats:
    """How often a policy sees each state."""
    n = len(world.phi)
    return on_policy_distribution(policy_model(world.mdp, policy).p, np.full(n, 1 / n))


class Case(NamedTuple):
    """A mean update, the features, the first weights and how often each state is visited."""

    system: LinearSystem
    phi: Floats
    w: Floats
    d: Floats


def triad_cases(world: Counterexample) -> dict[str, Case]:
    """All three together, and each of them removed."""
    model, d = policy_model(world.mdp, world.pi), visits(world, world.behaviour)
    on, table = visits(world, world.pi), np.eye(7)
    returns = LinearSystem(world.phi.T * d @ world.phi, np.zeros(8))  # every return is 0
    return {
        "all three": Case(td_system(world.phi, *model, d, GAMMA), world.phi, world.w, d),
        "on-policy": Case(td_system(world.phi, *model, on, GAMMA), world.phi, world.w, on),
        "no bootstrapping": Case(returns, world.phi, world.w, d),
        "a table": Case(td_system(table, *model, d, GAMMA), table, world.phi @ world.w, d),
    }


def data_triad(
    *, rng: np.random.Generator, steps: int = 1000, seeds: int = 50, alpha: float = 0.01
) -> Triad:
    """Sutton & Barto's figure 11.2, and the mean updates of four cases."""
    world = baird()
    x = walk(world.mdp, world.behaviour, np.arange(seeds) % 7, steps=steps, rng=rng)
    w = follow(
        x, world.phi, "td", alpha=alpha, gamma=GAMMA, rho=world.pi / world.behaviour, w=world.w
    )
    t = np.append(0, spaced(1_000_000, 40))
    error, growth = {}, {}
    for name, case in triad_cases(world).items():
        step = np.eye(len(case.w)) - alpha * case.system.a
        with np.errstate(over="ignore", invalid="ignore"):
            w_t = [np.linalg.matrix_power(step, int(k)) @ case.w for k in t]
            found = np.sqrt(norm(np.array(w_t) @ case.phi.T, case.d))
        error[name] = np.nan_to_num(found, nan=np.inf)
        growth[name] = largest_growth(case.system.a)
    size = np.sqrt(value_error(w, world.phi, np.zeros(7), np.full(7, 1 / 7)))
    return Triad(w[:, 0], t, error, growth, float((size[-1] > size[0]).mean()))


LOOK_OF = {
    "all three": (RED, "-"),
    "on-policy": (BLUE, "--"),
    "no bootstrapping": (COLOUR_OF["Monte Carlo"], "-."),
    "a table": (GREEN, ":"),
}


def draw_triad(data: Triad) -> Picture:
    """One learner's weights, and the error of the mean without each of the three."""
    left, axes = panel("Weights of one learner", HALF)
    t = np.arange(0, len(data.weights), max(1, len(data.weights) // 25))
    for i in range(6):
        axes.plot(t, data.weights[t, i], color=GREY, linewidth=1)
    axes.plot(t, data.weights[t, 6], "--", color=OCHRE)
    axes.plot(t, data.weights[t, 7], color=RED)
    end = data.weights[t[-1]]
    for y, words, colour in (
        (end[7], "w₈", RED),
        (end[:6].max(), "w₁ … w₆", GREY),
        (end[6], "w₇", OCHRE),
    ):
        axes.annotate(
            words, (t[-1], y), (-4, 5), textcoords="offset points", color=colour, ha="right",
            weight="bold",
        )  # fmt: skip
    axes.set(xlabel="steps", ylabel="weight")
    right, axes = panel("Take any one away", HALF)
    for name, error in data.error.items():
        colour, look = LOOK_OF[name]
        shown = (error < 1e4) & (error > 1e-3) & (data.t > 0)
        axes.loglog(data.t[shown], error[shown], look, color=colour, label=name)
    axes.set(xlabel="steps", ylabel="RMS error of v, in the mean", ylim=(5e-3, 2e3))
    axes.legend(fontsize=7.5, loc="lower left")
    return picture(
        [left, right],
        "Left: the weights of a learner on Baird's example grow without bound. Right: the error"
        " grows if all three come together, and does not if any one of them is removed.",
    )


class Correction(NamedTuple):
    """Gradient TD on Baird's example; VE and PBE are root errors.

    ve, pbe   method -> (T + 1, B) of B sampled learners
    ve_mean   method -> (T + 1,) of the mean update
    slowest   method -> the smallest eigenvalue above 0 of the joined mean update
    """

    ve: dict[str, Floats]
    pbe: dict[str, Floats]
    ve_mean: dict[str, Floats]
    slowest: dict[str, float]


METHOD_OF: dict[str, Method] = {"TDC": "tdc", "GTD2": "gtd2"}


def data_correction(
    *,
    rng: np.random.Generator,
    steps: int = 1000,
    seeds: int = 50,
    alpha: float = 0.005,
    beta: float = 0.05,
) -> Correction:
    """Sutton & Barto's figure 11.5: TDC with the printed steps, GTD2 beside it."""
    world, d = baird(), np.full(7, 1 / 7)
    model, rho = policy_model(world.mdp, world.pi), world.pi / world.behaviour
    x = walk(world.mdp, world.behaviour, np.arange(seeds) % 7, steps=steps, rng=rng)
    system, c = td_system(world.phi, *model, d, GAMMA), world.phi.T * d @ world.phi
    ve: dict[str, Floats] = {}
    pbe: dict[str, Floats] = {}
    ve_mean: dict[str, Floats] = {}
    slowest = {}
    for name, method in METHOD_OF.items():
        settings: Any = {"alpha": alpha, "beta": beta, "gamma": GAMMA, "rho": rho, "w": world.w}
        w = follow(x, world.phi, method, **settings)
        joined = gradient_td_system(system, c, beta / alpha, method)
        path = mean_path(joined, np.concatenate([world.w, np.zeros(8)]), alpha, steps)
        ve[name] = np.sqrt(value_error(w, world.phi, np.zeros(7), d))
        pbe[name] = np.sqrt(projected_bellman_error(w, world.phi, *model, d, GAMMA))
        ve_mean[name] = np.sqrt(value_error(path[:, :8], world.phi, np.zeros(7), d))
        real = np.linalg.eigvals(joined.a).real
        slowest[name] = float(real[real > 1e-9].min())
    return Correction(ve, pbe, ve_mean, slowest)


def draw_correction(data: Correction) -> Picture:
    """Both root errors of both methods: medians, bands of eight of ten seeds, the exact mean."""
    figures = []
    for title, errors, label in (
        ("Projected Bellman error", data.pbe, "√PBE"),
        ("Value error", data.ve, "√VE"),
    ):
        figure, axes = panel(title, HALF)
        for name, error in errors.items():
            t = np.arange(0, len(error), max(1, len(error) // 20))
            low, middle, high = np.quantile(error[t], [0.1, 0.5, 0.9], axis=1)
            colour = COLOUR_OF[name]
            axes.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(t, middle, "-" if name == "TDC" else "--", color=colour, label=name)
            if label == "√VE":
                axes.plot(t, data.ve_mean[name][t], color="#000000", linewidth=0.9, linestyle=":")
        axes.set(xlabel="steps", ylabel=label, ylim=(0, None))
        axes.legend(fontsize=7.5)
        figures.append(figure)
    return picture(
        figures,
        "On Baird's example the projected Bellman error of TDC and GTD2 falls to nearly zero; the"
        " value error falls, and then stays far above zero.",
    )
