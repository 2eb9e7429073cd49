# desk 7ed6c16d04e6: the hash of what follows. Edit below, and the file is yours.
"""Your desk for deep/actor_critic. Write the functions, then: rlcourse check actor_critic"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class ActorCritic(NamedTuple):
    """Parameters theta (..., D) of the policy and weights w (..., F) of the critic."""

    theta: Floats
    w: Floats


def generalized_advantage(
    r: Floats,
    v: Floats,
    v_next: Floats,
    terminated: Bools,
    truncated: Bools,
    gamma: float,
    lam: float,
    mask: Bools | None = None,
) -> Floats:
    """Â_t = δ_t + γλ Â_{t+1}, where no episode ended at t  (eq-gae).

    r, v, v_next, terminated and truncated (T, ...), T steps in which one episode follows another
    -> (T, ...). v[t] is the value of the state that step t left, v_next[t] that of the state which
    it led to, the last of its episode where that ended; where it terminated v_next doesn't matter.
    Flags and the mask are True/False or 1/0, in tensors 1/0. Where the mask is 0 a row is skipped:
    its Â is 0, and the row before it goes on with the row after. None: all rows count. All numbers
    are finite. With v = 0 and λ = 1 it is the reward-to-go.
    """
    raise NotImplementedError


def actor_critic_step(
    x: ActorCritic,
    score: Floats,
    phi: Floats,
    phi_next: Floats,
    r: Floats,
    terminated: Bools,
    rho: Floats,
    discount: Floats,
    alpha: float | Floats,
    alpha_w: float | Floats,
    gamma: float,
) -> ActorCritic:
    """θ + α I ρ δ ∇ log π(a|s) and w + α_w ρ δ φ(s), with v = φ·w  (eq-actor-critic).

    score (..., D) is ∇ log π(a|s), phi and phi_next (..., F) are the critic's features of s and of
    s'; r, terminated, the ratio rho and discount I (...). Step sizes are numbers or (...). δ takes
    nothing from phi_next where the episode terminated, and both updates use the same δ.
    Sutton & Barto, section 13.5; Zhao, eq. 10.8 and 10.9.
    """
    raise NotImplementedError


def q_actor_critic_step(
    x: ActorCritic,
    score: Floats,
    phi: Floats,
    phi_next: Floats,
    r: Floats,
    terminated: Bools,
    alpha: float | Floats,
    alpha_w: float | Floats,
    gamma: float,
) -> ActorCritic:
    """θ + α q(s, a) ∇ log π(a|s) and w + α_w δ φ(s, a), with q = φ·w and Sarsa's δ  (eq-qac).

    score (..., D), phi and phi_next (..., F) are features of (s, a) and of (s', a') with the action
    that is taken next; r and terminated (...). Step sizes are numbers or (...). The actor is moved
    by q as it was before the critic learned from the step. Zhao, algorithm 10.1.
    """
    raise NotImplementedError


def deterministic_actor_critic_step(
    x: ActorCritic,
    slope: Floats,
    q_slope: Floats,
    phi: Floats,
    phi_next: Floats,
    r: Floats,
    terminated: Bools,
    alpha: float | Floats,
    alpha_w: float | Floats,
    gamma: float,
) -> ActorCritic:
    """θ + α ∇μ(s) ∂q/∂a and w + α_w δ φ(s, a), with δ for a' = μ(s')  (eq-deterministic).

    slope (..., D) is ∇_θ μ(s), where an action is one number; q_slope (..., F) are the features'
    derivatives by the action *at a = μ(s)*, so that ∂q/∂a = q_slope·w. phi (..., F) are features of
    s and of the action *taken*, which may explore; phi_next those of s' and μ(s'). r and terminated
    (...). The actor is moved by w as it was before. Zhao, algorithm 10.4.
    """
    raise NotImplementedError


def a2c_loss(
    log_prob: Tensor,
    entropy: Tensor,
    v: Tensor,
    advantage: Tensor,
    target: Tensor,
    value_weight: float,
    beta: float,
) -> Tensor:
    """-mean(log π(a|s) Â) - β mean H + c mean ½ (v - G)²  (eq-a2c-loss).

    Log-probabilities of the actions taken, entropies, values v, advantages and targets G, all
    (..., N) -> (...), to be made small. Advantages and targets are data: no gradient flows through
    them. Mnih et al. (2016), section 4.
    """
    raise NotImplementedError
