"""Finite Markov decision processes: what can happen, and what it is worth.

An MDP is four arrays over the outcomes k of every action a in every state s (eq-mdp): the state
that follows, the probability, the reward, and whether the episode ends there. Nothing is earned
after an end, whatever state follows it. Everything else is one of four lines:

    q(s, a) = Σ_k p [r + γ (1 - terminated) v(s_next)]    (eq-action-values)
    v(s)    = Σ_a π(a|s) q(s, a)                          (eq-bellman)
    v(s)    = max_a q(s, a)                               (eq-bellman-optimality)
    v       = r_π + γ P_π v                               (eq-bellman-matrix)

Shapes: S states, A actions, K outcomes, T steps; v is (S,), q and a policy pi are (S, A).
Source: Sutton & Barto, 2nd ed., ch. 3; Zhao, Mathematical Foundations of RL, ch. 2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


class MDP(NamedTuple):
    """What can happen: K outcomes of each action in each state (eq-mdp).

    s_next      (S, A, K)  the state that follows
    p           (S, A, K)  its probability; each p[s, a] sums to 1
    r           (S, A, K)  the reward on the way
    terminated  (S, A, K)  True where the episode ends there
    """

    s_next: Ints
    p: Floats
    r: Floats
    terminated: Bools


class PolicyModel(NamedTuple):
    """An MDP under a fixed policy: P_π and r_π of v = r_π + γ P_π v (eq-bellman-matrix).

    p  (S, S)  probability to go on in state j from state i; a row sums to less than 1 where
               an episode may end
    r  (S,)    expected reward of the next step
    """

    p: Floats
    r: Floats


# ------------------------------------------------------------------------------- building


def finite_mdp(s_next: ArrayLike, p: ArrayLike, r: ArrayLike, terminated: ArrayLike = False) -> MDP:
    """A checked MDP from arrays of shape (S, A, K); r and terminated may broadcast to it.

    Raises ValueError where shapes differ, a state is no state, a probability row does not sum to 1,
    or a number is NaN.
    """
    shape = np.shape(s_next)
    _check.shape("s_next", np.asarray(s_next), ("S", "A", "K"))
    weights = _check.probabilities("p", p)
    _check.shape("p", weights, shape)
    states = _check.indices("s_next", s_next, shape[0])
    rewards = _check.finite("r", _check.spread("r", r, shape))
    return MDP(states, weights, rewards, _check.spread("terminated", terminated, shape) != 0)


def deterministic_mdp(s_next: ArrayLike, r: ArrayLike, terminated: ArrayLike = False) -> MDP:
    """An MDP whose actions have one outcome each; s_next (S, A), r and terminated likewise."""
    s, flags = np.asarray(s_next), np.asarray(terminated)
    _check.shape("s_next", s, ("S", "A"))
    rewards = np.broadcast_to(_check.finite("r", r), s.shape)
    flags = np.broadcast_to(flags, s.shape)
    return finite_mdp(s[..., None], np.ones((*s.shape, 1)), rewards[..., None], flags[..., None])


def dense_mdp(p: ArrayLike, r: ArrayLike, terminal: ArrayLike = ()) -> MDP:
    """An MDP from the tables p (S, A, S) and r (S, A) or (S, A, S), with a list of terminal states.

    Entering a terminal state ends the episode; a terminal state itself is worth 0.
    """
    weights = np.asarray(p)
    n_states = len(weights) if weights.ndim else 0
    _check.shape("p", weights, ("S", "A", n_states))
    n_actions = weights.shape[1]
    rewards = _check.finite("r", r)
    _check.shape("r", rewards, (n_states, n_actions, n_states)[: max(2, rewards.ndim)])
    s_next = np.broadcast_to(np.arange(n_states), weights.shape)
    per_outcome = rewards if rewards.ndim == 3 else rewards[..., None]
    ends = np.isin(np.arange(n_states), _check.indices("terminal", _ints(terminal), n_states))
    return absorb(finite_mdp(s_next, weights, per_outcome, ends), ends)


def absorb(mdp: MDP, terminal: Bools) -> MDP:
    """The same MDP with terminal states (S,) that are worth 0: no reward, no way out."""
    rows = terminal[:, None, None]
    here = np.arange(len(mdp.p))[:, None, None]
    return MDP(
        np.where(rows, here, mdp.s_next),
        mdp.p,
        np.where(rows, 0.0, mdp.r),
        mdp.terminated | rows | terminal[mdp.s_next],
    )


def _ints(x: ArrayLike) -> NDArray[np.generic]:
    a = np.asarray(x)
    return a if a.size else a.astype(np.intp)


# ------------------------------------------------------------------------------- policies


def uniform_policy(mdp: MDP) -> Floats:
    """π(a|s) = 1/A: (S, A)."""
    n_states, n_actions, _ = mdp.p.shape
    return np.full((n_states, n_actions), 1 / n_actions)


def deterministic_policy(a: ArrayLike, n_actions: int) -> Floats:
    """π(a|s) = 1 for one action a (S,) of each state: (S, A)."""
    chosen = _check.indices("a", a, n_actions)
    _check.shape("a", chosen, ("S",))
    return np.eye(n_actions)[chosen]


def greedy_sets(q: ArrayLike, tolerance: float = 1e-9) -> Bools:
    """True for each best action of q (..., A): all that tie within `tolerance`  (eq-greedy).

    Ties are decided by a tolerance, since equal values that were summed in another order differ in
    their last bits.
    """
    values = _check.finite("q", q)
    return np.asarray(values >= values.max(-1, keepdims=True) - tolerance, dtype=np.bool_)


def greedy_policy(q: ArrayLike, tolerance: float = 1e-9) -> Floats:
    """The greedy policy that shares its probability among all best actions: (..., A)."""
    best = greedy_sets(q, tolerance)
    return np.asarray(best / best.sum(-1, keepdims=True), dtype=np.float64)


def check_policy(mdp: MDP, pi: ArrayLike) -> Floats:
    """pi as float64 (S, A); ValueError where its shape is another or a row does not sum to 1."""
    rows = _check.probabilities("pi", pi)
    _check.shape("pi", rows, mdp.p.shape[:2])
    return rows


# ------------------------------------------------------------------------------- operators


def discounted_returns(r: Floats, gamma: float) -> Floats:
    """G_t = r_t + γ G_{t+1}, with G_T = 0  (eq-return).

    r (..., T), whole numbers or not -> floats (..., T): what is earned from each step to the end
    of the episode.
    Here r_t is the reward of step t; Sutton & Barto write it R_{t+1} (eq. 3.9).
    """
    g = np.array(r, dtype=np.float64)
    for t in reversed(range(g.shape[-1] - 1)):
        g[..., t] += gamma * g[..., t + 1]
    return g


def action_values(mdp: MDP, v: Floats, gamma: float) -> Floats:
    """q(s, a) = Σ_k p [r + γ (1 - terminated) v(s_next)]  (eq-action-values).

    v (S,) -> q (S, A). Sutton & Barto, eq. 4.6; Zhao, section 2.8.
    """
    future = gamma * (1 - mdp.terminated) * v[mdp.s_next]
    return np.asarray((mdp.p * (mdp.r + future)).sum(-1))


def bellman_expectation(mdp: MDP, pi: Floats, v: Floats, gamma: float) -> Floats:
    """One sweep of the Bellman equation: Σ_a π(a|s) q(s, a)  (eq-bellman).

    pi (S, A), v (S,) -> (S,).
    """
    return np.asarray((pi * action_values(mdp, v, gamma)).sum(-1))


def bellman_optimality(mdp: MDP, v: Floats, gamma: float) -> Floats:
    """One sweep of the optimality equation: max_a q(s, a)  (eq-bellman-optimality).

    v (S,) -> (S,).
    """
    return np.asarray(action_values(mdp, v, gamma).max(-1))


def policy_model(mdp: MDP, pi: Floats) -> PolicyModel:
    """P_π(s, j) = Σ_a π(a|s) p(j|s, a) and r_π(s) = Σ_a π(a|s) Σ_k p r  (eq-policy-model).

    pi (S, A) -> (S, S) and (S,). An outcome that ends the episode leads nowhere, so that
    v = r_π + γ P_π v holds without a special case; outcomes with the same successor add up.
    Zhao, section 2.6.
    """
    weight = pi[:, :, None] * mdp.p
    p = np.zeros((len(pi), len(pi)))
    s = np.arange(len(pi))[:, None, None]
    np.add.at(p, (s, mdp.s_next), weight * (1 - mdp.terminated))
    return PolicyModel(p, (weight * mdp.r).sum((1, 2)))
