"""What REINFORCE's learners earned: the corridor, CartPole, and the machine of the bug hunt.

Shapes: T steps, B learners, E environments of each, n points of a curve.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcourse.deep.advantages import reward_to_go
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policies import softmax_policy, softmax_score
from rlcourse.deep.policy_worlds import machine
from rlcourse.figures.deep.machines import Hunt, hunt
from rlcourse.figures.deep.pole_runs import Pole
from rlcourse.figures.deep.poles import draw_poles
from rlcourse.figures.deep.reinforce_runs import Corridor
from rlcourse.plot import BLUE, GREEN, GREY, HALF, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.sampling import walk

BEST_CORRIDOR = -6 - 4 * 2**0.5  # J at p = 2 - √2
ToGo = Callable[[Any, Any, Any, Any, float], Floats]
LOOKS = {
    "all ingredients": (BLUE, "-"),
    "no baseline": (OCHRE, "--"),
    "total return": (RED, "-."),
    "cuts taken for ends": (PURPLE, ":"),
    "no entropy bonus": (GREEN, "--"),
    "leaks across ends": (GREY, "-."),
}

# ------------------------------------------------------------------------------- recorded


def read_corridor(record: dict[str, Any]) -> Corridor:
    """The recorded corridor as arrays."""
    x = record["data"]["corridor"]
    arrays = (np.array(x[name]) for name in Corridor._fields[1:])
    return Corridor(x["names"], *arrays)


def draw_corridor(data: Corridor) -> Picture:
    """Figures 13.1 (left) and 13.2 (right) of Sutton & Barto."""
    panels = []
    for title, kinds in (
        ("Without a baseline", (2, 1, 0)), ("With a learned baseline", (1, 3)),
    ):  # fmt: skip
        figure, axes = panel(title, HALF)
        for i in kinds:
            colour, look = ((RED, "-."), (BLUE, "-"), (OCHRE, "--"), (GREEN, "-"))[i]
            mean, error = data.mean[:, i], 2 * data.error[:, i]
            axes.fill_between(
                data.episodes, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0
            )
            axes.plot(data.episodes, mean, look, color=colour, label=data.names[i], linewidth=1.5)
        axes.axhline(BEST_CORRIDOR, color="#000000", linewidth=0.8, linestyle=":")
        axes.set(xlabel="episodes", ylabel="return of an episode", ylim=(-90, -5))
        axes.legend(fontsize=7.5, loc="lower right")
        panels.append(figure)
    return picture(
        panels,
        "Returns in the short corridor rise towards the dotted optimum. Without a baseline the"
        " middle step size is best after 1000 episodes; with one, learners arrive within 200.",
    )


def draw_pole(data: dict[str, Pole]) -> Picture:
    """REINFORCE with all ingredients, and without each."""
    return draw_poles(
        data,
        LOOKS,
        "Return while learning",
        "REINFORCE on CartPole: with all ingredients learners come near 500; without a baseline, or"
        " with cuts taken for ends, many stay far below; with returns that leak across the ends"
        " they learn nothing.",
    )


# ------------------------------------------------------------------------------- the bug hunt


def learn_machine(
    to_go: ToGo, *, rng: np.random.Generator, learners: int = 6, envs: int = 16,
    steps: int = 32, updates: int = 50, alpha: float = 0.5,
) -> tuple[Floats, Floats]:  # fmt: skip
    """J (updates + 1, B) and the last policies (B, 3) of learners that weigh by `to_go`.

    Batches of T steps of E machines each; the baseline is a running mean of the returns.
    """
    world = machine()
    theta, v = np.zeros((learners, 3)), np.zeros(learners)
    found = np.zeros((updates + 1, learners))
    for k in range(updates + 1):
        pi = softmax_policy(world.x, theta)
        found[k] = value_objective(world.mdp, world.x, theta, 0, world.gamma).objective
        for b in range(learners):
            x = walk(world.mdp, pi[b], np.zeros(envs, np.intp), steps=steps, rng=rng)
            v_next = np.full(x.r.shape, v[b])
            g = to_go(x.r, v_next, x.terminated, x.truncated, world.gamma)
            score = softmax_score(world.x, pi[b])[0, x.a]
            theta[b] += alpha * ((g - v[b])[..., None] * score).mean((0, 1))
            v[b] += 0.2 * (g.mean() - v[b])
    return found, softmax_policy(world.x, theta)[:, 0]


def data_hunt(suspect: ToGo, *, rng: np.random.Generator, **rules: Any) -> Hunt:
    """Learners that use the suspect, beside those that use the course's own function."""
    return hunt(learn_machine, reward_to_go, suspect, rng=rng, **rules)
