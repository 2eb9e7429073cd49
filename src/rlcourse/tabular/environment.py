"""An MDP that is met step by step, its model unseen: B independent learners in one loop.

A learner chooses an action, and learns what happened. All B learners take their step in the same
NumPy call, each in an episode of its own, so that every learning curve has its error band for free.
An episode ends in the world itself (`terminated`) or is cut off by a time limit (`truncated`); the
two are kept apart, since the last state of a truncated episode is still worth something.

    env = environment(mdp, start, limit=100)
    s = first_states(env, B, rng=rng)
    outcome = step(env, s, a, rng=rng)

Shapes: S states, A actions, K outcomes, B independent learners, T steps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlcourse import _check
from rlcourse.tabular.mdp import MDP, Bools, Floats, Ints
from rlcourse.tabular.sampling import Alias, alias, draw

MOST_STEPS = 100_000  # of an episode without a time limit


class Environment(NamedTuple):
    """The tables that B learners step through; `environment` makes them.

    tables      of Walker's method, to draw an outcome of each of the S A pairs
    s_next      (S A K,) the state that an outcome leads to
    r           (S A K,) its reward
    terminated  (S A K,) whether the episode ends there
    first       of Walker's method, to draw the first state of an episode
    n_states, n_actions, n_outcomes
    limit       steps after which an episode is truncated; None: never
    home        the state in which every episode begins; None: they are drawn
    """

    tables: Alias
    s_next: Ints
    r: Floats
    terminated: Bools
    first: Alias
    n_states: int
    n_actions: int
    n_outcomes: int
    limit: int | None
    home: int | None


class Outcome(NamedTuple):
    """What B learners met in one step; every field is (B,)."""

    s_next: Ints
    r: Floats
    terminated: Bools


class Episodes(NamedTuple):
    """One episode of each of B learners, padded to the longest of T steps.

    s, a, r     (T, B) state, action and reward of each step; 0 after the end
    alive       (T, B) True for the steps that belong to the episode
    s_last      (B,)   the state that the episode ended in
    terminated  (B,)   True where the world ended it, False where the time limit did
    """

    s: Ints
    a: Ints
    r: Floats
    alive: Bools
    s_last: Ints
    terminated: Bools


def environment(mdp: MDP, start: ArrayLike, limit: int | None = None) -> Environment:
    """The environment of an MDP; start is a state, or the probability of each first state (S,).

    `rlcourse.gym.model_of` gives mdp and start of FrozenLake, CliffWalking and Taxi. Raises
    ValueError for a bad start, or a limit that is no positive integer.
    """
    n_states, n_actions, n_outcomes = mdp.p.shape
    chance = np.asarray(start)
    if chance.ndim == 0:
        chance = np.eye(n_states)[_check.indices("start", chance, n_states)]
    chance = _check.probabilities("start", chance)
    _check.shape("start", chance, (n_states,))
    if limit is not None:
        _check.positive_integer("limit", limit)
    return Environment(
        alias(mdp.p.reshape(-1, n_outcomes)),
        mdp.s_next.ravel(),
        mdp.r.ravel(),
        mdp.terminated.ravel(),
        alias(chance[None]),
        n_states,
        n_actions,
        n_outcomes,
        limit,
        int(chance.argmax()) if chance.max() == 1 else None,
    )


def first_states(env: Environment, n: int, *, rng: np.random.Generator) -> Ints:
    """The states (n,) in which n episodes begin; where all begin in one nothing is drawn."""
    if env.home is not None:
        return np.full(n, env.home)
    return draw(env.first, np.zeros(n, dtype=np.intp), rng)


def step(env: Environment, s: Ints, a: Ints, *, rng: np.random.Generator) -> Outcome:
    """One outcome of action a (B,) in state s (B,), drawn by its probability.

    Where each action has one outcome nothing is drawn.
    """
    at = s * env.n_actions + a
    if env.n_outcomes > 1:
        at = at * env.n_outcomes + draw(env.tables, at, rng)
    return Outcome(env.s_next.take(at), env.r.take(at), env.terminated.take(at))


def draw_actions(pi: Floats, *, rng: np.random.Generator) -> Ints:
    """One action of each row of probabilities pi (B, A): (B,)."""
    up_to = pi.cumsum(-1)
    u = rng.random(len(pi)) * up_to[:, -1]
    return np.asarray((u[:, None] >= up_to[:, :-1]).sum(-1), dtype=np.intp)


def sample_episodes(
    env: Environment,
    pi: Floats,
    n: int,
    *,
    rng: np.random.Generator,
    s: Ints | None = None,
    a: Ints | None = None,
) -> Episodes:
    """One episode of each of n learners under pi, (S, A) for all or (n, S, A), one for each.

    s (n,) and a (n,) are first states and actions where they are given (exploring starts). An
    episode ends in the world or at env.limit. Raises ValueError where one without a limit lasts
    100 000 steps, naming the learner and the states it loops through.
    """
    _check.shape("pi", pi, (*(("n",) if pi.ndim == 3 else ()), env.n_states, env.n_actions))
    now = first_states(env, n, rng=rng) if s is None else s.copy()
    alive, ended = np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    rows: list[tuple[Ints, Ints, Floats, Bools]] = []
    each = np.arange(n)
    while alive.any() and (env.limit is None or len(rows) < env.limit):
        if len(rows) == MOST_STEPS:
            raise ValueError(_endless(rows, int(alive.argmax())))
        chosen = draw_actions(pi[now] if pi.ndim == 2 else pi[each, now], rng=rng)
        if a is not None and not rows:
            chosen = a
        outcome = step(env, now, chosen, rng=rng)
        rows.append((now * alive, chosen * alive, outcome.r * alive, alive))
        ended = ended | (outcome.terminated & alive)
        now = np.where(alive, outcome.s_next, now)
        alive = alive & ~outcome.terminated
    states, actions, rewards, lived = (np.array(column) for column in zip(*rows, strict=True))
    return Episodes(states, actions, rewards, lived, now, ended)


def _endless(rows: list[tuple[Ints, Ints, Floats, Bools]], learner: int) -> str:
    seen = sorted({int(row[0][learner]) for row in rows[-1000:]})
    where = f"{seen[:8]}{' …' if len(seen) > 8 else ''}"
    return (
        f"pi must end its episodes: that of learner {learner} lasted {MOST_STEPS} steps and loops"
        f" through the states {where}; give the environment a limit"
    )
