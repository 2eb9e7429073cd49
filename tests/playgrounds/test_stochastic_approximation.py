"""The playground of stochastic approximation computes what the package computes."""

import numpy as np
import pytest

from rlcourse.playgrounds import StochasticApproximationPlayground
from rlcourse.playgrounds.stochastic_approximation import (
    PROMPTS,
    READ,
    ROOT,
    RUNS,
    STEPS,
    Settings,
    normals,
    off,
    printed,
    run,
)
from rlcourse.tabular.stochastic_approximation import noisy, robbins_monro, step_sizes

NAME = "stochastic_approximation"
SOLVE = """(w) => {
  const noise = normals(w.seed), path = runs(w, noise);
  const ks = [1, 2, 3, 5, 9, 30, 201];
  return { noise: [...noise.slice(0, 40), ...noise.slice(-40)], ends: ends(w, path),
           rows: ks.map((k) => [...path.slice((k - 1) * RUNS, k * RUNS)]),
           sizes: ks.map((k) => size(w, k)), safe: [1, 2, 7].map((k) => safe(w, k)) };
}"""
KS = np.array([1, 2, 3, 5, 9, 30, 201])


def random_settings(rng):
    return Settings(
        str(rng.choice(["cubic", "cubic", "tanh"])),
        round(rng.uniform(0.1, 2), 1),
        round(rng.uniform(0, 1.5), 2),
        float(rng.choice([0, 0.5, 1, 2, 5])),
        round(rng.uniform(0, 3), 1),
        round(rng.uniform(-3, 3), 1),
        int(rng.integers(1, 2**31)),
    )


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    known = [Settings(), printed(Settings()), Settings(sigma=0.0, offset=0.0)]
    return known + [random_settings(rng) for _ in range(200)]


def disagreements(evaluate, cases, **options):
    """The settings for which the script's answers are not the package's.

    An iterate that grows cubes what rounding left, so runs are compared while they are small.
    """
    answers = evaluate(NAME, SOLVE, [w._asdict() for w in cases], **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    noise = normals(w.seed, STEPS, RUNS).ravel()
    path = run(w).w
    rows = np.array([[np.nan if x is None else x for x in row] for row in got["rows"]], float)
    large = np.maximum.accumulate(np.nan_to_num(np.abs(path), nan=np.inf)) > 1e3
    same = large[KS - 1] | np.isclose(rows, path[KS - 1], rtol=1e-9, atol=1e-9)
    lost, far = int(np.isnan(path[-1]).sum()), off(w, path[-1])
    return (
        np.allclose(got["noise"], [*noise[:40], *noise[-40:]], rtol=0, atol=1e-12)
        and bool(same.all())
        and np.allclose(got["sizes"], step_sizes(201, w.c, w.p, w.offset)[KS - 1], rtol=1e-12)
        and got["ends"]["lost"] == lost
        and (got["ends"]["off"] == far or abs(got["ends"]["off"] - far) < 1e-9)
    )


def test_noise_runs_and_their_ends_are_the_packages(evaluate, cases):
    assert {w.g for w in cases} == {"cubic", "tanh"}
    assert disagreements(evaluate, cases) == []


MUTANTS = {
    "noise outside the step": ("- a * (read(path[i]) + w.sigma * noise[i])",
                               "- a * read(path[i]) + w.sigma * noise[i]"),
    "a sign": ("(read(path[i]) + w.sigma", "(read(path[i]) - w.sigma"),
    "steps from 0": ("/ (k + offset) ** p", "/ (k - 1 + offset) ** p"),
    "no power": ("(k + offset) ** p", "(k + offset)"),
    "no factor": ("=> c / (k", "=> 1 / (k"),
    "another seed": ("uniform = uniforms(seed)", "uniform = uniforms(seed + 1)"),
    "sine for cosine": ("radius * Math.cos", "radius * Math.sin"),
    "another root": ("tanh: 1 }", "tanh: 0 }"),
    "lost too early": ("LIMIT = 1e12", "LIMIT = 10"),
    "counts the lost wrongly": ("lost: RUNS - on.length", "lost: on.length"),
    "the mean distance": ("Math.sqrt(square / on.length)", "square / on.length"),
    "a quadratic": ("x * x * x - 5", "x * x - 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:60], mutant=MUTANTS[name])


def test_the_zone_is_where_a_step_without_noise_leads_nearer(evaluate, cases):
    answers = evaluate(NAME, SOLVE, [w._asdict() for w in cases])
    w = np.linspace(-5, 5, 4001)
    for case, got in zip(cases, answers, strict=True):
        for k, zone in zip((1, 2, 7), got["safe"], strict=True):
            a = step_sizes(7, case.c, case.p, case.offset)[k - 1]
            after = w - a * READ[case.g](w)
            nearer = np.abs(after - ROOT[case.g]) < np.abs(w - ROOT[case.g])
            if case.g == "tanh":
                assert nearer[np.abs(w - 1) > 1e-6].all()
                continue
            low, high = zone or (0, 0)
            clear = (np.abs(w - low) > 1e-6) & (np.abs(w - high) > 1e-6)
            clear &= np.abs(w - ROOT["cubic"]) > 1e-3
            np.testing.assert_array_equal(nearer[clear], (low < w[clear]) & (w[clear] < high))


def test_the_noise_is_normal_and_its_numbers_are_independent():
    z = normals(7, 400, 500)
    n = z.size
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / n)
    for shifted in (z[1:] * z[:-1], z[:, 1:] * z[:, :-1]):
        assert abs(shifted.mean()) < 4 / np.sqrt(shifted.size)
    assert not np.isclose(z, normals(8, 400, 500)).all(0).any()


def test_copied_code_gives_the_same_runs(evaluate, cases, capsys):
    some = cases[:30]
    code = evaluate(NAME, "python", [w._asdict() for w in some])
    for w, text in zip(some, code, strict=True):
        names = {}
        exec(text, names)
        np.testing.assert_array_equal(names["runs"].w, run(w).w)
        assert capsys.readouterr().out == f"{run(w).diverged.sum()} of 200 runs are lost\n"


# ------------------------------------------------------------------------------- prompts


def asked(number):
    w = Settings()._replace(**PROMPTS[number].set)
    return w, run(w), PROMPTS[number].answer


def test_by_default_all_runs_arrive_and_with_the_printed_steps_almost_none():
    assert not run(Settings()).diverged.any()
    assert run(printed(Settings())).diverged.mean() > 0.98


def test_with_offset_one_a_quarter_is_lost():
    _, runs, answer = asked(0)
    assert runs.diverged.sum() == 49
    assert runs.w[1].mean() == pytest.approx(2.5, abs=0.1)
    assert step_sizes(2, offset=1)[1] == pytest.approx(1 / 3)
    edge = -ROOT["cubic"] / 2 + np.sqrt(6 - 0.75 * ROOT["cubic"] ** 2)
    assert edge == pytest.approx(1.1, abs=0.01)
    for words in ("49 of these 200", "1/2, lands near 2.5", "1/3, leads away", "below 1.1"):
        assert words in answer


def test_tanh_with_the_printed_steps_arrives():
    w, runs, answer = asked(1)
    assert (w.g, w.offset, w.c, w.p) == ("tanh", 0.0, 1.0, 1.0)
    assert not runs.diverged.any()
    assert off(w, runs.w[-1]) < 0.1
    assert "all 200 arrive" in answer


def test_constant_steps_shake_for_ever():
    w, runs, answer = asked(2)
    assert not runs.diverged.any()
    shaking = np.sqrt(np.mean((runs.w[50:] - ROOT["cubic"]) ** 2, axis=1))
    assert shaking.min() > 0.08
    assert shaking.max() < 0.13
    longer = robbins_monro(
        noisy(READ["cubic"]), np.zeros(500), step_sizes(1000, 0.1, 0), normals(3, 1000, 500)
    )
    assert off(w, longer.w[-1]) == pytest.approx(0.1, abs=0.015)
    assert off(w, run(Settings()).w[-1]) < 0.02
    for words in ("by about 0.1", "within 0.02", "Σ a² is infinite"):
        assert words in answer


def test_only_the_default_asks_its_questions():
    assert StochasticApproximationPlayground(offset=1.0).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_table_tells_what_becomes_of_the_runs():
    table = StochasticApproximationPlayground().fallback()
    assert table.count("<tr>") == 4
    assert "<tr><td>0<td>1<td>199<td>" in table
    assert "<tr><td>2<td>200<td>0<td>0.016" in table
    calm = StochasticApproximationPlayground(sigma=0.0, offset=0.0).fallback()
    assert "<tr><td>0<td>0<td>200<td><tr>" in calm


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"g": "sine"}, "g must be one of"),
        ({"p": -0.1}, r"p must lie in \[0, 1.5\], got -0.1"),
        ({"c": 2.5}, r"c must lie in \[0.1, 2\], got 2.5"),
        ({"offset": 11.0}, r"offset must lie in \[0, 10\]"),
        ({"sigma": float("nan")}, r"sigma must lie in \[0, 3\], got nan"),
        ({"w1": 4.0}, r"w1 must lie in \[-3, 3\]"),
        ({"seed": 0}, "seed must be an integer of at least 1, got 0"),
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        StochasticApproximationPlayground(**settings)
