"""Reward models: comparisons become numbers, and numbers that are maximised stop being true.

    P(a ≻ b) = σ(r_a - r_b)                              Bradley and Terry    (eq-bradley-terry)
    loss     = -log σ(r_chosen - r_rejected - m)         with a margin m      (eq-pairwise-loss)
    s_i     <- W_i / Σ_j n_ij / (s_i + s_j)              without a network    (eq-strengths)
    error    = Σ_b n_b/N |share right - mean p|          calibration          (eq-calibration-error)
    best of n from M scored samples, without bias                             (eq-best-of-n)

Only differences count: a constant added to all rewards of a prompt changes no probability, no loss
and no policy that is tilted by them. A reward model reads a whole answer and says one number, at
its last token.

Shapes: B pairs or sequences, T tokens of a row, N items compared, M samples.
Sources: Bradley and Terry (1952); Hunter (2004), the algorithm of strengths; Ouyang et al. (2022),
the loss; Touvron et al. (2023), the margin; Guo et al. (2017), calibration; Nakano et al. (2021),
appendix I, best of n.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse import _check


def preference_probability(first: Tensor, second: Tensor) -> Tensor:
    """P(a ≻ b) = σ(r_a - r_b) for rewards (...) and (...) -> (...)  (eq-bradley-terry)."""
    return torch.sigmoid(first - second)


def pairwise_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """-log σ(r_chosen - r_rejected - m), element by element  (eq-pairwise-loss).

    Rewards (B,), in nats of log-odds, and a margin (B,) or a number -> (B,). With a margin above 0
    the chosen answer must be ahead by that much for the same loss: for pairs that raters called
    clear. It stays finite, and so does its gradient, however far apart the rewards are.
    """
    return -F.logsigmoid(chosen - rejected - margin)


def last_rewards(rewards: Tensor, present: Tensor) -> Tensor:
    """The reward at the last token that is no padding: (B, T) and (B, T) -> (B,)  (eq-last-token).

    Padding may stand on either side. Raises ValueError where a row has no token.
    """
    if not present.any(1).all():
        raise ValueError("present must have a token in each row, got a row without")
    last = present.cumsum(1).argmax(1, keepdim=True)  # the first place where all have been counted
    return rewards.gather(1, last).squeeze(1)


def updated_strengths(strengths: Tensor, wins: Tensor) -> Tensor:
    """One step to the likeliest strengths s = e^r of N items: W_i / Σ_j n_ij/(s_i + s_j), over its
    geometric mean  (eq-strengths).

    strengths (N,), positive; wins (N, N): how often i beat j; the diagonal doesn't count -> (N,).
    W_i = Σ_j wins_ij, n_ij = wins_ij + wins_ji. Each step makes the comparisons likelier, and the
    steps converge if no group of items has won all its comparisons with the rest. Raises ValueError
    where an item has never won, since its strength would fall to 0. Hunter (2004), eq. 3.
    """
    won = wins.clone().fill_diagonal_(0)
    total = won.sum(1)
    if not (total > 0).all():
        raise ValueError(f"wins must hold a win of each item, got {total.tolist()} in all")
    games = won + won.T
    new = total / (games / (strengths[:, None] + strengths)).sum(1)
    return new / new.log().mean().exp()


def calibration_error(probabilities: Tensor, outcomes: Tensor, bins: int) -> Tensor:
    """Σ_b n_b/M |share that came true - mean probability|: 0 where 70 % means 70 %
    (eq-calibration-error).

    probabilities and outcomes (M,), what was said to happen and 1 where it did -> (). `bins` equal
    parts of [0, 1]; a probability on a boundary belongs to the part above it, and 1 to the last.
    Empty parts count nothing. Raises ValueError for no bins, and probabilities outside [0, 1].
    """
    _check.positive_integer("bins", bins)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"probabilities must lie in [0, 1], got {probabilities}")
    place = (probabilities * bins).long().clamp(max=bins - 1)
    gaps = torch.bincount(place, outcomes - probabilities)
    return gaps.abs().sum() / len(probabilities)


def best_of_n(proxy: Tensor, gold: Tensor, n: int) -> Tensor:
    """What `gold` is on average for the best of n by `proxy`: unbiased, from M samples
    (eq-best-of-n).

    proxy and gold (M,) -> (): the mean over all choices of n of the M samples, and over a fair lot
    among equal proxies. A sample that no more than k of them fall short of or equal is best with
    probability C(k, n)/C(M, n). Raises ValueError unless 1 <= n <= M. Nakano et al. (2021).
    """
    size = len(proxy)
    if not 1 <= n <= size:
        raise ValueError(f"n must lie in [1, {size}], the samples, got {n}")
    order = proxy.sort().values
    j = torch.arange(n, dtype=gold.dtype)

    def all_among_the_lowest(k: Tensor) -> Tensor:
        return ((k[:, None] - j) / (size - j)).prod(1)

    below, up_to = (torch.searchsorted(order, proxy, right=side) for side in (False, True))
    weight = (all_among_the_lowest(up_to) - all_among_the_lowest(below)) / (up_to - below)
    return (weight * gold).sum()
