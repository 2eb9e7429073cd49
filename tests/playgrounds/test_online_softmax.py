"""The playground of online softmax computes what the package computes."""

from itertools import chain, pairwise

import numpy as np
import pytest

from rlcourse.playgrounds import OnlineSoftmaxPlayground
from rlcourse.playgrounds.online_softmax import (
    FIRST,
    KEYS,
    LIMIT,
    PROMPTS,
    RISING,
    SCORES,
    TILES,
    VALUES,
    Settings,
    forgetful_merge,
    tiles,
    trace,
)
from rlcourse.systems.online_softmax import (
    EMPTY,
    finish,
    merge,
    naive_softmax,
    safe_softmax,
    summarize,
)

NAME = "online_softmax"
SOLVE = """([w, values]) => {
  const steps = trace(w, values), all = exact(w, values);
  const row = ({ m, l, o, alpha, beta }) => [m === -Infinity ? null : m, l, ...o, alpha, beta];
  return { kept: steps.map(row), outputs: steps.map(finish), all,
           weights: steps.map((step) => step.weights), read: steps.map((step) => step.read),
           naive: steps.map((step) => naive(w, step.read)) };
}"""


def random_settings(rng):
    return Settings(
        tuple(np.round(rng.uniform(-LIMIT, LIMIT, KEYS), 1).tolist()),
        int(rng.choice(TILES)),
        str(rng.choice(["forwards", "backwards"])),
        bool(rng.random() < 0.7),
        float(rng.integers(0, 101)),
    )


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    known = [Settings(), Settings(scores=RISING), Settings(scores=FIRST, rescale=False)]
    return known + [random_settings(rng) for _ in range(300)]


def disagreements(evaluate, cases, **options):
    """The settings for which the script's answers are not the package's."""
    both = [(w._asdict(), VALUES.tolist()) for w in cases]
    answers = evaluate(NAME, SOLVE, both, **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    kept, order = trace(w), [i for tile in tiles(w) for i in tile]
    shifted = np.array(w.scores) + w.shift
    maxima = np.array([-np.inf, *(x.m for x in kept)])
    own = np.array([shifted[tile].max() for tile in tiles(w)])
    alpha = np.exp(maxima[:-1] - maxima[1:]) if w.rescale else np.ones(len(kept))
    rows = np.column_stack([[[x.m, x.l, *x.o] for x in kept], alpha, np.exp(own - maxima[1:])])
    share = safe_softmax(shifted)
    numbers = [
        (np.array(got["kept"][1:], float), rows),
        (got["outputs"], [(0, 0), *(finish(x) for x in kept)]),
        (np.sum(got["weights"], axis=-1), [0, *(x.l for x in kept)]),
        (np.array(got["weights"]) @ VALUES, [(0, 0), *(x.o for x in kept)]),
        (got["all"]["output"], share @ VALUES),
        (got["all"]["weights"], share / share.max()),
        (got["naive"], [np.exp(shifted[order[: w.tile * k]]).sum() for k in range(len(maxima))]),
    ]
    return (
        got["kept"][0][:4] == [None, 0, 0, 0]
        and got["read"] == [order[: w.tile * k] for k in range(len(maxima))]
        and all(np.allclose(*pair, rtol=1e-9, atol=1e-12) for pair in numbers)
    )


def test_what_is_kept_after_each_tile_is_the_packages(evaluate, cases):
    assert {w.order for w in cases} == {"forwards", "backwards"}
    assert {w.tile for w in cases} == set(TILES)
    assert disagreements(evaluate, cases) == []


MUTANTS = {
    "the past is never rescaled": ("rescale ? Math.exp(past.m - m) : 1", "1"),
    "the past is always rescaled": ("rescale ? Math.exp(past.m - m) : 1", "Math.exp(past.m - m)"),
    "the inverse factor": ("? Math.exp(past.m - m)", "? Math.exp(m - past.m)"),
    "the tile is not rescaled": ("const beta = Math.exp(tile.m - m)", "const beta = 1"),
    "the maximum does not run": ("const m = Math.max(past.m, tile.m)", "const m = tile.m"),
    "l forgets the past": ("l: alpha * past.l + beta * tile.l", "l: past.l + beta * tile.l"),
    "o forgets the past": ("alpha * x + beta * tile.o[d]", "x + beta * tile.o[d]"),
    "o halved along the way": ("alpha * x + beta * tile.o[d]", "alpha * x + beta * tile.o[d] / 2"),
    "one value for both": ("values[i][d]", "values[i][0]"),
    "no maximum": ("Math.exp(x - m))", "Math.exp(x))"),
    "one order": ('order === "forwards" ? all : all.reverse()', "all"),
    "weights that never shrink": ("past.weights.map((x) => now.alpha * x)", "[...past.weights]"),
    "no shift": ("keys.map((i) => w.scores[i] + w.shift)", "keys.map((i) => w.scores[i])"),
    "not divided": ("o.map((x) => x / (l || 1))", "o"),
    "naive without the shift": ("Math.exp(w.scores[i] + w.shift), 0)", "Math.exp(w.scores[i]), 0)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:60], mutant=MUTANTS[name])


def test_every_tile_and_order_ends_in_the_softmax_of_all(cases):
    for w in cases:
        if w.rescale:
            exact = safe_softmax(w.scores) @ VALUES
            np.testing.assert_allclose(finish(trace(w)[-1]), exact, rtol=0, atol=1e-12)


def test_the_bug_is_one_factor():
    past, tile = summarize([0.5, 1.0], VALUES[:2]), summarize([3.0], VALUES[2:3])
    wrong, right = forgetful_merge(past, tile), merge(past, tile)
    assert wrong.m == right.m
    assert wrong.l - right.l == pytest.approx((1 - np.exp(-2.0)) * past.l)
    np.testing.assert_allclose(wrong.o - right.o, (1 - np.exp(-2.0)) * past.o)
    for first in (merge, forgetful_merge):
        np.testing.assert_array_equal(first(EMPTY, tile).o, tile.o)


def test_copied_code_prints_the_same_output(evaluate, cases, capsys):
    some = cases[:30]
    code = evaluate(NAME, "python", [w._asdict() for w in some])
    assert {"a bug" in text for text in code} == {True, False}
    for w, text in zip(some, code, strict=True):
        names = {}
        exec(text, names)
        np.testing.assert_array_equal(finish(names["x"]), finish(trace(w)[-1]))
        exact = safe_softmax(np.array(w.scores) + w.shift) @ VALUES
        assert capsys.readouterr().out.endswith(f"all at once  {exact}\n")


# ------------------------------------------------------------------------------- prompts


def asked(number):
    w = Settings()._replace(**PROMPTS[number].set)
    return w, trace(w), PROMPTS[number].answer


def factors(kept):
    return [float(np.exp(a.m - b.m)) for a, b in pairwise(kept)]


def off(w):
    return float(np.linalg.norm(finish(trace(w)[-1]) - safe_softmax(w.scores) @ VALUES))


def test_by_default_the_second_tile_brings_the_maximum():
    w, kept = Settings(), trace(Settings())
    assert max(w.scores) in [w.scores[i] for i in tiles(w)[w.step - 1]]
    assert kept[w.step - 1].m == max(w.scores)
    assert factors(kept)[0] == pytest.approx(0.202, abs=5e-4)
    assert factors(kept)[1:] == [1, 1]
    assert off(w) < 1e-15


def test_rising_scores_rescale_with_every_tile():
    w, kept, answer = asked(0)
    assert sorted(w.scores) == list(w.scores)
    assert [f"{x:.3f}" for x in factors(kept)] == ["0.301"] * 3
    assert kept[0].o.size + kept[0].l.size == 3
    assert list(chain(*tiles(w))) == list(range(KEYS))
    for words in ("0.301 three times", "three multiplications a tile"):
        assert words in answer


def test_adding_100_moves_the_maximum_alone():
    w, kept, answer = asked(1)
    for x, before in zip(kept, trace(Settings()), strict=True):
        assert x.m == before.m + 100
        assert x.l == pytest.approx(before.l)
        np.testing.assert_allclose(x.o, before.o)
    read = np.array(list(chain(*tiles(w)[: w.step])))
    total = np.exp(np.array(w.scores)[read] + w.shift).sum()
    assert f"{total:.1e}" == "3.6e+44"
    assert f"{np.finfo(np.float32).max:.1e}" == "3.4e+38"
    assert np.isnan(naive_softmax(np.float32(w.scores) + np.float32(w.shift))).any()
    assert not np.isnan(safe_softmax(np.float32(w.scores) + np.float32(w.shift))).any()
    for words in ("3.6 × 10⁴⁴", "3.4 × 10³⁸"):
        assert words in answer


def test_the_bug_hides_where_the_largest_score_comes_first():
    w, _, answer = asked(2)
    assert w.scores[0] == max(w.scores)
    assert off(w) < 1e-15
    assert f"{off(w._replace(order='backwards')):.2f} off" == "0.55 off"
    assert off(Settings(rescale=False)) > 0.4
    assert "the same bug is 0.55 off" in answer


def test_only_the_default_asks_its_questions():
    assert OnlineSoftmaxPlayground(tile=8).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_table_tells_what_is_kept_after_each_tile():
    table = OnlineSoftmaxPlayground().fallback()
    assert table.count("<tr>") == 5
    assert "<tr><td>5 to 8<td>2.00<td>0.202<td>1.82<td>(0.37, 0.30)" in table.replace(
        "1.818", "1.82"
    )
    assert "all at once the output is (0.28, 0.20)" in table
    assert "<tr><td>13 to 16<td>2.00<td>1.000<td>3.181<td>(0.28, 0.20)" in table
    single = OnlineSoftmaxPlayground(tile=1, order="backwards", rescale=False).fallback()
    assert "<tr><td>16<td>0.90<td>1.000<td>1.000<td>(−0.10, 0.90)" in single


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scores": SCORES[1:]}, r"scores must have shape \(16\), got \(15,\)"),
        ({"scores": (4.5, *SCORES[1:])}, r"scores must lie in \[-4, 4\], got 4.5"),
        ({"scores": (float("nan"), *SCORES[1:])}, "scores must be finite, got nan"),
        ({"tile": 3}, r"tile must be one of \(1, 2, 4, 8, 16\), got 3"),
        ({"order": "random"}, "order must be one of"),
        ({"rescale": None}, r"rescale must be one of \(True, False\), got None"),
        ({"shift": 101.0}, r"shift must lie in \[0, 100\]"),
        ({"step": 5}, r"step must lie in \[0, 4\], got 5"),
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        OnlineSoftmaxPlayground(**settings)
