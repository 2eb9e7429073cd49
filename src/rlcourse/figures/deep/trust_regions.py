"""Surrogates, bounds and trust regions, all exact: the figures before PPO's clip.

Shapes: n points, D parameters, A actions.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.deep import trust_region
from rlcourse.deep.objectives import Exact, value_objective
from rlcourse.deep.policies import log_softmax, softmax_policy, softmax_score
from rlcourse.deep.policy_worlds import hike, short_corridor
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

HALF = (3.5, 3.0)
OLD = 0.3  # π(right) of the old policy in the corridor
HIKE = hike()


class Promise(NamedTuple):
    """The corridor: what policies earn, and what the old one's samples say; all (n,).

    p is π(right), kl its mean divergence from the old policy.
    """

    p: Floats
    objective: Floats
    surrogate: Floats
    kl: Floats


class Bound(NamedTuple):
    """The hike along the natural gradient; all (n,), `step` in units of the step with KL 0.02."""

    step: Floats
    objective: Floats
    surrogate: Floats
    bound: Floats


class Region(NamedTuple):
    """The hike's objective over (climb, rest), and 12 steps of each kind.

    climb, rest, objective   (n,), (n,), (n, n)  objective[i, j] at climb j and rest i
    kl                       (n, n)              mean KL from the first policy
    gradient, natural        (13, 2)             paths
    """

    climb: Floats
    rest: Floats
    objective: Floats
    kl: Floats
    gradient: Floats
    natural: Floats
    delta: float


class Estimates(NamedTuple):
    """KL(π_old ‖ π) and its three estimates, exactly, as π moves away: mean and spread (n, 3)."""

    exact: Floats
    mean: Floats
    spread: Floats


# ------------------------------------------------------------------------------- data


def data_promise() -> Promise:
    """Every policy of the short corridor, seen from the one that goes right with 0.3."""
    world, p = short_corridor(), np.linspace(0.03, 0.97, 189)
    old = _corridor(np.array(OLD))
    pi = softmax_policy(world.x, _logit(p))
    d, first = old.eta / old.eta.sum(), softmax_policy(world.x, _logit(np.array(OLD)))
    kl = trust_region.mean_kl(d, np.log(first), np.log(pi))
    return Promise(p, _corridor(p).objective, trust_region.surrogate_objective(pi, old), kl)


def data_bound(gamma: float = 0.5, theta: tuple[float, float] = (1.0, 0.0)) -> Bound:
    """J, its surrogate and the bound, along the natural gradient."""
    first = np.array(theta)
    old, step = on_hike(first, gamma), _natural(first, gamma, 0.02)
    along = np.linspace(0, 4, 81)
    there = first + along[:, None] * step
    pi, new = softmax_policy(HIKE.x, first), softmax_policy(HIKE.x, there)
    return Bound(
        along, on_hike(there, gamma).objective, trust_region.surrogate_objective(new, old),
        trust_region.surrogate_bound(new, pi, old, gamma),
    )  # fmt: skip


def data_region(
    delta: float = 0.05, climb: float = -1.5, rest: float = 1.5, steps: int = 12, alpha: float = 0.5
) -> Region:
    """Twelve steps of the plain gradient and of TRPO, from one beginning."""
    wide = np.linspace(-3, 4, 71)
    grid = np.stack(np.meshgrid(wide, wide - 1), -1)
    first = np.array([climb, rest])
    plain, natural = [first], [first]
    for _ in range(steps):
        plain.append(plain[-1] + alpha * on_hike(plain[-1], 0.9).gradient)
        there = natural[-1]
        natural.append(trust_region.trpo_step(HIKE.mdp, HIKE.x, there, HIKE.start, 0.9, delta))
    eta = on_hike(first, 0.9).eta
    log_pi = log_softmax(np.tensordot(grid, HIKE.x, (-1, -1)))
    kl = trust_region.mean_kl(eta / eta.sum(), log_softmax(HIKE.x @ first), log_pi)
    return Region(
        wide, wide - 1, on_hike(grid, 0.9).objective, kl, np.array(plain), np.array(natural), delta
    )


def data_estimates(*, rng: np.random.Generator, actions: int = 6) -> Estimates:
    """Three estimates of the KL divergence of softmax policies that differ more and more."""
    z, away = rng.normal(size=(2, actions))
    old, new = log_softmax(z), log_softmax(z + np.linspace(0.02, 2, 60)[:, None] * away)
    x, p = new - old, np.exp(old)
    each = np.stack([-x, x**2 / 2, np.expm1(x) - x], 1)  # (n, 3, A)
    mean = (p * each).sum(-1)
    spread = np.sqrt((p * (each - mean[..., None]) ** 2).sum(-1))
    return Estimates(mean[:, 0], mean, spread)


def _logit(p: Floats) -> Floats:
    return np.stack([np.zeros(p.shape), np.log(p / (1 - p))], -1)


def _corridor(p: Floats) -> Exact:
    world = short_corridor()
    return value_objective(world.mdp, world.x, _logit(p), world.start, world.gamma)


def on_hike(theta: Floats, gamma: float = 0.9) -> Exact:
    """What policies (..., 2) of the hike earn, and their gradients."""
    return value_objective(HIKE.mdp, HIKE.x, theta, HIKE.start, gamma)


def _natural(theta: Floats, gamma: float, delta: float) -> Floats:
    old, pi = on_hike(theta, gamma), softmax_policy(HIKE.x, theta)
    fisher = trust_region.fisher_matrix(old.eta / old.eta.sum(), pi, softmax_score(HIKE.x, pi))
    return trust_region.natural_step(old.gradient, fisher, delta)


# ------------------------------------------------------------------------------- pictures


def draw_question() -> Picture:
    """What old samples promise, and what is earned."""
    data = data_promise()
    figure, axes = panel("The short corridor", (4.6, 3.0))
    axes.axvspan(OLD - 0.09, OLD + 0.09, color=GREEN, alpha=0.18, linewidth=0)
    axes.plot(data.p, data.objective, "-", color=BLUE, label="J, what it earns")
    axes.plot(data.p, data.surrogate, "--", color=RED, label="L, what old samples promise")
    axes.plot([OLD], np.interp([OLD], data.p, data.objective), "o", color="#000000", label="π old")
    axes.set(xlabel="probability of going right", ylabel="steps to the goal, negative",
             ylim=(-45, 12))  # fmt: skip
    axes.legend(loc="lower center", fontsize=7.5)
    return picture(
        [figure],
        "In the short corridor the surrogate is a straight line that touches the objective at the"
        " old policy. It goes on rising, where the objective turns and falls steeply.",
    )


def draw_bound(data: Bound) -> Picture:
    """J, L and the bound; and the distance at which the bound is best."""
    figure, axes = panel("A step along the natural gradient", (4.6, 3.0))
    axes.plot(data.step, data.objective, "-", color=BLUE, label="J")
    axes.plot(data.step, data.surrogate, "--", color=RED, label="L")
    axes.plot(data.step, data.bound, "-.", color=GREEN, label="bound")
    axes.axhline(data.objective[0], color=GREY, linewidth=0.8, linestyle=":")
    best = data.bound.argmax()
    axes.plot(data.step[best], data.bound[best], "o", color=GREEN)
    axes.set(xlabel="length of the step, in steps of KL 0.02", ylabel="J", ylim=(2.6, 4.2))
    axes.legend()
    return picture(
        [figure],
        "The objective lies close to the surrogate along the step. The bound rises above the old"
        " policy's value only for very short steps, and then falls steeply.",
    )


def draw_region(data: Region) -> Picture:
    """The objective's contours, the region around the first policy, and both paths."""
    left, axes = panel("Two ways uphill", (3.7, 3.3))
    levels = np.linspace(data.objective.min(), data.objective.max(), 12)
    axes.contour(data.climb, data.rest, data.objective, levels, colors=GREY, linewidths=0.7)
    axes.contour(data.climb, data.rest, data.kl, [data.delta], colors=GREEN, linewidths=1.6)
    for path, colour, look, name in (
        (data.gradient, RED, "s--", "plain gradient"), (data.natural, BLUE, "o-", "TRPO"),
    ):  # fmt: skip
        axes.plot(*path.T, look, color=colour, markersize=3.5, linewidth=1.2, label=name)
    axes.set(xlabel="wish to climb", ylabel="wish to rest", xlim=(-3, 4), ylim=(-4, 3))
    axes.legend(loc="upper right", fontsize=7.5)
    right, axes = panel("What the steps earn", (3.2, 3.3))
    for path, colour, look, name in (
        (data.gradient, RED, "s--", "plain gradient"), (data.natural, BLUE, "o-", "TRPO"),
    ):  # fmt: skip
        axes.plot(on_hike(path, 0.9).objective, look, color=colour, markersize=3.5, label=name)
    axes.set(xlabel="steps", ylabel="J", ylim=(3, 11.6))
    axes.legend(loc="upper left", fontsize=7.5)
    return picture(
        [left, right],
        "From a policy that almost surely rests or goes down, the plain gradient hardly moves. "
        "Steps of equal length in policies, each within its region, lead to the top.",
    )


def draw_live(delta: float = 0.2, climb: float = -1.0, rest: float = 1.0) -> Picture:
    """The two paths for a trust region and a beginning of the reader's."""
    return draw_region(data_region(delta, climb, rest))


def draw_estimates(data: Estimates) -> Picture:
    """Means and spreads of k1, k2 and k3, against the exact divergence."""
    looks = (("k1", OCHRE, "--"), ("k2", PURPLE, "-."), ("k3", BLUE, "-"))
    panels = []
    for title, numbers in (("Mean", data.mean), ("Standard deviation", data.spread)):
        figure, axes = panel(title, HALF)
        for i, (name, colour, look) in enumerate(looks):
            axes.plot(data.exact, numbers[:, i], look, color=colour, label=name)
        axes.set(xlabel="KL(π old ‖ π), exactly", ylabel="of one sample's estimate")
        if title == "Mean":
            axes.plot(data.exact, data.exact, ":", color="#000000", linewidth=0.9, label="exact")
        axes.legend()
        panels.append(figure)
    return picture(
        panels,
        "The means of k1 and k3 are the divergence itself, k2's lies near it where policies are"
        " near. Near 0 the spread of k1 is many times that of k2 and k3.",
    )
