"""PPO on language models: a token is an action, the score comes at the end, a leash on each token.

Four models take part. The policy writes, the reward model scores whole answers, the reference says
how far the policy has gone, the critic foretells what a begun answer will be worth.

    r_t    = [t is the last] score - β log π(y_t)/π_ref(y_t)                 (eq-token-reward)
    Â_t    = Σ_l (γλ)^l δ_{t+l} over the tokens that the policy wrote        (eq-token-gae)
    loss   = -min(ρ Â, clip(ρ) Â), and no more than -c Â where Â < 0         (eq-token-policy-loss)
    k      = k1, k2, k3, or the value of k3 with k2's gradient               (eq-kl-penalty)
    β     <- β (1 + clip(KL/target - 1, ± 0.2) n/horizon)                    (eq-adaptive-kl)

The leash is in the reward or in the loss, never in both. The advantages, the clip and the value
loss are those of PPO for control: `rlcourse.deep.generalized_advantage` and `ppo_losses`.

Shapes: B responses, R tokens of the longest. Masks are True for the tokens that the policy wrote.
Sources: Ziegler et al. (2019), eq. 2 and section 2.2; Ouyang et al. (2022); Schulman (2020), k3;
Ye et al. (2020), the dual clip; Yu et al. (2025), clip-higher.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcourse import _check
from rlcourse.deep.generalized_advantage import generalized_advantage, next_values
from rlcourse.deep.ppo_losses import clipped_surrogate, dual_clip, kl_estimates, normalised

KINDS = "k1", "k2", "k3", "k3+"


class TokenAdvantages(NamedTuple):
    """Â, and Â + v, which the critic learns; (B, R) each, 0 where the policy didn't write."""

    advantage: Tensor
    target: Tensor


def token_rewards(score: Tensor, log_ratio: Tensor, mask: Tensor, beta: float) -> Tensor:
    """-β log π/π_ref on every token of the policy, and on its last the score too (eq-token-reward).

    score (B,), log π(y_t)/π_ref(y_t) and mask (B, R) -> (B, R), 0 where the mask is False. All of
    it is data. Raises ValueError where a row has no token, and for a negative beta.
    """
    _check.interval("beta", beta, 0, torch.inf)
    _tokens_in_each_row(mask)
    leash = torch.where(mask, -beta * log_ratio.detach(), 0)
    return leash + torch.where(last_tokens(mask), score.detach()[:, None], 0)


def token_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> TokenAdvantages:
    """Â_t = δ_t + γλ Â_t', δ_t = r_t + γ v_t' - v_t, t' the policy's next token  (eq-token-gae).

    GAE as if the tokens of tools weren't there. rewards, values and mask (B, R): values[:, t] is
    what the critic foretells before token t, and after the last nothing follows. What stands where
    the mask is False has no say. All is data.
    """
    r, v = (torch.where(mask, x.detach(), 0) for x in (rewards, values))
    by_time: Any = (x.T for x in (r, v, mask.to(r.dtype), torch.zeros_like(r)))
    r_t, v_t, counts, flags = by_time  # no flag is set: what follows the last token is 0 anyway
    after = next_values(v_t, flags[0], counts)
    advantage: Any = generalized_advantage(r_t, v_t, after, flags, flags, gamma, lam, counts)
    return TokenAdvantages(advantage.T, advantage.T + v)


def whitened(advantage: Tensor, mask: Tensor) -> Tensor:
    """(Â - mean)/(std + 1e-8) over all tokens that count, of the whole batch; 0 elsewhere.

    (B, R) each -> (B, R). Take it before the batch is cut into parts. Raises ValueError where no
    token counts.
    """
    if not mask.any():
        raise ValueError("mask must have a token, got none")
    return torch.zeros_like(advantage).masked_scatter(mask, normalised(advantage[mask]))


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
    surrogate = clipped_surrogate(
        log_prob - log_prob_old.detach(), advantage, epsilon_low, epsilon_high
    )
    return -(surrogate if dual is None else dual_clip(surrogate, advantage, dual))


def kl_penalty(log_prob: Tensor, log_prob_ref: Tensor, kind: str) -> Tensor:
    """k1 = x, k2 = x²/2, k3 = e^-x - 1 + x with x = log π - log π_ref: (...) each -> (...)
    (eq-kl-penalty).

    Estimates of KL(π ‖ π_ref) from tokens that π drew, for the loss. kind: "k1", "k2", "k3", or
    "k3+", which has the value of k3 and the gradient of k2. The means of k1 and k3 are the KL, but
    the mean gradient of k1 is 0 and that of k3 belongs to KL(π_ref ‖ π). Only k2's is that of
    KL(π ‖ π_ref). Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    found = kl_estimates(log_prob_ref.detach() - log_prob)
    if kind == "k3+":
        return found.k3.detach() + found.k2 - found.k2.detach()
    return (found.k1, found.k2, found.k3)[KINDS.index(kind)]


def adapted_beta(beta: float, kl: float, target: float, samples: int, horizon: int) -> float:
    """β (1 + clip(KL/target - 1, -0.2, 0.2) n/horizon): a dearer leash if it is too long
    (eq-adaptive-kl).

    kl: the mean KL of the last `samples` responses, in nats a response, target: what it should be.
    Raises ValueError unless target and horizon are positive.
    """
    _check.positive("target", target)
    _check.positive("horizon", horizon)
    error = min(max(kl / target - 1, -0.2), 0.2)
    return beta * (1 + error * samples / horizon)


# ------------------------------------------------------------------------------- around it


def last_tokens(mask: Tensor) -> Tensor:
    """(B, R): True at the last token of each row that counts."""
    return mask & (mask.flip(1).cumsum(1).flip(1) == 1)


def _tokens_in_each_row(mask: Tensor) -> None:
    if not mask.any(1).all():
        raise ValueError("mask must have a token in each row, got a row without")
