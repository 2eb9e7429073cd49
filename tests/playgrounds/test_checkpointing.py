"""The playground of checkpointing makes the schedules of the package, and counts what it counts."""

from itertools import accumulate

import numpy as np
import pytest

from rlcourse.playgrounds import CheckpointingPlayground
from rlcourse.playgrounds.checkpointing import (
    LAYERS,
    PROMPTS,
    TAPE,
    WAYS,
    Settings,
    cost_of,
    even,
    presets,
    root,
    schedule_of,
    time_of,
)
from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems.checkpointing import best_parts, revolve_forwards, segment_peak

NAME = "checkpointing"


def settings(rng, n):
    """Any that the controls can set, with any states kept."""
    found = []
    for _ in range(n):
        layers = int(rng.integers(LAYERS[0], LAYERS[1] + 1))
        chosen = (1 + np.flatnonzero(rng.random(layers - 1) < rng.random())).tolist()
        parts = int(rng.integers(1, layers + 1))
        found.append(
            Settings(
                layers,
                int(rng.integers(TAPE[0], TAPE[1] + 1)),
                WAYS[int(rng.choice(4, p=(0.55, 0.05, 0.3, 0.1)))],
                even(layers, parts) if rng.random() < 0.3 else (0, *chosen),
            )
        )
    return found


@pytest.fixture(scope="module")
def cases():
    return [Settings(), *settings(np.random.default_rng(0), 400)]


def held_by(schedule, tape):
    """States held after each action, counted anew from the sets each time."""
    kept, tapes, found = set(), set(), []
    for kind, i in schedule:
        {"keep": kept.add, "drop": kept.discard, "tape": tapes.add, "backward": tapes.discard}.get(
            kind, lambda i: None
        )(i)
        found.append(len(kept | {layer - 1 for layer in tapes}) + tape * len(tapes))
    return found


def ends_of(schedule):
    """When each action ends: a forward takes 1, a backward 2."""
    took = {"forward": 1, "tape": 1, "backward": 2}
    return list(accumulate(took.get(action.kind, 0) for action in schedule))


SCHEDULES = """(w) => {
  const schedule = scheduleOf(w);
  return { schedule, ...trace(schedule, w.layers, w.tape),
    time: timeOf(trace(schedule, w.layers, w.tape), w.layers),
    presets: presets(w).map(([name, set]) => [name, { ...w, ...set }]) };
}"""


def disagreements(evaluate, cases, **options):
    """The settings for which the script's schedule or costs are not the package's."""
    answers = evaluate(NAME, SCHEDULES, [w._asdict() for w in cases], **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    schedule, cost = schedule_of(w), cost_of(w)
    held = held_by(schedule, w.tape)
    first = held.index(cost.peak) + 1
    kinds = [action.kind for action in schedule[:first]]
    return (
        got["schedule"] == [[*action] for action in schedule]
        and (got["forwards"], got["peak"], got["time"]) == (*cost, time_of(w))
        and (got["held"], got["first"]) == (held, first)
        and got["tall"] == kinds.count("tape") - kinds.count("backward")
        and (got["end"], got["total"]) == (ends_of(schedule), cost.forwards + 2 * w.layers)
        and spans(got["states"], schedule, "keep", "drop")
        and spans(got["tapes"], schedule, "tape", "backward")
        and got["presets"]
        == [[name, {**x._asdict(), "kept": [*x.kept]}] for name, x in presets(w).items()]
    )


def spans(got, schedule, begins, ends):
    """Whether each span goes from when one action ends to when another begins."""
    end = [0, *ends_of(schedule)]  # an action begins when the one before it ends
    since, found = {}, []
    for j, (kind, i) in enumerate(schedule):
        if kind == begins:
            since[i] = end[j + 1]
        if kind == ends:
            found.append([i, since.pop(i), end[j]])
    return got == found + [[i, start, end[-1]] for i, start in since.items()]


def test_schedules_and_costs_are_the_packages(evaluate, cases):
    assert {w.way for w in cases} == {*WAYS}
    uneven = [w for w in cases if w.kept != even(w.layers, len(w.kept)) and w.way == "segments"]
    assert len(uneven) > 100
    assert disagreements(evaluate, cases) == []


def test_what_is_held_has_the_peak_that_run_counts(cases):
    for w in cases[:100]:
        assert max(held_by(schedule_of(w), w.tape)) == cost_of(w).peak


MUTANTS = {
    "the first segment is taped at once": ("earlier] = parts.reverse()", "earlier] = parts"),
    "even segments, longer first": (
        "Math.floor((layers * part) / parts)",
        "Math.ceil((layers * part) / parts)",
    ),
    "a state is not dropped": ('["load", low], ["drop", low], ...taped', '["load", low], ...taped'),
    "segments run back in order": (
        "const home = earlier.flatMap",
        "const home = [...earlier].reverse().flatMap",
    ),
    "halves rounded up": ("Math.floor((low + high) / 2)", "Math.ceil((low + high) / 2)"),
    "the middle stays kept": ('["drop", middle], ...first', "...first"),
    "a forward too many": ('each("forward", low, i - 1)', 'each("forward", low, i)'),
    "Revolve splits as with one state less": (
        "revolveForwards(k, states))",
        "revolveForwards(k, states - 1))",
    ),
    "Revolve's second part may keep as many": (
        "revolved(middle, high, states - 1)",
        "revolved(middle, high, states)",
    ),
    "of equal splits the last": ("if (value(k) < value(found))", "if (value(k) <= value(found))"),
    "what is dropped still counts": ("(extra -= 1), states", "states"),
    "a kept input in a tape counts twice": ("extra -= kept.has(i - 1) ? 1 : 0", "extra -= 0"),
    "a tape without its input": ("extra + made.size * (1 + tape)", "extra + made.size * tape"),
    "a backward takes one": ("now += 2;", "now += 1;"),
    "tapes that are made are not forwards": (
        'if (kind === "forward" || kind === "tape")',
        'if (kind === "forward")',
    ),
    "time without backwards": ("(forwards + 2 * layers) / (3 * layers)", "forwards / layers"),
    "one segment fewer is best": (
        "least(layers + 1, (k) => segmentPeak",
        "least(layers, (k) => segmentPeak",
    ),
    "the peak without the kept inputs": ("parts - 1 + Math.ceil", "Math.ceil"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases, mutant=MUTANTS[name])


NUMBERS = """([layers, k]) => [
  repeats(layers, k), revolveForwards(layers, k), segmentPeak(layers, k, 5), bestParts(layers, k),
]"""


def test_the_formulas_are_the_packages(evaluate):
    cases = [[n, k] for n in range(1, LAYERS[1] + 1) for k in range(1, n + 1)]
    answers = evaluate(NAME, NUMBERS, cases)
    for (n, k), (repeats, more, peak, best) in zip(cases, answers, strict=True):
        assert more == revolve_forwards(n, k)
        assert (peak, best) == (segment_peak(n, k, 1, 5), best_parts(n, 1, k))
        assert repeats == repeats_of(n, k)


def repeats_of(layers, states):
    """How often Revolve computes a layer again at most, counted in its schedule."""
    counts = np.zeros(layers + 1, int)
    for kind, i in schedules.revolve(layers, states):
        counts[i] += kind in ("forward", "tape")
    return max(counts) - 1


def test_the_root_is_rounded():
    assert [root(n) for n in range(1, 400)] == [round(n**0.5) for n in range(1, 400)]


# ------------------------------------------------------------------------------- prompts


def asked(number):
    changed = Settings()._replace(**PROMPTS[number].set)
    return changed._replace(kept=tuple(changed.kept)), PROMPTS[number].answer


def more(w):
    """Percent more time than storing all, as the figure writes it."""
    return f"{100 * (time_of(w) - 1):.0f} %"


def test_by_default_a_third_of_the_memory_takes_a_quarter_more_time():
    w = Settings()
    assert w.kept == presets(w)["√L segments"].kept == even(16, 4)
    assert cost_of(w) == (28, 19)
    assert cost_of(presets(w)["store all"]) == (16, 64)
    assert more(w) == "25 %"
    assert schedule_of(presets(w)["store all"]) == schedules.store_all(16)


def test_twice_the_checkpoints_are_not_half_the_peak():
    w, answer = asked(0)
    assert w.kept == even(16, 8) == presets(w)["best even segments"].kept
    assert (cost_of(Settings()).peak, cost_of(w).peak) == (19, 15)
    assert (more(Settings()), more(w)) == ("25 %", "29 %")
    assert cost_of(w._replace(kept=even(16, 16))).peak == 19
    assert cost_of(w._replace(kept=(0, 3, 6, 8, 10, 12, 14, 15))).peak == 13
    for words in ("15 states instead of 19", "29 % more time instead of 25 %", "with all 16 it is"
                  " 19 again", "8 hold least", "with 8 inputs 13 is possible"):  # fmt: skip
        assert words in answer


def test_heavy_tapes_want_a_checkpoint_at_every_layer():
    w, answer = asked(1)
    best = presets(w)["best even segments"]
    assert len(best.kept) == w.layers == 16
    assert (cost_of(best).peak, cost_of(w).peak) == (32, 71)
    assert cost_of(presets(w)["store all"]).peak == 272
    assert f"{100 * 32 / 272:.0f} %" == "12 %"
    assert more(best) == "31 %"
    for layers in range(LAYERS[0], LAYERS[1] + 1):
        for k in range(1, layers + 1):
            assert 3 * time_of(Settings(layers, kept=even(layers, k))) < 4
    for words in ("32 states, 12 % of 272, where 4 hold 71", "31 % more time, never more than a"
                  " third"):  # fmt: skip
        assert words in answer


def test_revolve_trades_time_for_the_tapes_of_a_segment():
    w, answer = asked(2)
    assert len(w.kept) == 4
    assert (more(Settings()), more(w)) == ("25 %", "56 %")
    assert cost_of(w).forwards - 16 == revolve_forwards(16, 4) == 27
    assert cost_of(Settings()).forwards - 16 == 12
    assert (cost_of(w).peak, cost_of(Settings()).peak) == (8, 19)
    for words in ("56 % more time instead of 25 %", "27 forwards more instead of 12",
                  "peaks at 8 instead of 19"):  # fmt: skip
        assert words in answer


# ------------------------------------------------------------------------------- the object


def test_copied_code_prints_the_same_numbers(evaluate, cases, capsys):
    some = cases[:60]
    code = evaluate(NAME, "(w) => python(w)", [w._asdict() for w in some])
    assert {w.way for w in some} == {*WAYS}
    for w, text in zip(some, code, strict=True):
        exec(text, {})
        forwards, peak = cost_of(w)
        assert capsys.readouterr().out == (
            f"peak: {peak} states of {w.layers * (1 + w.tape)}\n"
            f"forwards: {forwards}, time: {time_of(w):.4f} of storing all\n"
        )


def test_only_the_default_asks_its_questions():
    assert CheckpointingPlayground(tape=2).data()["prompts"] == []
    assert CheckpointingPlayground(kept=[0, 4, 8, 12]).data()["prompts"]


def test_the_table_tells_what_each_way_costs():
    table = CheckpointingPlayground().fallback()
    assert table.count("<tr>") == 8
    assert "<tr><td>as set here<td>19<td>30 %<td>28<td>1.25" in table
    assert "<tr><td>store all<td>64<td>100 %<td>16<td>1.00" in table
    assert "<tr><td>Revolve<td>8<td>12 %<td>43<td>1.56" in table
    assert "the states 0, 5 kept" in CheckpointingPlayground(kept=(0, 5)).fallback()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layers": 3}, r"layers must lie in \[4, 32\], got 3"),
        ({"layers": 33}, r"layers must lie in \[4, 32\], got 33"),
        ({"tape": 0}, "tape must be an integer of at least 1, got 0"),
        ({"tape": 35}, r"tape must lie in \[1, 34\], got 35"),
        ({"way": "chen"}, "way must be one of segments, .*, got 'chen'"),
        ({"kept": ()}, "kept must increase from 0"),
        ({"kept": (0, 16)}, "kept must increase from 0 to below layers = 16"),
        ({"kept": (0, 8, 4)}, "kept must increase from 0"),
        ({"step": -1}, r"step must lie in \[0, 53\], got -1"),
        ({"step": 54}, r"step must lie in \[0, 53\], got 54"),
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        CheckpointingPlayground(**settings)
