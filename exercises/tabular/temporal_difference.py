# desk 7f46b2019bdb: the hash of what follows. Edit below, and the file is yours.
"""Your desk for tabular/temporal_difference. Write the functions, then: rlcourse check temporal_difference"""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def td_target(r: Floats, v_next: Floats, terminated: Bools, gamma: float) -> Floats:
    """r + γ (1 - terminated) v(s')  (eq-td-target).

    r, v_next and terminated are arrays that broadcast, or plain numbers -> (...). terminated is
    True/False or 1/0, in tensors 1/0: there are operators only, which all of them understand.
    Sutton & Barto, eq. 6.2.
    """
    raise NotImplementedError


def expected_sarsa_target(
    r: Floats, q_next: Floats, pi_next: Floats, terminated: Bools, gamma: float
) -> Floats:
    """r + γ (1 - terminated) Σ_a π(a|s') q(s', a)  (eq-expected-sarsa-target).

    q_next and pi_next (..., A), r and terminated (...) -> (...): Sarsa's target, averaged over a'.
    terminated is True/False or 1/0. Sutton & Barto, eq. 6.9.
    """
    raise NotImplementedError


def q_learning_target(r: Floats, q_next: Floats, terminated: Bools, gamma: float) -> Floats:
    """r + γ (1 - terminated) max_a q(s', a)  (eq-q-learning-target).

    q_next (..., A), r and terminated (...) -> (...), whatever is done next. terminated is
    True/False or 1/0. Sutton & Barto, eq. 6.8; Watkins (1989).
    """
    raise NotImplementedError


def double_q_target(
    r: Floats, q_choose: Floats, q_judge: Floats, terminated: Bools, gamma: float
) -> Floats:
    """r + γ (1 - terminated) q_judge(s', argmax_a q_choose(s', a))  (eq-double-q-target).

    q_choose and q_judge (..., A), r and terminated (...) -> (...): q_choose is the table that is
    updated. Of equal best actions the first is judged. terminated is True/False or 1/0.
    Sutton & Barto, eq. 6.10; van Hasselt (2010).
    """
    raise NotImplementedError


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
    raise NotImplementedError


def batch_td(
    s: Ints, r: Floats, s_next: Ints, terminated: Bools, n_states: int, gamma: float
) -> Floats:
    """v = r̂ + γ P̂ v: the values of the model that N transitions suggest  (eq-batch-td).

    r̂(s) is the mean reward from s, P̂(s, j) the share of its steps that went on in j; both are 0
    for a state that no transition leaves. s, r, s_next and terminated (N,) -> (S,). That is where
    TD(0) ends if it is shown the same transitions again and again with small steps.
    Sutton & Barto, section 6.3.
    """
    raise NotImplementedError
