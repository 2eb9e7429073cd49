"""The bug hunts on the machine: learners that use a suspect, beside those that use the right one.

Shapes: B learners.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlcourse.plot import BLUE, HALF, RED, Picture, panel, picture
from rlcourse.tabular.mdp import Floats

Learn = Callable[..., tuple[Floats, Floats]]  # (function, rng=, ...) -> J, last policies (B, 3)


class Hunt(NamedTuple):
    """What B learners on the machine earn, exactly, after each update.

    right, suspect  (updates + 1, B)  J
    probabilities   (2, 3)            mean final policies: idle, gently, hard
    """

    right: Floats
    suspect: Floats
    probabilities: Floats


def hunt(learn: Learn, right: Any, suspect: Any, *, rng: np.random.Generator, **rules: Any) -> Hunt:
    """Both with the same random numbers; rules are handed to `learn`."""
    seed = int(rng.integers(2**32))
    good, ours = learn(right, rng=np.random.default_rng(seed), **rules)
    bad, theirs = learn(suspect, rng=np.random.default_rng(seed), **rules)
    return Hunt(good, bad, np.array([ours.mean(0), theirs.mean(0)]))


def draw_hunt(data: Hunt) -> Picture:
    """What the policies earn, update by update, and how they run the machine at the end."""
    left, axes = panel("What the machine earns", HALF)
    for name, x, colour, look in (
        ("should be", data.right, BLUE, "-"), ("the suspect", data.suspect, RED, "--"),
    ):  # fmt: skip
        k = np.arange(len(x))
        axes.fill_between(k, x.min(1), x.max(1), color=colour, alpha=0.2, linewidth=0)
        axes.plot(k, x.mean(1), look, color=colour, label=name)
    axes.set(xlabel="updates", ylabel="J, exactly")
    axes.legend()
    right, axes = panel("How it is run at the end", HALF)
    for i, (colour, name) in enumerate(((BLUE, "should be"), (RED, "the suspect"))):
        axes.barh(
            np.arange(3) + 0.36 * i, data.probabilities[i], 0.33, color=colour, label=name,
            hatch="///" if i else "",
        )  # fmt: skip
    axes.set_yticks(np.arange(3) + 0.18, ["idle", "gently", "hard"])
    axes.invert_yaxis()
    axes.set(xlabel="probability", xlim=(0, 1))
    return picture(
        [left, right],
        "Both kinds of learners improve. Those of the suspect stop well below the others: they run"
        " the machine hard, where the others run it gently.",
    )
