"""The cliff: what methods earn while they learn, what they have learned, and what is known exactly.

Shapes: S states, A actions, B seeds, N episodes, n points of a curve.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.figures.tabular.grid_map import draw_map
from rlcourse.plot import COLOUR_OF, HALF, Picture, panel, picture
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import GridWorld, closed_form, value_iteration
from rlcourse.tabular.learning import Ties
from rlcourse.tabular.mdp import MDP, Floats, action_values
from rlcourse.tabular.monte_carlo import epsilon_greedy, soft_optimum
from rlcourse.tabular.temporal_difference import Method, learn_q
from rlcourse.tabular.worlds import cliff_walking

NAME: dict[Method, str] = {
    "sarsa": "Sarsa",
    "expected_sarsa": "expected Sarsa",
    "q_learning": "Q-learning",
    "double_q": "double Q-learning",
}
LOOK = dict(zip(NAME.values(), ("--", "-.", "-", ":"), strict=True))
CLIFF_MAP = GridWorld(
    4, 12, forbidden=tuple(range(37, 47)), target=(47,), start=36, terminal=True, stay=False
)


def draw_line(axes: Axes, name: str, x: Floats, y: Floats, **more: Any) -> None:
    """A method's curve in its colour and its line style."""
    look: dict[str, Any] = {"linewidth": 1.5, "label": name} | more
    axes.plot(x, y, LOOK[name], color=COLOUR_OF[name], **look)


def wide_map(world: GridWorld, routes: list[tuple[list[int], str]], title: str) -> Figure:
    """A map that is wider than high."""
    figure = draw_map(world, routes=routes, title=title)
    figure.set_size_inches(HALF[0], HALF[0] * (world.n_rows + 0.9) / world.n_cols)
    return figure


def greedy_route(mdp: MDP, q: Floats, start: int, most: int = 60) -> list[int]:
    """The states that the first best action visits, until the episode ends; [] where it loops."""
    cells = [start]
    while len(cells) <= most:
        s, a = cells[-1], q[cells[-1]].argmax()
        cells.append(int(mdp.s_next[s, a, 0]))
        if mdp.terminated[s, a, 0]:
            return cells
    return []


# ------------------------------------------------------------------------------- the cliff


class Cliff(NamedTuple):
    """What methods earn on the cliff while they learn, and where they would go then.

    episodes  (n,)    the last of each ten episodes
    earned    name -> (n,) return while learning, mean of ten episodes and of all seeds
    low, high name -> (n,) the band that holds half of the seeds
    last      name -> return of the last 100 episodes, and the standard error of its mean
    routes    name -> the most frequent greedy route at the end
    share     name -> the share of seeds that have a route of that length
    """

    episodes: Floats
    earned: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    last: dict[str, tuple[float, float]]
    routes: dict[str, list[int]]
    share: dict[str, float]


CLIFF_METHODS: tuple[Method, ...] = ("sarsa", "expected_sarsa", "q_learning")


def data_cliff(
    *,
    rng: np.random.Generator,
    learners: int = 100,
    episodes: int = 500,
    alpha: float = 0.5,
    epsilon: float = 0.1,
    ties: Ties = "uniform",
    methods: tuple[Method, ...] = CLIFF_METHODS,
) -> Cliff:
    """Sutton & Barto's example 6.6."""
    mdp, start, _ = cliff_walking()
    found = Cliff(np.arange(10.0, episodes + 1, 10), {}, {}, {}, {}, {}, {})
    for method in methods:
        x = learn_q(
            environment(mdp, start), method, episodes=episodes, learners=learners, alpha=alpha,
            gamma=1.0, epsilon=epsilon, ties=ties, rng=rng,
        )  # fmt: skip
        name, tens = NAME[method], x.returns.reshape(-1, 10, learners).mean(1)
        found.earned[name] = tens.mean(1)
        found.low[name], found.high[name] = np.quantile(tens, [0.25, 0.75], axis=1)
        last = x.returns[-100:].mean(0)
        found.last[name] = float(last.mean()), float(last.std() / np.sqrt(learners))
        routes = [greedy_route(mdp, q, start) for q in x.q]
        (length, count), *_ = Counter(len(r) for r in routes if r).most_common(1) or [(0, 0)]
        found.routes[name] = next((r for r in routes if len(r) == length), [])
        found.share[name] = count / learners
    return found


class Limits(NamedTuple):
    """What is known exactly about a deterministic world for one epsilon: sums of rewards.

    q_learning  what the ε-greedy policy of q* earns
    optimum     what the best ε-greedy policy for gamma earns
    route       the greedy route of that policy
    """

    q_learning: float
    optimum: float
    route: list[int]


def data_limits(mdp: MDP, start: int, epsilon: float, ties: Ties, gamma: float = 1.0) -> Limits:
    """By linear solves: the ε-greedy policy of q*, and the ε-soft optimum."""
    q = action_values(mdp, value_iteration(mdp, gamma).v, gamma)
    online = closed_form(mdp, epsilon_greedy(q.round(7), epsilon, ties), 1.0)[start]
    best = soft_optimum(mdp, epsilon, gamma)
    earned = closed_form(mdp, best.pi, 1.0)[start]
    return Limits(float(online), float(earned), greedy_route(mdp, best.q, start))


def data_cliff_limits(epsilon: float = 0.1, ties: Ties = "uniform") -> Limits:
    """The limits of the cliff."""
    mdp, start, _ = cliff_walking()
    return data_limits(mdp, start, epsilon, ties)


def draw_cliff(data: Cliff, limits: Limits, epsilon: float = 0.1) -> Picture:
    """What is earned while learning, with the exact limits; and where each would go."""
    left, axes = panel(f"Earned while learning, ε = {epsilon:g}", HALF)
    for name, y in data.earned.items():
        band: dict[str, Any] = {"color": COLOUR_OF[name], "alpha": 0.18, "linewidth": 0}
        axes.fill_between(data.episodes, data.low[name], data.high[name], **band)
        draw_line(axes, name, data.episodes, y)
    for words, limit in (("best ε-greedy", limits.optimum), ("q*, ε-greedy", limits.q_learning)):
        axes.axhline(
            limit, color="#000000", linewidth=0.9, linestyle=(0, (1, 2)),
            label=f"{words}: {limit:.1f}".replace("-", "−").replace("ε−", "ε-"),
        )  # fmt: skip
    low = min(limits.q_learning * 2.6, -60)
    axes.set(xlabel="episodes", ylabel="return of an episode", ylim=(low, 0))
    axes.legend(fontsize=7, loc="lower right", ncols=2)
    routes = [(route, COLOUR_OF[name]) for name, route in data.routes.items() if len(route)]
    right = wide_map(CLIFF_MAP, routes, "Greedy routes at the end")
    axes = right.axes[0]
    for name, route in data.routes.items():
        if len(route):
            row = min(route) // 12  # the highest that it climbs
            axes.text(
                6, row + 0.79, f"{name}: {len(route) - 1} steps", color=COLOUR_OF[name],
                ha="center", va="center", fontsize=6.5, weight="bold",
            )  # fmt: skip
    axes.text(6, 3.72, "the cliff, −100", ha="center", va="center", fontsize=7)
    steps = ", ".join(f"{n} {len(r) - 1}" for n, r in data.routes.items() if len(r))
    return picture(
        [left, right],
        f"Left: returns while learning; Q-learning earns least. Right: a map with the cliff at the"
        f" lower edge; steps of the greedy routes: {steps}.",
    )


def draw_cliff_live(
    epsilon: float = 0.1, alpha: float = 0.5, ties: Ties = "uniform", seed: int = 1
) -> Picture:
    """Thirty learners of Sarsa and Q-learning for 300 episodes: for sliders."""
    data = data_cliff(
        rng=np.random.default_rng(seed), learners=30, episodes=300, alpha=alpha, epsilon=epsilon,
        ties=ties, methods=("sarsa", "q_learning"),
    )  # fmt: skip
    return draw_cliff(data, data_cliff_limits(epsilon, ties), epsilon)


class StepSizes(NamedTuple):
    """What methods earn on the cliff for each step size: all are (alphas,), by the method's name.

    early, late          mean return of the first 100 and of the last 500 of 1000 episodes
    early_se, late_se    standard errors of these means
    """

    alphas: Floats
    early: dict[str, Floats]
    late: dict[str, Floats]
    early_se: dict[str, Floats]
    late_se: dict[str, Floats]


def data_step_sizes(
    *, rng: np.random.Generator, learners: int = 50, episodes: int = 1000, n: int = 10
) -> StepSizes:
    """Sutton & Barto's figure 6.3, with all step sizes in one run."""
    mdp, start, _ = cliff_walking()
    alphas = np.linspace(1 / n, 1, n)
    found = StepSizes(alphas, {}, {}, {}, {})
    for method in CLIFF_METHODS:
        x = learn_q(
            environment(mdp, start), method, episodes=episodes, learners=n * learners,
            alpha=np.repeat(alphas, learners), gamma=1.0, epsilon=0.1, rng=rng,
        )  # fmt: skip
        earned = x.returns.reshape(episodes, n, learners)
        for mean, error, part in (
            (found.early, found.early_se, earned[:100]),
            (found.late, found.late_se, earned[episodes // 2 :]),
        ):
            each = part.mean(0)
            mean[NAME[method]] = each.mean(1)
            error[NAME[method]] = each.std(1) / np.sqrt(learners)
    return found


def draw_step_sizes(data: StepSizes) -> Picture:
    """Early and late returns against the step size."""
    figure, axes = panel("The cliff, for each step size", (4.6, 3.2))
    for part, size in ((data.early, 1.0), (data.late, 2.0)):
        for name, y in part.items():
            draw_line(
                axes, name, data.alphas, y, linewidth=size, marker="o" if size > 1 else "v",
                markersize=3.5, label=name if size > 1 else None,
            )  # fmt: skip
    axes.set(xlabel="step size α", ylabel="return of an episode", ylim=(-200, 0))
    axes.text(0.02, 0.03, "●  episodes 501-1000\n▼  episodes 1-100", transform=axes.transAxes)
    axes.legend(fontsize=7.5, loc="lower center")
    return picture(
        figure,
        "Expected Sarsa's curve is the highest at nearly every step size and late in training is"
        " flat; Sarsa's falls as the step size grows; Q-learning's late curve is flat near -50.",
    )
