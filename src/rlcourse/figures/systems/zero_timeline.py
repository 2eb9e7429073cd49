"""A training step over time, in the chapter on ZeRO: bytes by owner, and where the peak is."""

from dataclasses import replace

import torch
from matplotlib.figure import Figure

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.systems.measured_step import Peaks, counted, predicted
from rlcourse.systems.memory_advice import advice
from rlcourse.systems.memory_timeline import Moment, peak
from rlcourse.systems.training_memory import CARDS, Plan, fits, peak_of, sizes_of, timeline_of
from rlcourse.systems.zero import GB, GIB

OWNERS = {  # what stays lies below
    "optimizer": (GREEN, "o"),
    "weights": (BLUE, "w"),
    "gathered": (OCHRE, "f"),
    "gradients": (RED, "g"),
    "activations": (PURPLE, "a"),
    "working": (GREY, "t"),
}
SMALL = Plan("Llama-3.2-1B", tokens=2048)
LARGE = Plan("Llama-3.1-8B", tokens=4096, ranks=8, stage=3)
WORDS = {
    "gathered": "fetched weights",
    "working": "the operation's own",
    "optimizer": "master, moments",
}


def data_timelines() -> dict[str, list[Moment]]:
    """One rank, each layer kept and each layer recomputed; then eight ranks under stage 3."""
    plans = {
        "1 B, all activations kept": SMALL,
        "1 B, layers recomputed": replace(SMALL, checkpointing=True),
        "8 B, stage 3 on 8 ranks, recomputed": replace(LARGE, checkpointing=True),
    }
    return {name: timeline_of(plan) for name, plan in plans.items()}


def draw_timelines(data: dict[str, list[Moment]]) -> Picture:
    """A panel for each step, from its first moment to its last, the peak marked."""
    top = max(peak(moments).total for moments in data.values()) / GB
    panels = [_panel(title, moments, top) for title, moments in data.items()]
    words = (f"{title}: {peak(m).total / GB:.1f} GB at {peak(m).name}" for title, m in data.items())
    return picture(panels, f"Bytes over the moments of a step. The peak: {'; '.join(words)}.")


def _panel(title: str, moments: list[Moment], top: float) -> Figure:
    figure, axes = panel(title, (3.7, 2.9))
    x = range(len(moments))
    low = [0.0] * len(moments)
    for name, (colour, letter) in OWNERS.items():
        size = [getattr(moment, name) / GB for moment in moments]
        if not any(size):
            continue
        high = [a + b for a, b in zip(low, size, strict=True)]
        label = f"{letter}: {WORDS.get(name, name)}"
        axes.fill_between(x, low, high, step="mid", color=colour, alpha=0.6, lw=0, label=label)
        widest = [i for i in x if size[i] == max(size)]
        if max(size) > 0.07 * top:
            at = widest[len(widest) // 2]
            axes.annotate(letter, (at, (low[at] + high[at]) / 2), ha="center", va="center")
        low = high
    most = peak(moments)
    place = moments.index(most)
    axes.plot(place, most.total / GB, "v", color="#000000", markersize=6)
    side = "left" if place < len(moments) / 2 else "right"
    says, tip = f"{most.total / GB:.1f} GB, {most.name}", (place, most.total / GB)
    axes.annotate(says, tip, (0, 6), textcoords="offset points", ha=side, fontsize=7.5)
    _times(figure, moments)
    axes.set(ylabel="GB", ylim=(0, 1.45 * top), xlim=(-0.5, len(moments) - 0.5))
    axes.legend(fontsize=6.5, ncols=2, loc="upper left")
    return figure


def _times(figure: Figure, moments: list[Moment]) -> None:
    """Where forward, backward and update begin."""
    (axes,) = figure.axes
    kinds = [moment.name.split()[0] for moment in moments]
    begins = {kind: kinds.index(kind) for kind in ("forward", "backward", "update")}
    axes.set_xticks(list(begins.values()), list(begins), ha="left")
    axes.get_xticklabels()[-1].set(ha="right")
    axes.grid(axis="x", visible=False)
    for place in list(begins.values())[1:]:
        axes.axvline(place - 0.5, color="#000000", linewidth=0.7, linestyle=":")


# ------------------------------------------------------------------------------- does it fit


def table_of_advice(plan: Plan, card: str) -> Tables:
    """What to change in a plan so that it fits on a card, and the peak that follows."""
    rows: Rows = [("change", "peak, GiB", "at", "fits")]
    yes = {True: "yes", False: "no"}
    now = peak_of(plan)
    rows.append(("nothing", f"{now.total / GIB:.1f}", now.name, yes[fits(plan, card)]))
    for change in advice(plan, card):
        at = change.peak
        rows.append((change.what, f"{at.total / GIB:.1f}", at.name, yes[fits(change.plan, card)]))
    says = (
        f"{plan.model}, {plan.batch} × {plan.tokens} tokens a rank, {plan.ranks} ranks, stage"
        f" {plan.stage}, {plan.recipe}; {card}, {CARDS[card] / GIB:.1f} GiB:"
    )
    return Tables(says, (rows,))


# ------------------------------------------------------------------------------- measured


CONFIG = {
    "model_type": "llama",
    "vocab_size": 211,
    "hidden_size": 48,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
BATCH, TOKENS = 4, 100
TYPES = {"fp32 Adam": torch.float32, "pure bf16 Adam": torch.bfloat16}


def table_of_peaks() -> Tables:
    """Two steps of a small decoder: the most bytes of each phase, by the timeline; live.

    off: the largest difference of a phase from what was counted, operation by operation.
    """
    rows: Rows = [("recipe", "layers", "step", *Peaks._fields, "off")]
    for recipe, dtype in TYPES.items():
        for checkpointing in (False, True):
            plan = Plan(CONFIG, BATCH, TOKENS, recipe=recipe, checkpointing=checkpointing)
            real = counted(
                sizes_of(CONFIG), BATCH, TOKENS, dtype, checkpointing,
                generator=torch.Generator().manual_seed(0),
            )  # fmt: skip
            words = recipe, "recomputed" if checkpointing else "kept"
            for step, found in enumerate(real):
                phases = predicted(timeline_of(plan, first=not step))
                off = max(abs(a - b) for a, b in zip(phases, found, strict=True))
                rows.append((*words, str(step + 1), *(f"{x:,}" for x in phases), str(off)))
    return Tables(f"{BATCH} × {TOKENS} tokens, bytes:", (rows,))
