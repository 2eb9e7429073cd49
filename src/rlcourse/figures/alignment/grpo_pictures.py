"""Pictures and tables of the chapter on GRPO: its runs, live and recorded.

Shapes: n points of a curve, K seeds.
"""

from typing import Any

import numpy as np

from rlcourse.figures.alignment.grpo import EVERY, LOOKS, OTHERS, WAYS, Run
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats


def table(columns: dict[str, list[str]]) -> str:
    """Named columns of short texts."""
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    return "\n".join("".join(f"{x:10}" for x in row).rstrip() for row in rows)


def draw_run(run: Run) -> Picture:
    """Scores of samples, and how often the likeliest answer to new prompts is right."""
    figure, axes = panel("the run on this page", (4.0, 2.6))
    axes.plot(middles(run.score), run.score, "--", color=OCHRE, label="samples, in training")
    axes.plot(LOOKS[: len(run.greedy)], run.greedy, color=BLUE, label="likeliest answers, held out")
    axes.plot(middles(run.score), run.equal_groups, ":", color=GREY, label="silent groups")
    axes.set(xlabel="iteration", ylim=(-0.03, 1.03), ylabel="share")
    axes.legend(loc="lower right")
    return as_picture(
        figure,
        f"Over the iterations the share of right answers among the likeliest ones goes from"
        f" {run.greedy[0]:.2f} to {run.greedy[-1]:.2f}; that of silent groups grows with it.",
    )


def middles(blocks: Floats) -> Floats:
    """The iterations that means over EVERY of them stand for."""
    found: Floats = EVERY * np.arange(0.5, len(blocks))
    return found


def ends(way: dict[str, Any]) -> Floats:
    """The greedy accuracies at the end, (K,), of a recorded way."""
    return np.array(way["greedy"])[:, -1]


def means(way: dict[str, Any], field: str) -> Floats:
    """A recorded curve, the mean over seeds."""
    found: Floats = np.array(way[field]).mean(0)
    return found


def spread(ways: dict[str, Any]) -> float:
    """How far apart the mean accuracies of the ways are in the end."""
    found = [float(ends(way).mean()) for way in ways.values()]
    return max(found) - min(found)


def seconds(record: dict[str, Any]) -> Floats:
    """Imitation and GRPO together, seconds of one core (K,)."""
    both = record["teaching"]["seconds"], record["ways"]["grpo"]["seconds"]
    found: Floats = np.array(both).sum(0)
    return found


def table_of_ends(ways: dict[str, Any]) -> str:
    """A line a way: mean, least and greatest greedy accuracy over seeds, and samples' mean."""
    lines = [f"{'':12}{'likeliest':>9}  {'range':11}  samples"]
    for name, way in ways.items():
        e, s = ends(way), np.mean(way["sampled"])
        span = f"{e.min():.3f}–{e.max():.3f}"
        lines.append(f"{WAYS[name].name:12}{e.mean():9.3f}  {span:11}  {s:7.3f}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------- pictures

CURVES = {
    "grpo": (RED, "-"), "rloo": (BLUE, "--"), "dr_grpo": (GREEN, "-."), "reinforce": (GREY, ":"),
    "reinforce++": (OCHRE, (0, (5, 1))), "dapo": (OCHRE, "--"), "cispo": (PURPLE, "-."),
    "gspo": (GREEN, ":"),
}  # fmt: skip


def draw_ways(ways: dict[str, Any]) -> Picture:
    """Greedy accuracy over the iterations: other advantages, and other losses."""
    figures = []
    for title, names in (
        ("other advantages", ("grpo", "rloo", "dr_grpo", "reinforce", "reinforce++")),
        ("other losses", ("grpo", "dapo", "cispo", "gspo")),
    ):
        figure, axes = panel(title, (3.5, 2.8))
        for name in names:
            rows = ways[name]["greedy"]
            draw_band(axes, range(len(rows[0])), rows, *CURVES[name], WAYS[name].name)
        axes.set(xlabel="iteration", ylabel="likeliest answer is right", ylim=(-0.03, 1.03))
        axes.set_xticks(range(len(rows[0])), [str(look) for look in LOOKS[: len(rows[0])]])
        axes.legend(loc="lower right")
        figures.append(figure)
    words = ", ".join(f"{WAYS[name].name} {ends(way).mean():.2f}" for name, way in ways.items())
    return as_picture(
        figures,
        "Greedy accuracy on held-out prompts over the iterations. All curves rise steeply from near"
        f" 0 and then slowly. In the end: {words}.",
    )


def draw_band(axes: Any, x: Any, rows: Any, colour: str, look: Any, label: str) -> None:
    """A curve's mean over seeds, and the band from the least to the greatest."""
    y = np.array(rows)
    axes.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, y.mean(0), color=colour, linestyle=look, label=label)


def draw_fooled(others: dict[str, Any]) -> Picture:
    """What the verifier says and what is true, without and with a leash."""
    figures = []
    for name, title in (("fooled", "no leash"), ("leashed", "β = 0.05")):
        way = others[name]
        figure, axes = panel(title, (3.4, 2.6))
        said, true = way["score"], way["greedy"]
        draw_band(axes, middles(np.array(said)[0]), said, RED, "--", "the verifier, in training")
        draw_band(axes, LOOKS[: len(true[0])], true, BLUE, "-", "the truth, held out")
        axes.set(xlabel="iteration", ylabel="share of answers", ylim=(-0.03, 1.03))
        axes.legend(loc="center right")
        figures.append(figure)
    says, truth = (means(others["fooled"], field) for field in ("score", "greedy"))
    return as_picture(
        figures,
        "Two panels over the iterations. Without a leash the verifier's word rises to"
        f" {says[-1]:.2f} and the truth, after a rise to {truth.max():.2f}, falls to"
        f" {truth[-1]:.2f}. With one both are near 1 in the end.",
    )


def draw_entropy(others: dict[str, Any]) -> Picture:
    """Entropy a token and the share of ratios beyond 0.2, by the upper bound of the clip."""
    figures = []
    for field, title in (("entropy", "entropy, nats a token"), ("clipped", "ratios off by > 0.2")):
        figure, axes = panel(title, (3.4, 2.5))
        for name, colour, look in (("clipped", BLUE, "-"), ("higher", OCHRE, "--")):
            rows = others[name][field]
            draw_band(axes, middles(np.array(rows)[0]), rows, colour, look, OTHERS[name].name)
        axes.set(xlabel="iteration", ylim=(0, None))
        axes.legend()
        figures.append(figure)
    last = [np.array(others[name]["entropy"])[:, -1].mean() for name in ("clipped", "higher")]
    return as_picture(
        figures,
        "Entropy falls over the iterations with both bounds, and most of it in the first few: to"
        f" {last[0]:.3f} and {last[1]:.3f} nats a token.",
    )
