# desk ceb889b3cb20: the hash of what follows. Edit below, and the file is yours.
"""Your desk for alignment/dpo. Write the functions, then: rlcourse check dpo"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class SequenceLogProbs(NamedTuple):
    """log π(y|x) and its mean a token, (B,) each."""

    total: Tensor
    mean: Tensor


def sequence_log_probs(log_probs: Tensor, mask: Tensor) -> SequenceLogProbs:
    """log π(y|x) = Σ_t m_t log π(y_t|x, y_<t), and its mean a token  (eq-sequence-log-prob).

    log_probs and mask (B, T) -> (B,) each. The mask is True for the tokens of the answer; what it
    leaves out has no say, be it infinite or NaN. Raises ValueError where an answer has no token.
    """
    raise NotImplementedError


def dpo_loss(margin: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """-(1 - ε) log σ(βh) - ε log σ(-βh): (B,) -> (B,)  (eq-dpo-loss).

    smoothing: ε, how often a label is wrong, in [0, 0.5); 0 is DPO, else cDPO. Then h has a goal,
    log((1 - ε)/ε)/β, beyond which it is pulled back. Raises ValueError for a beta that isn't
    positive and another ε.
    """
    raise NotImplementedError


def ipo_loss(margin: Tensor, beta: float) -> Tensor:
    """(h - 1/(2β))²: (B,) -> (B,)  (eq-ipo-loss).

    A margin of whole answers, as in the paper; TRL takes means a token instead. Raises ValueError
    for a beta that isn't positive.
    """
    raise NotImplementedError


def kto_loss(
    log_ratio: Tensor,
    desirable: Tensor,
    mismatched: Tensor,
    beta: float,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """λ (1 - σ(β (log π/π_ref - z))), where undesirable with the sign turned  (eq-kto-loss).

    log_ratio (B,): log π/π_ref of answers that were called good or bad, desirable (B,) True or
    False; mismatched (N,): the same of answers that belong to other prompts, whose mean, if above
    0, is z: about KL(π ‖ π_ref), and data. weights: λ of the desirable and of the undesirable
    -> (B,). Raises ValueError for a beta that isn't positive.
    """
    raise NotImplementedError


def simpo_loss(chosen: Tensor, rejected: Tensor, beta: float, gamma: float) -> Tensor:
    """-log σ(β (p̄_w - p̄_l) - γ): mean log-probabilities a token (B,) each -> (B,)
    (eq-simpo-loss).

    Without a reference. γ is a margin in units of the reward β p̄. Raises ValueError for a beta that
    isn't positive.
    """
    raise NotImplementedError


def orpo_loss(chosen: Tensor, rejected: Tensor, weight: float) -> Tensor:
    """-p̄_w - λ log σ(logit p̄_w - logit p̄_l), logit p̄ = p̄ - log(1 - e^p̄)  (eq-orpo-loss).

    Mean log-probabilities a token (B,) each, below 0 -> (B,). Its first part is SFT on the chosen.
    It is exact for probabilities near 0 and near 1.
    """
    raise NotImplementedError
