"""Estimates of one gradient as clouds of points: same mean, very different spread.

Shapes: S states, A actions, D = 2 parameters, B episodes, N trajectories.
"""

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from rlcourse.deep.enumeration import all_episodes, exact_variance
from rlcourse.deep.objectives import Exact, value_objective
from rlcourse.deep.policies import softmax_policy, softmax_score
from rlcourse.deep.policy_gradient import (
    gradient_estimates,
    measure,
    optimal_baseline,
    reinforce_weights,
)
from rlcourse.deep.policy_worlds import DAYS, PolicyWorld, hike
from rlcourse.figures.frames import with_buttons, with_slider
from rlcourse.plot import BLUE, COLOUR_OF, GREY, HALF, OCHRE, RED, Picture, panel, picture
from rlcourse.tabular.environment import Episodes, environment, sample_episodes
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.returns import completed_returns

THETA = (1.0, 0.5)
REACH = 40.0  # of the axes


class Estimator(NamedTuple):
    """One estimator of the gradient.

    estimates  (B, D)  of sampled episodes
    mean       (D,)    over all trajectories, exactly
    variance           Σ_d Var of one estimate, exactly
    uphill             the exact chance that an estimate points uphill
    z          (D,)    how many standard errors the sampled mean is off the exact gradient
    sampled            Σ_d Var in the sample
    """

    estimates: Floats
    mean: Floats
    variance: float
    uphill: float
    z: Floats
    sampled: float


class Clouds(NamedTuple):
    """The estimators by name, at one policy; `objective` J and its gradient (D,) are exact."""

    estimators: dict[str, Estimator]
    objective: float
    gradient: Floats
    episodes: int


def weights(world: PolicyWorld, theta: Floats, x: Episodes, exact: Exact) -> dict[str, Floats]:
    """What each estimator weighs the scores of episodes by: (T, B), by name."""
    pi = softmax_policy(world.x, theta)
    g = completed_returns(x.r, x.alive, x.terminated, np.zeros(x.r.shape[1]), world.gamma)
    best = optimal_baseline(pi, exact.q, softmax_score(world.x, pi))
    v, q, gamma = exact.v[x.s], exact.q[x.s, x.a], world.gamma
    return {
        "total return": np.broadcast_to(g[0], g.shape),
        "reward-to-go": reinforce_weights(g, gamma),
        "constant baseline": reinforce_weights(g, gamma, float(exact.objective)),
        "state values": reinforce_weights(g, gamma, v),
        "optimal baseline": reinforce_weights(g, gamma, best[x.s]),
        "exact advantages": reinforce_weights(q, gamma, v),
        "γᵗ dropped": reinforce_weights(g, 1.0, v),
    }


def data_clouds(
    *, episodes: int, rng: np.random.Generator, theta: tuple[float, float] = THETA
) -> Clouds:
    """Each estimator on sampled episodes of the hike, and on all of its trajectories."""
    world, at = hike(), np.array(theta)
    pi = softmax_policy(world.x, at)
    score = softmax_score(world.x, pi)
    exact = value_objective(world.mdp, world.x, at, world.start, world.gamma)
    sample = sample_episodes(environment(world.mdp, world.start), pi, episodes, rng=rng)
    every, p = all_episodes(world.mdp, pi, world.start, DAYS)
    found = {}
    sampled = weights(world, at, sample, exact)
    for name, w in weights(world, at, every, exact).items():
        each = gradient_estimates(score, every, w)
        mine = gradient_estimates(score, sample, sampled[name])
        told = measure(mine, exact.gradient)
        uphill = float(p @ (each @ exact.gradient > 0))
        variance = float(exact_variance(each, p).sum())
        found[name] = Estimator(mine, p @ each, variance, uphill, told.z, told.variance)
    return Clouds(found, float(exact.objective), exact.gradient, episodes)


# ------------------------------------------------------------------------------- the flagship


def draw_clouds(data: Clouds, points: int = 250, shown: int = 0) -> go.Figure:
    """One frame an estimator: single-episode estimates, their mean and the exact gradient."""
    names = [name for name in data.estimators if name != "γᵗ dropped"]

    def traces(name: str) -> list[Any]:
        x = data.estimators[name].estimates[:points]
        cloud = go.Scatter(
            x=x[:, 0].round(2).tolist(), y=x[:, 1].round(2).tolist(), mode="markers",
            marker={"size": 7, "opacity": 0.45, "color": BLUE},
            hovertemplate="(%{x}, %{y})<extra></extra>",
        )  # fmt: skip
        true = go.Scatter(
            x=[0, float(data.gradient[0])], y=[0, float(data.gradient[1])], mode="lines+markers",
            line={"width": 4, "color": RED}, marker={"size": [0, 11], "symbol": "diamond"},
            hoverinfo="skip",
        )  # fmt: skip
        mean = data.estimators[name].mean
        middle = go.Scatter(
            x=[float(mean[0])], y=[float(mean[1])], mode="markers",
            marker={"size": 15, "symbol": "circle-open", "line": {"width": 3}, "color": OCHRE},
            hoverinfo="skip",
        )  # fmt: skip
        return [cloud, true, middle]

    titles = {
        name: f"variance {e.variance:.0f}, and {100 * e.uphill:.0f} % point uphill"
        for name, e in data.estimators.items()
    }
    frames = [
        go.Frame(data=traces(name), name=name, layout={"title": {"text": titles[name]}})
        for name in names
    ]
    figure = go.Figure(data=traces(names[shown]), frames=frames)
    axis = {"range": [-REACH, REACH], "fixedrange": True, "zeroline": True}
    figure.update_layout(
        meta={
            "alt": "Clouds of gradient estimates around one exact gradient, wide for the total"
            " return and ever narrower with reward-to-go, baselines and exact advantages."
        },
        height=620,
        title={"text": titles[names[shown]], "x": 0.5, "y": 0.97, "font": {"size": 15}},
        margin={"l": 55, "r": 5, "t": 45, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": GREY},
        showlegend=False,
        xaxis={"title": {"text": "∂J/∂(wish to climb)"}} | axis,
        yaxis={"title": {"text": "∂J/∂(wish to rest)"}} | axis | {"range": [-25, 25]},
    )  # fmt: skip
    with_buttons(figure, 1200, top=140)
    hidden = {"size": 1, "color": "rgba(0,0,0,0)"}
    return with_slider(figure, shown, "weights: ", top=50, color=GREY, ticklen=4, font=hidden)


# ------------------------------------------------------------------------------- trust


def draw_trust(data: Clouds) -> Picture:
    """How far each mean is off in standard errors, and each variance, sampled and exact."""
    names = list(data.estimators)
    left, axes = panel("Is the mean the gradient?", HALF)
    for i, name in enumerate(names):
        axes.plot(data.estimators[name].z, [i, i], "o", color=COLOUR_OF[name], markersize=6)
    axes.axvspan(-3, 3, color=BLUE, alpha=0.15, linewidth=0)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("sampled mean − exact, in standard errors")
    right, axes = panel("How far does one estimate stray?", HALF)
    for i, name in enumerate(names):
        e = data.estimators[name]
        axes.barh(i, e.sampled, 0.6, color=COLOUR_OF[name], alpha=0.6)
        axes.plot([e.variance] * 2, [i - 0.36, i + 0.36], color="#000000", linewidth=1.6)
        axes.text(e.sampled + 2, i, f"{e.variance:.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_xlabel("variance: sampled (bar), exact (line)")
    return picture(
        [left, right],
        "Left: the sampled means of six estimators lie within three standard errors of the exact"
        " gradient; without the discount factor the mean is far off. Right: variances shrink from"
        " the total return to exact advantages; sampled and exact ones agree.",
    )


def draw_batch(episodes: int = 8, climb: float = 1.0, name: str = "reward-to-go") -> Picture:
    """Gradients averaged over a batch, 200 batches: for sliders."""
    data = data_clouds(
        episodes=200 * episodes, rng=np.random.default_rng(0), theta=(climb, THETA[1])
    )
    figure, axes = panel(f"{name}, {episodes} episodes a batch", (4.4, 3.4))
    means = data.estimators[name].estimates.reshape(200, episodes, 2).mean(1)
    axes.plot(*means.T, "o", color=COLOUR_OF[name], alpha=0.4, markersize=4)
    axes.annotate(
        "",
        (data.gradient[0], data.gradient[1]),
        (0, 0),
        arrowprops={"arrowstyle": "-|>", "color": RED, "lw": 2.5},
    )
    axes.set(xlim=(-10, 14), ylim=(-9, 7), xlabel="∂J/∂(climb)", ylabel="∂J/∂(rest)")
    uphill = (means @ data.gradient > 0).mean()
    axes.text(
        0.03, 0.92, f"{100 * uphill:.0f} % of the batches point uphill", transform=axes.transAxes
    )
    return picture(figure, f"200 batch gradients by {name} around the exact one, an arrow.")
