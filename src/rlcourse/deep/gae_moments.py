"""Mean and variance of generalized advantage estimates, exactly: two linear solves.

On a known MDP an estimate Â of a step is a random number with a law that can be computed. With
g = 1 where the episode goes on, c = γλ and the critic v̂,

    δ = r + γ g v̂(s') - v̂(s)        Â = δ + c g Â'
    mean          m(s, a) = E[δ] + c E[g m(s')]                             (eq-gae-mean)
    second moment u(s, a) = E[δ² + 2 c g δ m(s') + c² g u(s')]              (eq-gae-second-moment)

where m(s) and u(s) are means over the actions of the policy. Bias is m less the advantage itself.

Shapes: S states, A actions; (...) leading axes of critics and λ, which broadcast.
Source: Sobel (1982) for the second moment of returns; Schulman et al. (2016) for the estimate.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import MDP, Floats


class Moments(NamedTuple):
    """Of Â(s, a): the advantage that it estimates (S, A), its mean and variance (..., S, A)."""

    exact: Floats
    mean: Floats
    variance: Floats


def gae_moments(mdp: MDP, pi: Floats, v_hat: Floats, gamma: float, lam: ArrayLike) -> Moments:
    """Mean and variance of Â in every state and action  (eq-gae-mean, eq-gae-second-moment).

    pi (S, A), v_hat (..., S) and lam (...) broadcast -> (..., S, A). Every episode is seen to its
    end.
    Raises ValueError for a gamma or lam outside [0, 1], and a gamma of 1 without ends.
    """
    v = closed_form(mdp, pi, gamma)
    lam = _check.finite("lam", lam)
    for bound in (lam.min(), lam.max()):
        _check.interval("lam", float(bound), 0, 1)
    c = gamma * lam
    on = mdp.p * (1 - mdp.terminated)
    delta = mdp.r + gamma * (1 - mdp.terminated) * v_hat[..., mdp.s_next] - v_hat[..., None, None]
    first = (mdp.p * delta).sum(-1)
    m = _settled(mdp, pi, c, (pi * first).sum(-1))
    wide = c[..., None, None, None]
    after = wide * m[..., mdp.s_next]
    mean = first + (on * after).sum(-1)
    known = (mdp.p * delta**2 + 2 * on * delta * after).sum(-1)
    u = _settled(mdp, pi, c**2, (pi * known).sum(-1))
    second = known + (on * wide**2 * u[..., mdp.s_next]).sum(-1)
    q = (mdp.p * (mdp.r + gamma * (1 - mdp.terminated) * v[mdp.s_next])).sum(-1)
    return Moments(q - v[:, None], mean, second - mean**2)


def _settled(mdp: MDP, pi: Floats, c: Floats, x: Floats) -> Floats:
    """The y (..., S) of y = x + c P y, P the policy's chances to go on."""
    n = len(pi)
    p, s = np.zeros((n, n)), np.arange(n)[:, None, None]
    np.add.at(p, (s, mdp.s_next), pi[..., None] * mdp.p * (1 - mdp.terminated))
    a = np.eye(n) - c[..., None, None] * p
    return np.asarray(np.linalg.solve(a, x[..., None])[..., 0])
