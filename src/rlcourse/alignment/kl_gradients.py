"""What is descended when an estimate of the KL is: the exact mean gradients, by enumeration.

A sample y of π is fixed when the loss is differentiated, so the mean gradient of an estimate is

    g(k) = Σ_y π(y) ∇ k(y)                     and not ∇ Σ_y π(y) k(y)        (eq-mean-gradient)

    g(k1) = 0        g(k2) = ∇KL(π ‖ π_ref)        g(k3) = ∇KL(π_ref ‖ π)
    Σ_y π(y) k1(y) ∇ log π(y) = ∇KL(π ‖ π_ref)     k1 as a reward             (eq-reward-gradient)

Shapes: Y answers; all gradients are by the logits of π, (Y,).
"""

import torch
from torch import Tensor

from rlcourse.alignment.optimum import divergence
from rlcourse.alignment.ppo_rlhf import kl_penalty


def mean_gradient(logits: Tensor, log_ref: Tensor, kind: str) -> Tensor:
    """Σ_y π(y) ∇ k(y), k as in `kl_penalty`: (Y,) each -> (Y,)  (eq-mean-gradient)."""
    z, log_pi = _differentiable(logits)
    return _gradient((log_pi.detach().exp() * kl_penalty(log_pi, log_ref, kind)).sum(), z)


def reward_gradient(logits: Tensor, log_ref: Tensor) -> Tensor:
    """Σ_y π(y) k1(y) ∇ log π(y): what a leash in the reward descends  (eq-reward-gradient)."""
    z, log_pi = _differentiable(logits)
    k1 = kl_penalty(log_pi, log_ref, "k1").detach()
    return _gradient((log_pi.detach().exp() * k1 * log_pi).sum(), z)


def kl_gradient(logits: Tensor, log_ref: Tensor, *, forward: bool = False) -> Tensor:
    """∇KL(π ‖ π_ref), or, forward, ∇KL(π_ref ‖ π): (Y,) each -> (Y,)."""
    z, log_pi = _differentiable(logits)
    pair = (log_ref, log_pi) if forward else (log_pi, log_ref)
    return _gradient(divergence(*pair), z)


def _differentiable(logits: Tensor) -> tuple[Tensor, Tensor]:
    z = logits.detach().clone().requires_grad_(True)
    return z, z.log_softmax(-1)


def _gradient(total: Tensor, z: Tensor) -> Tensor:
    return torch.autograd.grad(total, z)[0]
