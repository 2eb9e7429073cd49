# desk 2bd166c66df8: the hash of what follows. Edit below, and the file is yours.
"""Your desk for alignment/grpo. Write the functions, then: rlcourse check grpo"""

import torch
from torch import Tensor


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
    raise NotImplementedError


def leave_one_out(rewards: Tensor, groups: Tensor) -> Tensor:
    """r - mean of the group's other rewards: data, (B,) each -> (B,)  (eq-rloo).

    What the others earned doesn't depend on this answer, so the gradient has no bias. Raises
    ValueError for a group of one, and for shapes that don't fit.
    """
    raise NotImplementedError


def informative(rewards: Tensor, groups: Tensor) -> Tensor:
    """(B,): True in groups whose rewards are not all equal  (eq-dynamic-sampling).

    The others have no gradient; dynamic sampling draws further prompts in their place.
    """
    raise NotImplementedError


def token_weights(mask: Tensor, way: str, length: int | None = None) -> Tensor:
    """What the loss of each token is multiplied by before all are summed; mask (B, R) -> (B, R),
    float64 (eq-token-mean, eq-sequence-mean, eq-constant-sum).

    way: "token mean", "sequence mean", or "constant" with a `length` L, such as the longest answer
    allowed. A response without a token that counts has no weight and isn't one of the B. Raises
    ValueError for another way, for a constant without a whole length of at least 1, and where no
    token counts at all.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def sequence_log_ratio(log_prob: Tensor, log_prob_old: Tensor, mask: Tensor) -> Tensor:
    """(1/|y|) Σ_t log ρ_t at each token of an answer y, with the gradient ∇log π(y_t)  (eq-gspo).

    Log-probabilities now and before and the mask, (B, R) each -> (B, R), 0 where the mask is False.
    For `clipped_surrogate`: all tokens of an answer are clipped, or none. The mean over the tokens
    of an answer has the gradient of the answer's own ratio. What is old is data. Raises ValueError
    where a row has no token.
    """
    raise NotImplementedError
