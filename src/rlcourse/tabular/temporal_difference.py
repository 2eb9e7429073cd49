"""Temporal-difference learning: correct a guess by the next guess, one step later.

Every method of the chapter is one line (eq-td-update), the step of stochastic approximation,

    q(s, a)  <-  q(s, a) + α [target - q(s, a)],

and differs from its neighbours in the target alone (see `targets`):

    TD(0)            r + γ v(s')                              (eq-td-target)
    Sarsa            r + γ q(s', a')                          (eq-sarsa-target)
    expected Sarsa   r + γ Σ_a π(a|s') q(s', a)               (eq-expected-sarsa-target)
    Q-learning       r + γ max_a q(s', a)                     (eq-q-learning-target)
    double Q         r + γ q₂(s', argmax_a q₁(s', a))         (eq-double-q-target)
    n steps          r_0 + γ r_1 + ... + γ^n v(s_n)           (eq-n-step-target)
    Monte Carlo      r_0 + γ r_1 + γ² r_2 + ...               n-step with n = the episode

Where an episode terminated nothing follows; where a time limit truncated it, the value of its last
state does.

Shapes: S states, A actions, B independent learners, N episodes, T steps; q is (B, S, A).
Source: Sutton & Barto, 2nd ed., ch. 6-7; Zhao, Mathematical Foundations of RL, ch. 7.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlcourse import _check
from rlcourse.tabular import learning
from rlcourse.tabular.environment import (
    Environment,
    Outcome,
    first_states,
    sample_episodes,
    step,
)
from rlcourse.tabular.learning import Behaviour, Learned, Ties
from rlcourse.tabular.mdp import Bools, Floats, Ints
from rlcourse.tabular.monte_carlo import epsilon_greedy
from rlcourse.tabular.targets import (
    double_q_target,
    expected_sarsa_target,
    n_step_target,
    q_learning_target,
    sarsa_target,
)

Method = Literal["sarsa", "expected_sarsa", "q_learning", "double_q"]
METHODS = ("sarsa", "expected_sarsa", "q_learning", "double_q")

# ------------------------------------------------------------------------------- prediction


def learn_v(
    env: Environment,
    pi: Floats,
    *,
    episodes: int,
    learners: int,
    alpha: ArrayLike,
    gamma: float,
    n: int = 1,
    v: ArrayLike = 0.0,
    rng: np.random.Generator,
) -> Floats:
    """v(s) <- v(s) + α [target - v(s)] along episodes of pi, n-step target  (eq-td-update).

    n = 1 is TD(0); an n beyond the longest episode is constant-α Monte Carlo. pi (S, A); v, the
    first guess, broadcasts to (B, S), alpha to (B,). Returns the values after each episode
    (N, B, S). Raises ValueError for alpha outside (0, 1].
    Sutton & Barto, sections 6.1 and 7.1; Zhao, algorithm 7.1.
    """
    rate = learning.check_learning(learners, alpha, gamma)
    guess = _check.spread("v", _check.finite("v", v), (learners, env.n_states)).astype(np.float64)
    found = np.empty((_check.positive_integer("episodes", episodes), *guess.shape))
    flat, offset = guess.ravel(), np.arange(learners) * env.n_states
    for k in range(episodes):
        x = sample_episodes(env, _check.probabilities("pi", pi), learners, rng=rng)
        last = x.alive & ~np.vstack([x.alive[1:], np.zeros_like(x.alive[:1])])
        s_next = np.where(last, x.s_last, np.vstack([x.s[1:], x.s[:1]]))
        terminated, truncated = last & x.terminated, last & ~x.terminated
        for t in range(len(x.s)):
            w = slice(t, t + _check.positive_integer("n", n))
            v_next = flat[s_next[w] + offset]
            target = n_step_target(x.r[w].T, v_next.T, terminated[w].T, truncated[w].T, gamma)
            at = x.s[t] + offset
            flat[at] += rate * x.alive[t] * (target - flat[at])
        found[k] = guess
    return found


def batch_td(
    s: Ints, r: Floats, s_next: Ints, terminated: Bools, n_states: int, gamma: float
) -> Floats:
    """v = r̂ + γ P̂ v: the values of the model that N transitions suggest  (eq-batch-td).

    r̂(s) is the mean reward from s, P̂(s, j) the share of its steps that went on in j; both are 0
    for a state that no transition leaves. s, r, s_next and terminated (N,) -> (S,). That is where
    TD(0) ends if it is shown the same transitions again and again with small steps.
    Sutton & Barto, section 6.3.
    """
    visits = np.maximum(np.bincount(s, minlength=n_states), 1)
    p = np.zeros((n_states, n_states))
    np.add.at(p, (s, s_next), 1.0 - terminated)
    mean_r = np.bincount(s, r, n_states) / visits
    return np.asarray(np.linalg.solve(np.eye(n_states) - gamma * p / visits[:, None], mean_r))


# ------------------------------------------------------------------------------- control


def learn_q(
    env: Environment,
    method: Method,
    *,
    episodes: int,
    learners: int,
    alpha: ArrayLike,
    gamma: float,
    epsilon: float,
    ties: Ties = "uniform",
    behaviour: Floats | None = None,
    available: Bools | None = None,
    q: ArrayLike = 0.0,
    rng: np.random.Generator,
) -> Learned:
    """q(s, a) <- q(s, a) + α [target - q(s, a)] after each step  (eq-td-update).

    Each learner acts ε-greedily on its own q, or all follow a fixed `behaviour` (S, A); then Sarsa
    learns the values of that policy, the others still those of theirs. A learner that has done its
    episodes stands still. alpha broadcasts to (B,), the first guess q to (1, B, S, A) or, for
    double Q, (2, B, S, A): `Learned.tables` can be carried on.
    Raises ValueError for alpha outside (0, 1], epsilon outside [0, 1], a behaviour that does not
    cover the target policy, and episodes without a limit that don't end. Sutton & Barto, ch. 6.
    """
    rate = learning.check_learning(learners, alpha, gamma)
    log = learning.new_log(episodes, learners)
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    how = learning.check_behaviour(
        env, epsilon, ties, available, behaviour, must_cover=method != "sarsa"
    )
    tables = 2 if method == "double_q" else 1
    table = learning.actions_first(q, tables, learners, env, available)
    flat, size = table.ravel(), learners * env.n_states
    offset = np.arange(learners) * env.n_states
    s = first_states(env, learners, rng=rng)
    a = learning.act(how, learning.rows(table, offset + s, size), s, rng=rng)
    while len(s):
        x = step(env, s, a, rng=rng)
        at, to, a_next = offset + s, offset + x.s_next, a
        if method == "double_q":
            coin = size * rng.integers(2, size=len(s))
            at += coin
            choose, judge = table.take(to + coin, 1).T, table.take(to + size - coin, 1).T
            target = double_q_target(x.r, choose, judge, x.terminated, gamma)
        else:
            q_next = table.take(to, 1)
            if method == "sarsa":
                a_next = learning.act(how, q_next, x.s_next, rng=rng)
            target = _target(method, x, q_next.T, a_next, how, gamma)
        pair, a = a * table.shape[1] + at, a_next
        old = flat.take(pair)
        flat[pair] = old + rate * (target - old)
        s, ended = x.s_next, learning.add_step(log, x, env, how)
        if len(ended):
            learning.close_episodes(log, ended)
            s[ended] = new = first_states(env, len(ended), rng=rng)
            if method == "sarsa":
                a[ended] = learning.act(how, table[:, offset[ended] + new], new, rng=rng)
            if not (on := log.episode < episodes).all():
                log = learning.keep(log, on)
                s, a, offset, rate = s[on], a[on], offset[on], rate[on]
        if method != "sarsa":
            a = learning.act(how, learning.rows(table, offset + s, size), s, rng=rng)
    return learning.finish(table, tables, env, log)


def learn_n_step_sarsa(
    env: Environment,
    *,
    n: int,
    episodes: int,
    learners: int,
    alpha: ArrayLike,
    gamma: float,
    epsilon: float,
    ties: Ties = "uniform",
    q: ArrayLike = 0.0,
    rng: np.random.Generator,
) -> Learned:
    """q(s_t, a_t) <- q(s_t, a_t) + α [n-step target - q(s_t, a_t)], n steps later  (eq-td-update).

    All learners begin an episode together, and wait for the last. n = 1 is Sarsa. Arguments and
    errors as of `learn_q`. Sutton & Barto, section 7.2; Zhao, section 7.3.
    """
    rate = learning.check_learning(learners, alpha, gamma)
    log = learning.new_log(episodes, learners)
    how = learning.check_behaviour(env, epsilon, ties, None, None, must_cover=False)
    table = learning.actions_first(q, 1, learners, env, None)
    flat, size = table.ravel(), learners * env.n_states
    offset = np.arange(learners) * env.n_states
    _check.positive_integer("n", n)
    for _ in range(episodes):
        trail: list[tuple[NDArray[np.generic], ...]] = []
        done, alive = 0, np.ones(learners, dtype=np.bool_)
        log.age[:], log.total[:] = 0, 0
        s = first_states(env, learners, rng=rng)
        a = learning.act(how, table[:, offset + s], s, rng=rng)
        while alive.any() or done < len(trail):
            if alive.any():
                x, pair = step(env, s, a, rng=rng), a * size + offset + s
                ended = learning.add_step(log, x, env, how)
                ended = ended[alive[ended]]
                learning.close_episodes(log, ended)
                s, over = x.s_next, np.zeros_like(alive)
                over[ended] = True
                a = learning.act(how, table[:, offset + s], s, rng=rng)
                pair_next, truncated = a * size + offset + s, over & ~x.terminated
                trail.append((pair, x.r, pair_next, x.terminated, truncated, alive))
                alive = alive & ~over
            if len(trail) == done + n or not alive.any():
                window = zip(*trail[done : done + n], strict=True)
                pairs, r, after, ends, cuts, lived = (np.array(y) for y in window)
                target = n_step_target(r.T, flat[after].T, ends.T, cuts.T, gamma)
                flat[pairs[0]] += rate * lived[0] * (target - flat[pairs[0]])
                done += 1
    return learning.finish(table, 1, env, log)


def _target(
    method: Method, x: Outcome, q_next: Floats, a_next: Ints, how: Behaviour, gamma: float
) -> Floats:
    """The target of the methods with one table; q_next (B, A), a_next (B,) -> (B,)."""
    if method == "q_learning":
        return q_learning_target(x.r, q_next, x.terminated, gamma)
    if method == "sarsa":
        return sarsa_target(x.r, q_next, a_next, x.terminated, gamma)
    explore = learning.exploring_policy(how, x.s_next, q_next.shape[-1])
    pi_next = how.epsilon * explore + (1 - how.epsilon) * epsilon_greedy(q_next, 0.0, how.ties)
    return expected_sarsa_target(x.r, q_next, pi_next, x.terminated, gamma)
