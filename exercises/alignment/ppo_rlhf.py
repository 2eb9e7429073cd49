# desk e84b69d40aed: the hash of what follows. Edit below, and the file is yours.
"""Your desk for alignment/ppo_rlhf. Write the functions, then: rlcourse check ppo_rlhf"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class TokenAdvantages(NamedTuple):
    """Â, and Â + v, which the critic learns; (B, R) each, 0 where the policy didn't write."""

    advantage: Tensor
    target: Tensor


def token_rewards(score: Tensor, log_ratio: Tensor, mask: Tensor, beta: float) -> Tensor:
    """-β log π/π_ref on every token of the policy, and on its last the score too (eq-token-reward).

    score (B,), log π(y_t)/π_ref(y_t) and mask (B, R) -> (B, R), 0 where the mask is False. All of
    it is data. Raises ValueError where a row has no token, and for a negative beta.
    """
    raise NotImplementedError


def token_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> TokenAdvantages:
    """Â_t = δ_t + γλ Â_t', δ_t = r_t + γ v_t' - v_t, t' the policy's next token  (eq-token-gae).

    GAE as if the tokens of tools weren't there. rewards, values and mask (B, R): values[:, t] is
    what the critic foretells before token t, and after the last nothing follows. What stands where
    the mask is False has no say. All is data.
    """
    raise NotImplementedError


def whitened(advantage: Tensor, mask: Tensor) -> Tensor:
    """(Â - mean)/(std + 1e-8) over all tokens that count, of the whole batch; 0 elsewhere.

    (B, R) each -> (B, R). Take it before the batch is cut into parts. Raises ValueError where no
    token counts.
    """
    raise NotImplementedError


def policy_loss(
    log_prob: Tensor,
    log_prob_old: Tensor,
    advantage: Tensor,
    epsilon_low: float = 0.2,
    epsilon_high: float | None = None,
    dual: float | None = None,
) -> Tensor:
    """-min(ρ Â, clip(ρ, 1 - ε_low, 1 + ε_high) Â), and where Â < 0 no more than -c Â
    (eq-token-policy-loss).

    Log-probabilities now and when the tokens were drawn, and advantages, (...) -> (...). ε_high is
    ε_low if it isn't given, dual is c > 1, or None for no such bound. What is old is data, and so
    is the advantage.
    """
    raise NotImplementedError


def kl_penalty(log_prob: Tensor, log_prob_ref: Tensor, kind: str) -> Tensor:
    """k1 = x, k2 = x²/2, k3 = e^-x - 1 + x with x = log π - log π_ref: (...) each -> (...)
    (eq-kl-penalty).

    Estimates of KL(π ‖ π_ref) from tokens that π drew, for the loss. kind: "k1", "k2", "k3", or
    "k3+", which has the value of k3 and the gradient of k2. The means of k1 and k3 are the KL, but
    the mean gradient of k1 is 0 and that of k3 belongs to KL(π_ref ‖ π). Only k2's is that of
    KL(π ‖ π_ref). Raises ValueError for another kind.
    """
    raise NotImplementedError


def adapted_beta(beta: float, kl: float, target: float, samples: int, horizon: int) -> float:
    """β (1 + clip(KL/target - 1, -0.2, 0.2) n/horizon): a dearer leash if it is too long
    (eq-adaptive-kl).

    kl: the mean KL of the last `samples` responses, in nats a response, target: what it should be.
    Raises ValueError unless target and horizon are positive.
    """
    raise NotImplementedError
