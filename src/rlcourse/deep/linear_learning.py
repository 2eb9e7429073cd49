"""Linear learners that follow recorded walks: what is met does not depend on the weights.

A fixed policy meets the same states whatever is learned from them. So the walk is sampled first
(`sampling.walk`), and B learners then read it step by step, each its own column; two methods can
read the same walk.

Shapes: S states, A actions, F features, B independent learners, T steps, N episodes; phi is (S, F),
or (B, S, F) where each learner has features of its own.
Source: Sutton & Barto, 2nd ed., sections 9.3 and 11.7.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.deep.linear_td import (
    gtd2_step,
    linear_value,
    residual_gradient_step,
    semi_gradient_td_step,
    tdc_step,
)
from rlcourse.tabular.environment import Environment, sample_episodes
from rlcourse.tabular.mdp import Floats, Ints, discounted_returns
from rlcourse.tabular.sampling import Steps
from rlcourse.tabular.targets import td_target

Method = Literal["td", "residual", "gtd2", "tdc"]
METHODS = ("td", "residual", "gtd2", "tdc")


def follow(
    steps: Steps,
    phi: Floats,
    method: Method,
    *,
    alpha: ArrayLike,
    gamma: float,
    beta: float = 0.0,
    rho: Floats | None = None,
    w: ArrayLike = 0.0,
    keep: Ints | None = None,
) -> Floats:
    """The weights of B learners after 0, 1, ..., T steps of a walk: (T + 1, B, F).

    method is "td" (eq-semi-gradient), "residual" (eq-residual-gradient), "gtd2" (eq-gtd2) or "tdc"
    (eq-tdc); beta is the second step size of the last two, whose h begins at 0. rho (S, A) holds
    the importance ratios π(a|s) / b(a|s), None means 1. alpha broadcasts to (B,), the first weights
    w to (B, F). `keep` (n,) says after which numbers of steps the weights are returned, in rising
    order; None: all. Learners may diverge, to infinity: no warning.
    Raises ValueError for an unknown method, a gamma outside [0, 1] or a negative step size.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    _check.interval("beta", beta, 0, np.inf)
    count, learners = steps.s.shape
    rate, now, wanted = _start(phi, learners, count, alpha, gamma, w, keep)
    h, path, filled = np.zeros_like(now), np.empty((len(wanted), *now.shape)), 0
    weight = np.ones(steps.s.shape) if rho is None else rho[steps.s, steps.a]
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(count + 1):
            while filled < len(wanted) and wanted[filled] == t:
                path[filled], filled = now, filled + 1
            if filled == len(wanted):
                break
            here, there = rows(phi, steps.s[t]), rows(phi, steps.s_next[t])
            sample = (here, steps.r[t], there, steps.terminated[t])
            if method == "tdc":
                now, h = tdc_step(now, h, *sample, weight[t], rate, beta, gamma)
            elif method == "gtd2":
                now, h = gtd2_step(now, h, *sample, weight[t], rate, beta, gamma)
            elif method == "td":
                now = semi_gradient_td_step(now, *sample, rate * weight[t], gamma)
            else:
                now = residual_gradient_step(now, *sample, rate * weight[t], gamma)
    return path


def gradient_monte_carlo(
    env: Environment,
    pi: Floats,
    phi: Floats,
    *,
    episodes: int,
    learners: int,
    alpha: ArrayLike,
    gamma: float,
    w: ArrayLike = 0.0,
    keep: Ints | None = None,
    rng: np.random.Generator,
) -> Floats:
    """w <- w + α [G - φ(s)ᵀw] φ(s) for the steps of each episode, in order  (eq-gradient-mc).

    Weights after 0, 1, ..., N episodes (N + 1, B, F), or after those of `keep` (n,). The return G
    of a truncated episode includes the value of its last state. pi (S, A); alpha broadcasts to
    (B,), w to (B, F). Sutton & Barto, section 9.3.
    """
    rate, now, wanted = _start(phi, learners, episodes, alpha, gamma, w, keep)
    path, filled = np.empty((len(wanted), *now.shape)), 0
    for k in range(episodes + 1):
        while filled < len(wanted) and wanted[filled] == k:
            path[filled], filled = now, filled + 1
        if filled == len(wanted):
            break
        x = sample_episodes(env, pi, learners, rng=rng)
        last = x.alive & ~np.vstack([x.alive[1:], np.zeros_like(x.alive[:1])])
        tail = linear_value(rows(phi, x.s_last), now)
        r = np.where(last, td_target(x.r, tail, x.terminated, gamma), x.r)
        g = discounted_returns(r.T, gamma).T
        for t in range(len(x.s)):
            here = rows(phi, x.s[t])
            error = x.alive[t] * (g[t] - linear_value(here, now))
            now = now + (rate * error)[:, None] * here
    return path


def _start(
    phi: Floats,
    learners: int,
    count: int,
    alpha: ArrayLike,
    gamma: float,
    w: ArrayLike,
    keep: Ints | None,
) -> tuple[Floats, Floats, Ints]:
    """What both have to begin with, checked: step sizes (B,), weights (B, F), when to keep them."""
    _check.interval("gamma", gamma, 0, 1)
    rate: Floats = _check.spread("alpha", _check.finite("alpha", alpha), (learners,)).astype(float)
    if rate.min() < 0:
        raise ValueError(f"alpha must not be negative, got {rate.min()}")
    first = _check.spread("w", _check.finite("w", w), (learners, phi.shape[-1])).astype(np.float64)
    wanted = np.arange(count + 1) if keep is None else _check.indices("keep", keep, count + 1)
    return rate, first, wanted


def rows(phi: Floats, s: Ints) -> Floats:
    """φ(s) of each learner's state s (B,): (B, F)."""
    return phi[s] if phi.ndim == 2 else phi[np.arange(len(s)), s]
