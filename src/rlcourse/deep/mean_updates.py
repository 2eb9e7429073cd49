"""What linear TD does in the mean, and whether that converges.

The mean of a step is linear in the weights, α (b - A w) (eq-td-system). Its error shrinks for small
α if and only if every eigenvalue of A has a positive real part (eq-stability). Under d, the
distribution of the states under π itself, they have; on other states bootstrapping can break it.

Gradient TD descends the projected Bellman error instead,

    PBE(w) = (b - A w)ᵀ C⁻¹ (b - A w),  C = ΦᵀDΦ                        (eq-pbe-matrix)

whose gradient is a product of means that cannot be read from one sample. So a second set of weights
learns one of them on the way, h ≈ C⁻¹(b - A w), and the mean of a step is linear in both.

Shapes: S states, F features, T steps; phi is (S, F), d (S,), w (F,).
Source: Sutton & Barto, 2nd ed., sections 9.4 and 11.7; Zhao, Mathematical Foundations of RL,
section 8.2.5; Sutton et al. (2009).
"""

from typing import NamedTuple

import numpy as np

from rlcourse.tabular.mdp import Floats


class LinearSystem(NamedTuple):
    """The mean update of a linear learner is α (b - A w)  (eq-td-system).

    a  (F, F)
    b  (F,)
    """

    a: Floats
    b: Floats


def td_system(phi: Floats, p: Floats, r: Floats, d: Floats, gamma: float) -> LinearSystem:
    """A = ΦᵀD(I - γP)Φ and b = ΦᵀDr: the mean of semi-gradient TD  (eq-td-system).

    phi (S, F), p (S, S), r (S,), d (S,) -> (F, F) and (F,). d may be that of another policy than
    the one of p and r; then the mean is that of TD with importance ratios.
    Sutton & Barto, section 9.4; Zhao, section 8.2.5.
    """
    weighted = phi.T * d
    return LinearSystem(weighted @ (phi - gamma * p @ phi), weighted @ r)


def largest_growth(a: Floats) -> float:
    """The largest real part of -A's eigenvalues: above 0 the mean update diverges  (eq-stability).

    a (F, F). Sutton & Barto, section 9.4.
    """
    return float(np.linalg.eigvals(-a).real.max())


def mean_path(system: LinearSystem, w: Floats, alpha: float, steps: int) -> Floats:
    """w <- w + α (b - A w), T times: (T + 1, F) from w (F,)  (eq-td-system)."""
    path = np.empty((steps + 1, len(w)))
    path[0] = w
    for t in range(steps):
        path[t + 1] = path[t] + alpha * (system.b - system.a @ path[t])
    return path


def gradient_td_system(
    system: LinearSystem, c: Floats, ratio: float, method: str = "tdc"
) -> LinearSystem:
    """The mean of gradient TD on the joined weights (w, h), for steps α and β = ratio α.

    From A, b (F, F), (F,) and C = ΦᵀDΦ (F, F) -> (2F, 2F), (2F,): `mean_path` runs it. In the mean
    δφ is b - A w, φφᵀ is C, and γφ'φᵀ is C - Aᵀ  (eq-gradient-td-mean).
    Raises ValueError unless method is "tdc" or "gtd2".
    """
    a, b = system
    below = [ratio * a, ratio * c]
    if method == "tdc":
        return LinearSystem(np.block([[a, c - a.T], below]), np.concatenate([b, ratio * b]))
    if method == "gtd2":
        none = np.zeros_like(a)
        return LinearSystem(np.block([[none, -a.T], below]), np.concatenate([0 * b, ratio * b]))
    raise ValueError(f"method must be 'tdc' or 'gtd2', got {method!r}")
