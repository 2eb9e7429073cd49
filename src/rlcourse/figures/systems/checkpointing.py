"""Figures of the chapter on checkpointing: what is held over a step, segments, revolve.

A state is the input of a layer, x bytes, a tape what autograd saves beside it, a bytes. Shapes: L
layers, n points of a curve.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlcourse.language.checkpoints import read_config
from rlcourse.plot import BLUE, GREEN, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.systems.checkpoint_schedules import held, segments, store_all
from rlcourse.systems.checkpointing import best_parts, revolve_forwards, segment_peak
from rlcourse.systems.decoder_activations import layer_bytes
from rlcourse.systems.parameter_counts import MODELS
from rlcourse.systems.zero import GB

MODEL, TOKENS = "Llama-3.1-8B", 8192
CARD = 80 * GB


# ------------------------------------------------------------------------------- the question


class Question(NamedTuple):
    """Layers of a model in bf16, bytes that one saves, and bytes of its input."""

    layers: int
    saved: int
    state: int


def data_question(name: str = MODEL, tokens: int = TOKENS) -> Question:
    """One sequence."""
    config = read_config(MODELS[name])
    saved, state = (layer_bytes(config, 1, tokens, 2, policy) for policy in ("all", "full"))
    return Question(config.layers, saved, state)


def draw_question(data: Question) -> Picture:
    """Left what the layers keep of one sequence; right a step of 16 layers, action by action."""
    left, axes = panel(f"{MODEL}, {TOKENS} tokens", (3.6, 2.5))
    rows = {"all that is saved": data.saved, "the inputs alone": data.state}
    for y, (words, size) in enumerate(rows.items()):
        whole = data.layers * size / GB
        axes.barh(-y, whole, 0.5, color=((RED, BLUE)[y], 0.6), edgecolor=(RED, BLUE)[y])
        axes.annotate(f"{words}: {whole:.1f} GB", (0, -y + 0.32), fontsize=8)
    axes.axvline(CARD / GB, color="#000000", linewidth=1, linestyle=":")
    axes.annotate("a card", (CARD / GB, -1.4), (-30, 0), textcoords="offset points", fontsize=7.5)
    axes.set_yticks([])
    axes.set(xlabel=f"GB, {data.layers} layers", ylim=(-1.5, 0.75), xlim=(0, 1.05 * CARD / GB))
    axes.grid(axis="y", visible=False)
    right, axes = panel("Held in a step, 16 layers", (3.6, 2.5))
    state, tape = 1, round(data.saved / data.state) - 1  # the input is among what is saved
    for words, schedule, colour, line in (
        ("store all", store_all(16), RED, "--"),
        ("4 segments", segments(16, 4), BLUE, "-"),
    ):
        axes.plot(held(schedule, [state] * 16, [tape] * 16), line, color=colour, label=words)
    axes.set(xlabel="actions of the schedule", ylabel="inputs of a layer", ylim=(0, None))
    axes.legend(fontsize=7.5)
    return picture(
        [left, right],
        f"One sequence leaves {data.layers * data.saved / GB:.1f} GB in the layers, of which their"
        f" inputs are {data.layers * data.state / GB:.1f} GB. Over a step, storing all rises to one"
        " peak and falls; with 4 segments there are four low peaks.",
    )


# ------------------------------------------------------------------------------- segments


def data_segments(layers: int, state: int, tape: int) -> dict[int, int]:
    """The peak for each number of segments."""
    return {k: segment_peak(layers, k, state, tape) for k in range(1, layers + 1)}


def draw_segments(cases: Sequence[tuple[int, int, int]] = ((64, 1, 0), (64, 1, 19))) -> Picture:
    """Peak over k for (layers, state, tape) with its two parts, the least, and the root."""
    figures = []
    for layers, state, tape in cases:
        figure, axes = panel(f"L = {layers}, a tape of {tape} states", (3.6, 2.7))
        peaks = data_segments(layers, state, tape)
        k = list(peaks)
        unit = state
        axes.plot(k, [(j - 1) * state / unit for j in k], "--", color=GREEN, label="states",
                  linewidth=1.2)  # fmt: skip
        tapes = [-(-layers // j) * (state + tape) / unit for j in k]
        axes.plot(k, tapes, "-.", color=OCHRE, label="one segment's tapes", linewidth=1.2)
        axes.plot(k, [x / unit for x in peaks.values()], color=BLUE, label="both")
        best = best_parts(layers, state, tape)
        axes.plot(best, peaks[best] / unit, "o", color=RED, label=f"least, k = {best}")
        root = (layers * (state + tape) / state) ** 0.5
        top = 2 * max(peaks[j] for j in k[layers // 2 :]) / unit  # above that stands the legend
        axes.plot([root] * 2, [0, top / 2], ":", color="#000000", linewidth=1,
                  label=f"root, {root:.1f}")  # fmt: skip
        axes.set(xlabel="segments k", ylabel="held at once, in states",
                 ylim=(0, top), xlim=(0, layers + 1))  # fmt: skip
        axes.legend(fontsize=7, loc="upper right")
        figures.append(figure)
    words = "; ".join(
        f"with a tape of {tape} states least at k = {best_parts(layers, state, tape)}"
        for layers, state, tape in cases
    )
    return picture(
        figures,
        "States grow with the number of segments, a segment's tapes shrink, and their sum has one"
        f" low region: of 64 layers, {words}.",
    )


# ------------------------------------------------------------------------------- revolve

LENGTHS = {16: (GREEN, "-.", "^"), 64: (BLUE, "-", "s"), 256: (PURPLE, "--", "D")}
TAPE = 19  # states that a tape weighs in the decoder of the experiment


class Ways(NamedTuple):
    """Of L layers: (states' worth held, extra forwards a layer) by revolve and by segments."""

    revolve: list[tuple[int, float]]
    segments: list[tuple[int, float]]


def data_revolve(tape: int = TAPE, most: int = 160) -> dict[int, Ways]:
    """Every number of states, and the best of segments, that holds no more than `most`."""
    return {
        layers: Ways(
            [
                (c + 1 + tape, revolve_forwards(layers, c) / layers)
                for c in range(1, min(layers, most - tape))
            ],
            _best(
                (segment_peak(layers, k, 1, tape), (layers - -(-layers // k)) / layers)
                for k in range(2, layers + 1)
                if segment_peak(layers, k, 1, tape) <= most
            ),
        )
        for layers in LENGTHS
    }


def _best(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Those that no other beats in both, from the leanest on."""
    found: list[tuple[int, float]] = []
    for point in sorted(points):
        if not found or point[1] < found[-1][1]:
            found.append(point)
    return found


def draw_revolve(data: dict[int, Ways]) -> Picture:
    """Extra forwards a layer over what is held; segments as single points."""
    figure, axes = panel(f"What memory costs in time, a tape of {TAPE} states", (4.8, 3.1))
    for layers, (colour, line, marker) in LENGTHS.items():
        axes.plot(*zip(*data[layers].revolve, strict=True), line, color=colour,
                  label=f"revolve, L = {layers}")  # fmt: skip
        axes.plot(*zip(*data[layers].segments, strict=True), marker, color=colour, alpha=0.6,
                  markersize=4, label=f"segments, L = {layers}")  # fmt: skip
    axes.set(xlabel="held at once, in states", ylabel="extra forwards a layer", xlim=(TAPE, None),
             ylim=(0, 6))  # fmt: skip
    axes.legend(fontsize=7)
    least = {layers: min(data[layers].segments) for layers in LENGTHS}
    words = "; ".join(
        f"of {layers} layers segments hold {states} or more and take {extra:.2f}"
        for layers, (states, extra) in least.items()
    )
    return picture(
        figure,
        "Extra forwards a layer fall as more is held. Segments take less than one but can't go low:"
        f" {words}. Revolve goes down to the weight of one tape.",
    )
