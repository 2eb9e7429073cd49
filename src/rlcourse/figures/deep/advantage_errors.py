"""Bias and variance of generalized advantages, exactly and sampled, on a walk that is known.

Nineteen cells in a row; left or right by chance; leaving to the right earns 1. The critic is wrong
by a fixed error in each cell, as large as we like.

Shapes: S cells, A actions, L values of λ, E sizes of the error, N samples.
"""

from typing import Any, NamedTuple

import numpy as np

from rlcourse.deep.gae_moments import gae_moments
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.plot import BLUE, GREEN, GREY, HALF, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import Floats, deterministic_mdp
from rlcourse.tabular.sampling import walk
from rlcourse.tabular.worlds import random_walk

CELLS, MIDDLE, RIGHT, GAMMA = 19, 9, 1, 0.99
_row = random_walk(CELLS).mdp
ROW = deterministic_mdp(_row.s_next[:, 0], _row.r[:, 0], _row.terminated[:, 0])
CHANCE = np.full((CELLS, 2), 0.5)
VALUES = closed_form(ROW, CHANCE, GAMMA)
ERROR = np.random.default_rng(16).normal(size=CELLS)  # of the critic, for a scale of 1
LAMBDAS = np.linspace(0, 1, 101)
SCALES = np.array([0.0, 0.05, 0.1, 0.2])
MARKED = np.array([0.0, 0.5, 0.8, 0.9, 0.96, 1.0])
USUAL = 2  # the scale whose curves are taken apart
BATCH = 10  # walks that are averaged: the variance is that of one over ten


class Moments(NamedTuple):
    """Of what a walk says of going right, means over all cells.

    bias, variance  (E, L)  bias² and variance, exactly, for each size of the error and each λ
    sampled         (2, n)  bias² and variance from samples, for the usual size and n of the λ
    error           (2, n)  their standard errors
    farthest        ()      the most standard errors that a sampled mean is from the exact one
    """

    bias: Floats
    variance: Floats
    sampled: Floats
    error: Floats
    farthest: float


class Said(NamedTuple):
    """Of each cell (..., S): what should be said of going right, its mean and its variance."""

    exact: Floats
    mean: Floats
    variance: Floats


def said(scale: Floats, lam: Floats) -> Said:
    """A step says Â if it goes right and -Â if it goes left: so far the actor is moved.

    What both actions have in common cancels: errors of v̂(s) itself are no bias. scale and lam
    broadcast.
    """
    found = gae_moments(ROW, CHANCE, VALUES + scale[..., None] * ERROR, GAMMA, lam)
    exact, mean = (np.diff(x)[..., 0] / 2 for x in found[:2])
    second = (found.mean**2 + found.variance).mean(-1)
    return Said(exact, mean, second - mean**2)


def exact(scale: Floats, lam: Floats) -> tuple[Floats, Floats]:
    """bias² and variance, means over all cells; scale and lam broadcast."""
    found = said(scale, lam)
    return ((found.mean - found.exact) ** 2).mean(-1), found.variance.mean(-1)


def sampled(v_hat: Floats, lam: float, n: int, *, rng: np.random.Generator) -> Floats:
    """Â (S, A, n) of n walks from every cell with every action, by `generalized_advantage`.

    A walk is seen for 1000 steps, beyond which next to none goes on.
    """
    first = np.repeat(ROW.s_next[..., 0].ravel(), n)
    x = walk(ROW, CHANCE, first, steps=1000, rng=rng)

    def from_first(of_pair: Any, later: Any) -> Any:
        return np.concatenate([np.repeat(of_pair.ravel(), n)[None], later])

    before = np.broadcast_to(v_hat[:, None], CHANCE.shape)
    r, ends = from_first(ROW.r[..., 0], x.r), from_first(ROW.terminated[..., 0], x.terminated)
    v, v_next = (
        from_first(before, v_hat[x.s]),
        from_first(v_hat[ROW.s_next[..., 0]], v_hat[x.s_next]),
    )
    found = generalized_advantage(r, v, v_next, ends, np.zeros_like(ends), GAMMA, lam)[0]
    return np.asarray(found.reshape(*CHANCE.shape, n))


def data_moments(*, rng: np.random.Generator, n: int = 60) -> Moments:
    """Exact curves, and what n walks from every cell and action say beside them."""
    bias, variance = exact(SCALES[:, None], LAMBDAS)
    usual, rows, farthest = SCALES[USUAL], [], 0.0
    for lam in MARKED:
        truth = said(usual, np.array(lam))
        x = sampled(VALUES + usual * ERROR, float(lam), n, rng=rng)
        x[:, 0] *= -1  # what a step to the left says of right
        mean, noise = x.mean((-2, -1)), x.var(-1, ddof=1).sum(-1) / (4 * n)
        off = mean - truth.exact
        spread = (x**2).mean((-2, -1)) - mean**2 + noise
        around = (x**2 / 2 - mean[:, None, None] * x).var(-1, ddof=1).sum(-1) / n
        rows.append(
            (
                (off**2 - noise).mean(), spread.mean(),
                (4 * off**2 * noise + 2 * noise**2).sum(), around.sum(),
            )
        )  # fmt: skip
        drawn = noise > 1e-12  # at λ = 0 most estimates are no random numbers
        z = np.abs(mean - truth.mean)[drawn] / np.sqrt(noise[drawn])
        farthest = max(farthest, *z.tolist(), 0.0)
    found = np.array(rows).T
    return Moments(bias, variance, found[:2], np.sqrt(found[2:]) / CELLS, farthest)


def total(data: Moments) -> Floats:
    """bias² + variance (E, L) of a mean of BATCH walks."""
    return data.bias + data.variance / BATCH


def best(data: Moments) -> Floats:
    """The λ (E,) with the least of it."""
    return np.asarray(LAMBDAS[total(data).argmin(-1)])


def draw_moments(data: Moments) -> Picture:
    """bias², variance and their sum for one critic; the sum for several sizes of error."""
    left, axes = panel("One critic, means of ten walks", HALF)
    bias, variance = data.bias[USUAL], data.variance[USUAL] / BATCH
    for i, (name, y, colour, look) in enumerate(
        (("bias²", bias, RED, "--"), ("variance", variance, BLUE, "-"))
    ):
        axes.plot(LAMBDAS, y, look, color=colour, label=name)
        axes.errorbar(
            MARKED, data.sampled[i] / (1, BATCH)[i], 2 * data.error[i] / (1, BATCH)[i], fmt="o",
            color=colour, markersize=3.5, linewidth=1,
        )  # fmt: skip
    axes.plot(LAMBDAS, bias + variance, ":", color=GREEN, label="sum")
    axes.set(xlabel="λ", ylabel="mean over the cells")
    axes.legend()
    right, axes = panel("Better and worse critics", HALF)
    for i, (colour, look) in enumerate(((GREY, "-"), (BLUE, "--"), (GREEN, ":"), (RED, "-."))):
        y = np.sqrt(total(data)[i])
        axes.plot(LAMBDAS, y, look, color=colour, label=f"error {SCALES[i]:g}")
        axes.plot(LAMBDAS[y.argmin()], y.min(), "o", color=colour, markersize=6)
    axes.set(xlabel="λ", ylabel="off by (root mean square)", ylim=(0, 0.16))
    axes.legend(loc="upper left", ncols=2)
    return picture(
        [left, right],
        "Over λ from 0 to 1 the squared bias falls to nothing and the variance rises in the end;"
        " samples lie on the exact curves, and the sum is least in between. On the right the best λ"
        " moves from 0 for an exact critic towards 1 for a bad one.",
    )


# ------------------------------------------------------------------------------- the question


class Question(NamedTuple):
    """What N walks from the middle say of going right: at once, and at the end; and the truth."""

    at_once: Floats
    at_end: Floats
    truth: float


def data_question(*, rng: np.random.Generator, n: int = 100) -> Question:
    """±Â with λ = 0 and with λ = 1 of the same n walks, half of which begin with each action."""
    v_hat, seed = VALUES + SCALES[USUAL] * ERROR, int(rng.integers(2**32))
    each = []
    for lam in (0.0, 1.0):
        x = sampled(v_hat, lam, n // 2, rng=np.random.default_rng(seed))[MIDDLE]
        each.append(np.concatenate([-x[0], x[1]]))
    truth = said(SCALES[USUAL], np.array(0.0)).exact[MIDDLE]
    return Question(each[0], each[1], float(truth))


def draw_question(data: Question) -> Picture:
    """Both sets of estimates as dots above each other, and the truth as a line."""
    figure, axes = panel("How much better is it to go right?", (4.8, 2.5))
    for y, x, colour in ((1, data.at_end, OCHRE), (0, data.at_once, PURPLE)):
        up = np.random.default_rng(y).uniform(-0.28, 0.28, len(x))
        axes.plot(x, y + up, "o", color=colour, markersize=3, alpha=0.7)
        axes.plot([x.mean()] * 2, [y - 0.42, y + 0.42], color=colour, linewidth=2.5)
    axes.axvline(data.truth, color="#000000", linewidth=1.2, linestyle=":")
    axes.set_yticks([1, 0], ["the return,\nat the end", "the critic,\nat once"])
    axes.set(xlabel="what one walk says of its first step", ylim=(-0.6, 1.6))
    return picture(
        figure,
        "Estimates of one advantage. Those by the return scatter widely, and their mean is near the"
        " dotted true value; those by the critic lie close together, and off it.",
    )


# ------------------------------------------------------------------------------- interactive


def draw_critic(lam: float = 0.9, scale: float = 0.1, n: int = 16) -> Picture:
    """Exact mean and spread of what n walks say of going right, in each cell."""
    found, s = said(np.array(scale), np.array(lam)), np.arange(1, CELLS + 1)
    spread = 2 * np.sqrt(np.maximum(found.variance, 0) / n)
    figure, axes = panel(f"λ = {lam:g}, critic off by {scale:g}, {n} walks", (4.8, 2.9))
    axes.fill_between(
        s, found.mean - spread, found.mean + spread, color=BLUE, alpha=0.2, linewidth=0
    )
    axes.plot(s, found.mean, "o-", color=BLUE, markersize=3.5, label="estimate")
    axes.plot(s, found.exact, ":", color="#000000", label="truth")
    axes.set(xlabel="cell", ylabel="advantage of going right", ylim=(-0.15, 0.3))
    axes.legend()
    return picture(
        figure,
        "Means of the estimated advantages in each cell, with a band of two spreads, beside the"
        " true advantages.",
    )
