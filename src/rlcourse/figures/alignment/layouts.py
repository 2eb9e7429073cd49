"""Figures of batches: conversations padded and packed, and who sees whom in a packed row.

Shapes: B rows, T tokens of a row.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.patches import Rectangle

from rlcourse.alignment.packing import Batch, packed_batch, padded_batch
from rlcourse.figures.alignment.data import WINDOW, conversations
from rlcourse.figures.frames import with_slider
from rlcourse.figures.language.psalmist import psalmist
from rlcourse.language.masks import causal_mask, packed_mask, packed_positions
from rlcourse.language.sampling import sampled_log_probs
from rlcourse.plot import BLUE, GREY, PALETTE, RED, Picture, panel
from rlcourse.plot import picture as as_picture
from rlcourse.tabular.mdp import Floats

CAPACITIES = (192, 224, 256, 320, 384, 512, 768)


class Layouts(NamedTuple):
    """One batch padded and packed, and the share of its cells that hold no token."""

    padded: Batch
    packed: Batch
    wasted: tuple[float, float]


class Bar(NamedTuple):
    """A conversation in a batch: its number, its row, its first token and how many, and those of
    the answer."""

    number: int
    row: int
    begin: int
    length: int
    answer: int
    answer_length: int


def data_layouts(n: int = 12, capacity: int = WINDOW, seed: int = 0) -> Layouts:
    """So many conversations, in rows of their own and in rows of `capacity` tokens."""
    samples = conversations(400)[seed * n : (seed + 1) * n]
    both = padded_batch(samples), packed_batch(samples, capacity)
    return Layouts(*both, (wasted(both[0]), wasted(both[1])))


def wasted(batch: Batch) -> float:
    """The share of a batch's cells that hold no token."""
    return float((batch.segments < 0).float().mean())


def bars(batch: Batch) -> list[Bar]:
    """Where each conversation of a batch lies, in the order of their numbers."""
    found = []
    for i in range(int(batch.segments.max()) + 1):
        row, place = (batch.segments == i).nonzero(as_tuple=True)
        said = place[batch.mask[row, place]]
        found.append(
            Bar(i, int(row[0]), int(place[0]), len(place), int(said[0]), len(said))
        )  # fmt: skip
    return found


def draw_layouts(data: Layouts) -> Picture:
    """Each conversation a bar, the answers at their ends dark; padding is hatched."""
    figures = []
    width = max(data.padded.tokens.shape[1], data.packed.tokens.shape[1])
    most = len(data.padded.tokens)
    for name, batch, waste in zip(("padded", "packed"), data[:2], data.wasted, strict=True):
        rows, size = batch.tokens.shape
        figure, axes = panel(f"{name}: {rows} rows, {100 * waste:.0f}% padding", (3.5, 2.6))
        for b, used in enumerate((batch.segments >= 0).sum(1).tolist(), 1):
            rest = Rectangle((used, b - 0.4), size - used, 0.8, fill=False, ec=GREY, hatch="////")
            axes.add_patch(rest)
        for bar in bars(batch):
            colour, y = PALETTE[bar.number % len(PALETTE)], bar.row + 0.6
            axes.add_patch(Rectangle((bar.begin, y), bar.length, 0.8, color=colour, alpha=0.45))
            axes.add_patch(Rectangle((bar.answer, y), bar.answer_length, 0.8, color=colour))
        axes.set(xlim=(0, width), ylim=(most + 0.6, 0.4), xlabel="token", ylabel="row")
        axes.grid(visible=False)
        figures.append(figure)
    return as_picture(
        figures,
        "The same conversations twice. Padded, each has a row of its own and the rest of the row"
        " is hatched; packed, several share a row and little is left over.",
    )


def draw_packing(n: int = 12, shown: int = WINDOW) -> go.Figure:
    """The same conversations padded, and packed into rows of each capacity: one a frame."""
    samples = conversations(400)[:n]
    batches = {"padded": padded_batch(samples)}
    batches |= {str(capacity): packed_batch(samples, capacity) for capacity in CAPACITIES}
    titles = {
        name: f"{len(x.tokens)} rows of {x.tokens.shape[1]} tokens: {100 * wasted(x):.0f}%"
        " of them padding"
        for name, x in batches.items()
    }
    frames = {
        name: go.Frame(data=_traces(x), name=name, layout={"title": {"text": titles[name]}})
        for name, x in batches.items()
    }
    figure = go.Figure(data=_traces(batches[str(shown)]), frames=[*frames.values()])
    still = {"fixedrange": True, "showgrid": False, "zeroline": False}
    figure.update_layout(
        meta={"alt": "Conversations as bars in the rows of a batch; what is grey is padding."},
        title={"text": titles[str(shown)], "x": 0.5, "font": {"size": 15}},
        height=430,
        barmode="overlay",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 34, "r": 8, "t": 40, "b": 40},
        font={"size": 12, "color": GREY},
        xaxis={"title": {"text": "token"}, "range": [0, 1.02 * CAPACITIES[-1]]} | still,
        yaxis={"title": {"text": "row"}, "range": [n + 0.6, 0.4], "dtick": 1} | still,
    )
    active = [*frames].index(str(shown))
    return with_slider(figure, active, "tokens of a row: ", top=46, bottom=8, x=0.02, len=0.96)


def _traces(batch: Batch) -> list[go.Bar]:
    """The rows of a batch in grey, the conversations on them, and their answers on these."""
    rows, size = batch.tokens.shape
    numbers, row, begin, length, answer, answer_length = zip(*bars(batch), strict=True)
    colours, y = [PALETTE[i % len(PALETTE)] for i in numbers], [b + 1 for b in row]
    layers = (
        ([*range(1, rows + 1)], [0] * rows, [size] * rows, GREY, 0.15),
        (y, begin, length, colours, 0.5),
        (y, answer, answer_length, colours, 1.0),
    )
    return [
        go.Bar(
            y=y, base=base, x=x, orientation="h", width=0.8, opacity=opacity,
            marker={"color": colour, "line": {"width": 1, "color": GREY}}, hoverinfo="skip",
            showlegend=False,
        )
        for y, base, x, colour, opacity in layers
    ]  # fmt: skip


def draw_live(conversations: int = 12, capacity: int = WINDOW, batch: int = 0) -> Picture:
    """Another batch, for sliders."""
    return draw_layouts(data_layouts(conversations, capacity, batch))


# ------------------------------------------------------------------------------- a packed row


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
