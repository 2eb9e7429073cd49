"""Policies with parameters: how likely an action is, and which way makes it likelier.

A policy that is to be improved by gradients needs three things: its probability, the score, that is
the gradient of its log, and its entropy. Two families give all three in closed form:

    softmax   π(a|s) = exp h(s, a) / Σ_b exp h(s, b)     (eq-softmax-policy)
              ∇ log π(a|s) = x(s, a) - Σ_b π(b|s) x(s, b)    where h = x·θ  (eq-score)
    Gaussian  log π(a|s) = -((a - μ)/σ)²/2 - log σ - log(2π)/2             (eq-gaussian-policy)

A score has mean 0 under its own policy (eq-score-mean): nothing can make all actions likelier.
The Gaussian's functions are operators only, for NumPy's arrays and torch's tensors alike.

Shapes: S states, A actions, D parameters, B independent learners; (...) stands for leading axes.
Source: Sutton & Barto, 2nd ed., sections 13.1 and 13.7; Zhao, ch. 9.
"""

import math
from typing import NamedTuple

import numpy as np

from rlcourse.tabular.mdp import Floats

HALF_LOG_2PI = math.log(2 * math.pi) / 2


class GaussianScore(NamedTuple):
    """∇ log π(a) with respect to the mean and to log σ, each of the actions' shape."""

    mean: Floats
    log_std: Floats


# ------------------------------------------------------------------------------- softmax


def log_softmax(h: Floats) -> Floats:
    """log π(a|s) = h(s, a) - log Σ_b exp h(s, b): preferences (..., A) -> (..., A).

    Finite for preferences of any size, since the largest of each row is taken off first.
    """
    below = h - h.max(-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(-1, keepdims=True)))


def softmax_policy(x: Floats, theta: Floats) -> Floats:
    """π(a|s) = exp h(s, a) / Σ_b exp h(s, b) with preferences h = x·θ  (eq-softmax-policy).

    Features x (S, A, D) and parameters theta (..., D), one row for each of B learners, say
    -> (..., S, A). Sutton & Barto, eq. 13.2 and 13.3.
    """
    return np.asarray(np.exp(log_softmax(np.tensordot(theta, x, (-1, -1)))))


def tabular_features(n_states: int, n_actions: int) -> Floats:
    """x(s, a) = the unit vector of the pair (s, a): every preference is its own parameter.

    -> (S, A, D) with D = S A: entry s A + a of θ is h(s, a).
    """
    return np.eye(n_states * n_actions).reshape(n_states, n_actions, -1)


def softmax_score(x: Floats, pi: Floats) -> Floats:
    """∇ log π(a|s) = x(s, a) - Σ_b π(b|s) x(s, b)  (eq-score).

    Features x (S, A, D) and the softmax policy pi (..., S, A) that they make -> (..., S, A, D).
    Leading axes of pi are learners that share the features. Sutton & Barto, eq. 13.9.
    """
    mean = (pi[..., None] * x).sum(-2, keepdims=True)
    return np.asarray(x - mean)


def entropy(pi: Floats) -> Floats:
    """H(s) = -Σ_a π(a|s) log π(a|s), in nats, where 0 log 0 is 0  (eq-entropy).

    pi (..., A) -> (...): 0 for a policy that is sure, log A for one that takes each action alike.
    """
    surprise = np.log(pi, out=np.zeros(pi.shape), where=pi > 0)
    return np.asarray(0.0 - (pi * surprise).sum(-1))


def entropy_gradient(score: Floats, pi: Floats) -> Floats:
    """∇H(s) = -Σ_a π(a|s) ∇ log π(a|s) log π(a|s)  (eq-entropy-gradient).

    score (..., S, A, D), pi (..., S, A) -> (..., S, D). It is a policy gradient in which each
    action earns its own surprise, -log π(a|s).
    """
    surprise = np.log(pi, out=np.zeros(pi.shape), where=pi > 0)
    return np.asarray(-((pi * surprise)[..., None] * score).sum(-2))


# ------------------------------------------------------------------------------- Gaussian


def gaussian_log_prob(a: Floats, mean: Floats, log_std: Floats) -> Floats:
    """log π(a|s) = -((a - μ)/σ)²/2 - log σ - log(2π)/2  (eq-gaussian-policy).

    Any shapes that broadcast, arrays or tensors; of an action with several parts, independent
    given s, sum the last axis. It is the log of a density, and may be above 0.
    """
    z = (a - mean) * math.e**-log_std
    return -(z * z) / 2 - log_std - HALF_LOG_2PI


def gaussian_score(a: Floats, mean: Floats, log_std: Floats) -> GaussianScore:
    """∇_μ log π = (a - μ)/σ² and ∇_{log σ} log π = ((a - μ)/σ)² - 1  (eq-gaussian-score).

    Any shapes that broadcast. With respect to log σ instead of σ, which needs no bound: any number
    is the log of a positive one. Sutton & Barto, exercise 13.4.
    """
    scale = math.e**-log_std
    z = (a - mean) * scale
    return GaussianScore(z * scale, z * z - 1)


def gaussian_entropy(log_std: Floats) -> Floats:
    """H = log σ + log(2πe)/2, in nats, whatever the mean  (eq-gaussian-entropy)."""
    return log_std + (HALF_LOG_2PI + 0.5)
