"""What the captions of the temporal-difference chapter claim."""

import re
from pathlib import Path

import numpy as np
import pytest

from rlcourse.figures.records import from_record
from rlcourse.figures.tabular import (
    autoreset,
    cliff,
    learning_speed,
    n_step_control,
    n_steps,
    prediction,
)
from rlcourse.figures.tabular import temporal_difference as f
from rlcourse.results import load
from rlcourse.tabular import worlds
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp, value_iteration
from rlcourse.tabular.mdp import action_values, deterministic_mdp, greedy_sets, policy_model
from rlcourse.tabular.monte_carlo import epsilon_greedy
from rlcourse.tabular.temporal_difference import learn_q, learn_v

PAGE = Path(__file__).parents[3] / "book/tabular/temporal_difference.md"


@pytest.fixture(scope="module")
def record():
    return load("tabular/temporal_difference")


def apart(a, b, se_a, se_b):
    """a is above b by more than four standard errors."""
    return a - b > 4 * np.hypot(se_a, se_b)


# ------------------------------------------------------------------------------- prediction


def test_monte_carlo_corrects_to_the_outcome_and_td_to_the_next_prediction():
    drive = prediction.data_drive()
    np.testing.assert_array_equal(drive.predicted, [30, 40, 35, 40, 43])
    np.testing.assert_array_equal(drive.monte_carlo, 43)
    np.testing.assert_array_equal(drive.td, [40, 35, 40, 43, 43])


@pytest.fixture(scope="module")
def walk():
    return prediction.data_walk(rng=np.random.default_rng(0))


def test_td_is_nearer_than_monte_carlo_after_a_hundred_episodes(walk):
    (td, mc), (td_se, mc_se) = (
        [min(zip(x[name][:, -1], walk.spread[name][:, -1], strict=True))[i] for name in x]
        for i, x in ((0, walk.error), (1, walk.error))
    )
    assert apart(mc, td, mc_se, td_se)
    for errors in walk.error.values():
        np.testing.assert_allclose(errors[:, 0], np.sqrt(((np.arange(1, 6) / 6 - 0.5) ** 2).mean()))


def test_the_first_episode_moves_only_the_value_of_a_or_e(walk):
    moved = np.flatnonzero(walk.v[1] != walk.v[0])
    assert moved.tolist() in ([0], [4])
    np.testing.assert_array_equal(walk.v[0], 0.5)


def test_batch_td_says_more_than_batch_monte_carlo_about_the_same_episodes():
    batch = prediction.data_batch(rng=np.random.default_rng(1), seeds=60)
    more = batch.monte_carlo - batch.td
    assert (more[4:].mean(1) > 4 * more[4:].std(1) / np.sqrt(60)).all()
    assert batch.episodes[0] == 1
    np.testing.assert_allclose(more[0], 0, atol=1e-12)  # a single outcome has been seen


def test_the_steps_of_a_batch_are_those_of_its_episodes():
    mdp, start, _ = worlds.random_walk(5)
    env, rng = environment(mdp, start, limit=4), np.random.default_rng(2)
    x = sample_episodes(env, np.ones((5, 1)), 6, rng=rng)
    s, r, s_next, ends = prediction.transitions(x, slice(2, 5))
    assert len(s) == x.alive[:, 2:5].sum()
    assert ends.sum() == x.terminated[2:5].sum()
    moved = np.abs(s_next - s)
    assert (moved[~ends] == 1).all()
    assert (r[~ends] == 0).all()


# ------------------------------------------------------------------------------- n steps


def test_the_bias_shrinks_by_a_step_of_the_policy_model_each_time():
    mdp, _, _ = worlds.random_walk(19, -1.0, 1.0)
    exact, v = np.arange(1, 20) / 10 - 1, np.random.default_rng(3).normal(size=19)
    mean, variance = n_steps.target_moments(mdp, np.ones((19, 1)), v, 6, 0.9)
    model = policy_model(mdp, np.ones((19, 1)))
    exact = closed_form(mdp, np.ones((19, 1)), 0.9)
    for n in range(7):
        bias = np.linalg.matrix_power(0.9 * model.p, n) @ (v - exact)
        np.testing.assert_allclose(mean[n] - exact, bias, atol=1e-12)
    assert (variance[0] == 0).all()


def test_exact_bias_and_variance_are_those_of_samples():
    x = n_steps.data_moments(rng=np.random.default_rng(4), episodes=300, most=32)
    # of 300 targets: standard errors of the mean square and of the variance, for 19 states
    noise = x.variance / 300
    assert (
        np.abs(x.sampled_bias - x.bias) < 5 * noise + 5 * np.sqrt(noise / 19 * 4 * x.bias)
    ).all()
    np.testing.assert_allclose(x.sampled_variance, x.variance, rtol=0.25)
    assert (np.diff(x.bias) < 0).all()
    assert (np.diff(x.variance) > 0).all()


def test_the_sum_of_bias_and_variance_is_least_in_between():
    mdp, _, _ = worlds.random_walk(19, -1.0, 1.0)
    mean, variance = n_steps.target_moments(mdp, np.ones((19, 1)), np.zeros(19), 128, 1.0)
    total = ((mean - (np.arange(1, 20) / 10 - 1)) ** 2).mean(1) + variance.mean(1)
    assert 1 < total[1:].argmin() + 1 < 128
    assert ((mean[128] - (np.arange(1, 20) / 10 - 1)) ** 2).mean() < 1e-3


def test_an_intermediate_n_learns_best_and_larger_n_want_smaller_steps(record):
    data = from_record(n_steps.NSteps, record, "n_steps")
    best, at = data.error.min(1), data.error.argmin(1)
    assert (np.diff(data.alphas[at]) < 0).all()
    assert 2 <= data.n[best.argmin()] <= 8
    spread = data.spread[np.arange(len(at)), at]
    assert apart(best[0], best.min(), spread[0], spread[best.argmin()])
    assert apart(best[-1], best.min(), spread[-1], spread[best.argmin()])


# ------------------------------------------------------------------------------- the cliff


def test_what_is_earned_on_the_cliff_and_what_is_learned(record):
    data, limits = from_record(cliff.Cliff, record, "cliff"), cliff.data_cliff_limits()
    steps = {name: len(route) - 1 for name, route in data.routes.items()}
    assert steps == {"Sarsa": 17, "expected Sarsa": 15, "Q-learning": 13}
    assert data.share["expected Sarsa"] == data.share["Q-learning"] == 1
    assert 0.7 < data.share["Sarsa"] < 0.9
    (sarsa, se), (expected, se_e), (q, se_q) = data.last.values()
    assert apart(expected, sarsa, se_e, se)
    assert apart(sarsa, q, se, se_q)
    assert abs(expected - limits.optimum) < 4 * se_e
    assert abs(q - limits.q_learning) < 4 * se_q
    assert len(limits.route) - 1 == 15
    np.testing.assert_array_equal(data.routes["expected Sarsa"], limits.route)
    assert {s // 12 for s in limits.route} == {1, 2, 3}  # one row from the edge


def test_the_exact_limits_of_the_cliff():
    uniform, first = (cliff.data_cliff_limits(0.1, ties) for ties in ("uniform", "first"))
    assert uniform.q_learning == pytest.approx(-50.800, abs=5e-4)
    assert first.q_learning == pytest.approx(-45.803, abs=5e-4)
    assert uniform.optimum == first.optimum == pytest.approx(-20.7077, abs=5e-5)


def test_who_explores_less_should_walk_nearer_to_the_edge():
    steps = [len(cliff.data_cliff_limits(e).route) - 1 for e in (0.005, 0.01, 0.1, 0.2, 0.3)]
    assert steps == [13, 15, 15, 17, 17]


def test_what_ties_cost_on_the_cliff_shows_after_thousands_of_episodes():
    mdp, start, _ = worlds.cliff_walking()
    learned = {
        ties: learn_q(
            environment(mdp, start), "q_learning", episodes=3000, learners=50, alpha=0.5, gamma=1.0,
            epsilon=0.1, ties=ties, rng=np.random.default_rng(13),
        ).returns
        for ties in ("uniform", "first")
    }  # fmt: skip
    for part, differ in ((slice(400, 500), False), (slice(2500, 3000), True)):
        means = [x[part].mean(0) for x in learned.values()]
        (uniform, se_u), (first, se_f) = ((m.mean(), m.std() / np.sqrt(50)) for m in means)
        assert apart(first, uniform, se_f, se_u) == differ


def test_ties_on_the_cliff_are_between_right_and_down():
    mdp, _, _ = worlds.cliff_walking()
    best = greedy_sets(action_values(mdp, value_iteration(mdp, 1.0).v, 1.0))
    for s in range(36):
        row, col = divmod(s, 12)
        expected = [False, col < 11, row < 2 or col == 11, False]
        np.testing.assert_array_equal(best[s], expected)


def test_the_step_size_hurts_sarsa_and_leaves_expected_sarsa_alone(record):
    data = from_record(cliff.StepSizes, record, "step_sizes")
    late, se = data.late, data.late_se
    assert np.ptp(late["expected Sarsa"]) < 1.5
    assert (np.diff(late["Sarsa"]) < 0).all()
    optimum = cliff.data_cliff_limits().optimum
    assert optimum - 2 < late["Sarsa"][0] < optimum  # small steps come near the best
    assert late["Sarsa"][-1] < -200  # below the frame
    assert (np.abs(late["Q-learning"] + 50.8) < 4 * se["Q-learning"] + 1).all()
    for name in ("Sarsa", "Q-learning"):
        gap = late["expected Sarsa"] - late[name]
        assert (gap[1:] > 4 * np.hypot(se["expected Sarsa"], se[name])[1:]).all()
        assert (data.early["expected Sarsa"] > data.early[name]).all()


def test_the_sliders_draw_what_they_say():
    picture = cliff.draw_cliff_live(epsilon=0.2, alpha=0.3, ties="first")
    assert len(picture.panels) == 2
    assert "ε = 0.2" in picture.panels[0]


def test_a_greedy_route_that_loops_is_no_route():
    mdp, start, _ = worlds.cliff_walking()
    assert cliff.greedy_route(mdp, np.zeros((48, 4)), start) == []


# ------------------------------------------------------------------------------- other worlds


def test_sarsa_gets_through_the_wind():
    data = f.data_windy(rng=np.random.default_rng(5), learners=60)
    assert len(data.route) - 1 == 15
    assert 0 < data.share < 1
    late = np.diff(data.steps[-50:]).mean()
    assert 15 < late < 30 < np.diff(data.steps[:20]).mean()


def test_more_steps_carry_the_reward_further_and_leave_more_noise():
    data = n_step_control.data_heard(rng=np.random.default_rng(11))
    assert data.shortest == 8 == abs(18 // 9 - 26 // 9) + abs(18 % 9 - 26 % 9)
    assert data.heard[0] == 1
    assert 3 < data.heard[1] <= 4 < 8 < data.heard[2] <= 16
    np.testing.assert_array_equal(data.length[0, 0], data.length[:, 0])
    (fast, slow), (a, b) = data.length[[2, 0], 1], data.spread[[2, 0], 1]
    assert slow - fast > 5 * np.hypot(a, b)
    end, noise = data.length[:, -10:].mean(1), data.spread[:, -10:].mean(1)
    assert (end[:-1] + 3 * noise[:-1] < end[1:]).all()


def test_a_maximum_goes_left_and_two_tables_do_not():
    data = f.data_maxima(rng=np.random.default_rng(6), learners=2000)
    q, expected, double = data.left.values()
    spread = np.sqrt(0.25 / 2000)
    assert q.max() > expected.max() + 8 * spread > 0.5 + 8 * spread
    assert abs(q[-20:].mean() - expected[-20:].mean()) < 4 * spread
    assert double.max() < 0.5 + 5 * spread
    assert q[-20:].mean() > double[-20:].mean() + 2 * spread
    assert data.bias["Q-learning"] > -0.1 > data.bias["double Q-learning"] - 0.1


def test_both_methods_learn_zhaos_world_and_sarsa_stays_behind_by_its_noise(record):
    data, limits = from_record(f.Episodic, record, "episodic"), f.data_episodic_limits()
    assert len(limits.route) - 1 == 11 == 1 - data.best
    assert limits.optimum > limits.q_learning > limits.optimum - 0.5
    late = {name: y[-100:].mean() for name, y in data.earned.items()}
    assert data.best > limits.q_learning > late["Q-learning"] > late["Sarsa"]
    sums = cliff.data_limits(grid_mdp(f.ZHAO_EPISODIC), 0, 0.1, "uniform")
    assert limits.optimum < sums.optimum  # the best for γ = 0.9 is not that of the plain sum
    for y in data.earned.values():
        assert y[:10].mean() < -100
        assert y[150:].mean() > -25


def test_the_less_a_behaviour_explores_the_more_error_remains(record):
    data = from_record(f.Behaviours, record, "behaviours")
    assert (np.diff(data.error[:, -1]) > 0).all()
    assert data.error[0, -1] < 0.02
    assert data.error[2, -1] > 0.4 * data.error[2, 0]
    best = greedy_sets(action_values(grid_mdp(ZHAO), value_iteration(grid_mdp(ZHAO), 0.9).v, 0.9))
    assert (epsilon_greedy(best.astype(float), 0.1, "first") > 0).all()  # all cover everything


# ------------------------------------------------------------------------------- the bug hunt


def learn_of_the_page():
    source = re.search(r"def learn\(q, x, gamma.*?\n\n", PAGE.read_text("utf-8"), re.DOTALL)
    names = {"np": np}
    exec(source[0], names)
    return source[0], names["learn"]


def test_the_suspect_acts_well_and_draws_all_values_together():
    _, learn = learn_of_the_page()
    hunt = autoreset.data_hunt(learn)
    assert hunt.optimal
    assert hunt.v[17] < hunt.exact[17] - 0.5
    assert hunt.v[0] > hunt.exact[0]
    assert np.ptp(hunt.v) < np.ptp(hunt.exact) - 0.5
    assert "optimal arrows" in autoreset.draw_hunt(hunt).alt


def test_mended_the_step_leaves_the_truth_as_it_is():
    source, _ = learn_of_the_page()
    names = {"np": np}
    exec(source.replace("q[each, s_next].max", "q[each, x.s_next].max"), names)
    hunt = autoreset.data_hunt(names["learn"], steps=500)
    assert hunt.optimal
    np.testing.assert_allclose(hunt.v, hunt.exact, atol=1e-9)


# ------------------------------------------------------------------------------- the record


def test_the_record_repeats_from_its_seeds(record):
    data = record["data"]
    again = f.data_episodic(rng=np.random.default_rng(data["episodic"]["seed"]), learners=200)
    np.testing.assert_allclose(
        again.earned["Sarsa"], data["episodic"]["earned"]["Sarsa"], atol=1e-4
    )
    assert set(data) == {"cliff", "step_sizes", "n_steps", "episodic", "behaviours"}
    few = n_steps.data_n_steps(
        rng=np.random.default_rng(data["n_steps"]["seed"]), seeds=200, n=(1,)
    )
    np.testing.assert_allclose(few.error[0], data["n_steps"]["error"][0], atol=1e-4)


def test_every_picture_of_the_chapter_is_drawn(record, walk):
    for picture in (
        prediction.draw_drive(prediction.data_drive()),
        prediction.draw_walk(walk),
        prediction.draw_batch(prediction.data_batch(rng=np.random.default_rng(7), seeds=3)),
        n_steps.draw_n_steps(from_record(n_steps.NSteps, record, "n_steps")),
        n_steps.draw_moments(
            n_steps.data_moments(rng=np.random.default_rng(8), episodes=20, most=8)
        ),
        cliff.draw_cliff(from_record(cliff.Cliff, record, "cliff"), cliff.data_cliff_limits()),
        cliff.draw_step_sizes(from_record(cliff.StepSizes, record, "step_sizes")),
        f.draw_windy(f.data_windy(rng=np.random.default_rng(9), learners=40, episodes=200)),
        n_step_control.draw_heard(
            n_step_control.data_heard(rng=np.random.default_rng(12), learners=5)
        ),
        f.draw_maxima(f.data_maxima(rng=np.random.default_rng(10), learners=20)),
        f.draw_zhao(
            from_record(f.Episodic, record, "episodic"),
            from_record(f.Behaviours, record, "behaviours"),
        ),
    ):
        assert picture.alt
        assert all(svg.startswith("<svg") for svg in picture.panels)


# ------------------------------------------------------------------------------- benchmark


def test_the_benchmark_says_what_its_caption_says():
    record = load("benchmarks/temporal_difference")
    data = learning_speed.data_benchmark(record)
    np.testing.assert_array_equal(data.learners, [1, 100, 1024, 4096])
    assert set(data.ahead) == set(data.over) == set(learning_speed.LOOKS)
    for world, ratios in data.ahead.items():
        low, ahead, high = ratios.T
        assert (low <= ahead).all()
        assert (ahead <= high).all()
        assert ahead[0] < 1 < 10 < ahead[1] < 50 < ahead[2] < ahead[3] < 250
        assert 1 < data.lists[world][1] < 2.5
        assert 1 < data.hundred[world] < 3
        row = record["optimal"][world]
        assert row["gamma"] == 1
        assert row["share"][-1] >= 0.95 > max(row["share"][:-1])
        for loop, (_, over, _) in data.over[world].items():
            assert 1 < data.early[world][loop][1] <= over
            assert row[loop]["share"] > 0.9
            assert row[loop]["seconds"] / row["ours"]["seconds"] == pytest.approx(over, rel=0.3)
        assert data.over[world][learning_speed.LISTS][1] < data.over[world][learning_speed.ARRAY][1]
    picture = learning_speed.draw_benchmark(data)
    assert len(picture.panels) == 2
    assert "target" in picture.panels[0]


# ------------------------------------------------------------------------------- the quiz


def test_without_exploring_sarsa_walks_along_the_edge():
    limits = cliff.data_cliff_limits(1e-4)
    assert len(limits.route) - 1 == 13
    assert limits.optimum == pytest.approx(-13, abs=0.1)


def test_only_the_last_states_hear_of_a_reward_in_the_first_episode():
    way = deterministic_mdp(
        [[1], [2], [3], [4], [4]], [[0.0], [0], [0], [0], [1]], [[0]] * 4 + [[1]]
    )
    for n in (1, 2, 9):
        v = learn_v(
            environment(way, 0), np.ones((5, 1)), episodes=1, learners=1, alpha=0.5, gamma=1.0, n=n,
            rng=np.random.default_rng(0),
        )  # fmt: skip
        np.testing.assert_array_equal(v[0, 0] != 0, np.arange(5) >= 5 - n)
