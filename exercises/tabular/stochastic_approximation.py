# desk 78a64978b62f: the hash of what follows. Edit below, and the file is yours.
"""Your desk for tabular/stochastic_approximation. Write the functions, then: rlcourse check stochastic_approximation"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]


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


def incremental_mean(x: ArrayLike) -> Floats:
    """w_{k+1} = w_k - (w_k - x_k) / k, the mean of the first k samples  (eq-incremental-mean).

    x (..., T), whole numbers or not -> floats (..., T): one mean for each sample. The first step
    has size 1 and forgets w_1. Zhao, section 6.1; Sutton & Barto, section 2.4.
    """
    raise NotImplementedError


def step_size_conditions(p: ArrayLike) -> StepConditions:
    """Whether Σ a_k = ∞, and whether Σ a_k² < ∞, for a_k = c / (k + offset)^p.

    p (...), any numbers -> two arrays of flags (...)  (eq-step-conditions). A factor c > 0 and an
    offset change no answer; neither does a_1, ..., a_n for any finite n.
    """
    raise NotImplementedError


def exact_moments(delta: ArrayLike, alpha: Floats, beta: Floats, sigma: ArrayLike) -> Moments:
    """E Δ' = (1 - α) E Δ and Var Δ' = (1 - α)² Var Δ + β² σ²  (eq-moments).

    For noise of mean 0 and standard deviation σ, independent from step to step, and a fixed Δ_1 =
    delta; alpha and beta have the same shape (T, ...), delta and sigma broadcast to (...).
    Robbins-Monro on a line of slope g' is the case α = a g', β = a.
    """
    raise NotImplementedError


def minibatch_gradient(w: Floats, x: Floats, y: Floats, index: Ints) -> Floats:
    """∇J = 1/M Σ (x_i·w - y_i) x_i over the mini-batch's rows i  (eq-minibatch-gradient).

    J is half the mean square error of x·w on the data x (N, D), y (N,). w (..., D) and index
    (..., M) -> (..., D); a row that was drawn twice counts twice. One row is SGD, all N rows are
    BGD, what lies between is a mini-batch. Zhao, section 6.4.
    """
    raise NotImplementedError


def td_reading(
    v: Floats, s: Ints, r: Floats, s_next: Ints, terminated: Bools, gamma: float
) -> Floats:
    """v(s) - [r + γ (1 - terminated) v(s_next)] at s, and 0 elsewhere  (eq-td-reading).

    One transition of each of B learners: v (B, S), the others (B,) -> (B, S). Its mean over what
    may follow is the Bellman residual of s; Robbins-Monro with it is TD(0). Zhao, section 7.1.
    """
    raise NotImplementedError
