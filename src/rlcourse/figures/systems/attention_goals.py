"""What was asked of the kernels, and what one run on a card measured: met or missed.

Those of attention hold at head dimension 128 and 4096 tokens or more. Every goal is judged case by
case, on the record's numbers as they are. What the record lacks has no line.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rlcourse.figures.systems.attention_speed import Record, Rows, Tables
from rlcourse.results import load

HELD = 16384  # columns that the softmax kernel keeps in registers: longer rows are read twice
Case = dict[str, Any]


class Goal(NamedTuple):
    """A goal: `least` of the measure of every case; `best` asks it of the best case alone.

    measure(case) is None where the case is no part of the goal.
    """

    says: str
    least: float
    measure: Callable[[Case], float | None]
    best: bool = False


class Found(NamedTuple):
    """The measured values of a goal's cases, ascending, and how many reach it."""

    goal: Goal
    values: list[float]
    met: int


def over(what: str, peer: str, causal: bool | None = None) -> Callable[[Case], float | None]:
    """The kernel's speed over a peer's, both of one case."""

    def measure(case: Case) -> float | None:
        speed = attention(case, what, causal)
        return speed["ours"] / speed[peer] if {"ours", peer} <= speed.keys() else None

    return measure


def speed_of(what: str) -> Callable[[Case], float | None]:
    """The kernel's TFLOP/s in a case."""
    return lambda case: attention(case, what).get("ours")


def attention(case: Case, what: str, causal: bool | None = None) -> dict[str, float]:
    """TFLOP/s by method of a case that goals are about, else nothing."""
    asked = case["kind"] == "attention" and case["D"] == 128 and case["N"] >= 4096
    if not asked or causal not in (None, case["causal"]):
        return {}
    return dict(case[f"{what}_tflops"])


def moved(kind: str, whole: str, held: bool | None = None) -> Callable[[Case], float | None]:
    """TB/s over those of a copy, or of a peer in the same case."""

    def measure(case: Case) -> float | None:
        if case["kind"] != kind or held not in (None, case["M"] <= HELD):
            return None
        of_copy: dict[str, float] = case["of_copy"]
        if not {"ours", whole} <= {*of_copy, "copy"}:
            return None
        return of_copy["ours"] / of_copy.get(whole, 1.0)

    return measure


GOALS = (
    Goal("forward, over PyTorch's flash", 1.2, over("forward", "sdpa_flash")),
    Goal("forward, over cuDNN", 0.8, over("forward", "cudnn", causal=False)),
    Goal("forward, over cuDNN, causal", 0.8, over("forward", "cudnn", causal=True)),
    Goal("forward, the best in TFLOP/s", 560, speed_of("forward"), best=True),
    Goal("backward, over PyTorch's flash", 1.0, over("backward", "sdpa_flash")),
    Goal("decoding, over a copy", 0.7, moved("decode", "copy")),
    Goal("softmax, rows held, over a copy", 0.9, moved("softmax", "copy", held=True)),
    Goal("softmax, longer rows, over a copy", 0.9, moved("softmax", "copy", held=False)),
    Goal("softmax, over torch.softmax", 1.0, moved("softmax", "torch")),
)


def judge(record: Record, goals: Iterable[Goal] = GOALS) -> list[Found]:
    """Each goal that the record has cases of, with what was measured."""
    found = []
    for goal in goals:
        values = sorted(x for row in record["rows"] if (x := goal.measure(row)) is not None)
        values = values[-1:] if goal.best else values
        if values:
            found.append(Found(goal, values, sum(x >= goal.least for x in values)))
    return found


def goal_table(record: Record) -> Tables:
    """Goal, the least and the most that was measured, and how many cases met it."""
    rows: Rows = [("goal", "measured", "verdict")]
    for goal, values, met in judge(record):
        low, high = (f"{x:.0f}" if x >= 100 else f"{x:#.3g}" for x in (values[0], values[-1]))
        span = low if low == high else f"{low} to {high}"
        all_or_none = {len(values): "met", 0: "missed"}
        verdict = all_or_none.get(met, f"{met} of {len(values)} met")
        rows.append((f"{goal.says}: ≥ {goal.least:g}", span, verdict))
    says = "Attention at D = 128 and 4096 tokens or more; in two cases 8 heads share their keys."
    return Tables(says, (rows,))


def repeats(record: Record, what: str) -> float:
    """The most by which two measurements of one case of the kernel differ, relative."""
    speeds: dict[tuple[object, ...], list[float]] = {}
    for row in record["rows"]:
        if row["kind"] == "attention":
            case = tuple(row[name] for name in ("B", "H", "G", "N", "D", "causal"))
            speeds.setdefault(case, []).append(row[f"{what}_tflops"]["ours"])
    return max(max(of) / min(of) - 1 for of in speeds.values())


class Specialised(NamedTuple):
    """The forward at D = 128, unmasked, with some warps fetching and others computing, and without.

    tried, hung: launches with; best, best_without: TFLOP/s.
    """

    tried: int
    hung: int
    best: float
    best_without: float


def specialised() -> Specialised:
    """What the recorded trial of `warp_specialize=True` gave."""
    rows = [
        row
        for row in load("gpu/warp_specialisation")["rows"]
        if (row["kernel"], row["D"], row["causal"]) == ("forward", 128, False)
    ]
    tried = [row["tflops"] for row in rows if row["specialised"]]
    ran = [speed for speed in tried if speed is not None]
    without = max(row["tflops"] for row in rows if not row["specialised"])
    return Specialised(len(tried), len(tried) - len(ran), max(ran), without)
