"""The playground of checkpointing: which inputs to keep, what that holds and what it computes."""

from math import isqrt
from typing import Any, Literal, NamedTuple

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems.checkpoint_schedules import Cost, Schedule
from rlcourse.systems.checkpointing import best_parts

Way = Literal["segments", "recursive", "revolve", "recompute_all"]

WAYS: tuple[Way, ...] = ("segments", "recursive", "revolve", "recompute_all")
LAYERS = (4, 32)
TAPE = (1, 34)  # states; 16 in a transformer whose scores are not saved: 34 bytes, the input 2
BACKWARD = 2  # forwards that a backward takes


class Settings(NamedTuple):
    """What the reader can change.

    layers  L of the chain
    tape    a/x: what autograd saves in a layer beside its input, in states. By default 3, small
            enough for the kept inputs to count: then neither none nor all of them is best.
    way     how the layers run backwards
    kept    the states that begin the segments, 0 among them; their number is Revolve's c
    step    actions done so far; None: up to the peak
    """

    layers: int = 16
    tape: int = 3
    way: Way = "segments"
    kept: tuple[int, ...] = (0, 4, 8, 12)
    step: int | None = None


PROMPTS = (
    Prompt(
        "8 checkpoints instead of 4: is the peak halved?",
        {"kept": [0, 2, 4, 6, 8, 10, 12, 14]},
        "No: 15 states instead of 19, for 29 % more time instead of 25 %. Segments get shorter, but"
        " more inputs are kept; with all 16 it is 19 again. Of even segments 8 hold least. Move"
        " some by hand: early ones may be longer, and with 8 inputs 13 is possible.",
    ),
    Prompt(
        "In a transformer a tape weighs some 16 states. How many checkpoints hold least then?",
        {"tape": 16},
        "All 16: they hold 32 states, 12 % of 272, where 4 hold 71. A kept input costs little"
        " beside the tape that it saves, so one checkpoints every layer. It takes 31 % more time,"
        " never more than a third: each layer is computed twice at most.",
    ),
    Prompt(
        "Revolve is optimal for 4 states. Is it faster than 4 segments?",
        {"way": "revolve"},
        "No: 56 % more time instead of 25 %, for 27 forwards more instead of 12. It is the fastest"
        " with 4 states and one tape, and so it peaks at 8 instead of 19. Segments buy time with"
        " the tapes of a whole segment.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class CheckpointingPlayground(Playground):
    """The schedule of forwards, tapes and backwards that follows from the inputs that are kept.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "checkpointing"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**settings)
        w = w._replace(kept=tuple(w.kept))
        for name, (least, most) in {"layers": LAYERS, "tape": TAPE}.items():
            if not least <= _check.positive_integer(name, getattr(w, name)) <= most:
                raise ValueError(f"{name} must lie in [{least}, {most}], got {getattr(w, name)!r}")
        if w.way not in WAYS:
            raise ValueError(f"way must be one of {', '.join(WAYS)}, got {w.way!r}")
        schedules.segments_at(w.layers, w.kept)  # refuses what can't be kept
        if w.step is not None and not 0 <= w.step <= len(schedule_of(w)):
            raise ValueError(f"step must lie in [0, {len(schedule_of(w))}], got {w.step!r}")
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, prompts, and the costs that the script must repeat."""
        w = self.settings
        costs = {name: [*cost_of(each)] for name, each in presets(w).items()}
        golden = {"cost": [*cost_of(w)], "time": time_of(w), "presets": costs}
        data = {
            "settings": w._asdict(),
            "golden": golden,
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of the ways: the peak, the forwards and the time of each."""
        w, rows = self.settings, ""
        whole = cost_of(presets(w)["store all"]).peak
        for name, each in {"as set here": w, **presets(w)}.items():
            forwards, peak = cost_of(each)
            rows += f"<tr><td>{name}<td>{peak}<td>{100 * peak / whole:.0f} %<td>{forwards}"
            rows += f"<td>{time_of(each):.2f}"
        kept = ", ".join(map(str, w.kept))
        return (
            f"<table><caption>{w.layers} layers, the states {kept} kept for {w.way}; a tape weighs"
            f" {w.tape} states beside its input, a backward takes two forwards. With JavaScript"
            " this is a playground.</caption><tr><th>way<th>states at the peak<th>of storing all"
            f"<th>forwards<th>time of storing all{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"CheckpointingPlayground({fields})"


def even(layers: int, parts: int) -> tuple[int, ...]:
    """The states that begin so many segments of equal lengths, or nearly."""
    return tuple(layers * part // parts for part in range(parts))


def root(layers: int) -> int:
    """√L, rounded."""
    low = isqrt(layers)
    return low + (layers > low * (low + 1))  # √L > low + 1/2


def presets(w: Settings) -> dict[str, Settings]:
    """The ways to compare with, of the same layers; Revolve has as many states as are kept."""
    least = best_parts(w.layers, 1, w.tape)
    return {
        "store all": w._replace(way="segments", kept=(0,)),
        "√L segments": w._replace(way="segments", kept=even(w.layers, root(w.layers))),
        "best even segments": w._replace(way="segments", kept=even(w.layers, least)),
        "recursive": w._replace(way="recursive"),
        "Revolve": w._replace(way="revolve"),
        "recompute all": w._replace(way="recompute_all"),
    }


def schedule_of(w: Settings) -> Schedule:
    """The actions, in their order."""
    if w.way == "segments":
        return schedules.segments_at(w.layers, w.kept)
    if w.way == "revolve":
        return schedules.revolve(w.layers, len(w.kept))
    return (schedules.recursive if w.way == "recursive" else schedules.recompute_all)(w.layers)


def cost_of(w: Settings) -> Cost:
    """Forwards, and states at the peak."""
    n = w.layers
    return schedules.run(schedule_of(w), [1] * n, [1] * n, [w.tape] * n)


def time_of(w: Settings) -> float:
    """(forwards + 2 L)/(3 L): time as a multiple of storing all's; a backward is two forwards."""
    return (cost_of(w).forwards + BACKWARD * w.layers) / ((1 + BACKWARD) * w.layers)
