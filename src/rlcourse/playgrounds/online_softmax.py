"""The playground of online softmax: one query, 16 keys, and what is kept of those already read."""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.systems.online_softmax import EMPTY, Summary, finish, merge, safe_softmax, summarize

Order = Literal["forwards", "backwards"]

KEYS = 16
TILES = (1, 2, 4, 8, 16)
LIMIT = 4.0  # of a score, before the shift
SHIFT = 100.0
VALUES = np.array([
    [-0.8, -0.4], [-0.5, -0.7], [-0.9, 0.1], [-0.3, -0.9],
    [0.2, 0.4], [0.5, 0.2], [0.4, 0.9], [0.9, 0.6],
    [0.3, -0.7], [0.8, -0.3], [0.6, -0.9], [0.9, -0.6],
    [-0.2, 0.6], [-0.6, 0.8], [-0.8, 0.5], [-0.1, 0.9],
])  # fmt: skip
"""The values (16, 2) of the keys: those of each tile of four lie together."""

SCORES = (0.1, 0.4, -0.2, -0.8, -0.4, -0.9, 0.1, 2.0, -0.4, -0.5, 0.6, 0.5, 0.3, -0.9, 0.1, 0.9)
RISING = tuple(round(-2.4 + 0.3 * i, 1) for i in range(KEYS))
FIRST = (3.0, *SCORES[1:7], 0.1, *SCORES[8:])


class Settings(NamedTuple):
    """What the reader can change.

    scores  of the 16 keys, between -4 and 4
    tile    keys that are read at a time
    order   in which the tiles are read
    rescale False: a bug, the past keeps its weight when a larger score comes
    shift   added to every score
    step    tiles read so far
    """

    scores: tuple[float, ...] = SCORES
    tile: int = 4
    order: Order = "forwards"
    rescale: bool = True
    shift: float = 0.0
    step: int = 2


PROMPTS = (
    Prompt(
        "Scores that only rise: how often must the past be rescaled?",
        {"scores": RISING, "step": 4},
        "With every tile, since each brings a new maximum: the past is multiplied by 0.301 three"
        " times. That costs three multiplications a tile, of l and of the two parts of o. No score"
        " is read a second time.",
    ),
    Prompt(
        "Add 100 to every score: what becomes of m, l and o?",
        {"shift": SHIFT},
        "m grows by 100. l and o stay, since they are made of differences. Without m there is"
        " no one pass: Σ exp(x) is 3.6 × 10⁴⁴ by now, and float32 ends at 3.4 × 10³⁸.",
    ),
    Prompt(
        "A bug: the past is never rescaled. Does a test notice whose largest score comes first?",
        {"scores": FIRST, "rescale": False, "step": 4},
        "No: m never moves, so nothing has to shrink and the output is exact. Now read backwards:"
        " the same bug is 0.55 off. In a test of attention the maximum must come late.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class OnlineSoftmaxPlayground(Playground):
    """A query meets its keys tile by tile; only m, l and o are kept.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "online_softmax"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        scores = _check.finite("scores", w.scores)
        _check.shape("scores", scores, (KEYS,))
        for x in scores:
            _check.interval("scores", float(x), -LIMIT, LIMIT)
        for name, known in (
            ("tile", TILES),
            ("order", get_args(Order)),
            ("rescale", (True, False)),
        ):
            if getattr(w, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(w, name)!r}")
        _check.interval("shift", w.shift, 0, SHIFT)
        _check.interval("step", w.step, 0, KEYS // w.tile)
        self.settings, self.title = w._replace(scores=tuple(scores.tolist())), title

    def data(self) -> dict[str, Any]:
        """Settings, values, prompts, and the package's summaries, which the script must repeat."""
        w = self.settings
        data = {
            "settings": w._asdict(),
            "values": VALUES.tolist(),
            "golden": [[float(x.m), float(x.l), *x.o.tolist()] for x in trace(w)],
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of what is kept after each tile."""
        w, rows, before = self.settings, "", float("-inf")
        for tile, (m, l, o) in zip(tiles(w), trace(w), strict=True):
            keys = f"{tile[0] + 1} to {tile[-1] + 1}" if len(tile) > 1 else f"{tile[0] + 1}"
            out = ", ".join(_minus(part) for part in finish(Summary(m, l, o)))
            factor = np.exp(before - m) if w.rescale else 1.0
            rows += f"<tr><td>{keys}<td>{_minus(float(m))}<td>{factor:.3f}<td>{l:.3f}<td>({out})"
            before = float(m)
        exact = ", ".join(_minus(part) for part in safe_softmax(_shifted(w)) @ VALUES)
        return (
            f"<table><caption>One query meets {KEYS} keys, {w.tile} at a time; all at once the"
            f" output is ({exact}). With JavaScript this is a playground.</caption>"
            "<tr><th>keys read<th>maximum m<th>factor of the past<th>sum l<th>output o/l"
            f"{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"OnlineSoftmaxPlayground({fields})"


def _minus(x: float) -> str:
    return f"{x:.2f}".replace("-", "−")


def _shifted(w: Settings) -> NDArray[np.float64]:
    return np.asarray(np.array(w.scores) + w.shift)


def tiles(w: Settings) -> list[list[int]]:
    """The keys of each tile, in the order in which they are read."""
    found = [list(range(start, start + w.tile)) for start in range(0, KEYS, w.tile)]
    return found if w.order == "forwards" else found[::-1]


def trace(w: Settings) -> list[Summary]:
    """What is kept after each tile: `merge` one after the other, or `forgetful_merge`."""
    join = merge if w.rescale else forgetful_merge
    x, kept = EMPTY, []
    for tile in tiles(w):
        x = join(x, summarize(_shifted(w)[tile], VALUES[tile]))
        kept.append(x)
    return kept


def forgetful_merge(past: Summary, tile: Summary) -> Summary:
    """`merge` with a bug: the past keeps its weight when the tile brings a new maximum."""
    m = np.maximum(past.m, tile.m)
    scale = np.exp(tile.m - m)
    return Summary(m, past.l + scale * tile.l, past.o + scale * tile.o)
