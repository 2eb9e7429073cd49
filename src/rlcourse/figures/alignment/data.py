"""Figures of the chapter on data: batches padded and packed, who sees whom, and a fine-tuning.

The task: the user sends a verse or some, the assistant names the book they stand in. The model is
the psalmist, which has read the books and never answered a question.
Shapes: B rows, T tokens of a row.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from rlcourse.alignment.data import Sample, Targets
from rlcourse.alignment.packing import Batch, Packing, pack, packed_batch, padded_batch
from rlcourse.alignment.sft import fine_tune
from rlcourse.alignment.templates import CHATML, render, template_sample
from rlcourse.figures.language.psalmist import psalmist
from rlcourse.language.decoding import generate
from rlcourse.language.masks import causal_mask, packed_mask, packed_positions
from rlcourse.language.sampling import GREEDY, sampled_log_probs
from rlcourse.language.text import BOOKS, chapters
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREY, LOOKS, OCHRE, PALETTE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

Rule = Callable[[Tensor, Tensor], Targets]
LENGTHS = (1, 1, 3, 1, 2, 1, 6)  # verses of a passage
RATE = 2e-3
END = "<|im_end|>"
WINDOW = 256  # tokens of a packed row: longer conversations are left out
WAYS = {
    "as it should": (BLUE, LOOKS[0]),
    "mask not shifted": (RED, LOOKS[1]),
    "prompts learned too": (OCHRE, LOOKS[2]),
}


# ------------------------------------------------------------------------------- the task


class Asked(NamedTuple):
    """A passage and the book it stands in."""

    text: str
    book: str


@cache
def asked(held_out: bool, every: int = 10) -> tuple[Asked, ...]:
    """Passages of the chapters that the psalmist learned from, or of those held out from it.

    Every chapter is cut into passages of 1, 1, 3, 1, 2, 1, 6 verses, again and again.
    """
    found, number = [], 0
    for book in BOOKS:
        for verses in chapters(book):
            number += 1
            if (number % every == 0) == held_out:
                found += [Asked(text, book) for text in passages(verses)]
    return tuple(found)


def passages(verses: Sequence[str]) -> list[str]:
    """Pieces of a chapter, of unequal length."""
    sizes = itertools.accumulate(itertools.cycle(LENGTHS), initial=0)
    cuts = list(itertools.takewhile(lambda x: x < len(verses), sizes))
    return [" ".join(verses[i:j]) for i, j in itertools.pairwise([*cuts, len(verses)])]


def messages(question: Asked) -> list[dict[str, str]]:
    """The conversation: a passage, and the name of its book."""
    return [
        {"role": "user", "content": question.text},
        {"role": "assistant", "content": question.book},
    ]


def chosen(questions: Sequence[Asked], n: int, seed: int) -> list[Asked]:
    """So many of them, drawn without replacement."""
    order = torch.randperm(len(questions), generator=torch.Generator().manual_seed(seed))
    return [questions[i] for i in order[:n].tolist()]


@cache
def conversations(n: int = 2000, seed: int = 0) -> tuple[Sample, ...]:
    """Samples to learn from that fit the window."""
    encode = psalmist().tokenizer.encode
    found = (template_sample(CHATML, messages(q), encode) for q in chosen(asked(False), n, seed))
    return tuple(x for x in found if len(x.tokens) <= WINDOW)


def held_out(n: int) -> list[Asked]:
    """Passages to ask for, of chapters that the model has never seen."""
    fit = [q for q in asked(True) if len(psalmist().tokenizer.encode(q.text)) < WINDOW - 16]
    return chosen(fit, n, seed=1)


# ------------------------------------------------------------------------------- the layouts


class Layouts(NamedTuple):
    """One batch padded and packed, and the share of its cells that hold no token."""

    padded: Batch
    packed: Batch
    wasted: tuple[float, float]


def data_layouts(n: int = 12, capacity: int = WINDOW, seed: int = 0) -> Layouts:
    """So many conversations, in rows of their own and in rows of `capacity` tokens."""
    samples = conversations(400)[seed * n : (seed + 1) * n]
    both = padded_batch(samples), packed_batch(samples, capacity)
    padded, packed = (float((x.segments < 0).float().mean()) for x in both)
    return Layouts(*both, (padded, packed))


def draw_layouts(data: Layouts) -> Picture:
    """Each conversation a bar, the answers at their ends dark; padding is hatched."""
    figures = []
    width = max(data.padded.tokens.shape[1], data.packed.tokens.shape[1])
    most = len(data.padded.tokens)
    for name, batch, wasted in zip(("padded", "packed"), data[:2], data.wasted, strict=True):
        rows, size = batch.tokens.shape
        figure, axes = panel(f"{name}: {rows} rows, {100 * wasted:.0f}% padding", (3.5, 2.6))
        for b in range(rows):
            used = int((batch.segments[b] >= 0).sum())
            rest = Rectangle((used, b - 0.4), size - used, 0.8, fill=False, ec=GREY, hatch="////")
            axes.add_patch(rest)
            for i in sorted({*batch.segments[b].tolist()} - {-1}):
                t = (batch.segments[b] == i).nonzero()[:, 0]
                answer = (batch.mask[b] & (batch.segments[b] == i)).nonzero()[:, 0]
                for span, alpha in ((t, 0.45), (answer, 1.0)):
                    begin, count = int(span[0]), len(span)
                    colour = PALETTE[i % 5]
                    axes.add_patch(
                        Rectangle((begin, b - 0.4), count, 0.8, color=colour, alpha=alpha)
                    )
        axes.set(xlim=(0, width), ylim=(most - 0.5, -0.5), xlabel="token", ylabel="row")
        axes.grid(visible=False)
        figures.append(figure)
    return as_picture(
        figures,
        "The same conversations twice. Padded, each has a row of its own and the rest of the row"
        " is hatched; packed, several share a row and little is left over.",
    )


def draw_packing(
    capacities: Sequence[int] = (192, 224, 256, 320, 384, 512, 768), n: int = 12
) -> go.Figure:
    """The same conversations padded, and packed into rows of each capacity: one a frame."""
    samples = conversations(400)[:n]
    longest = max(len(x.tokens) for x in samples)
    places = {"padded": (longest, Packing([*range(n)], [0] * n))} | {
        str(c): (c, pack([len(x.tokens) for x in samples], c)) for c in capacities if c >= longest
    }

    def frame(name: str) -> go.Frame:
        capacity, (row, offset) = places[name]
        rows = max(row) + 1
        share = 1 - sum(len(x.tokens) for x in samples) / (rows * capacity)
        asked = [int((~x.mask).nonzero()[-1]) for x in samples]  # the newline after the answer
        said = [int(x.mask.sum()) for x in samples]
        colours = [PALETTE[i % len(PALETTE)] for i in range(n)]
        edge = {"width": 1, "color": "rgba(128,128,128,0.6)"}
        layers = (
            (list(range(rows)), [capacity] * rows, [0] * rows, "rgba(128,128,128,0.12)", 1.0),
            (row, [len(x.tokens) for x in samples], offset, colours, 0.5),
            (
                row,
                said,
                [o + a - s for o, a, s in zip(offset, asked, said, strict=True)],
                colours,
                1.0,
            ),
        )
        bars = [
            go.Bar(
                y=[b + 1 for b in y], x=x, base=base, orientation="h", width=0.8, opacity=opacity,
                marker={"color": colour, "line": edge}, hoverinfo="skip", showlegend=False,
            )
            for y, x, base, colour, opacity in layers
        ]  # fmt: skip
        title = f"{rows} rows of {capacity} tokens: {100 * share:.0f}% of them padding"
        return go.Frame(data=bars, name=name, layout={"title": {"text": title}})

    frames = {name: frame(name) for name in places}
    first = frames["256" if "256" in frames else "padded"]
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    steps = [{"label": x, "method": "animate", "args": [[x], still]} for x in frames]
    figure = go.Figure(data=first.data, frames=[*frames.values()])
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        meta={"alt": "Conversations as bars in the rows of a batch; what is grey is padding."},
        title={"text": first.layout.title.text, "x": 0.5, "font": {"size": 15}},
        height=430, barmode="overlay", paper_bgcolor=clear, plot_bgcolor=clear,
        margin={"l": 34, "r": 8, "t": 40, "b": 40}, font={"size": 12, "color": GREY},
        xaxis={
            "title": {"text": "token"}, "range": [0, 780], "fixedrange": True, "showgrid": False
        },
        yaxis={
            "title": {"text": "row"}, "range": [n + 0.6, 0.4], "fixedrange": True, "dtick": 1,
            "showgrid": False, "zeroline": False,
        },
        sliders=[{
            "active": [*frames].index(first.name), "steps": steps, "x": 0.02, "len": 0.96,
            "pad": {"t": 46, "b": 8},
            "currentvalue": {
                "prefix": "tokens of a row: ", "xanchor": "center", "font": {"size": 15}
            },
        }],
    )  # fmt: skip
    return figure


def draw_live(conversations: int = 12, capacity: int = WINDOW, batch: int = 0) -> Picture:
    """Another batch, for sliders."""
    return draw_layouts(data_layouts(conversations, capacity, batch))


class Leak(NamedTuple):
    """A packed row: its segments, two masks (T, T), and by how much log p is off without one."""

    segments: Floats
    masks: dict[str, Floats]
    off: Floats
    worst: float


@cache
@torch.no_grad()
def data_leak() -> Leak:
    """The longest row of the packed batch: log p under a causal mask against each one alone."""
    model, batch = psalmist().model, data_layouts().packed
    b = int((batch.segments >= 0).sum(1).argmax())
    segments, tokens = batch.segments[b : b + 1], batch.tokens[b : b + 1]
    right = packed_mask(segments)
    own = model(tokens, mask=right, positions=packed_positions(segments))
    leaky = model(tokens)
    log_p = [sampled_log_probs(z[:, :-1], tokens[:, 1:])[0] for z in (leaky, own)]
    within = (segments[0, 1:] == segments[0, :-1]) & (segments[0, 1:] >= 0)
    off = torch.where(within, log_p[0] - log_p[1], torch.nan)
    worst = 0.0
    for i in {*segments[0].tolist()} - {-1}:
        t = (segments[0] == i).nonzero()[:, 0]
        alone = model(tokens[:, t])
        worst = max(worst, float((own[:, t] - alone).abs().max()))
    masks = {
        "causal": causal_mask(*right.shape[2:]).numpy().astype(float),
        "block-diagonal": right[0, 0].numpy().astype(float),
    }
    return Leak(segments[0].numpy(), masks, off.numpy().astype(float), worst)


def draw_leak(data: Leak) -> Picture:
    """Who sees whom in a packed row, and what a causal mask does to its log-probabilities."""
    figures = []
    figure, axes = panel("who sees whom", (3.4, 2.9))
    causal, block = data.masks["causal"], data.masks["block-diagonal"]
    for seen, colour in ((causal - block, RED), (block, BLUE)):
        image = np.zeros((*seen.shape, 4))
        image[..., :3] = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        image[..., 3] = seen > 0
        axes.imshow(image, interpolation="nearest")
    axes.set(xlabel="key", ylabel="query")
    axes.grid(visible=False)
    figures.append(figure)
    figure, axes = panel("log p with a causal mask, minus alone", (3.5, 2.9))
    t = np.arange(1, len(data.off) + 1)
    axes.bar(t, np.nan_to_num(data.off), width=1.0, color=RED)
    for start in (np.flatnonzero(np.diff(data.segments)) + 1).tolist():
        axes.axvline(start, color="#000000", linewidth=0.8, linestyle=":")
    axes.set(xlabel="token", ylabel="nats")
    figures.append(figure)
    return as_picture(
        figures,
        "Left: the mask of a packed row. Triangles along the diagonal are allowed, one a sequence;"
        " a causal mask allows all that lies below them too. Right: the first sequence's"
        " log-probabilities are right under a causal mask, those of the later ones are off.",
    )


# ------------------------------------------------------------------------------- fine-tuning


class Tuned(NamedTuple):
    """Losses of each step; answers to held-out passages before and after, how many are right."""

    losses: Floats
    questions: list[Asked]
    before: list[str]
    after: list[str]
    right: tuple[float, float]
    stopped: tuple[float, float]


def answers(model: Decoder, questions: Sequence[Asked], most: int = 8) -> tuple[list[str], float]:
    """The likeliest answers, and the share of them that end."""
    tokenizer = psalmist().tokenizer
    (end,) = tokenizer.encode(END)
    rows = [
        tokenizer.encode(render(CHATML, messages(q)[:1], add_generation_prompt=True))
        for q in questions
    ]
    found = generate(
        model, rows, sampling=GREEDY, max_tokens=most, eos=[end],
        pad=tokenizer.pad, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    texts = [
        tokenizer.decode([i for i in row[mask].tolist() if i != end])
        for row, mask in zip(found.response, found.mask, strict=True)
    ]
    ended = (found.response == end).any(1)
    return [text.strip() for text in texts], float(ended.float().mean())


def share_right(texts: Sequence[str], questions: Sequence[Asked]) -> float:
    """The share of answers that name the book."""
    return sum(t == q.book for t, q in zip(texts, questions, strict=True)) / len(questions)


def prepared(way: str) -> list[Sample]:
    """The conversations with the mask of a way: one right, two of those that are met."""
    samples = conversations()
    if way == "mask not shifted":  # the loop shifts it: shifted back beforehand, it stays behind
        return [Sample(x.tokens, x.mask.roll(1)) for x in samples]
    if way == "prompts learned too":
        return [Sample(x.tokens, torch.ones_like(x.mask)) for x in samples]
    return [*samples]


@cache
def data_fine_tuning(steps: int = 80, way: str = "as it should", held: int = 64) -> Tuned:
    """The psalmist learns to answer: so many steps of 8 conversations, packed."""
    model = copy.deepcopy(psalmist().model).requires_grad_(True)
    questions = held_out(held)
    before, stopped = answers(model, questions)
    settings = Settings(steps=steps, batch=8, window=WINDOW, rate=RATE, warm_up=10)
    losses = fine_tune(
        model, prepared(way), settings, generator=torch.Generator().manual_seed(0)
    )  # fmt: skip
    after, stops = answers(model, questions)
    right = share_right(before, questions), share_right(after, questions)
    return Tuned(np.array(losses), questions, before, after, right, (stopped, stops))


def commonest(questions: Sequence[Asked]) -> float:
    """The share that a model has right which always names the commonest book."""
    books = [q.book for q in questions]
    return max(map(books.count, BOOKS)) / len(books)


def draw_losses(runs: dict[str, Floats], smooth: int = 5) -> Picture:
    """Losses of each step, a mean over some steps."""
    figure, axes = panel("loss of the kept tokens", (4.2, 2.7))
    for name, losses in runs.items():
        whole = losses[: len(losses) // smooth * smooth].reshape(-1, smooth).mean(1)
        colour, look = WAYS[name]
        step = np.arange(len(whole)) * smooth + smooth / 2
        axes.plot(step, whole, color=colour, linestyle=look, label=name)
    axes.set(xlabel="step", ylabel="nats a token", yscale="log")
    axes.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    axes.minorticks_off()
    if len(runs) > 1:
        axes.legend()
    words = ", ".join(f"{name} ends at {losses[-10:].mean():.2f}" for name, losses in runs.items())
    return as_picture(figure, f"The loss falls over the steps: {words}.")


def losses_of(way: dict[str, Any]) -> Floats:
    """The losses of a recorded way."""
    return np.array(way["losses"])


def table_of_answers(data: Tuned, n: int = 6) -> str:
    """Some held-out passages, what the model said before and after, and the book."""
    lines = [f"{'passage':34} {'before':16} {'after':16} book"]
    for q, a, b in list(zip(data.questions, data.before, data.after, strict=True))[:n]:
        lines.append(f"{q.text[:32] + '…':34} {a[:14] or '(nothing)':16} {b[:14]:16} {q.book}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------- the hunt


def data_hunt(rule: Rule) -> str:
    """What a rule for targets has the model learn in one conversation, as text."""
    tokenizer = psalmist().tokenizer
    sample = template_sample(CHATML, messages(asked(False)[0]), tokenizer.encode)
    found = rule(sample.tokens[None], sample.mask[None])
    labels = found.labels[0, found.mask[0]].tolist()
    return repr(tokenizer.decode(labels))


# ------------------------------------------------------------------------------- recorded


def recorded_ways() -> dict[str, Any]:
    """Each way of preparing the mask, in full."""
    torch.set_num_threads(1)
    out: dict[str, Any] = {}
    for way in WAYS:
        run = data_fine_tuning(steps=240, way=way, held=384)
        out[way] = {
            "losses": [float(f"{x:.4g}") for x in run.losses],
            "right": [round(x, 4) for x in run.right],
            "stopped": [round(x, 4) for x in run.stopped],
            "commonest": round(commonest(run.questions), 4),
            "answers": run.after[:6],
        }
        print(way, out[way]["right"], out[way]["stopped"], flush=True)
    return out


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"ways": recorded_ways}
RECORDED_MODULES = (
    "rlcourse.alignment.sft",
    "rlcourse.alignment.packing",
    "rlcourse.alignment.templates",
    "rlcourse.figures.language.psalmist",
)
