"""What the captions of the GridWorld chapter claim."""

import re
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlcourse.exercises.tabular import gridworld as exercises
from rlcourse.figures.tabular import grid_map
from rlcourse.figures.tabular import gridworld as f
from rlcourse.results import load
from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m
from rlcourse.tabular.sampling import walk

PAGE = Path(__file__).parents[3] / "book/tabular/gridworld.md"
ZHAO_10 = replace(g.ZHAO, r_forbidden=-10.0)


def best_actions(world, gamma=0.9):
    mdp = g.grid_mdp(world)
    return m.greedy_sets(m.action_values(mdp, g.value_iteration(mdp, gamma).v, gamma))


def test_both_routes_are_optimal_for_the_price_they_suit():
    data = f.data_routes()
    for cells in data.cells.values():
        row, col = np.divmod(cells, 5)
        np.testing.assert_array_equal(np.abs(np.diff(row)) + np.abs(np.diff(col)), 1)
        assert cells[0] == 0
        assert cells[-1] == 17
    through, around = data.returns.values()
    v_cheap, v_dear = (g.value_iteration(g.grid_mdp(w), 0.9).v[0] for w in (g.ZHAO, ZHAO_10))
    assert through[0] == pytest.approx(v_cheap)
    assert around[1] == pytest.approx(v_dear)
    assert through[0] > around[0]
    assert through[1] < 0 < around[1]
    assert around[0] == around[1]


def test_the_optimal_arrows_cut_the_cheap_swamp_and_avoid_the_dear_one():
    cheap, dear = (grid_map.route_of(w, best_actions(w), 0) for w in (g.ZHAO, ZHAO_10))
    assert set(cheap) & set(g.ZHAO.forbidden)
    assert not set(dear) & set(g.ZHAO.forbidden)
    assert cheap[-1] == dear[-1] == 17


def test_the_printed_table_differs_by_rounding_only():
    assert f.data_published().largest_difference <= 0.05 + 1e-9


def test_the_error_shrinks_by_gamma_and_stays_below_its_close_bound():
    data = f.data_convergence()
    for gamma, error, bound in zip(data.gammas, data.error, data.bound, strict=True):
        seen = error > 1e-10
        assert (error[1:][seen[1:]] <= gamma * error[:-1][seen[1:]] * (1 + 1e-6)).all()
        assert (error[seen] <= bound[seen] * (1 + 1e-6)).all()
    assert 1 < f.looseness(data) < 2


def test_news_spreads_one_cell_a_sweep():
    distance = {17: 0}
    queue = deque([17])
    while queue:
        s = queue.popleft()
        for a in range(4):
            to = int(g.move(np.array(s), np.array(a), 5, 5).s_next)
            if to not in distance and to not in g.ZHAO.forbidden:
                distance[to] = distance[s] + 1
                queue.append(to)
    for k, v in enumerate(f.data_news()):
        for s, far in distance.items():
            assert (v[s] > 0) == (k >= max(far, 1))
    figure = f.draw_news(f.data_news())
    assert len(figure.frames) == 13
    assert figure.layout.meta["alt"]


def test_the_exact_variance_of_returns_is_that_of_samples():
    mdp = g.grid_mdp(replace(g.ZHAO, slip=0.3, terminal=True))
    pi = m.uniform_policy(mdp)
    x = walk(mdp, pi, np.full(20_000, 7), steps=150, rng=np.random.default_rng(0), limit=150)
    first = np.cumsum(x.terminated, axis=0) - x.terminated == 0
    returns = m.discounted_returns((x.r * first).T, 0.8)[:, 0]
    fourth = ((returns - returns.mean()) ** 4).mean()
    spread = np.sqrt((fourth - returns.var() ** 2) / len(returns))
    assert abs(returns.var() - f.return_variance(mdp, pi, 0.8)[7]) < 5 * spread


def test_the_sampled_error_follows_the_theory():
    data = f.data_sampled(episodes=64, seeds=40, rng=np.random.default_rng(5))
    assert data.error.shape == (40, 7)
    square = (data.error**2).mean(0)
    spread = (data.error**2).std(0) / np.sqrt(40)
    assert (np.abs(square - data.theory**2) < 5 * spread).all()
    assert f.slope(data) == pytest.approx(-0.5, abs=0.05)


def test_the_record_repeats_from_its_seed():
    data = load("tabular/gridworld")["data"]["sampled"]
    again = f.data_sampled(episodes=1024, seeds=1, rng=np.random.default_rng(data["seed"]))
    np.testing.assert_allclose(again.n, data["n"])
    np.testing.assert_allclose(again.theory, data["theory"], atol=1e-6)
    np.testing.assert_allclose(again.error[0], data["error"][0], atol=1e-6)
    assert len(data["error"]) == 200
    assert f.slope(f.recorded_sampled(load("tabular/gridworld"))) == pytest.approx(-0.5, abs=0.01)


def test_the_suspect_backup_acts_well_and_values_all_by_a_factor_of_gamma():
    hunt = f.data_hunt(exercises.discounts_the_reward)
    assert hunt.same_actions
    np.testing.assert_allclose(hunt.v, 0.9 * hunt.exact, atol=1e-9)
    assert hunt.v[17] == pytest.approx(9.0)


def test_the_suspect_on_the_page_is_a_misconception_that_its_checks_know():
    page = PAGE.read_text("utf-8")
    source = re.search(r"def action_values\(mdp, v, gamma\):\n    follows.*?\n\n", page, re.DOTALL)
    names = {}
    exec(source[0], {}, names)
    rng = np.random.default_rng(0)
    world = exercises.draw_mdp(rng, 5, 3, 2, ends=8)
    v = rng.normal(size=5)
    np.testing.assert_allclose(
        names["action_values"](world, v, 0.9), exercises.discounts_the_reward(world, v, 0.9)
    )


def test_raising_every_reward_changes_no_best_action_where_episodes_never_end():
    mdp = g.grid_mdp(ZHAO_10)
    raised = mdp._replace(r=mdp.r + 1)
    a, b = (
        m.greedy_sets(m.action_values(x, g.value_iteration(x, 0.9).v, 0.9), 1e-7)
        for x in (mdp, raised)
    )
    np.testing.assert_array_equal(a, b)
    gain = g.value_iteration(raised, 0.9).v - g.value_iteration(mdp, 0.9).v
    np.testing.assert_allclose(gain, 10, atol=1e-7)


def test_the_benchmark_says_what_its_caption_says():
    record = load("benchmarks/gridworld")
    data = f.data_benchmark(record)
    largest = {method: seconds[-1] for method, seconds in data.seconds.items()}
    assert min(largest, key=largest.get) == "structured grid"
    assert max(largest, key=largest.get) == "plain Python"
    assert largest["sweeps"] > largest["closed form"]
    assert data.ahead >= 100
    assert all(np.isfinite(seconds).all() for seconds in data.seconds.values())
    assert len(f.draw_benchmark(data).panels) == 2


def test_every_value_is_negative_on_the_slippery_floor_of_the_page():
    assert (g.value_iteration(g.grid_mdp(replace(ZHAO_10, slip=0.2)), 0.9).v < 0).all()


def test_a_hunt_shows_the_arrows_of_its_suspect():
    hunt = f.data_hunt(exercises.leaves_gamma_out, sweeps=30)
    assert not hunt.same_actions
    assert "different arrows" in f.draw_hunt(hunt).alt


def test_every_picture_of_the_chapter_is_drawn():
    pi = m.uniform_policy(g.grid_mdp(g.ZHAO))
    for picture in (
        f.draw_routes(f.data_routes()),
        f.draw_values(g.ZHAO, pi, 0.9),
        f.draw_optimal(),
        f.draw_slippery(slip=0.1),
        f.draw_hunt(f.data_hunt(exercises.discounts_the_reward)),
        f.draw_convergence(f.data_convergence()),
    ):
        assert picture.alt
        assert all(svg.startswith("<svg") for svg in picture.panels)
