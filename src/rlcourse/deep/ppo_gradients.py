"""The gradient of PPO's policy loss, by hand: NumPy alone, no autograd.

With π = softmax(z) two derivatives suffice, and the clip is a mask that switches samples off:

    ∂ log π(a|s)/∂z = 1_a - π        ∂H/∂z = -π (log π + H)
    ∂L/∂z = -(m ρ Â (1_a - π) - β π (log π + H)) / N                       (eq-ppo-logits-gradient)

where m is 0 for a sample whose ratio is beyond the clip on the side to which its advantage pushes,
and 1 else.

Shapes: (...) leading axes, B independent learners; N samples, A actions.
Source: Schulman et al. (2017), eq. 7 and 9, differentiated.
"""

import numpy as np

from rlcourse.deep.policies import log_softmax
from rlcourse.tabular.mdp import Bools, Floats, Ints


def clip_is_open(rho: Floats, advantage: Floats, epsilon: float) -> Bools:
    """Whether a sample still pushes: False where ρ > 1 + ε and Â > 0, or ρ < 1 - ε and Â < 0."""
    return np.where(advantage > 0, rho <= 1 + epsilon, rho >= 1 - epsilon)


def ppo_logits_gradient(
    logits: Floats,
    a: Ints,
    log_prob_old: Floats,
    advantage: Floats,
    epsilon: float,
    beta: float,
) -> Floats:
    """∂L/∂z = -(m ρ Â (1_a - π) - β π (log π + H)) / N  (eq-ppo-logits-gradient).

    Of L = -mean min(ρ Â, clip(ρ, 1 ± ε) Â) - β mean H with respect to logits z (..., N, A); actions
    a, old log-probabilities and advantages (..., N) -> (..., N, A). Each row sums to 0.
    """
    log_pi = log_softmax(logits)
    pi, taken = np.exp(log_pi), np.arange(logits.shape[-1]) == a[..., None]
    rho = np.exp((log_pi * taken).sum(-1) - log_prob_old)
    push = np.where(clip_is_open(rho, advantage, epsilon), rho * advantage, 0.0)
    h = -(pi * log_pi).sum(-1, keepdims=True)
    rise = push[..., None] * (taken - pi) - beta * pi * (log_pi + h)
    return np.asarray(-rise / logits.shape[-2])
