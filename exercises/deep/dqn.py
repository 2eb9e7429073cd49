# desk 0053c9589e36: the hash of what follows. Edit below, and the file is yours.
"""Your desk for deep/dqn. Write the functions, then: rlcourse check dqn"""

import torch
from torch import Tensor


def dqn_target(r: Tensor, q_next: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """r + γ (1 - terminated) max_a q(s', a; w⁻)  (eq-dqn-target).

    q_next (..., A) is what the target network says of s'; r and terminated (...) -> (...).
    terminated is True/False or 1/0. Mnih et al. (2015), algorithm 1.
    """
    raise NotImplementedError


def double_dqn_target(
    r: Tensor, q_choose: Tensor, q_judge: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """r + γ (1 - terminated) q_judge(s', argmax_a q_choose(s', a))  (eq-double-dqn-target).

    q_choose (..., A) is the online network's opinion of s', q_judge (..., A) the target network's;
    r and terminated (...) -> (...). Of equal best actions the first is judged. terminated is
    True/False or 1/0. van Hasselt, Guez & Silver (2016), eq. 4.
    """
    raise NotImplementedError


def dueling_q(v: Tensor, advantage: Tensor) -> Tensor:
    """q(s, a) = v(s) + b(s, a) - mean over a' of b(s, a')  (eq-dueling).

    v (...), b = advantage (..., A) -> (..., A). Without the mean v and b could drift apart by any
    constant. Wang et al. (2016), eq. 9.
    """
    raise NotImplementedError


def huber(error: Tensor, kappa: float = 1.0) -> Tensor:
    """c (|δ| - c/2) with c = min(|δ|, κ): δ²/2 near 0, a line of slope ±κ beyond  (eq-huber).

    error (...) -> (...), element by element; its derivative is δ cut to [-κ, κ]. κ = ∞ is half the
    squared error. Huber (1964); Mnih et al. (2015), methods: "clip the error term".
    """
    raise NotImplementedError


def dqn_loss(q: Tensor, a: Tensor, target: Tensor, kappa: float = 1.0) -> Tensor:
    """1/N Σ huber(target - q(s, a)), with no gradient through the target  (eq-dqn-loss).

    q (..., N, A) of N states, a (..., N) the actions taken there, target (..., N) -> (...): one
    loss for each learner. Mnih et al. (2015), eq. 2.
    """
    raise NotImplementedError


def epsilon_greedy_action(q: Tensor, epsilon: float, u: Tensor) -> Tensor:
    """The best action, or where u_0 < ε any: floor(A u_1)  (eq-epsilon-uniform).

    q (..., A) and uniforms u (..., 2) in [0, 1) -> (...), whole numbers. Of equal best actions the
    first is taken.
    """
    raise NotImplementedError
