"""Figures of the chapter on ZeRO: what training keeps, over ranks, recipes and cuts.

Shapes: n points of a curve, W ranks. Bytes are of one rank, where nothing else is said.
"""

from typing import Any, NamedTuple

from matplotlib.axes import Axes

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.systems.zero import CUTS, GB, RECIPES, Recipe, States, shares, states

EXAMPLE = 7_500_000_000  # the paper's figure 1
CARD = 80 * GB
STAGES = (0, 1, 2, 3)
OWNERS = {  # what bytes belong to; the letter stands in its bar
    "weights": (BLUE, "w"),
    "gradients": (RED, "g"),
    "master": (OCHRE, "m"),
    "moments": (GREEN, "o"),
    "activations": (PURPLE, "a"),
    "logits": (GREY, "l"),
}
LINES = ((RED, "-"), (OCHRE, "--"), (GREEN, "-."), (BLUE, ":"))  # of stages 0 to 3


def of_stages(parameters: int, ranks: int, recipe: Recipe) -> list[States]:
    """What one rank holds under each stage, the flat cut."""
    return [states([[parameters]], recipe, ranks, stage)[0] for stage in STAGES]


# ------------------------------------------------------------------------------- the question


class Question(NamedTuple):
    """Bytes of the paper's example: weights to run it, states to train it, and 64 ranks' worth."""

    run: int
    train: States
    held: int


def data_question(ranks: int = 64) -> Question:
    """Of 7.5 G parameters in bf16 Adam; all ranks together hold W times the same."""
    train = of_stages(EXAMPLE, ranks, RECIPES["bf16 Adam"])[0]
    return Question(train.weights, train, ranks * train.total)


def draw_question(data: Question) -> Picture:
    """The model fits on the card, its training doesn't, and more ranks hold more of the same."""
    left, axes = panel("7.5 G parameters, one card", (3.6, 2.4))
    draw_stack(axes, 1, {"weights": data.run})
    draw_stack(axes, 0, data.train._asdict())
    axes.set_yticks([1, 0], ["to run", "to train"])
    axes.axvline(CARD / GB, color="#000000", linewidth=1, linestyle=":")
    axes.annotate("80 GB", (CARD / GB, 1.42), (3, -4), textcoords="offset points", fontsize=7.5)
    axes.set(xlabel="GB", ylim=(-1.15, 1.5))
    axes.legend(*legend_of(axes), ncols=2, fontsize=7, loc="lower right")
    right, axes = panel("64 cards, each the same", (3.6, 2.4))
    rows = [data.held / GB, data.train.total / GB]
    bars = axes.barh([1, 0], rows, 0.55, color=[RED, GREEN])
    axes.bar_label(bars, [f"{x:,.0f} GB" for x in rows], padding=4, fontsize=8)
    axes.set_yticks([1, 0], ["held", "different"])
    axes.set(xlabel="GB", xlim=(0, 1.35 * rows[0]), ylim=(-0.6, 1.6))
    for each in (left, right):
        each.axes[0].grid(axis="y", visible=False)
    return picture(
        [left, right],
        f"Weights alone take {data.run / GB:.0f} GB and fit on a card of 80 GB; with gradients,"
        f" master weights and moments it is {data.train.total / GB:.0f} GB, which don't. 64 cards"
        f" hold {data.held / GB:.0f} GB, of which {data.train.total / GB:.0f} GB are different.",
    )


def draw_stack(axes: Axes, y: float, parts: dict[str, int], whole: float = CARD) -> None:
    """One bar of the parts, in GB, from left to right; a letter where it fits, of `whole` bytes."""
    start = 0.0
    for name, size in parts.items():
        colour, letter = OWNERS[name]
        if size:
            axes.barh(y, size / GB, 0.55, start, color=(colour, 0.6), edgecolor=colour,
                      label=f"{letter}: {name}")  # fmt: skip
        if size > 0.03 * whole:
            axes.annotate(letter, (start + size / GB / 2, y), ha="center", va="center", fontsize=8)
        start += size / GB


def legend_of(axes: Axes) -> tuple[list[Any], list[str]]:
    """Each label of the axes once."""
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    return list(found.values()), list(found)


# ------------------------------------------------------------------------------- over the ranks


def data_states(
    parameters: int = EXAMPLE, recipe: str = "bf16 Adam", most: int = 1024
) -> tuple[list[int], list[list[int]]]:
    """Ranks 1, 2, 4, ... and, for each stage, bytes over them."""
    ranks = [2**i for i in range(most.bit_length())]
    found = [of_stages(parameters, w, RECIPES[recipe]) for w in ranks]
    return ranks, [[held[stage].total for held in found] for stage in STAGES]


def draw_states(data: tuple[list[int], list[list[int]]]) -> Picture:
    """Bytes per rank over W, both logarithmic, with the card's line."""
    ranks, of = data
    figure, axes = panel("What each rank keeps, 7.5 G parameters", (4.6, 3.0))
    for stage, held, (colour, line) in zip(STAGES, of, LINES, strict=True):
        gigabytes = [x / GB for x in held]
        axes.loglog(ranks, gigabytes, line, color=colour, label=f"stage {stage}")
        if stage < 3:
            axes.annotate(f"{gigabytes[-1]:.0f}", (ranks[-1], gigabytes[-1]), (4, -3),
                          textcoords="offset points", fontsize=7.5, color=colour)  # fmt: skip
    axes.axhline(CARD / GB, color="#000000", linewidth=0.9, linestyle=(0, (1, 3)))
    axes.annotate("the card's 80 GB", (ranks[-1], CARD / GB), (0, -10), fontsize=7.5,
                  ha="right", textcoords="offset points")  # fmt: skip
    axes.set_xticks(ranks[::2], [str(w) for w in ranks[::2]])
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.minorticks_off()
    axes.set(xlabel="ranks W", ylabel="GB per rank")
    axes.legend(loc="lower left", fontsize=7.5)
    return picture(
        figure,
        "Over the ranks stage 0 stays at 120 GB, stages 1 and 2 fall and level off at what they"
        f" leave whole, {of[1][-1] / GB:.0f} and {of[2][-1] / GB:.0f} GB with {ranks[-1]} ranks."
        f" Stage 3 falls as 1/W, to {of[3][-1] / GB:.2f} GB.",
    )


def table_of_recipes(parameters: int = EXAMPLE, ranks: int = 64) -> Tables:
    """Bytes a parameter of each recipe, and GB per rank under stages 0 to 3."""
    rows: Rows = [("recipe", "w", "g", "k", "all", *(f"stage {i}" for i in STAGES))]
    for name, recipe in RECIPES.items():
        held = [x.total for x in of_stages(parameters, ranks, recipe)]
        kept = recipe.master + recipe.moments + (8 / recipe.block if recipe.block else 0)
        each = recipe.weights, recipe.gradients, kept, recipe.weights + recipe.gradients + kept
        rows.append((name, *(f"{x:.5g}" for x in each), *(f"{x / GB:.2f}" for x in held)))
    return Tables("Bytes a parameter, then GB per rank:", (rows,))


def draw_budget(
    billions: float = 7.5, ranks: int = 64, recipe: str = "bf16 Adam", card: int = 80
) -> Picture:
    """Four stacked bars, one a stage, and the card's line."""
    figure, axes = panel(f"{billions:g} G parameters, {ranks} ranks, {recipe}", (4.8, 2.7))
    held = of_stages(round(billions * GB), ranks, RECIPES[recipe])
    whole = max(card * GB, held[0].total)
    for stage, parts in zip(STAGES, held, strict=True):
        draw_stack(axes, -stage, parts._asdict(), whole)
        axes.annotate(f"{parts.total / GB:.2f}", (parts.total / GB, -stage), (4, -3),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.set_yticks([-x for x in STAGES], [f"stage {x}" for x in STAGES])
    axes.axvline(card, color="#000000", linewidth=1, linestyle=":")
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="GB per rank", xlim=(0, 1.2 * whole / GB))
    axes.legend(*legend_of(axes), fontsize=7, loc="lower right")
    words = ", ".join(f"{x.total / GB:.2f}" for x in held)
    return picture(figure, f"GB per rank under stages 0 to 3: {words}; the card has {card}.")


# ------------------------------------------------------------------------------- three cuts


def data_cuts(shapes: list[list[int]], ranks: int) -> dict[str, list[int]]:
    """Cut -> elements of each rank, padding included."""
    return {cut: shares(shapes, ranks, cut) for cut in CUTS}


def draw_cuts(data: dict[str, list[int]]) -> Picture:
    """Elements of each rank, one panel a cut, with the mean as a line."""
    panels = []
    top = 1.15 * max(max(held) for held in data.values()) / 1e6
    mean = sum(data["whole"]) / len(data["whole"]) / 1e6
    for cut, held in data.items():
        figure, axes = panel(f'"{cut}": at most {max(held):,}', (2.7, 2.1))
        axes.bar(range(len(held)), [x / 1e6 for x in held], 0.6, color=BLUE)
        axes.axhline(mean, color="#000000", linewidth=0.9, linestyle=":")
        axes.set(xlabel="rank", ylabel="million elements", ylim=(0, top))
        axes.set_xticks(range(len(held)))
        axes.grid(axis="x", visible=False)
        panels.append(figure)
    words = "; ".join(f"{cut}: {', '.join(map(str, held))}" for cut, held in data.items())
    return picture(panels, f"Elements that each rank holds. {words}.")
