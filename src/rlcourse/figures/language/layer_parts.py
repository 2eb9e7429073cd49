"""Figures of a decoder's parts: memories, masks, rotary positions, activation functions.

Shapes: N pairs to remember, D numbers of a key, Z points of an axis, P positions.
"""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rlcourse.language import activations, masks
from rlcourse.language.rotary import frequencies, rotate
from rlcourse.plot import BLUE, GREEN, GREY, HALF, OCHRE, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Bools, Floats, Ints

# ------------------------------------------------------------------------------- two memories


class Recall(NamedTuple):
    """How often a memory gives back the right one of N values, by N.

    pairs     (n,)
    state     (n,) share that is right, of the matrix of D² numbers
    attention (n,) share that is right, of attention over all pairs
    size      D
    """

    pairs: Ints
    state: Floats
    attention: Floats
    size: int


def data_recall(size: int = 32, trials: int = 40, *, rng: np.random.Generator) -> Recall:
    """Pairs of random keys and values, remembered, then asked for by their keys.

    state      S <- S + v kᵀ with each pair; the answer is S k
    attention  the answer is Σ p_j v_j, p = softmax of √D · 3 · k·k_j

    Keys and values are random directions. An answer is right where it lies nearest to its value.
    """
    pairs = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    right = np.zeros((2, len(pairs)))
    for i, n in enumerate(pairs):
        for _ in range(trials):
            keys, values = (directions(n, size, rng=rng) for _ in range(2))
            by_state = keys @ (keys.T @ values)  # row i: S k_i, with S = Σ v kᵀ
            by_attention = softmax(3 * size**0.5 * keys @ keys.T) @ values
            for j, answer in enumerate((by_state, by_attention)):
                right[j, i] += ((answer @ values.T).argmax(1) == np.arange(n)).mean() / trials
    return Recall(pairs, right[0], right[1], size)


def directions(n: int, size: int, *, rng: np.random.Generator) -> Floats:
    """n random rows of length 1."""
    x = rng.normal(size=(n, size))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def softmax(s: Floats) -> Floats:
    """Each row's exponentials, divided by their sum."""
    p = np.exp(s - s.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))


def draw_recall(data: Recall) -> Picture:
    """The share of right answers by the number of pairs."""
    figure, axes = panel("Which value went with this key?", (4.6, 2.8))
    for y, colour, look, label, at, up in (
        (data.attention, BLUE, "-", "attention over all pairs", -1, 5),
        (data.state, RED, "--", f"a state of {data.size}² numbers", -4, -18),
    ):
        axes.semilogx(data.pairs, 100 * y, look, color=colour, marker="o", markersize=3.5, base=2)
        axes.text(data.pairs[at], 100 * y[at] + up, label, color=colour, ha="right", fontsize=8)
    axes.set(xlabel="pairs read", ylabel="recalled, %", ylim=(0, 112))
    axes.set_xticks(data.pairs, [str(n) for n in data.pairs], minor=False)
    return picture(
        figure,
        "Share of values recalled by the number of pairs read. Attention stays near 100 %; the"
        " state of fixed size falls steadily once the pairs are more than the size of a key.",
    )


# ------------------------------------------------------------------------------- masks

N, M, WINDOW = 5, 8, 3
PRESENT = torch.tensor([[False, False, True, True, True, True, True, True]])
SEGMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])


def data_masks() -> dict[str, Bools]:
    """Four masks over eight keys: True where the query of a row sees the key of a column."""
    return {
        "causal, five new tokens": masks.causal_mask(N, M).numpy(),
        f"a window of {WINDOW}": masks.causal_mask(M, M, WINDOW).numpy(),
        "two padded on the left": masks.padded_mask(PRESENT, M)[0, 0].numpy(),
        "two sequences packed": masks.packed_mask(SEGMENTS)[0, 0].numpy(),
    }


def draw_masks(data: dict[str, Bools]) -> Picture:
    """Each mask as squares: filled where the query sees the key."""
    panels = []
    for title, mask in data.items():
        figure, axes = panel(title, (3.0, 2.9))
        draw_mask(axes, mask)
        panels.append(figure)
    return picture(
        panels,
        "Four masks, rows are queries and columns keys. Causal with three cached keys: each of five"
        " queries sees the cache and one more than the one before. Window: a band of three."
        " Padded: a triangle in the right corner; padding sees itself. Packed: two triangles.",
    )


def draw_mask(axes: Axes, mask: Bools) -> None:
    """Squares of BLUE where seen, outlined elsewhere."""
    for i, j in np.ndindex(*mask.shape):
        fill = BLUE if mask[i, j] else "none"
        corner = (j + 0.08, i + 0.08)
        axes.add_patch(Rectangle(corner, 0.84, 0.84, facecolor=fill, edgecolor=GREY, linewidth=0.5))
    axes.set(xlim=(0, M), ylim=(M, 0), aspect="equal")
    axes.set(xticks=[], yticks=[], xlabel="key", ylabel="query")
    for side in axes.spines.values():
        side.set_visible(False)


# ------------------------------------------------------------------------------- rotary positions


class Angles(NamedTuple):
    """What rotary positions do to products.

    distance  (P,) tokens between query and key
    mean      (3, P) q·k of equal query and key of D ones, divided by D, by distance: one row a θ
    thetas    (3,)
    shift     largest change of any score when a text is shifted by 1000 tokens
    """

    distance: Ints
    mean: Floats
    thetas: Floats
    shift: float


def data_angles(size: int = 64, far: int = 4096, *, generator: torch.Generator) -> Angles:
    """q·k by distance, for θ of 100, 10 000 and a million; and what a shift changes.

    Of equal query and key only the cosines are left: mean_i cos(distance · ω_i).
    """
    distance = np.unique(np.geomspace(1, far, 240).round().astype(int))
    thetas = np.array([1e2, 1e4, 1e6])
    mean = np.stack([
        np.cos(distance[:, None] * frequencies(size, theta).numpy()).mean(1) for theta in thetas
    ])  # fmt: skip
    q, k = torch.randn(2, 50, size, generator=generator, dtype=torch.float64)
    place = torch.arange(50)
    here, there = (rotate(q, place + by, 1e4) @ rotate(k, place + by, 1e4).mT for by in (0, 1000))
    return Angles(distance, mean, thetas, float((here - there).abs().max()))


def draw_angles(data: Angles) -> Picture:
    """q·k by distance for three θ."""
    figure, axes = panel("q·k of equal query and key", (4.6, 2.7))
    looks = zip(data.mean, data.thetas, (RED, BLUE, GREEN), ("-", "--", "-."), strict=True)
    for y, theta, colour, look in looks:
        label = f"θ = {int(theta):,}".replace(",", " ")
        axes.semilogx(data.distance, y, look, color=colour, linewidth=1.2, label=label)
    axes.axhline(0, color="#000000", linewidth=0.8)
    axes.set(xlabel="distance, tokens", ylabel="share of that at 0", ylim=(-0.5, 1.05))
    axes.legend(fontsize=7.5)
    return picture(
        figure,
        "The product of equal query and key by their distance, from 1 at distance 0. With θ = 100"
        " it is near 0 after a hundred tokens, with a million still about a half after a thousand.",
    )


# ------------------------------------------------------------------------------- activations


ACTIVATIONS = {
    "ReLU": (activations.relu, activations.relu_slope),
    "GELU": (activations.gelu, activations.gelu_slope),
    "Swish": (activations.swish, activations.swish_slope),
}


class Curve(NamedTuple):
    """An activation function over z (Z,): its value and its slope, (Z,) each."""

    z: Floats
    value: Floats
    slope: Floats


def data_activations() -> dict[str, Curve]:
    """ReLU, GELU and Swish between -4 and 4."""
    z = torch.linspace(-4, 4, 161, dtype=torch.float64)
    return {
        name: Curve(z.numpy(), value(z).numpy(), slope(z).numpy())
        for name, (value, slope) in ACTIVATIONS.items()
    }


def table_of_activations() -> str:
    """Values and slopes at a few points, as text."""
    lines = ["        value at -1   slope at -1   at 0   at 1"]
    for name, (value, slope) in ACTIVATIONS.items():
        z = torch.tensor([-1.0, 0.0, 1.0])
        low, (left, middle, right) = float(value(z)[0]), slope(z).tolist()
        lines.append(f"{name:<8}{low:>11.2f}{left:>14.2f}{middle:>7.2f}{right:>7.2f}")
    return "\n".join(lines)


def draw_activations(data: dict[str, Curve]) -> Picture:
    """Values on the left, slopes on the right."""
    left, values = panel("Value", HALF)
    right, slopes = panel("Slope", HALF)
    looks = ((GREY, "-"), (OCHRE, "--"), (BLUE, "-."))
    for (name, curve), (colour, look) in zip(data.items(), looks, strict=True):
        values.plot(curve.z, curve.value, look, color=colour, label=name)
        slopes.plot(curve.z, curve.slope, look, color=colour, label=name)
    values.set(xlabel="z", ylim=(-0.5, 3))
    slopes.set(xlabel="z", ylim=(-0.2, 1.2))
    values.legend(fontsize=8)
    return picture(
        [left, right],
        "Three activation functions and their slopes. ReLU has a kink at 0, and its slope a step."
        " GELU and Swish dip below 0 between -4 and 0; their slopes rise smoothly, exceed 1 a"
        " little, and are negative on the far left.",
    )
