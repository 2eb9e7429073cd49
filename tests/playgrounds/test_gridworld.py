"""The GridWorld playground computes what the package computes, and says nothing that is not so."""

from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest

from rlcourse.playgrounds import GridWorldPlayground
from rlcourse.playgrounds.gridworld import PROMPTS, TOLERANCE, best_moves, solve
from rlcourse.tabular.gridworld import (
    SUTTON_BARTO_3_5,
    SUTTON_BARTO_4_1,
    ZHAO,
    GridWorld,
    grid_mdp,
    move,
    parse,
    value_iteration,
)
from rlcourse.tabular.mdp import action_values

SOLVE = """(w) => {
  const { m, sweeps, exact } = solve(w);
  const v = sweeps.at(-1);
  return { v, exact, sweeps: sweeps.length - 1, best: v.map((_, i) => greedy(m, v, i)),
           q: v.map((_, i) => backup(m, v, i)) };
}"""


def random_world(rng):
    """A world of up to 6 x 6 cells with random rules, and a gamma: 0, 1 (if it ends) or between."""
    n_rows, n_cols = rng.integers(1, 7, 2)
    order = rng.permutation(n_rows * n_cols).tolist()
    n_target, n_forbidden = rng.integers(0, 3), rng.integers(0, n_rows * n_cols // 2 + 1)
    target = tuple(order[:n_target])
    world = GridWorld(
        int(n_rows),
        int(n_cols),
        forbidden=tuple(sorted(order[n_target : n_target + n_forbidden])),
        target=target,
        terminal=bool(rng.random() < 0.4),
        slip=float(rng.choice([0, 0, 0.05, 0.3, 1, rng.random()])),
        r_step=float(rng.choice([0, -1, 0.5, rng.normal()])),
        r_target=float(rng.choice([1, 10, rng.normal()])),
        r_forbidden=float(rng.integers(-20, 1)) / 2,
        r_boundary=float(rng.integers(-20, 1)) / 2,
        bump=str(rng.choice(["boundary", "boundary + cell"])),
        stay=bool(rng.random() < 0.7),
    )
    gamma = float(rng.choice([0, 0.5, 0.9, 0.98, round(rng.uniform(0, 0.98), 2)]))
    if world.terminal and target and world.r_step <= -1 and rng.random() < 0.5:
        gamma, world = 1.0, replace(world, r_target=min(world.r_target, 10.0))
    return world, gamma


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    known = [(ZHAO, 0.9), (ZHAO, 0.99), (SUTTON_BARTO_4_1, 1.0), (replace(ZHAO, slip=0.3), 0.98)]
    return known + [random_world(rng) for _ in range(300)]


def as_json(world, gamma):
    return {k: v for k, v in asdict(world).items() if k not in ("start", "jumps")} | {
        "gamma": gamma
    }


def sets(world, gamma, solution):
    return [np.flatnonzero(row).tolist() for row in best_moves(world, gamma, solution)]


@cache
def expected(world, gamma):
    """(v, sweeps, best moves, q) of the package."""
    solution = solve(world, gamma)
    q = action_values(grid_mdp(world), solution.v, gamma)
    return solution.v, solution.sweeps, sets(world, gamma, solution), q


def disagreements(evaluate, cases, mutant=None):
    """The cases in which the script's answers are not the package's."""
    answers = evaluate("gridworld", SOLVE, [as_json(*case) for case in cases], mutant)
    wrong = []
    for case, answer in zip(cases, answers, strict=True):
        v, sweeps, best, q = expected(*case)
        near = all(
            np.shape(got) == want.shape and np.allclose(got, want, rtol=0, atol=1e-9)
            for got, want in ((answer["v"], v), (answer["q"], q))
        )
        if not (near and answer["sweeps"] == sweeps and answer["best"] == best):
            wrong.append(case)
    return wrong


# ------------------------------------------------------------------------------- parity


def test_values_sweeps_and_ties_are_the_packages(evaluate, cases):
    assert len(cases) > 300
    assert {world.terminal for world, _ in cases} == {world.stay for world, _ in cases}
    assert 1.0 in {gamma for _, gamma in cases[4:]}
    assert disagreements(evaluate, cases) == []


def test_the_exact_answer_has_many_more_digits(evaluate, cases):
    cases = cases[:60]
    answers = evaluate("gridworld", SOLVE, [as_json(*case) for case in cases])
    for (world, gamma), answer in zip(cases, answers, strict=True):
        exact = value_iteration(grid_mdp(world), gamma, 1e-11).v
        np.testing.assert_allclose(answer["exact"], exact, rtol=0, atol=1e-9)


def test_where_the_package_refuses_the_script_has_no_answer(evaluate):
    growing = replace(ZHAO, terminal=True, r_step=0.5)
    refused = [(ZHAO, 1.0), (replace(ZHAO, target=(), terminal=True), 1.0), (growing, 1.0)]
    answers = evaluate("gridworld", SOLVE, [as_json(*case) for case in refused])
    for case, answer in zip(refused, answers, strict=True):
        with pytest.raises(ValueError, match="gamma"):
            solve(*case)
        assert answer["exact"] is None
        assert answer["sweeps"] == 100


MUTANTS = {
    "the mean of the others": ("x + y) / q.length", "x + y) / (q.length - 1)"),
    "slip the wrong way": ("(1 - m.slip) * x + m.slip * mean", "m.slip * x + (1 - m.slip) * mean"),
    "a walk through the wall": ("col >= w.n_cols ? -1", "col > w.n_cols ? -1"),
    "rows and columns swapped": ("row >= w.n_rows", "row >= w.n_cols"),
    "reward of the cell that is left": ("{ r: reward[next], next }", "{ r: reward[i], next }"),
    "one convention of bumps": ('=== "boundary + cell" ?', '=== "boundary" ?'),
    "rewards after the end": ("m.ends[i] ? 0 : r", "r"),
    "no discount": ("m.gamma * v[next]", "v[next] * (m.gamma > 0.97 ? 1 : m.gamma)"),
    "changes instead of errors": ("w.gamma / (1 - w.gamma) : 1", "1 : 1"),
    "a sweep too few": (
        "bound.at(-1) <= TOLERANCE)) {\nsweeps",
        "bound.at(-1) <= 2e-6)) {\nsweeps",
    ),
    "only the first best": ("x >= best ? [a]", "x >= best && q.indexOf(x) === a ? [a]"),
    "no stay": ("w.stay ? 5 : 4", "w.stay ? 4 : 5"),
    "targets before swamps": (
        "w.target.includes(i) ? w.r_target",
        "w.target[0] === i ? w.r_target",
    ),
    "worst instead of best": ("v.map((_, i) => Math.max(", "v.map((_, i) => Math.min("),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:40], MUTANTS[name])


def test_copied_code_gives_the_same_values(evaluate, cases):
    some = cases[:40]
    code = evaluate("gridworld", "python", [as_json(*case) for case in some])
    for (world, gamma), text in zip(some, code, strict=True):
        names = {}
        exec(text, names)
        assert names["world"] == replace(world, start=None)
        v, sweeps = solve(world, gamma)
        np.testing.assert_array_equal(names["v"], v)
        assert names["sweeps"] == sweeps


# ------------------------------------------------------------------------------- prompts


def asked(number):
    """The world and gamma that a prompt sets, and its answer."""
    prompt = PROMPTS[number]
    rules = dict(prompt.set)
    gamma = rules.pop("gamma", 0.9)
    return replace(ZHAO, **rules), gamma, prompt.answer


def route(world, gamma, start=0):
    """The cells of one best route, from `start` into a target or to where it stays."""
    best = best_moves(world, gamma, solve(world, gamma))
    cells = [start]
    while cells[-1] not in world.target:
        a = np.flatnonzero(best[cells[-1]])[0]
        ahead = int(move(np.array(cells[-1]), a, world.n_rows, world.n_cols).s_next)
        if ahead in cells:
            break
        cells.append(ahead)
    return cells


def wet(world, gamma):
    return [cell for cell in route(world, gamma) if cell in world.forbidden]


def test_by_default_the_best_route_cuts_through_the_swamp():
    assert route(ZHAO, 0.9)[-1] == 17
    assert len(route(ZHAO, 0.9)) == 6
    assert wet(ZHAO, 0.9) == [12]


def test_a_fine_of_10_is_avoided_and_4_2_is_the_turning_point():
    world, gamma, answer = asked(0)
    assert wet(world, gamma) == []
    assert route(world, gamma)[-1] == 17
    assert len(route(world, gamma)) - 1 == 11
    for words in ("11 steps instead of 5", "these six steps", "fine of 4.2", "−4 and −4.5"):
        assert words in answer
    worth = (gamma**4 - gamma**10) * 10 / gamma**3
    assert round(worth, 1) == 4.2
    for fine, through in ((4, True), (worth - 0.01, True), (worth + 0.01, False), (4.5, False)):
        assert bool(wet(replace(ZHAO, r_forbidden=-fine), gamma)) == through


def test_gamma_one_half_goes_round_and_needs_21_sweeps():
    world, gamma, answer = asked(1)
    assert wet(world, gamma) == []
    assert len(route(world, gamma)) - 1 == 11
    assert solve(world, gamma).v[17] == pytest.approx(2, abs=1e-6)
    assert gamma**4 * 2 == gamma**3 == 0.125  # the short cut's gain and its fine
    assert (solve(world, gamma).sweeps, solve(ZHAO, 0.9).sweeps) == (21, 153)
    for words in ("0.5⁴ × 2 = 0.125", "0.5³ = 0.125", "21 sweeps do instead of 153", "halves"):
        assert words in answer


def test_on_a_slippery_floor_the_target_is_left():
    world, gamma, answer = asked(2)
    best = sets(world, gamma, solve(world, gamma))
    assert best[0] == [4]
    assert best[17] != [4]
    mdp = grid_mdp(world)
    assert {12, 16, 18} <= set(world.forbidden)
    stay = mdp.p[17, 4]
    assert stay[mdp.r[17, 4] == 1].sum() == pytest.approx(0.76)
    assert (stay * mdp.r[17, 4])[mdp.r[17, 4] < 0].sum() == pytest.approx(-1.8)
    mild = replace(world, slip=0.1)
    assert sets(mild, gamma, solve(mild, gamma))[17] == [4]
    assert route(mild, gamma)[-1] == 17
    for words in ("stands still for ever", "even the target is left", "0.76", "= 1.8", "0.10"):
        assert words in answer


def test_only_the_world_of_the_questions_asks_them():
    assert len(GridWorldPlayground().data()["prompts"]) == 3
    assert GridWorldPlayground(gamma=0.8).data()["prompts"] == []
    assert GridWorldPlayground(replace(ZHAO, slip=0.1)).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_data_hold_the_packages_values():
    data = GridWorldPlayground(title="A question?").data()
    assert data["title"] == "A question?"
    assert "title" not in GridWorldPlayground().data()
    solution = value_iteration(grid_mdp(ZHAO), 0.9, TOLERANCE)
    assert data["golden"] == {"v": solution.v.tolist(), "sweeps": 153}
    assert data["world"]["forbidden"] == (6, 7, 12, 16, 18, 21)


def test_the_fallback_shows_values_and_all_best_moves():
    html = GridWorldPlayground().fallback()
    assert html.count("<td>") == 25
    assert "<td>↓ 5.83<td>→ 5.58" in html
    assert "<td>★ • 10.00" in html
    assert "γ = 0.9, after 153 sweeps" in html
    ending = GridWorldPlayground(replace(ZHAO, terminal=True)).fallback()
    assert "<td>★  0.00" in ending


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"world": GridWorld(11, 2)}, "at most 10 rows and columns, got 11 x 2"),
        ({"world": SUTTON_BARTO_3_5}, "world must have no jumps"),
        ({"selected": 25}, r"selected must lie in \[0, 25\), got 25"),
        ({"selected": 0.5}, "selected must be integers"),
        ({"gamma": 1.0}, "gamma = 1 needs episodes that end"),
        ({"gamma": 1.5}, "gamma must lie in"),
        ({"gamma": 0.998}, "gamma = 0.998 takes 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        GridWorldPlayground(**arguments)


def test_a_start_is_left_out():
    with_start = parse(".....\n.xx..\n..x..\n.xTx.\nSx...")
    assert GridWorldPlayground(with_start).data() == GridWorldPlayground(ZHAO).data()
