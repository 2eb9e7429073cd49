"""The playground of PPO: one sample on its clipped surrogate, and a batch that is used again."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.tabular.mdp import Bools, Floats

EPOCHS = 10
FARTHEST = 2.2  # ratio that the picture shows
CERTAIN = 0.99  # the likeliest that an action becomes

ADVANTAGES = np.array([0.8, 0.6, 0.6, 0.4, 0.4, 0.3, -0.2, -0.2, -0.4, -0.7, -1.0, -1.4])
"""Of the 12 samples of the batch."""
FEATURES = np.array([
    [0.3, 0.1, -0.2, -0.9], [-1.3, -0.8, -0.2, -0.5], [-0.5, 0.6, 0.9, 2.0],
    [0.6, 0.6, 1.6, -0.1], [-0.8, 0.8, 0.3, -1.4], [-0.3, 0.1, -0.9, 1.1],
    [-0.4, -0.9, -1.3, 1.5], [-0.7, 2.2, 0.2, 1.5], [-0.6, -1.6, -0.6, 0.9],
    [2.6, -1.3, 0.8, -1.5], [0.1, -2.1, -0.2, -0.5], [-0.2, -1.4, 0.1, -0.2],
])  # fmt: skip
"""x (12, 4): a sample's action has the probability 1/(1 + exp(-x·θ)), of two actions."""
OLD_WEIGHTS = np.array([0.3, 0.1, 0.4, -0.2])
"""θ of the policy that took the actions."""


class Settings(NamedTuple):
    """What the reader can change.

    ratio      π/π_old of the one sample, up to 2.2, and so that π stays below 1
    advantage  of that sample, between -2 and 2
    old        π_old of its action
    low, high  ε below and above, up to 0.5
    rate       step size of the ascent on the batch
    epoch      of the ten that is shown
    """

    ratio: float = 1.3
    advantage: float = 1.0
    old: float = 0.4
    low: float = 0.2
    high: float = 0.2
    rate: float = 1.0
    epoch: int = 4


PROMPTS = (
    Prompt(
        "A bad action, A = −1, that became likelier, ρ = 1.5: is its slope 0 too?",
        {"ratio": 1.5, "advantage": -1.0},
        "No: −1, in full. The action should become rarer and went the other way; a step back pays,"
        " so that min takes ρA, which no clip cuts. For A < 0 the flat side is the other one,"
        " below 0.80.",
    ),
    Prompt(
        "A rare action, of old probability 0.05, went well: up to where is it pushed?",
        {"old": 0.05},
        "To 0.06: ρ is 1.20 there, and beyond it the slope is 0. From 0.9 nothing would stop the"
        " push: ρ can't even reach 1.20, since π ends at 1. A larger ε above 1 alone (DAPO's"
        " clip-higher, 0.28) lets the rare action grow to 0.064.",
    ),
    Prompt(
        "After ten steps on one batch: are all ratios within 0.80 and 1.20?",
        {"epoch": 10},
        "No: 7 of 12 are outside. The clip stops a sample's push and not its ratio: steps"
        " overshoot, and the others' gradients move it too, since all share the weights. One with"
        " A < 0 even stands at 1.54. Still, without the clip they spread from 0.07 to 2.18.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class PPOPlayground(Playground):
    """The clipped surrogate of a sample, the policy behind it, and ten epochs on a batch of 12.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "ppo"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        limits = {"advantage": (-2, 2), "old": (0.05, 0.95), "low": (0, 0.5), "high": (0, 0.5)}
        limits |= {"rate": (0.25, 2)}
        for name, (least, most) in limits.items():
            _check.interval(name, getattr(w, name), least, most)
        _check.interval("ratio", w.ratio, 0.05, reach(w.old))
        if w.epoch not in range(EPOCHS + 1):
            raise ValueError(f"epoch must be an integer from 0 to {EPOCHS}, got {w.epoch!r}")
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, batch, prompts, and the package's numbers, which the script must repeat."""
        w, run = self.settings, ascend(self.settings)
        one = np.array([w.ratio]), np.array([w.advantage]), w.low, w.high
        data = {
            "settings": w._asdict(),
            "advantages": ADVANTAGES.tolist(),
            "features": FEATURES.tolist(),
            "weights": OLD_WEIGHTS.tolist(),
            "golden": {
                "surrogate": float(surrogate(*one)[0]),
                "slope": float(slope(*one)[0]),
                "ratios": run.ratio[-1].tolist(),
                "alive": run.alive.sum(-1).tolist(),
                "unclipped": ascend(w, clip=False).ratio[-1].tolist(),
            },
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of ratios: the surrogate and its slope for either sign of the advantage."""
        w, rows = self.settings, ""
        size = abs(w.advantage) or 1.0
        for ratio in sorted({0.6, 1.0, 1.5, w.ratio}):
            rows += f"<tr><td>{ratio:.2f}"
            for a in (size, -size):
                one = np.array([ratio]), np.array([a]), w.low, w.high
                rows += f"<td>{_minus(surrogate(*one)[0])}<td>{_minus(slope(*one)[0])}"
        return (
            "<table><caption>The clipped surrogate of one sample and its slope, with the ratio"
            f" clipped to [{1 - w.low:.2f}, {1 + w.high:.2f}]. With JavaScript this is a"
            " playground.</caption><tr><th>ratio"
            f"<th>A = {size:.1f}: surrogate<th>slope<th>A = −{size:.1f}: surrogate<th>slope"
            f"{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"PPOPlayground({fields})"


def _minus(x: float) -> str:
    return f"{x + 0.0:.2f}".replace("-", "−")


def reach(old: float) -> float:
    """The largest ratio, to two digits, that can be set for an action of probability old."""
    return min(FARTHEST, float(np.floor(100 * CERTAIN / old) / 100))


def surrogate(ratio: Floats, advantage: Floats, low: float, high: float) -> Floats:
    """min(ρA, clip(ρ, 1 - ε_low, 1 + ε_high) A); shapes broadcast."""
    return np.minimum(ratio * advantage, ratio.clip(1 - low, 1 + high) * advantage)


def slope(ratio: Floats, advantage: Floats, low: float, high: float) -> Floats:
    """dL/dρ: A where the sample still pushes, 0 beyond the clip on the side A pushes to."""
    return np.where(pushes(ratio, advantage, low, high), advantage, 0.0)


def pushes(ratio: Floats, advantage: Floats, low: float, high: float) -> Bools:
    """Whether the gradient is there: not where ρ > 1 + ε and A > 0, or ρ < 1 - ε and A < 0."""
    above, below = ratio > 1 + high, ratio < 1 - low
    return ~np.where(advantage > 0, above, below)


class Ascent(NamedTuple):
    """The batch before each step and after the last; K epochs, N samples.

    ratio (K + 1, N), alive (K + 1, N): whether the sample has a gradient there
    """

    ratio: Floats
    alive: Bools


def ascend(w: Settings, clip: bool = True) -> Ascent:
    """Ten steps up the mean surrogate of the batch: θ ← θ + rate · mean(dL/dρ ρ (1 - π) x)."""
    theta, old = OLD_WEIGHTS, _sigmoid(FEATURES @ OLD_WEIGHTS)
    ratios, alive = [], []
    for _ in range(EPOCHS + 1):
        pi = _sigmoid(FEATURES @ theta)
        ratio = pi / old
        on = pushes(ratio, ADVANTAGES, w.low, w.high) if clip else np.ones(len(old), bool)
        push = np.where(on, ADVANTAGES, 0.0) * ratio * (1 - pi)
        theta = theta + w.rate * push @ FEATURES / len(old)
        ratios.append(ratio)
        alive.append(on)
    return Ascent(np.array(ratios), np.array(alive))


def _sigmoid(x: NDArray[np.float64]) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))
