# desk ecc83fdebdbf: the hash of what follows. Edit below, and the file is yours.
"""Your desk for deep/policy_gradient. Write the functions, then: rlcourse check policy_gradient"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def softmax_score(x: Floats, pi: Floats) -> Floats:
    """∇ log π(a|s) = x(s, a) - Σ_b π(b|s) x(s, b)  (eq-score).

    Features x (S, A, D) and the softmax policy pi (..., S, A) that they make -> (..., S, A, D).
    Leading axes of pi are learners that share the features. Sutton & Barto, eq. 13.9.
    """
    raise NotImplementedError


def policy_gradient(eta: Floats, pi: Floats, q: Floats, score: Floats) -> Floats:
    """∇J = Σ_s η(s) Σ_a π(a|s) ∇ log π(a|s) q(s, a)  (eq-policy-gradient).

    eta (..., S), pi and q (..., S, A), score (..., S, A, D) -> (..., D). eta are the expected
    discounted visits of each state; they need not sum to 1. Sutton & Barto, section 13.2.
    """
    raise NotImplementedError


def reward_to_go(
    r: Floats, v_next: Floats, terminated: Bools, truncated: Bools, gamma: float
) -> Floats:
    """G_t = r_t + γ (1 - terminated_t) G_{t+1}, or v_next for G_{t+1} at a cut  (eq-reward-to-go).

    r, v_next, terminated and truncated (T, ...), T steps of B environments in which one episode
    follows another -> (T, ...). v_next[t] is what the state that step t led to is worth: it stands
    for what was not seen, at the last row and where the episode was truncated. Where it terminated
    nothing follows, truncated or not. Elsewhere v_next doesn't matter, if it is finite. Both flags
    are True/False or 1/0, in tensors 1/0. r is not changed.
    """
    raise NotImplementedError


def optimal_baseline(pi: Floats, q: Floats, score: Floats) -> Floats:
    """b*(s) = Σ_a π |∇ log π|² q / Σ_a π |∇ log π|²  (eq-optimal-baseline).

    pi and q (..., S, A), score (..., S, A, D) -> (..., S), and v(s) = Σ_a π q where the score is 0
    for all that the policy does. Of all baselines it leaves the least variance in one step's
    Σ_d (∇_d log π)² (q - b)². Greensmith et al. (2004); Zhao, section 10.2.
    """
    raise NotImplementedError


def policy_gradient_loss(logits: Tensor, a: Tensor, advantage: Tensor, beta: float) -> Tensor:
    """-mean(log π(a|s) Â) - β mean H(s): its descent is the ascent of J  (eq-policy-gradient-loss).

    logits (..., N, A), actions a and advantages (..., N) -> (...). The advantage is a weight: no
    gradient flows through it. beta >= 0 pays for entropy.
    """
    raise NotImplementedError


def weighted_policy_loss(
    logits: Tensor, a: Tensor, log_prob_old: Tensor, advantage: Tensor
) -> Tensor:
    """-mean(ρ Â) with ρ = exp(log π(a|s) - log b(a|s))  (eq-weighted-loss).

    logits (..., N, A) of the policy that learns; actions a (..., N), log_prob_old, what their
    log-probabilities were under the behaviour policy b that took them, and advantages (..., N)
    -> (...). Both are data: gradients flow through log π alone, and ∇ρ = ρ ∇ log π.
    """
    raise NotImplementedError
