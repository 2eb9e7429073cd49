"""The timeline against `zero.step_peak`, against `zero.states`, and against counting by hand."""

import pytest

from rlcourse.systems.memory_timeline import OWNERS, Unit, peak, timeline
from rlcourse.systems.zero import RECIPES, Recipe, states, step_peak

FP32, BF16 = RECIPES["fp32 Adam"], RECIPES["bf16 Adam"]


def layer(name: str, parameters: int, saved: int, element: int = 4) -> Unit:
    """A unit without working memory: its gradients come before what it saved goes."""
    return Unit(name, parameters, 0, saved, saved, element * parameters, saved)


@pytest.mark.parametrize("layers", [1, 2, 7])
@pytest.mark.parametrize("saved", [0, 10, 399, 400, 401, 5000])
@pytest.mark.parametrize("first", [True, False])
def test_equal_units_give_the_peak_of_equal_layers(layers: int, saved: int, first: bool) -> None:
    units = [layer(str(i), 100, saved) for i in range(layers)]
    kept = 0 if first else 800
    expected = step_peak(layers, 400, 400, saved, kept)
    passes = timeline(units, FP32, first=first)[:-1]
    assert peak(passes).total == expected


def test_with_more_saved_than_gradients_the_peak_is_at_the_turn_else_at_the_end() -> None:
    for saved, name in ((500, "backward c"), (300, "backward a")):
        units = [layer(x, 100, saved) for x in "abc"]
        assert peak(timeline(units, Recipe(4, 4, 0, 0))[:-1]).name == name


def test_moments_come_with_the_first_update() -> None:
    units = [layer("a", 10, 7), layer("b", 20, 5)]
    first, later = (timeline(units, BF16, first=x) for x in (True, False))
    assert {m.optimizer for m in first[:-1]} == {4 * 30}
    assert {m.optimizer for m in later} == {first[-1].optimizer} == {12 * 30}


def test_a_step_counted_by_hand() -> None:
    units = [Unit("a", 10, 2, 7, 9, 50, 7), Unit("b", 20, 1, 5, 30, 90, 5)]
    moments = timeline(units, FP32, batch=3, update=11)
    assert [(m.name, m.gradients, m.activations, m.working) for m in moments] == [
        ("forward a", 0, 0, 9),
        ("forward b", 0, 7, 30),
        ("backward b", 0, 12, 90),
        ("backward a", 80, 7, 50),
        ("update", 120, 0, 11),
    ]
    assert {(m.weights, m.optimizer, m.batch) for m in moments} == {(120, 240 + 4 * 3, 3)}
    assert moments[2].total == 120 + 252 + 3 + 12 + 90


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("ranks", [1, 2, 3, 64])
@pytest.mark.parametrize("recipe", RECIPES.values())
def test_after_the_backward_pass_what_is_kept_are_the_states(
    stage: int, ranks: int, recipe: Recipe
) -> None:
    sizes = [101, 64, 7]
    last = timeline([layer(str(n), n, 1) for n in sizes], recipe, ranks, stage)[-1]
    counts = 4 * len(sizes) * bool(recipe.moments) if ranks > 1 and stage else 0
    each = [states([(n,)], recipe, ranks, stage)[0].total for n in sizes]
    assert (last.total, last.activations) == (sum(each) + counts, 0)


def test_stage_3_gathers_the_unit_that_runs_and_those_ahead() -> None:
    units = [layer(name, n, 1) for name, n in (("a", 5), ("b", 8), ("c", 11))]
    rows = [4 * 2 * 3, 4 * 2 * 4, 4 * 2 * 6]
    forwards = [m for m in timeline(units, FP32, 2, 3) if m.name[0] == "f"]
    assert [m.gathered for m in forwards] == rows
    backwards = [m for m in timeline(units, FP32, 2, 3, ahead=1) if m.name[0] == "b"]
    assert [m.gathered for m in backwards] == [rows[2] + rows[1], rows[1] + rows[0], rows[0]]
    assert all(m.gathered == 0 for m in timeline(units, FP32, 2, 2) + timeline(units, FP32, 1, 3))


def test_gradients_are_reduced_where_only_a_share_stays() -> None:
    units = [layer("a", 5, 1), layer("b", 9, 1)]
    for stage in (0, 1):
        assert not [m for m in timeline(units, FP32, 2, stage) if m.name[0] == "r"]
    reduce_b, reduce_a = (m for m in timeline(units, FP32, 2, 2) if m.name[0] == "r")
    assert (reduce_b.working, reduce_b.gradients) == (4 * (9 + 10 + 5), 0)
    assert (reduce_a.working, reduce_a.gradients) == (4 * (5 + 6 + 3), 4 * 5)


def test_gradients_kept_in_float32_come_beside_those_in_16_bits() -> None:
    moments = timeline([layer("a", 5, 1, 2)], RECIPES["bf16 Adam, fp32 gradients"])
    assert [m.working for m in moments if m.name == "reduce a"] == [2 * 5 + 4 * 5]


def test_owners_are_all_there_is() -> None:
    moment = timeline([layer("a", 5, 3)], BF16, 2, 3, batch=17)[1]
    assert moment.total == sum(getattr(moment, owner) for owner in OWNERS)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="units"):
        timeline([], FP32)
    with pytest.raises(ValueError, match="stage"):
        timeline([layer("a", 5, 1)], FP32, 2, 4)
    with pytest.raises(ValueError, match="ranks"):
        timeline([layer("a", 5, 1)], FP32, 0, 1)
