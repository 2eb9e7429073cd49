"""Targets of temporal-difference learning: one sampled step, then what the learner believes.

Every target is the reward of a step plus the discounted value of what follows, and nothing where
the episode ended there. They differ in where that value comes from; `temporal_difference` has the
table of them all.

A target takes rows, never tables, and broadcasts: one step of one agent, B learners at once, a
network's output. `terminated` and `truncated` are 0/1 or False/True; values at terminal states
must be finite, and do not matter.

Shapes: A actions, n steps in a row; (...) stands for any leading axes, B independent learners, say.
Source: Sutton & Barto, 2nd ed., ch. 6-7; Zhao, Mathematical Foundations of RL, ch. 7.
"""

import numpy as np

from rlcourse.tabular.mdp import Bools, Floats, Ints


def td_target(r: Floats, v_next: Floats, terminated: Bools, gamma: float) -> Floats:
    """r + γ (1 - terminated) v(s')  (eq-td-target).

    r, v_next and terminated are arrays that broadcast, or plain numbers -> (...). terminated is
    True/False or 1/0, in tensors 1/0: there are operators only, which all of them understand.
    Sutton & Barto, eq. 6.2.
    """
    return r + gamma * (1 - terminated) * v_next


def sarsa_target(
    r: Floats, q_next: Floats, a_next: Ints, terminated: Bools, gamma: float
) -> Floats:
    """r + γ (1 - terminated) q(s', a') for the action a' that is taken next  (eq-sarsa-target).

    q_next (..., A), a_next (...) -> (...). Sutton & Barto, eq. 6.7; Zhao, eq. 7.12.
    """
    q_taken = np.take_along_axis(q_next, a_next[..., None], -1)[..., 0]
    return td_target(r, q_taken, terminated, gamma)


def expected_sarsa_target(
    r: Floats, q_next: Floats, pi_next: Floats, terminated: Bools, gamma: float
) -> Floats:
    """r + γ (1 - terminated) Σ_a π(a|s') q(s', a)  (eq-expected-sarsa-target).

    q_next and pi_next (..., A), r and terminated (...) -> (...): Sarsa's target, averaged over a'.
    terminated is True/False or 1/0. Sutton & Barto, eq. 6.9.
    """
    return td_target(r, (pi_next * q_next).sum(-1), terminated, gamma)


def q_learning_target(r: Floats, q_next: Floats, terminated: Bools, gamma: float) -> Floats:
    """r + γ (1 - terminated) max_a q(s', a)  (eq-q-learning-target).

    q_next (..., A), r and terminated (...) -> (...), whatever is done next. terminated is
    True/False or 1/0. Sutton & Barto, eq. 6.8; Watkins (1989).
    """
    return td_target(r, q_next.max(-1), terminated, gamma)


def double_q_target(
    r: Floats, q_choose: Floats, q_judge: Floats, terminated: Bools, gamma: float
) -> Floats:
    """r + γ (1 - terminated) q_judge(s', argmax_a q_choose(s', a))  (eq-double-q-target).

    q_choose and q_judge (..., A), r and terminated (...) -> (...): q_choose is the table that is
    updated. Of equal best actions the first is judged. terminated is True/False or 1/0.
    Sutton & Barto, eq. 6.10; van Hasselt (2010).
    """
    best = q_choose.argmax(-1)
    q_best = np.take_along_axis(q_judge, best[..., None], -1)[..., 0]
    return td_target(r, q_best, terminated, gamma)


def n_step_target(
    r: Floats, v_next: Floats, terminated: Bools, truncated: Bools, gamma: float
) -> Floats:
    """G_k = r_k + γ G_{k+1}, with v(s_{k+1}) for G_{k+1} where the steps stop  (eq-n-step-target).

    r, v_next, terminated and truncated (..., n) of n steps in a row -> (...), the target of the
    first; v_next[..., k] is the value of the state that step k leads to. The steps stop after the
    last of them, and before that where the episode is truncated; where it terminated 0 follows,
    truncated or not. What the arrays hold after that doesn't matter, if it is finite. Both flags
    are True/False or 1/0. Sutton & Barto, eq. 7.1.
    """
    target = v_next[..., -1]
    for k in reversed(range(r.shape[-1])):
        cut = truncated[..., k]
        follows = cut * v_next[..., k] + (1 - cut) * target
        target = td_target(r[..., k], follows, terminated[..., k], gamma)
    return target
