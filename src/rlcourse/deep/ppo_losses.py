"""What PPO is made of: the clip, the clipped value loss, and how far a policy has moved.

A batch is used for several steps. From the second on its actions are those of another policy, and
what they say is weighed by the ratio of probabilities, as long as that is near 1:

    ρ       exp(log π(a|s) - log π_old(a|s))                                 (eq-ratio)
    clip    min(ρ Â, clip(ρ, 1 - ε, 1 + ε) Â)                                (eq-clipped-surrogate)
    value   ½ max((v - G)², (v_old + clip(v - v_old, -ε, ε) - G)²)           (eq-clipped-value-loss)
    loss    -mean clip - β mean H + c mean value                             (eq-ppo-loss)
    k3      ρ - 1 - log ρ, with the mean KL(π_old ‖ π)                       (eq-kl-estimates)

All but the loss are element by element, so that any mean may follow: over samples, over tokens that
a mask leaves. Advantages, targets and whatever is old are data: gradients stop at them.

Shapes: (...) any; the loss takes means over the last axis, N samples, and leading axes are B
independent learners, whose losses can be summed.
Source: Schulman et al. (2017); for value clipping Engstrom et al. (2020); for k3 Schulman (2020).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class KlEstimates(NamedTuple):
    """Three estimates of KL(π_old ‖ π) from one sample of π_old each; shapes as the log-ratio's."""

    k1: Tensor
    k2: Tensor
    k3: Tensor


def probability_ratio(log_prob: Tensor, log_prob_old: Tensor) -> Tensor:
    """ρ = exp(log π(a|s) - log π_old(a|s)); the old one is data  (eq-ratio)."""
    return (log_prob - log_prob_old.detach()).exp()


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
    high = epsilon_low if epsilon_high is None else epsilon_high
    rho, weight = log_ratio.exp(), advantage.detach()
    return torch.minimum(rho * weight, rho.clamp(1 - epsilon_low, 1 + high) * weight)


def dual_clip(surrogate: Tensor, advantage: Tensor, c: float) -> Tensor:
    """max(surrogate, c Â) where Â < 0: a huge ratio pushes no harder than c > 1  (eq-dual-clip).

    What `clipped_surrogate` gave, element by element; elsewhere it stays. Ye et al. (2020).
    """
    weight = advantage.detach()
    return torch.where(weight < 0, torch.maximum(surrogate, c * weight), surrogate)


def clipped_value_loss(v: Tensor, v_old: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """½ max((v - G)², (v_old + clip(v - v_old, -ε, ε) - G)²)  (eq-clipped-value-loss).

    Values v, those before the update and targets G (...) -> (...), element by element. Old values
    and targets are data. With epsilon = inf it is ½ (v - G)².
    """
    old, g = v_old.detach(), target.detach()
    near = old + (v - old).clamp(-epsilon, epsilon)
    return torch.maximum((v - g) ** 2, (near - g) ** 2) / 2


def kl_estimates(log_ratio: Tensor) -> KlEstimates:
    """k1 = -log ρ, k2 = (log ρ)²/2, k3 = ρ - 1 - log ρ  (eq-kl-estimates).

    log ρ = log π(a|s) - log π_old(a|s) of actions that π_old took, (...) -> (...). k1 and k3 have
    the mean KL(π_old ‖ π), k2 almost; k3 is never negative.
    """
    return KlEstimates(-log_ratio, log_ratio**2 / 2, torch.expm1(log_ratio) - log_ratio)


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
    surrogate = clipped_surrogate(log_prob - log_prob_old.detach(), advantage, epsilon)
    return (value_weight * value_loss - surrogate - beta * entropy).mean(-1)


# ------------------------------------------------------------------------------- around it


def normalised(advantage: Tensor) -> Tensor:
    """(Â - mean)/(std + 1e-8) over the last axis, each learner by itself; all 0 where all equal."""
    std, mean = torch.std_mean(advantage, -1, correction=0, keepdim=True)
    return (advantage - mean) / (std + 1e-8)


def clip_fraction(log_ratio: Tensor, epsilon: float) -> Tensor:
    """The share of samples whose ratio is beyond 1 ± ε: (..., N) -> (...)."""
    return ((log_ratio.exp() - 1).abs() > epsilon).double().mean(-1)


def explained_variance(v: Tensor, target: Tensor) -> Tensor:
    """1 - Var(G - v)/Var(G): 1 if v is G up to a constant, 0 for a constant, below 0 if worse.

    (..., N) -> (...); NaN where all targets are equal.
    """
    rest, whole = (x.var(-1, correction=0) for x in (target - v, target))
    return torch.where(whole > 0, 1 - rest / whole, torch.nan)
