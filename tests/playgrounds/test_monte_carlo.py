"""The Monte Carlo playground computes what the package computes, and says only what is so."""

import contextlib
import io
import re
from functools import cache

import numpy as np
import pytest

from rlcourse.playgrounds import MonteCarloPlayground
from rlcourse.playgrounds import monte_carlo as ours
from rlcourse.playgrounds.monte_carlo import EPISODES, LEARNERS, PROMPTS, STEPS, errors
from rlcourse.tabular.environment import Episodes, environment, sample_episodes
from rlcourse.tabular.returns import completed_returns
from rlcourse.tabular.targets import n_step_target
from rlcourse.tabular.worlds import random_walk

FOLLOW = """({ path, right, v, alpha, n }) =>
  follow({ path, right }, v, alpha, n).map((step) => [[...step.v], step.updates])"""
LEARN = """({ cells, alpha, n }) => {
  const found = learn(walks(cells), alpha, n);
  return Object.fromEntries(Object.entries(found).map(([name, list]) => [name, [...list]]));
}"""


def random_case(rng):
    """A walk of a learner with any values, step size and n."""
    cells = int(rng.choice([5, 19]))
    path, at = [], cells // 2
    while 0 <= at < cells:
        path.append(at)
        at += int(rng.choice([-1, 1]))
    n = STEPS[rng.integers(len(STEPS))]
    v = np.full(cells, 0.5) if rng.random() < 0.2 else rng.random(cells)
    alpha = float(rng.choice([0.01, 1, round(rng.uniform(0.01, 1), 2)]))
    right = int(at == cells)
    return {"path": path, "right": right, "v": v.tolist(), "alpha": alpha, "n": n}


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    return [random_case(rng) for _ in range(300)]


def accounts(path, right, v, alpha, n):
    """The values after each step by the package's targets: n steps later, or at the end."""
    v, T, n = np.array(v), len(path), n or len(path)
    r, ends = np.zeros(T), np.zeros(T)
    r[-1], ends[-1] = right, 1
    after, values, t = [*path[1:], 0], [v.copy()], 0
    for now in range(1, T + 1):
        while t < T and (now == T or t + n <= now):
            w = slice(t, t + n)
            target = n_step_target(r[w], v[after[w]], ends[w], np.zeros(T)[w], 1.0)
            v[path[t]] += alpha * (target - v[path[t]])
            t += 1
        values.append(v.copy())
    return np.array(values)


def disagreements(evaluate, cases, mutant=None):
    """The cases in which the script's values after some step are not the package's."""
    answers = evaluate("monte_carlo", FOLLOW, cases, mutant)
    wrong = []
    for case, answer in zip(cases, answers, strict=True):
        want = accounts(**case)
        got = [values for values, _ in answer]
        told = {len(case["path"])} == {sum(len(updates) for _, updates in answer)}
        near = np.shape(got) == want.shape and np.allclose(
            np.array(got, dtype=float), want, rtol=0, atol=1e-9
        )
        if not (near and told):
            wrong.append(case)
    return wrong


# ------------------------------------------------------------------------------- parity


def test_each_step_of_a_walk_teaches_what_the_packages_targets_teach(evaluate, cases):
    assert len({case["n"] for case in cases}) == len(STEPS)
    assert disagreements(evaluate, cases) == []


def test_each_update_tells_its_arithmetic(evaluate, cases):
    for case, steps in zip(cases, evaluate("monte_carlo", FOLLOW, cases), strict=True):
        v = np.array(case["v"])
        for values, updates in steps:
            for x in updates:
                inside = 0 <= x["from"] < len(v)
                assert x["target"] == (v[x["from"]] if inside else case["right"])
                assert x["old"] == v[x["cell"]]
                v[x["cell"]] += case["alpha"] * (x["target"] - x["old"])
            np.testing.assert_allclose(values, v, rtol=0, atol=1e-12)


def test_the_monte_carlo_learner_learns_from_completed_returns(evaluate, cases):
    cases = [case | {"n": None} for case in cases[:50]]
    for case, steps in zip(cases, evaluate("monte_carlo", FOLLOW, cases), strict=True):
        v, r = np.array(case["v"]), np.zeros((len(case["path"]), 1))
        r[-1] = case["right"]
        ended = np.ones(1, dtype=bool)
        g = completed_returns(r, np.ones(r.shape, dtype=bool), ended, np.zeros(1), 1.0)
        for s, target in zip(case["path"], g[:, 0], strict=True):
            v[s] += case["alpha"] * (target - v[s])
        np.testing.assert_allclose(steps[-1][0], v, rtol=0, atol=1e-12)
        assert all(values == case["v"] for values, _ in steps[:-1])


SETTINGS = [
    (19, 0.04, 1),
    (19, 0.04, None),
    (19, 0.2, 8),
    (5, 0.04, 1),
    (5, 1.0, 2),
    (5, 0.3, None),
]


@cache
def off(cells, alpha, n):
    """What the values of all learners of the package are off by, (N + 1, B, S)."""
    return ours.learned(cells, alpha, n) - ours.exact(cells)


def parts(cells, alpha, n):
    x = off(cells, alpha, n)
    own = np.sqrt((x**2).mean(-1))
    found = {"mean": x.mean(1), "variance": x.var(1), "own": own}
    bias, noise = (x.mean(1) ** 2).mean(-1), x.var(1).mean(-1)
    return found | {"bias": bias, "noise": noise, "rms": np.sqrt((x**2).mean((1, 2)))}


def unlike(evaluate, settings, mutant=None):
    """The settings in which what the script makes of all walks is not what the package makes."""
    asked = [dict(zip(("cells", "alpha", "n"), x, strict=True)) for x in settings]
    answers = evaluate("monte_carlo", LEARN, asked, mutant)
    wrong = []
    for setting, answer in zip(settings, answers, strict=True):
        want = parts(*setting)
        assert want.keys() == answer.keys()
        for name, x in want.items():
            got = np.array(answer[name], dtype=float)
            if got.size != x.size or not np.allclose(got, x.ravel(), rtol=0, atol=1e-9):
                wrong.append((setting, name))
    return wrong


def test_200_learners_walk_and_learn_what_the_packages_learners_do(evaluate):
    assert off(5, 0.04, 1).shape == (EPISODES + 1, LEARNERS, 5)
    assert unlike(evaluate, SETTINGS) == []


def test_the_walks_of_coins_are_the_scripts(evaluate):
    """Also where they end: the environment of the package, given the coins, walks the same way."""
    script = """(cells) => {
      const { at, start, right } = walks(cells);
      const cut = (e) => [...at.subarray(start[e], start[e + 1])];
      return [0, 1, 99, 100, 19999].map((e) => [cut(e), right[e]]);
    }"""
    for cells, answer in zip((5, 19), evaluate("monte_carlo", script, [5, 19]), strict=True):
        world, coins = random_walk(cells), ours.Coins(cells)
        env = environment(world.mdp, world.start)
        rounds = [
            sample_episodes(env, np.ones((cells, 1)), LEARNERS, rng=coins) for _ in range(EPISODES)
        ]
        for (b, k), (path, right) in zip(
            [(0, 0), (0, 1), (0, 99), (1, 0), (199, 99)], answer, strict=True
        ):
            x: Episodes = rounds[k]
            assert x.s[x.alive[:, b], b].tolist() == path
            assert x.r[:, b].sum() == right


def test_the_coins_are_fair():
    coins = ours.fair_coins()
    n = coins.size
    assert abs(coins.mean() - 0.5) < 4 * 0.5 / np.sqrt(n)
    for x, y in ((coins[:-1], coins[1:]), (coins[:, :-1], coins[:, 1:])):
        assert abs((x == y).mean() - 0.5) < 4 * 0.5 / np.sqrt(x.size)


MUTANTS = {
    "a guess after the end": ("t + n >= T", "t + n > T"),
    "guesses a step too early": ("now === t + (n ?? T)", "now + 1 === t + (n ?? T)"),
    "the whole way": ("v[cell] += alpha * (target - old)", "v[cell] += target - old"),
    "the other end": ("last ? right : v[from]", "last ? 1 - right : v[from]"),
    "guesses of the beginning": ("last ? right : v[from]", "last ? right : first[from]"),
    "Monte Carlo in a hurry": ("now === t + (n ?? T)", "now === t + (n ?? 1)"),
}
MUTANTS_OF_ALL = {
    "one step too long": ("v[at[t + n]]", "v[at[t + n + 1]]"),
    "a guess less": ("end - (n ?? end)", "end - (n ?? end) - 1"),
    "a guess more": ("end - (n ?? end)", "end - (n ?? end) + 1"),
    "ends the wrong way round": ("right[entry] = i > 0 ? 1 : 0", "right[entry] = i < 0 ? 1 : 0"),
    "same coins for all": ("coin = coins(1 + entry / EPISODES)", "coin = coins(1)"),
    "coins from the top": ("(word >>> (31 - left))", "(word >>> left)"),
    "a generator of another kind": ("(t >>> 7)", "(t >>> 8)"),
    "a false first guess": ("v.fill(GUESS);\nfor (let k", "v.fill(0);\nfor (let k"),
    "a truth too low": ("(i + 1) / (cells + 1)", "i / (cells + 1)"),
    "noise with bias": ("variance[i] - x * x", "variance[i]"),
    "sum for mean": ("+= (x * x) / cells", "+= x * x"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_account_of_a_walk_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:40], MUTANTS[name])


@pytest.mark.parametrize("name", MUTANTS_OF_ALL)
def test_a_wrong_script_is_caught(evaluate, name):
    assert unlike(evaluate, [(5, 0.04, 1), (5, 1.0, 2)], MUTANTS_OF_ALL[name])


def test_a_steered_walk_goes_on_by_chance_to_an_end(evaluate):
    script = """({ cells, seed, path }) => {
      const found = walk(cells, coins(seed), path);
      return [[...found.path], found.right];
    }"""
    some = [{"cells": 5, "seed": k, "path": [2, 3, 4, 3]} for k in range(40)]
    some += [
        {"cells": 5, "seed": 1, "path": [2, 3, 4, 5]},
        {"cells": 5, "seed": 1, "path": [2, -1]},
    ]
    *found, right, left = evaluate("monte_carlo", script, some)
    assert (right, left) == ([[2, 3, 4], 1], [[2], 0])
    for path, end in found:
        assert path[:4] == [2, 3, 4, 3]
        assert set(np.abs(np.diff(path))) == {1}
        assert (path[-1], end) in ((0, 0), (4, 1))
    assert {end for _, end in found} == {0, 1}


def test_copied_code_gives_the_same_errors(evaluate):
    some = [
        {"cells": 5, "alpha": 0.3, "n": 4, "episode": 30},
        {"cells": 19, "alpha": 0.04, "n": 1, "episode": 3},
        {"cells": 5, "alpha": 1, "n": None, "episode": 1},
    ]
    for case, code in zip(some, evaluate("monte_carlo", "python", some), strict=True):
        names, printed = {}, io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        k = case["episode"]
        for n, v, line in zip(
            (case["n"], None),
            (names["n_step"], names["monte_carlo"]),
            printed.getvalue().splitlines(),
            strict=True,
        ):
            want = parts(case["cells"], case["alpha"], n)
            found = np.sqrt(((v[-1] - names["exact"]) ** 2).mean())
            assert found == pytest.approx(want["rms"][k], abs=1e-9)
            told = [float(x) for x in re.findall(r"\d\.\d+", line)]
            wanted = [want[name][k] for name in ("bias", "noise", "rms")]
            assert told == pytest.approx(wanted, abs=0.0006)


# ------------------------------------------------------------------------------- prompts


def ahead_from(cells, alpha):
    """The number of episodes from which on TD(0) is not behind Monte Carlo."""
    behind = errors(cells, alpha, 1).rms > errors(cells, alpha, None).rms
    return int(np.flatnonzero(behind)[-1]) + 1


def test_by_default_td_is_biased_and_monte_carlo_noisy():
    td, mc = (errors(19, 0.04, n) for n in (1, None))
    assert td.bias[16] > 0.99 * td.rms[16] ** 2
    assert mc.noise[16] > 0.8 * mc.rms[16] ** 2
    assert (td.bias[1:] > mc.bias[1:]).all()
    assert (td.noise[1:] < mc.noise[1:] / 100).all()
    assert (td.rms[9:48] > mc.rms[9:48]).all()
    assert (td.rms[58:] < mc.rms[58:]).all()
    assert td.rms[-1] < 0.15 < 0.19 < mc.rms[-1]


def test_eight_steps_are_better_than_one_and_all():
    assert PROMPTS[0].set == {"n": 8}
    eight, td, mc = (errors(19, 0.04, n).rms for n in (8, 1, None))
    assert (eight[1:] < np.minimum(td, mc)[1:]).all()
    assert [f"{x[16]:.3f}" for x in (eight, td, mc)] == ["0.150", "0.249", "0.215"]
    assert errors(19, 0.04, 8).noise[16] < 0.1 * errors(19, 0.04, None).noise[16]
    for words in ("below both", "first episode to the last", "0.150, against 0.249", "0.215"):
        assert words in PROMPTS[0].answer


def test_with_five_cells_td_is_ahead_from_the_11th_episode_on():
    assert PROMPTS[1].set == {"cells": 5}
    assert (ahead_from(19, 0.04), ahead_from(5, 0.04)) == (58, 11)
    td, mc = (errors(5, 0.04, n) for n in (1, None))
    assert 0 < (td.rms - mc.rms)[:11].max() < 0.003
    assert (td.noise[1:] < 0.1 * mc.noise[1:]).all()
    assert (td.bias[1:9] < 1.45 * mc.bias[1:9]).all()
    assert "episode 58 on" in PROMPTS[1].ask
    for words in ("From the 11th", "more than 0.003", "less than a tenth", "three cells", "ten"):
        assert words in PROMPTS[1].answer


def test_five_times_the_step_makes_monte_carlo_worse_than_no_learning():
    assert PROMPTS[2].set == {"alpha": 0.2}
    td, mc = (errors(19, 0.2, n) for n in (1, None))
    before = [errors(19, 0.04, n).rms[16] for n in (1, None)]
    assert [f"{x:.3f}" for x in (td.rms[16], before[0])] == ["0.172", "0.249"]
    assert mc.bias[16] < 0.0005
    assert (mc.rms[1:] > mc.rms[0]).all()
    assert [f"{mc.rms[k]:.3f}" for k in (16, 0)] == ["0.330", "0.274"]
    assert mc.rms[16] > before[1]
    for words in ("0.172 after 16", "of 0.249", "no bias left", "0.330", "guess, 0.274"):
        assert words in PROMPTS[2].answer.replace("instead of", "of")


def test_only_the_figure_as_it_comes_asks_questions():
    assert len(MonteCarloPlayground().data()["prompts"]) == 3
    assert MonteCarloPlayground(5).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_data_hold_the_packages_values():
    data = MonteCarloPlayground(5, 0.3, None, 7, title="A question?").data()
    assert data["title"] == "A question?"
    world = {"cells": 5, "alpha": 0.3, "n": None, "episode": 7, "learner": 1}
    assert data["world"] == world
    np.testing.assert_allclose(data["golden"]["v"], np.arange(1, 6) / 6, atol=1e-12)
    assert data["golden"]["first"] == data["golden"]["last"]
    assert data["golden"]["last"] == pytest.approx(errors(5, 0.3, None).rms[:17], abs=1e-12)


def test_the_fallback_shows_errors_and_their_parts():
    html = MonteCarloPlayground().fallback()
    assert html.count("<tr>") == 7
    assert "<th>error of TD(0)<th>its square: bias² + variance<th>error of Monte Carlo" in html
    assert "<td>16<td>0.249<td>0.0620 + 0.0001<td>0.215<td>0.0078 + 0.0386" in html
    assert "error of 8-step TD" in MonteCarloPlayground(5, n=8).fallback()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cells": 6}, r"cells must be one of \(5, 19\), got 6"),
        ({"n": 3}, "n must be one of .* got 3"),
        ({"alpha": 0.0}, "alpha must lie in"),
        ({"alpha": 1.5}, "alpha must lie in"),
        ({"episode": 0}, "episode must be an integer of at least 1, got 0"),
        ({"episode": 101}, "episode must lie in"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        MonteCarloPlayground(**arguments)
