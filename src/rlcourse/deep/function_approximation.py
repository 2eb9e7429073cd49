"""Function approximation: values of many states from few weights, v(s) = φ(s)ᵀw.

With fewer weights F than states S no w fits all values, and it is a choice what to fit. With the
states weighted by how often they are visited, D = diag(d), there are three objectives:

    value error              |v_π - Φw|²_D            least at the best fit     (eq-value-error)
    Bellman error            |r + γPΦw - Φw|²_D       at the least residual     (eq-bellman-error)
    projected Bellman error  |Π(r + γPΦw - Φw)|²_D    at the TD fixed point     (eq-projected-error)

The first needs v_π. Semi-gradient TD needs one transition at a time, and moves to the third:

    w <- w + α δ φ(s),  δ = r + γ (1 - terminated) φ(s')ᵀw - φ(s)ᵀw     (eq-semi-gradient)
    in the mean  w <- w + α (b - A w),  A = ΦᵀD(I - γP)Φ,  b = ΦᵀDr    (eq-td-system)

It converges where the eigenvalues of A have positive real parts. They do where d is the
distribution of the states under π itself; elsewhere it can diverge: see `mean_updates`. The steps
themselves stand in `linear_td`, what φ can be in `features`.

Shapes: S states, F features; phi is (S, F), d (S,), p (S, S) and r (S,) those of a policy
(`mdp.policy_model`), w is (..., F) for any number of weight vectors.
Source: Sutton & Barto, 2nd ed., ch. 9 and 11; Zhao, Mathematical Foundations of RL, ch. 8.
"""

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.deep.mean_updates import td_system
from rlcourse.tabular.mdp import Floats


def on_policy_distribution(p: ArrayLike, start: ArrayLike) -> Floats:
    """d(j) = Σ_i d(i) [P(i, j) + (1 - Σ_k P(i, k)) start(j)]: how often each state is visited.

    p (S, S) as of `policy_model`: what a row lacks to 1 is the chance that the episode ends, and
    the next begins with probabilities start (S,). Where no episode ends start is not used, and d
    is the stationary distribution (eq-on-policy). Raises ValueError where d is not unique.
    Sutton & Barto, eq. 9.2 and 9.3; Zhao, section 8.2.1.
    """
    rows, first = _check.finite("p", p), _check.probabilities("start", start)
    n = len(first)
    _check.shape("p", rows, (n, n))
    onward = rows + (1 - rows.sum(1))[:, None] * first
    system = np.eye(n) - onward.T + 1  # columns of I - Pᵀ sum to 0, so that this says Σ d = 1 too
    if not np.linalg.cond(system, 1) < 1e13:
        raise ValueError("p must lead to one distribution, got a chain with several closed parts")
    d = np.maximum(np.linalg.solve(system, np.ones(n)), 0)
    return np.asarray(d / d.sum())


def norm(x: Floats, d: Floats) -> Floats:
    """|x|²_D = Σ_s d(s) x(s)²  (eq-weighted-norm): x (..., S), d (S,) -> (...)."""
    return np.asarray((d * x**2).sum(-1))


# ------------------------------------------------------------------------------- objectives


def value_error(w: Floats, phi: Floats, v: Floats, d: Floats) -> Floats:
    """VE(w) = |v_π - Φw|²_D  (eq-value-error).

    w (..., F), phi (S, F), v (S,), d (S,) -> (...). Sutton & Barto, eq. 9.1.
    """
    return norm(v - w @ phi.T, d)


def bellman_errors(w: Floats, phi: Floats, p: Floats, r: Floats, gamma: float) -> Floats:
    """δ̄ = r + γPΦw - Φw: the mean TD error of each state  (eq-bellman-errors).

    w (..., F), phi (S, F), p (S, S), r (S,) -> (..., S). Sutton & Barto, section 11.4.
    """
    v = w @ phi.T
    return np.asarray(r + gamma * v @ p.T - v)


def bellman_error(w: Floats, phi: Floats, p: Floats, r: Floats, d: Floats, gamma: float) -> Floats:
    """BE(w) = |δ̄|²_D  (eq-bellman-error). w (..., F) -> (...). Sutton & Barto, section 11.4."""
    return norm(bellman_errors(w, phi, p, r, gamma), d)


def projection(phi: Floats, d: Floats) -> Floats:
    """Π = Φ(ΦᵀDΦ)⁻¹ΦᵀD: the nearest values that the features can form  (eq-projection).

    phi (S, F), d (S,) -> (S, S). The pseudo-inverse serves where features depend on each other.
    Sutton & Barto, eq. 11.14.
    """
    return phi @ np.linalg.pinv(phi.T * d @ phi, hermitian=True) @ (phi.T * d)


def projected_bellman_error(
    w: Floats, phi: Floats, p: Floats, r: Floats, d: Floats, gamma: float
) -> Floats:
    """PBE(w) = |Πδ̄|²_D  (eq-projected-error): 0 at the TD fixed point.

    w (..., F) -> (...). Sutton & Barto, section 11.4.
    """
    return norm(bellman_errors(w, phi, p, r, gamma) @ projection(phi, d).T, d)


# ------------------------------------------------------------------------------- their minimisers


def best_fit(phi: Floats, v: Floats, d: Floats) -> Floats:
    """w* = (ΦᵀDΦ)⁻¹ΦᵀDv, the least value error  (eq-best-fit).

    phi (S, F), v (S,), d (S,) -> (F,); the shortest of them where several are best.
    Zhao, page 155, where the transpose of the last Φ is missing.
    """
    scale = np.sqrt(d)
    return np.asarray(np.linalg.lstsq(scale[:, None] * phi, scale * v)[0])


def td_fixed_point(phi: Floats, p: Floats, r: Floats, d: Floats, gamma: float) -> Floats:
    """The w of A w = b: no step changes it in the mean  (eq-td-fixed-point).

    (F,); the shortest of them where A is singular. Sutton & Barto, eq. 9.12; Zhao, section 8.2.5.
    """
    a, b = td_system(phi, p, r, d, gamma)
    return np.asarray(np.linalg.lstsq(a, b)[0])


def least_residual(phi: Floats, p: Floats, r: Floats, d: Floats, gamma: float) -> Floats:
    """The w of the least Bellman error: the best fit of r by (I - γP)Φ  (eq-least-residual)."""
    return best_fit(phi - gamma * p @ phi, r, d)


def kernel_td_values(
    k: Floats, p: Floats, r: Floats, d: Floats, gamma: float, ridge: float
) -> Floats:
    """v = K (D(I - γP)K + λI)⁻¹ D r: TD's fixed point from the kernel alone  (eq-kernel-td).

    k (S, S) -> (S,). It is Φw of (A + λI) w = b for any features with ΦΦᵀ = K: weights of the form
    w = Φᵀu are enough, and S numbers u do the work of any number of features, or infinitely many.
    """
    system = d[:, None] * (k - gamma * p @ k) + _check.positive("ridge", ridge) * np.eye(len(k))
    return np.asarray(k @ np.linalg.solve(system, d * r))
