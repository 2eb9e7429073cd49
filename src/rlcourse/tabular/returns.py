"""What an episode says about the states that it visited: returns, visits, and their means.

An episode that a time limit cut has no return yet: it is completed by what its last state is worth
(eq-completed-return). A state that came up twice has two returns that overlap: count the first, or
both (eq-first-visit). What is learned is their mean (eq-mc-mean), or a running one that forgets
(eq-constant-alpha).

Shapes: S states, B independent learners or episodes, T steps; episodes come padded, see
`environment.Episodes`.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.environment import Environment, Episodes, sample_episodes
from rlcourse.tabular.mdp import Bools, Floats, Ints

Visits = Literal["first", "every"]


class Estimates(NamedTuple):
    """What B learners make of the same policy.

    v       (B, S)  mean return of each state; 0 where it was never visited
    visits  (B, S)  how many returns that is the mean of
    """

    v: Floats
    visits: Ints


def completed_returns(
    r: Floats, alive: Bools, terminated: Bools, v_last: Floats, gamma: float
) -> Floats:
    """G_t = r_t + γ G_{t+1}, from v(s_last) at a time limit, 0 at an end  (eq-completed-return).

    r and alive (T, B) of B padded episodes, terminated and v_last (B,) -> (T, B), 0 after their
    ends. With v_last = 0 a cut episode counts as if it were whole.
    """
    follows = np.where(terminated, 0.0, v_last)
    g = np.zeros(r.shape)
    for t in reversed(range(len(r))):
        follows = np.where(alive[t], r[t] + gamma * follows, follows)
        g[t] = follows * alive[t]
    return g


def first_visits(s: Ints, alive: Bools) -> Bools:
    """True at the step in which an episode is in a state for the first time  (eq-first-visit).

    s and alive (T, B) of B padded episodes -> (T, B), False after their ends. Pass s A + a for
    the first visits of pairs.
    """
    n_steps, n = s.shape
    episode_and_state = np.where(alive, s * n + np.arange(n), -1)
    _, at = np.unique(episode_and_state, return_index=True)
    first = np.zeros(n_steps * n, dtype=np.bool_)
    first[at] = True
    return np.asarray(first.reshape(s.shape) & alive)


def mean_returns(x: Episodes, n: int, n_states: int, gamma: float, visits: Visits) -> Estimates:
    """Mean returns of each learner's share of the episodes; those that were cut are completed.

    A visit whose episode was cut k steps later adds γ^k v(s_last) to its return: with these weights
    W the values obey v = g + W v. Raises ValueError where γ = 1 and a state that a learner visited
    leads to no end, through its own episodes and those that its cut ones are completed by.
    """
    counted = first_visits(x.s, x.alive) if visits == "first" else x.alive
    t, b = np.nonzero(counted)
    cell = b // (len(x.s_last) // n) * n_states + x.s[t, b]
    visited = np.bincount(cell, minlength=n * n_states)
    per_visit = 1 / np.maximum(visited, 1)
    g = completed_returns(x.r, x.alive, x.terminated, np.zeros(len(x.s_last)), gamma)
    v = np.bincount(cell, g[t, b], n * n_states) * per_visit
    if not x.terminated.all():
        left = completed_returns(0 * x.r, x.alive, x.terminated, np.ones(len(x.s_last)), gamma)
        w = np.zeros((n * n_states, n_states))
        np.add.at(w, (cell, x.s_last[b]), left[t, b] * per_visit[cell])
        leads = w.reshape(n, n_states, n_states)
        if gamma == 1:
            ended = np.bincount(cell, x.terminated[b], n * n_states) > 0
            _check_ends(leads > 0, ended.reshape(n, n_states), visited.reshape(n, n_states))
        a = np.eye(n_states) - leads
        v = np.asarray(np.linalg.solve(a, v.reshape(n, n_states, 1)), dtype=np.float64)
    return Estimates(v.reshape(n, n_states), visited.reshape(n, n_states))


def _check_ends(leads: Bools, ends: Bools, visited: Ints) -> None:
    """leads (B, S, S) from a state to those that complete it; ends (B, S): an episode ended."""
    before = np.zeros_like(ends)
    while (ends != before).any():
        before, ends = ends, ends | (leads & ends[:, None]).any(-1)
    endless = np.argwhere((visited > 0) & ~ends)
    if len(endless):
        learner, state = endless[0]
        raise ValueError(
            f"gamma = 1 needs episodes that end: learner {learner} saw none end from state {state}"
            " on, not even by way of the states that cut ones stopped in; see more episodes, raise"
            " the limit, or use gamma < 1"
        )


def constant_alpha(
    env: Environment,
    pi: Floats,
    v: Floats,
    *,
    episodes: int,
    alpha: float,
    gamma: float,
    rng: np.random.Generator,
) -> Floats:
    """v(s) <- v(s) + α [G - v(s)] after each episode, for every visit  (eq-constant-alpha).

    v (B, S) are first guesses of B learners -> (episodes + 1, B, S), the guesses and what each
    episode made of them. Raises ValueError for alpha outside (0, 1]. Sutton & Barto, eq. 6.1.
    """
    _check.step_size("alpha", alpha)
    _check.interval("gamma", gamma, 0, 1)
    _check.shape("v", v, ("B", env.n_states))
    found = np.empty((_check.positive_integer("episodes", episodes) + 1, *v.shape))
    found[0] = v
    each = np.arange(len(v))
    for before, now in pairwise(found):
        now[:] = before
        x = sample_episodes(env, pi, len(v), rng=rng)
        g = completed_returns(x.r, x.alive, x.terminated, before[each, x.s_last], gamma)
        for s, target, alive in zip(x.s, g, x.alive, strict=True):
            now[each, s] += alpha * alive * (target - now[each, s])
    return found
