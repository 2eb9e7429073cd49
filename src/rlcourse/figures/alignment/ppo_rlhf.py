"""PPO on the sloppy teacher's task: a run on the page, and recorded runs.

The runs are those of `leashes`.
Shapes: n points of a curve, I iterations, K seeds.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from rlcourse.alignment import sloppy_teacher
from rlcourse.alignment.columns import Columns
from rlcourse.alignment.sloppy_teacher import split
from rlcourse.figures.alignment.dpo import DIGITS, draw_band, draw_dots, said, taught
from rlcourse.figures.alignment.leashes import (
    BETAS,
    EVERY,
    KINDS,
    LEASHES,
    SHORT,
    STEPS,
    WAYS,
    Best,
    Learned,
    Way,
    answered_surely,
    best,
    learn,
    well_taught,
)
from rlcourse.language.sampling import GREEDY, Sampling
from rlcourse.plot import BLUE, GREEN, LOOKS, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

SEEDS, FEW = 5, 2

# ------------------------------------------------------------------------------- on the page


class Live(NamedTuple):
    """One run on the page; prompts, what was answered before and after; a batch on the way."""

    run: Learned
    prompts: list[str]
    before: list[str]
    after: list[str]
    batch: Columns


def table_of_samples(seed: int = 0, prompts: int = 3, samples: int = 3) -> str:
    """What the taught model answers to some held-out prompts, likeliest and sampled."""
    rows = split(DIGITS).held_out[:prompts]
    ways = ((1, GREEDY), (samples, Sampling()))
    likely, drawn = (said(taught(seed), rows, n, how, seed) for n, how in ways)
    lines = [f"{'prompt':8} {'likeliest':10} sampled"]
    for i, row in enumerate(rows):
        each = [sloppy_teacher.text(x) for x in (*likely.response[i], *drawn.response[i])]
        lines.append(f"{sloppy_teacher.text(row):8} {each[0]:10} {' '.join(each[1:])}")
    return "\n".join(lines)


@cache
def data_live(seed: int = 0, steps: int = SHORT) -> Live:
    """PPO with a leash in the reward, learned here and now."""
    model, run, batch = learn(WAYS["reward"], seed, steps)
    prompts = split(DIGITS).held_out[:6]
    before, after = (
        [sloppy_teacher.text(a[m]) for a, m in zip(x.response[:, 0], x.mask[:, 0], strict=True)]
        for x in (said(m, prompts, 1, GREEDY, 0) for m in (taught(seed), model))
    )
    return Live(run, [sloppy_teacher.text(x) for x in prompts], before, after, batch)


def table_of_answers(data: Live) -> str:
    """Prompts that were held out, and the likeliest answers before and after."""
    lines = [f"{'prompt':10} {'before':10} after"]
    for row in zip(data.prompts, data.before, data.after, strict=True):
        lines.append("{:10} {:10} {}".format(*row))
    return "\n".join(lines)


def draw_live(run: Learned) -> Picture:
    """Accuracy, KL of an answer and what the critic explains, over the iterations."""
    figures, size = [], (3.4, 2.3)
    figure, axes = panel("right answers", size)
    axes.plot(np.arange(len(run.score)), run.score, color=OCHRE, lw=1, label="samples, training")
    axes.plot(run.step, run.greedy, "o-", color=BLUE, ms=4, label="likeliest, held out")
    axes.set(xlabel="iteration", ylim=(-0.03, 1.03))
    axes.legend(loc="lower right")
    figures.append(figure)
    for title, values, colour in (
        ("KL of an answer from the reference, nats", run.kl, RED),
        ("variance that the critic explains", run.explained, GREEN),
    ):
        figure, axes = panel(title, size)
        axes.plot(np.arange(len(values)), values, color=colour)
        axes.axhline(0, color="#000000", linewidth=0.6)
        axes.set(xlabel="iteration")
        figures.append(figure)
    return as_picture(
        figures,
        f"Three curves over the iterations. The likeliest answers are right in {run.greedy[0]:.2f}"
        f" of the prompts at first and in {run.greedy[-1]:.2f} at the end. The KL rises from 0 to"
        f" {run.kl[-1]:.1f} nats. What the critic explains is at most {run.explained.max():.2f}.",
    )


def fates(batch: Columns) -> list[int]:
    """Rows of the batch: the first right answer, and the first wrong one that is complete."""
    full = batch["mask"].all(1)
    return [int((full & (batch["score"] == s)).nonzero()[0]) for s in (1, 0)]


def foretold(batch: Columns) -> tuple[float, float]:
    """Before the last token, the critic's mean values of right answers and of wrong ones."""
    last, score = batch["value"][:, -1], batch["score"]
    full = batch["mask"].all(1)
    right, wrong = (float(last[full & (score == s)].mean()) for s in (1, 0))
    return right, wrong


def draw_credit(batch: Columns) -> Picture:
    """Of a right answer and a wrong one: what the critic foretold, and the advantages."""
    figures = []
    for row, colour in zip(fates(batch), (BLUE, RED), strict=True):
        tokens = batch["tokens"][row]
        prompt, answer = (sloppy_teacher.text(x) for x in tokens.view(2, DIGITS + 1))
        figure, axes = panel(f"{prompt} answered {answer}  score {batch['score'][row]:.0f}")
        t = np.arange(DIGITS + 1)
        axes.bar(t, batch["advantage"][row].numpy(), 0.6, color=colour, alpha=0.7, label="Â")
        axes.plot(t, batch["value"][row].numpy(), "o-", color=PURPLE, ms=4, label="v before it")
        axes.axhline(0, color="#000000", linewidth=0.6)
        axes.set_xticks(t, list(answer))
        axes.set(ylim=(-2.6, 2.6), xlabel="token")
        axes.legend(loc="lower left")
        figures.append(figure)
    return as_picture(
        figures,
        "Token by token, the critic's values and the whitened advantages of a right answer and of"
        " a wrong one. The values are about the same, and the advantages have the score's sign.",
    )


# ------------------------------------------------------------------------------- recorded


def recorded_ways() -> dict[str, Any]:
    """Each way with each seed: curves (K, n), and numbers at the end (K,)."""
    return together(WAYS, SEEDS, STEPS)


def recorded_full() -> dict[str, Any]:
    """With a leash in the reward, from models that have had all of the teacher's lessons."""
    torch.set_num_threads(1)
    way = WAYS["reward"]
    return rounded(Learned, [learn(way, k, STEPS, start=well_taught)[1] for k in range(SEEDS)])


def recorded_leashes() -> dict[str, Any]:
    """Dearer leashes in the reward, fewer seeds."""
    return together(LEASHES, FEW, SHORT)


def recorded_kinds() -> dict[str, Any]:
    """A dear leash in the loss, by three estimates, fewer seeds."""
    return together(KINDS, FEW, SHORT)


def recorded_best() -> dict[str, Any]:
    """The best policies: right, falling and away (K,) of each price."""
    torch.set_num_threads(1)
    known = [answered_surely(taught(seed)) for seed in range(SEEDS)]
    prices = [*np.geomspace(0.05, 5, 33), 0.0, np.inf, 0.01, *BETAS]
    return {f"{x:.6g}": rounded(Best, [best(*each, float(x)) for each in known]) for x in prices}


def together(ways: dict[str, Way], seeds: int, steps: int) -> dict[str, Any]:
    """All ways with so many seeds each, as plain rounded lists."""
    torch.set_num_threads(1)
    runs: dict[str, list[Learned]] = {name: [] for name in ways}
    for seed in range(seeds):
        for name, way in ways.items():
            runs[name].append(learn(way, seed, steps)[1])
            last = runs[name][-1]
            print(seed, name, last.greedy, last.right, last.away, flush=True)
    return {name: rounded(Learned, found) for name, found in runs.items()}


def rounded(kind: type[Any], rows: list[Any]) -> dict[str, Any]:
    """NamedTuples as lists of each column, four digits behind the point, six of what is small."""
    columns = zip(kind._fields, zip(*rows, strict=True), strict=True)
    digits = {"gap": 8, "ratio": 8, "value_loss": 5}
    return {name: np.round(np.array(x), digits.get(name, 4)).tolist() for name, x in columns}


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "best": recorded_best,
    "ways": recorded_ways,
    "full": recorded_full,
    "leashes": recorded_leashes,
    "kinds": recorded_kinds,
}
RECORDED_MODULES = (
    "rlcourse.alignment.ppo_rlhf",
    "rlcourse.alignment.policy_step",
    "rlcourse.alignment.trainer",
    "rlcourse.alignment.critic",
    "rlcourse.alignment.sloppy_teacher",
    "rlcourse.figures.alignment.leashes",
)


def ends(way: dict[str, Any], field: str = "greedy") -> Floats:
    """What a recorded way came to, each seed: (K,)."""
    found = np.array(way[field])
    return found if found.ndim == 1 else found[:, -1]


def mean_of(way: dict[str, Any], field: str) -> float:
    """What a recorded way came to, in the mean over its seeds."""
    return float(ends(way, field).mean())


def late(way: dict[str, Any], field: str) -> float:
    """A recorded way's mean over its seeds and its last twenty iterations."""
    return float(np.array(way[field])[:, -20:].mean())


def starts(ways: dict[str, Any]) -> Floats:
    """The greedy accuracies before the first iteration, of all ways and seeds."""
    return np.array([way["greedy"] for way in ways.values()])[:, :, 0]


def worst(ways: dict[str, Any], field: str) -> float:
    """The largest number of all ways and seeds."""
    return max(float(ends(way, field).max()) for way in ways.values())


COLOURS = {"reward": BLUE, "loss": GREEN, "none": RED, "adaptive": PURPLE}


def draw_ways(ways: dict[str, Any]) -> Picture:
    """Greedy accuracy, KL, entropy and what the critic explains, with bands over the seeds."""
    figures = []
    for title, field in (
        ("likeliest answer is right", "greedy"),
        ("KL of an answer from the reference, nats", "kl"),
        ("entropy of a token, nats", "entropy"),
        ("variance that the critic explains", "explained"),
    ):
        figure, axes = panel(title, (3.4, 2.5))
        for (name, way), look in zip(WAYS.items(), LOOKS, strict=True):
            draw_band(axes, smooth(ways[name], field), field, COLOURS[name], look, way.name)
        axes.set(xlabel="iteration")
        if field == "greedy":
            axes.legend(loc="lower right", fontsize=7.5)
        figures.append(figure)
    words = ", ".join(f"{WAYS[name].name} {ends(ways[name]).mean():.2f}" for name in WAYS)
    return as_picture(
        figures,
        "Curves over the iterations for four leashes. All learn: the likeliest answer is right in"
        f" the end with {words}. The adaptive leash holds the KL near 1 nat, the others let it rise"
        " and level off. Entropy falls. The critic explains most with the adaptive leash.",
    )


def smooth(way: dict[str, Any], field: str, over: int = EVERY) -> dict[str, Any]:
    """The curve's means over some iterations each; that of the accuracy as it is."""
    y, x = np.array(way[field]), np.array(way["step"])
    return {field: y if y.shape == x.shape else y.reshape(len(y), -1, over).mean(2), "step": x}


def draw_kinds(kinds: dict[str, Any]) -> Picture:
    """KL and accuracy at the end with a leash in the loss by each estimate, and with none."""
    rows = {name: kinds[name] for name in ("none", "k1", "k2", "k3")}
    figures = []
    for title, field in (
        ("KL of an answer from the reference, nats", "away"),
        ("probability of the right answer", "right"),
    ):
        figure, axes = panel(title, (3.5, 1.9))
        for i, way in enumerate(rows.values()):
            draw_dots(axes, i, ends(way, field))
        axes.set_yticks(range(len(rows)), ["no leash", "k1", "k2", "k3"])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, None))
        figures.append(figure)
    words = ", ".join(f"{name} {ends(way, 'away').mean():.2f}" for name, way in rows.items())
    return as_picture(figures, f"KL at the end by the estimate in the loss: {words} nats.")
