"""Importance sampling: the value of one policy from episodes of another.

An episode that the target π would see more often than the behaviour b counts more, by the ratio of
its probabilities: the model cancels, and a product of policy ratios remains (eq-importance-ratio).

    ordinary       mean of ρ G                  unbiased    (eq-ordinary)
    weighted       Σ ρ G / Σ ρ                  consistent  (eq-weighted)
    per-decision   mean of Σ_t γ^t ρ_{0:t} r_t  unbiased    (eq-per-decision)

A product of many ratios can have an infinite variance: then a mean of finitely many episodes says
little, however many they are. A linear system tells (eq-second-moment).

Shapes: S states, A actions, B independent learners, N episodes, T steps; a policy is (S, A).
Source: Sutton & Barto, 2nd ed., sections 5.5 and 5.9; Precup, Sutton & Singh (2000).
"""

from typing import NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.tabular.environment import Environment, sample_episodes
from rlcourse.tabular.mdp import MDP, Bools, Floats, Ints, check_policy, policy_model
from rlcourse.tabular.returns import completed_returns


class OffPolicy(NamedTuple):
    """Three estimates of the target's value after each of N episodes; every field is (N, B)."""

    ordinary: Floats
    weighted: Floats
    per_decision: Floats


class SecondMoments(NamedTuple):
    """E_b[X²] of one episode's estimate X of v_π(s): minus v_π(s)² it is the variance.

    ordinary      X = ρ G
    per_decision  X = Σ_t γ^t ρ_{0:t} r_t
    """

    ordinary: float
    per_decision: float


# ------------------------------------------------------------------------------- ratios


def importance_ratios(pi: Floats, behaviour: Floats, s: Ints, a: Ints, alive: Bools) -> Floats:
    """ρ_t = π(a_t|s_t) / b(a_t|s_t), and 1 after the end  (eq-importance-ratio).

    pi and behaviour (S, A); s, a and alive (T, B) of B padded episodes -> (T, B). Raises ValueError
    where the behaviour policy doesn't cover the target: π(a|s) > 0 and b(a|s) = 0 anywhere, seen or
    not, since what b never does no episode can tell.
    """
    _check_covers(pi, behaviour)
    ratio = np.divide(pi, behaviour, out=np.zeros(pi.shape), where=behaviour > 0)
    return np.asarray(np.where(alive, ratio[s, a], 1.0))


def _check_covers(pi: Floats, behaviour: Floats) -> None:
    uncovered = (pi > 0) & (behaviour == 0)
    if uncovered.any():
        state, action = np.argwhere(uncovered)[0]
        raise ValueError(
            f"behaviour must cover pi: in state {state} pi takes action {action} with probability"
            f" {pi[state, action]:.3g}, behaviour never does"
        )


# ------------------------------------------------------------------------------- estimates


def ordinary_estimates(rho: Floats, g: Floats) -> Floats:
    """v_k = (ρ_1 G_1 + ... + ρ_k G_k) / k  (eq-ordinary).

    Weights rho and returns g (N, B) of N episodes -> (N, B), the estimate after each.
    """
    episodes = np.arange(1, len(g) + 1)[:, None]
    return np.asarray((rho * g).cumsum(0) / episodes)


def weighted_estimates(rho: Floats, g: Floats) -> Floats:
    """v_k = (ρ_1 G_1 + ... + ρ_k G_k) / (ρ_1 + ... + ρ_k), and 0 before the first ρ > 0.

    Weights rho and returns g (N, B) of N episodes -> (N, B), the estimate after each (eq-weighted).
    """
    total, weight = (rho * g).cumsum(0), rho.cumsum(0)
    v: Floats = np.divide(total, weight, out=np.zeros(g.shape), where=weight > 0)
    return v


def per_decision_returns(r: Floats, rho: Floats, gamma: float) -> Floats:
    """G_t = ρ_t (r_t + γ G_{t+1}), with G_T = 0  (eq-per-decision).

    r and rho (T, B) -> (T, B). A reward is weighted by the ratios up to its own action: what is
    done afterwards cannot change it. Sutton & Barto, section 5.9.
    """
    g = rho * r
    for t in reversed(range(len(g) - 1)):
        g[t] += rho[t] * gamma * g[t + 1]
    return g


def evaluate_off_policy(
    env: Environment,
    pi: Floats,
    behaviour: Floats,
    n: int,
    *,
    episodes: int,
    gamma: float,
    rng: np.random.Generator,
) -> OffPolicy:
    """The value of π where env begins its episodes, from episodes of another policy.

    n learners see `episodes` episodes each under `behaviour` (S, A). Raises ValueError where it
    doesn't cover pi, and where the time limit cut an episode: what was cut off has no weight.
    """
    _check.positive_integer("n", n)
    _check.positive_integer("episodes", episodes)
    _check.interval("gamma", gamma, 0, 1)
    pi, b = (_check.probabilities(*x) for x in (("pi", pi), ("behaviour", behaviour)))
    _check.shape("pi", pi, (env.n_states, env.n_actions))
    _check.shape("behaviour", b, pi.shape)
    x = sample_episodes(env, b, episodes * n, rng=rng)
    rho = importance_ratios(pi, b, x.s, x.a, x.alive)
    if not x.terminated.all():
        raise ValueError(
            f"env must end its episodes: the limit of {env.limit} steps cut"
            f" {(~x.terminated).sum()} of {x.terminated.size}"
        )
    g = completed_returns(x.r, x.alive, x.terminated, np.zeros(episodes * n), gamma)[0]
    weight, g = rho.prod(0).reshape(episodes, n), g.reshape(episodes, n)
    by_decision = per_decision_returns(x.r, rho, gamma)[0].reshape(episodes, n)
    return OffPolicy(
        ordinary_estimates(weight, g),
        weighted_estimates(weight, g),
        ordinary_estimates(np.ones(g.shape), by_decision),
    )


# ------------------------------------------------------------------------------- variance


def second_moments(mdp: MDP, pi: Floats, behaviour: Floats, gamma: float, s: int) -> SecondMoments:
    """E_b[X²] of an episode from state s, by linear systems; inf where they diverge.

    x(s) = Σ_a π²/b Σ_k p [r² + γ (1 - terminated) (2 r v_π(s') + γ x(s'))]  (eq-second-moment)

    is that of the per-decision return. With P_ρ(s, j) = Σ_a π²/b p(j|s, a) it is finite if the
    spectral radius of γ² P_ρ is below 1; that of the ordinary one if P_ρ's is, where rewards come
    on the way. Raises ValueError where behaviour doesn't cover pi.
    """
    pi, b = check_policy(mdp, pi), _check.probabilities("behaviour", behaviour)
    _check_covers(pi, b)
    here = _reachable(mdp, pi, s)[:, None]
    square: Floats = np.divide(pi**2, b, out=np.zeros(pi.shape), where=(pi > 0) & here)
    seen = here.ravel()
    radius = np.abs(np.linalg.eigvals(policy_model(mdp, square).p[seen][:, seen])).max()
    if gamma**2 * radius >= 1:
        return SecondMoments(np.inf, np.inf)
    p, r_pi = policy_model(mdp, here * pi)
    later = ~mdp.terminated * np.linalg.solve(np.eye(len(pi)) - gamma * p, r_pi)[mdp.s_next]
    by_decision = _summed(mdp, square, gamma**2, mdp.r**2 + 2 * gamma * mdp.r * later)[s]
    if radius >= 1 and _pays_on_the_way(mdp, square):
        return SecondMoments(np.inf, float(by_decision))
    return SecondMoments(float(_ordinary_square(mdp, square, gamma)[s]), float(by_decision))


def _summed(mdp: MDP, square: Floats, discount: float, x: Floats) -> Floats:
    """Σ_t (discount P_ρ)^t of what a step adds, x (S, A, K) -> (S,)."""
    model = policy_model(mdp._replace(r=x), square)
    return np.asarray(np.linalg.solve(np.eye(len(square)) - discount * model.p, model.r))


def _ordinary_square(mdp: MDP, square: Floats, gamma: float) -> Floats:
    """E_b[ρ² G²] from each state (S,), by way of E_b[ρ²] and E_b[ρ² G]."""
    follows, ends = ~mdp.terminated, mdp.terminated.astype(np.float64)
    weight = cross = np.zeros(len(square))
    if _pays_on_the_way(mdp, square):
        weight = _summed(mdp, square, 1.0, ends)
        cross = _summed(mdp, square, gamma, mdp.r * (ends + follows * weight[mdp.s_next]))
    x = mdp.r**2 * (ends + follows * weight[mdp.s_next])
    return _summed(mdp, square, gamma**2, x + 2 * gamma * mdp.r * follows * cross[mdp.s_next])


def _pays_on_the_way(mdp: MDP, square: Floats) -> bool:
    return bool((square[..., None] * mdp.p * np.abs(mdp.r) * ~mdp.terminated).any())


def _reachable(mdp: MDP, pi: Floats, s: int) -> Bools:
    """The states (S,) that an episode under pi from s can be in."""
    possible = (pi[..., None] * mdp.p > 0) & ~mdp.terminated
    here: Bools = np.arange(len(pi)) == s
    before = 0
    while here.sum() > before:
        before = here.sum()
        here[mdp.s_next[possible & here[:, None, None]]] = True
    return here
