"""Learning curves of the actor-critic chapter, the regulator, and the bug hunt.

Shapes: B learners, T steps, n points of a curve.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlcourse.deep.actor_critic import learn_gain
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policies import softmax_policy, softmax_score
from rlcourse.deep.policy_worlds import machine
from rlcourse.deep.regulator import best_gain, start_value
from rlcourse.figures.deep.a2c_runs import GAMMA, LAMBDAS, MISTAKES, Grid
from rlcourse.figures.deep.machines import Hunt, hunt
from rlcourse.figures.deep.pole_runs import Pole
from rlcourse.figures.deep.poles import draw_poles
from rlcourse.plot import (
    BLUE,
    COLOUR_OF,
    GREEN,
    GREY,
    HALF,
    OCHRE,
    PURPLE,
    RED,
    Picture,
    panel,
    picture,
)
from rlcourse.tabular.gridworld import ZHAO, grid_mdp, value_iteration
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.sampling import walk

Advantage = Callable[[Any, Any, Any, Any, Any, float, float], Any]
LOOKS = {
    "λ = 0": (GREY, ":"),
    "λ = 0.5": (PURPLE, "-."),
    "λ = 0.9": (OCHRE, "--"),
    "λ = 0.95": (BLUE, "-"),
    "λ = 1": (RED, "--"),
    "time limits taken for ends": (OCHRE, "--"),
    "gradient through Â": (PURPLE, "-."),
    "a critic as slow as the actor": (GREEN, "--"),
    "leaks across ends": (GREY, ":"),
}

# ------------------------------------------------------------------------------- recorded


def best_grid() -> float:
    """The mean value over all cells of an optimal policy."""
    return float(value_iteration(grid_mdp(ZHAO), GAMMA).v.mean())


def draw_grid(data: Grid) -> Picture:
    """What the learners' policies are worth, exactly, with episodes and without."""
    panels = []
    for title, curves in (
        ("Begun anew every 20 steps", data.begun), ("Never begun anew", data.endless),
    ):  # fmt: skip
        figure, axes = panel(title, HALF)
        for (name, (mean, error)), look in zip(curves.items(), ("-", "--", "-."), strict=True):
            colour = COLOUR_OF[name]
            axes.fill_between(
                data.steps, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, linewidth=0
            )
            axes.plot(data.steps, mean, look, color=colour, label=name)
        axes.axhline(best_grid(), color="#000000", linewidth=0.8, linestyle=":")
        axes.set(xlabel="steps of each learner", ylabel="J, exactly", ylim=(-4, 8.5))
        axes.set_xticks([0, 10_000, 20_000], ["0", "10 000", "20 000"])
        axes.legend(loc="lower right")
        panels.append(figure)
    return picture(
        panels,
        "Exact values of three actor-critics on a grid world. Begun anew, all come near the dotted"
        " optimum, QAC last. Never begun anew, only the off-policy one does; the others stop far"
        " below.",
    )


def draw_pole(data: dict[str, Pole], names: list[str], title: str) -> Picture:
    """Some of the variants of A2C."""
    each = "; ".join(f"{name}: {data[name].final.mean():.0f}" for name in names)
    alt = f"A2C on CartPole. Mean greedy return at the end, {each}."
    return draw_poles({name: data[name] for name in names}, LOOKS, title, alt)


def draw_lambdas(data: dict[str, Pole]) -> Picture:
    """A2C with five λ."""
    return draw_pole(data, list(LAMBDAS), "Return while learning, by λ")


def draw_mistakes(data: dict[str, Pole]) -> Picture:
    """A2C with λ = 0.95, and each mistake."""
    return draw_pole(data, ["λ = 0.95", *MISTAKES], "Return while learning")


# ------------------------------------------------------------------------------- the regulator


class Gains(NamedTuple):
    """Gains k (n, B) of deterministic actor-critics, after so many steps (n,)."""

    steps: Floats
    k: Floats


def data_gains(*, rng: np.random.Generator, steps: int = 6000, learners: int = 10) -> Gains:
    """The regulator from gain 0.2, by exploring around the policy that is learned."""
    every = 50
    found = learn_gain(
        steps=steps, learners=learners, alpha=0.02, alpha_w=0.3, gamma=GAMMA, spread=0.3,
        every=every, rng=rng,
    )  # fmt: skip
    return Gains(np.arange(0.0, steps + 1, every), found.k)


def draw_gains(data: Gains) -> Picture:
    """The gains on their way to Riccati's, and what they are worth."""
    best, colour = best_gain(GAMMA), COLOUR_OF["deterministic actor-critic"]
    panels = []
    for title, y, optimum, label in (
        ("The gain", data.k, best, "k"),
        (
            "What it is worth", start_value(data.k, GAMMA),
            float(start_value(np.array(best), GAMMA)), "v(1), exactly",
        ),
    ):  # fmt: skip
        figure, axes = panel(title, HALF)
        axes.plot(data.steps, y, color=colour, linewidth=0.7, alpha=0.45)
        axes.plot(data.steps, y.mean(1), color=colour, linewidth=2.2)
        axes.axhline(optimum, color="#000000", linewidth=1, linestyle=":")
        axes.set(xlabel="steps of each learner", ylabel=label)
        panels.append(figure)
    return picture(
        panels,
        "Ten learners' gains rise from 0.2 to the dotted optimum and stay around it; what they are"
        " worth is close to the best within 2000 steps.",
    )


# ------------------------------------------------------------------------------- the bug hunt


def learn_machine(
    advantage: Advantage, *, rng: np.random.Generator, learners: int = 6, envs: int = 16,
    steps: int = 32, updates: int = 60, alpha: float = 0.5, limit: int = 8,
    p_break: float = 0.3, alpha_w: float = 0.5,
) -> tuple[Floats, Floats]:  # fmt: skip
    """J (updates + 1, B) and the last policies (B, 3) of learners that weigh by `advantage`.

    Batches of T steps of E machines each; a machine is replaced when it breaks, and after `limit`
    steps. The critic is one number.
    """
    world = machine(p_break)
    theta, v = np.zeros((learners, 3)), np.zeros(learners)
    found = np.zeros((updates + 1, learners))
    for k in range(updates + 1):
        pi = softmax_policy(world.x, theta)
        found[k] = value_objective(world.mdp, world.x, theta, 0, world.gamma).objective
        for b in range(learners):
            x = walk(world.mdp, pi[b], np.zeros(envs, np.intp), steps=steps, limit=limit, rng=rng)
            now = np.full(x.r.shape, v[b])
            a = advantage(x.r, now, now.copy(), x.terminated, x.truncated, world.gamma, 0.9)
            score = softmax_score(world.x, pi[b])[0, x.a]
            theta[b] += alpha * (a[..., None] * score).mean((0, 1))
            v[b] += alpha_w * a.mean()
    return found, softmax_policy(world.x, theta)[:, 0]


def data_hunt(suspect: Advantage, *, rng: np.random.Generator, **rules: Any) -> Hunt:
    """Learners that use the suspect, beside those that use the course's own function."""
    return hunt(learn_machine, generalized_advantage, suspect, rng=rng, **rules)
