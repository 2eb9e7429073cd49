# desk 886d47784b51: the hash of what follows. Edit below, and the file is yours.
"""Your desk for deep/ppo. Write the functions, then: rlcourse check ppo"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class KlEstimates(NamedTuple):
    """Three estimates of KL(π_old ‖ π) from one sample of π_old each; shapes as the log-ratio's."""

    k1: Tensor
    k2: Tensor
    k3: Tensor


def clipped_surrogate(
    log_ratio: Tensor,
    advantage: Tensor,
    epsilon_low: float,
    epsilon_high: float | None = None,
) -> Tensor:
    """min(ρ Â, clip(ρ, 1 - ε_low, 1 + ε_high) Â), to be made large  (eq-clipped-surrogate).

    log ρ and advantages (...) -> (...), element by element. ε_high is ε_low if it isn't given. The
    advantage is data. The gradient is ρ Â ∇log π; it is 0 where ρ has already gone beyond the clip
    in the direction in which the advantage pushes. Schulman et al. (2017), eq. 7.
    """
    raise NotImplementedError


def clipped_value_loss(v: Tensor, v_old: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """½ max((v - G)², (v_old + clip(v - v_old, -ε, ε) - G)²)  (eq-clipped-value-loss).

    Values v, those before the update and targets G (...) -> (...), element by element. Old values
    and targets are data. With epsilon = inf it is ½ (v - G)².
    """
    raise NotImplementedError


def kl_estimates(log_ratio: Tensor) -> KlEstimates:
    """k1 = -log ρ, k2 = (log ρ)²/2, k3 = ρ - 1 - log ρ  (eq-kl-estimates).

    log ρ = log π(a|s) - log π_old(a|s) of actions that π_old took, (...) -> (...). k1 and k3 have
    the mean KL(π_old ‖ π), k2 almost; k3 is never negative.
    """
    raise NotImplementedError


def ppo_loss(
    log_prob: Tensor,
    entropy: Tensor,
    value_loss: Tensor,
    log_prob_old: Tensor,
    advantage: Tensor,
    epsilon: float,
    value_weight: float,
    beta: float,
) -> Tensor:
    """-mean min(ρ Â, clip(ρ, 1 ± ε) Â) - β mean H + c mean value loss  (eq-ppo-loss).

    All tensors (..., N), of N samples: log-probabilities of the actions taken, now and when they
    were taken, entropies, value losses and advantages -> (...). What is old is data, and so is the
    advantage. It is to be made small. Schulman et al. (2017), eq. 9 with its sign turned.
    """
    raise NotImplementedError


def natural_step(gradient: Floats, fisher: Floats, delta: float) -> Floats:
    """x = √(2δ / gᵀF⁻¹g) F⁻¹ g: the best step of the length ½ xᵀ F x = δ  (eq-natural-step).

    gradient (..., D), fisher (..., D, D), symmetric and positive definite -> (..., D); 0 where the
    gradient is. It goes uphill. Schulman et al. (2015), appendix C.
    """
    raise NotImplementedError


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
    raise NotImplementedError
