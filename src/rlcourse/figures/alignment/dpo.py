"""Preferences on the sloppy teacher's task: DPO and its family, live and recorded.

A model that imitates the teacher answers prompts of five digits eight times each. A right sample
and a wrong one of a prompt are a pair; all losses learn from the same pairs. What is asked of them
is that the likeliest answer to prompts they never saw is right.

Shapes: B prompts, n points of a curve, K seeds.
"""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.alignment import dpo, sloppy_teacher
from rlcourse.alignment.packing import Batch
from rlcourse.alignment.preference_training import (
    Answers,
    Loss,
    PreferenceStep,
    log_probs_of,
    train_on_comparisons,
)
from rlcourse.alignment.reward_network import Comparisons
from rlcourse.alignment.sloppy_teacher import EOS, PAD, answered, correct, split
from rlcourse.language.decoding import generate
from rlcourse.language.sampling import GREEDY, Sampling
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREEN, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

DIGITS, SAMPLES, PROMPTS, HELD, SEEDS = 5, 8, 1200, 400, 5
TEACHING = Settings(steps=250, batch=64, rate=4e-3, warm_up=20)
LEARNING = Settings(steps=160, batch=32, rate=5e-4, warm_up=10)
EVERY = 20
NOISE = 0.2


class Way(NamedTuple):
    """A loss, the weight of the SFT term, and which share of the pairs is turned round."""

    name: str
    loss: Loss
    sft: float = 0.0
    noise: float = 0.0


def kto(answers: Answers, beta: float) -> Tensor:
    """KTO on both answers of a pair; the baseline of one kind is taken from the other."""
    chosen = answers.chosen.total - answers.chosen_ref
    rejected = answers.rejected.total - answers.rejected_ref
    good = torch.ones(len(chosen), dtype=torch.bool)
    return dpo.kto_loss(chosen, good, rejected, beta) + dpo.kto_loss(rejected, ~good, chosen, beta)


WAYS = {
    "dpo": Way("DPO, β = 0.1", lambda a, h: dpo.dpo_loss(h, 0.1)),
    "dpo_half": Way("DPO, β = 0.5", lambda a, h: dpo.dpo_loss(h, 0.5)),
    "dpo_sft": Way("DPO, β = 0.5, and SFT", lambda a, h: dpo.dpo_loss(h, 0.5), sft=1.0),
    "ipo": Way("IPO, β = 0.1", lambda a, h: dpo.ipo_loss(h, 0.1)),
    "hinge": Way("hinge, β = 0.1", lambda a, h: dpo.hinge_loss(h, 0.1)),
    "kto": Way("KTO, β = 0.1", lambda a, h: kto(a, 0.1)),
    "simpo": Way(
        "SimPO, β = 2, γ = 0.5",
        lambda a, h: dpo.simpo_loss(a.chosen.mean, a.rejected.mean, 2.0, 0.5),
    ),
    "orpo": Way("ORPO, λ = 1", lambda a, h: dpo.orpo_loss(a.chosen.mean, a.rejected.mean, 1.0)),
    "noisy_dpo": Way("DPO, β = 0.1", lambda a, h: dpo.dpo_loss(h, 0.1), noise=NOISE),
    "noisy_cdpo": Way("cDPO, β = 0.1", lambda a, h: dpo.dpo_loss(h, 0.1, NOISE), noise=NOISE),
    "noisy_robust": Way(
        "robust, β = 0.1", lambda a, h: dpo.robust_loss(h, 0.1, NOISE), noise=NOISE
    ),
}


# ------------------------------------------------------------------------------- the task


class Said(NamedTuple):
    """Prompts (B, D + 1), samples of each and which tokens are theirs (B, S, R), right (B, S)."""

    prompts: Tensor
    response: Tensor
    mask: Tensor
    right: Tensor


def said(model: Decoder, prompts: Tensor, samples: int, sampling: Sampling, seed: int) -> Said:
    """What the model answers to each prompt, so many times."""
    rows = prompts.repeat_interleave(samples, 0)
    found = generate(
        model, rows.tolist(), sampling=sampling, max_tokens=DIGITS + 1, eos=[EOS], pad=PAD,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    shape = (len(prompts), samples, -1)
    right = correct(rows, found.response).view(len(prompts), samples)
    return Said(prompts, found.response.view(shape), found.mask.view(shape), right)


def greedy_accuracy(model: Decoder) -> float:
    """How often the likeliest answer to a prompt held out is right."""
    return float(said(model, split(DIGITS).held_out[:HELD], 1, GREEDY, 0).right.mean())


def sampled_accuracy(model: Decoder) -> float:
    """How often a sample is."""
    return float(said(model, split(DIGITS).held_out[:HELD], 1, Sampling(), 0).right.mean())


@cache
def taught(seed: int = 0) -> Decoder:
    """The model that imitates the teacher, never to be written to."""
    torch.set_num_threads(1)  # faster for so small a model
    draw = torch.Generator().manual_seed(seed)
    model = sloppy_teacher.taught(DIGITS, generator=draw, settings=TEACHING)
    return model.requires_grad_(False)


@cache
def comparisons(seed: int = 0, held_out: bool = False) -> Comparisons:
    """A right sample and a wrong one, of each prompt for which there are both."""
    rows = split(DIGITS).held_out[:HELD] if held_out else split(DIGITS).train[:PROMPTS]
    found = said(taught(seed), rows, SAMPLES, Sampling(), seed + 1)
    both = (found.right.amax(1) > 0) & (found.right.amin(1) == 0)
    sides = []
    for which in (found.right.argmax(1), found.right.argmin(1)):
        place = both.nonzero()[:, 0], which[both]
        sides.append(with_padding(found.prompts[both], found.response[place], found.mask[place]))
    return Comparisons(*sides)


def with_padding(prompts: Tensor, answers: Tensor, present: Tensor) -> Batch:
    """Rows of prompt and answer; what comes after the answer's end is padding."""
    batch, begin = answered(prompts, answers), prompts.shape[1]
    mask, segments = batch.mask.clone(), batch.segments.clone()
    mask[:, begin:], segments[:, begin:] = present, torch.where(present, 0, -1)
    return Batch(batch.tokens, segments, mask)


def turned(pairs: Comparisons, share: float, *, generator: torch.Generator) -> Comparisons:
    """The pairs with about such a share turned round: wrong labels."""
    wrong = torch.rand(len(pairs.chosen.tokens), 1, generator=generator) < share
    columns = list(zip(*pairs, strict=True))
    chosen, rejected = (
        Batch(*(torch.where(wrong, pair[1 - i], pair[i]) for pair in columns)) for i in (0, 1)
    )
    return Comparisons(chosen, rejected)


# ------------------------------------------------------------------------------- a run


class Run(NamedTuple):
    """A way of learning from pairs.

    step, greedy                  (n,)  held-out greedy accuracy, before the first step and on
    loss, accuracy, chosen,
    rejected                      (n - 1,)  means over the steps between, as in PreferenceStep
    sampled, ordered              at the end: sampled accuracy, held-out pairs with a margin above 0
    """

    step: Floats
    greedy: Floats
    loss: Floats
    accuracy: Floats
    chosen: Floats
    rejected: Floats
    sampled: float
    ordered: float


def learn(way: Way, seed: int, settings: Settings = LEARNING) -> tuple[Decoder, Run]:
    """A copy of the taught model, after learning from its pairs."""
    reference, pairs = taught(seed), comparisons(seed)
    if way.noise:
        pairs = turned(pairs, way.noise, generator=torch.Generator().manual_seed(seed + 2))
    model = copy.deepcopy(reference).requires_grad_(True)
    greedy = [greedy_accuracy(model)]

    def look(done: int, steps: int, losses: Floats) -> None:
        if done % EVERY == 0:
            greedy.append(greedy_accuracy(model))

    steps = train_on_comparisons(
        model, reference, pairs, way.loss, settings, sft_weight=way.sft, progress=look,
        generator=torch.Generator().manual_seed(seed + 3),
    )  # fmt: skip
    return model, Run(
        EVERY * np.arange(len(greedy), dtype=np.float64), np.array(greedy), *blocks(steps),
        sampled_accuracy(model), ordered(model, reference, seed),
    )  # fmt: skip


def blocks(steps: list[PreferenceStep]) -> tuple[Floats, Floats, Floats, Floats]:
    """Each column's means over EVERY steps."""
    whole = np.array(steps)[: len(steps) // EVERY * EVERY].reshape(-1, EVERY, 4).mean(1)
    loss, accuracy, chosen, rejected = whole.T
    return loss, accuracy, chosen, rejected


def ordered(model: Decoder, reference: Decoder, seed: int) -> float:
    """The share of held-out pairs whose margin is above 0."""
    own, ref = (
        [log_probs_of(m, side) for side in comparisons(seed, held_out=True)]
        for m in (model, reference)
    )
    return float((dpo.preference_margin(*own, *ref) > 0).double().mean())


class Live(NamedTuple):
    """One run on the page; prompts, and what was answered most likely before and after."""

    run: Run
    prompts: list[str]
    before: list[str]
    after: list[str]
    pairs: int


@cache
def data_live(way: str = "dpo_sft", seed: int = 0) -> Live:
    """A way, learned here and now."""
    model, run = learn(WAYS[way], seed)
    prompts = split(DIGITS).held_out[:6]
    before, after = (
        [sloppy_teacher.text(a[m]) for a, m in zip(x.response[:, 0], x.mask[:, 0], strict=True)]
        for x in (said(m, prompts, 1, GREEDY, 0) for m in (taught(seed), model))
    )
    asked = [sloppy_teacher.text(x) for x in prompts]
    return Live(run, asked, before, after, len(comparisons(seed).chosen.tokens))


def table_of_answers(data: Live) -> str:
    """Prompts that were held out, and the likeliest answers before and after."""
    lines = [f"{'prompt':10} {'before':10} after"]
    for row in zip(data.prompts, data.before, data.after, strict=True):
        lines.append("{:10} {:10} {}".format(*row))
    return "\n".join(lines)


def draw_run(run: Run) -> Picture:
    """How often pairs are ordered rightly, and the likeliest answer is right, over the steps."""
    figure, axes = panel("the run on this page", (4.0, 2.6))
    middle = (run.step[1:] + run.step[:-1]) / 2
    axes.plot(middle, run.accuracy, "--", color=OCHRE, label="pairs ordered rightly")
    axes.plot(run.step, run.greedy, color=BLUE, label="likeliest answer is right")
    axes.set(xlabel="step", ylim=(-0.03, 1.03))
    axes.legend(loc="lower right")
    return as_picture(
        figure,
        f"Over the steps the share of likeliest answers that are right goes from"
        f" {run.greedy[0]:.2f} to {run.greedy[-1]:.2f}; nearly all pairs are soon ordered rightly.",
    )


# ------------------------------------------------------------------------------- recorded


def recorded_ways() -> dict[str, Any]:
    """Each way with each seed: curves (K, n), and numbers at the end (K,)."""
    runs: dict[str, list[Run]] = {name: [] for name in WAYS}
    for seed in range(SEEDS):
        for name, way in WAYS.items():
            runs[name].append(learn(way, seed)[1])
            print(seed, name, *runs[name][-1].greedy[[0, -1]], flush=True)
    return {name: together(found) for name, found in runs.items()}


def together(runs: list[Run]) -> dict[str, Any]:
    """Runs of several seeds as plain rounded lists."""
    columns = zip(Run._fields, zip(*runs, strict=True), strict=True)
    return {name: np.round(np.array(column), 4).tolist() for name, column in columns}


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"ways": recorded_ways}
RECORDED_MODULES = (
    "rlcourse.alignment.descent",
    "rlcourse.alignment.dpo",
    "rlcourse.alignment.preference_training",
    "rlcourse.alignment.sloppy_teacher",
)


def ends(way: dict[str, Any]) -> Floats:
    """The greedy accuracies at the end, (K,), of a recorded way."""
    return np.array(way["greedy"])[:, -1]


def labelled(noisy: bool = False) -> list[str]:
    """The ways that learn from right labels; or those from noisy ones."""
    return [name for name, way in WAYS.items() if bool(way.noise) == noisy]


def range_of_ends(ways: dict[str, Any]) -> tuple[float, float]:
    """The lowest and the highest greedy accuracy at the end, means over seeds, of right labels."""
    means = [float(ends(ways[name]).mean()) for name in labelled()]
    return min(means), max(means)


def least_ordered(ways: dict[str, Any], noisy: bool = False) -> float:
    """The least share of held-out pairs in order, a mean over seeds, of right or noisy labels."""
    return min(float(np.mean(ways[name]["ordered"])) for name in labelled(noisy))


def chosen(way: dict[str, Any]) -> Floats:
    """log π/π_ref of the chosen over the steps, means over seeds, (n - 1,)."""
    found: Floats = np.array(way["chosen"]).mean(0)
    return found


# ------------------------------------------------------------------------------- pictures

CURVES = {"dpo": (RED, "--"), "dpo_half": (OCHRE, "-."), "dpo_sft": (BLUE, "-")}


def draw_displacement(ways: dict[str, Any]) -> Picture:
    """log π/π_ref of the chosen, pair accuracy and greedy accuracy over the steps."""
    figures = []
    for title, field in (
        ("chosen: log π/π_ref", "chosen"),
        ("rejected: log π/π_ref", "rejected"),
        ("pairs ordered rightly", "accuracy"),
        ("likeliest answer is right", "greedy"),
    ):
        figure, axes = panel(title, (3.4, 2.5))
        for name, (colour, look) in CURVES.items():
            draw_band(axes, ways[name], field, colour, look, WAYS[name].name)
        axes.set(xlabel="step")
        if field == "chosen":
            axes.axhline(0, color="#000000", linewidth=0.6)
        if field == "accuracy":
            axes.legend(fontsize=7.5, loc="lower right")
        figures.append(figure)
    words = ", ".join(f"{WAYS[name].name} {ends(ways[name]).mean():.2f}" for name in CURVES)
    return as_picture(
        figures,
        "Four curves over the steps for DPO at β = 0.1, at β = 0.5 and with an SFT term. All order"
        " the pairs at once, and push the rejected answers down. The chosen fall below the"
        f" reference without the SFT term and rise with it. Right in the end: {words}.",
    )


def draw_band(
    axes: Any, way: dict[str, Any], field: str, colour: str, look: str, label: str
) -> None:
    """A curve's mean over seeds, and the band from the least to the greatest."""
    y = np.array(way[field])
    x = np.array(way["step"])[0]
    x = x if y.shape[1] == len(x) else (x[1:] + x[:-1]) / 2
    axes.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, y.mean(0), color=colour, linestyle=look, label=label)


def draw_ends(ways: dict[str, Any]) -> Picture:
    """Greedy accuracy in the end for each loss, each seed a dot."""
    names = labelled()
    figure, axes = panel("likeliest answer is right, after the last step", (4.6, 3.2))
    for row, name in enumerate(names):
        draw_dots(axes, row, ends(ways[name]))
    axes.set_yticks(range(len(names)), [WAYS[name].name for name in names])
    axes.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5))
    words = ", ".join(f"{WAYS[name].name}: {ends(ways[name]).mean():.2f}" for name in names)
    return as_picture(figure, f"Accuracy of the likeliest answer, each seed a dot. {words}.")


DOTS = zip("osDv^<>P", (RED, OCHRE, BLUE, GREEN, PURPLE, RED, OCHRE, BLUE), strict=True)
MARKS = dict(zip(labelled(), DOTS, strict=True))


def draw_kept(ways: dict[str, Any]) -> Picture:
    """Greedy accuracy over log π/π_ref of the chosen, both at the end: a dot a seed."""
    figure, axes = panel("who keeps the chosen answers", (4.4, 3.2))
    for name, (mark, colour) in MARKS.items():
        kept = np.array(ways[name]["chosen"])[:, -1]
        label = WAYS[name].name.replace(", and SFT", " + SFT")
        axes.plot(kept, ends(ways[name]), mark, color=colour, alpha=0.8, ms=5, label=label)
    axes.axvline(0, color="#000000", linewidth=0.6)
    axes.set(xlabel="chosen: log π/π_ref, last steps", ylabel="likeliest answer is right")
    axes.legend(fontsize=7, handletextpad=0.1)
    return as_picture(
        figure,
        "Each run a dot: the log-ratio of the chosen answers in the last steps, and how often the"
        " likeliest answer is right. Where the chosen answers are above the reference, nearly all"
        " is right; where they are below, half of it at most.",
    )


def draw_noisy(ways: dict[str, Any]) -> Picture:
    """What wrong labels do to three losses: held-out pairs in order, and greedy accuracy."""
    names, figures = labelled(noisy=True), []
    for title, values in (
        ("held-out pairs in order", lambda way: np.array(way["ordered"])),
        ("likeliest answer is right", ends),
    ):
        figure, axes = panel(title, (3.5, 1.8))
        for row, name in enumerate(names):
            draw_dots(axes, row, values(ways[name]))
        axes.set_yticks(range(len(names)), [WAYS[name].name.split(",")[0] for name in names])
        axes.set(ylim=(len(names) - 0.5, -0.5))
        figures.append(figure)
    words = ", ".join(
        f"{WAYS[n].name} {np.mean(ways[n]['ordered']):.3f} and {ends(ways[n]).mean():.2f}"
        for n in names
    )
    return as_picture(
        figures, f"Held-out pairs in order and greedy accuracy with wrong labels: {words}."
    )


def draw_dots(axes: Any, row: int, values: Floats) -> None:
    """A row of dots, and a bar at their mean."""
    axes.plot(values, np.full(len(values), row), "o", color=BLUE, alpha=0.8, ms=5)
    axes.plot([values.mean()], [row], "|", color=RED, ms=14, mew=2)
