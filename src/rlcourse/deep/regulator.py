"""The linear-quadratic regulator in one dimension: continuous actions with a known optimum.

A state s drifts, an action pushes it, and both cost:

    s' = s + a + noise ε         r = -(s² + a²/10)                             (eq-regulator)

The policy μ(s) = -k s has one number. Its values are quadratic, and so is the best one's:

    v_k(s) = -P (s² + γ noise² / (1 - γ))                              (eq-regulator-value)
    P  = (1 + k²/10) / (1 - γ (1 - k)²)
    P* = 1 + γ P*/10 / (1/10 + γ P*),         k* = γ P* / (1/10 + γ P*)           (eq-riccati)

Shapes: (...) any.
Source: Zhao, ch. 10, for the algorithm; Recht (2019), section 3, for the problem.
"""

import numpy as np

from rlcourse.tabular.mdp import Floats

COST, NOISE = 0.1, 0.1


def quadratic_features(s: Floats, a: Floats) -> Floats:
    """φ(s, a) = (s², s a, a², 1): what every q of a linear policy is made of. (...) -> (..., 4)."""
    return np.stack([s * s, s * a, a * a, np.ones(np.shape(s * a))], -1)


def action_slopes(s: Floats, a: Floats) -> Floats:
    """∂φ/∂a = (0, s, 2a, 0): (...) -> (..., 4)."""
    nothing = np.zeros(np.shape(s * a))
    return np.stack([nothing, s + nothing, 2 * a + nothing, nothing], -1)


def q_weights(k: Floats, gamma: float) -> Floats:
    """Weights (..., 4) of the exact q_k(s, a) on `quadratic_features`  (eq-regulator-value)."""
    p = (1 + COST * k**2) / (1 - gamma * (1 - k) ** 2)
    ahead, noise = gamma * p, gamma * p * NOISE**2 / (1 - gamma)
    return -np.stack([1 + ahead, 2 * ahead, COST + ahead, noise], -1)


def start_value(k: Floats, gamma: float) -> Floats:
    """v_k(1), what a gain k earns from s = 1: (...) -> (...)."""
    p = (1 + COST * k**2) / (1 - gamma * (1 - k) ** 2)
    return np.asarray(-p * (1 + gamma * NOISE**2 / (1 - gamma)))


def best_gain(gamma: float) -> float:
    """k* by iterating Riccati's equation until it stands still  (eq-riccati)."""
    p, last = 1.0, 0.0
    while p != last:
        p, last = 1 + gamma * p * COST / (COST + gamma * p), p
    return gamma * p / (COST + gamma * p)
