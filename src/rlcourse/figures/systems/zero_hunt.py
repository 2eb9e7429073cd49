"""The bug hunt of the chapter on ZeRO: ranks that each do a share of Adam's work, in one process.

A classifier of three unequal classes, two layers, all weights end to end in one vector. Shapes:
P weights, n steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse.plot import BLUE, RED, Picture, panel, picture
from rlcourse.systems.zero import state_bytes

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Data = tuple[Floats, Labels]
Moments = dict[str, Floats]
Step = Callable[[Floats, Floats, list[Moments]], None]
WIDTHS = (2, 16, 3)  # point, hidden layer, classes
POINTS = 400
CLASSES = (0.7, 0.2, 0.1)


class Hunt(NamedTuple):
    """What a suspect step did.

    right, suspect  (n,) losses of one rank that does all the work, and of the suspect's
    predicted       bytes of moments on a rank, by the formula
    held            the same, measured, of each rank
    """

    right: list[float]
    suspect: list[float]
    predicted: int
    held: list[int]


def adam(weights: Floats, gradient: Floats, moments: Moments, rate: float = 0.03) -> None:
    """One step of Adam, in place; the moments begin at 0 when there are none."""
    m, v = (moments.setdefault(name, np.zeros_like(weights)) for name in "mv")
    m += 0.1 * (gradient - m)
    v += 0.01 * (gradient**2 - v)
    weights -= rate * m / (np.sqrt(v) + 1e-8)


def data_hunt(step: Step, *, rng: np.random.Generator, ranks: int = 4, steps: int = 200) -> Hunt:
    """Train by the suspect step, step(weights, gradient, moments of each rank), and by one rank."""
    label = rng.choice(3, size=POINTS, p=CLASSES)
    centres = np.array([[0.0, 1.2], [1.2, -1.2], [-1.2, -1.2]])
    x = centres[label] + rng.normal(size=(POINTS, 2))
    a, b, c = WIDTHS
    first = [rng.normal(size=a * b), np.zeros(b), rng.normal(size=b * c) / 4, np.zeros(c)]
    weights = np.concatenate(first)
    kept: list[Moments] = [{} for _ in range(ranks)]
    data = x, label
    right = _train(lambda w, g, of: adam(w, g, of[0]), weights.copy(), [{}], data, steps)
    suspect = _train(step, weights.copy(), kept, data, steps)
    held = [sum(moment.nbytes for moment in of.values()) for of in kept]
    return Hunt(right, suspect, state_bytes(len(weights), ranks, 1, 0, 0, 16), held)


def _train(step: Step, weights: Floats, kept: list[Moments], data: Data, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        loss, gradient = _loss(weights, *data)
        step(weights, gradient, kept)
        losses.append(loss)
    return losses


def _loss(flat: Floats, x: Floats, label: Labels) -> tuple[float, Floats]:
    """Cross-entropy, and its gradient (P,)."""
    a, b, c = WIDTHS
    w, u, v, z = np.split(flat, np.cumsum([a * b, b, b * c]))
    hidden = np.tanh(x @ w.reshape(a, b) + u)
    logits = hidden @ v.reshape(b, c) + z
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(x))
    loss = float(-np.log(p[rows, label]).mean())
    p[rows, label] -= 1
    p /= len(x)
    back = (p @ v.reshape(b, c).T) * (1 - hidden**2)
    parts = [(x.T @ back).ravel(), back.sum(0), (hidden.T @ p).ravel(), p.sum(0)]
    return loss, np.concatenate(parts)


def draw_hunt(data: Hunt) -> Picture:
    """Both losses over the steps."""
    figure, axes = panel("Three classes", (4.2, 2.3))
    axes.plot(data.right, color=BLUE, label="one rank")
    axes.plot(data.suspect, "--", color=RED, label=f"{len(data.held)} ranks, the suspect")
    axes.set(xlabel="step", ylabel="cross-entropy, nats", ylim=(0, None))
    axes.legend()
    return picture(
        figure,
        f"Both losses fall, to {data.right[-1]:.3f} with one rank and to {data.suspect[-1]:.3f}"
        " with the suspect.",
    )
