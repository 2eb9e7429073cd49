# desk 04726c04a8aa: the hash of what follows. Edit below, and the file is yours.
"""Your desk for tabular/monte_carlo. Write the functions, then: rlcourse check monte_carlo"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Ties = Literal["uniform", "first"]


def completed_returns(
    r: Floats, alive: Bools, terminated: Bools, v_last: Floats, gamma: float
) -> Floats:
    """G_t = r_t + γ G_{t+1}, from v(s_last) at a time limit, 0 at an end  (eq-completed-return).

    r and alive (T, B) of B padded episodes, terminated and v_last (B,) -> (T, B), 0 after their
    ends. With v_last = 0 a cut episode counts as if it were whole.
    """
    raise NotImplementedError


def first_visits(s: Ints, alive: Bools) -> Bools:
    """True at the step in which an episode is in a state for the first time  (eq-first-visit).

    s and alive (T, B) of B padded episodes -> (T, B), False after their ends. Pass s A + a for
    the first visits of pairs.
    """
    raise NotImplementedError


def epsilon_greedy(q: Floats, epsilon: float, ties: Ties = "uniform") -> Floats:
    """π(a|s) = ε/A + (1 - ε) [a is greedy]  (eq-epsilon-greedy).

    q (..., A) -> (..., A). Equal best actions share 1 - ε, or the first takes all of it. Equal
    means equal to the last bit here: learners meet exact ties only where they begin. Raises
    ValueError for epsilon outside [0, 1]. Sutton & Barto, section 5.4; Zhao, section 5.4.
    """
    raise NotImplementedError


def importance_ratios(pi: Floats, behaviour: Floats, s: Ints, a: Ints, alive: Bools) -> Floats:
    """ρ_t = π(a_t|s_t) / b(a_t|s_t), and 1 after the end  (eq-importance-ratio).

    pi and behaviour (S, A); s, a and alive (T, B) of B padded episodes -> (T, B). Raises ValueError
    where the behaviour policy doesn't cover the target: π(a|s) > 0 and b(a|s) = 0 anywhere, seen or
    not, since what b never does no episode can tell.
    """
    raise NotImplementedError


def weighted_estimates(rho: Floats, g: Floats) -> Floats:
    """v_k = (ρ_1 G_1 + ... + ρ_k G_k) / (ρ_1 + ... + ρ_k), and 0 before the first ρ > 0.

    Weights rho and returns g (N, B) of N episodes -> (N, B), the estimate after each (eq-weighted).
    """
    raise NotImplementedError
