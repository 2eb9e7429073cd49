"""What the captions of the Monte Carlo chapter claim."""

import re
from pathlib import Path

import numpy as np
import pytest

from rlcourse.figures.tabular import blackjack as cards
from rlcourse.figures.tabular import importance_sampling as ratios
from rlcourse.figures.tabular import monte_carlo as f
from rlcourse.results import load
from rlcourse.tabular import mdp as m
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.returns import completed_returns

PAGE = Path(__file__).parents[3] / "book/tabular/monte_carlo.md"
FAR = 5.0  # standard errors


def cell(start: str) -> str:
    """The code of the page's cell that defines the suspect."""
    page = PAGE.read_text("utf-8")
    return re.search(rf"{re.escape(start)}.*?(?=\n\n\n|\n```)", page, re.DOTALL)[0]


def suspect():
    names = {"np": np}
    exec(cell("def completed_returns(r, alive, terminated, v_last, gamma):\n    done"), names)
    return names["completed_returns"]


# ------------------------------------------------------------------------------- one hand


def test_running_means_of_games_stay_in_their_band():
    data = cards.data_games(games=400, players=60, rng=np.random.default_rng(0))
    assert data.exact == pytest.approx(-0.277204, abs=5e-7)
    n = np.arange(1, 401)[:, None]
    mean = data.g.cumsum(0) / n
    inside = (np.abs(mean - data.exact) < 2 * data.sigma / np.sqrt(n))[20:].mean()
    assert 0.9 < inside < 1
    assert set(np.unique(data.g)) == {-1.0, 0.0, 1.0}
    assert abs(data.g.std() - data.sigma) < 0.02


# ------------------------------------------------------------------------------- time limits


def test_a_completed_value_is_right_for_every_time_limit_and_the_others_are_not():
    data = f.data_limits(learners=40, steps=8000, rng=np.random.default_rng(1))
    for rows in data.completed:
        bias = 0.3  # of a solved system with sampled entries, which falls as 1/episodes
        assert abs(rows.mean() - data.exact) < FAR * rows.std() / np.sqrt(40) + bias
    short = data.limits <= 32
    for rows in (data.whole, data.left_out):
        seen = np.isfinite(rows).all(-1)
        assert (rows[seen & short].mean(-1) > data.exact + 4).all()
        assert (np.diff(rows[seen].mean(-1)) < 0.2).all()
    assert abs(data.whole[-1].mean() - data.exact) < 1


# ------------------------------------------------------------------------------- episode length


def test_value_reaches_as_far_as_episodes_are_long():
    data = f.data_lengths()
    seen = {n_steps: q.max(-1) > 0 for n_steps, q in data.items()}
    np.testing.assert_array_equal(np.flatnonzero(seen[1]), [12, 16, 17, 18, 22])
    assert np.flatnonzero(~seen[14]).tolist() == [20]
    assert seen[30].all()
    counts = [int(x.sum()) for x in seen.values()]
    assert counts == sorted(counts)
    assert f.shortest_sight() == 15


# ------------------------------------------------------------------------------- exploration


def test_the_thresholds_of_exploration():
    data = f.data_softness(points=3)
    assert data.agrees == pytest.approx(0.1196, abs=5e-5)
    assert data.stays == pytest.approx(0.2134, abs=5e-5)


def test_between_the_thresholds_it_waits_at_the_edge_or_stays_in_the_star():
    best = f._greedy(0.2)
    stays = np.flatnonzero(best[:, 4])
    row, column = np.divmod(stays[stays != 17], 5)
    assert 17 in stays
    assert len(row) > 2
    assert (np.isin(row, (0, 4)) | np.isin(column, (0, 4))).all()
    assert not (best & f._greedy(0.0)).any(-1).all()


def test_the_price_of_exploring_grows_and_turns_the_star_into_a_bad_place():
    data = f.data_softness(points=26)
    assert (np.diff(data.v, axis=0) < 0).all()
    star, corner = data.v[:, 17], data.v[:, 0]
    assert star[0] == pytest.approx(10)
    assert star[-1] < corner[-1] < 0 < corner[0] < star[0]


def test_exploration_sees_all_pairs_evenly_only_if_it_is_random():
    data = f.data_coverage(walkers=40, steps=2500, rng=np.random.default_rng(2))
    late = data.steps >= 2000
    assert (data.seen[1.0][late] > 124.5).all()
    assert (data.seen[0.5][late] < 100).all()
    assert (data.seen[0.1][late] < 60).all()
    even, uneven = data.visits[1.0], data.visits[0.5]
    assert even.max() / even.min() < 1.6
    assert uneven.max() / max(uneven.min(), 1) > 1000
    for share in data.shares.values():
        assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(even / even.sum(), data.shares[1.0], rtol=0.3)


# ------------------------------------------------------------------------------- control


def test_a_step_size_that_forgets_learns_first():
    data = f.recorded_of_control(load("tabular/monte_carlo"))
    at = {n: i for i, n in enumerate(data.episodes)}
    share = data.share
    for explores in ("exploring starts", "ε = 0.1"):
        forgets, remembers = share[f"{explores}, α = 0.1"], share[f"{explores}, mean"]
        middle = slice(at[100], at[800] + 1)
        assert (forgets[middle] > remembers[middle]).all()
        assert forgets[at[200]] > remembers[at[200]] + 0.3
    assert min(share, key=lambda name: share[name][-1]) == "ε = 0.1, mean"
    assert share["exploring starts, α = 0.1"][-1] == 1


def test_the_record_of_learning_repeats_from_its_seed():
    data = load("tabular/monte_carlo")["data"]["control"]
    again = f.data_control(learners=data["learners"], seed=data["seed"], episodes=(25, 50))
    for name, share in again.share.items():
        np.testing.assert_allclose(share, data["share"][name][:2])


# ------------------------------------------------------------------------------- ratios


def test_both_errors_follow_their_lines_and_the_weighted_one_is_less_at_first():
    """Squared errors of 100 runs: their means are tested against theory, late ones tightly."""
    data = ratios.recorded_of_ratios(load("tabular/monte_carlo"))
    late = data.episodes >= 1000
    rows = load("tabular/monte_carlo")["data"]["ratios"]
    for name, theory in (("ordinary", data.exact), ("weighted", data.limit)):
        chunks = np.array(rows[name])[:, late] / theory[late]
        mean, error = chunks.mean(0), chunks.std(0, ddof=1) / np.sqrt(len(chunks))
        assert (np.abs(mean - 1) < FAR * error + 0.1).all(), name
    early = data.episodes <= 10
    assert (data.weighted[early] < data.ordinary[early]).all()
    assert data.ordinary[0] > 5 * data.weighted[0]
    assert data.ordinary[0] < data.exact[0]  # 100 games miss most of the rare large weights
    assert 1 < data.exact[-1] / data.limit[-1] < 1.5


def test_the_record_of_ratios_repeats_from_its_seed():
    data = load("tabular/monte_carlo")["data"]["ratios"]
    rng = np.random.default_rng(data["seeds"][0])
    ordinary, weighted = f.ratio_errors(runs=data["runs"], episodes=data["episodes"], rng=rng)
    np.testing.assert_allclose(ordinary.mean(-1), data["ordinary"][0], atol=1e-6)
    np.testing.assert_allclose(weighted.mean(-1), data["weighted"][0], atol=1e-6)


def test_estimates_of_infinite_variance_do_not_settle():
    data = ratios.recorded_of_infinite(load("tabular/monte_carlo"))
    assert closed_form(f.LOOP, f.LEFT, 1.0)[0] == pytest.approx(1)
    last = data.ordinary[-1]
    assert data.episodes[-1] == 1_000_000
    assert np.abs(last - 1).max() > 0.1
    assert (last < 1).sum() > len(last) / 2
    steps = np.diff(data.ordinary[data.episodes > 1000], axis=0)
    assert steps.max() > 3 * -steps.min()  # jumps up, and sinks in between


def test_discounting_rescues_the_per_decision_estimate_alone_where_rewards_come_on_the_way():
    loop = ratios.paying_loop(back=0.6)
    short, long = (ratios.second_moments(loop, f.LEFT, f.EITHER, gamma, 0) for gamma in (0.8, 0.95))
    assert np.isfinite(short.per_decision)
    assert short.ordinary == long.ordinary == long.per_decision == np.inf
    edge = np.sqrt(1 / 1.2)  # where 1.2 γ² = 1
    for gamma, finite in ((edge - 1e-6, True), (edge + 1e-6, False)):
        moments = ratios.second_moments(loop, f.LEFT, f.EITHER, gamma, 0)
        assert np.isfinite(moments.per_decision) == finite


def test_the_record_of_infinite_variance_repeats_from_its_seed():
    data = load("tabular/monte_carlo")["data"]["infinite"]
    at = np.array(data["episodes"])
    rng = np.random.default_rng(data["seeds"][0])
    run = f.infinite_run(at[at <= data["chunk"]], chunk=data["chunk"], rng=rng)
    np.testing.assert_allclose(run, data["ordinary"][0][: len(run)], atol=1e-5)
    assert len(run) > 40


# ------------------------------------------------------------------------------- blackjack


def test_learners_hit_where_it_is_best_unless_both_are_close():
    data = cards.recorded_of_optimum(load("tabular/monte_carlo"))
    clear = ~data.close
    most = data.hits > 0.5
    assert (most == data.best)[clear].all()
    assert data.close.sum() == 5
    assert np.abs(data.v - data.exact)[clear].max() < 0.1
    assert np.abs(data.v - data.exact).mean() < 0.02


def test_a_border_divides_hitting_from_sticking():
    best = cards.recorded_of_optimum(load("tabular/monte_carlo")).best
    for usable, dealer in np.ndindex(2, 10):
        column = best[usable, :, dealer]
        assert (column == (np.arange(10) < column.sum())).all()


def test_the_record_of_blackjack_repeats_from_its_seed():
    data = load("tabular/monte_carlo")["data"]["blackjack"]
    q = f.learn_blackjack(
        learners=data["learners"],
        episodes=data["short"],
        rng=np.random.default_rng(data["seed"]),
    )
    np.testing.assert_allclose(q.max(-1).mean(0), data["early"]["v"], atol=1e-5)
    np.testing.assert_allclose(q.argmax(-1).mean(0), data["early"]["hits"], atol=1e-4)


# ------------------------------------------------------------------------------- the bug hunt


def test_the_suspect_acts_well_and_believes_in_values_that_no_limit_could_exceed():
    hunt = f.data_hunt(suspect(), rng=np.random.default_rng(4))
    assert hunt.acts_well
    assert hunt.exact.min() == pytest.approx(-22)
    assert hunt.v.min() > -8
    inner = hunt.exact < 0
    assert (hunt.v[inner] > hunt.exact[inner] + 8).all()


def test_the_mended_suspect_finds_the_truth():
    hunt = f.data_hunt(completed_returns, rng=np.random.default_rng(4))
    np.testing.assert_allclose(hunt.v, hunt.exact, atol=1.0)


def test_the_suspect_differs_from_the_right_returns_at_time_limits_alone():
    rng = np.random.default_rng(5)
    r, alive = rng.normal(size=(4, 6)), np.arange(4)[:, None] < [4, 4, 4, 2, 3, 4]
    v, terminated = rng.normal(size=6), np.array([True, False, False, True, True, True])
    wrong, right = (g(r, alive, terminated, v, 0.9) for g in (suspect(), completed_returns))
    np.testing.assert_allclose(wrong[:, terminated], right[:, terminated])
    assert (wrong != right)[:, ~terminated].all()


# ------------------------------------------------------------------------------- pictures


def test_every_picture_of_the_chapter_is_drawn():
    rng = np.random.default_rng(6)
    record = load("tabular/monte_carlo")
    for picture in (
        cards.draw_games(cards.data_games(games=30, players=2, rng=rng)),
        cards.draw_optimum(cards.recorded_of_optimum(record)),
        ratios.draw_ratios(ratios.recorded_of_ratios(record)),
        ratios.draw_infinite(ratios.recorded_of_infinite(record)),
        f.draw_limits(f.data_limits(learners=2, steps=800, rng=rng)),
        f.draw_lengths(f.data_lengths((1, 3))),
        f.draw_softness(f.data_softness(points=3)),
        f.draw_soft(0.1),
        f.draw_coverage(f.data_coverage(walkers=2, steps=50, rng=rng)),
        f.draw_control(f.recorded_of_control(record)),
        f.draw_hunt(f.data_hunt(completed_returns, rng=rng, episodes=2000)),
    ):
        assert picture.alt
        assert all(svg.startswith("<svg") for svg in picture.panels)


def test_the_greedy_actions_of_the_walk_are_those_of_its_values():
    exact = closed_form(f.WALK, m.uniform_policy(f.WALK), 1.0)
    best = m.greedy_sets(m.action_values(f.WALK, exact, 1.0))
    assert f.data_hunt(completed_returns, rng=np.random.default_rng(7)).exact_best.tolist() == (
        best.tolist()
    )
