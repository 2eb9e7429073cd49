"""Stochastic approximation: the root of an equation that can only be read with noise.

One line does it all, w <- w - a_k g̃(w, η_k): read at the present w, noise included, and step
against the reading (eq-robbins-monro). What is sought decides what is read:

    the mean of x         g̃ = w - x                                      (eq-incremental-mean)
    the root of g         g̃ = g(w) + η                                   (eq-noisy-reading)
    the minimum of J      g̃ = ∇J on a mini-batch                         (eq-minibatch-gradient)
    a policy's values     g̃ = v(s) - [r + γ (1 - terminated) v(s_next)]  (eq-td-reading)

The step sizes decide (eq-step-conditions): Σ a_k = ∞ to reach the root from anywhere, Σ a_k² < ∞
for the noise to die out. So does g: where it grows faster than w, no step is small enough.

Shapes: B independent runs, T steps, D unknowns, N samples of a data set, M of a mini-batch,
S states. Steps are numbered from k = 1, and w_1 is where a run begins.
Source: Zhao, Mathematical Foundations of RL, ch. 6; Robbins & Monro (1951); Dvoretzky (1956).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular.mdp import Bools, Floats, Ints, PolicyModel

LIMIT = 1e12  # a run with a larger iterate has diverged
Reading = Callable[[Floats, Any], Floats]  # g̃: w (B, ...) and what was drawn, η -> (B, ...)


class Iterates(NamedTuple):
    """What B runs of Robbins-Monro went through.

    w         (T + 1, B, ...)  w_1 and what each step made of it; NaN once a run has diverged
    diverged  (B,)             True for the runs that left [-LIMIT, LIMIT], or read a NaN
    """

    w: Floats
    diverged: Bools


class StepConditions(NamedTuple):
    """What the theorem asks of step sizes (eq-step-conditions); both must be True.

    sum_diverges      Σ a_k = ∞: the steps can reach the root, however far it is
    squares_converge  Σ a_k² < ∞: the variance that noise adds is finite in all: it dies out
    """

    sum_diverges: Bools
    squares_converge: Bools


class Moments(NamedTuple):
    """Mean and variance of Δ_1, Δ_2, ..., each of shape (T + 1, ...)  (eq-moments)."""

    mean: Floats
    variance: Floats


# ------------------------------------------------------------------------------- the mean


def incremental_mean(x: ArrayLike) -> Floats:
    """w_{k+1} = w_k - (w_k - x_k) / k, the mean of the first k samples  (eq-incremental-mean).

    x (..., T), whole numbers or not -> floats (..., T): one mean for each sample. The first step
    has size 1 and forgets w_1. Zhao, section 6.1; Sutton & Barto, section 2.4.
    """
    samples = np.asarray(x, dtype=np.float64)
    means = np.zeros_like(samples)
    w = np.zeros(samples.shape[:-1])
    for k in range(1, samples.shape[-1] + 1):
        w = w - (w - samples[..., k - 1]) / k
        means[..., k - 1] = w
    return means


# ------------------------------------------------------------------------------- step sizes


def step_sizes(steps: int, c: float = 1.0, p: float = 1.0, offset: float = 0.0) -> Floats:
    """a_k = c / (k + offset)^p for k = 1, 2, ..., T  (eq-step-size).

    Raises ValueError unless c > 0, offset > -1 and p is finite.
    """
    _check.positive_integer("steps", steps)
    _check.positive("c", c)
    _check.finite("p", p)
    if not -1 < offset < np.inf:
        raise ValueError(f"offset must be above -1, so that k + offset > 0, got {offset!r}")
    return np.asarray(c / (np.arange(1, steps + 1) + offset) ** p, dtype=np.float64)


def step_size_conditions(p: ArrayLike) -> StepConditions:
    """Whether Σ a_k = ∞, and whether Σ a_k² < ∞, for a_k = c / (k + offset)^p.

    p (...), any numbers -> two arrays of flags (...)  (eq-step-conditions). A factor c > 0 and an
    offset change no answer; neither does a_1, ..., a_n for any finite n.
    """
    power = np.asarray(p)
    return StepConditions(power <= 1, power > 1 / 2)


# ------------------------------------------------------------------------------- the iteration


def robbins_monro(
    reading: Reading,
    w: ArrayLike,
    a: ArrayLike,
    samples: Iterable[Any],
    keep: ArrayLike | None = None,
) -> Iterates:
    """w_{k+1} = w_k - a_k g̃(w_k, η_k), B independent runs at once  (eq-robbins-monro).

    w (B, ...) holds each run's w_1, a (T,) any positive step sizes; samples gives η_1, ..., η_T:
    the rows of an array (T, B), or whatever `reading` understands, one by one. `keep` (n,) says
    which of the T + 1 iterates to return (0 is w_1), None: all. A run that diverges is stopped and
    reported, without a warning. Raises ValueError for step sizes that are not positive, too few
    samples, or a reading that hasn't the shape of w. Zhao, section 6.2.
    """
    sizes, now = _positive_sequence("a", a), _check.finite("w", w)
    if now.ndim == 0:
        raise ValueError("w must have shape (B, ...), one start for each run, got a number")
    steps = len(sizes)
    wanted = _check.indices("keep", np.arange(steps + 1) if keep is None else keep, steps + 1)
    row = {k: i for i, k in enumerate(wanted.tolist())}
    path = np.full((len(wanted), *now.shape), np.nan)
    if 0 in row:
        path[row[0]] = now
    lost = np.zeros(len(now), dtype=np.bool_)
    k = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for k, (size, sample) in enumerate(zip(sizes, samples, strict=False), start=1):
            g = np.asarray(reading(now, sample))
            if g.shape != now.shape:
                raise ValueError(f"reading must have w's shape {now.shape}, got {g.shape}")
            now = now - size * g
            lost |= ~(np.abs(now) <= LIMIT).reshape(len(now), -1).all(1)
            now[lost] = np.nan
            if k in row:
                path[row[k]] = now
    if k < steps:
        raise ValueError(f"samples must hold one for each of the {steps} steps, got {k}")
    return Iterates(path, lost)


def _positive_sequence(name: str, x: ArrayLike) -> Floats:
    a = _check.finite(name, x)
    _check.shape(name, a, ("T",))
    if a.min() <= 0:
        k = int(np.argmax(a <= 0))
        raise ValueError(f"{name} must be positive at every step, got {a[k]:g} at k = {k + 1}")
    return a


def noisy(g: Callable[[Floats], Floats]) -> Reading:
    """g̃(w, η) = g(w) + η  (eq-noisy-reading)."""
    return lambda w, eta: g(w) + eta


def clipped(reading: Reading, limit: float) -> Reading:
    """A reading cut to [-limit, limit]: no step is longer than a_k limit  (eq-clipped)."""
    _check.positive("limit", limit)
    return lambda w, eta: np.clip(reading(w, eta), -limit, limit)


def cubic(w: Floats) -> Floats:
    """w³ - 5, with the root 5^(1/3): its slope 3w² has no upper bound."""
    return w**3 - 5


def squashed(w: Floats) -> Floats:
    """tanh(w - 1), with the root 1: its slope lies in (0, 1], and its size below 1."""
    return np.tanh(w - 1)


# ------------------------------------------------------------------------------- Dvoretzky


def dvoretzky(delta: ArrayLike, alpha: ArrayLike, beta: ArrayLike, eta: ArrayLike) -> Floats:
    """Δ_{k+1} = (1 - α_k) Δ_k + β_k η_k: an error that shrinks and is disturbed  (eq-dvoretzky).

    delta (B,), alpha and beta (T,) or (T, B), eta (T, B) -> (T + 1, B). Zhao, section 6.3.
    """
    shrink, gain, noise = (np.asarray(x, dtype=np.float64) for x in (alpha, beta, eta))
    path = np.empty((len(noise) + 1, *noise.shape[1:]))
    path[0] = delta
    for k in range(len(noise)):
        path[k + 1] = (1 - shrink[k]) * path[k] + gain[k] * noise[k]
    return path


def exact_moments(delta: ArrayLike, alpha: Floats, beta: Floats, sigma: ArrayLike) -> Moments:
    """E Δ' = (1 - α) E Δ and Var Δ' = (1 - α)² Var Δ + β² σ²  (eq-moments).

    For noise of mean 0 and standard deviation σ, independent from step to step, and a fixed Δ_1 =
    delta; alpha and beta have the same shape (T, ...), delta and sigma broadcast to (...).
    Robbins-Monro on a line of slope g' is the case α = a g', β = a.
    """
    mean, variance = np.zeros((2, len(alpha) + 1, *alpha.shape[1:]))
    mean[0] = delta
    for k in range(len(alpha)):
        keep = 1 - alpha[k]
        mean[k + 1] = keep * mean[k]
        variance[k + 1] = keep**2 * variance[k] + beta[k] ** 2 * np.square(sigma)
    return Moments(mean, variance)


# ------------------------------------------------------------------------------- gradients


def minibatch_gradient(w: Floats, x: Floats, y: Floats, index: Ints) -> Floats:
    """∇J = 1/M Σ (x_i·w - y_i) x_i over the mini-batch's rows i  (eq-minibatch-gradient).

    J is half the mean square error of x·w on the data x (N, D), y (N,). w (..., D) and index
    (..., M) -> (..., D); a row that was drawn twice counts twice. One row is SGD, all N rows are
    BGD, what lies between is a mini-batch. Zhao, section 6.4.
    """
    rows = x[index]
    error = (rows * w[..., None, :]).sum(-1) - y[index]
    return np.asarray((error[..., None] * rows).mean(-2))


# ------------------------------------------------------------------------------- the bridge to TD


def bellman_residual(v: Floats, model: PolicyModel, gamma: float) -> Floats:
    """g(v) = v - (r_π + γ P_π v), whose root is v_π  (eq-bellman-residual).

    v (..., S) -> (..., S).
    """
    return np.asarray(v - (model.r + gamma * v @ model.p.T))


def td_reading(
    v: Floats, s: Ints, r: Floats, s_next: Ints, terminated: Bools, gamma: float
) -> Floats:
    """v(s) - [r + γ (1 - terminated) v(s_next)] at s, and 0 elsewhere  (eq-td-reading).

    One transition of each of B learners: v (B, S), the others (B,) -> (B, S). Its mean over what
    may follow is the Bellman residual of s; Robbins-Monro with it is TD(0). Zhao, section 7.1.
    """
    b = np.arange(len(v))
    reading = np.zeros(v.shape)
    reading[b, s] = v[b, s] - (r + gamma * (1 - terminated) * v[b, s_next])
    return reading
