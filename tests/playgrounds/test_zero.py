"""The playground of ZeRO counts what the package counts, to the byte."""

import numpy as np
import pytest

from rlcourse.playgrounds import ZeROPlayground
from rlcourse.playgrounds.zero import (
    BATCHES,
    LENGTHS,
    NAMES,
    PROMPTS,
    RANKS,
    Settings,
    kept,
    layered,
    ledger,
    parameters,
    plan,
    room,
)
from rlcourse.systems import memory_advice
from rlcourse.systems.memory_advice import KINDS
from rlcourse.systems.memory_timeline import Unit, timeline
from rlcourse.systems.training_memory import CARDS, fits, peak_of, units_of
from rlcourse.systems.zero import GB, RECIPES, Recipe, shares, states

NAME = "zero"


# ------------------------------------------------------------------------------- states

STATES = """(w) => ({
  states: stateBytes(w.parameters, w.recipe, w.ranks, w.stage),
  kept: kept(w.parameters, w.ranks, w.stage),
})"""


@pytest.fixture(scope="module")
def cases():
    """Any sizes, also such as the controls cannot set; the last leave no room for a float32."""
    rng = np.random.default_rng(0)
    found = []
    for recipe in [*RECIPES.values(), Recipe(1, 2, 4, 8, block=7)]:
        for top in [60, 5000, 10**9, 10**12, 2**48] * 8:
            found.append(
                {
                    "parameters": int(rng.integers(1, top)),
                    "recipe": recipe._asdict(),
                    "ranks": int(rng.integers(1, RANKS + 1)),
                    "stage": int(rng.integers(0, 4)),
                }
            )
    return found


def disagreements(evaluate, cases, **options):
    """The cases for which the script's bytes are not the package's."""
    answers = evaluate(NAME, STATES, cases, **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    mine = states([(w["parameters"],)], Recipe(**w["recipe"]), w["ranks"], w["stage"])
    share, whole = shares([(w["parameters"],)], w["ranks"])[0], w["parameters"]
    cut = [share if w["stage"] >= first else whole for first in (3, 2, 1)]
    return got["states"] == [*mine[0]] and got["kept"] == cut and set(mine) == {mine[0]}


def test_the_bytes_of_states_are_the_packages_to_the_byte(evaluate, cases):
    assert {w["stage"] for w in cases} == {0, 1, 2, 3}
    assert disagreements(evaluate, cases) == []


def test_no_model_has_more_bytes_than_a_number_can_hold_exactly():
    assert max(map(parameters, NAMES)) * 24 < 2**53


MUTANTS = {
    "a share rounded down": ("(n + of - 1 - ((n + of - 1) % of)) / of", "(n - (n % of)) / of"),
    "a share with a fraction": ("(n + of - 1 - ((n + of - 1) % of)) / of", "n / of"),
    "stage 2 cuts the weights": ("[3, 2, 1].map((first)", "[2, 2, 1].map((first)"),
    "stage 2 leaves the gradients": ("[3, 2, 1].map((first)", "[3, 3, 1].map((first)"),
    "stage 1 leaves the moments": ("[3, 2, 1].map((first)", "[3, 2, 2].map((first)"),
    "no stage cuts": ("(stage >= first ? share", "(stage > 3 ? share"),
    "master weights stay whole": ("recipe.master * n1", "recipe.master * n3"),
    "one moment has constants": ("2 * 4 * share(n1", "4 * share(n1"),
    "constants of all parameters": ("share(n1, recipe.block)", "share(parameters, recipe.block)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases, mutant=MUTANTS[name])


# ------------------------------------------------------------------------------- a step

STEP = "(w) => timeline(w.units, w.recipe, w)"


@pytest.fixture(scope="module")
def steps():
    """Any units."""
    rng = np.random.default_rng(1)
    found = []
    for recipe in [*RECIPES.values(), Recipe(1, 2, 4, 8, block=7)] * 25:
        most = int(rng.choice([20, 10**6, 10**11]))
        sizes = rng.integers(0, most, (int(rng.integers(1, 6)), 5)) * (rng.random(5) < 0.8)
        units = [
            Unit(f"unit {i}", *map(int, (n + 1, 1 + n % 5, *size)))
            for i, (n, *size) in enumerate(sizes)
        ]
        found.append(
            {
                "units": [unit._asdict() for unit in units],
                "recipe": recipe._asdict(),
                "ranks": int(rng.choice([1, 2, 3, 8, 64, 1000])),
                "stage": int(rng.integers(0, 4)),
                "batch": int(rng.integers(1, 100)),
                "tokens": int(rng.integers(1, 10**5)),
            }
        )
    return found


def other_steps(evaluate, steps, **options):
    """The steps of which the script's timeline is not the package's."""
    answers = evaluate(NAME, STEP, steps, **options)
    return [w for w, got in zip(steps, answers, strict=True) if got != moments_of(w)]


def moments_of(w):
    units = [Unit(**unit) for unit in w["units"]]
    batch = 2 * 8 * w["batch"] * w["tokens"]  # tokens and targets, of 8 bytes
    found = timeline(units, Recipe(**w["recipe"]), w["ranks"], w["stage"], batch=batch)
    return [[name, owners] for name, *owners in found]


def test_the_timeline_is_the_packages_moment_by_moment(evaluate, steps):
    assert {(w["ranks"] == 1, w["stage"]) for w in steps} == {
        (alone, stage) for alone in (True, False) for stage in range(4)
    }
    assert other_steps(evaluate, steps) == []


def test_the_peak_is_the_first_of_the_highest_moments(evaluate, steps):
    found = evaluate(NAME, "(w) => peak(timeline(w.units, w.recipe, w))", steps)
    for w, (name, owners) in zip(steps, found, strict=True):
        totals = [sum(moment[1]) for moment in moments_of(w)]
        assert sum(owners) == max(totals)
        assert name == moments_of(w)[totals.index(max(totals))][0]


STEP_MUTANTS = {
    "counts of alone": ("(ranks > 1 && stage ? 1 : tensors)", "(stage ? 1 : tensors)"),
    "counts without moments": ("if (recipe.moments)", "if (true)"),
    "one rank gathers": ("unit && ranks > 1 && stage === 3", "unit && stage === 3"),
    "stage 2 gathers": ("unit && ranks > 1 && stage === 3", "unit && ranks > 1 && stage > 1"),
    "rows without padding": ("ranks * share(parameters, ranks)", "parameters"),
    "no master weights": ("bytes[2] + bytes[3]", "bytes[3]"),
    "nothing is held": ("held += unit.held", "held += 0"),
    "nothing is released": ("held -= unit.released", "held -= 0"),
    "no reduction": ("if (fresh !== mine) note", "if (false) note"),
    "reduced without a row": ("(ranks > 1 && stage > 1 ? row", "(ranks > 1 && stage > 2 ? row"),
    "a row for one rank": ("(ranks > 1 && stage > 1 ? row", "(stage > 1 ? row"),
    "no gradients": ("gradients += mine", "gradients += 0"),
    "gradients of the first": ("kept.at(-1 - i)[1]", "kept.at(i)[1]"),
    "tokens without targets": ("16 * batch * tokens", "8 * batch * tokens"),
    "no update": ('note("update", 0);', ""),
}  # fmt: skip


@pytest.mark.parametrize("name", STEP_MUTANTS)
def test_a_wrong_timeline_is_caught(evaluate, steps, name):
    assert other_steps(evaluate, steps, mutant=STEP_MUTANTS[name])


def settings(rng, number):
    """What the controls can set."""
    return [
        Settings(
            str(rng.choice(NAMES)), int(RANKS ** rng.random()), int(rng.integers(0, 4)),
            str(rng.choice([*RECIPES])), str(rng.choice([*CARDS])), int(rng.choice(BATCHES)),
            int(rng.choice(LENGTHS)), bool(rng.random() < 0.5),
        )
        for _ in range(number)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def shown():
    """Settings of models with layers, each of them at least once."""
    rng = np.random.default_rng(3)
    return [w for w in settings(rng, 300) if layered(w.model)]


def known(w):
    return {"w": w._asdict(), "model": ledger(w.model), "recipe": RECIPES[w.recipe]._asdict()}


def other_units(evaluate, shown, **options):
    """The settings for which the script's units are not the package's."""
    answers = evaluate(
        NAME, "(c) => unitsOf(c.model, c.recipe, c.w)", [*map(known, shown)], **options
    )
    wanted = [[unit._asdict() for unit in units_of(plan(w))] for w in shown]
    return [w for w, got, units in zip(shown, answers, wanted, strict=True) if got != units]


def test_the_units_are_the_packages_to_the_byte(evaluate, shown):
    assert {w.model for w in shown} == {name for name in NAMES if layered(name)}
    assert other_units(evaluate, shown) == []


def test_rows_that_are_left_out_are_never_the_most(evaluate):
    every = [
        Settings("Qwen3-0.6B", batch=batch, tokens=tokens, recipe=recipe, checkpointing=lean)
        for batch in BATCHES
        for tokens in LENGTHS
        for recipe in ("fp32 Adam", "bf16 Adam")
        for lean in (False, True)
    ]
    assert other_units(evaluate, every) == []


UNIT_MUTANTS = {
    "one sequence": ("tokens * (row + batch * token)", "tokens * (row + token)"),
    "rows for each sequence": ("tokens * (row + batch * token)", "tokens * batch * (row + token)"),
    "the first block everywhere": ("i ? other : first", "first"),
    "never the first block": ("i ? other : first", "other"),
    "the least": ("Math.max(...rows.map(at))", "Math.min(...rows.map(at))"),
    "always recomputed": ("[Number(checkpointing)]", "[1]"),
    "tied weights are gathered once": ("tied && stage === 3 && ranks > 1", "false"),
    "tied weights are gathered alone": ("tied && stage === 3 && ranks > 1", "tied && stage === 3"),
    "all weights are tied": ("tied && stage === 3 && ranks > 1", "stage === 3 && ranks > 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNIT_MUTANTS)
def test_wrong_units_are_caught(evaluate, shown, name):
    alone = Settings("Qwen2.5-0.5B", ranks=1, stage=3)
    assert other_units(evaluate, [alone, *shown[:60]], mutant=UNIT_MUTANTS[name])


def test_the_peak_of_a_step_is_the_packages_to_the_byte(evaluate, shown):
    step = "(c) => peak(timeline(unitsOf(c.model, c.recipe, c.w), c.recipe, c.w))"
    for w, (name, owners) in zip(shown, evaluate(NAME, step, [*map(known, shown)]), strict=True):
        assert [name, *owners] == [*peak_of(plan(w))]


# ------------------------------------------------------------------------------- advice

ADVICE = """(c) => advice(c.w, c.kinds, c.every, (w) => {
  const recipe = c.every[w.recipe];
  const need = c.model.layers
    ? sum(peak(timeline(unitsOf(c.model, recipe, w), recipe, w))[1])
    : sum(stateBytes(c.parameters, recipe, w.ranks, w.stage));
  return need <= c.room;
})"""


def advised(evaluate, cases, **options):
    every = {name: recipe._asdict() for name, recipe in RECIPES.items()}
    known = [
        {"w": w._asdict(), "model": ledger(w.model), "parameters": parameters(w.model),
         "room": room(w.card), "every": every,
         "kinds": KINDS if layered(w.model) else ["stage", "ranks", "recipe"]}
        for w in cases
    ]  # fmt: skip
    return evaluate(NAME, ADVICE, known, **options)


HARD = [
    Settings("Llama-2-70B", 49, 1, "bf16 Adam, fp32 gradients", "RTX 4090 24 GB", 1, 16384, True),
    Settings("Llama-3.1-8B", 2, 0, "fp32 Adam", "A10 24 GB", 4, 4096, True),
    Settings("Llama-3.2-1B", 1, 2, "bf16 Adam", "T4 16 GB", 1, 4096),
    Settings("Llama-2-7B", 22, 0, "bf16 Adam, fp32 gradients", "A100 80 GB", 1, 16384),
    Settings("Llama-3.1-8B", 1, 2, "fp32 Adam", "H200 141 GB", 1, 32768, True),
    Settings("Qwen3-8B", 2, 3, "fp32 Adam", "A100 40 GB", 4, 1024, True),
    Settings("Llama-3.1-70B", 1, 1, "bf16 Adam", "L4 24 GB", 32, 1024),
]


@pytest.fixture(scope="module")
def tight(shown):
    """Settings that do not fit, with the package's advice where it asks for no shorter sequence."""
    some = [*HARD, *shown[:80]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_advice, "MOST_RANKS", RANKS)
        found = [(w, [x.plan for x in memory_advice.advice(plan(w), w.card)]) for w in some]
    return [
        (w, plans)
        for w, plans in found
        if not fits(plan(w), w.card) and all(x.tokens >= LENGTHS[0] for x in plans)
    ]


def other_advice(evaluate, tight, **options):
    """The settings for which the script's advice is not the package's."""
    answers = advised(evaluate, [w for w, _ in tight], **options)
    return [
        w
        for (w, plans), found in zip(tight, answers, strict=True)
        if [plan(Settings(**x)) for x in found] != plans
    ]


def test_advice_is_the_packages(evaluate, tight):
    kinds = {len(changed(w, x)) for w, plans in tight for x in plans}
    assert kinds == {1, 2, 3}
    assert any(not plans for _, plans in tight)
    assert other_advice(evaluate, tight) == []


def changed(w, other):
    return [kind for kind in KINDS if getattr(other, kind) != getattr(w, kind)]


ADVICE_MUTANTS = {
    "the lightest recipe first": ("(a, b) => each(recipes[b])", "(b, a) => each(recipes[b])"),
    "the last stage first": ("[1, 2, 3].filter", "[3, 2, 1].filter"),
    "a stage for one rank": ("w.ranks > 1 && stage > w.stage", "stage > w.stage"),
    "four times the ranks": ("[2 * x, ...twice(2 * x)]", "[2 * x, ...twice(4 * x)]"),
    "never three": ("of [1, 2, 3]) {", "of [1, 2]) {"),
    "two before one": ("of [1, 2, 3]) {", "of [2, 1, 3]) {"),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE_MUTANTS)
def test_wrong_advice_is_caught(evaluate, tight, name):
    assert other_advice(evaluate, tight, mutant=ADVICE_MUTANTS[name])


def test_advice_without_layers_goes_by_the_states_alone(evaluate):
    start = Settings("DeepSeek-V3", stage=3, ranks=64)
    [found] = advised(evaluate, [start])
    assert kept(start).total > room(start.card)
    assert found[0] == start._asdict() | {"ranks": 128}
    assert [changed(start, Settings(**x)) for x in found] == [["ranks"], ["recipe"]]
    for x in found:
        assert kept(Settings(**x)).total <= room(start.card)


# ------------------------------------------------------------------------------- prompts


def asked(number):
    return Settings()._replace(**PROMPTS[number].set), PROMPTS[number].answer


def totals(w):
    """GB that each rank keeps, stage by stage, as the bars write them."""
    return [f"{kept(w._replace(stage=stage)).total / GB:.1f}" for stage in range(4)]


def test_by_default_the_bars_are_those_of_the_paper():
    w = Settings()
    assert parameters(w.model) == 7_500_000_000
    assert totals(w) == ["120.0", "31.4", "16.6", "1.9"]
    assert 31.4 * GB < 80 * GB < room(w.card) < 120 * GB


def test_whole_weights_are_a_floor_that_no_number_of_ranks_lowers():
    w, answer = asked(0)
    assert (w.ranks, w.stage) == (16 * Settings().ranks, 2)
    assert totals(w) == ["120.0", "30.1", "15.1", "0.1"]
    assert kept(w).weights == 15 * GB
    assert kept(w._replace(stage=1))[:2] == (15 * GB, 15 * GB)
    for words in ("15.1 GB instead of 16.6", "Stage 1 keeps 30 GB whole", "from 1.9 to 0.1 GB"):
        assert words in answer


def test_float32_is_as_many_bytes_split_otherwise():
    w, answer = asked(1)
    assert totals(w) == ["120.0", "60.9", "31.4", "1.9"]
    assert kept(w).master == 0
    for words in ("60.9 GB instead of 31.4", "31.4 instead of 16.6", "At stages 0 and 3, yes"):
        assert words in answer


def test_activations_do_not_shrink_with_the_ranks():
    w, answer = asked(2)
    most, least = peak_of(plan(w)), peak_of(plan(w._replace(checkpointing=True)))
    assert f"{kept(w).total / GB:.1f}" == "17.8"
    assert (w.batch, w.tokens) == (1, 8192)
    assert f"{most.total / GB:.1f}" == "87.5"
    assert not fits(plan(w), w.card)
    assert (most.name, f"{most.activations / GB:.1f}") == ("backward loss", "61.5")
    assert f"{most.working / GB:.1f}" == "8.4"
    wide = peak_of(plan(w._replace(ranks=RANKS)))
    assert (wide.activations, wide.working) == (most.activations, most.working)
    assert not fits(plan(w._replace(ranks=RANKS)), w.card)
    assert f"{least.total / GB:.1f}" == "32.7"
    assert f"{least.activations / GB:.1f}" == "6.7"
    for words in ("87.5 GB: 61.5", "needs 8.4", "leaves 6.7 GB", "peak of 32.7"):
        assert words in answer


# ------------------------------------------------------------------------------- the object


def test_copied_code_prints_the_same_numbers(evaluate, capsys):
    rng = np.random.default_rng(2)
    some = [Settings(), *settings(rng, 30)]
    known = [[w._asdict(), {"parameters": parameters(w.model), **ledger(w.model)}] for w in some]
    code = evaluate(NAME, "([w, model]) => python(w, model)", known)
    for w, text in zip(some, code, strict=True):
        exec(text, {})
        out = capsys.readouterr().out
        assert out.startswith(f"states: {kept(w).total:,} bytes on each rank\n")
        assert layered(w.model) == ("peak: " in out)
        if layered(w.model):
            most = peak_of(plan(w))
            words = f"peak: {most.total:,} bytes, {most.name}; fits: {most.total <= room(w.card)}"
            assert words in out


def test_only_the_default_asks_its_questions():
    assert ZeROPlayground(ranks=8).data()["prompts"] == []


def test_the_table_tells_what_a_rank_keeps_and_what_fits():
    table = ZeROPlayground().fallback()
    assert table.count("<tr>") == 5
    assert "<tr><td>0<td>15.0<td>15.0<td>90.0<td>120.0<td>no" in table
    assert "<tr><td>2<td>15.0<td>0.2<td>1.4<td>16.6<td>yes" in table
    other = ZeROPlayground(ranks=1, model="Mixtral-8x7B").fallback()
    assert other.count("<td>no") == 4
    assert "46,702,792,704 parameters" in other


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "GPT-5"}, "model must be one of 7.5 G parameters, gpt2, .*, got 'GPT-5'"),
        ({"ranks": 0}, "ranks must be an integer of at least 1, got 0"),
        ({"ranks": 1025}, "ranks must be at most 1024, got 1025"),
        ({"stage": 4}, "stage must be one of 0, 1, 2, 3, got 4"),
        ({"recipe": "fp8"}, "recipe must be one of fp32 Adam, .*, got 'fp8'"),
        ({"card": "V100"}, "card must be one of"),
        ({"batch": 3}, "batch must be one of 1, 2, 4, .*, got 3"),
        ({"tokens": 1000}, "tokens must be one of 512, .*, got 1000"),
        ({"checkpointing": None}, "checkpointing must be one of False, True, got None"),
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ZeROPlayground(**settings)
