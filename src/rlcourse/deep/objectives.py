"""What a policy earns, and the exact gradient of it, on a known MDP: the policy gradient theorem.

    ∇J = Σ_s η(s) Σ_a π(a|s) ∇ log π(a|s) q(s, a)      (eq-policy-gradient)

holds for each of the objectives, with the weights η of the states and the values q that belong to
it:

    start value     J = Σ_s d_0(s) v_π(s)   η expected discounted visits, q action values
    average reward  J = Σ_s d_π(s) r_π(s)   η = d_π stationary, q differential

The start value is the average value under fixed weights d_0 of the states. It is how often states
are met that depends on θ, and yet no derivative of η is in the theorem: that is what it says.

Shapes: S states, A actions, D parameters; (...) leading axes of θ, B learners, say.
Source: Sutton et al. (2000); Marbach & Tsitsiklis (2001); Zhao, ch. 9; Sutton & Barto, ch. 13.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.deep.policies import entropy, entropy_gradient, softmax_policy, softmax_score
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import MDP, Floats, uniform_policy


class Exact(NamedTuple):
    """An objective and its gradient, by linear solves; leading axes are those of θ.

    objective  (...)        J(θ)
    gradient   (..., D)     ∇J(θ)
    eta        (..., S)     η(s): expected discounted visits, or the stationary distribution
    v, q       (..., S), (..., S, A)  values, or differential ones of the average reward
    """

    objective: Floats
    gradient: Floats
    eta: Floats
    v: Floats
    q: Floats


def policy_gradient(eta: Floats, pi: Floats, q: Floats, score: Floats) -> Floats:
    """∇J = Σ_s η(s) Σ_a π(a|s) ∇ log π(a|s) q(s, a)  (eq-policy-gradient).

    eta (..., S), pi and q (..., S, A), score (..., S, A, D) -> (..., D). eta are the expected
    discounted visits of each state; they need not sum to 1. Sutton & Barto, section 13.2.
    """
    weight = eta[..., None] * pi * q
    return np.asarray((weight[..., None] * score).sum((-3, -2)))


def value_objective(
    mdp: MDP, x: Floats, theta: Floats, start: ArrayLike, gamma: float, beta: float = 0.0
) -> Exact:
    """J(θ) = Σ_s d_0(s) v_π(s) and its gradient, exactly  (eq-start-value).

    Features x (S, A, D), theta (..., D); start is a state or the distribution d_0 (S,), which
    doesn't depend on θ. η = d_0 + γ P_πᵀ η. With beta, each step also earns β H(s), the policy's
    entropy there (eq-entropy-objective). Raises ValueError for a gamma outside [0, 1], or 1 where
    episodes need not end.
    """
    d0, pi = _start(mdp, start), softmax_policy(x, theta)
    closed_form(mdp, uniform_policy(mdp), gamma)  # a softmax policy ends where the uniform one does
    p, r = _model(mdp)
    score, h = softmax_score(x, pi), entropy(pi)
    a = np.eye(len(d0)) - gamma * np.einsum("...sa,saj->...sj", pi, p)
    v = _solve(a, (pi * r).sum(-1) + beta * h)
    eta = _solve(np.swapaxes(a, -1, -2), np.broadcast_to(d0, v.shape))
    q = r + gamma * np.einsum("saj,...j->...sa", p, v)
    gradient = policy_gradient(eta, pi, q, score)
    gradient = gradient + beta * (eta[..., None] * entropy_gradient(score, pi)).sum(-2)
    return Exact(v @ d0, gradient, eta, v, q)


def average_reward(mdp: MDP, x: Floats, theta: Floats) -> Exact:
    """J(θ) = Σ_s d_π(s) r_π(s), the reward per step in the long run  (eq-average-reward).

    Of an MDP without ends, all of whose states lead to each other: d_π = P_πᵀ d_π. v and q are
    differential: v = r_π - J + P_π v with Σ_s d_π(s) v(s) = 0. Raises ValueError where an episode
    can end. Zhao, section 9.3.2; Sutton & Barto, section 13.6.
    """
    if mdp.terminated.any():
        raise ValueError("mdp must never end: an average over all time forgets what ends")
    pi = softmax_policy(x, theta)
    p, r = _model(mdp)
    score, n = softmax_score(x, pi), len(r)
    p_pi, r_pi = np.einsum("...sa,saj->...sj", pi, p), (pi * r).sum(-1)
    # d (I - P + 1 1ᵀ) = 1ᵀ: the stationary rows and their sum in one system that has an inverse
    a = np.eye(n) - p_pi + 1.0
    d = _solve(np.swapaxes(a, -1, -2), np.ones(r_pi.shape))
    j = (d * r_pi).sum(-1)
    v = _solve(np.eye(n) - p_pi + d[..., None, :], r_pi - j[..., None])
    q = r - j[..., None, None] + np.einsum("saj,...j->...sa", p, v)
    return Exact(j, policy_gradient(d, pi, q, score), d, v, q)


def _start(mdp: MDP, start: ArrayLike) -> Floats:
    d0 = np.asarray(start)
    if d0.ndim == 0:
        d0 = np.eye(len(mdp.p))[_check.indices("start", d0, len(mdp.p))]
    _check.shape("start", d0, (len(mdp.p),))
    return _check.probabilities("start", d0)


def _model(mdp: MDP) -> tuple[Floats, Floats]:
    """P(s, a, j), the chance to go on in state j, and the mean reward r(s, a)."""
    p = np.zeros((*mdp.p.shape[:2], len(mdp.p)))
    s, a = np.ogrid[: p.shape[0], : p.shape[1]]
    np.add.at(p, (s[..., None], a[..., None], mdp.s_next), mdp.p * (1 - mdp.terminated))
    return p, (mdp.p * mdp.r).sum(-1)


def _solve(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.linalg.solve(a, b[..., None])[..., 0])
