"""What maximising a reward makes of a policy, if the optimum is found: exact, by enumeration.

    max_π  E_π r - β KL(π ‖ π_ref)     ->    π_β = π_ref e^(r/β) / Z          (eq-tilted-policy)
    the best of n samples of π_ref     P(r_y is best) = F(r_y)^n - F(below)^n (eq-best-of-n-policy)

With all Y answers of a prompt in one row there is nothing to estimate and nothing to train: every
expected value and every KL is a sum.

Shapes: (..., Y) log-probabilities and rewards of all answers.
Sources: Ziebart et al. (2008) and Rafailov et al. (2023), eq. 4, for the tilted policy; Beirami et
al. (2024) for best of n.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rlcourse import _check


def tilted(log_ref: Tensor, r: Tensor, beta: float) -> Tensor:
    """log π_β = log π_ref + r/β - log Z, the policy of the best bargain  (eq-tilted-policy).

    log_ref and r (..., Y) -> (..., Y). Raises ValueError for a beta that isn't positive.
    """
    _check.positive("beta", beta)
    return torch.log_softmax(log_ref + r / beta, -1)


def bargain(log_pi: Tensor, log_ref: Tensor, r: Tensor, beta: float) -> Tensor:
    """E_π r - β KL(π ‖ π_ref), what `tilted` maximises: (..., Y) each -> (...)."""
    return expected(log_pi, r) - beta * divergence(log_pi, log_ref)


def expected(log_pi: Tensor, r: Tensor) -> Tensor:
    """Σ_y π(y) r(y): (..., Y) each -> (...)."""
    return (log_pi.exp() * r).sum(-1)


def divergence(log_pi: Tensor, log_ref: Tensor) -> Tensor:
    """KL(π ‖ π_ref) = Σ_y π (log π - log π_ref), in nats; 0 log 0 = 0. (..., Y) each -> (...)."""
    pi = log_pi.exp()
    return torch.where(pi > 0, pi * (log_pi - log_ref), 0).sum(-1)


def best_of_n_policy(log_ref: Tensor, r: Tensor, n: int) -> Tensor:
    """Log-probabilities of the best of n answers of π_ref, equals by a fair lot: (..., Y) each
    -> (..., Y)  (eq-best-of-n-policy).

    Raises ValueError for an n below 1.
    """
    _check.positive_integer("n", n)
    order, places = r.sort(-1)
    mass = F.pad(log_ref.gather(-1, places).exp().cumsum(-1), (1, 0))
    below, up_to = (
        mass.gather(-1, torch.searchsorted(order, r.contiguous(), right=side))
        for side in (False, True)
    )
    own = 1 - below / up_to  # of what isn't better, the share that is equal
    times = torch.where(own > 0, -torch.expm1(n * torch.log1p(-own)) / own, n)
    return log_ref + torch.xlogy(n - 1, up_to) + times.log()


def best_of_n_divergence(n: int) -> float:
    """log n - (n - 1)/n, in nats: the KL of the best of n where no two rewards are equal and no
    answer is likely; never less than it is. Beirami et al. (2024)."""
    return math.log(n) - (n - 1) / n
