"""What PPO's learners earned, how far they moved, and the bug hunt on the hike.

Shapes: B learners, E episodes of each, T steps, n points of a curve.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.deep.advantages import reward_to_go
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policies import log_softmax, tabular_features
from rlcourse.deep.policy_losses import categorical_entropy, log_prob
from rlcourse.deep.policy_worlds import DAYS, hike
from rlcourse.deep.ppo_losses import ppo_loss
from rlcourse.deep.trust_region import mean_kl
from rlcourse.figures.deep.ppo_runs import Run
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.sampling import walk

HALF = (3.5, 3.0)
Loss = Callable[..., Tensor]
SHOWN = {
    "all details": (BLUE, "-"),
    "no clip": (RED, "--"),
    "one epoch": (GREEN, "-."),
    "no scaled rewards": (OCHRE, ":"),
    "cuts taken for ends": (PURPLE, "--"),
    "KL stop, no clip": (GREY, "-."),
}


def read_runs(record: dict[str, Any], name: str) -> dict[str, Run]:
    """The recorded runs as arrays."""
    runs = record["data"][name]["runs"]
    return {key: Run(*(np.array(x[field]) for field in Run._fields)) for key, x in runs.items()}


def band(axes: Any, at: Floats, y: Floats, colour: str, look: str, label: str) -> None:
    """The mean of learners (n, B), and two standard errors around it."""
    mean, error = y.mean(1), 2 * y.std(1, ddof=1) / np.sqrt(y.shape[1])
    axes.fill_between(at, mean - error, mean + error, color=colour, alpha=0.1, linewidth=0)
    axes.plot(at, mean, look, color=colour, label=label, linewidth=1.5)


def draw_details(runs: dict[str, Run]) -> Picture:
    """Learning curves of those that matter, and every learner's greedy return at the end."""
    left, axes = panel("Return while learning", (3.5, 4.2))
    for name, (colour, look) in SHOWN.items():
        band(axes, runs[name].steps, runs[name].returns, colour, look, name)
    axes.set(xlabel="steps of each learner", ylabel="return of an episode", ylim=(0, 515))
    axes.set_xticks([0, 25_000, 50_000], ["0", "25 000", "50 000"])
    axes.legend(fontsize=7, loc="lower right")
    right, axes = panel("At the end, greedily", (3.7, 4.2))
    for i, (name, x) in enumerate(runs.items()):
        colour = SHOWN.get(name, ("#000000", ""))[0]
        spread = np.linspace(-0.25, 0.25, len(x.final))
        axes.plot(np.sort(x.final), i + spread, "o", color=colour, markersize=2.8)
        axes.plot([x.final.mean()] * 2, [i - 0.4, i + 0.4], color=colour, linewidth=2)
    axes.set_yticks(range(len(runs)), list(runs), fontsize=7.5)
    axes.invert_yaxis()
    axes.set(xlabel="mean return of 100 fresh episodes", xlim=(0, 515))
    return picture(
        [left, right],
        "PPO on CartPole with each detail switched off once. Cuts taken for ends cost most, then"
        " rewards that are not scaled, the clip and the further epochs; the others change little.",
    )


def draw_movement(runs: dict[str, Run]) -> Picture:
    """The mean KL of an update, and the share of ratios beyond the clip."""
    names = ("all details", "no clip", "one epoch", "KL stop, no clip")
    left, axes = panel("How far an update moves the policy", HALF)
    for name in names:
        colour, look = SHOWN[name]
        x = np.maximum(runs[name].kl, 1e-5).mean(1)
        axes.plot(runs[name].steps, x, look, color=colour, label=name, linewidth=1.5)
    axes.set(xlabel="steps of each learner", ylabel="mean k3 of an update", yscale="log")
    axes.set_xticks([0, 25_000, 50_000], ["0", "25 000", "50 000"])
    axes.legend(fontsize=7)
    right, axes = panel("Ratios beyond 1 ± 0.2", HALF)
    for name in ("all details", "one epoch"):
        colour, look = SHOWN[name]
        band(axes, runs[name].steps, 100 * runs[name].clipped, colour, look, name)
    axes.set(xlabel="steps of each learner", ylabel="per cent")
    axes.set_xticks([0, 25_000, 50_000], ["0", "25 000", "50 000"])
    axes.legend(fontsize=7)
    return picture(
        [left, right],
        "Without a clip updates move the policy many times as far as with it. Right: with all"
        " details some per cent of the ratios lie beyond the clip, and fewer after one epoch.",
    )


def draw_tasks(runs: dict[str, Run]) -> Picture:
    """Acrobot and Pendulum: five learners each, and their greedy returns."""
    panels = []
    for name, x in runs.items():
        figure, axes = panel(name, HALF)
        band(axes, x.steps, x.returns, BLUE, "-", "while learning")
        axes.plot(np.full(len(x.final), x.steps[-1] * 1.04), x.final, "o", color=RED,
                  markersize=4, label="at the end, greedily")  # fmt: skip
        axes.set(xlabel="steps of each learner", ylabel="return of an episode")
        ticks = [0, x.steps[-1] // 20_000 * 10_000, x.steps[-1] // 20_000 * 20_000]
        axes.set_xticks(ticks, [f"{int(t):,}".replace(",", " ") for t in ticks])
        axes.legend(fontsize=7.5, loc="lower right")
        panels.append(figure)
    return picture(
        panels,
        "Both curves rise steeply and level off: Acrobot near minus 85, Pendulum near minus 190.",
    )


# ------------------------------------------------------------------------------- the GPU


def draw_gpu(record: dict[str, Any]) -> Picture:
    """Steps a second against the number of environments, and returns against seconds."""
    speeds = [x for x in record["rows"] if x["kind"] == "speed" and x["device"] == "cuda"]
    left, axes = panel("Steps a second", HALF)
    for key, name, colour, look in (
        ("collect_graph", "collecting, one graph", GREEN, "o-"),
        ("collect", "collecting, kernel by kernel", OCHRE, "s--"),
        ("train", "training", BLUE, "o-"),
    ):
        axes.plot([x["n"] for x in speeds], [x[key] for x in speeds], look, color=colour,
                  markersize=3.5, label=name)  # fmt: skip
    axes.set(xlabel="environments", ylabel="steps a second", xscale="log", yscale="log")
    axes.legend(fontsize=7)
    right, axes = panel("CartPole-v1, from the start", HALF)
    curves = [x for x in record["rows"] if x["kind"] == "curve"]
    sizes = sorted({x["n"] for x in curves})
    for x in curves:
        colour, look = ((BLUE, "-"), (RED, "--"))[sizes.index(x["n"]) % 2]
        returns = np.array([np.nan if y is None else y for y in x["returns"]])
        axes.plot(x["seconds"], returns, look, color=colour, linewidth=1.2,
                  label=f"{x['n']} environments" if x["seed"] == 0 else None)  # fmt: skip
    axes.set(xlabel="seconds", ylabel="return of an episode", ylim=(0, 515))
    axes.legend(fontsize=7, loc="lower right")
    return picture(
        [left, right],
        "On one GPU steps a second rise with the number of environments; thousands of carts learn"
        " to balance within seconds.",
    )


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """What B learners on the hike earn, exactly, and how far each update moves them.

    right, suspect        (updates + 1, B)  J
    right_kl, suspect_kl  (updates, B)      mean KL between policies before and after
    """

    right: Floats
    suspect: Floats
    right_kl: Floats
    suspect_kl: Floats


def learn_hike(
    loss: Loss, *, rng: np.random.Generator, learners: int = 6, episodes: int = 6,
    updates: int = 30, epochs: int = 20, rate: float = 3.0,
) -> tuple[Floats, Floats]:  # fmt: skip
    """J (updates + 1, B) and KL (updates, B) of policies with a number for each state and action.

    Few episodes, many epochs of plain gradient steps; baselines are the exact state values.
    """
    world, x = hike(), tabular_features(DAYS * 3, 3)
    z = torch.zeros(learners, DAYS * 3, 3, dtype=torch.float64)
    earned, moved = [], []
    for _ in range(updates + 1):
        now = value_objective(world.mdp, x, z.flatten(1).numpy(), world.start, world.gamma)
        earned.append(now.objective)
        before = log_softmax(z.numpy())
        batch = [_episodes(np.exp(before[b]), now.v[b], episodes, rng) for b in range(learners)]
        s, a, advantage = (torch.as_tensor(np.array(y)) for y in zip(*batch, strict=True))
        z = _epochs(loss, z, s, a, advantage, epochs, rate)
        moved.append(
            mean_kl(now.eta / now.eta.sum(-1, keepdims=True), before, log_softmax(z.numpy()))
        )
    return np.array(earned), np.array(moved[:-1])


def _episodes(pi: Floats, v: Floats, n: int, rng: np.random.Generator) -> tuple[Any, ...]:
    world = hike()
    x = walk(world.mdp, pi, np.zeros(n, dtype=np.intp), steps=DAYS, rng=rng)
    g = reward_to_go(x.r, np.zeros(x.r.shape), x.terminated, x.truncated, world.gamma)
    return x.s.ravel(), x.a.ravel(), (g - v[x.s]).ravel()


def _epochs(
    loss: Loss, z: Tensor, s: Tensor, a: Tensor, advantage: Tensor, epochs: int, rate: float
) -> Tensor:
    rows = s[..., None].expand(-1, -1, z.shape[-1])
    old = log_prob(z.gather(1, rows), a)
    for _ in range(epochs):
        z = z.detach().requires_grad_()
        seen = z.gather(1, rows)
        found = loss(
            log_prob(seen, a), categorical_entropy(seen), torch.zeros_like(old), old, advantage,
            0.2, 0.5, 0.0,
        )  # fmt: skip
        z = z - rate * torch.autograd.grad(found.sum(), z)[0]
    return z.detach()


def data_hunt(suspect: Loss, *, rng: np.random.Generator, **rules: Any) -> Hunt:
    """Learners that use the suspect, beside those that use the course's own loss."""
    seed = int(rng.integers(2**32))
    right, right_kl = learn_hike(ppo_loss, rng=np.random.default_rng(seed), **rules)
    wrong, wrong_kl = learn_hike(suspect, rng=np.random.default_rng(seed), **rules)
    return Hunt(right, wrong, right_kl, wrong_kl)


def draw_hunt(data: Hunt) -> Picture:
    """What the policies earn, update by update, and how far each moved."""
    left, axes = panel("What the hiker earns", HALF)
    right, other = panel("How far an update moves", HALF)
    for name, x, kl, colour, look in (
        ("should be", data.right, data.right_kl, BLUE, "-"),
        ("the suspect", data.suspect, data.suspect_kl, RED, "--"),
    ):
        k = np.arange(len(x))
        axes.fill_between(k, x.min(1), x.max(1), color=colour, alpha=0.18, linewidth=0)
        axes.plot(k, x.mean(1), look, color=colour, label=name)
        other.plot(k[1:], kl.mean(1), look, color=colour, label=name)
    axes.set(xlabel="updates", ylabel="J, exactly")
    other.set(xlabel="updates", ylabel="mean KL(π old ‖ π)", yscale="log", ylim=(1e-4, 10))
    axes.legend(loc="lower right")
    other.legend()
    return picture(
        [left, right],
        "The suspect's learners rise faster at first, and then stop below the others, at different"
        " heights. Their first updates move the policy many times as far.",
    )
