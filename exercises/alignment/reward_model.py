# desk 985751ed91b2: the hash of what follows. Edit below, and the file is yours.
"""Your desk for alignment/reward_model. Write the functions, then: rlcourse check reward_model"""

import torch
from torch import Tensor
from torch.nn import functional as F


def pairwise_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """-log σ(r_chosen - r_rejected - m), element by element  (eq-pairwise-loss).

    Rewards (B,), in nats of log-odds, and a margin (B,) or a number -> (B,). With a margin above 0
    the chosen answer must be ahead by that much for the same loss: for pairs that raters called
    clear. It stays finite, and so does its gradient, however far apart the rewards are.
    """
    raise NotImplementedError


def last_rewards(rewards: Tensor, present: Tensor) -> Tensor:
    """The reward at the last token that is no padding: (B, T) and (B, T) -> (B,)  (eq-last-token).

    Padding may stand on either side. Raises ValueError where a row has no token.
    """
    raise NotImplementedError


def updated_strengths(strengths: Tensor, wins: Tensor) -> Tensor:
    """One step to the likeliest strengths s = e^r of N items: W_i / Σ_j n_ij/(s_i + s_j), over its
    geometric mean  (eq-strengths).

    strengths (N,), positive; wins (N, N): how often i beat j; the diagonal doesn't count -> (N,).
    W_i = Σ_j wins_ij, n_ij = wins_ij + wins_ji. Each step makes the comparisons likelier, and the
    steps converge if no group of items has won all its comparisons with the rest. Raises ValueError
    where an item has never won, since its strength would fall to 0. Hunter (2004), eq. 3.
    """
    raise NotImplementedError


def calibration_error(probabilities: Tensor, outcomes: Tensor, bins: int) -> Tensor:
    """Σ_b n_b/M |share that came true - mean probability|: 0 where 70 % means 70 %
    (eq-calibration-error).

    probabilities and outcomes (M,), what was said to happen and 1 where it did -> (). `bins` equal
    parts of [0, 1]; a probability on a boundary belongs to the part above it, and 1 to the last.
    Empty parts count nothing. Raises ValueError for no bins, and probabilities outside [0, 1].
    """
    raise NotImplementedError


def best_of_n(proxy: Tensor, gold: Tensor, n: int) -> Tensor:
    """What `gold` is on average for the best of n by `proxy`: unbiased, from M samples
    (eq-best-of-n).

    proxy and gold (M,) -> (): the mean over all choices of n of the M samples, and over a fair lot
    among equal proxies. A sample that no more than k of them fall short of or equal is best with
    probability C(k, n)/C(M, n). Raises ValueError unless 1 <= n <= M. Nakano et al. (2021).
    """
    raise NotImplementedError


def tilted(log_ref: Tensor, r: Tensor, beta: float) -> Tensor:
    """log π_β = log π_ref + r/β - log Z, the policy of the best bargain  (eq-tilted-policy).

    log_ref and r (..., Y) -> (..., Y). Raises ValueError for a beta that isn't positive.
    """
    raise NotImplementedError
