"""Generalized advantage estimation: how far an advantage looks before it trusts the critic.

The TD error δ asks the critic after one step, the return never. Between them lie all sums whose
later errors count less:

    δ_t = r_t + γ (1 - terminated_t) v'_t - v_t                                (eq-gae-error)
    Â_t = Σ_l (γλ)^l δ_{t+l} = δ_t + γλ Â_{t+1}, within the episode            (eq-gae)

λ = 0 is the TD error: little variance, and all of the critic's error. λ = 1 is the return less v:
no bias in the gradient if the episode is seen to its end, and all of the variance.

Nothing leaks from an episode into the one before it, however it ended: only what completes the sum
differs. After a terminated step nothing follows; after a truncated one, and after the last row, the
value of its true successor does. Rows that don't count are skipped as if they weren't there: what
pads a sequence, the tokens that a tool wrote, the step in which a vector environment resets.

Operators only: NumPy's arrays and torch's tensors alike.

Shapes: T steps (or tokens); (...) environments, learners or sequences.
Source: Schulman et al. (2016), eq. 16 and 17; Sutton & Barto, 2nd ed., section 12.1.
"""

from typing import Any

from rlcourse.tabular.mdp import Bools, Floats
from rlcourse.tabular.targets import td_target


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
    a = td_target(r, v_next, terminated, gamma) - v
    decay = gamma * lam * (1 - terminated) * (1 - truncated)
    follows: Any = 0.0
    for t in reversed(range(len(a))):
        here = a[t] + decay[t] * follows
        counts = 1 if mask is None else mask[t]
        a[t] = counts * here
        follows = counts * here + (1 - counts) * follows
    return a


def next_values(v: Floats, last: Floats, mask: Bools | None = None) -> Floats:
    """v'_t = v of the next row that counts; after the last of them `last`  (eq-next-values).

    v (T, ...), one sequence in each column, and `last` (...), what the state after its last row is
    worth -> (T, ...). The mask is that of `generalized_advantage`; its skipped rows get what the
    row before them gets.
    """
    found = 0 * v
    follows = last + 0 * v[0]
    for t in reversed(range(len(v))):
        found[t] = follows
        counts = 1 if mask is None else mask[t]
        follows = counts * v[t] + (1 - counts) * follows
    return found
