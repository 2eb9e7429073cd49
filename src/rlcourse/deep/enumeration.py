"""All trajectories of a small MDP, each with its probability: a mean that needs no sampling.

They have the form of sampled episodes, so that whatever is computed from a sample is computed from
all that can happen by the same code. Weighted by the probabilities, its mean and its variance are
exact: a second oracle beside the linear solve, and the only one for a variance.

Shapes: S states, A actions, K outcomes, N trajectories, T steps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular.environment import Episodes
from rlcourse.tabular.mdp import MDP, Floats, check_policy

MOST = 200_000  # trajectories


class Enumerated(NamedTuple):
    """All N trajectories, and the probability p (N,) of each; they sum to 1."""

    episodes: Episodes
    p: Floats


def all_episodes(mdp: MDP, pi: ArrayLike, start: int, limit: int) -> Enumerated:
    """Every trajectory of at most `limit` steps under pi (S, A), from a state  (eq-trajectory).

    p(τ) = Π_t π(a_t|s_t) p(outcome_t|s_t, a_t). One that is cut at the limit has not terminated.
    Raises ValueError where there are more than 200 000.
    """
    pi = check_policy(mdp, pi)
    _check.positive_integer("limit", limit)
    shape = mdp.p.shape[1:]
    now = np.atleast_1d(_check.indices("start", start, len(mdp.p)))
    p, ended = np.ones(1), np.zeros(1, dtype=np.bool_)
    rows: list[list[np.ndarray]] = []
    while len(rows) < limit and not ended.all():
        # one that has ended goes on as it is; every other branches into all that may follow
        chance = np.where(ended[:, None, None], 0.0, pi[now][..., None] * mdp.p[now])
        chance[ended, 0, 0] = 1.0
        before, pair = np.nonzero(chance.reshape(len(now), -1))
        if len(before) > MOST:
            raise ValueError(f"limit must leave at most {MOST} trajectories, got {len(before)}")
        a, k = np.unravel_index(pair, shape)
        s, alive = now[before], ~ended[before]
        rows = [[column[before] for column in row] for row in rows]
        rows.append([s * alive, a * alive, mdp.r[s, a, k] * alive, alive])
        p = p[before] * chance.reshape(len(now), -1)[before, pair]
        now = np.where(alive, mdp.s_next[s, a, k], s)
        ended = ~alive | mdp.terminated[s, a, k]
    states, actions, rewards, lived = (np.array(column) for column in zip(*rows, strict=True))
    return Enumerated(Episodes(states, actions, rewards, lived, now, ended), p)


def exact_variance(estimates: Floats, p: Floats) -> Floats:
    """Var = E[g²] - E[g]² of each component: estimates (N, D) and p (N,) -> (D,)."""
    return np.asarray(p @ (estimates - p @ estimates) ** 2)
