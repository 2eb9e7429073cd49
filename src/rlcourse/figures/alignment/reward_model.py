"""Figures of the chapter on reward models: learned from comparisons, then maximised for too long.

Shapes: P prompts, Y answers of each; curves have a point a strength β, or a number of samples n.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from rlcourse.alignment import optimum
from rlcourse.alignment import reward_model as rm
from rlcourse.alignment import sloppy_teacher as task
from rlcourse.figures.alignment import comparisons as made
from rlcourse.plot import BLUE, GREEN, GREY, HALF, LOOKS, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

BETAS = (4.0, 2.0, 1.0, 0.7, 0.5, 0.35, 0.25, 0.12, 0.06, 0.03, 0.015, 0.007)
NS = tuple(2**k for k in range(17))
SIZES, SEEDS, PROMPTS = (1000, 3000, 10_000), range(3), 24
SHARES = {0: RED, 1: OCHRE, 2: BLUE, 3: GREEN}  # colours by how many places are right


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
    axes.set(xlabel="KL from π_ref, nats", ylabel="quality", ylim=(0.8, 4.2))
    axes.legend(loc="lower left")
    right, axes = panel("gold, by how many pairs are drawn", HALF)
    looks = zip(record["sizes"].items(), (OCHRE, BLUE, PURPLE), LOOKS, strict=False)
    for (name, each), colour, look in looks:
        for way, width in (("tilted", 1.8), ("best_of_n", 0.9)):
            x, y = means(each, way, "kl").mean(0), means(each, way, "gold").mean(0)
            label = f"{int(name):,}".replace(",", " ") if way == "tilted" else None
            axes.plot(x, y, look, color=colour, linewidth=width, label=label)
    axes.set(xlabel="KL from π_ref, nats", ylim=(0.8, 4.2))
    axes.legend(loc="lower left", title="thick: tilted, thin: best of n")
    return as_picture(
        [left, right],
        "Left: over the KL from the reference the proxy keeps rising; the true quality rises with"
        " it, turns at about 2 nats, and falls. Maximising the truth leads to 4. Right: the more"
        " comparisons, the higher the true quality rises and the later it falls.",
    )


# ------------------------------------------------------------------------------- the flagship


class Optimised(NamedTuple):
    """The best of n for each of `NS`: the curve, and policies and rewards of one prompt (Y,)."""

    curve: Curve
    prompt: Tensor
    answers: list[str]
    policies: list[Floats]
    rewards: Floats
    right: list[int]


@cache
def data_optimised(which: int = 0) -> Optimised:
    """Of the live run, with one of its prompts."""
    rewards = made.data_learned().rewards
    world = made.world(len(rewards))
    size = rewards.shape[1]
    rows = world.rows.tokens.view(len(rewards), size, -1)[which]
    own, ref = rewards[which], world.log_ref[which]
    policies = [optimum.best_of_n_policy(ref, own, n).exp().numpy() for n in NS]
    return Optimised(
        best_of_n_curve(world, rewards),
        rows[0, : made.DIGITS],
        [task.text(row) for row in rows[:, made.DIGITS + 1 : -1]],
        policies,
        (own - optimum.expected(ref, own)).numpy(),
        [round(float(q) * made.DIGITS / made.BEST) for q in world.quality[which]],
    )


def likeliest(data: Optimised, i: int, most: int) -> list[int]:
    """The places of the likeliest answers of the best of NS[i], the likeliest first."""
    return [int(y) for y in np.argsort(-data.policies[i], kind="stable")[:most]]


def _moving(data: Optimised, i: int, most: int) -> list[Any]:
    """The traces that a frame changes: two dots on the curves, and the bars."""
    kl, proxy, gold = (column[i] for column in data.curve)
    chosen = likeliest(data, i, most)[::-1]
    dots = go.Scatter(
        x=[kl, kl], y=[proxy, gold], mode="markers", hoverinfo="skip",
        marker={"size": 12, "color": [RED, BLUE]},
    )  # fmt: skip
    bars = go.Bar(
        x=[round(float(data.policies[i][y]), 3) for y in chosen],
        y=list(range(most)), orientation="h", xaxis="x2", yaxis="y2", hoverinfo="skip",
        marker={"color": [SHARES[data.right[y]] for y in chosen], "opacity": 0.8},
        text=[
            f"<b>{data.answers[y]}</b>  {data.right[y]} right, r = {data.rewards[y]:.1f}"
            for y in chosen
        ],
        textposition="outside", cliponaxis=False,
    )  # fmt: skip
    return [dots, bars]


def draw_optimised(data: Optimised, shown: int = 12, most: int = 6) -> go.Figure:
    """One frame a number of samples: where on the curves, and what one prompt is answered."""
    lines = [
        go.Scatter(
            x=data.curve.kl, y=getattr(data.curve, what), name=words, mode="lines",
            line={"color": colour, "width": 3, "dash": dash},
            hovertemplate="KL %{x:.1f}: %{y:.2f}<extra></extra>",
        )
        for what, words, colour, dash in (
            ("proxy", "the reward model says", RED, "dash"),
            ("gold", "the truth is", BLUE, "solid"),
        )
    ]  # fmt: skip
    names = [str(n) for n in NS]
    frames = [
        go.Frame(data=_moving(data, i, most), traces=[2, 3], name=name)
        for i, name in enumerate(names)
    ]
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    steps = [{"label": n, "method": "animate", "args": [[n], still]} for n in names]
    play = {"frame": {"duration": 700, "redraw": True}, "fromcurrent": True}
    figure = go.Figure(data=[*lines, *_moving(data, shown, most)], frames=frames)
    for trace in figure.data[2:]:
        trace.showlegend = False
    figure.update_layout(
        template=go.layout.Template(),
        meta={
            "alt": "Above, over the KL from the reference, the reward model's word rises on and"
            " on while the truth turns and falls. Below, the likeliest answers to one prompt: with"
            " few samples mostly right, with many wrong ones of great reward."
        },
        height=720,
        margin={"l": 45, "r": 10, "t": 10, "b": 0},
        font={"size": 13, "color": GREY},
        legend={"x": 0.02, "y": 0.45, "yanchor": "bottom", "orientation": "v",
                "bgcolor": "rgba(0,0,0,0)"},
        xaxis={"domain": [0, 1], "anchor": "y", "fixedrange": True,
               "title": {"text": "KL from π_ref, nats", "standoff": 4}, "zeroline": False},
        yaxis={"domain": [0.45, 1], "fixedrange": True, "zeroline": False,
               "title": {"text": "quality", "standoff": 4}},
        xaxis2={"domain": [0, 1], "range": [0, 1.9], "anchor": "y2", "visible": False,
                "fixedrange": True},
        yaxis2={"domain": [0, 0.3], "anchor": "x2", "visible": False, "fixedrange": True},
        sliders=[{
            "active": shown, "steps": steps, "x": 0.05, "len": 0.9, "pad": {"t": 40},
            "currentvalue": {"prefix": f"{task.text(data.prompt)}= best of n = ",
                             "xanchor": "center", "font": {"size": 15}},
            "ticklen": 4, "font": {"size": 1, "color": "rgba(0,0,0,0)"},
        }],
        updatemenus=[{
            "type": "buttons", "direction": "left", "x": 0.5, "xanchor": "center",
            "y": 0, "yanchor": "top", "pad": {"t": 115}, "showactive": False,
            "buttons": [
                {"label": "▶ Play", "method": "animate", "args": [None, play]},
                {"label": "❚❚ Pause", "method": "animate", "args": [[None], still]},
            ],
        }],
    )  # fmt: skip
    return figure


# ------------------------------------------------------------------------------- the run


def draw_losses(learned: made.Learned, floor: float, smooth: int = 5) -> Picture:
    """Losses of each step, a mean over some steps, between log 2 and what noise leaves."""
    figure, axes = panel("loss of a comparison", (4.2, 2.6))
    losses = np.array(learned.losses)
    whole = losses[: len(losses) // smooth * smooth].reshape(-1, smooth).mean(1)
    axes.plot(np.arange(len(whole)) * smooth + smooth / 2, whole, color=BLUE)
    axes.axhline(float(np.log(2)), color=GREY, linestyle=":")
    axes.axhline(floor, color=GREEN, linestyle="--")
    end = len(losses)
    axes.text(end, float(np.log(2)) + 0.005, "log 2: all equal", ha="right", va="bottom")
    axes.text(end, floor - 0.008, "the raters' own doubt", ha="right", va="top")
    axes.set(xlabel="step", ylabel="nats", ylim=(floor - 0.12, None))
    return as_picture(
        figure,
        f"The loss begins at log 2 and falls towards {floor:.2f}, the entropy of noisy labels.",
    )


def label_noise(prompts: int = 12) -> float:
    """Mean entropy of held-out labels given both answers, in nats: the least possible loss."""
    p = made.held_out_pairs(prompts).p
    return float(-(p * p.log() + (1 - p) * (1 - p).log()).mean())


class Seen(NamedTuple):
    """Answers of held-out prompts: log π_ref, reward less its mean under π_ref, places right."""

    log_ref: Floats
    reward: Floats
    right: Floats


def data_seen(which: int = 0) -> Seen:
    """All answers of one prompt in the live run."""
    data = data_optimised(which)
    world = made.world(len(made.data_learned().rewards))
    return Seen(world.log_ref[which].numpy(), data.rewards, np.array(data.right))


def draw_seen(data: Seen) -> Picture:
    """Each answer a point: how likely it is, and what it is rewarded."""
    figure, axes = panel("every answer to one prompt", (4.4, 3.0))
    marks = {0: "x", 1: "o", 2: "s", 3: "D"}
    for right, colour in SHARES.items():
        there = np.flatnonzero(data.right == right)[:: 3 if right < 2 else 1]
        axes.plot(
            data.log_ref[there].round(1), data.reward[there].round(2), marks[right], color=colour,
            markersize=3.2 if right < 3 else 8, alpha=0.8, label=f"{right} right",
        )  # fmt: skip
    low = float(data.reward.min()) - 0.9  # room for the legend
    axes.set(xlabel="log π_ref, nats", ylabel="reward", ylim=(low, None))
    axes.legend(loc="lower left", ncols=2, handletextpad=0.1)
    return as_picture(
        figure,
        "Answers by their probability and their reward. Likely ones are rewarded by how many"
        " places are right; among those that are hardly ever drawn, wrong answers reach as high"
        " as right ones.",
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


# ------------------------------------------------------------------------------- best of n


class Estimates(NamedTuple):
    """Gold of the best of n: exact (n,), and estimates (repeats, n), all choices or one."""

    n: Floats
    exact: Floats
    all_choices: Floats
    one_choice: Floats


def data_estimates(
    samples: int = 64, repeats: int = 60, which: int = 0, *, generator: torch.Generator
) -> Estimates:
    """Estimates from so many samples of one prompt, again and again."""
    rewards = made.data_learned().rewards[which]
    world = made.world(len(made.data_learned().rewards))
    ref, q = world.log_ref[which], world.quality[which]
    sizes = [2**k for k in range(samples.bit_length())]
    exact = [float(optimum.expected(optimum.best_of_n_policy(ref, rewards, n), q)) for n in sizes]
    every, one = np.zeros((2, repeats, len(sizes)))
    for i in range(repeats):
        drawn = torch.multinomial(ref.exp(), samples, True, generator=generator)
        r, gold = rewards[drawn], q[drawn]
        every[i] = [float(rm.best_of_n(r, gold, n)) for n in sizes]
        one[i] = [float(gold[r[:n].argmax()]) for n in sizes]
    return Estimates(np.array(sizes), np.array(exact), every, one)


def draw_estimates(data: Estimates) -> Picture:
    """The exact value, and both estimates with their spread."""
    figure, axes = panel("gold of the best of n", (4.2, 2.7))
    axes.plot(data.n, data.exact, color=GREY, label="exact")
    for found, colour, mark, off, words in (
        (data.one_choice, RED, "s", 1.06, "the first n of 64"),
        (data.all_choices, BLUE, "o", 0.94, "all choices of n among 64"),
    ):
        axes.errorbar(
            data.n * off, found.mean(0), found.std(0), fmt=mark, color=colour, markersize=4,
            capsize=2, linewidth=1.2, label=words,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="n", ylabel="quality")
    axes.set_xticks(data.n, [str(int(n)) for n in data.n])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return as_picture(
        figure,
        "Estimates of the best of n lie around the exact value; those of all choices spread far"
        " less than those of the first n samples.",
    )


def table_of_divergences(which: int = 0) -> str:
    """KL of the best of n: exact, and the formula that bounds it."""
    data = data_optimised(which)
    lines = [f"{'n':>6} {'exact':>8} {'log n - (n-1)/n':>17}"]
    for n, kl in list(zip(NS, data.curve.kl, strict=True))[::4]:
        lines.append(f"{n:>6} {kl:>8.2f} {optimum.best_of_n_divergence(n):>17.2f}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------- live


def draw_live(log2_n: int = 4, prompt: int = 0) -> Picture:
    """The likeliest answers of another prompt, with the best of 2^log2_n: for sliders."""
    data = data_optimised(prompt)
    chosen = likeliest(data, NS.index(2**log2_n), 8)
    figure, axes = panel(f"{task.text(data.prompt)}=   best of {2**log2_n}", (4.4, 2.8))
    for i, y in enumerate(chosen):
        p = float(data.policies[NS.index(2**log2_n)][y])
        axes.barh(i, p, color=SHARES[data.right[y]], alpha=0.85)
        axes.text(p + 0.01, i, f"{data.right[y]} right, r = {data.rewards[y]:.1f}", va="center")
    axes.set_yticks(range(len(chosen)), [data.answers[y] for y in chosen])
    axes.set(xlim=(0, 1.45), xlabel="probability")
    axes.invert_yaxis()
    return as_picture(figure, "The likeliest answers of one prompt under the best of n.")


# ------------------------------------------------------------------------------- the hunt


def without_log(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """-σ(h): the bug of the chapter."""
    return -torch.sigmoid(chosen - rejected - margin)


def data_hunt(loss: Callable[[Tensor, Tensor], Tensor]) -> str:
    """What a loss of two rewards teaches in the live run's time."""
    learned = made.data_learned(loss=lambda chosen, rejected, margin: loss(chosen, rejected))
    judged = made.data_judged(learned.rewards)
    sure = sum(judged.pairs[-1:] + judged.pairs[:1]) / sum(judged.pairs)
    return (
        f"accuracy {100 * judged.accuracy:.0f} %, calibration error {100 * judged.error:.1f} %, "
        f"surer than 90 % in {100 * sure:.0f} % of the pairs"
    )


# ------------------------------------------------------------------------------- strengths


def data_strengths(games: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Wins (4, 4) of answers with 0, 1, 2, 3 places right, so many games a pair; their qualities.

    The qualities are less their mean.
    """
    q = torch.arange(4, dtype=torch.double) * made.BEST / made.DIGITS
    p = rm.preference_probability(q[:, None], q[None])
    won = torch.binomial(torch.full_like(p, games), p, generator=generator).triu(1)
    lost = (games - won).triu(1).T
    return won + lost, q - q.mean()


def strengths_after(wins: Tensor, steps: int) -> Tensor:
    """log s after so many steps from equal strengths."""
    s = torch.ones(len(wins), dtype=wins.dtype)
    for _ in range(steps):
        s = rm.updated_strengths(s, wins)
    return s.log()


# ------------------------------------------------------------------------------- recorded


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
    "rlcourse.alignment.reward_model",
    "rlcourse.alignment.reward_network",
    "rlcourse.alignment.optimum",
    "rlcourse.alignment.sloppy_teacher",
    "rlcourse.figures.alignment.comparisons",
)
