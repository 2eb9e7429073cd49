"""The playground of ZeRO counts what the package counts, to the byte."""

import numpy as np
import pytest

from rlcourse.playgrounds import ZeROPlayground
from rlcourse.playgrounds.zero import (
    CARDS,
    NAMES,
    PROMPTS,
    RANKS,
    Settings,
    kept,
    parameters,
)
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
    "a share rounded down": ("((n - 1) % of)) / of + 1", "((n - 1) % of)) / of"),
    "a share with a fraction": ("(n - 1 - ((n - 1) % of)) / of + 1", "n / of"),
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
    assert CARDS[w.card] == 80 * GB


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


# ------------------------------------------------------------------------------- the object


def test_copied_code_prints_the_same_numbers(evaluate, capsys):
    rng = np.random.default_rng(2)
    some = [Settings()] + [
        Settings(
            str(rng.choice(NAMES)), int(rng.integers(1, RANKS + 1)), int(rng.integers(0, 4)),
            str(rng.choice(list(RECIPES))),
        )
        for _ in range(20)
    ]  # fmt: skip
    known = [w._asdict() | {"parameters": parameters(w.model)} for w in some]
    code = evaluate(NAME, "(w) => python(w, w.parameters)", known)
    for w, text in zip(some, code, strict=True):
        exec(text, {})
        total = kept(w).total
        assert f"states: {total:,} bytes on each rank" in capsys.readouterr().out


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
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ZeROPlayground(**settings)
