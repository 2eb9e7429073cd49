"""Figures of the chapter on reward models: what the recorded runs say.

Reward models learn from comparisons, are judged, and are maximised for too long.

Shapes: P prompts, Y answers of each; curves have a point a strength β, or a number of samples n.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import optimum
from rlcourse.figures.alignment import comparisons as made
from rlcourse.plot import BLUE, GREEN, GREY, HALF, LOOKS, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

BETAS = (4.0, 2.0, 1.0, 0.7, 0.5, 0.35, 0.25, 0.12, 0.06, 0.03, 0.015, 0.007)
NS = tuple(2**k for k in range(17))
SIZES, SEEDS, PROMPTS = (1000, 3000, 10_000), range(3), 24


# ------------------------------------------------------------------------------- optimising


class Curve(NamedTuple):
    """What maximising rewards brings, in means over prompts: KL from π_ref, proxy and gold.

    The proxy is shifted to begin where gold does, since only differences count.
    """

    kl: list[float]
    proxy: list[float]
    gold: list[float]


def curve_of(policies: Sequence[Tensor], world: made.World, rewards: Tensor) -> Curve:
    """Of some policies, log-probabilities (P, Y) each."""
    ref, q = world.log_ref, world.quality
    shifted = rewards + (optimum.expected(ref, q) - optimum.expected(ref, rewards))[:, None]
    kl, proxy, gold = (
        [round(float(x.mean()), 4) for x in values]
        for values in (
            [optimum.divergence(p, ref) for p in policies],
            [optimum.expected(p, shifted) for p in policies],
            [optimum.expected(p, q) for p in policies],
        )
    )
    return Curve(kl, proxy, gold)


def tilted_curve(world: made.World, rewards: Tensor) -> Curve:
    """From π_ref on, a point each of `BETAS`."""
    tilted = [optimum.tilted(world.log_ref, rewards, beta) for beta in BETAS]
    return curve_of([world.log_ref, *tilted], world, rewards)


def best_of_n_curve(world: made.World, rewards: Tensor) -> Curve:
    """A point each of `NS`."""
    best = [optimum.best_of_n_policy(world.log_ref, rewards, n) for n in NS]
    return curve_of(best, world, rewards)


Runs = Sequence[dict[str, Any]]


def means(runs: Runs, way: str, what: str) -> Floats:
    """(runs, points) of a curve: way is "tilted" or "best_of_n", what is kl, proxy or gold."""
    return np.array([run[way][what] for run in runs])


def draw_over_optimisation(record: dict[str, Any], size: int = 3000) -> Picture:
    """Proxy and gold over KL, means and ranges over seeds; then gold by how many were compared."""
    runs = record["sizes"][str(size)]
    left, axes = panel("the reward model's word, and the truth", HALF)
    for what, colour, look in (("proxy", RED, "--"), ("gold", BLUE, "-")):
        x, y = means(runs, "best_of_n", "kl").mean(0), means(runs, "best_of_n", what)
        axes.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, y.mean(0), look, color=colour, label=f"{what}, best of n")
    true = record["true"]["tilted"]
    axes.plot(true["kl"], true["gold"], ":", color=GREEN, label="gold, truth maximised")
    axes.set(xlabel="KL from the reference, nats", ylabel="quality", ylim=(0, 4.2))
    axes.legend(loc="lower left")
    right, axes = panel("gold, by how many pairs are drawn", HALF)
    looks = zip(record["sizes"].items(), (OCHRE, BLUE, PURPLE), LOOKS, strict=False)
    for (name, each), colour, look in looks:
        for way, width in (("tilted", 1.8), ("best_of_n", 0.9)):
            x, y = means(each, way, "kl").mean(0), means(each, way, "gold").mean(0)
            label = f"{int(name):,}".replace(",", " ") if way == "tilted" else None
            axes.plot(x, y, look, color=colour, linewidth=width, label=label)
    axes.set(xlabel="KL from the reference, nats", ylim=(0, 4.2))
    axes.legend(loc="lower left", title="thick: tilted, thin: best of n")
    return as_picture(
        [left, right],
        "Left: over the KL from the reference the proxy keeps rising; the true quality rises with"
        " it, turns at about 2 nats, and falls. Maximising the truth leads to 4. Right: the more"
        " comparisons, the higher the true quality rises and the later it falls.",
    )


# ------------------------------------------------------------------------------- calibration

WAYS = {
    "as it should": (BLUE, "o-"),
    "too long": (OCHRE, "s--"),
    "log forgotten": (RED, "^-."),
}
LONG = 20  # epochs


def draw_reliability(ways: dict[str, Runs]) -> Picture:
    """What was said and what came true, in ten parts, means over seeds."""
    figure, axes = panel("said, and came true", (3.8, 3.2))
    axes.plot([0, 1], [0, 1], ":", color=GREY)
    for name, runs in ways.items():
        colour, look = WAYS[name]
        count, said, came = (
            np.array([run[what] for run in runs]) for what in ("pairs", "said", "came")
        )
        total = count.sum(0)
        x, y = ((values * count).sum(0) / np.maximum(total, 1) for values in (said, came))
        kept = total > 0
        axes.plot(x[kept], y[kept], look, color=colour, label=name, markersize=4.5)
    axes.set(xlabel="probability that was said", ylabel="share that came true")
    axes.legend(loc="upper left")
    return as_picture(
        figure,
        "Reliability: the model as it should be lies along the diagonal. Trained for too long, or"
        " without the log, what it calls nearly certain comes true far less often.",
    )


def mean_of(runs: Runs, what: str) -> float:
    """Over the seeds."""
    return float(np.mean([run[what] for run in runs]))


# ------------------------------------------------------------------------------- recorded


def without_log(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """-σ(h): the bug of the chapter."""
    return -torch.sigmoid(chosen - rejected - margin)


def recorded_run(pairs: int, seed: int, **more: Any) -> dict[str, Any]:
    """One reward model, judged, and what maximising it brings."""
    learned = made.data_learned(pairs, seed, PROMPTS, **more)
    judged, world = made.data_judged(learned.rewards)._asdict(), made.world(PROMPTS)
    found = {
        name: [round(y, 4) for y in x] if isinstance(x, list) else round(x, 4)
        for name, x in judged.items()
    }
    found["compared"] = len(made.data_comparisons(pairs, seed).chosen.tokens)
    found["first_loss"] = round(learned.losses[0], 5)
    for way, draw in (("tilted", tilted_curve), ("best_of_n", best_of_n_curve)):
        found[way] = draw(world, learned.rewards)._asdict()
    print(pairs, seed, found["accuracy"], found["error"], flush=True)
    return found


def recorded_sizes() -> dict[str, Any]:
    """By how many pairs are drawn; a run a seed."""
    return {str(pairs): [recorded_run(pairs, seed) for seed in SEEDS] for pairs in SIZES}


def recorded_ways() -> dict[str, Any]:
    """3000 pairs learned as they should be, for too long, and without the log."""
    options: dict[str, dict[str, Any]] = {
        "as it should": {},
        "too long": {"epochs": LONG},
        "log forgotten": {"loss": without_log},
    }
    return {name: [recorded_run(3000, seed, **options[name]) for seed in SEEDS] for name in WAYS}


def recorded_true() -> dict[str, Any]:
    """What maximising the true quality brings."""
    world = made.world(PROMPTS)
    return {
        "tilted": tilted_curve(world, world.quality)._asdict(),
        "best_of_n": best_of_n_curve(world, world.quality)._asdict(),
    }


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "true": recorded_true,
    "sizes": recorded_sizes,
    "ways": recorded_ways,
}
RECORDED_MODULES = (
    "rlcourse.alignment.sft",
    "rlcourse.alignment.descent",
    "rlcourse.alignment.sloppy_teacher",
    "rlcourse.alignment.preference_training",
    "rlcourse.alignment.reward_model",
    "rlcourse.alignment.reward_network",
    "rlcourse.alignment.optimum",
    "rlcourse.figures.alignment.comparisons",
)
