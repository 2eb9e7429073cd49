"""The playground of direct preference optimisation: what a loss sees of a pair and pushes."""

from typing import Any, NamedTuple

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.tabular.mdp import Floats

REFERENCE = (-20.0, -24.0)
"""log π_ref of the chosen and of the rejected answer, in nats."""
LEAST, MOST = -60.0, -10.0  # log-probabilities that the picture shows
STEPS = 20  # of gradient ascent at a press
RATE = 0.1  # nats by which the first step from the reference would move an answer by itself
LONGER = 2.0  # the gradient of the rejected answer's log π, that of the chosen being 1
LOSSES = {"dpo": "DPO", "cdpo": "cDPO", "ipo": "IPO", "hinge": "hinge"}


class Settings(NamedTuple):
    """What the reader can change.

    chosen, rejected  log π of the two answers, between -60 and -10 nats
    beta              β, between 0.05 and 0.5
    loss              "dpo", "cdpo", "ipo" or "hinge"
    smoothing         ε of cDPO, between 0.01 and 0.4
    overlap           cosine of the angle between the gradients of both log π, between 0 and 1
    """

    chosen: float = -26.0
    rejected: float = -54.0
    beta: float = 0.1
    loss: str = "dpo"
    smoothing: float = 0.1
    overlap: float = 0.75


PROMPTS = (
    Prompt(
        "Back at the reference, both answers are pushed with the same force: does the chosen rise?",
        {"chosen": -20.0, "rejected": -24.0},
        "No: w is β/2 = 0.05 on both, but they share weights. What moves the rejected down, with a"
        " gradient twice as long, takes the chosen along: 20 steps bring it from −20.0 to −20.9,"
        " the rejected from −24.0 to −28.6. Below an overlap of 0.50 the chosen would rise.",
    ),
    Prompt(
        "The same two answers under IPO: where does it push?",
        {"loss": "ipo"},
        "Back: its goal is h = 1/(2β) = 5.0, and h is 24.0, so that w = −38.0 pushes the chosen"
        " down and the rejected up. DPO has no goal: its w shrinks and stays above 0. cDPO with"
        " ε = 0.10 turns back too, beyond h = 22.0.",
    ),
    Prompt(
        "β = 0.5, five times as large: is the push five times as strong?",
        {"beta": 0.5},
        "No, it is gone: βh = 12, so that P = 0.999994 and w = 0.5 × 0.000006 = 0.000003, against"
        " 0.0083 before. With a larger β a smaller margin satisfies: w falls to a tenth of β at"
        " h = 4.4, and not at 22.0.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class DPOPlayground(Playground):
    """A chosen and a rejected answer: implicit rewards, their margin, a loss of it, its push.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "dpo"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        limits = {"chosen": (LEAST, MOST), "rejected": (LEAST, MOST), "beta": (0.05, 0.5)}
        limits |= {"smoothing": (0.01, 0.4), "overlap": (0, 1)}
        for name, (least, most) in limits.items():
            _check.interval(name, getattr(w, name), least, most)
        if w.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {w.loss!r}")
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, reference, prompts, and the package's numbers, which the script must repeat."""
        w = self.settings
        h = margin(w)
        data = {
            "settings": w._asdict(),
            "reference": REFERENCE,
            "golden": {
                "margin": h,
                "losses": [float(loss(w._replace(loss=name), h)) for name in LOSSES],
                "weights": [float(weight(w._replace(loss=name), h)) for name in LOSSES],
                "next": list(trained(w)),
            },
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of the losses of the pair: value, weight, and the margin each would have."""
        w = self.settings
        h, rows = margin(w), ""
        for name, words in LOSSES.items():
            one = w._replace(loss=name)
            end = goal(one)
            rows += (
                f"<tr><td>{words}<td>{_minus(loss(one, h), 3)}<td>{_minus(weight(one, h), 4)}"
                f"<td>{_minus(end, 1) if np.isfinite(end) else 'none'}"
            )
        log_ratios = w.chosen - REFERENCE[0], w.rejected - REFERENCE[1]
        return (
            "<table><caption>A pair of answers: log π/π<sub>ref</sub> of the chosen is"
            f" {_minus(log_ratios[0], 1)}, of the rejected {_minus(log_ratios[1], 1)}, so that the"
            f" margin is h = {_minus(h, 1)}; β = {w.beta:.2f}. Only h counts. With JavaScript this"
            " is a playground.</caption>"
            f"<tr><th>loss<th>its value<th>weight, −dL/dh<th>goal of h{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"DPOPlayground({fields})"


def _minus(x: float | Floats, digits: int) -> str:
    return f"{x + 0.0:.{digits}f}".replace("-", "−")


def margin(w: Settings) -> float:
    """h = log π/π_ref of the chosen - log π/π_ref of the rejected, in nats."""
    return w.chosen - w.rejected - (REFERENCE[0] - REFERENCE[1])


def loss(w: Settings, h: float | Floats) -> Floats:
    """The loss of a margin, any shape: as in rlcourse.alignment.dpo, which needs torch."""
    x = np.asarray(w.beta * np.asarray(h))
    if w.loss == "ipo":
        return np.asarray((h - goal(w)) ** 2)
    if w.loss == "hinge":
        return np.maximum(0.0, 1 - x)
    return (1 - _epsilon(w)) * np.logaddexp(0, -x) + _epsilon(w) * np.logaddexp(0, x)


def weight(w: Settings, h: float | Floats) -> Floats:
    """-dL/dh: the push on log π of the chosen, and its opposite that on the rejected."""
    x = np.asarray(w.beta * np.asarray(h))
    if w.loss == "ipo":
        return np.asarray(-2 * (h - goal(w)))
    if w.loss == "hinge":
        return np.where(x < 1, w.beta, 0.0)
    return w.beta * (1 / (1 + np.exp(x)) - _epsilon(w))


def goal(w: Settings) -> float:
    """The margin beyond which the loss doesn't push up any more; DPO has none, infinity."""
    ends = {"ipo": 0.5, "hinge": 1.0, "cdpo": float(np.log((1 - w.smoothing) / w.smoothing))}
    return ends.get(w.loss, np.inf) / w.beta


def trained(w: Settings) -> tuple[float, float]:
    """log π of both answers after 20 steps down the loss, or as many as stay within the picture.

    Both are moved through weights that they share, to first order: with gradients of lengths 1 and
    2 and the overlap c, a push u on the chosen and v on the rejected move them by u + 2cv and by
    2cu + 4v. The step size is 0.1 over the weight at h = 0, whatever loss and β.
    """
    shared = LONGER * w.overlap
    rate = RATE / float(weight(w, 0.0))
    for _ in range(STEPS):
        push = rate * float(weight(w, margin(w)))
        chosen = w.chosen + push * (1 - shared)
        rejected = w.rejected + push * (shared - LONGER**2)
        if min(chosen, rejected) < LEAST or max(chosen, rejected) > MOST:
            break
        w = w._replace(chosen=chosen, rejected=rejected)
    return w.chosen, w.rejected


def _epsilon(w: Settings) -> float:
    return w.smoothing if w.loss == "cdpo" else 0.0
