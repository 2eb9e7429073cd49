"""Least-squares TD: solve for TD's fixed point instead of walking to it.

The sums over N samples estimate A and b (eq-td-system), and A w = b is solved at once: no step
size, each sample used fully, at F² numbers of memory instead of F. Sample by sample the inverse can
be kept instead of A, by a formula for the inverse of a matrix plus an outer product.

Shapes: F features, N samples; (...) stands for any leading axes, B independent learners, say.
Source: Bradtke & Barto (1996); Sutton & Barto, 2nd ed., section 9.8; Zhao, Mathematical Foundations
of RL, section 8.2.5.
"""

from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.mdp import Bools, Floats


class LstdState(NamedTuple):
    """What recursive least squares remembers  (eq-recursive-lstd).

    inverse  (..., F, F)  the inverse of (ridge I + Σ φ (φ - γφ')ᵀ)
    b        (..., F)     Σ r φ
    """

    inverse: Floats
    b: Floats


def lstd(
    phi: Floats, r: Floats, phi_next: Floats, terminated: Bools, gamma: float, ridge: float = 0.0
) -> Floats:
    """w = (λI + Σ φ (φ - γ (1 - terminated) φ')ᵀ)⁻¹ Σ r φ  (eq-lstd).

    phi and phi_next (N, F), r and terminated (N,) -> (F,). Raises numpy.linalg.LinAlgError where
    the samples leave a weight open and ridge is 0. Sutton & Barto, eq. 9.20; Zhao, page 176.
    """
    slope = phi - gamma * (1 - np.asarray(terminated))[:, None] * phi_next
    a = ridge * np.eye(phi.shape[-1]) + phi.T @ slope
    return np.asarray(np.linalg.solve(a, phi.T @ r))


def lstd_start(n_features: int, ridge: float) -> LstdState:
    """Before the first sample: the inverse of λI, and b = 0."""
    return LstdState(np.eye(n_features) / _check.positive("ridge", ridge), np.zeros(n_features))


def lstd_weights(state: LstdState) -> Floats:
    """w = M b: the weights that fit all samples so far, (..., F)."""
    return np.asarray((state.inverse * state.b[..., None, :]).sum(-1))


def recursive_lstd_step(
    state: LstdState,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    gamma: float,
) -> LstdState:
    """M - (M φ)(gᵀM) / (1 + gᵀMφ) and b + r φ, g = φ - γ (1 - terminated) φ'  (eq-recursive-lstd).

    M = state.inverse (..., F, F), phi and phi_next (..., F), r and terminated (...): one sample
    more, without inverting anything (Sherman and Morrison). Zhao, p. 178, prints a plus for the
    minus. Sutton & Barto, eq. 9.22.
    """
    m, b = state
    slope = phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next
    column = (m * phi[..., None, :]).sum(-1)
    row = (slope[..., None] * m).sum(-2)
    scale = 1 + (slope * column).sum(-1)
    m = m - column[..., None] * row[..., None, :] / scale[..., None, None]
    return LstdState(m, b + np.asarray(r)[..., None] * phi)
