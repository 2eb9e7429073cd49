"""The playground of temporal differences: what is learned on the cliff, and what is earned.

The learners of the figure are the package's `learn_q`, draw by draw: the script repeats them from
the same uniform numbers.
"""

import functools
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.playgrounds._random import generator as generator
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import closed_form, value_iteration
from rlcourse.tabular.learning import Learned, Ties
from rlcourse.tabular.mdp import Floats, action_values
from rlcourse.tabular.monte_carlo import epsilon_greedy, soft_optimum
from rlcourse.tabular.temporal_difference import Method, learn_q
from rlcourse.tabular.worlds import cliff_walking

Against = Literal["sarsa", "expected_sarsa"]

EPISODES, LEARNERS, LAST = 500, 10, 100  # as in the script
PERCENTS = range(21)
"""The epsilons of the slider, in hundredths."""

NAMES: dict[Method, str] = {
    "q_learning": "Q-learning",
    "sarsa": "Sarsa",
    "expected_sarsa": "Expected Sarsa",
}
CLIFF = cliff_walking()


class Settings(NamedTuple):
    """What the reader can change.

    against  who walks beside Q-learning: "sarsa" or "expected_sarsa"
    epsilon  the probability to explore, a multiple of 0.01 up to 0.2
    alpha    the step size, from 0.1 to 0.7
    ties     of equal best actions a "uniform" one or the "first" is taken
    seed     of the random numbers
    """

    against: Against = "sarsa"
    epsilon: float = 0.1
    alpha: float = 0.5
    ties: Ties = "uniform"
    seed: int = 1


class Limits(NamedTuple):
    """What is known exactly for one epsilon.

    uniform, first  what the ε-greedy policy of q* earns, by how its ties are broken
    optimum         what the best ε-greedy policy earns
    way             the cells of its greedy way
    """

    uniform: float
    first: float
    optimum: float
    way: list[int]


PROMPTS = (
    Prompt(
        "ε = 0: nobody slips. Does Q\N{NON-BREAKING HYPHEN}learning still earn less?",
        {"epsilon": 0.0},
        "No: both learn the 13 steps along the edge, and both earn −13. Without exploring the"
        " action that is taken is the best one, so that the two targets are the same. The"
        " difference was never in the world; it is in the slips.",
    ),
    Prompt(
        "Expected Sarsa instead of Sarsa: does it walk as far from the edge?",
        {"against": "expected_sarsa"},
        "No: 15 steps, one row from the edge. That is exactly the best ε-greedy way, which earns"
        " −20.71. Its target is the mean over a′; Sarsa’s is one draw of a′, and with"
        " α\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.5 a single fall fills half of a value.",
    ),
    Prompt(
        "Ties take the first action, as argmax does: does Q\N{NON-BREAKING HYPHEN}learning earn"
        " the same?",
        {"ties": "first"},
        "For 500 episodes, yes. In the end, no: −45.80 instead of −50.80. After a slip away from"
        " the edge, right and down are equally good, and the first of them, right, stays off the"
        " edge for a while. But they tie only when their values have settled: that takes some"
        " thousand episodes.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class TemporalDifferencePlayground(Playground):
    """Q-learning beside Sarsa on the cliff: the way each has learned, and what each earns.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "temporal_difference"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        for name, known in (("against", get_args(Against)), ("ties", get_args(Ties))):
            if getattr(w, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(w, name)!r}")
        _check.interval("epsilon", w.epsilon, 0, PERCENTS[-1] / 100)
        if w.epsilon != round(w.epsilon, 2):
            raise ValueError(f"epsilon must be a multiple of 0.01, got {w.epsilon!r}")
        _check.interval("alpha", w.alpha, 0.1, 0.7)
        _check.positive_integer("seed", w.seed)
        self.settings, self.title = w, title
        self.runs = {method: run(w, method) for method in methods(w)}

    def data(self) -> dict[str, Any]:
        """Settings, prompts, exact limits, and what the package's learners earn and know."""
        w = self.settings
        exact = [limits(percent / 100) for percent in PERCENTS]
        data = {
            "settings": w._asdict(),
            "limits": [[*np.round(x[:3], 4).tolist(), len(x.way) - 1] for x in exact],
            "ways": {len(x.way) - 1: x.way for x in exact},
            "golden": {
                method: {"earned": earned(x), "steps": steps(x.q[0], w.ties)}
                for method, x in self.runs.items()
            },
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of what both have learned and earn, and of what is known exactly."""
        w, rows = self.settings, ""
        exact = limits(w.epsilon)
        for method, x in self.runs.items():
            n = steps(x.q[0], w.ties)
            limit = getattr(exact, w.ties) if method == "q_learning" else exact.optimum
            known = "in the end" if method == "q_learning" else "the best ε-greedy policy"
            rows += (
                f"<tr><td>{NAMES[method]}<td>{n or 'none'}"
                f"<td>{_minus(earned(x), 1)}<td>{_minus(limit, 2)}, {known}"
            )
        return (
            f"<table><caption>{LEARNERS} learners of each kind on the cliff, ε = {w.epsilon:g},"
            f" α = {w.alpha:g}, after {EPISODES} episodes. With JavaScript this is a playground."
            "</caption><tr><th>method<th>steps of the greedy way of the first<th>earned, mean of"
            f" the last {LAST} episodes<th>exactly{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"TemporalDifferencePlayground({fields})"


def _minus(x: float, digits: int) -> str:
    return f"{x:.{digits}f}".replace("-", "−")


def methods(w: Settings) -> tuple[Method, Method]:
    """The two learners of the figure."""
    return "q_learning", w.against


@functools.lru_cache(maxsize=64)
def run(w: Settings, method: Method, episodes: int = EPISODES, learners: int = LEARNERS) -> Learned:
    """The learners of one method, by `learn_q`."""
    return learn_q(
        environment(CLIFF.mdp, CLIFF.start), method, episodes=episodes, learners=learners,
        alpha=w.alpha, gamma=1.0, epsilon=w.epsilon, ties=w.ties, rng=generator(w.seed),
    )  # fmt: skip


def earned(x: Learned) -> float:
    """The mean return of the last 100 episodes of all learners."""
    return float(x.returns[-LAST:].mean())


def steps(q: Floats, ties: Ties) -> int:
    """The steps of the greedy way of q (S, A).

    0 where it leads nowhere: it comes to a cell for the second time, or to a tie that chance has to
    break.
    """
    seen = [CLIFF.start]
    while True:
        row = q[seen[-1]]
        if ties == "uniform" and (row == row.max()).sum() > 1:
            return 0
        at = seen[-1], row.argmax(), 0
        if CLIFF.mdp.terminated[at]:
            return len(seen)
        seen.append(int(CLIFF.mdp.s_next[at]))
        if seen[-1] in seen[:-1]:
            return 0


@functools.cache
def limits(epsilon: float) -> Limits:
    """By linear solves: the ε-greedy policies of q*, and the best of all ε-greedy policies."""
    mdp, start, _ = CLIFF
    q = action_values(mdp, value_iteration(mdp, 1.0).v, 1.0).round(7)
    online = [closed_form(mdp, epsilon_greedy(q, epsilon, t), 1.0)[start] for t in get_args(Ties)]
    best = soft_optimum(mdp, epsilon, 1.0)
    way = [start]
    while way[-1] != mdp.p.shape[0] - 1:
        way.append(int(mdp.s_next[way[-1], best.q[way[-1]].argmax(), 0]))
    return Limits(float(online[0]), float(online[1]), float(best.v[start]), way)
