"""What an action turned out to be worth, from steps in which one episode follows another.

A batch of T steps of B environments is cut where T happens to be over, and holds the ends of
episodes in its midst. Nothing may leak from an episode into the one before it, and what was cut off
is still worth something: `terminated` and `truncated` are kept apart to the last.

Operators only: NumPy's arrays and torch's tensors alike.

Shapes: T steps, B environments; (...) any further axes.
Source: Sutton & Barto, 2nd ed., sections 3.3, 3.4 and 13.3.
"""

from rlcourse.tabular.mdp import Bools, Floats
from rlcourse.tabular.targets import td_target


def reward_to_go(
    r: Floats, v_next: Floats, terminated: Bools, truncated: Bools, gamma: float
) -> Floats:
    """G_t = r_t + γ (1 - terminated_t) G_{t+1}, or v_next for G_{t+1} at a cut  (eq-reward-to-go).

    r, v_next, terminated and truncated (T, ...), T steps of B environments in which one episode
    follows another -> (T, ...). v_next[t] is what the state that step t led to is worth: it stands
    for what was not seen, at the last row and where the episode was truncated. Where it terminated
    nothing follows, truncated or not. Elsewhere v_next doesn't matter, if it is finite. Both flags
    are True/False or 1/0, in tensors 1/0. r is not changed.
    """
    g = td_target(r, v_next, terminated, gamma)
    for t in reversed(range(len(g) - 1)):
        follows = truncated[t] * v_next[t] + (1 - truncated[t]) * g[t + 1]
        g[t] = td_target(r[t], follows, terminated[t], gamma)
    return g
