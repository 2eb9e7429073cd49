"""How far a policy may move on what an old one saw: the surrogate, its bound, and TRPO's step.

What a new policy gains over the old one is exactly the old one's advantages, but in the states that
the *new* one visits. Take the old one's visits instead, and you have something that its samples
tell, to first order the same:

    J(π') = J(π) + Σ_s η_π'(s) Σ_a π'(a|s) A_π(s, a)                  (eq-performance-difference)
    L(π') = J(π) + Σ_s η_π(s)  Σ_a π'(a|s) A_π(s, a)                       (eq-surrogate-objective)
    J(π') ≥ L(π') - 4 γ max|A_π| / (1 - γ)² · max_s D_TV(π', π)²                (eq-surrogate-bound)

So a step has a length that matters, and it is measured in policies, not in parameters:

    mean KL(π_θ ‖ π_{θ+x}) ≈ ½ xᵀ F x,  F = Σ_s d(s) Σ_a π ∇log π ∇log πᵀ             (eq-fisher)
    the best step with ½ xᵀ F x = δ:    x = √(2δ / gᵀF⁻¹g) F⁻¹ g                (eq-natural-step)

Shapes: S states, A actions, D parameters; (...) leading axes.
Source: Kakade and Langford (2002); Kakade (2002); Schulman et al. (2015).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from rlcourse.deep.objectives import Exact, value_objective
from rlcourse.deep.policies import log_softmax, softmax_score
from rlcourse.tabular.mdp import MDP, Floats

DAMPING = 1e-9  # keeps F invertible where a policy is sure, and nothing it does has a score

# ------------------------------------------------------------------------------- the surrogate


def policy_difference(eta: Floats, pi_new: Floats, old: Exact) -> Floats:
    """Σ_s η(s) Σ_a π'(a|s) A_π(s, a)  (eq-performance-difference).

    With η of the new policy it is J(π') - J(π); with that of the old one, what the surrogate adds
    (eq-surrogate-objective). eta (..., S), pi_new (..., S, A), `old` π's exact values -> (...).
    Kakade and Langford (2002), lemma 6.1.
    """
    advantage = old.q - old.v[..., None]
    return np.asarray((eta[..., None] * pi_new * advantage).sum((-2, -1)))


def surrogate_objective(pi_new: Floats, old: Exact) -> Floats:
    """L(π') = J(π) + Σ_s η_π(s) Σ_a π'(a|s) A_π(s, a)  (eq-surrogate-objective).

    pi_new (..., S, A) -> (...): equal to J(π') at π' = π, and so is its gradient.
    """
    return old.objective + policy_difference(old.eta, pi_new, old)


def surrogate_bound(pi_new: Floats, pi: Floats, old: Exact, gamma: float) -> Floats:
    """L(π') - 4 γ max|A_π| / (1 - γ)² · max_s D_TV(π', π)² ≤ J(π')  (eq-surrogate-bound).

    Policies (..., S, A) -> (...); gamma < 1. Schulman et al. (2015), theorem 1.
    """
    variation = (np.abs(pi_new - pi).sum(-1) / 2).max(-1)
    largest = np.abs(old.q - old.v[..., None]).max((-2, -1))
    penalty = 4 * gamma * largest / (1 - gamma) ** 2 * variation**2
    return np.asarray(surrogate_objective(pi_new, old) - penalty)


def mean_kl(d: Floats, log_pi: Floats, log_pi_new: Floats) -> Floats:
    """Σ_s d(s) KL(π(·|s) ‖ π'(·|s)), of the logs of policies (..., S, A) -> (...)  (eq-mean-kl)."""
    return np.asarray((d[..., None] * np.exp(log_pi) * (log_pi - log_pi_new)).sum((-2, -1)))


# ------------------------------------------------------------------------------- the step


def fisher_matrix(d: Floats, pi: Floats, score: Floats) -> Floats:
    """F = Σ_s d(s) Σ_a π(a|s) ∇log π ∇log πᵀ  (eq-fisher).

    Weights of the states (..., S), pi (..., S, A), scores (..., S, A, D) -> (..., D, D).
    """
    weighted = (d[..., None] * pi)[..., None] * score
    return np.asarray(np.einsum("...sai,...saj->...ij", weighted, score))


def natural_step(gradient: Floats, fisher: Floats, delta: float) -> Floats:
    """x = √(2δ / gᵀF⁻¹g) F⁻¹ g: the best step of the length ½ xᵀ F x = δ  (eq-natural-step).

    gradient (..., D), fisher (..., D, D), symmetric and positive definite -> (..., D); 0 where the
    gradient is. It goes uphill. Schulman et al. (2015), appendix C.
    """
    direction = np.linalg.solve(fisher, gradient[..., None])[..., 0]
    steepness = (gradient * direction).sum(-1, keepdims=True)
    scale = np.sqrt(2 * delta / np.where(steepness > 0, steepness, np.inf))
    return np.asarray(scale * direction)


def conjugate_gradients(product: Callable[[Floats], Floats], b: Floats, steps: int) -> Floats:
    """x with F x = b, from products with F alone: exact after D steps, near it long before.

    product(x) = F x, symmetric and positive definite; b (D,) -> (D,). Hestenes and Stiefel (1952).
    """
    x, rest = np.zeros(b.shape), b.copy()
    direction, size = rest.copy(), rest @ rest
    for _ in range(steps):
        if size <= 1e-20 * (b @ b):
            break
        along = product(direction)
        alpha = size / (direction @ along)
        x, rest = x + alpha * direction, rest - alpha * along
        direction, size = rest + rest @ rest / size * direction, rest @ rest
    return x


def trpo_step(
    mdp: MDP, x: Floats, theta: Floats, start: ArrayLike, gamma: float, delta: float
) -> Floats:
    """θ after the natural step, halved until mean KL ≤ δ and the surrogate has risen  (eq-trpo).

    Of a softmax policy with features x (S, A, D), exactly: theta (D,) -> (D,), unchanged where no
    step does. Schulman et al. (2015), section 6 and appendix C.
    """
    old, log_pi = value_objective(mdp, x, theta, start, gamma), log_softmax(x @ theta)
    d, pi = old.eta / old.eta.sum(), np.exp(log_pi)
    fisher = fisher_matrix(d, pi, softmax_score(x, pi)) + DAMPING * np.eye(len(theta))
    step = natural_step(old.gradient, fisher, delta)
    for _ in range(20):
        new = log_softmax(x @ (theta + step))
        rise = policy_difference(old.eta, np.exp(new), old)
        if rise > 0 and mean_kl(d, log_pi, new) <= delta:
            return theta + step
        step = step / 2
    return theta
