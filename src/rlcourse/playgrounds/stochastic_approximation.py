"""The playground of stochastic approximation: 200 runs, one noise, and the size of their steps."""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.playgrounds._random import normals as normals
from rlcourse.tabular.mdp import Floats
from rlcourse.tabular.stochastic_approximation import (
    Iterates,
    cubic,
    noisy,
    robbins_monro,
    squashed,
    step_sizes,
)

Equation = Literal["cubic", "tanh"]

RUNS, STEPS = 200, 200  # as in the script
ROOT = {"cubic": 5 ** (1 / 3), "tanh": 1.0}
READ = {"cubic": cubic, "tanh": squashed}


class Settings(NamedTuple):
    """What the reader can change.

    g       "cubic": w³ - 5; "tanh": tanh(w - 1)
    c, p, offset  of the step sizes a_k = c / (k + offset)^p
    sigma   standard deviation of the noise
    w1      where every run begins
    seed    of the noise
    """

    g: Equation = "cubic"
    c: float = 1.0
    p: float = 1.0
    offset: float = 2.0
    sigma: float = 1.0
    w1: float = 0.0
    seed: int = 1


PROMPTS = (
    Prompt(
        "Offset 1 instead of 2: do all runs still reach the root?",
        {"offset": 1.0},
        "No: 49 of these 200 are lost. The first step, of 1/2, lands near 2.5, and from there the"
        " next, of 1/3, leads away: it leads nearer only from below 1.1. The zone widens as steps"
        " shrink, but those runs are thrown farther than it reaches.",
    ),
    Prompt(
        "tanh(w − 1) with the printed steps 1/k: does it explode too?",
        {"g": "tanh", "offset": 0.0},
        "No: all 200 arrive. Its slope is at most 1, so that a step of 1 never leads away. It was"
        " never the step sizes that broke the theorem; it is the slope of w³ − 5, which has no"
        " bound.",
    ),
    Prompt(
        "Constant steps, p = 0 and c = 0.1: does the noise die out?",
        {"p": 0.0, "c": 0.1},
        "No. All runs come near at once, and then shake around the root for ever, by about 0.1:"
        " Σ a² is infinite. Steps of 1/(k + 2) end within 0.02.",
    ),
)
"""Each answer is asserted, from the package's own runs, in tests/playgrounds."""


class StochasticApproximationPlayground(Playground):
    """Robbins-Monro on w³ - 5 with steps of one's own, beside the steps 1/k, under the same noise.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for step sizes or noise that cannot be.
    """

    name = "stochastic_approximation"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        if w.g not in get_args(Equation):
            raise ValueError(f"g must be one of {get_args(Equation)}, got {w.g!r}")
        limits = {"c": (0.1, 2), "p": (0, 1.5), "offset": (0, 10), "sigma": (0, 3), "w1": (-3, 3)}
        for name, (low, high) in limits.items():
            _check.interval(name, getattr(w, name), low, high)
        _check.positive_integer("seed", w.seed)
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, prompts, and where the package's runs end, which the script must repeat."""
        w, ends = self.settings, {}
        for name, each in (("own", w), ("printed", printed(w))):
            last = run(each).w[-1]
            ends[name] = {"lost": int(np.isnan(last).sum()), "off": off(w, last)}
        known = w == Settings()
        data = {
            "settings": w._asdict(),
            "golden": ends,
            "prompts": [prompt._asdict() for prompt in PROMPTS] if known else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of offsets and what becomes of the runs."""
        rows = ""
        for offset in sorted({0.0, 1.0, 2.0, self.settings.offset}):
            last = run(self.settings._replace(offset=offset)).w[-1]
            lost = int(np.isnan(last).sum())
            far = "" if lost == RUNS else f"{off(self.settings, last):.3f}"
            rows += f"<tr><td>{offset:g}<td>{RUNS - lost}<td>{lost}<td>{far}"
        words = {"cubic": "w³ − 5", "tanh": "tanh(w − 1)"}[self.settings.g]
        return (
            f"<table><caption>{RUNS} runs of Robbins-Monro on {words}, {STEPS} steps of"
            f" {self.settings.c:g}/(k + offset)^{self.settings.p:g} under noise of standard"
            f" deviation {self.settings.sigma:g}. With JavaScript this is a playground.</caption>"
            "<tr><th>offset<th>not lost<th>lost for good<th>distance left (RMS)"
            f"{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"StochasticApproximationPlayground({fields})"


def printed(w: Settings) -> Settings:
    """The same with the steps that the book prints, a_k = 1/k."""
    return w._replace(c=1.0, p=1.0, offset=0.0)


def run(w: Settings) -> Iterates:
    """The runs of some settings: w (T + 1, B) and diverged (B,)."""
    eta = w.sigma * normals(w.seed, STEPS, RUNS)
    start = np.full(RUNS, float(w.w1))
    return robbins_monro(noisy(READ[w.g]), start, step_sizes(STEPS, w.c, w.p, w.offset), eta)


def off(w: Settings, last: Floats) -> float | None:
    """The root mean square distance from the root of the runs that are not lost; None: all are."""
    on = last[~np.isnan(last)]
    return float(np.sqrt(np.mean((on - ROOT[w.g]) ** 2))) if len(on) else None
