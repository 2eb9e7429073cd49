"""What deep Q-learning is made of: targets, a loss, and the ways to act and to copy.

The step of Q-learning on a table becomes a loss whose gradient stops at the target (eq-dqn-loss);
the target looks at the next state with an old copy of the network (eq-dqn-target), and may let the
new one choose the action (eq-double-dqn-target). All functions are operators on tensors.

Shapes: A actions, N transitions of a minibatch; (...) stands for any leading axes, B independent
learners, say.
Source: Mnih et al. (2015); van Hasselt, Guez & Silver (2016); Wang et al. (2016).
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rlcourse.deep.environments import Observations
from rlcourse.deep.networks import Mlp, forward
from rlcourse.tabular import targets
from rlcourse.tabular.mdp import Ints

# made of operators only, so that it serves tensors as well as arrays
td_target: Callable[[Tensor, Tensor, Tensor, float], Tensor] = cast(Any, targets.td_target)

# ------------------------------------------------------------------------------- targets


def dqn_target(r: Tensor, q_next: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """r + γ (1 - terminated) max_a q(s', a; w⁻)  (eq-dqn-target).

    q_next (..., A) is what the target network says of s'; r and terminated (...) -> (...).
    terminated is True/False or 1/0. Mnih et al. (2015), algorithm 1.
    """
    return td_target(r, q_next.amax(-1), terminated.to(q_next.dtype), gamma)


def double_dqn_target(
    r: Tensor, q_choose: Tensor, q_judge: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """r + γ (1 - terminated) q_judge(s', argmax_a q_choose(s', a))  (eq-double-dqn-target).

    q_choose (..., A) is the online network's opinion of s', q_judge (..., A) the target network's;
    r and terminated (...) -> (...). Of equal best actions the first is judged. terminated is
    True/False or 1/0. van Hasselt, Guez & Silver (2016), eq. 4.
    """
    best = q_choose.argmax(-1, keepdim=True)
    return td_target(r, q_judge.gather(-1, best)[..., 0], terminated.to(q_judge.dtype), gamma)


def dueling_q(v: Tensor, advantage: Tensor) -> Tensor:
    """q(s, a) = v(s) + b(s, a) - mean over a' of b(s, a')  (eq-dueling).

    v (...), b = advantage (..., A) -> (..., A). Without the mean v and b could drift apart by any
    constant. Wang et al. (2016), eq. 9.
    """
    return v[..., None] + advantage - advantage.mean(-1, keepdim=True)


# ------------------------------------------------------------------------------- the loss


def huber(error: Tensor, kappa: float = 1.0) -> Tensor:
    """c (|δ| - c/2) with c = min(|δ|, κ): δ²/2 near 0, a line of slope ±κ beyond  (eq-huber).

    error (...) -> (...), element by element; its derivative is δ cut to [-κ, κ]. κ = ∞ is half the
    squared error. Huber (1964); Mnih et al. (2015), methods: "clip the error term".
    """
    size = error.abs()
    cut = size.clamp(max=kappa)
    return cut * (size - cut / 2)


def dqn_loss(q: Tensor, a: Tensor, target: Tensor, kappa: float = 1.0) -> Tensor:
    """1/N Σ huber(target - q(s, a)), with no gradient through the target  (eq-dqn-loss).

    q (..., N, A) of N states, a (..., N) the actions taken there, target (..., N) -> (...): one
    loss for each learner. Mnih et al. (2015), eq. 2.
    """
    q_taken = q.gather(-1, a[..., None])[..., 0]
    return huber(target.detach() - q_taken, kappa).mean(-1)


# ------------------------------------------------------------------------------- networks


def q_values(net: Mlp, s: Tensor, dueling: bool) -> Tensor:
    """q(s, a; w) of each learner: observations (B, N, D) -> (B, N, A)."""
    y = forward(net, s)
    return dueling_q(y[..., 0], y[..., 1:]) if dueling else y


def greedy_actions(net: Mlp, s: Observations, dueling: bool) -> Ints:
    """argmax_a q(s, a) for observations (B E, D), E of each learner -> (B E,)."""
    learners = len(net.weights[0])
    with torch.no_grad():
        q = q_values(net, torch.as_tensor(s).reshape(learners, -1, s.shape[-1]), dueling)
    return np.asarray(q.argmax(-1).reshape(-1).numpy())


# ------------------------------------------------------------------------------- acting


def epsilon_greedy_action(q: Tensor, epsilon: float, u: Tensor) -> Tensor:
    """The best action, or where u_0 < ε any: floor(A u_1)  (eq-epsilon-uniform).

    q (..., A) and uniforms u (..., 2) in [0, 1) -> (...), whole numbers. Of equal best actions the
    first is taken.
    """
    explore = (u[..., 1] * q.shape[-1]).long()
    return torch.where(u[..., 0] < epsilon, explore, q.argmax(-1))


def linear_epsilon(step: float, steps: float, last: float, first: float = 1.0) -> float:
    """ε falls on a line from `first` at step 0 to `last` at `steps`, and stays  (eq-epsilon)."""
    return first + (last - first) * min(step / steps, 1.0)


def blend(target: Tensor, online: Tensor, tau: float) -> Tensor:
    """w⁻ <- (1 - τ) w⁻ + τ w: τ = 1 is a copy, a small τ a slow average  (eq-target-update)."""
    return (1 - tau) * target + tau * online
