"""Objectives and their gradients where both are known: the corridor, averages, entropy, steering.

Shapes: S states, A actions, D parameters, B episodes or learners, n points of a curve.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.deep.enumeration import all_episodes, exact_variance
from rlcourse.deep.objectives import Exact, average_reward, policy_gradient, value_objective
from rlcourse.deep.policies import gaussian_score, softmax_policy, softmax_score
from rlcourse.deep.policy_gradient import (
    gradient_estimates,
    off_policy_weights,
    reinforce_weights,
)
from rlcourse.deep.policy_worlds import DAYS, hike, short_corridor, steering
from rlcourse.plot import BLUE, GREEN, HALF, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.importance_sampling import importance_ratios
from rlcourse.tabular.mdp import MDP, Floats, finite_mdp
from rlcourse.tabular.returns import completed_returns

BEST = 2 - 2**0.5  # π(right) in the short corridor

# ------------------------------------------------------------------------------- the question


def corridor(theta: Floats) -> Exact:
    """What a policy of the short corridor earns, exactly: θ = (left, right)."""
    world = short_corridor()
    return value_objective(world.mdp, world.x, theta, world.start, world.gamma)


def draw_question() -> Picture:
    """What a policy of the short corridor earns, by its probability to go right."""
    p = np.linspace(0.02, 0.98, 121)
    j = corridor(np.stack([np.zeros(len(p)), np.log(p / (1 - p))], -1)).objective
    figure, axes = panel("The short corridor", (4.6, 3.1))
    axes.plot(p, j, color=BLUE)
    for at, words, where, colour in (
        (0.05, "ε-greedy, left", (0.10, -88), RED),
        (0.95, "ε-greedy, right", (0.50, -60), RED),
        (BEST, "best of all", (0.46, -27), GREEN),
    ):
        y = (2 * at - 4) / (at * (1 - at))
        axes.plot(at, y, "o", color=colour, markersize=7)
        axes.text(*where, f"{words}: {y:.1f}".replace("-", "−"), color=colour, weight="bold")
    axes.set(xlabel="π(right), in every state alike", ylabel="J, expected return", ylim=(-100, 0))
    return picture(
        figure,
        "The expected return in the short corridor is an arch over the probability to go right: it"
        " falls steeply at both ends, where greedy policies lie, and is best near 0.59.",
    )


# ------------------------------------------------------------------------------- averages


class Averages(NamedTuple):
    """How well discounted values give the gradient of the average reward, for each γ.

    error  |Σ_s d_π Σ_a π ∇ log π q_γ - ∇r̄| / |∇r̄|
    gap    |r̄ - (1 - γ) Σ_s d_π v_γ|: rounding
    """

    gammas: Floats
    error: Floats
    gap: Floats


def circling(seed: int = 3) -> MDP:
    """Five states, three actions, no end: a random world in which all states lead to each other."""
    rng = np.random.default_rng(seed)
    shape = 5, 3, 5
    return finite_mdp(
        np.broadcast_to(np.arange(5), shape), rng.dirichlet(np.full(5, 0.3), size=shape[:2]),
        rng.normal(size=shape),
    )  # fmt: skip


def data_averages(*, rng: np.random.Generator) -> Averages:
    """The theorem's sum with stationary weights and discounted values, against ∇r̄."""
    mdp, gammas = circling(), np.array([0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999])
    x, theta = rng.normal(size=(5, 3, 4)), rng.normal(size=4)
    long_run, pi = average_reward(mdp, x, theta), softmax_policy(x, theta)
    score = softmax_score(x, pi)
    error, gap = np.zeros((2, len(gammas)))
    for i, gamma in enumerate(gammas):
        q = value_objective(mdp, x, theta, 0, float(gamma)).q
        found = policy_gradient(long_run.eta, pi, q, score)
        size = np.linalg.norm(long_run.gradient)
        error[i] = np.linalg.norm(found - long_run.gradient) / size
        v = closed_form(mdp, pi, float(gamma))
        gap[i] = abs(long_run.objective - (1 - gamma) * long_run.eta @ v)
    return Averages(gammas, error, gap)


def draw_averages(data: Averages) -> Picture:
    """The error of the discounted sum against 1 - γ."""
    figure, axes = panel("Discounted values in the average's gradient", (4.4, 2.9))
    axes.loglog(1 - data.gammas, data.error, "o-", color=BLUE)
    axes.invert_xaxis()
    axes.set(xlabel="1 − γ", ylabel="relative error of the gradient")
    return picture(
        figure,
        "The error of the average reward's gradient, if discounted action values take the place of"
        " differential ones, falls in proportion to 1 - γ.",
    )


# ------------------------------------------------------------------------------- entropy


class Ascents(NamedTuple):
    """Exact gradient ascent on the hike, for several prices of entropy.

    objective  (betas, steps + 1)  J without the bonus
    entropy    (betas, steps + 1)  of the first day's policy
    """

    betas: tuple[float, ...]
    objective: Floats
    entropy: Floats


def data_ascents(
    betas: tuple[float, ...] = (0.0, 0.3, 1.0), steps: int = 150, alpha: float = 0.3,
    start: tuple[float, float] = (0.0, 6.0),
) -> Ascents:  # fmt: skip
    """From a policy that is almost sure to rest, uphill by exact gradients."""
    world = hike()
    theta = np.tile(np.array(start), (len(betas), 1))
    objective, entropy = np.zeros((2, len(betas), steps + 1))
    for k in range(steps + 1):
        pi = softmax_policy(world.x, theta)[:, 0]
        entropy[:, k] = -(pi * np.log(pi)).sum(-1)
        for i, beta in enumerate(betas):
            plain = value_objective(world.mdp, world.x, theta[i], world.start, world.gamma)
            objective[i, k] = plain.objective
            paid = value_objective(world.mdp, world.x, theta[i], world.start, world.gamma, beta)
            theta[i] += alpha * paid.gradient
    return Ascents(betas, objective, entropy)


def draw_ascents(data: Ascents) -> Picture:
    """What is earned, and how unsure the policy is, step by step."""
    left, first = panel("What is earned", HALF)
    right, second = panel("Entropy of the first day", HALF)
    for beta, j, h, colour, look in zip(
        data.betas, data.objective, data.entropy, (RED, BLUE, OCHRE), ("-", "--", "-."), strict=True
    ):
        first.plot(j, look, color=colour, label=f"β = {beta:g}")
        second.plot(h, look, color=colour)
    first.set(xlabel="steps of exact gradient ascent", ylabel="J, without the bonus")
    second.set(xlabel="steps", ylabel="nats")
    first.legend()
    return picture(
        [left, right],
        "From a policy that is almost sure to rest, ascent without a bonus stays on a plateau for"
        " long. With a small bonus it leaves early; a large one ends lower, since it stays unsure.",
    )


# ------------------------------------------------------------------------------- off-policy


class OffPolicy(NamedTuple):
    """Exact variance of off-policy gradients on the hike, for behaviours of several distances.

    shift     (n,)  the behaviour's wish to climb minus the target's
    whole     (n,)  variance with the trajectory's ratio; per_decision likewise
    ess       (n,)  effective sample size of the trajectories, as a share: 1 / E[ρ²]
    on_policy       variance of on-policy reward-to-go
    """

    shift: Floats
    whole: Floats
    per_decision: Floats
    ess: Floats
    on_policy: float


def data_off_policy(theta: tuple[float, float] = (1.0, 0.5)) -> OffPolicy:
    """The gradient at θ, from all trajectories of other policies."""
    world, at = hike(), np.array(theta)
    pi = softmax_policy(world.x, at)
    score = softmax_score(world.x, pi)
    shift = np.linspace(-2.5, 2.5, 21)
    whole, per_decision, ess = np.zeros((3, len(shift)))
    for i, off in enumerate(shift):
        b = softmax_policy(world.x, at + [off, 0.0])
        x, p = all_episodes(world.mdp, b, world.start, DAYS)
        rho = importance_ratios(pi, b, x.s, x.a, x.alive)
        g = completed_returns(x.r, x.alive, x.terminated, np.zeros(len(p)), world.gamma)
        by_all = rho.prod(0) * reinforce_weights(g, world.gamma)
        by_step = off_policy_weights(x.r, rho, world.gamma)
        whole[i], per_decision[i] = (
            exact_variance(gradient_estimates(score, x, w), p).sum() for w in (by_all, by_step)
        )
        ess[i] = 1 / (p @ rho.prod(0) ** 2)
    middle = int(np.abs(shift).argmin())
    return OffPolicy(shift, whole, per_decision, ess, float(whole[middle]))


def draw_off_policy(data: OffPolicy) -> Picture:
    """Variance and effective sample size against the distance of the policies."""
    left, axes = panel("Variance of one episode's gradient", HALF)
    axes.semilogy(data.shift, data.whole, "-", color=RED, label="whole trajectory's ratio")
    axes.semilogy(data.shift, data.per_decision, "--", color=GREEN, label="per decision")
    axes.axhline(data.on_policy, color="#000000", linewidth=0.8, linestyle=":")
    axes.legend(fontsize=7.5)
    axes.set(xlabel="behaviour's wish to climb − target's", ylabel="variance")
    right, axes = panel("What 100 episodes are worth", HALF)
    axes.plot(data.shift, 100 * data.ess, color=BLUE)
    axes.set(xlabel="behaviour's wish to climb − target's", ylabel="effective episodes")
    return picture(
        [left, right],
        "The variance of off-policy gradients rises steeply with the distance of the policies, less"
        " with per-decision ratios. The effective number of episodes falls from 100 to below one.",
    )


# ------------------------------------------------------------------------------- steering


class Steered(NamedTuple):
    """∂J/∂k and ∂J/∂log σ of the Gaussian policy: exact, and sampled with standard errors.

    Each is (n, 2), by gain k and by component.
    """

    k: Floats
    exact: Floats
    mean: Floats
    error: Floats


def data_steered(
    *, rng: np.random.Generator, episodes: int = 4000, log_std: float = -0.7, steps: int = 6,
    gamma: float = 0.9,
) -> Steered:  # fmt: skip
    """Reward-to-go estimates of `episodes` episodes at each gain; B = gains times episodes."""
    k = np.linspace(0.2, 1.6, 8)
    exact = steering(k, np.full(len(k), log_std), steps=steps, gamma=gamma)
    gain = k[:, None]
    s, scores, r = np.ones((len(k), episodes)), [], []
    for t in range(steps):
        a = -gain * s + np.exp(log_std) * rng.normal(size=s.shape)
        score = gaussian_score(a, -gain * s, np.full(1, log_std))
        scores.append((-s * score.mean, score.log_std))
        r.append(-(gamma**t) * (s**2 + a**2 / 10))
        s = s + a + 0.1 * rng.normal(size=s.shape)
    to_go = np.cumsum(r[::-1], axis=0)[::-1]
    g = np.einsum("tdkb,tkb->kdb", np.array(scores), to_go)
    error = g.std(-1, ddof=1) / np.sqrt(episodes)
    return Steered(k, np.stack([exact.k, exact.log_std], -1), g.mean(-1), error)


def draw_steered(data: Steered) -> Picture:
    """Exact curves, and sampled means with three standard errors."""
    panels = []
    for i, (title, colour) in enumerate(
        (("Gradient in the gain k", BLUE), ("Gradient in log σ", PURPLE))
    ):
        figure, axes = panel(title, HALF)
        axes.plot(data.k, data.exact[:, i], color=colour)
        axes.errorbar(
            data.k, data.mean[:, i], 3 * data.error[:, i], fmt="o", color="#000000", markersize=4,
            linewidth=1,
        )  # fmt: skip
        axes.set(xlabel="gain k")
        axes.axhline(0, color="#000000", linewidth=0.6)
        panels.append(figure)
    return picture(
        panels,
        "Sampled gradients of a Gaussian policy lie on the exact curves, over gains from 0.2 to"
        " 1.6; the one of the gain crosses zero near 0.9, that of the spread is always negative.",
    )
