"""The actor-critic playground computes what the package computes, and says only what is so."""

import contextlib
import io
import itertools
import re

import numpy as np
import pytest

from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.playgrounds import ActorCriticPlayground
from rlcourse.playgrounds.actor_critic import (
    AVERAGED,
    CELLS,
    ERROR,
    LAMBDAS,
    MIDDLE,
    PROMPTS,
    UPDATES,
    Settings,
    advantages,
    best,
    critic,
    moments,
    updates,
    values,
    walks,
)

NAME = "actor_critic"
MOMENTS = """(w) => {
  const { exact, mean, variance } = moments(w, w.lam);
  return [exact, mean, variance, ...off(w, w.lam), ...values(w.gamma), ...critic(w)];
}"""
CURVES = "(w) => { const { bias, noise, sum, best } = curves(w); return [bias, noise, sum, best]; }"
FOLLOW = """(w) => {
  const { at, start, right, most } = walks();
  return [0, 1, 63].map((k) => {
    const entry = (w.walk - 1) * most + k;
    const one = { path: [...at.subarray(start[entry], start[entry + 1])], right: right[entry] };
    const { way, delta, A } = follow(w, one);
    return [one.path, one.right, way, delta, A];
  });
}"""
SAID = "(w) => [...updates(walks(), w, w.lam)]"


def random_settings(rng):
    """Any lambda, discount, critic, number of walks and walk; often a limit."""
    return Settings(
        float(rng.choice([0, 1, rng.random(), rng.random()])),
        float(rng.choice([0.8, 1, rng.uniform(0.8, 1)])),
        tuple((rng.choice([0, 0.1, 1, 2]) * rng.standard_normal(CELLS)).tolist()),
        int(rng.choice(AVERAGED)),
        int(rng.integers(1, UPDATES + 1)),
    )


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    known = [Settings(), *(Settings(**prompt.set) for prompt in PROMPTS)]
    return known + [random_settings(rng) for _ in range(400)]


def as_json(w):
    return w._asdict()


def off(w, lam):
    """Bias², variance of an update and their sum."""
    exact, mean, variance = moments(w, lam)
    bias, noise = (mean - exact) ** 2, variance / w.n
    return bias, noise, bias + noise


def unlike(evaluate, script, wanted, cases, mutant=None):
    """The cases in which the script's numbers are not the package's."""
    answers = evaluate(NAME, script, [as_json(w) for w in cases], mutant)
    wrong = []
    for w, got in zip(cases, answers, strict=True):
        want = np.asarray(wanted(w))
        near = np.shape(got) == want.shape and np.allclose(
            np.array(got, dtype=float), want, rtol=1e-9, atol=1e-9
        )
        if not near:
            wrong.append(w)
    return wrong


def wanted_moments(w):
    exact, mean, variance = moments(w, w.lam)
    return [exact, mean, variance, *off(w, w.lam), *values(w.gamma), *critic(w)]


# ------------------------------------------------------------------------------- parity


def test_the_script_computes_the_packages_means_and_variances(evaluate, cases):
    assert unlike(evaluate, MOMENTS, wanted_moments, cases) == []


def test_its_curves_and_their_least_are_the_packages(evaluate, cases):
    some = cases[:60]
    for w, (*three, least) in zip(
        some, evaluate(NAME, CURVES, [as_json(w) for w in some]), strict=True
    ):
        found = off(w, LAMBDAS)
        np.testing.assert_allclose(three, found, rtol=1e-9, atol=1e-12)
        assert found[2][least] == pytest.approx(found[2].min(), rel=1e-9, abs=1e-12)
        assert best(w) == LAMBDAS[found[2].argmin()]


def disagreements(evaluate, cases, mutant=None):
    """The cases in which a walk, its TD errors or its advantages are not the package's."""
    answers = evaluate(NAME, FOLLOW, [as_json(w) for w in cases], mutant)
    wrong = []
    for w, answer in zip(cases, answers, strict=True):
        every = walks(w.walk, 64)
        for k, (path, right, way, delta, A) in zip((0, 1, 63), answer, strict=True):
            walk = every[k]
            same = (tuple(path), right) == (walk.path, walk.right)
            after = [*walk.path[1:], CELLS if walk.right else -1]
            same &= way == [int(b > a) for a, b in zip(walk.path, after, strict=True)]
            if not same or not all(
                np.allclose(got, advantages(w._replace(lam=lam), (walk,))[:, 0], atol=1e-9)
                for got, lam in ((delta, 0.0), (A, w.lam))
            ):
                wrong.append(w)
    return wrong


def test_walks_td_errors_and_advantages_are_the_packages(evaluate, cases):
    assert disagreements(evaluate, cases[:60]) == []


def test_200_updates_say_what_the_packages_say(evaluate, cases):
    some = [w._replace(n=n) for w, n in zip(cases[:8], AVERAGED * 2, strict=True)]
    assert unlike(evaluate, SAID, updates, some) == []


def test_the_figures_own_numbers_are_in_its_data():
    golden = ActorCriticPlayground().data()["golden"]
    w = Settings()
    assert golden["mean"][9] == moments(w, 0.9).mean
    assert golden["advantages"] == advantages(w, walks(w.walk))[:, 0].tolist()


MUTANTS = {
    "neighbours not halved": ("(i ? (c / 2) * y[i - 1] : 0)", "(i ? c * y[i - 1] : 0)"),
    "no way back": ("y[i] += up[i] * y[i + 1]", "y[i] += 0"),
    "a prize too large": ("(i === CELLS - 1 ? 0.5 : 0)", "(i === CELLS - 1 ? 1 : 0)"),
    "the prize on the left": ("(j === 2 * CELLS - 1 ? 1 : 0)", "(j === 0 ? 1 : 0)"),
    "the next value not discounted": ("+ gamma * after(v, j)", "+ after(v, j)"),
    "left for right": ("x[(j >> 1) + 2 * (j & 1) - 1]", "x[(j >> 1) - 2 * (j & 1) + 1]"),
    "lambda without gamma": ("const c = gamma * lam;\nconst v", "const c = lam;\nconst v"),
    "variance decays as the mean": ("settled(c * c, each(", "settled(c, each("),
    "the rest decays too little": ("c * c * (after(spread, a)", "c * (after(spread, a)"),
    "no variance of the first step": ("(m[a] ** 2 + m[b] ** 2 +", "(2 * m[a] * m[b] +"),
    "a moment for a variance": ("variance: second - mean * mean", "variance: second"),
    "standard deviation of the mean": ("variance / w.n, (mean", "variance / Math.sqrt(w.n), (mean"),
    "bias of the critic's own value": ("const mean = (m[b] - m[a]) / 2", "const mean = m[b]"),
}  # fmt: skip
MUTANTS_OF_WALKS = {
    "the generator of another update": ("uniforms(1 + entry / most)", "uniforms(entry / most)"),
    "the other way": ("next() < 0.5 ? -1 : 1", "next() < 0.5 ? 1 : -1"),
    "ends the wrong way round": ("right[entry] = i > 0 ? 1 : 0", "right[entry] = i < 0 ? 1 : 0"),
    "the last way forgotten": ("?? (right ? CELLS : -1)) > at", "?? -1) > at"),
    "no decay": ("A[t] += gamma * lam * A[t + 1]", "A[t] += A[t + 1]"),
    "one step too short": ("let t = A.length - 2;", "let t = A.length - 3;"),
}
MUTANTS_OF_UPDATES = {
    "no sign": ("MIDDLE ? A / n : -A / n", "MIDDLE ? A / n : A / n"),
    "always all walks": ("entry < b * most + n;", "entry < (b + 1) * most;"),
    "the end forgotten": ("let next = right[entry] ? CELLS : -1", "let next = -1"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_moments_are_caught(evaluate, cases, name):
    assert unlike(evaluate, MOMENTS, wanted_moments, cases[:40], MUTANTS[name])


@pytest.mark.parametrize("name", MUTANTS_OF_WALKS)
def test_a_wrong_walk_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:10], MUTANTS_OF_WALKS[name])


@pytest.mark.parametrize("name", MUTANTS_OF_UPDATES)
def test_wrong_updates_are_caught(evaluate, cases, name):
    assert unlike(evaluate, SAID, updates, [cases[0]], MUTANTS_OF_UPDATES[name])


# ------------------------------------------------------------------------------- second methods


def enumerated(w, lam, steps):
    """Mean and variance over each of 2^steps equally likely walks, cut after so many steps."""
    turns = 2 * np.array(list(itertools.product((0, 1), repeat=steps))).T - 1
    at = MIDDLE + np.cumsum(np.concatenate([np.zeros_like(turns[:1]), turns]), 0)
    out = (at < 0) | (at >= CELLS)
    gone = np.maximum.accumulate(out, 0)
    v = np.where(gone, 0, critic(w)[np.clip(at, 0, CELLS - 1)])
    leaves = gone[1:] & ~gone[:-1]
    r = (leaves & (at[1:] >= CELLS)).astype(float)
    A = generalized_advantage(r, v[:-1], v[1:], leaves, np.zeros(r.shape), w.gamma, lam)[0]
    said = turns[0] * A
    return said.mean(), said.var()


def test_the_moments_are_those_of_all_walks_enumerated(cases):
    for w in cases[:12]:
        for lam in (0.0, 0.3):
            exact, mean, variance = moments(w, lam)
            found = enumerated(w, lam, steps=14)
            tail = (w.gamma * lam) ** 14 * 10 * (1 + np.abs(w.error).max()) ** 2 + 1e-12
            assert abs(found[0] - mean) < tail
            assert abs(found[1] - variance) < tail
            q = w.gamma * values(w.gamma)
            assert exact == pytest.approx((q[MIDDLE + 1] - q[MIDDLE - 1]) / 2)


def test_sampled_updates_have_these_means_and_variances():
    for error in (ERROR, (0.0,) * CELLS, (1.0, -1.0, 0.5, 0.0, 0.5, 1.0, -0.5)):
        for lam in (0.5, 0.9, 1.0):
            w = Settings(lam=lam, error=error, n=64)
            said = updates(w)
            _, mean, variance = moments(w, lam)
            sd = np.sqrt(variance / w.n)
            assert abs(said.mean() - mean) < 4 * sd / np.sqrt(UPDATES)
            assert abs(said.var() / sd**2 - 1) < 4 * np.sqrt(2 / UPDATES)


def test_the_bias_is_what_the_critic_gets_wrong_about_the_cells_that_follow(cases):
    """By a route without TD errors: A is a mean of n-step estimates, each off by one error."""
    step = (np.eye(CELLS, k=-1) + np.eye(CELLS, k=1)) / 2
    for w in cases[:100]:
        c = w.gamma * w.lam
        error, off_by = np.array(w.error), np.zeros(CELLS)
        for n in range(3000):
            off_by += (1 - w.lam) * w.gamma * c**n * np.linalg.matrix_power(step, n) @ error
            if c**n < 1e-12:
                break
        exact, mean, _ = moments(w, w.lam)
        assert mean - exact == pytest.approx(
            (off_by[MIDDLE + 1] - off_by[MIDDLE - 1]) / 2, abs=1e-8
        )


def test_no_critic_misleads_at_lambda_1_and_an_exact_one_never(cases):
    for w in cases:
        exact, mean, _ = moments(w, 1.0)
        assert mean == pytest.approx(exact, abs=1e-9)
        exact, mean, _ = moments(w._replace(error=(0.0,) * CELLS), LAMBDAS)
        np.testing.assert_allclose(mean, exact, atol=1e-12)


def test_the_value_of_the_cell_itself_is_but_a_baseline_at_lambda_1():
    """It changes the variance of the update, and is best where it is exact."""
    at = [0.0] * CELLS
    found = []
    for x in (-0.2, 0.0, 0.2):
        at[MIDDLE] = x
        found.append(float(moments(Settings(error=tuple(at)), 1.0).variance))
    assert found[1] < found[0]
    assert found[1] < found[2]


# ------------------------------------------------------------------------------- what is said


def rms(w, lam):
    return float(np.sqrt(off(w, lam)[2]))


def of_prompt(i, **fields):
    return Settings()._replace(**(PROMPTS[i].set | fields))


def test_by_default_the_least_lies_between_bias_and_noise():
    w = Settings()
    assert best(w) == pytest.approx(0.89)
    bias, noise, total = off(w, LAMBDAS)
    assert bias[0] > 0.98 * total[0]
    assert noise[100] == pytest.approx(total[100])
    assert (np.diff(bias) < 0).all()
    assert (np.diff(noise) > 0).all()
    assert np.sqrt(total[[0, 89, 100]]).round(3).tolist() == [0.324, 0.125, 0.217]
    assert moments(w, 0.0).mean < 0 < moments(w, 0.0).exact  # at once, it is pushed the wrong way


def test_an_exact_critic_is_best_trusted_at_once():
    w = of_prompt(0)
    assert (best(w), rms(w, 0.0)) == (0, pytest.approx(0, abs=1e-9))
    assert moments(w, 0.0).variance == pytest.approx(0, abs=1e-12)
    assert rms(w, 1.0) == pytest.approx(0.21, abs=0.005)
    assert "0.21 of it at λ = 1" in PROMPTS[0].answer
    sizes = [best(Settings(error=tuple(k * np.array(ERROR)))) for k in (2, 1, 0.5, 0.25, 0)]
    assert sizes == sorted(sizes, reverse=True)  # the better, the sooner


def test_averaging_moves_the_best_lambda_up():
    assert [best(Settings(n=n)) for n in AVERAGED] == pytest.approx([0.79, 0.89, 0.94, 0.97])
    four, many = Settings(), of_prompt(1)
    assert "from 0.89 to 0.97" in PROMPTS[1].answer
    for lam in (0.0, 0.9, 1.0):
        assert off(many, lam)[0] == off(four, lam)[0]
        assert off(many, lam)[1] == pytest.approx(off(four, lam)[1] / 16)
    bias, noise, _ = off(many, 0.9)
    assert bias > 5 * noise
    assert off(four, 0.9)[0] < off(four, 0.9)[1]


def test_an_error_that_all_cells_share_is_no_bias():
    w = of_prompt(2)
    assert w.error == (0.5,) * CELLS
    np.testing.assert_allclose(off(w, LAMBDAS)[0], 0, atol=1e-24)
    assert rms(w, 0.0) < 0.003
    assert rms(w, 1.0) == pytest.approx(0.33, abs=0.005)
    assert rms(of_prompt(0), 1.0) == pytest.approx(0.21, abs=0.005)
    alone = tuple(0.5 * (np.arange(CELLS) == MIDDLE))
    assert rms(w._replace(error=alone), 1.0) == pytest.approx(rms(w, 1.0))  # the baseline
    for words in ("none, at any λ", "0.003", "0.33", "0.21"):
        assert words in PROMPTS[2].answer


def test_copied_code_gives_the_same_numbers(evaluate, cases):
    some = [w._replace(n=n) for w, n in zip(cases[:4], AVERAGED, strict=True)]
    for w, code in zip(some, evaluate(NAME, "python", [as_json(w) for w in some]), strict=True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {})
        told = [
            [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line)]
            for line in printed.getvalue().splitlines()
        ]
        for lam, row in zip((0.0, w.lam, 1.0), told, strict=False):
            assert row == pytest.approx([lam, *off(w, lam)[:2]], abs=6e-5, rel=1e-3)
        said = updates(w)
        assert told[3] == pytest.approx([best(w)])
        assert told[4] == pytest.approx([said.mean(), said.var()], abs=6e-4)
        assert told[5] == pytest.approx([w.t, advantages(w, walks(w.walk))[w.t, 0]], abs=6e-4)


# ------------------------------------------------------------------------------- the object


def test_the_table_has_the_least_and_the_readers_lambda():
    table = ActorCriticPlayground(lam=0.3).fallback()
    for lam in ("0.00", "0.30", "0.89", "1.00"):
        assert f"<tr><td>{lam}" in table
    assert "<tr><td>0.00<td>−0.322<td>0.1035<td>0.0014<td>0.324" in table


def test_only_the_figure_as_it_comes_asks_its_questions():
    assert len(ActorCriticPlayground().data()["prompts"]) == 3
    other = ActorCriticPlayground(gamma=0.9, title="Another question").data()
    assert (other["prompts"], other["title"]) == ([], "Another question")
    assert "gamma=0.9" in repr(ActorCriticPlayground(gamma=0.9))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lam": 1.1}, "lam must lie in"),
        ({"gamma": 0.7}, "gamma must lie in"),
        ({"error": (0.0,) * 6}, r"error must have shape \(7\)"),
        ({"error": (np.nan,) * 7}, "error must be finite"),
        ({"error": (5.0,) * 7}, "error must lie in"),
        ({"n": 2}, "n must be one of"),
        ({"walk": 201}, "walk must lie in"),
        ({"walk": 0}, "walk must be"),
        ({"t": 99}, "t must lie in"),
        ({"lambda_": 1}, "settings must be among"),
    ],
)
def test_what_the_controls_cannot_set_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ActorCriticPlayground(**settings)
