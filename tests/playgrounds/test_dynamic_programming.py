"""The playground of dynamic programming computes what the package computes, and says what is so."""

from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest

from rlcourse.playgrounds import DynamicProgrammingPlayground
from rlcourse.playgrounds.dynamic_programming import (
    DEPTHS,
    GOAL,
    PROMPTS,
    WORLD,
    costs,
    improved,
    run,
)
from rlcourse.tabular.dynamic_programming import (
    policy_improvement,
    policy_iteration,
    truncated_evaluation,
    truncated_policy_iteration,
)
from rlcourse.tabular.gridworld import SUTTON_BARTO_3_5, ZHAO, GridWorld, grid_mdp, value_iteration
from rlcourse.tabular.mdp import action_values, greedy_sets

TIES = ("first", "last", "keep")
SOLVE = """(w) => {
  const m = rows(w), exact = optimum(m), mine = run(m, exact, w.j, w.ties);
  const best = m.ends.map((_, i) => greedy(m, exact, i));
  return { v: [...exact], best, errors: mine.errors.slice(0, 300),
           policies: mine.policies.slice(0, 99).map((a) => [...a]),
           last: [...valuesAt(m, mine, mine.errors.length - 1)], cost: cost(m, mine),
           half: distance(valuesAt(m, mine, mine.errors.length >> 1), exact),
           settled: settled(mine, best) };
}"""


def random_world(rng):
    """A dry world of up to 6 x 6 cells with random rules, a gamma below 1, a depth, and ties."""
    n_rows, n_cols = rng.integers(1, 7, 2)
    order = rng.permutation(n_rows * n_cols).tolist()
    n_target, n_forbidden = rng.integers(0, 3), rng.integers(0, n_rows * n_cols // 2 + 1)
    world = GridWorld(
        int(n_rows),
        int(n_cols),
        forbidden=tuple(sorted(order[n_target : n_target + n_forbidden])),
        target=tuple(order[:n_target]),
        terminal=bool(rng.random() < 0.4),
        r_step=float(rng.choice([0, -1, 0.5, rng.normal()])),
        r_target=float(rng.choice([1, 10, rng.normal()])),
        r_forbidden=float(rng.integers(-20, 1)) / 2,
        r_boundary=float(rng.integers(-20, 1)) / 2,
        bump=str(rng.choice(["boundary", "boundary + cell"])),
        stay=bool(rng.random() < 0.7),
    )
    gamma = float(rng.choice([0, 0.5, 0.9, round(rng.uniform(0, 0.97), 2)]))
    j = DEPTHS[rng.integers(len(DEPTHS))]
    return world, gamma, j, str(rng.choice(TIES))


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    known = [(WORLD, 0.9, j, ties) for ties in TIES for j in (1, 2, 5, 10, None)]
    return known + [(WORLD, 0.99, 20, "first")] + [random_world(rng) for _ in range(200)]


def as_json(world, gamma, j, ties):
    fields = {k: v for k, v in asdict(world).items() if k not in ("start", "jumps")}
    return fields | {"gamma": gamma, "j": j, "ties": ties}


@cache
def expected(world, gamma, j, ties):
    """v*, the best actions, and the run of the package."""
    v = policy_iteration(grid_mdp(world), gamma).v
    return v, greedy_sets(action_values(grid_mdp(world), v, gamma)), run(world, gamma, j, ties)


def right(answer, world, gamma, j, ties):
    """True where the script's answer is the package's."""
    v, best, mine = expected(world, gamma, j, ties)
    n = len(mine.policies)
    near = all(
        np.shape(got) == np.shape(want) and np.allclose(got, want, rtol=0, atol=1e-9)
        for got, want in (
            (answer["v"], v),
            (answer["errors"], mine.errors[:300]),
            (answer["last"], mine.v),
            (answer["half"], mine.errors[len(mine.errors) // 2]),
        )
    )
    among = best[np.arange(len(v)), mine.policies].all(-1)
    settled = next((i for i in range(n + 1) if among[i:].all()), n)
    cost = [c if c is not None else np.inf for c in costs(mine, j, world.n_actions)]
    return (
        near
        and answer["best"] == [np.flatnonzero(row).tolist() for row in best]
        and answer["policies"] == mine.policies[:99].tolist()
        and answer["cost"] == cost
        and answer["settled"] == (settled if settled < n else None)
    )


def disagreements(evaluate, cases, mutant=None):
    """The cases in which the script's answers are not the package's."""
    answers = evaluate("dynamic_programming", SOLVE, [as_json(*case) for case in cases], mutant)
    return [c for c, answer in zip(cases, answers, strict=True) if not right(answer, *c)]


# ------------------------------------------------------------------------------- parity


def test_values_errors_policies_ties_and_costs_are_the_packages(evaluate, cases):
    assert len(cases) > 200
    assert {world.terminal for world, *_ in cases} == {world.stay for world, *_ in cases}
    assert {case[2] for case in cases} == set(DEPTHS)
    assert {case[3] for case in cases} == set(TIES)
    assert disagreements(evaluate, cases) == []


def test_all_depths_cost_what_they_cost_in_the_package(evaluate):
    all_ = "(w) => { const { m, runs } = solve(w); return runs.map((x) => cost(m, x)[0]); }"
    cases = [as_json(WORLD, 0.9, 5, ties) for ties in TIES]
    for ties, answer in zip(TIES, evaluate("dynamic_programming", all_, cases), strict=True):
        assert answer == DynamicProgrammingPlayground(ties=ties).data()["golden"]["iterations"]


def near_ties(evaluate, mutant=None):
    """True where actions whose values differ by rounding are told apart as in the package."""
    rng, mdp = np.random.default_rng(1), grid_mdp(WORLD)
    cases = []
    for i in range(60):
        v = rng.integers(0, 3, 25) + 1e-12 * rng.normal(size=25)
        cases.append((v, rng.integers(0, 5, 25), TIES[i % 3]))
    want = [improved(action_values(mdp, v, 0.9), a, ties).tolist() for v, a, ties in cases]
    improve = "([w, v, a, ties]) => [...improve(rows(w), v, a, ties)]"
    world = as_json(WORLD, 0.9, 1, "first")
    inputs = [(world, v.tolist(), a.tolist(), ties) for v, a, ties in cases]
    return evaluate("dynamic_programming", improve, inputs, mutant) == want


def test_values_that_differ_by_rounding_tie_as_in_the_package(evaluate):
    assert near_ties(evaluate)
    assert not near_ties(evaluate, ("best -= tolerance", "best -= 0"))


MUTANTS = {
    "no discount": ("m.g[i] * v[", "v["),
    "rewards after the end": ("m.ends[Math.floor(i / A)] ? 0 : x.r", "x.r"),
    "values after the end": ("(end ? 0 : w.gamma)", "w.gamma"),
    "the worst actions": ("best = Math.max(best, look(", "best = -Math.max(-best, -look("),
    "the last action never": ("step < 0 ? m.A - 1", "step < 0 ? m.A - 2"),
    "the first of ties for the last": ('ties === "last" ? -1 : 1', "1"),
    "keeps what is not among the best": (
        "look(m, v, i, old[i]) >= best ? old[i]",
        "look(m, v, i, old[i]) >= best - 0.1 ? old[i]",
    ),
    "keeps nothing": ('ties === "keep" && look(', 'ties === "none" && look('),
    "improves before it keeps": ('ties !== "keep" || policies.length', "true"),
    "begins with another policy": (
        "let a = new Int8Array(exact.length).fill(m.A - 1)",
        "let a = new Int8Array(exact.length).fill(0)",
    ),
    "a sweep too few": ("n < (j ?? 1); n += 1", "n < (j > 1 ? j - 1 : 1); n += 1"),
    "a worse goal": ("GOAL = 1e-3", "GOAL = 2e-3"),
    "not looking far": ("n < 13", "n < 4"),
    "looks at everything": ("n * (m.A + j - 1)", "n * m.A * j"),
    "settled by its last policy": ("while (n > 0 &&", "if (n > 0 &&"),
    "stops improving": ("n > 1000 ||", "n > 1 ||"),
    "values of a sweep ago": ("for (let n = 0; n < k; n += 1)", "for (let n = 1; n < k; n += 1)"),
    "sweeps in place": ("sweep(m, v, a, next), v];\nerrors", "sweep(m, v, a, v), next];\nerrors"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    # few at a time: where values explode, runs are long
    assert any(disagreements(evaluate, cases[i : i + 15], MUTANTS[name]) for i in range(0, 210, 15))


@pytest.mark.parametrize("ties", TIES)
def test_copied_code_gives_the_same_values(evaluate, cases, ties, capsys):
    some = [case for case in cases if case[3] == ties][:15]
    code = evaluate("dynamic_programming", "python", [as_json(*case) for case in some])
    for (world, gamma, j, _), text in zip(some, code, strict=True):
        names = {}
        exec(text, names)
        mine = run(world, gamma, j, ties)
        assert names["world"] == replace(world, start=None)
        np.testing.assert_allclose(names["v"], mine.v, rtol=0, atol=1e-12)
        assert names["iterations"] == len(mine.policies)
        if len(mine.policies):
            np.testing.assert_array_equal(names["a"], mine.policies[-1])
        assert capsys.readouterr().out == f"{len(mine.policies)} iterations\n"


# ------------------------------------------------------------------------------- the run


def test_the_run_is_that_of_the_package(cases):
    for world, gamma, j, ties in cases[:60]:
        mdp, mine = grid_mdp(world), run(world, gamma, j, ties)
        exact = policy_iteration(mdp, gamma).v
        np.testing.assert_allclose(exact, value_iteration(mdp, gamma, 1e-11).v, atol=1e-9)
        assert mine.errors[-1] < GOAL
        np.testing.assert_allclose(mine.v, exact, rtol=0, atol=GOAL)
        if j and len(mine.policies):
            assert (mine.errors[:-1][::j][1:] >= GOAL).all()
            assert len(mine.errors) == 1 + j * len(mine.policies)


@pytest.mark.parametrize("j", [1, 2, 5, 10])
def test_a_run_is_the_first_part_of_truncated_policy_iteration(j):
    mdp, mine, v = grid_mdp(WORLD), run(WORLD, 0.9, j, "first"), np.zeros(25)
    for a in mine.policies:
        np.testing.assert_array_equal(a, action_values(mdp, v, 0.9).argmax(-1))
        v = truncated_evaluation(mdp, a, v, 0.9, j)
    np.testing.assert_array_equal(mine.v, v)
    full = truncated_policy_iteration(mdp, 0.9, j, 1e-9).v
    assert np.abs(v - full).max() == pytest.approx(mine.errors[-1], abs=2e-9)


def test_keep_keeps_an_action_as_long_as_it_is_among_the_best():
    rng = np.random.default_rng(0)
    q = rng.integers(0, 3, (200, 5)).astype(float)
    a = rng.integers(0, 5, 200)
    np.testing.assert_array_equal(improved(q, a, "keep"), policy_improvement(q, a))
    best = greedy_sets(q)
    for ties, end in (("first", min), ("last", max)):
        want = [end(np.flatnonzero(row)) for row in best]
        np.testing.assert_array_equal(improved(q, a, ties), want)


# ------------------------------------------------------------------------------- claims


def counted(j, ties="first", world=WORLD, gamma=0.9):
    return costs(run(world, gamma, j, ties), j, world.n_actions)


def steps_to_the_target():
    """The steps of a best way from each cell, by breadth-first search around the swamp."""
    best = expected(WORLD, 0.9, 5, "first")[1]
    mdp, steps, frontier = grid_mdp(WORLD), {17: 0}, [17]
    while frontier:
        here = frontier.pop(0)
        for s in range(25):
            if s not in steps and any(best[s, a] and mdp.s_next[s, a, 0] == here for a in range(5)):
                steps[s] = steps[here] + 1
                frontier.append(s)
    return steps


@pytest.mark.parametrize("ties", TIES)
def test_up_to_depth_5_ties_do_not_matter(ties):
    assert [counted(j, ties)[:2] for j in (1, 2, 5)] == [(88, 88), (44, 88), (18, 90)]


def test_at_depth_10_the_ties_decide():
    assert [counted(10, ties)[:2] for ties in TIES] == [(9, 90), (15, 150), (16, 160)]


def test_all_arrows_are_best_from_iteration_8_on_at_every_depth():
    best = expected(WORLD, 0.9, 5, "first")[1]
    for j in DEPTHS:
        among = best[np.arange(25), run(WORLD, 0.9, j, "first").policies]
        assert not among[6].all()
        assert among[7:].all()


def test_no_run_is_ahead_of_value_iteration_and_late_ones_fall_onto_its_line():
    one = run(WORLD, 0.9, 1, "first").errors
    np.testing.assert_allclose(one, 10 * 0.9 ** np.arange(len(one)), atol=1e-9)
    for j in DEPTHS[1:-1]:
        errors = run(WORLD, 0.9, j, "first").errors
        n = min(len(one), len(errors))
        assert (errors[:n] >= one[:n] - 1e-12).all()
        if j <= 10:
            assert errors[80] == pytest.approx(one[80], rel=0.01)


def test_five_sweeps_look_at_fewer_actions_than_one():
    prompt = PROMPTS[0]
    assert prompt.set == {"j": 1}
    assert counted(1) == (88, 88, 440)
    assert counted(5) == (18, 90, 162)
    for words in ("88 × 5 = 440", "18 × (5 + 4) = 162", "looks at all five actions"):
        assert words in prompt.answer
    assert "needs 88 sweeps" in prompt.ask
    assert "needs 90" in prompt.ask


def test_cells_that_stay_pass_no_news_on():
    prompt = PROMPTS[1]
    assert prompt.set == {"j": 10, "ties": "last"}
    mine = run(WORLD, 0.9, 10, "last")
    assert counted(10, "last")[:2] == (15, 150)
    assert counted(10)[1] == 90
    steps = steps_to_the_target()
    assert max(steps.values()) == steps[20] == 15
    dry = [s for s in range(25) if s not in WORLD.forbidden]
    for n, a in enumerate(mine.policies, 1):
        assert all((a[s] == 4) == (steps[s] > n) for s in dry if s != 17)
    for words in ("No: 150", "stay pass no news on", "15 steps away: 15 improvements"):
        assert words in prompt.answer


def test_a_far_sighted_agent_needs_1146_sweeps_or_8_solves():
    prompt = PROMPTS[2]
    assert prompt.set == {"gamma": 0.99, "j": None}
    assert counted(1, gamma=0.99)[0] == 1146
    assert counted(None, gamma=0.99)[0] == counted(None)[0] == 8
    assert round(1146 / counted(1)[1]) == 13
    errors = run(WORLD, 0.99, 1, "first").errors
    np.testing.assert_allclose(errors[1:] / errors[:-1], 0.99, atol=1e-9)
    for words in ("1146 and 8", "1 % of the star's error", "13 times", "8 improvements at 0.9"):
        assert words in prompt.answer


# ------------------------------------------------------------------------------- the object


def test_only_the_world_of_the_questions_asks_them():
    assert len(DynamicProgrammingPlayground().data()["prompts"]) == 3
    for change in ({"gamma": 0.8}, {"j": 2}, {"ties": "last"}, {"world": ZHAO}):
        assert DynamicProgrammingPlayground(**change).data()["prompts"] == []


def test_the_data_hold_the_packages_values():
    data = DynamicProgrammingPlayground(title="A question?").data()
    assert data["title"] == "A question?"
    assert "title" not in DynamicProgrammingPlayground().data()
    assert data["golden"]["v"] == policy_iteration(grid_mdp(WORLD), 0.9).v.tolist()
    assert data["golden"]["iterations"] == [88, 44, 30, 22, 18, 15, 13, 11, 10, 9, 8, 8]


def test_the_fallback_lists_the_costs_of_some_depths():
    html = DynamicProgrammingPlayground().fallback()
    assert "<tr><td>1<td>88<td>88<td>440" in html
    assert "<tr><td>5<td>18<td>90<td>162" in html
    assert "<tr><td>∞<td>8<td>∞<td>∞" in html
    assert html.count("<tr>") == 7
    assert DynamicProgrammingPlayground(j=7).fallback().count("<tr>") == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"world": GridWorld(11, 2)}, "at most 10 rows and columns, got 11 x 2"),
        ({"world": SUTTON_BARTO_3_5}, "no jumps and no slip"),
        ({"world": replace(ZHAO, slip=0.1)}, "no jumps and no slip"),
        ({"selected": 25}, r"selected must lie in \[0, 25\), got 25"),
        ({"gamma": 1.0}, r"gamma must lie in \[0, 0.99\], got 1.0"),
        ({"j": 11}, "j must be one of"),
        ({"ties": "any"}, "ties must be one of .*, got 'any'"),
        ({"world": replace(ZHAO, r_target=1e40), "gamma": 0.99}, "more than 5000 sweeps"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        DynamicProgrammingPlayground(**arguments)


def test_a_start_is_left_out():
    with_start = replace(WORLD, start=20)
    assert DynamicProgrammingPlayground(with_start).data() == DynamicProgrammingPlayground().data()
