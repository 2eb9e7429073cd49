"""A training step over time, in the chapter on ZeRO: bytes by owner, and where the peak is."""

from contextlib import nullcontext
from dataclasses import replace

import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.language.checkpoints import read_config
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.systems.memory_advice import advice
from rlcourse.systems.memory_counter import MemoryCounter
from rlcourse.systems.memory_timeline import Moment, peak
from rlcourse.systems.saved_tensors import checkpointed
from rlcourse.systems.training_memory import CARDS, Plan, fits, peak_of, timeline_of
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
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "max_position_embeddings": 256,
}
SHAPES = ((2, 16), (4, 100))


def table_of_peaks() -> Tables:
    """Two steps of a small decoder in float32, counted operation by operation; live."""
    rows: Rows = [("B × N", "layers", "step", "timeline", "counted", "off", "at")]
    count_steps(Plan(CONFIG, tokens=2))  # a process's first run makes a few bytes that stay
    for batch, tokens in SHAPES:
        for checkpointing in (False, True):
            plan = Plan(CONFIG, batch, tokens, recipe="fp32 Adam", checkpointing=checkpointing)
            words = f"{batch} × {tokens}", "recomputed" if checkpointing else "kept"
            for step, counted in enumerate(count_steps(plan)):
                most = peak(timeline_of(plan, first=not step))
                sizes = f"{most.total:,}", f"{counted:,}", str(counted - most.total)
                rows.append((*words, str(step + 1), *sizes, most.name))
    return Tables("Bytes at the peak of a step:", (rows,))


def count_steps(plan: Plan, steps: int = 2) -> list[int]:
    """The peak of each step, from the storages that were alive: weights, moments and all."""
    model = Decoder(read_config(plan.config), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    found = []
    with MemoryCounter() as counter, checkpointed(model) if plan.checkpointing else nullcontext():
        counter.add(model.parameters())
        inputs = torch.zeros(plan.batch, plan.tokens, dtype=torch.int64)
        targets = torch.zeros(plan.batch * plan.tokens, dtype=torch.int64)
        for _ in range(steps):
            counter.mark()
            loss = cross_entropy(model(inputs).flatten(0, 1), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            del loss
            found.append(counter.peak)
    return found
