"""Monte Carlo: values as means of sampled returns, where the model is unseen.

A value is the mean of a random return, so average returns (eq-mc-mean). Four choices make the
methods of the chapter:

    which return    of an episode cut by a time limit: completed    (eq-completed-return)
    which visits    the first of an episode, or every one           (eq-first-visit)
    which policy    greedy from exploring starts, or ε-greedy       (eq-epsilon-greedy)
    whose episodes  one's own, or another policy's                  (see `importance_sampling`)

Improve the policy after each episode by the mean returns of its pairs (eq-mc-control), and values
without a model become actions. What exploring for ever costs is a fixed point (eq-soft-optimality).

Shapes: S states, A actions, B independent learners, T steps of an episode; q is (B, S, A).
Source: Sutton & Barto, 2nd ed., ch. 5; Zhao, Mathematical Foundations of RL, ch. 5.
"""

from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.environment import Environment, sample_episodes
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.learning import Ties
from rlcourse.tabular.mdp import (
    MDP,
    Floats,
    Ints,
    action_values,
    greedy_policy,
    uniform_policy,
)
from rlcourse.tabular.returns import (
    Estimates,
    Visits,
    completed_returns,
    first_visits,
    mean_returns,
)


class Learned(NamedTuple):
    """What B learners have learned.

    q       (B, S, A)  mean return of each pair
    visits  (B, S, A)  how many returns that is the mean of
    earned  (N, B)     Σ r of each of N episodes
    """

    q: Floats
    visits: Ints
    earned: Floats


class SoftOptimum(NamedTuple):
    """The best that an ε-greedy policy can do: v (S,), q (S, A), and that policy pi (S, A)."""

    v: Floats
    q: Floats
    pi: Floats


# ------------------------------------------------------------------------------- evaluation


def evaluate(
    env: Environment,
    pi: Floats,
    n: int,
    *,
    episodes: int,
    gamma: float,
    visits: Visits = "first",
    rng: np.random.Generator,
) -> Estimates:
    """v(s) = the mean return of the first or of all visits to s  (eq-mc-mean).

    n learners see `episodes` episodes each under pi (S, A). Where the time limit cut some, the
    values are those that agree with the returns which they complete. Raises ValueError for a bad
    argument, and for gamma = 1 where a learner saw no end from a state that it visited.
    Sutton & Barto, section 5.1.
    """
    _check.positive_integer("n", n)
    _check.positive_integer("episodes", episodes)
    _check.interval("gamma", gamma, 0, 1)
    if visits not in ("first", "every"):
        raise ValueError(f"visits must be 'first' or 'every', got {visits!r}")
    x = sample_episodes(env, _check.probabilities("pi", pi), n * episodes, rng=rng)
    return mean_returns(x, n, env.n_states, gamma, visits)


# ------------------------------------------------------------------------------- control


def epsilon_greedy(q: Floats, epsilon: float, ties: Ties = "uniform") -> Floats:
    """π(a|s) = ε/A + (1 - ε) [a is greedy]  (eq-epsilon-greedy).

    q (..., A) -> (..., A). Equal best actions share 1 - ε, or the first takes all of it. Equal
    means equal to the last bit here: learners meet exact ties only where they begin. Raises
    ValueError for epsilon outside [0, 1]. Sutton & Barto, section 5.4; Zhao, section 5.4.
    """
    _check.interval("epsilon", epsilon, 0, 1)
    n_actions = q.shape[-1]
    if ties == "first":
        best = np.arange(n_actions) == q.argmax(-1)[..., None]
    else:
        best = q == q.max(-1, keepdims=True)
    share = (1 - epsilon) / best.sum(-1, keepdims=True)
    return np.asarray(epsilon / n_actions + share * best, dtype=np.float64)


def mc_basic(
    env: Environment,
    n: int,
    *,
    episodes: int,
    iterations: int,
    gamma: float,
    rng: np.random.Generator,
) -> Floats:
    """q(s, a) = the mean of T-step returns from (s, a), then π = greedy(q), again and again.

    n learners start `episodes` episodes from each pair and cut them after env.limit = T steps: what
    lies beyond counts as 0 here, so that v = max_a q becomes the optimum of T steps. The first
    policy takes action 0 everywhere, and of equal actions the first is taken: where the world is
    deterministic one episode a pair is exact. Returns q of each iteration (iterations, n, S, A).
    Raises ValueError for an environment without a limit. Zhao, algorithm 5.1.
    """
    if env.limit is None:
        raise ValueError("env must have a limit, the length T of an episode, got None")
    counts = {"n": n, "episodes": episodes, "iterations": iterations}
    for name, count in counts.items():
        _check.positive_integer(name, count)
    _check.interval("gamma", gamma, 0, 1)
    shape = (n, env.n_states, env.n_actions, episodes)
    b, s, a, _ = (i.ravel() for i in np.indices(shape))
    q = np.zeros((iterations + 1, *shape[:3]))
    for k in range(iterations):
        pi = epsilon_greedy(q[k], 0.0, "first")
        x = sample_episodes(env, pi[b], len(b), s=s, a=a, rng=rng)
        g = completed_returns(x.r, x.alive, x.terminated, np.zeros(len(b)), gamma)[0]
        q[k + 1] = g.reshape(shape).mean(-1)
    return q[1:]


def learn(
    env: Environment,
    n: int,
    *,
    episodes: int,
    gamma: float,
    epsilon: float,
    alpha: float | None = None,
    exploring_starts: bool = False,
    ties: Ties = "uniform",
    rng: np.random.Generator,
) -> Learned:
    """q(s, a) <- q(s, a) + (G - q(s, a)) / N(s, a), then π = ε-greedy(q)  (eq-mc-control).

    n learners, first visits. alpha replaces 1/N where it is given. With exploring_starts the first
    action is any of all, and env's first states should be too. A cut episode is completed by what
    the learner thinks of its last state. Raises ValueError for epsilon outside [0, 1], alpha
    outside (0, 1], and where no limit stops a policy that loops. Sutton & Barto, section 5.4.
    """
    _check_learner(n, episodes, gamma, epsilon, alpha)
    shape, each = (n, env.n_states, env.n_actions), np.arange(n)
    q, visits = np.zeros(shape), np.zeros(shape, dtype=np.intp)
    pi, earned = np.full(shape, 1 / env.n_actions), np.empty((episodes, n))
    for k in range(episodes):
        a = rng.integers(env.n_actions, size=n) if exploring_starts else None
        x = sample_episodes(env, pi, n, a=a, rng=rng)
        v_last = (pi[each, x.s_last] * q[each, x.s_last]).sum(-1)
        g = completed_returns(x.r, x.alive, x.terminated, v_last, gamma)
        t, b = np.nonzero(first_visits(x.s * env.n_actions + x.a, x.alive))
        s = x.s[t, b]
        pair = b, s, x.a[t, b]
        visits[pair] += 1
        q[pair] += (alpha or 1 / visits[pair]) * (g[t, b] - q[pair])
        pi[b, s] = epsilon_greedy(q[b, s], epsilon, ties)
        earned[k] = x.r.sum(0)
    return Learned(q, visits, earned)


def _check_learner(
    n: int, episodes: int, gamma: float, epsilon: float, alpha: float | None
) -> None:
    _check.positive_integer("n", n)
    _check.positive_integer("episodes", episodes)
    _check.interval("gamma", gamma, 0, 1)
    _check.interval("epsilon", epsilon, 0, 1)
    if alpha is not None:
        _check.step_size("alpha", alpha)


def soft_optimum(mdp: MDP, epsilon: float, gamma: float) -> SoftOptimum:
    """v(s) = (1 - ε) max_a q(s, a) + ε mean_a q(s, a), the best of all ε-greedy policies.

    Found by policy iteration with exact values, until none grows (eq-soft-optimality): it is what a
    learner that explores for ever can hope for. Raises ValueError for epsilon outside [0, 1], and
    for gamma = 1 where episodes don't end. Sutton & Barto, section 5.4.
    """
    _check.interval("epsilon", epsilon, 0, 1)
    pi = uniform_policy(mdp)
    v = closed_form(mdp, pi, gamma)
    while True:
        q = action_values(mdp, v, gamma)
        pi = epsilon / q.shape[-1] + (1 - epsilon) * greedy_policy(q)
        before, v = v, closed_form(mdp, pi, gamma)
        if (v <= before + 1e-11 * (1 + np.abs(before))).all():
            return SoftOptimum(v, action_values(mdp, v, gamma), pi)
