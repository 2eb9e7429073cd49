"""The playground of temporal differences computes what the package computes."""

import numpy as np
import pytest

from rlcourse.playgrounds import TemporalDifferencePlayground
from rlcourse.playgrounds.temporal_difference import (
    CLIFF,
    PERCENTS,
    PROMPTS,
    Settings,
    earned,
    generator,
    limits,
    methods,
    run,
    steps,
)
from rlcourse.tabular import learning, targets
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import closed_form, value_iteration
from rlcourse.tabular.mdp import action_values
from rlcourse.tabular.monte_carlo import epsilon_greedy, soft_optimum
from rlcourse.tabular.temporal_difference import learn_q

NAME = "temporal_difference"
METHODS = ("q_learning", "sarsa", "expected_sarsa")
ENV = environment(CLIFF.mdp, CLIFF.start)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def random_settings(rng):
    return Settings(
        str(rng.choice(["sarsa", "expected_sarsa"])),
        int(rng.integers(21)) / 100,
        int(rng.integers(1, 8)) / 10,
        str(rng.choice(["uniform", "first"])),
        int(rng.integers(1, 2**31)),
    )


# ------------------------------------------------------------------------------- one step

STEP = """({ w, q, r, a, terminated, explores, u }) => {
  const of = (method) => target(w, method, r, q, 0, a, terminated);
  return { chosen: choose(q, 0, w.ties, explores, u), best: best(q, 0),
           pi: [...policy(w, q, 0)], targets: ["q_learning", "sarsa", "expected_sarsa"].map(of) };
}"""


def random_step(rng):
    """Four action values with many ties, and everything else that a step needs."""
    q = rng.integers(-3, 1, 4) if rng.random() < 0.7 else rng.normal(size=4)
    return {
        "w": random_settings(rng)._asdict(),
        "q": q.tolist(),
        "r": int(rng.choice([-1, -100])),
        "a": int(rng.integers(4)),
        "terminated": bool(rng.random() < 0.2),
        "explores": int(rng.random() < 0.3),
        "u": float(rng.random()),
    }


class _Two:
    """Draws what decides whether to explore, then what breaks the tie."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def random(self, n):
        return np.full(n, self.draws.pop(0))


def of_package(x):
    w, q = x["w"], np.array(x["q"], float)
    how = learning.check_behaviour(ENV, 0.5, w["ties"], None, None, must_cover=False)
    draws = _Two(0.0 if x["explores"] else 0.9, x["u"])
    pi = epsilon_greedy(q[None], w["epsilon"], w["ties"])[0]
    arguments = (x["r"], q)
    rest = (x["terminated"], 1.0)
    return {
        "chosen": int(learning.act(how, q[:, None], np.zeros(1, int), rng=draws)[0]),
        "best": np.flatnonzero(q == q.max()).tolist(),
        "pi": pi,
        "targets": [
            targets.q_learning_target(*arguments, *rest),
            targets.sarsa_target(*arguments, np.array(x["a"]), *rest),
            targets.expected_sarsa_target(*arguments, pi, *rest),
        ],
    }


def wrong_steps(evaluate, cases, mutant=None):
    answers = evaluate(NAME, STEP, cases, mutant)
    return [x for x, got in zip(cases, answers, strict=True) if not same(got, of_package(x))]


def same(got, want):
    return (
        (got["chosen"], got["best"]) == (want["chosen"], want["best"])
        and np.allclose(got["pi"], want["pi"], rtol=0, atol=1e-12)
        and np.allclose(got["targets"], want["targets"], rtol=0, atol=1e-12)
    )


@pytest.fixture(scope="module")
def step_cases(rng):
    return [random_step(rng) for _ in range(400)]


def test_choices_policies_and_targets_are_the_packages(evaluate, step_cases):
    assert wrong_steps(evaluate, step_cases) == []


STEP_MUTANTS = {
    "explores among the best": ("if (explores) return Math.floor(4 * u);", ""),
    "the first of ties always": ("Math.floor(count(q, at, x) * u)", "0"),
    "draws between ties always": ('let n = ties === "first" ? 0 : Math', "let n = Math"),
    "a policy that ignores ties": ('ties === "first" ? 1 : count', "true ? 1 : count"),
    "explores with ε of each action": ("epsilon * 0.25", "epsilon"),
    "does not explore less": ("(1 - epsilon) * (1 / n)", "1 / n"),
    "values after the end": ("if (terminated) return r;", ""),
    "Sarsa that forgets its action": ("r + q[at + after]", "r + q[at]"),
    "Q-learning that adds nothing": ("return r + most(q, at)", "return r"),
    "expected Sarsa of three actions": (" + pi[3] * q[at + 3]", ""),
}


@pytest.mark.parametrize("name", STEP_MUTANTS)
def test_a_wrong_step_is_caught(evaluate, step_cases, name):
    assert wrong_steps(evaluate, step_cases, STEP_MUTANTS[name])


# ------------------------------------------------------------------------------- whole runs

RUN = """({ w, method, episodes, learners }) => {
  const { q, returns, ends } = learn(w, method, episodes, learners);
  const ways = returns.slice(0, learners).map((_, b) => {
    const { cells, end } = way(q.slice(192 * b, 192 * b + 192), w.ties);
    return end === "goal" ? cells.length - 1 : 0;
  });
  return { q: [...q], returns: [...returns], steps: [...ways],
           lengths: ends.slice(1).map((n, k) => n - ends[k]) };
}"""


def wrong_runs(evaluate, cases, mutant=None):
    inputs = [
        {"w": w._asdict(), "method": m, "episodes": n, "learners": learners}
        for w, m, n, learners in cases
    ]
    answers = evaluate(NAME, RUN, inputs, mutant)
    return [case for case, got in zip(cases, answers, strict=True) if not same_run(got, *case)]


def same_run(got, w, method, episodes, learners):
    want = run(w, method, episodes, learners)
    return (
        np.allclose(np.reshape(got["q"], want.q.shape), want.q, rtol=0, atol=1e-9)
        and got["returns"] == want.returns.ravel().tolist()
        and got["lengths"] == want.lengths[:, 0].tolist()
        and got["steps"] == [steps(q, w.ties) for q in want.q]
    )


@pytest.fixture(scope="module")
def run_cases(rng):
    settings = [random_settings(rng) for _ in range(36)]
    short = [(w, METHODS[i % 3], 4 + i % 5, 1 + i % 4) for i, w in enumerate(settings)]
    default = [(Settings(ties=ties), m, 500, 10) for m in METHODS for ties in ("uniform", "first")]
    return short + default


def test_runs_are_the_packages_draw_by_draw(evaluate, run_cases):
    assert {(w.ties, m) for w, m, *_ in run_cases[:36]} == {
        (ties, m) for ties in ("uniform", "first") for m in METHODS
    }
    assert wrong_runs(evaluate, run_cases) == []


RUN_MUTANTS = {
    "cheap falls": ("? -100 : -1", "? -10 : -1"),
    "nobody is sent back": ("R[i] < -1 ? START : cell", "R[i] < -1 ? 24 : cell"),
    "another seed": ("uniforms(w.seed)", "uniforms(w.seed + 1)"),
    "explores when it should not": ("draw() < w.epsilon ? 1 : 0", "draw() < 0.5 ? 1 : 0"),
    "whole steps": ("w.alpha * (to -", "(to -"),
    "one draw for both": (
        "for (const b of who) explores[b] = draw() < w.epsilon ? 1 : 0;\nfor (const b of who) ",
        "for (const b of who) explores[b] = draw() < w.epsilon ? 1 : 0,",
    ),
    "Sarsa that never begins anew": ('if (method === "sarsa") act(ended, at, a);', ""),
    "an episode too few": ("done[b] < episodes", "done[b] < episodes - 1"),
    "counts steps, not rewards": ("+ b] += R[pair]", "+ b] -= 1"),
    "a way that may loop": ('end: "loops"', 'end: "goal"'),
}


@pytest.mark.parametrize("name", RUN_MUTANTS)
def test_a_wrong_run_is_caught(evaluate, run_cases, name):
    assert wrong_runs(evaluate, run_cases[:36], RUN_MUTANTS[name])


def wrong_ways(evaluate, mutant=None):
    """Where the steps of a way differ, of the best values with ties and errors in some cells."""
    rng = np.random.default_rng(3)
    tables = np.tile(action_values(CLIFF.mdp, value_iteration(CLIFF.mdp, 1.0).v, 1.0), (80, 1, 1))
    tables[np.arange(80), rng.integers(25, 35, 80)] = rng.integers(-2, 0, (80, 4))
    ask = """([q, ties]) => {
      const { cells, end } = way(q, ties);
      return [end === "goal" ? cells.length - 1 : 0, end];
    }"""
    cases = [(q, ties) for q in tables.round(7) for ties in ("uniform", "first")]
    answers = evaluate(NAME, ask, [(q.ravel().tolist(), ties) for q, ties in cases], mutant)
    if mutant is None:
        assert {end for _, end in answers} == {"goal", "loops", "tied"}
    return [x for x, (n, _) in zip(cases, answers, strict=True) if n != steps(*x)]


def test_no_way_leads_through_a_tie_that_chance_has_to_break(evaluate):
    assert wrong_ways(evaluate) == []
    assert wrong_ways(evaluate, ("greedy.length > 1", "greedy.length > 9"))
    assert wrong_ways(evaluate, ('ties === "uniform" && greedy', "greedy"))


REPLAY = """({ w, method, ks }) => {
  const x = learn(w, method, 130, 1);
  return ks.map((k) => {
    const { q, visits, falls } = replay(w, x, k);
    return { q: [...q], visits: [...visits], falls: [...falls],
             mean: mean(x, k), ten: mean(x, k, 10) };
  });
}"""
KS = (1, 2, 5, 101, 130)


def wrong_replays(evaluate, mutant=None):
    """Where a replayed table is not that of a run of k episodes, or its counts don't add up."""
    cases = [
        (Settings(seed=s, ties=t), m) for s, t in ((1, "uniform"), (2, "first")) for m in METHODS
    ]
    inputs = [{"w": w._asdict(), "method": m, "ks": KS} for w, m in cases]
    answers = evaluate(NAME, REPLAY, inputs, mutant)
    return [
        (case, k)
        for case, answer in zip(cases, answers, strict=True)
        for k, got in zip(KS, answer, strict=True)
        if not same_replay(got, *case, k)
    ]


def same_replay(got, w, method, k):
    want = run(w, method, k, 1)
    visits, falls = np.array(got["visits"]), np.array(got["falls"])
    returns, lengths = want.returns[-100:, 0], want.lengths[-100:, 0]
    return (
        np.allclose(np.reshape(got["q"], (48, 4)), want.q[0], rtol=0, atol=1e-9)
        and visits.sum() == lengths.sum()
        and falls.sum() == -(returns + lengths).sum() / 99
        and not visits[37:].any()
        and falls.sum() == falls[37:47].sum()
        and visits[36] >= falls.sum() + len(returns)
        and np.isclose(got["mean"], returns.mean(), rtol=0, atol=1e-9)
        and np.isclose(got["ten"], want.returns[-10:].mean(), rtol=0, atol=1e-9)
    )


def test_a_replay_is_the_run_of_so_many_episodes(evaluate):
    assert wrong_replays(evaluate) == []


REPLAY_MUTANTS = {
    "the action before": ("pairs[i + 1] & 3", "pairs[i] & 3"),
    "counts all episodes": ("if (i < ends[Math.max(0, k - LAST)]) continue;", ""),
    "counts falls where they began": ("falls[HIT[pair]]", "falls[pair >> 2]"),
    "visits of what is stepped on": ("visits[pair >> 2]", "visits[NEXT[pair]]"),
    "a mean of all": ("sum / (Math.min(k, n) * learners)", "sum / (k * learners)"),
    "a mean from the start": ("i = Math.max(0, k - n) * learners", "i = 0"),
}


@pytest.mark.parametrize("name", REPLAY_MUTANTS)
def test_a_wrong_replay_is_caught(evaluate, name):
    assert wrong_replays(evaluate, REPLAY_MUTANTS[name])


def test_copied_code_earns_the_same(evaluate, capsys):
    some = [Settings(), Settings("expected_sarsa", 0.2, 0.3, "first", 7)]
    code = evaluate(NAME, "python", [w._asdict() for w in some])
    for w, text in zip(some, code, strict=True):
        exec(text, {})
        want = [f"{m} earns {round(earned(run(w, m)), 2)}" for m in methods(w)]
        assert capsys.readouterr().out.splitlines() == want


# ------------------------------------------------------------------------------- exact limits


def test_what_is_known_of_the_default_is_what_the_chapter_says():
    uniform, first, optimum, way = limits(0.1)
    assert (round(uniform, 3), round(first, 3)) == (-50.8, -45.803)
    assert round(optimum, 4) == -20.7077
    assert len(way) - 1 == 15


@pytest.mark.parametrize("ties", ["uniform", "first"])
def test_learners_that_know_the_best_values_earn_the_limit(ties):
    q = action_values(CLIFF.mdp, value_iteration(CLIFF.mdp, 1.0).v, 1.0).round(7)
    x = learn_q(
        ENV, "q_learning", episodes=500, learners=100, alpha=0.5, gamma=1.0, epsilon=0.1,
        ties=ties, q=q, rng=np.random.default_rng(1),
    )  # fmt: skip
    np.testing.assert_array_equal(x.q, np.broadcast_to(q, x.q.shape))  # nothing left to learn
    error = x.returns.std() / np.sqrt(x.returns.size)
    assert abs(x.returns.mean() - getattr(limits(0.1), ties)) < 4 * error
    assert error < 0.4


@pytest.mark.parametrize("percent", PERCENTS)
def test_no_limit_is_above_the_best_exploring_policy_and_each_way_is_drawn(percent):
    epsilon = percent / 100
    exact, data = limits(epsilon), TemporalDifferencePlayground().data()
    assert exact.uniform <= exact.first <= exact.optimum <= -13
    assert data["limits"][percent][3] == len(exact.way) - 1
    assert data["ways"][len(exact.way) - 1] == exact.way
    best = soft_optimum(CLIFF.mdp, epsilon, 1.0)
    again = closed_form(CLIFF.mdp, epsilon_greedy(best.q, epsilon, "first"), 1.0)[CLIFF.start]
    assert exact.optimum == pytest.approx(again, abs=1e-6)


# ------------------------------------------------------------------------------- claims


def test_by_default_q_learning_knows_more_and_earns_less():
    w = Settings()
    q, sarsa = run(w, "q_learning"), run(w, "sarsa")
    assert {steps(x, w.ties) for x in q.q} == {13}
    assert {steps(x, w.ties) for x in sarsa.q} == {17}
    assert earned(q) < -45 < -30 < earned(sarsa) < limits(0.1).optimum


def test_along_the_edge_one_random_action_in_four_is_a_fall():
    falls = CLIFF.mdp.s_next[25:35, :, 0] == CLIFF.start
    assert falls.sum(1).tolist() == [1] * 10


def test_who_never_slips_earns_what_the_shortest_way_is_worth():
    prompt, w = PROMPTS[0], Settings(epsilon=0.0)
    assert prompt.set == {"epsilon": 0.0}
    for method in methods(w):
        x = run(w, method)
        assert {steps(q, w.ties) for q in x.q} == {13}
        assert earned(x) == -13
    assert limits(0.0)[:3] == (-13, -13, -13)
    for words in ("No: both learn the 13 steps", "both earn −13"):
        assert words in prompt.answer


def test_expected_sarsa_finds_the_best_exploring_way():
    prompt, w = PROMPTS[1], Settings(against="expected_sarsa")
    assert prompt.set == {"against": "expected_sarsa"}
    x = run(w, "expected_sarsa")
    assert {steps(q, w.ties) for q in x.q} == {15}
    way = limits(0.1).way
    assert way[1:3] == [24, 12]  # row 2 of 4: one row from the edge, which is row 3
    assert [int(q.argmax()) for q in x.q[0][way[:-1]]] == [0, 0] + [1] * 11 + [2, 2]
    for words in ("15 steps, one row from the edge", "−20.71", "fills half of a value"):
        assert words in prompt.answer


def test_ties_matter_only_when_values_have_settled():
    prompt = PROMPTS[2]
    assert prompt.set == {"ties": "first"}
    early, late = {}, {}
    for ties in ("uniform", "first"):
        x = learn_q(
            ENV, "q_learning", episodes=4500, learners=50, alpha=0.5, gamma=1.0, epsilon=0.1,
            ties=ties, rng=np.random.default_rng(2),
        ).returns  # fmt: skip
        early[ties] = x[400:500].mean(), x[400:500].mean(0).std() / np.sqrt(50)
        late[ties] = x[-500:].mean(), x[-500:].mean(0).std() / np.sqrt(50)
    gap = early["first"][0] - early["uniform"][0]
    assert abs(gap) < 3 * np.hypot(early["first"][1], early["uniform"][1]) < 5
    for ties, (mean, error) in late.items():
        assert abs(mean - getattr(limits(0.1), ties)) < 4 * error < 2.5
    own = [earned(run(Settings(ties=ties), "q_learning")) for ties in ("uniform", "first")]
    assert abs(own[0] - own[1]) < 5
    for words in (
        "For 500 episodes, yes",
        "no: −45.80 instead of −50.80",
        "some thousand episodes",
    ):
        assert words in prompt.answer
    q = action_values(CLIFF.mdp, value_iteration(CLIFF.mdp, 1.0).v, 1.0)
    assert np.allclose(q[12:23, 1], q[12:23, 2])  # one row from the edge, right and down tie
    assert (q[12:23, 1] > q[12:23, [0, 3]].max(1)).all()


# ------------------------------------------------------------------------------- the object


def test_only_the_default_asks_its_questions():
    assert len(TemporalDifferencePlayground(title="Why?").data()["prompts"]) == 3
    assert TemporalDifferencePlayground(seed=2).data()["prompts"] == []


def test_the_data_hold_what_the_package_earns():
    golden = TemporalDifferencePlayground().data()["golden"]
    assert {m: x["steps"] for m, x in golden.items()} == {"q_learning": 13, "sarsa": 17}
    x = learn_q(
        ENV, "sarsa", episodes=500, learners=10, alpha=0.5, gamma=1.0, epsilon=0.1,
        rng=generator(1),
    )  # fmt: skip
    assert golden["sarsa"]["earned"] == x.returns[400:].mean()


def test_the_table_tells_what_is_known_and_earned():
    table = TemporalDifferencePlayground().fallback()
    assert "<tr><td>Q-learning<td>13<td>−51.1<td>−50.80, in the end" in table
    assert "<tr><td>Sarsa<td>17<td>−25.7<td>−20.71, the best ε-greedy policy" in table
    lost = TemporalDifferencePlayground(epsilon=0.2, alpha=0.7).fallback()
    assert "<tr><td>Sarsa<td>none<td>" in lost


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"against": "double_q"}, "against must be one of .* got 'double_q'"),
        ({"ties": "last"}, "ties must be one of .* got 'last'"),
        ({"epsilon": 0.3}, r"epsilon must lie in \[0, 0.2\], got 0.3"),
        ({"epsilon": 0.015}, "epsilon must be a multiple of 0.01, got 0.015"),
        ({"alpha": 0.8}, r"alpha must lie in \[0.1, 0.7\], got 0.8"),
        ({"seed": 0}, "seed must be an integer of at least 1, got 0"),
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        TemporalDifferencePlayground(**settings)
