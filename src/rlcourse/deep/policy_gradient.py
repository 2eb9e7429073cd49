"""Policy gradients: which way to turn the parameters so that more is earned.

The gradient of what a policy earns is a mean over what it does, so that it can be sampled:

    trajectory  ∇J = E[R(τ) Σ_t ∇ log π(a_t|s_t)]                       (eq-trajectory-gradient)
    theorem     ∇J = Σ_s η(s) Σ_a π(a|s) ∇ log π(a|s) q_π(s, a)      (eq-policy-gradient)

Every estimator is Σ_t w_t ∇ log π(a_t|s_t) of an episode; they differ in the weights w_t alone:

    total return   w_t = G_0                            (eq-trajectory-gradient)
    reward-to-go   w_t = γ^t G_t                        (eq-reinforce)
    baseline       w_t = γ^t (G_t - b(s_t))             (eq-baseline)
    off-policy     w_t = γ^t ρ_{0:t-1} G^ρ_t            (eq-off-policy-gradient)

All have the mean ∇J, and very different variances. On an enumerable MDP the mean is known exactly:
no estimator is trusted here that doesn't meet it within its standard error (`measure`).

Shapes: S states, A actions, D parameters, B episodes or learners, T steps; (...) leading axes.
Source: Williams (1992); Sutton et al. (2000); Sutton & Barto, ch. 13; Zhao, ch. 9 and 10.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.tabular.environment import Episodes
from rlcourse.tabular.importance_sampling import per_decision_returns
from rlcourse.tabular.mdp import Floats


class Measured(NamedTuple):
    """What B estimates of a gradient are worth, beside the exact one; the first three are (D,).

    mean      of the estimates
    error     its standard error
    z         (mean - exact) / error; where nothing varies: 0 if it is exact, else infinite
    variance  Σ_d Var: the mean squared distance of one estimate from the mean
    """

    mean: Floats
    error: Floats
    z: Floats
    variance: float


# ------------------------------------------------------------------------------- sampled


def reinforce_weights(g: Floats, gamma: float, baseline: Floats | float = 0.0) -> Floats:
    """w_t = γ^t (G_t - b(s_t)): reward-to-go and what was expected of it  (eq-baseline).

    Returns g and baseline (T, B) -> (T, B). With gamma = 1 the factor γ^t is dropped, as most
    programs do; whether the returns g are discounted is another matter.
    """
    discount = gamma ** np.arange(len(g))
    return np.asarray(discount[:, None] * (g - baseline))


def off_policy_weights(r: Floats, rho: Floats, gamma: float) -> Floats:
    """w_t = γ^t ρ_{0:t-1} G^ρ_t, with G^ρ_t = ρ_t (r_t + γ G^ρ_{t+1})  (eq-off-policy-gradient).

    Rewards r and ratios rho (T, B) of B padded episodes -> (T, B). A reward counts by the ratios up
    to its own action. Zhao, section 10.3; Precup, Sutton & Singh (2000).
    """
    before = np.ones(rho.shape)
    before[1:] = rho[:-1].cumprod(0)
    discount = gamma ** np.arange(len(rho))
    return np.asarray(discount[:, None] * before * per_decision_returns(r, rho, gamma))


def gradient_estimates(score: Floats, x: Episodes, w: Floats) -> Floats:
    """Σ_t w_t ∇ log π(a_t|s_t) of each of B episodes: (B, D)  (eq-estimator).

    score (S, A, D) of one policy or (B, S, A, D), weights w (T, B); what lies after an episode's
    end counts nothing.
    """
    found = np.zeros((x.s.shape[1], score.shape[-1]))
    each = np.arange(len(found))
    for s, a, weight in zip(x.s, x.a, w * x.alive, strict=True):
        met = score[s, a] if score.ndim == 3 else score[each, s, a]
        found += weight[:, None] * met
    return found


def optimal_baseline(pi: Floats, q: Floats, score: Floats) -> Floats:
    """b*(s) = Σ_a π |∇ log π|² q / Σ_a π |∇ log π|²  (eq-optimal-baseline).

    pi and q (..., S, A), score (..., S, A, D) -> (..., S), and v(s) = Σ_a π q where the score is 0
    for all that the policy does. Of all baselines it leaves the least variance in one step's
    Σ_d (∇_d log π)² (q - b)². Greensmith et al. (2004); Zhao, section 10.2.
    """
    weight = pi * (score**2).sum(-1)
    total = weight.sum(-1)
    mean = np.divide((weight * q).sum(-1), total, out=(pi * q).sum(-1), where=total > 0)
    return np.asarray(mean)


def optimal_constants(z: Floats, g: Floats, p: Floats | None = None) -> Floats:
    """b_d = E[z_d² G] / E[z_d²], one constant for each component of the gradient  (eq-constants).

    z (B, D), the summed scores of B episodes, and their returns g (B,) -> (D,); p (B,) are the
    episodes' probabilities, None: all alike. Greensmith et al. (2004); Peters & Schaal (2008).
    """
    square = z**2 * (1.0 if p is None else p[:, None])
    return np.asarray((square * g[:, None]).sum(0) / square.sum(0))


def measure(estimates: Floats, exact: Floats) -> Measured:
    """Mean, standard error and variance of B estimates (B, D), and how far off exact (D,) they are.

    Raises ValueError where there are fewer than two.
    """
    if len(estimates) < 2:
        raise ValueError(f"estimates must be at least 2 to have a spread, got {len(estimates)}")
    mean, variance = estimates.mean(0), estimates.var(0, ddof=1)
    error = np.sqrt(variance / len(estimates))
    off = mean - exact
    still = np.where(np.abs(off) < 1e-12, 0.0, np.copysign(np.inf, off))
    z = np.divide(off, error, out=still, where=error > 0)
    return Measured(mean, error, z, float(variance.sum()))
