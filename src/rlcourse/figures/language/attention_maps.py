"""What the heads of the trained model look at: maps of one verse, and habits over many.

A decoder is handed its attention, so the weights are got by handing in one that writes them down.

Shapes: L layers, H heads, T tokens of a verse.
"""

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from rlcourse.figures.frames import with_slider
from rlcourse.figures.language.psalmist import Psalmist, tokens_of
from rlcourse.language.masks import causal_mask
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREY, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

VERSE = "And God said, Let there be light: and there was light."
WINDOW, WINDOWS = 128, 32
NEAR, FAR, MARKS = 5, 20, frozenset(",.:;?!")


class Maps(NamedTuple):
    """Who looks at whom in a verse: tokens (T,) in words, weights (L, H, T, T)."""

    tokens: list[str]
    weights: Floats


class Habits(NamedTuple):
    """Mean weight that a head gives to some keys, over held-out text: (L, H) each.

    previous  the token just before the query
    near      the query's own token and the four before it
    far       tokens 20 and more before it
    marks     commas, stops and other marks
    after     tokens that came right after an earlier copy of the query's token
    """

    previous: Floats
    near: Floats
    far: Floats
    marks: Floats
    after: Floats


@torch.no_grad()
def attention_weights(model: Decoder, tokens: Tensor) -> Tensor:
    """(L, B, H, T, T): the weights of every head over tokens (B, T), read in one go."""
    found = []

    def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        s = q @ k.mT / q.shape[-1] ** 0.5
        found.append(torch.softmax(s.masked_fill(~causal_mask(*s.shape[-2:]), -torch.inf), -1))
        return found[-1] @ v

    model(tokens, attention=attention)
    return torch.stack(found)


def data_maps(psalmist: Psalmist, verse: str = VERSE) -> Maps:
    """All maps of one verse, with the end token of the verse before it in front."""
    model, tokenizer = psalmist
    ids = [tokenizer.eos, *tokenizer.encode(verse)]
    weights = attention_weights(model, torch.tensor([ids]))[:, 0]
    words = [tokenizer.token(i).replace(" ", "·") for i in ids[1:]]
    return Maps(["(end)", *words], weights.numpy().astype(float))


def data_habits(psalmist: Psalmist) -> Habits:
    """What each head looks at in held-out text, by kinds of keys."""
    row = torch.tensor(tokens_of(psalmist.tokenizer)[1][: WINDOW * WINDOWS])
    tokens = row.reshape(WINDOWS, WINDOW)
    p = attention_weights(psalmist.model, tokens)
    place = torch.arange(WINDOW)
    back = place[:, None] - place
    texts = [psalmist.tokenizer.token(i).strip() for i in range(psalmist.tokenizer.vocabulary)]
    mark = torch.tensor([text in MARKS for text in texts])[tokens]
    equal = (tokens[:, :, None] == tokens[:, None, :]) & (back > 0)
    after = torch.zeros_like(equal)
    after[:, :, 1:] = equal[:, :, :-1] & (back[:, 1:] > 0)
    kinds = (
        back == 1, (back >= 0) & (back < NEAR), back >= FAR, mark[:, None] & (back > 0), after
    )  # fmt: skip
    return Habits(*(share(p, kind) for kind in kinds))


def share(p: Tensor, kind: Tensor) -> Floats:
    """(L, H): the mean weight on keys of a kind, over the queries that have such a key."""
    has = kind.expand(p.shape[1], WINDOW, WINDOW).any(-1)
    found = (p * kind.expand(p.shape[1], WINDOW, WINDOW)[:, None]).sum(-1)  # (L, B, H, T)
    has = has[:, None].expand(found.shape[1:])
    return np.asarray((found * has).sum((1, 3)) / has.sum((0, 2)))


def top(x: Floats) -> tuple[int, int]:
    """Layer and head of the largest number, counted from 0."""
    layer, head = np.unravel_index(int(x.argmax()), x.shape)
    return int(layer), int(head)


def draw_maps(data: Maps, shown: tuple[int, int]) -> go.Figure:
    """One map a frame, by layer and head; `shown` is where the slider stands at first."""
    layers, heads, t, _ = data.weights.shape
    places = [(layer, head) for layer in range(layers) for head in range(heads)]
    labels = [f"{i + 1} {token}" for i, token in enumerate(data.tokens)]  # tokens may repeat

    def trace(place: tuple[int, int]) -> Any:
        z = (100 * data.weights[place]).round().astype(int)
        seen: list[list[int | None]] = [
            [int(z[i, j]) if j <= i else None for j in range(t)] for i in range(t)
        ]
        return go.Heatmap(
            z=seen, x=labels, y=labels, zmin=0, zmax=100, xgap=1, ygap=1,
            colorscale=[[0, BLUE + "12"], [0.5, BLUE + "b0"], [1, BLUE]],
            colorbar={"title": {"text": "%"}, "thickness": 10, "outlinewidth": 0},
            hovertemplate="%{y} looks at %{x}: %{z} %<extra></extra>",
        )  # fmt: skip

    names = [f"{layer + 1}.{head + 1}" for layer, head in places]
    frames = [go.Frame(data=[trace(p)], name=n) for p, n in zip(places, names, strict=True)]
    figure = go.Figure(data=[trace(shown)], frames=frames)
    ticks = {"tickvals": labels, "ticktext": data.tokens, "fixedrange": True}
    figure.update_layout(
        meta={"alt": "Attention of one head: each row a token, each column a token it looks at."},
        height=620,
        margin={"l": 60, "r": 0, "t": 10, "b": 60},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "color": GREY},
        xaxis=ticks | {"tickangle": -60, "showgrid": False},
        yaxis=ticks | {"autorange": "reversed", "showgrid": False},
    )  # fmt: skip
    place = places.index(shown)
    return with_slider(figure, place, "layer.head: ", top=70, bottom=30, x=0.02, len=0.96)


HABITS = {
    "previous": "the token before",
    "near": f"the last {NEAR} tokens",
    "far": f"{FAR} tokens back, or more",
    "marks": "commas and stops",
}


def draw_habits(data: Habits) -> Picture:
    """A square a head, for four kinds of keys, with the mean weight in percent."""
    panels = []
    for name, title in HABITS.items():
        x = getattr(data, name)
        figure, axes = panel(title, (2.6, 2.4))
        for (layer, head), share_ in np.ndenumerate(x):
            alpha = float(min(1, 0.05 + share_))
            axes.add_patch(
                Rectangle((head + 0.04, layer + 0.04), 0.92, 0.92, facecolor=BLUE, alpha=alpha)
            )
            axes.text(
                head + 0.5, layer + 0.5, f"{100 * share_:.0f}", ha="center", va="center",
                fontsize=8.5,
            )  # fmt: skip
        layers, heads = x.shape
        axes.set(xlim=(0, heads), ylim=(layers, 0), aspect="equal", xlabel="head", ylabel="layer")
        axes.set_xticks(np.arange(heads) + 0.5, [str(h + 1) for h in range(heads)])
        axes.set_yticks(np.arange(layers) + 0.5, [str(i + 1) for i in range(layers)])
        axes.grid(visible=False)
        panels.append(figure)
    return picture(
        panels,
        "Mean attention of each head, by layer and head, in percent, to four kinds of keys. Heads"
        " of layer 4 give three quarters of it to the last five tokens, some of layer 1 most of it"
        " to tokens 20 and more back; one head of layer 4 a quarter to commas and stops.",
    )
