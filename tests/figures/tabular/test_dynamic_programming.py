"""What the captions of the dynamic programming chapter claim."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlcourse.figures.tabular import convergence as c
from rlcourse.figures.tabular import dynamic_programming as f
from rlcourse.figures.tabular import problems as p
from rlcourse.gym import make, model_of
from rlcourse.results import load
from rlcourse.tabular import dynamic_programming as dp
from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m
from rlcourse.tabular.problems import car_rental, gamblers_problem

PAGE = Path(__file__).parents[3] / "book/tabular/dynamic_programming.md"


def suspect(mdp, gamma, tolerance):
    """The solver of the page's bug hunt."""
    source = re.search(r"def solve\(mdp.*?\n\n\n", PAGE.read_text("utf-8"), re.DOTALL)
    names = {"np": np, "bellman_optimality": m.bellman_optimality}
    exec(source[0], names)
    return names["solve"](mdp, gamma, tolerance)


# ------------------------------------------------------------------------------- the question


def test_the_arrows_are_right_long_before_the_values():
    data = f.data_early()
    k = data.actions_right
    assert data.wrong[k - 2] > 0 == data.wrong[k - 1 :].sum()
    assert data.error[k - 1] > 2
    assert data.values_right == 88 > 6 * k
    assert data.error[86] >= 1e-3 > data.error[87]


def test_arrows_that_seem_best_after_that_sweep_are_the_optimal_ones():
    data = f.data_early()
    mdp = g.grid_mdp(c.DEAR)
    seems, best = (
        m.greedy_sets(m.action_values(mdp, v, 0.9))
        for v in (data.v[data.actions_right - 1], g.value_iteration(mdp, 0.9, 1e-12).v)
    )
    np.testing.assert_array_equal(seems, best)


# ------------------------------------------------------------------------------- the plane


def test_each_sweep_leads_into_a_square_that_is_gamma_as_wide():
    data = c.data_plane()
    start = np.abs(data.sweeps[:, 0] - data.exact).max()
    distance = np.abs(data.sweeps - data.exact).max(-1)
    bound = start * c.GAMMA ** np.arange(distance.shape[1])
    assert (distance <= bound + 1e-12).all()
    assert (distance[:, 1:] <= c.GAMMA * distance[:, :-1] + 1e-12).all()


def test_the_tinted_area_holds_the_values_of_all_policies_and_no_others():
    mdp, rng = c.two_states(), np.random.default_rng(0)
    random = [g.closed_form(mdp, rng.dirichlet([0.5] * 3, size=2), c.GAMMA) for _ in range(300)]
    assert (c.outside(np.array(random)) <= 1e-9).all()
    assert (c.outside(c.data_plane().policies) <= 1e-9).all()
    for v in rng.uniform(-3, 4, size=(300, 2)):  # a point inside: mix two actions in each state
        q = m.action_values(mdp, v, c.GAMMA)
        if c.outside(v) <= 0:
            low, high = q.min(-1), q.max(-1)
            share = (v - low) / (high - low)
            pi = np.zeros((2, 3))
            pi[[0, 1], q.argmin(-1)], pi[[0, 1], q.argmax(-1)] = 1 - share, share
            np.testing.assert_allclose(g.closed_form(mdp, pi, c.GAMMA), v, atol=1e-9)


def test_the_star_lies_above_and_to_the_right_of_every_policy():
    data = c.data_plane()
    assert (data.policies <= data.exact + 1e-12).all()
    np.testing.assert_allclose(data.policies.max(0), data.exact, atol=1e-12)


def test_policy_iteration_jumps_from_policy_to_policy_and_only_upwards():
    data = c.data_plane()
    gap = np.abs(data.steps[:, None] - data.policies).max(-1).min(-1)
    np.testing.assert_allclose(gap, 0, atol=1e-12)
    assert (np.diff(data.steps, axis=0) >= -1e-12).all()
    assert len(data.steps) == 4


def test_value_iteration_leaves_the_area_of_all_policies():
    data = c.data_plane()
    assert (c.outside(data.swept[1:15]) > 1e-6).any()
    np.testing.assert_allclose(data.swept[0], data.steps[0])


# ------------------------------------------------------------------------------- one family


def test_a_deeper_evaluation_is_never_behind_after_as_many_iterations():
    value, truncated, policy = f.data_iterations().mean.values()
    assert (value <= truncated + 1e-12).all()
    assert (truncated <= policy + 1e-12).all()
    assert (policy <= f.data_iterations().exact + 1e-12).all()


def test_zhaos_counts_hold_whatever_the_ties_up_to_five_and_depend_on_them_at_ten():
    ties = f.data_ties((1, 2, 3, 4, 5, 10))
    first, last, kept = ties.iterations.values()
    for counts in (first, last, kept):
        np.testing.assert_array_equal(counts[:5], [88, 44, 30, 22, 18])
        np.testing.assert_array_equal((ties.j * counts)[:5], [88, 88, 90, 88, 90])
    assert (first[5], last[5], kept[5]) == (9, 15, 16)


def test_where_nobody_moves_the_news_travels_one_cell_an_improvement():
    ties = f.data_ties((15, 40))
    _, last, kept = ties.iterations.values()
    np.testing.assert_array_equal(last, 15)
    np.testing.assert_array_equal(kept, 16)


# ------------------------------------------------------------------------------- bounds


def test_the_band_holds_the_true_value_and_the_error_stays_below_its_bound():
    data = c.data_closing()
    assert (data.low <= data.exact + 1e-12).all()
    assert (data.high >= data.exact - 1e-12).all()
    e = data.error
    for error, bound in (("error of v", "its bound"), ("error of the middle", "half bracket")):
        assert (e[error] <= e[bound] + 1e-12).all()
    assert (e["loss"] <= 2 * e["half bracket"] + 1e-12).all()
    assert (e["change"] < e["error of v"]).all()


def test_macqueens_bounds_close_in_far_fewer_sweeps():
    data = c.data_closing()
    sweeps = c.sweeps_until(data, "half bracket", 1e-6)
    assert 5 * sweeps < g.value_iteration(c.slippery(), 0.9, 1e-6).sweeps
    assert data.error["half bracket"][sweeps - 1] <= 1e-6 < data.error["half bracket"][sweeps - 2]
    assert data.v[sweeps - 1] < data.exact - 0.3
    assert 8.9 < data.worst_ratio <= 9 + 1e-9


# ------------------------------------------------------------------------------- affine rewards


def test_a_bonus_on_every_step_keeps_all_away_from_a_star_that_ends():
    world = replace(c.DEAR, terminal=True)
    mdp = g.grid_mdp(world)
    star = world.target[0]
    others = np.arange(world.n_states) != star
    enters = (mdp.s_next[..., 0] == star)[others]
    v, best = f.data_shifted(mdp, 0.0)
    assert (best[others] & enters).any()
    for s in np.flatnonzero(others):  # whatever best actions are taken, the star is reached
        for _ in range(30):
            s = mdp.s_next[s, best[s].argmax(), 0]
        assert s == star
    v, best = f.data_shifted(mdp, 1.0)
    assert v[star] == 0
    assert not (best[others] & enters).any()
    np.testing.assert_allclose(v[others], 10, atol=1e-9)


def test_a_bonus_of_one_makes_a_shortest_path_indifferent():
    mdp = g.grid_mdp(g.SUTTON_BARTO_4_1)
    _, best = f.data_shifted(mdp, 1.0)
    assert best.all()
    _, best = f.data_shifted(mdp, 1.5)
    assert not (best & (mdp.terminated[..., 0]))[1:15].any()


# ------------------------------------------------------------------------------- the bug hunt


def test_the_suspect_finds_the_best_actions_and_misses_all_values_by_one_constant():
    hunt = c.data_hunt(suspect)
    gap = hunt.exact - hunt.v
    assert hunt.same_actions
    assert np.ptp(gap) < 2e-6
    assert gap.min() > 1
    assert len(c.draw_hunt(hunt).panels) == 2


def test_the_suspect_mended_with_the_middle_of_the_bounds_is_right():
    mdp = g.grid_mdp(c.DEAR)
    v = suspect(mdp, 0.9, 1e-6)
    change = m.bellman_optimality(mdp, v, 0.9) - v
    mended = v + change + 9 * (change.max() + change.min()) / 2
    np.testing.assert_allclose(mended, dp.policy_iteration(mdp, 0.9).v, atol=1e-6)


def test_pymdptoolbox_prints_the_suspects_values_for_its_forest():
    np.testing.assert_allclose(suspect(c.forest(), 0.96, 0.01), c.FOREST_PRINTED, atol=5e-9)
    exact = dp.policy_iteration(c.forest(), 0.96).v
    assert exact[0] > 12 * c.FOREST_PRINTED[0]
    np.testing.assert_allclose(exact, m.bellman_optimality(c.forest(), exact, 0.96))


def test_the_span_alone_proves_nothing_where_episodes_end():
    """two states that change alike while one of them is about to end"""
    mdp = m.deterministic_mdp([[0], [1]], [[1.0], [1.0]], [[True], [False]])
    v = suspect(mdp, 0.9, 1e-6)
    np.testing.assert_allclose(v, 1.0)
    np.testing.assert_allclose(dp.policy_iteration(mdp, 0.9).v, [1.0, 10.0])


# ------------------------------------------------------------------------------- asynchronous


def test_prioritized_sweeping_backs_up_about_once_where_steps_are_certain():
    data = f.data_backups((5, 10), 4, 0.0, rng=np.random.default_rng(3))
    assert (data.counts[f.PRIORITIZED] <= 1.2).all()
    for name in (f.ROWS, f.RANDOM, f.OUTWARDS):
        assert (data.counts[name] <= data.counts[f.ALL_AT_ONCE] + 1e-12).all()
    assert len(f.draw_backups({"x": data, "y": data}).panels) == 2


def test_a_random_world_has_one_end_and_a_quarter_of_forbidden_cells():
    world = f.random_world(8, 0.2, rng=np.random.default_rng(0))
    assert len(world.forbidden) == 16
    assert len(world.target) == 1
    assert world.terminal


def test_the_order_from_the_target_begins_there_and_forgets_no_state():
    world = f.random_world(6, 0.0, rng=np.random.default_rng(1))
    order = f.ORDERS[f.OUTWARDS](world, np.random.default_rng(0))
    assert order[0] == world.target[0]
    np.testing.assert_array_equal(np.sort(order), np.arange(36))
    row, col = np.divmod(order, 6)
    assert (np.diff(np.abs(row - row[0]) + np.abs(col - col[0])) >= 0).all()


def test_the_record_repeats_from_its_seed():
    record = load("tabular/dynamic_programming")["data"]["backups"]
    for title, slip in (("certain steps", 0.0), ("slip 0.2", 0.2)):
        rng = np.random.default_rng(record["seed"])
        again = f.data_backups((5,), 3, slip, rng=rng)
        for name, counts in record["worlds"][title]["counts"].items():
            assert np.shape(counts) == (4, 20)
            np.testing.assert_allclose(again.counts[name][0], counts[0][:3], atol=1e-6)
        looks = record["worlds"][title]["looks"]
        np.testing.assert_allclose(again.looks[0], looks[0][:3], atol=1e-6)


def test_the_record_says_what_its_caption_says():
    worlds = f.read_backups(load("tabular/dynamic_programming"))
    certain, slippery = (
        {name: np.median(y[-1]) for name, y in x.counts.items()} for x in worlds.values()
    )
    looks = [np.median(x.looks[-1]) for x in worlds.values()]
    assert max(certain, key=certain.get) == f.ALL_AT_ONCE
    assert 0.8 < certain[f.PRIORITIZED] < 1.2
    assert certain[f.OUTWARDS] < certain[f.ROWS]
    assert certain[f.OUTWARDS] < certain[f.RANDOM]
    assert slippery[f.PRIORITIZED] < min(slippery[n] for n in f.ORDERS)
    ahead = [x[f.ALL_AT_ONCE] / x[f.PRIORITIZED] for x in (certain, slippery)]
    assert ahead[0] > 5 * ahead[1] > 5
    assert looks[0] < certain[f.ALL_AT_ONCE]
    assert looks[1] > slippery[f.ALL_AT_ONCE]


# ------------------------------------------------------------------------------- benchmark


def test_the_benchmark_says_what_its_caption_says():
    record = load("benchmarks/dynamic_programming")
    data = f.data_benchmark(record, 0.99)
    np.testing.assert_array_equal(data.n, [5, 50, 200])
    largest = {name: y[-1] for name, y in data.seconds.items() if np.isfinite(y[-1])}
    assert min(largest, key=largest.get) == "grid stencil"
    assert 1 / data.over["grid stencil"][-1] > 3
    assert data.over["truncated policy iteration"][-1] < 1
    for name in ("policy iteration", "truncated policy iteration", "grid stencil"):
        assert (data.error[name] <= 1e-8).all()
    assert (data.error["quantecon, modified policy iteration"] <= 1e-8).all()
    assert (data.error["pymdptoolbox, value iteration"][:2] > 1).all()
    assert data.seconds["pymdptoolbox, value iteration"][1] < data.seconds["policy iteration"][1]
    off = record["worlds"]["0.99"]["50"]["pymdptoolbox, value iteration"]
    assert off["true_error"] == pytest.approx(off["error_at_most"], rel=1e-3)
    flips = record["worlds"]["0.99"]["50"]["quantecon, policy iteration"]
    ends = record["worlds"]["0.99"]["50"]["policy iteration"]
    assert ends["stopped"]
    assert not flips["stopped"]
    assert flips["true_error"] < 1e-8
    assert ends["work"] < flips["work"]
    assert 0.2 < f.random_over(record, "truncated policy iteration") < 5
    seconds, _ = f.draw_benchmark(data).panels
    assert all(f">{f._short(name)}<" in seconds for name in data.seconds)


# ------------------------------------------------------------------------------- the gambler


def test_the_printed_stakes_lie_in_the_optimal_set():
    data = p.data_gambler()
    s = np.arange(1, p.GOAL)
    assert data.best[s, p.printed_stakes()[1 : p.GOAL]].all()
    smallest = data.best[1 : p.GOAL].argmax(-1)
    np.testing.assert_array_equal(smallest, p.printed_stakes()[1 : p.GOAL])
    assert data.best.sum(-1)[1 : p.GOAL].min() == 1


@pytest.mark.parametrize("p_heads", [0.25, 0.4, 0.45])
def test_bold_play_is_optimal_and_the_largest_stake_while_the_game_is_unfair(p_heads):
    data = p.data_gambler(p_heads)
    s = np.arange(1, p.GOAL)
    assert data.best[s, p.bold_stakes()[1 : p.GOAL]].all()
    largest = p.GOAL // 2 - data.best[1 : p.GOAL, ::-1].argmax(-1)
    np.testing.assert_array_equal(largest, p.bold_stakes()[1 : p.GOAL])
    assert (data.v[1 : p.GOAL] < s / p.GOAL).all()


def test_every_stake_is_optimal_for_a_fair_coin_and_the_smallest_above_it():
    fair, better = p.data_gambler(0.5), p.data_gambler(0.55)
    capital, stake = np.ogrid[: p.GOAL + 1, : p.GOAL // 2 + 1]
    possible = (stake >= 1) & (stake <= np.minimum(capital, p.GOAL - capital))
    np.testing.assert_array_equal(fair.best[1 : p.GOAL], possible[1 : p.GOAL])
    np.testing.assert_allclose(fair.v[: p.GOAL], np.arange(p.GOAL) / p.GOAL, atol=1e-12)
    np.testing.assert_array_equal(better.best[1 : p.GOAL].argmax(-1), 1)
    np.testing.assert_array_equal(better.best[1 : p.GOAL].sum(-1), 1)


@pytest.mark.parametrize("p_heads", [0.25, 0.4])
def test_no_stake_is_nearly_optimal_so_that_the_set_does_not_hang_on_the_tolerance(p_heads):
    mdp = gamblers_problem(p_heads)
    q = m.action_values(mdp, dp.policy_iteration(mdp, 1.0).v, 1.0)
    gap = (q.max(-1, keepdims=True) - q)[1 : p.GOAL]
    assert not ((gap > 1e-13) & (gap < 1e-6)).any()


def test_the_gamblers_values_are_those_of_value_iteration():
    mdp = gamblers_problem()
    v = g.value_iteration(mdp, 1.0, 1e-14).v
    np.testing.assert_allclose(p.data_gambler().v, v, atol=1e-12)
    assert p.data_gambler().v[50] == pytest.approx(0.4)


# ------------------------------------------------------------------------------- car rental


@pytest.fixture(scope="module")
def rental():
    return p.data_rental(), p.data_rental(free_move=True, parking_cost=4.0)


def test_jack_needs_five_policies_with_the_one_that_moves_nothing(rental):
    plain, _ = rental
    assert len(plain.moves) == 5
    assert not plain.moves[0].any()
    assert plain.moves.max() == 5
    assert plain.moves.min() == -4
    assert 0 < (plain.moves[-1] != plain.moves[-2]).sum() < 20
    assert (np.diff(plain.v, axis=0) > 0).all()
    assert (np.diff(plain.v, axis=1) > 0).all()


def test_jacks_values_are_those_of_sweeps(rental):
    plain, _ = rental
    v = dp.truncated_policy_iteration(car_rental(), 0.9, 20, 1e-6).v
    np.testing.assert_allclose(plain.v.ravel(), v, atol=1e-6)


def test_by_the_new_rules_the_free_car_is_taken_in_more_than_half_of_the_states(rental):
    plain, changed = rental
    assert (changed.moves[-1] > 0).mean() > 0.5 > (plain.moves[-1] > 0).mean()
    night = np.arange(21)[:, None] - changed.moves[-1]
    assert (night[:, :5] == 10).sum() > (np.arange(21)[:, None] - plain.moves[-1] == 10)[
        :, :5
    ].sum()
    assert 0 < p.cost_of_habit(plain, changed) < 50


def test_the_sides_between_cells_are_drawn_once_each():
    x = np.array([[0, 0, 1], [0, 2, 1]])
    length = sum(abs(a[1] - a[0]) + abs(b[1] - b[0]) for a, b in p._borders(x))
    assert length == (x[1:] != x[:-1]).sum() + (x[:, 1:] != x[:, :-1]).sum()


# ------------------------------------------------------------------------------- the quiz, gym


def test_a_change_that_is_the_same_everywhere_tells_the_error_exactly():
    mdp = m.deterministic_mdp([[1], [0]], [[0.5], [0.5]])
    v = np.zeros(2)
    v_next = m.bellman_optimality(mdp, v, 0.9)
    np.testing.assert_allclose(v_next - v, 0.5)
    np.testing.assert_allclose(dp.policy_iteration(mdp, 0.9).v - v_next, 4.5)


@pytest.mark.parametrize("name", ["FrozenLake", "CliffWalking"])
def test_gymnasiums_worlds_are_solved_to_the_fixed_point(name):
    world, _ = model_of(make(name))
    v = dp.policy_iteration(world, 0.99).v
    np.testing.assert_allclose(m.bellman_optimality(world, v, 0.99), v, atol=1e-9)


def test_every_picture_of_the_chapter_is_drawn(rental):
    pictures = [
        f.draw_early(f.data_early()),
        c.draw_plane(c.data_plane()),
        f.draw_family(f.data_iterations(), f.data_ties((1, 5, 10))),
        c.draw_closing(c.data_closing()),
        f.draw_affine(),
        p.draw_gambler(),
        p.draw_gambler(0.5),
        p.draw_rental(rental[0]),
        p.draw_variant(rental[1]),
    ]
    for picture in pictures:
        assert picture.alt
        assert all(svg.startswith("<svg") for svg in picture.panels)
