"""Losses whose gradient is the policy gradient: what an optimizer is given.

An optimizer wants a number to go down, and autograd differentiates all that it can reach. So a loss
must say two things at once: what the number is, and what must *not* be differentiated. The weights
of the scores are data: gradients stop at them (`detach`).

    policy gradient  -mean(log π(a|s) Â) - β mean H(s)                  (eq-policy-gradient-loss)
    off-policy       -mean(ρ Â),  ρ = exp(log π(a|s) - log b(a|s))      (eq-weighted-loss)

Means run over the last axis, the N samples; leading axes are B independent learners, whose losses
can be summed: none sees another's gradient.

Shapes: B learners, N samples, A actions; (...) stands for any leading axes.
Source: Williams (1992); Sutton & Barto, section 13.3; Zhao, section 10.3.
"""

import torch
from torch import Tensor


def log_prob(logits: Tensor, a: Tensor) -> Tensor:
    """log π(a|s) = h(s, a) - log Σ_b exp h(s, b)  (eq-log-prob).

    logits (..., A), actions a (...) of whole numbers -> (...).
    """
    return logits.log_softmax(-1).gather(-1, a[..., None])[..., 0]


def categorical_entropy(logits: Tensor) -> Tensor:
    """H(s) = -Σ_a π(a|s) log π(a|s), in nats: logits (..., A) -> (...)  (eq-entropy)."""
    log_pi = logits.log_softmax(-1)
    return -(log_pi.exp() * log_pi).sum(-1)


def policy_gradient_loss(logits: Tensor, a: Tensor, advantage: Tensor, beta: float) -> Tensor:
    """-mean(log π(a|s) Â) - β mean H(s): its descent is the ascent of J  (eq-policy-gradient-loss).

    logits (..., N, A), actions a and advantages (..., N) -> (...). The advantage is a weight: no
    gradient flows through it. beta >= 0 pays for entropy.
    """
    gain = log_prob(logits, a) * advantage.detach()
    return -(gain + beta * categorical_entropy(logits)).mean(-1)


def weighted_policy_loss(
    logits: Tensor, a: Tensor, log_prob_old: Tensor, advantage: Tensor
) -> Tensor:
    """-mean(ρ Â) with ρ = exp(log π(a|s) - log b(a|s))  (eq-weighted-loss).

    logits (..., N, A) of the policy that learns; actions a (..., N), log_prob_old, what their
    log-probabilities were under the behaviour policy b that took them, and advantages (..., N)
    -> (...). Both are data: gradients flow through log π alone, and ∇ρ = ρ ∇ log π.
    """
    rho = (log_prob(logits, a) - log_prob_old.detach()).exp()
    return -(rho * advantage.detach()).mean(-1)


def effective_sample_size(log_rho: Tensor) -> Tensor:
    """(Σ ρ)² / Σ ρ²: as how many samples N weighted ones count  (eq-effective-sample-size).

    log_rho (..., N) -> (...), between 1 and N; finite however large the ratios are, since they may
    be scaled alike. Kong (1992).
    """
    rho = (log_rho - log_rho.amax(-1, keepdim=True)).exp()
    return rho.sum(-1) ** 2 / (rho**2).sum(-1)


def check_finite(name: str, x: Tensor, when: str) -> None:
    """FloatingPointError that says where a number stopped being one, and in which learners."""
    lost = ~torch.isfinite(x.detach())
    if lost.any():
        where = sorted({int(i) for i in lost.reshape(len(x), -1).any(1).nonzero()[:, 0]})
        raise FloatingPointError(f"{name} is not finite {when}, first in learners {where}")
