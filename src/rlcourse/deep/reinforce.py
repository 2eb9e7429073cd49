"""REINFORCE with a linear softmax policy: B independent learners in one loop.

After each episode every one of its steps moves the parameters (eq-reinforce-update):

    w <- w + α_w δ x_v(s_t)                     δ = G_t - v(s_t),  v(s) = x_v(s)·w
    θ <- θ + α γ^t δ ∇ log π(a_t|s_t)

Without a baseline v is 0. Steps that come later in the episode see the parameters that earlier ones
have moved, as in the published algorithm.

Shapes: S states, A actions, D parameters, F features of a state, B learners, N episodes, T steps.
Source: Sutton & Barto, section 13.3 and 13.4; Williams (1992).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.deep.policies import log_softmax, softmax_policy
from rlcourse.tabular.environment import Environment, sample_episodes
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.returns import completed_returns


class Learned(NamedTuple):
    """What B learners made of N episodes.

    theta    (B, D)  parameters of the policy
    w        (B, F)  weights of the baseline
    returns  (N, B)  undiscounted return of each episode
    """

    theta: Floats
    w: Floats
    returns: Floats


def reinforce(
    env: Environment,
    x: Floats,
    theta: Floats,
    *,
    episodes: int,
    alpha: ArrayLike,
    gamma: float,
    rng: np.random.Generator,
    x_v: Floats | None = None,
    alpha_w: ArrayLike = 0.0,
) -> Learned:
    """Improve B softmax policies from theta (B, D), features x (S, A, D)  (eq-reinforce-update).

    Step sizes alpha and alpha_w are numbers or (B,), one for each learner; x_v (S, F) are the
    features of the baseline, None: a constant. It is learned from 0, and with alpha_w = 0 stays
    there. An episode that env.limit cuts counts as whole: J is then what its first steps earn.
    Raises ValueError for bad shapes or step sizes, and where parameters become infinite.
    """
    _check.shape("theta", theta, ("B", x.shape[-1]))
    _check.interval("gamma", gamma, 0, 1)
    n = len(theta)
    sizes = {"alpha": alpha, "alpha_w": alpha_w}
    actor, critic = (
        _check.spread(k, _check.finite(k, a), (n,)).astype(np.float64) for k, a in sizes.items()
    )
    x_v = np.ones((env.n_states, 1)) if x_v is None else x_v
    theta, w = theta.astype(np.float64), np.zeros((n, x_v.shape[-1]))
    returns = np.zeros((_check.positive_integer("episodes", episodes), n))
    for k in range(episodes):
        one = sample_episodes(env, softmax_policy(x, theta), n, rng=rng)
        g = completed_returns(one.r, one.alive, one.terminated, np.zeros(n), gamma)
        returns[k] = one.r.sum(0)
        for t, alive in enumerate(one.alive):
            b = np.flatnonzero(alive)
            s, a = one.s[t, b], one.a[t, b]
            with np.errstate(over="ignore", invalid="ignore"):
                delta = g[t, b] - (x_v[s] * w[b]).sum(-1)
                w[b] += (critic[b] * delta)[:, None] * x_v[s]
                step = actor[b] * gamma**t * delta
                theta[b] += step[:, None] * _score(x, theta[b], s, a)
        if not np.isfinite(theta).all():
            lost = np.flatnonzero(~np.isfinite(theta).all(1))
            raise ValueError(
                f"alpha must be smaller: theta is infinite after episode {k} of {lost}"
            )
    return Learned(theta, w, returns)


def _score(x: Floats, theta: Floats, s: np.ndarray, a: np.ndarray) -> Floats:
    """∇ log π(a|s) of each learner's own state, action and parameters: (B, D)."""
    here = x[s]
    pi = np.exp(log_softmax((here * theta[:, None]).sum(-1)))
    return np.asarray(here[np.arange(len(s)), a] - (pi[..., None] * here).sum(1))
