"""One step of each linear TD method, on one transition of each of B learners.

    semi-gradient    w <- w + α δ φ                                   (eq-semi-gradient)
    full gradient    w <- w + α δ (φ - γφ')                           (eq-residual-gradient)
    GTD2             w <- w + α ρ (φ - γφ') φᵀh                       (eq-gtd2)
    TDC              w <- w + α ρ (δφ - γφ' φᵀh)                      (eq-tdc)
    of both          h <- h + β ρ (δ - φᵀh) φ                         (eq-gradient-td-h)

with φ = φ(s), φ' = φ(s') and δ = r + γφ'ᵀw - φᵀw; nothing follows where the episode terminated: φ'
counts as 0 there. Where it was truncated φ' belongs to the state that the step led to.

Shapes: F features; phi, phi_next, w and h are (..., F), r, terminated and ratios (...); (...) is
(B,) for B learners, () for one.
Source: Sutton & Barto, 2nd ed., sections 9.3, 11.5 and 11.7; Zhao, Mathematical Foundations of RL,
section 8.2.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.tabular.mdp import Bools, Floats
from rlcourse.tabular.targets import td_target


class GradientTD(NamedTuple):
    """The two sets of weights of gradient TD.

    w  (..., F)  those of the values
    h  (..., F)  those that estimate C⁻¹(b - A w)
    """

    w: Floats
    h: Floats


def linear_value(phi: Floats, w: Floats) -> Floats:
    """v(s) = φ(s)ᵀw  (eq-linear-value): phi (..., F), w (..., F) -> (...)."""
    return np.asarray((phi * w).sum(-1))


def td_error(
    w: Floats, phi: Floats, r: Floats, phi_next: Floats, terminated: Bools, gamma: float
) -> Floats:
    """δ = r + γ (1 - terminated) φ(s')ᵀw - φ(s)ᵀw  (eq-linear-td-error).

    w, phi and phi_next (..., F), r and terminated (...) -> (...).
    """
    v_next = linear_value(phi_next, w)
    return td_target(r, v_next, terminated, gamma) - linear_value(phi, w)


def semi_gradient_td_step(
    w: Floats,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    alpha: float | Floats,
    gamma: float,
) -> Floats:
    """w + α δ φ(s), with δ = r + γ (1 - terminated) φ(s')ᵀw - φ(s)ᵀw  (eq-semi-gradient).

    One transition of each learner: w, phi and phi_next (..., F), r and terminated (...) ->
    (..., F). The target counts as a constant: v(s) has the gradient φ(s), v(s') none. A truncated
    step is like any other: phi_next holds the features of the state that it led to.
    alpha may be (...), one for each learner. Sutton & Barto, section 9.3; Zhao, section 8.2.
    """
    delta = td_error(w, phi, r, phi_next, terminated, gamma)
    return w + (alpha * delta)[..., None] * phi


def residual_gradient_step(
    w: Floats,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    alpha: float | Floats,
    gamma: float,
) -> Floats:
    """w + α δ [φ(s) - γ (1 - terminated) φ(s')]: down the gradient of δ²/2  (eq-residual-gradient).

    Shapes as of `semi_gradient_td_step`. It minimises the mean of δ², which is the Bellman error
    plus the variance of the target: not BE where the world is random. Sutton & Barto, eq. 11.23.
    """
    delta = td_error(w, phi, r, phi_next, terminated, gamma)
    slope = phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next
    return w + (alpha * delta)[..., None] * slope


def gtd2_step(
    w: Floats,
    h: Floats,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    rho: Floats,
    alpha: float | Floats,
    beta: float | Floats,
    gamma: float,
) -> GradientTD:
    """w + α ρ (φ - γ (1 - terminated) φ') φᵀh and h + β ρ (δ - φᵀh) φ  (eq-gtd2).

    w, h, phi and phi_next (..., F), r, terminated and the ratio rho = π(a|s) / b(a|s) (...) ->
    (..., F) twice; both from the old w and h. Sutton & Barto, section 11.7; Sutton et al. (2009).
    """
    delta = td_error(w, phi, r, phi_next, terminated, gamma)
    guess = linear_value(phi, h)
    slope = phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next
    return GradientTD(
        w + (alpha * rho * guess)[..., None] * slope,
        h + (beta * rho * (delta - guess))[..., None] * phi,
    )


def tdc_step(
    w: Floats,
    h: Floats,
    phi: Floats,
    r: Floats,
    phi_next: Floats,
    terminated: Bools,
    rho: Floats,
    alpha: float | Floats,
    beta: float | Floats,
    gamma: float,
) -> GradientTD:
    """w + α ρ (δφ - γ (1 - terminated) φ' φᵀh) and h + β ρ (δ - φᵀh) φ  (eq-tdc).

    w, h, phi and phi_next (..., F), r, terminated and the ratio rho = π(a|s) / b(a|s) (...) ->
    (..., F) twice; both from the old w and h. alpha and beta may be (...), one for each learner.
    Sutton & Barto, section 11.7.
    """
    delta = td_error(w, phi, r, phi_next, terminated, gamma)
    guess = linear_value(phi, h)
    follows = gamma * (1 - terminated) * guess
    step = delta[..., None] * phi - follows[..., None] * phi_next
    return GradientTD(
        w + np.asarray(alpha * rho)[..., None] * step,
        h + (beta * rho * (delta - guess))[..., None] * phi,
    )
