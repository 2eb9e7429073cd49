"""Two classic problems of dynamic programming as finite MDPs: the gambler's, and car rental.

An action that is not available in a state is a copy of the nearest one that is, so that every state
has the same number of actions; what a best action does is what counts, not its number.

Source: Sutton & Barto, 2nd ed., examples 4.2 and 4.3.
"""

from math import exp, factorial

import numpy as np

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Floats, Ints, absorb, dense_mdp, finite_mdp


def gamblers_problem(p_heads: float = 0.4, goal: int = 100) -> MDP:
    """A gambler with s coins stakes some on heads, and wins 1 in all by reaching `goal`.

    States are the capital 0 .. goal, both ends terminal; action a stakes a + 1 coins, at most what
    is there and what is missing: `stakes` says which. gamma is 1, and v(s) is the probability of
    success. Raises ValueError for p_heads outside [0, 1] or a goal below 2. Example 4.3.
    """
    _check.interval("p_heads", p_heads, 0, 1)
    if _check.positive_integer("goal", goal) < 2:
        raise ValueError(f"goal must be at least 2, got {goal}")
    s = np.arange(goal + 1)[:, None]
    stake = stakes(goal)
    s_next = np.stack([s + stake, s - stake], axis=-1)
    p = np.broadcast_to([p_heads, 1 - p_heads], s_next.shape)
    wins = (s_next == goal) & (s[..., None] < goal)
    ends = (s[:, 0] == 0) | (s[:, 0] == goal)
    return absorb(finite_mdp(s_next, p, wins), ends)


def stakes(goal: int = 100) -> Ints:
    """The stake of each action in each state (goal + 1, goal // 2)."""
    s = np.arange(goal + 1)[:, None]
    return np.asarray(np.minimum(np.arange(1, goal // 2 + 1), np.minimum(s, goal - s)))


def car_rental(
    capacity: int = 20,
    most_moves: int = 5,
    rental: float = 10.0,
    move_cost: float = 2.0,
    requests: tuple[float, float] = (3.0, 4.0),
    returns: tuple[float, float] = (3.0, 2.0),
    *,
    free_move: bool = False,
    parking_cost: float = 0.0,
) -> MDP:
    """Jack's car rental: two places, cars moved overnight, Poisson requests and returns.

    State n1 (capacity + 1) + n2 holds the cars of both places in the evening; action a moves
    a - most_moves cars from the first to the second, as many of them as there are and fit. Requests
    beyond the cars are lost, returned cars can be rented the next day, cars beyond the capacity go
    away. `free_move` makes one move from first to second free, and `parking_cost` is paid for each
    place that keeps more than half of its capacity overnight (exercise 4.7). The Poisson sums are
    exact: all that lies beyond the cars counts as its limit. gamma is 0.9 in the book. Example 4.2.
    """
    _check.positive_integer("capacity", capacity)
    _check.positive_integer("most_moves", most_moves)
    for name, rates in (("requests", requests), ("returns", returns)):
        for rate in rates:
            _check.positive(name, rate)
    days = [_day(capacity, *rates) for rates in zip(requests, returns, strict=True)]
    n = capacity + 1
    n1, n2 = np.divmod(np.arange(n * n)[:, None], n)
    moved = moves(capacity, most_moves)
    m1, m2 = n1 - moved, n2 + moved
    (p1, rented1), (p2, rented2) = days
    p = p1[m1][..., :, None] * p2[m2][..., None, :]
    paid = np.abs(moved) - (free_move & (moved > 0))
    parked = (m1 > capacity // 2).astype(float) + (m2 > capacity // 2)
    r = rental * (rented1[m1] + rented2[m2]) - move_cost * paid - parking_cost * parked
    return dense_mdp(p.reshape(n * n, -1, n * n), r)


def moves(capacity: int = 20, most_moves: int = 5) -> Ints:
    """Cars that each action really moves, from first to second place: (S, 2 most_moves + 1)."""
    n = capacity + 1
    n1, n2 = np.divmod(np.arange(n * n)[:, None], n)
    wanted = np.arange(-most_moves, most_moves + 1)
    low, high = -np.minimum(n2, capacity - n1), np.minimum(n1, capacity - n2)
    return np.asarray(np.clip(wanted, low, high))


def _day(capacity: int, requests: float, returns: float) -> tuple[Floats, Floats]:
    """From n cars in the morning: P(cars in the evening) (n, n), mean number rented (n,)."""
    size = capacity + 1
    p, rented = np.zeros((size, size)), np.zeros(size)
    for n in range(size):
        for out, p_out in enumerate(_capped(requests, n)):
            rented[n] += p_out * out
            left = n - out
            p[n, left:] += p_out * _capped(returns, capacity - left)
    return p, rented


def _capped(rate: float, most: int) -> Floats:
    """P(min(N, most) = 0, 1, .. most) of a Poisson number N."""
    p = np.array([exp(-rate) * rate**n / factorial(n) for n in range(most)] + [0.0])
    p[most] = 1 - p.sum()
    return p
