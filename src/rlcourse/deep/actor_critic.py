"""Actor-critic: a policy that climbs, and the values that tell it where, both learned step by step.

The policy gradient needs the value of what was done. REINFORCE waits for the return; here a critic,
learned by temporal differences, is asked after every step. δ is its error, s' the true successor:

    δ  r + γ (1 - terminated) v(s'; w) - v(s; w)                             (eq-actor-critic-error)

                   actor θ += α ·                critic w +=
    QAC            q(s, a; w) ∇ log π(a|s)       α_w δ ∇q(s, a), Sarsa's δ       (eq-qac)
    actor-critic   I ρ δ ∇ log π(a|s)            α_w ρ δ ∇v(s)                   (eq-actor-critic)
    deterministic  ∇μ(s) ∂q(s, a; w)/∂a at μ(s)  α_w δ ∇q(s, a), a' = μ(s')      (eq-deterministic)

δ estimates the advantage q(s, a) - v(s): that is its mean, if v is right. ρ = π(a|s)/b(a|s) weighs
the actions of another policy b, and is 1 for the policy's own; I is γ^t for the value of the start,
1 in most programs. Both updates see the critic as it was before the step.

All are rows: B learners take one step each.

Shapes: B learners, S states, A actions, D parameters of the policy, F weights of the critic.
Source: Sutton & Barto, 2nd ed., section 13.5; Zhao, ch. 10; Konda & Tsitsiklis (2000); Degris et
al. (2012) for ρ; Silver et al. (2014).
"""

from typing import Literal, NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.deep.policies import log_softmax
from rlcourse.deep.regulator import COST, NOISE, action_slopes, quadratic_features
from rlcourse.tabular.environment import Environment, draw_actions, first_states, step
from rlcourse.tabular.mdp import Bools, Floats, Ints
from rlcourse.tabular.targets import td_target

Method = Literal["qac", "actor_critic"]
METHODS = ("qac", "actor_critic")
FAR = 1e6  # no state and no weight of the regulator is as large


class ActorCritic(NamedTuple):
    """Parameters theta (..., D) of the policy and weights w (..., F) of the critic."""

    theta: Floats
    w: Floats


class Learned(NamedTuple):
    """B learners on their way: theta (n, B, D) and w (n, B, F) after each of the steps kept."""

    theta: Floats
    w: Floats


class Regulated(NamedTuple):
    """B learners on their way: gains k (n, B), weights w (n, B, 4) after each of the steps kept."""

    k: Floats
    w: Floats


# ------------------------------------------------------------------------------- one step


def actor_critic_step(
    x: ActorCritic,
    score: Floats,
    phi: Floats,
    phi_next: Floats,
    r: Floats,
    terminated: Bools,
    rho: Floats,
    discount: Floats,
    alpha: float | Floats,
    alpha_w: float | Floats,
    gamma: float,
) -> ActorCritic:
    """θ + α I ρ δ ∇ log π(a|s) and w + α_w ρ δ φ(s), with v = φ·w  (eq-actor-critic).

    score (..., D) is ∇ log π(a|s), phi and phi_next (..., F) are the critic's features of s and of
    s'; r, terminated, the ratio rho and discount I (...). Step sizes are numbers or (...). δ takes
    nothing from phi_next where the episode terminated, and both updates use the same δ.
    Sutton & Barto, section 13.5; Zhao, eq. 10.8 and 10.9.
    """
    v, v_next = ((features * x.w).sum(-1) for features in (phi, phi_next))
    delta = td_target(r, v_next, terminated, gamma) - v
    up, fit = alpha * discount * rho * delta, alpha_w * rho * delta
    return ActorCritic(x.theta + up[..., None] * score, x.w + fit[..., None] * phi)


def q_actor_critic_step(
    x: ActorCritic,
    score: Floats,
    phi: Floats,
    phi_next: Floats,
    r: Floats,
    terminated: Bools,
    alpha: float | Floats,
    alpha_w: float | Floats,
    gamma: float,
) -> ActorCritic:
    """θ + α q(s, a) ∇ log π(a|s) and w + α_w δ φ(s, a), with q = φ·w and Sarsa's δ  (eq-qac).

    score (..., D), phi and phi_next (..., F) are features of (s, a) and of (s', a') with the action
    that is taken next; r and terminated (...). Step sizes are numbers or (...). The actor is moved
    by q as it was before the critic learned from the step. Zhao, algorithm 10.1.
    """
    q, q_next = ((features * x.w).sum(-1) for features in (phi, phi_next))
    delta = td_target(r, q_next, terminated, gamma) - q
    up, fit = alpha * q, alpha_w * delta
    return ActorCritic(x.theta + up[..., None] * score, x.w + fit[..., None] * phi)


def deterministic_actor_critic_step(
    x: ActorCritic,
    slope: Floats,
    q_slope: Floats,
    phi: Floats,
    phi_next: Floats,
    r: Floats,
    terminated: Bools,
    alpha: float | Floats,
    alpha_w: float | Floats,
    gamma: float,
) -> ActorCritic:
    """θ + α ∇μ(s) ∂q/∂a and w + α_w δ φ(s, a), with δ for a' = μ(s')  (eq-deterministic).

    slope (..., D) is ∇_θ μ(s), where an action is one number; q_slope (..., F) are the features'
    derivatives by the action *at a = μ(s)*, so that ∂q/∂a = q_slope·w. phi (..., F) are features of
    s and of the action *taken*, which may explore; phi_next those of s' and μ(s'). r and terminated
    (...). The actor is moved by w as it was before. Zhao, algorithm 10.4.
    """
    q, q_next, rise = ((features * x.w).sum(-1) for features in (phi, phi_next, q_slope))
    delta = td_target(r, q_next, terminated, gamma) - q
    up, fit = alpha * rise, alpha_w * delta
    return ActorCritic(x.theta + up[..., None] * slope, x.w + fit[..., None] * phi)


# ------------------------------------------------------------------------------- learning


def learn_actor_critic(
    env: Environment,
    x: Floats,
    method: Method,
    *,
    steps: int,
    learners: int,
    alpha: float,
    alpha_w: float,
    gamma: float,
    rng: np.random.Generator,
    behaviour: Floats | None = None,
    every: int = 1,
) -> Learned:
    """B learners with softmax policies and a critic for each state, or pair, from θ = 0 and w = 0.

    Features x (S, A, D). A learner begins anew when its episode ends or env.limit cuts it. All act
    by their own policies, or by a fixed `behaviour` (S, A), and then actor_critic weighs by the
    ratio; I is 1. Kept are the beginning and every so many steps, 1 + steps / every rows.
    Raises ValueError for an unknown method, a behaviour for qac, or an every that doesn't divide.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    if method == "qac" and behaviour is not None:
        raise ValueError("behaviour must be None for qac, which learns from its own actions")
    if steps % _check.positive_integer("every", every):
        raise ValueError(f"every must divide steps = {steps}, got {every}")
    _check.interval("gamma", gamma, 0, 1)
    n_states, n_actions, d = x.shape
    pairs = n_states * n_actions if method == "qac" else n_states
    me = ActorCritic(np.zeros((learners, d)), np.zeros((learners, pairs)))
    critic, one, kept = np.eye(pairs), np.ones(learners), [me]

    def act(s: Ints) -> Ints:
        pi = behaviour[s] if behaviour is not None else _policy(x, me.theta, s)
        return draw_actions(pi, rng=rng)

    s, age = first_states(env, learners, rng=rng), np.zeros(learners, dtype=np.intp)
    a = act(s)
    for k in range(steps):
        out = step(env, s, a, rng=rng)
        pi, a_next = _policy(x, me.theta, s), act(out.s_next)
        score = x[s, a] - (pi[..., None] * x[s]).sum(-2)
        if method == "qac":
            at, to = critic[s * n_actions + a], critic[out.s_next * n_actions + a_next]
            me = q_actor_critic_step(
                me, score, at, to, out.r, out.terminated, alpha, alpha_w, gamma
            )
        else:
            rho = one if behaviour is None else pi[np.arange(learners), a] / behaviour[s, a]
            at, to = critic[s], critic[out.s_next]
            me = actor_critic_step(
                me, score, at, to, out.r, out.terminated, rho, one, alpha, alpha_w, gamma
            )
        age += 1
        over = out.terminated | (age == env.limit)
        s = np.where(over, first_states(env, learners, rng=rng), out.s_next)
        a, age = np.where(over, act(s), a_next), np.where(over, 0, age)
        if (k + 1) % every == 0:
            kept.append(me)
    return Learned(*(np.array(column) for column in zip(*kept, strict=True)))


def _policy(x: Floats, theta: Floats, s: Ints) -> Floats:
    """π(·|s) of each learner in its own state: (B, A)."""
    return np.asarray(np.exp(log_softmax((x[s] * theta[:, None]).sum(-1))))


def learn_gain(
    *,
    steps: int,
    learners: int,
    alpha: float,
    alpha_w: float,
    gamma: float,
    spread: float,
    rng: np.random.Generator,
    k: float = 0.2,
    limit: int = 10,
    every: int = 1,
) -> Regulated:
    """The deterministic actor-critic: explores by a = μ(s) + spread ε, learns about μ itself.

    From gain k and weights 0; an episode begins anywhere in [-1, 1], and is cut after `limit`
    steps. Raises ValueError for a spread that isn't positive: without exploring the critic can't
    tell what the action does. Raises FloatingPointError where a learner runs away: nothing bounds
    a critic whose steps are too long, nor the gain that follows it.
    """
    _check.positive("spread", spread)
    me = ActorCritic(np.full((learners, 1), -float(k)), np.zeros((learners, 4)))
    s, kept = rng.uniform(-1, 1, learners), [me]
    never = np.zeros(learners, dtype=np.bool_)
    for i in range(steps):
        mu = me.theta[:, 0] * s
        a = mu + spread * rng.normal(size=learners)
        r = -(s**2 + COST * a**2)
        s_next = s + a + NOISE * rng.normal(size=learners)
        after = quadratic_features(s_next, me.theta[:, 0] * s_next)
        me = deterministic_actor_critic_step(
            me, s[:, None], action_slopes(s, mu), quadratic_features(s, a), after, r, never,
            alpha, alpha_w, gamma,
        )  # fmt: skip
        if not (np.abs(s_next) < FAR).all() or not (np.abs(me.w) < FAR).all():
            raise FloatingPointError(
                f"a learner ran away at step {i}: shorten its steps, or spread"
            )
        s = rng.uniform(-1, 1, learners) if (i + 1) % limit == 0 else s_next
        if (i + 1) % every == 0:
            kept.append(me)
    return Regulated(-np.array([x.theta[:, 0] for x in kept]), np.array([x.w for x in kept]))
