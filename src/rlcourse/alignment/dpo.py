"""Direct preference optimisation: the policy is its own reward model.

The best policy for a reward, at a price β for leaving π_ref, is π_ref e^(r/β)/Z. Read backwards, a
policy says which reward it is best for, up to a constant of the prompt:

    r(x, y) = β log π(y|x)/π_ref(y|x) + β log Z(x)                        (eq-implicit-reward)
    h       = log π/π_ref of the chosen - log π/π_ref of the rejected     (eq-preference-margin)

Put into Bradley and Terry's P = σ(r_w - r_l), Z cancels. All losses below are functions of
log-probabilities, element by element; p̄ is a sequence's mean log-probability a token.

    DPO, cDPO   -(1-ε) log σ(βh) - ε log σ(-βh)           wrong labels: a share ε   (eq-dpo-loss)
    robust      (-(1-ε) log σ(βh) + ε log σ(-βh))/(1-2ε)  unbiased by that          (eq-robust-loss)
    IPO         (h - 1/(2β))²                             h has a goal              (eq-ipo-loss)
    hinge       max(0, 1 - βh)                            enough is enough          (eq-hinge-loss)
    KTO         λ (1 - σ(±β (log π/π_ref - z)))           single answers            (eq-kto-loss)
    SimPO       -log σ(β (p̄_w - p̄_l) - γ)                 no reference              (eq-simpo-loss)
    ORPO        -p̄_w - λ log σ(logit p̄_w - logit p̄_l)     no reference, SFT inside  (eq-orpo-loss)

The reference is data: no gradient flows into it. At the start, where π is π_ref, h = 0, and the
sigmoid forms are log 2, IPO is 1/(4β²) and hinge 1.

Shapes: B pairs or answers, T tokens.
Sources: Rafailov et al. (2023), eq. 5 and 7; Mitchell (2023), cDPO; Chowdhury et al. (2024),
robust; Azar et al. (2023), eq. 17; Zhao et al. (2023), hinge; Ethayarajh et al. (2024), eq. 8;
Meng et al. (2024), eq. 6; Hong et al. (2024), eq. 6 and 7.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse import _check


class SequenceLogProbs(NamedTuple):
    """log π(y|x) and its mean a token, (B,) each."""

    total: Tensor
    mean: Tensor


def sequence_log_probs(log_probs: Tensor, mask: Tensor) -> SequenceLogProbs:
    """log π(y|x) = Σ_t m_t log π(y_t|x, y_<t), and its mean a token  (eq-sequence-log-prob).

    log_probs and mask (B, T) -> (B,) each. The mask is True for the tokens of the answer; what it
    leaves out has no say, be it infinite or NaN. Raises ValueError where an answer has no token.
    """
    if not mask.any(1).all():
        raise ValueError("mask must have a token in each row, got a row without")
    total = torch.where(mask, log_probs, 0).sum(1)
    return SequenceLogProbs(total, total / mask.sum(1))


def implicit_reward(log_prob: Tensor, log_prob_ref: Tensor, beta: float) -> Tensor:
    """β (log π - log π_ref), the reward that π is best for, up to a constant of the prompt
    (eq-implicit-reward).

    log π(y|x) and log π_ref(y|x) (...) -> (...). The reference is data.
    """
    return beta * (log_prob - log_prob_ref.detach())


def preference_margin(
    chosen: Tensor, rejected: Tensor, chosen_ref: Tensor, rejected_ref: Tensor
) -> Tensor:
    """h = log π/π_ref of the chosen - log π/π_ref of the rejected, in nats  (eq-preference-margin).

    log-probabilities of whole answers (B,) each, of the policy and of the reference, which is data
    -> (B,). β h is the difference of the implicit rewards.
    """
    return chosen - rejected - (chosen_ref - rejected_ref).detach()


def dpo_loss(margin: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """-(1 - ε) log σ(βh) - ε log σ(-βh): (B,) -> (B,)  (eq-dpo-loss).

    smoothing: ε, how often a label is wrong, in [0, 0.5); 0 is DPO, else cDPO. Then h has a goal,
    log((1 - ε)/ε)/β, beyond which it is pulled back. Raises ValueError for a beta that isn't
    positive and another ε.
    """
    _check.positive("beta", beta)
    _noise(smoothing)
    x = beta * margin
    return -(1 - smoothing) * F.logsigmoid(x) - smoothing * F.logsigmoid(-x)


def robust_loss(margin: Tensor, beta: float, smoothing: float) -> Tensor:
    """(-(1 - ε) log σ(βh) + ε log σ(-βh))/(1 - 2ε): (B,) -> (B,)  (eq-robust-loss).

    Its mean over labels that are wrong with probability ε is the DPO loss of the right ones. Raises
    ValueError for a beta that isn't positive and an ε outside [0, 0.5).
    """
    _check.positive("beta", beta)
    _noise(smoothing)
    x = beta * margin
    right, wrong = -F.logsigmoid(x), -F.logsigmoid(-x)
    return ((1 - smoothing) * right - smoothing * wrong) / (1 - 2 * smoothing)


def hinge_loss(margin: Tensor, beta: float) -> Tensor:
    """max(0, 1 - βh): (B,) -> (B,)  (eq-hinge-loss). ValueError for a beta that isn't positive."""
    _check.positive("beta", beta)
    return torch.relu(1 - beta * margin)


def ipo_loss(margin: Tensor, beta: float) -> Tensor:
    """(h - 1/(2β))²: (B,) -> (B,)  (eq-ipo-loss).

    A margin of whole answers, as in the paper; TRL takes means a token instead. Raises ValueError
    for a beta that isn't positive.
    """
    _check.positive("beta", beta)
    return (margin - 1 / (2 * beta)) ** 2


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
    _check.positive("beta", beta)
    z = mismatched.mean().clamp(min=0).detach()
    x = beta * (log_ratio - z)
    good, bad = log_ratio.new_tensor(weights)
    return torch.where(desirable, good, bad) * torch.sigmoid(torch.where(desirable, -x, x))


def simpo_loss(chosen: Tensor, rejected: Tensor, beta: float, gamma: float) -> Tensor:
    """-log σ(β (p̄_w - p̄_l) - γ): mean log-probabilities a token (B,) each -> (B,)
    (eq-simpo-loss).

    Without a reference. γ is a margin in units of the reward β p̄. Raises ValueError for a beta that
    isn't positive.
    """
    _check.positive("beta", beta)
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)


def orpo_loss(chosen: Tensor, rejected: Tensor, weight: float) -> Tensor:
    """-p̄_w - λ log σ(logit p̄_w - logit p̄_l), logit p̄ = p̄ - log(1 - e^p̄)  (eq-orpo-loss).

    Mean log-probabilities a token (B,) each, below 0 -> (B,). Its first part is SFT on the chosen.
    It is exact for probabilities near 0 and near 1.
    """
    return -chosen - weight * F.logsigmoid(log_odds(chosen) - log_odds(rejected))


# ------------------------------------------------------------------------------- around it


def log_odds(log_p: Tensor) -> Tensor:
    """log p - log(1 - p) of log p < 0, (...) -> (...); right to all digits near 0 and near 1."""
    return log_p - torch.log(-torch.expm1(log_p))


def gradient_weight(margin: Tensor, beta: float) -> Tensor:
    """β σ(-βh): by how much of ∇h the DPO loss is descended: (B,) -> (B,)  (eq-dpo-gradient).

    Half of β at the start; towards β where the pair is ordered wrongly, towards 0 where rightly.
    """
    return beta * torch.sigmoid(-beta * margin)


def _noise(smoothing: float) -> None:
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"smoothing must lie in [0, 0.5), got {smoothing}")
