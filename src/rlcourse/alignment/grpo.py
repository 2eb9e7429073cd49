"""Group-relative policy optimisation and its kin: answers to one prompt are each other's critic.

A prompt is answered G times, and what one answer earned is compared with what the others did.

    RLOO            r - mean of the others                       (eq-rloo)
    GRPO            (r - mean of all) / (std of the group + ε)   (eq-grpo-advantage)
    Dr. GRPO        r - mean of all                              (eq-centred-advantage)
    REINFORCE++     (r - mean of all) / (std of the batch + ε)   (eq-batch-scaled-advantage)
    REINFORCE       r - mean of the batch                        (eq-batch-baseline)

    DAPO            clip(ρ, 1 - ε_low, 1 + ε_high), and only groups whose rewards differ
                                                                              (eq-dynamic-sampling)
    CISPO           -sg[clip(ρ)] Â log π: a clipped weight, no token silenced             (eq-cispo)
    GSPO            one ratio for the answer, exp(mean log ρ)                              (eq-gspo)

A group whose rewards are all equal teaches nothing: its advantages are 0. Division by the group's
own standard deviation makes nearly solved and nearly hopeless prompts the loudest.

Shapes: B responses, of which those with equal numbers in `groups` (B,) answer one prompt; R tokens.
Sources: Ahmadian et al. (2024), RLOO; Shao et al. (2024), GRPO, section 4.1.2; Liu et al. (2025),
Dr. GRPO; Hu et al. (2025), REINFORCE++; Yu et al. (2025), DAPO, eq. 8 and 11; MiniMax (2025),
CISPO, eq. 4 and 5; Zheng et al. (2025), GSPO, eq. 6 and 14.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SCALES = "group", "batch", "none"


class Groups(NamedTuple):
    """Of each response the size, the mean and the unbiased standard deviation of its group."""

    size: Tensor
    mean: Tensor
    std: Tensor


def grpo_advantages(
    rewards: Tensor, groups: Tensor, scale: str = "group", epsilon: float = 1e-6
) -> Tensor:
    """r - mean of its group, divided by a standard deviation + ε; data, (B,) each -> (B,)
    (eq-grpo-advantage, eq-centred-advantage, eq-batch-scaled-advantage).

    scale: "group" (GRPO), "batch" of all centred rewards (REINFORCE++), or "none" (Dr. GRPO).
    Standard deviations are unbiased, those of the group over G - 1, that of the batch over B - 1.
    Where all rewards of a group are equal its advantages are 0. Raises ValueError for a group of
    one, which has nothing to be compared with, for shapes that don't fit, and for another scale.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}, got {scale!r}")
    found = group_moments(rewards, groups)
    centred = rewards.detach() - found.mean
    if scale == "none":
        return centred
    return centred / ((found.std if scale == "group" else centred.std()) + epsilon)


def leave_one_out(rewards: Tensor, groups: Tensor) -> Tensor:
    """r - mean of the group's other rewards: data, (B,) each -> (B,)  (eq-rloo).

    What the others earned doesn't depend on this answer, so the gradient has no bias. Raises
    ValueError for a group of one, and for shapes that don't fit.
    """
    size, mean = group_means(rewards, groups)
    return (rewards.detach() - mean) * size / (size - 1)


def informative(rewards: Tensor, groups: Tensor) -> Tensor:
    """(B,): True in groups whose rewards are not all equal  (eq-dynamic-sampling).

    The others have no gradient; dynamic sampling draws further prompts in their place.
    """
    member = groups[:, None] == groups
    return (member & (rewards[:, None] != rewards)).any(1)


def cispo_loss(
    log_prob: Tensor,
    log_prob_old: Tensor,
    advantage: Tensor,
    epsilon_low: float,
    epsilon_high: float,
) -> Tensor:
    """-sg[clip(ρ, 1 - ε_low, 1 + ε_high)] Â log π: (...) each -> (...)  (eq-cispo).

    The ratio is a weight without a gradient, so that every token keeps one. What is old is data,
    and so is the advantage.
    """
    rho = (log_prob - log_prob_old).exp().clamp(1 - epsilon_low, 1 + epsilon_high)
    return -(rho * advantage).detach() * log_prob


def sequence_log_ratio(log_prob: Tensor, log_prob_old: Tensor, mask: Tensor) -> Tensor:
    """(1/|y|) Σ_t log ρ_t at each token of an answer y, with the gradient ∇log π(y_t)  (eq-gspo).

    Log-probabilities now and before and the mask, (B, R) each -> (B, R), 0 where the mask is False.
    For `clipped_surrogate`: all tokens of an answer are clipped, or none. The mean over the tokens
    of an answer has the gradient of the answer's own ratio. What is old is data. Raises ValueError
    where a row has no token.
    """
    if not mask.any(1).all():
        raise ValueError("mask must have a token in each row, got a row without")
    ratio = torch.where(mask, log_prob - log_prob_old, 0).detach()
    whole = ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return torch.where(mask, whole + log_prob - log_prob.detach(), 0)


# ------------------------------------------------------------------------------- around it


def group_moments(rewards: Tensor, groups: Tensor) -> Groups:
    """Size, mean and unbiased standard deviation of each response's group; (B,) each.

    Exactly 0 is the deviation of a group of equal rewards. Raises ValueError as `group_means` does.
    """
    size, mean = group_means(rewards, groups)
    member = groups[:, None] == groups
    variance = (member * (rewards.detach() - mean) ** 2).sum(1) / (size - 1)
    return Groups(size, mean, variance.sqrt())


def group_means(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Size and mean of each response's group; (B,) each. The mean of equal rewards is that reward.

    Raises ValueError for shapes that don't fit and a group of one.
    """
    if rewards.dim() != 1 or rewards.shape != groups.shape:
        raise ValueError(
            f"rewards and groups must be of one length, got {tuple(rewards.shape)} and "
            f"{tuple(groups.shape)}"
        )
    member, r = groups[:, None] == groups, rewards.detach()
    size = member.sum(1)
    if (alone := groups[size == 1]).numel():
        raise ValueError(f"groups must have two responses at least, group {int(alone[0])} has one")
    return size, r + (member * (r - r[:, None])).sum(1) / size  # differences of equals are 0


def batch_baseline(rewards: Tensor) -> Tensor:
    """r - mean of the batch, the other prompts included: data, (B,) -> (B,) (eq-batch-baseline)."""
    return rewards.detach() - rewards.detach().mean()
