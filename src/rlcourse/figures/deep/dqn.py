"""Figures and experiments of the DQN chapter: data_* computes, draw_* shows.

Two parts stand in modules of their own, `overestimation` and `target_network`.

Shapes: B learners, E episodes of each, n checks, A actions, G points along a side of the plane.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.axes import Axes

from rlcourse.deep import dqn, q_learning
from rlcourse.deep.cartpole import LEAN, CartPole
from rlcourse.deep.dqn import Agent, Settings
from rlcourse.deep.environments import Observations, Transition
from rlcourse.deep.networks import Mlp, of_learners
from rlcourse.deep.rollouts import Rollouts, first_episodes
from rlcourse.deep.scaled import Scaled
from rlcourse.figures.frames import with_buttons, with_slider
from rlcourse.plot import BLUE, GREEN, GREY, HALF, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Bools, Floats, Ints

SIZES = (2.4, 2.0, LEAN, 2.0)  # about the largest position, speed, lean and turn that are seen
LIMIT, GAMMA = 500, Settings().gamma
SOLVED = 475  # mean return over 100 greedy episodes that counts as solved
STEPS, EVERY = 15_000, 1250
FRESH = 1_000_000  # seeds of the episodes that test a learner; training uses small ones

ALL = Settings(fade=(STEPS - Settings().warm_up) // Settings().every * Settings().updates)
ONE = replace(ALL, n=1)
LAST_STEPS = ALL.every  # a ring of no more than what the bout before has brought
VARIANTS: dict[str, Settings] = {
    "all of it": ALL,
    "no replay": replace(ALL, capacity=LAST_STEPS),
    "no target network": replace(ALL, tau=1.0),
    "neither": replace(ALL, capacity=LAST_STEPS, tau=1.0),
    "one step": ONE,
    "no double": replace(ALL, double=False),
    "no dueling": replace(ALL, dueling=False),
    "no Huber": replace(ALL, kappa=np.inf),
    "limit as an end": replace(ALL, truncation_ends=True),
    "one step, no replay": replace(ONE, capacity=LAST_STEPS),
    "one step, no target": replace(ONE, tau=1.0),
    "one step, no double": replace(ONE, double=False),
    "DQN of 2015": replace(ONE, double=False, dueling=False),
    "bare Q-learning": replace(
        ONE, double=False, dueling=False, capacity=LAST_STEPS, tau=1.0, kappa=np.inf
    ),
}
WORDS = {
    "all of it": "all",
    "no replay": "replay",
    "no target network": "target",
    "neither": "neither",
    "one step": "one",
    "no double": "double",
    "no dueling": "dueling",
    "no Huber": "huber",
    "limit as an end": "limit",
    "one step, no replay": "one_replay",
    "one step, no target": "one_target",
    "one step, no double": "one_double",
    "DQN of 2015": "classic",
    "bare Q-learning": "bare",
}
LOOK_OF = {
    "all of it": (BLUE, "-"),
    "no replay": (PURPLE, "--"),
    "no target network": (OCHRE, "-."),
    "neither": (GREY, ":"),
    "one step": (RED, "-"),
    "no double": (PURPLE, "-."),
    "no dueling": (GREEN, "--"),
    "no Huber": (OCHRE, ":"),
    "limit as an end": (GREY, "--"),
    "one step, no replay": (OCHRE, "--"),
    "one step, no target": (GREEN, "-."),
    "one step, no double": (PURPLE, ":"),
    "DQN of 2015": (GREY, "-"),
    "bare Q-learning": (GREY, ":"),
}
GROUPS = {
    "Without what it stands on": (
        "all of it", "no replay", "no target network", "neither", "one step",
    ),
    "Without the refinements": ("all of it", "no double", "no dueling", "no Huber"),
    "One step, and less": (
        "one step", "one step, no replay", "one step, no target", "one step, no double",
        "DQN of 2015",
    ),
}  # fmt: skip
QUESTION = {"all of it": "as in this chapter", "one step, no target": "Q-learning with a network"}
BELIEVERS = {
    "Ten steps": ("all of it",),
    "One step": ("one step", "one step, no double"),
}

# ------------------------------------------------------------------------------- running


class Curves(NamedTuple):
    """What B learners were worth, check by check.

    steps   (n,)
    earned  (n, B)  mean return of greedy episodes
    guess   (n, B)  mean max_a q of the first states of these
    truth   (n, B)  their mean discounted return
    final   (B,)    mean return of 100 episodes at the end
    """

    steps: Ints
    earned: Floats
    guess: Floats
    truth: Floats
    final: Floats


def begin(settings: Settings, learners: int, first: int = 0) -> Agent:
    """Learners first, first + 1, ...: each has its own seed, whoever is trained beside it."""
    seeds = range(first, first + learners)
    env = Scaled(CartPole(learners, seeds=first, limit=LIMIT), SIZES)
    return dqn.begin(env, settings, generators=[torch.Generator().manual_seed(b) for b in seeds])


def examine(net: Mlp, settings: Settings, episodes: int) -> tuple[Rollouts, Floats]:
    """Greedy episodes of each learner, the same starts for all, and max_a q of the first states."""
    learners = len(net.weights[0])
    seeds = [FRESH + e for _ in range(learners) for e in range(episodes)]

    def env() -> Scaled:
        return Scaled(CartPole(len(seeds), seeds=seeds, limit=LIMIT), SIZES)

    found = first_episodes(
        env(), lambda s: q_learning.greedy_actions(net, s, settings.dueling), settings.gamma
    )
    s = torch.as_tensor(env().reset()).reshape(learners, episodes, -1)
    with torch.no_grad():
        q = q_learning.q_values(net, s, settings.dueling)
    return found, np.asarray(q.amax(-1).mean(1))


def train(
    settings: Settings, *, learners: int, steps: int, every: int, first: int = 0,
    episodes: int = 10, watch: Callable[[Agent], None] | None = None,
) -> tuple[Agent, Curves]:  # fmt: skip
    """Train B learners and examine them every so many steps."""
    agent, rows = begin(settings, learners, first), []

    def check(agent: Agent) -> None:
        if agent.done % every == 0:
            found, guess = examine(agent.net, settings, episodes)
            parts = (x.reshape(learners, episodes).mean(1) for x in found[:2])
            rows.append((agent.done, *parts, guess))
            if watch:
                watch(agent)

    dqn.learn(agent, steps, watch=check)
    at, earned, truth, guess = (np.array(x) for x in zip(*rows, strict=True))
    last = examine(agent.net, settings, 100)[0].earned.reshape(learners, 100).mean(1)
    return agent, Curves(at, earned, guess, truth, last)


# ------------------------------------------------------------------------------- the plane


class Plane(NamedTuple):
    """What a learner believes while it learns, over lean and turn of the pole, in the middle.

    steps    (n,)
    lean     (G,) degrees
    turn     (G,) degrees a second
    v        (n, G, G) max_a q, a row for each turn
    right    (n, G, G) q(right) - q(left)
    earned   (n,) greedy return at the time
    """

    steps: Ints
    lean: Floats
    turn: Floats
    v: Floats
    right: Floats
    earned: Floats


SIDE = 25
PLANE_LEAN = np.linspace(-12, 12, SIDE)
PLANE_TURN = np.linspace(-120, 120, SIDE)


def plane(net: Mlp, settings: Settings) -> Floats:
    """q over the plane of one learner's network: (G, G, 2)."""
    lean, turn = np.meshgrid(np.radians(PLANE_LEAN), np.radians(PLANE_TURN))
    nothing = np.zeros_like(lean)
    s = np.stack([nothing, nothing, lean, turn], -1).reshape(1, -1, 4) / np.array(SIZES)
    with torch.no_grad():
        q = q_learning.q_values(net, torch.as_tensor(s, dtype=torch.float32), settings.dueling)
    return np.asarray(q[0].reshape(SIDE, SIDE, 2), dtype=np.float64)


def draw_plane(data: Plane) -> go.Figure:
    """Values over lean and turn of the pole while they are learned, one frame a check."""
    top = float(data.v.max())

    def traces(i: int) -> list[Any]:
        heat = go.Heatmap(
            z=data.v[i].round().astype(int).tolist(), x=data.lean.tolist(), y=data.turn.tolist(),
            zmin=0, zmax=top, colorscale=[[0, BLUE + "05"], [1, BLUE + "e6"]],
            colorbar={"title": {"text": "max q"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate="lean %{x}°, turn %{y}°/s: %{z}<extra></extra>",
        )  # fmt: skip
        border = go.Contour(
            z=data.right[i].round(1).tolist(), x=data.lean.tolist(), y=data.turn.tolist(),
            contours={"start": 0, "end": 0, "size": 1, "coloring": "lines"},
            colorscale=[[0, RED], [1, RED]], line={"width": 3}, showscale=False, hoverinfo="skip",
        )  # fmt: skip
        return [heat, border]

    names = [f"{k:,}".replace(",", " ") for k in data.steps]
    titles = [f"a greedy episode lasts {x:.0f} steps" for x in data.earned]
    frames = [
        go.Frame(data=traces(i), name=name, layout={"title": {"text": titles[i]}})
        for i, name in enumerate(names)
    ]
    shown = len(names) - 1
    figure = go.Figure(data=traces(shown), frames=frames)
    figure.update_layout(
        meta={"alt": "Learned values over lean and turn of the pole, high along a diagonal."},
        height=600,
        title={"text": titles[shown], "x": 0.5, "font": {"size": 15}},
        margin={"l": 60, "r": 0, "t": 40, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": GREY},
        xaxis={"title": {"text": "lean of the pole, degrees"}, "fixedrange": True},
        yaxis={"title": {"text": "turn, degrees a second"}, "fixedrange": True},
    )  # fmt: skip
    with_buttons(figure, 500, top=150, bottom=5)
    return with_slider(figure, shown, "after steps: ", top=50)


# ------------------------------------------------------------------------------- ingredients


def standard_error(x: Floats) -> float:
    """Of the mean of independent learners (B,)."""
    return float(x.std(ddof=1) / np.sqrt(len(x)))


def solved(curves: Curves) -> int:
    """How many learners ended at 475 or more."""
    return int((curves.final >= SOLVED).sum())


def band(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean over the learners (n, B), and ±2 standard errors."""
    mean, error = x.mean(1), 2 * x.std(1, ddof=1) / np.sqrt(x.shape[1])
    return mean, mean - error, mean + error


def draw_band(axes: Axes, x: Ints, y: Floats, name: str, label: str) -> None:
    """One curve with its band, in the colour of its variant."""
    colour, look = LOOK_OF[name]
    mean, low, high = band(y)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, mean, look, color=colour, label=label)


def draw_question(data: dict[str, Curves]) -> Picture:
    """All of it beside one-step Q-learning without a target network: returns, and beliefs."""
    left, axes = panel("What they earn", (3.6, 2.7))
    right, beliefs = panel("What they believe", (3.6, 2.7))
    for name, label in QUESTION.items():
        draw_band(axes, data[name].steps, data[name].earned, name, label)
        colour, look = LOOK_OF[name]
        beliefs.semilogy(data[name].steps, data[name].guess.mean(1), look, color=colour)
    beliefs.axhline(1 / (1 - GAMMA), color="#000000", linewidth=0.8)
    beliefs.text(STEPS, 120, "the most there is", ha="right", va="bottom", fontsize=7.5)
    axes.set(xlabel="steps of each learner", ylabel="mean return", ylim=(0, 520))
    beliefs.set(xlabel="steps of each learner", ylabel="value of the first state", ylim=(3, 1e7))
    axes.legend(loc="center right", fontsize=7.5)
    return picture(
        [left, right],
        "Left: one learner's mean return rises towards 500, the other's stays at 9. Right, on a"
        " logarithmic scale: the beliefs of the first stay below 100, the most there is; those of"
        " the other pass a million.",
    )


def draw_curves(data: dict[str, Curves]) -> Picture:
    """Learning curves by what was taken away, and where each learner ended."""
    panels = []
    for title, names in GROUPS.items():
        figure, axes = panel(title, (3.6, 3.2))
        for name in names:
            draw_band(axes, data[name].steps, data[name].earned, name, name)
        axes.set(xlabel="steps of each learner", ylabel="mean return", ylim=(0, 520))
        figure.legend(fontsize=7, loc="outside lower center", ncols=2)
        panels.append(figure)
    figure, axes = panel("Each learner at the end", (3.6, 3.8))
    for i, (name, curves) in enumerate(data.items()):
        spread = np.linspace(-0.25, 0.25, len(curves.final))
        axes.plot(np.sort(curves.final), i + spread, "o", color=LOOK_OF[name][0], markersize=2.6)
        axes.plot([curves.final.mean()] * 2, [i - 0.42, i + 0.42], color="#000000", linewidth=1.2)
    axes.set_yticks(range(len(data)), list(data), fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="mean return of 100 greedy episodes", xlim=(0, 520))
    return picture(
        [*panels, figure],
        "Mean returns while learning and at the end. Without replay, without target network and"
        " without both the curves lie within the band of all of it; with one step they rise at"
        " first, then fall. At the end most learners of ten steps stand near 500, most of one step"
        " near 100.",
    )


def draw_beliefs(data: dict[str, Curves]) -> Picture:
    """What learners believe of the first states, and what these turned out to be worth."""
    panels = []
    for title, names in BELIEVERS.items():
        figure, axes = panel(title, HALF)
        for name, look, which in zip(names, ("--", ":"), ("", ", no double"), strict=False):
            curves = data[name]
            draw_band(axes, curves.steps, curves.guess, name, f"believed{which}")
            mean, low, high = band(curves.truth)
            axes.fill_between(curves.steps, low, high, color="#000000", alpha=0.1, linewidth=0)
            axes.plot(curves.steps, mean, look, color="#000000", label=f"earned{which}")
        axes.axhline(1 / (1 - GAMMA), color=GREY, linewidth=0.8)
        axes.set(xlabel="steps of each learner", ylabel="value of the first state", ylim=(0, 150))
        axes.legend(fontsize=7, loc="lower right")
        panels.append(figure)
    return picture(
        panels,
        "Believed and earned values of the first states. With ten steps beliefs rise towards what"
        " is earned from below; with one step they pass 100, the most there is, and go on, with"
        " double targets as without.",
    )


# ------------------------------------------------------------------------------- live

LIVE = replace(ALL, updates=60, explore=1500, warm_up=500, fade=0)


def draw_live(
    n: int = 10, tau: float = 0.05, replay: bool = True, double: bool = True, seed: int = 0
) -> Picture:
    """Three learners for 4000 steps: for sliders."""
    capacity = LIVE.capacity if replay else LIVE.every
    settings = replace(LIVE, n=n, tau=tau, double=double, capacity=capacity)
    _, curves = train(settings, learners=3, steps=4000, every=500, first=1000 * seed)
    left, axes = panel("Greedy return of each learner", (3.6, 2.7))
    for b, colour in enumerate((BLUE, RED, GREEN)):
        axes.plot(curves.steps, curves.earned[:, b], "-", color=colour)
    axes.set(xlabel="steps", ylabel="mean of 10 episodes", ylim=(0, 520))
    right, axes = panel("What they believe", (3.6, 2.7))
    for b, colour in enumerate((BLUE, RED, GREEN)):
        axes.plot(curves.steps, curves.guess[:, b], "-", color=colour)
        axes.plot(curves.steps, curves.truth[:, b], ":", color=colour)
    axes.plot([], [], "-", color=GREY, label="max q of the first states")
    axes.plot([], [], ":", color=GREY, label="what was earned, discounted")
    axes.axhline(1 / (1 - GAMMA), color=GREY, linewidth=0.8)
    axes.set(xlabel="steps", ylim=(0, 1.3 / (1 - GAMMA)))
    axes.legend(fontsize=7)
    return picture(
        [left, right],
        "Left: the greedy return of three learners rises from that of chance. Right: their values"
        " of the first states beside the discounted returns.",
    )


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """What a rule for the end of an episode makes of a cart that never falls.

    value   v = 1 + γ (1 - share of ends stored) v
    right   1 / (1 - γ)
    """

    value: float
    right: float


def balance(s: Observations) -> Ints:
    """Push to the side to which lean and turn, position and speed add up: it never falls."""
    return np.asarray(s @ np.array([0.1, 0.3, 3.0, 1.0]) > 0, dtype=np.intp)


def data_hunt(ends: Callable[[Transition], Bools], gamma: float = GAMMA) -> Hunt:
    """Twenty carts balance for 2000 steps; what is stored decides what they think it is worth."""
    env = CartPole(20, seeds=0, limit=LIMIT)
    s, stored = env.reset(), []
    for _ in range(4 * LIMIT):
        x = env.step(balance(s))
        if x.terminated.any():
            raise ValueError("the balancing policy must not fall")
        stored.append(np.asarray(ends(x)))
        s = x.s
    return Hunt(1 / (1 - gamma * (1 - float(np.mean(stored)))), 1 / (1 - gamma))


# ------------------------------------------------------------------------------- recorded


LEARNERS, SHOWN = 10, 0  # the learner whose beliefs are kept


def recorded_variant(name: str) -> dict[str, Any]:
    """One variant in full, and what a learner with all parts came to believe on the way."""
    torch.set_num_threads(1)
    planes: list[dict[str, Any]] = []

    def watch(agent: Agent) -> None:
        q = plane(of_learners(agent.net, slice(SHOWN, SHOWN + 1)), ALL)
        right = (q[..., 1] - q[..., 0]).round(2)
        planes.append({"v": q.max(-1).round(1).tolist(), "right": right.tolist()})

    look = watch if name == "all of it" else None
    _, x = train(VARIANTS[name], learners=LEARNERS, steps=STEPS, every=EVERY, watch=look)
    return {"planes": planes} | {key: y.round(2).tolist() for key, y in x._asdict().items()}


def recorded_variants() -> dict[str, Any]:
    """Every variant in full, each in a process of its own."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(recorded_variant, VARIANTS))
    return {"seed": 0, "learners": LEARNERS} | dict(zip(WORDS.values(), found, strict=True))


def read_curves(record: dict[str, Any]) -> dict[str, Curves]:
    """The curves of a recorded run, by the names of the variants."""
    data = record["data"]["variants"]
    return {
        name: Curves(*(np.array(data[word][field]) for field in Curves._fields))
        for name, word in WORDS.items()
    }


FRAMES = [0, 1, 2, 3, 5, 7, 9, 11]  # of the checks


def read_plane(record: dict[str, Any]) -> Plane:
    """What one learner of a recorded run believed, at some of the checks."""
    data = record["data"]["variants"]["all"]
    v, right = (np.array([data["planes"][i][key] for i in FRAMES]) for key in ("v", "right"))
    steps, earned = (np.array(data[key])[FRAMES] for key in ("steps", "earned"))
    return Plane(steps, PLANE_LEAN, PLANE_TURN, v, right, earned[:, SHOWN])


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"variants": recorded_variants}
RECORDED_MODULES = (
    "rlcourse.deep.cartpole",
    "rlcourse.deep.dqn",
    "rlcourse.deep.networks",
    "rlcourse.deep.q_learning",
    "rlcourse.deep.replay",
    "rlcourse.deep.rollouts",
    "rlcourse.deep.scaled",
)
