"""What the captions of the DQN chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.deep.q_learning import double_dqn_target, dqn_target
from rlcourse.figures.deep import dqn as figures
from rlcourse.figures.deep import overestimation, target_network
from rlcourse.results import load

PAGE = Path(__file__).parents[3] / "book/deep/dqn.md"
RECORD = load("deep/dqn")


@cache
def curves():
    return figures.read_curves(RECORD)


@cache
def growth():
    return target_network.data_growth()


# ------------------------------------------------------------------------------- the record


def final(name):
    return curves()[name].final


def error(name):
    return figures.standard_error(final(name))


def test_without_a_target_network_one_step_never_learns_and_believes_in_a_million():
    lost = curves()["one step, no target"]
    assert lost.earned.max() < 11
    assert lost.guess[-1].min() > 5e5


def test_all_of_it_solves_most_and_believes_too_little_rather_than_too_much():
    data = curves()["all of it"]
    assert figures.solved(data) >= 8
    assert (data.guess.mean(1) < data.truth.mean(1)).all()
    assert data.guess.max() < 100


def test_old_steps_and_not_the_target_network_keep_beliefs_of_ten_steps_low():
    every, no_ring, no_copy = (
        curves()[name] for name in ("all of it", "no replay", "no target network")
    )
    assert np.abs(every.guess.mean(1) - no_copy.guess.mean(1)).max() < 8
    late = every.steps >= 3750
    assert (no_ring.guess.mean(1)[late] > every.guess.mean(1)[late] + 10).all()
    assert abs(no_ring.guess[-1].mean() - no_ring.truth[-1].mean()) < 3


def test_agents_of_one_step_rise_fall_and_believe_more_than_there_is():
    for name in ("one step", "one step, no double", "DQN of 2015"):
        mean = curves()[name].earned.mean(1)
        assert mean.max() > 350
        assert mean.argmax() < 6
        assert mean[-1] < 0.6 * mean.max()
        assert curves()[name].guess[-1].mean() > 130
        assert final(name).mean() + 2 * error(name) < final("all of it").mean()


def test_ten_steps_need_neither_replay_nor_a_target_network_nor_most_refinements():
    for name in ("no replay", "no target network", "neither", "no double", "no Huber"):
        gap = abs(final(name).mean() - final("all of it").mean())
        assert gap < np.hypot(error(name), error("all of it")), name
    gap = final("all of it").mean() - final("no dueling").mean()
    assert 0 < gap < 2 * (error("no dueling") + error("all of it"))


def test_bare_q_learning_ends_above_the_dqn_of_2015():
    bare, classic = "bare Q-learning", "DQN of 2015"
    assert final(bare).mean() - final(classic).mean() > 2 * np.hypot(error(bare), error(classic))


def test_a_limit_taken_for_an_end_leaves_no_trace_in_the_returns():
    assert abs(final("limit as an end").mean() - final("all of it").mean()) < 5
    guess = curves()["limit as an end"].guess[-1].mean() - curves()["all of it"].guess[-1].mean()
    assert -2 < guess < 0


def test_the_record_repeats_from_its_seeds():
    """The first check again: in float32 another processor may round otherwise, hence tolerances."""
    before = curves()["one step"]
    _, again = figures.train(
        figures.VARIANTS["one step"], learners=10, steps=1250, every=1250, episodes=10
    )
    np.testing.assert_allclose(again.guess[0], before.guess[0], rtol=0.03)


def test_the_map_of_beliefs_is_high_along_a_falling_diagonal():
    data = figures.read_plane(RECORD)
    last = data.v[-1]
    assert last[0, 0] < 0.1 * last.max()
    assert last[-1, -1] < 0.1 * last.max()
    assert min(last[0, -1], last[-1, 0], last[12, 12]) > 0.6 * last.max()
    assert (np.sign(data.right[-1, 12, [4, 8, 16, 20]]) == [-1, -1, 1, 1]).all()
    assert abs(data.right[-1, 12, 12]) < 0.02 * last[12, 12]  # upright, the pushes hardly differ
    assert data.v[0].max() < 30
    assert data.earned[0] > 400


# ------------------------------------------------------------------------------- target network


def test_the_value_of_the_second_state_chases_itself():
    assert growth().shift == pytest.approx(2.25)
    x = target_network.X
    np.testing.assert_allclose(np.linalg.solve(x, [10, 10]) @ x.T, [10, 10])  # any two values


def test_short_periods_diverge_and_long_ones_wait():
    data = growth()
    diverges = data.factor > 1
    assert diverges[data.k < 30].all()
    assert not diverges[data.k > 31].any()
    best = data.k[data.factor.argmin()]
    assert 60 < best < 90
    assert (np.diff(data.factor[data.k >= 100]) > 0).all()
    assert data.factor[-1] < 1


def test_runs_grow_by_the_factor_of_their_eigenvalue():
    for k, error in growth().runs.items():
        if k == 1:
            seen = error[np.isfinite(error)]
            assert len(seen) < 40
            assert seen[-1] / seen[-2] == pytest.approx(growth().factor[0], rel=0.01)
        if k == 400:
            ends = error[::k]
            factor = np.abs(np.linalg.eigvals(target_network.period(k))).max()
            assert ends[-1] / ends[-2] == pytest.approx(factor, rel=1e-3)


def test_a_period_without_end_is_exact_value_iteration():
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(target_network.period(10**6))))
    np.testing.assert_allclose(eigenvalues, [0, 0.9], atol=1e-9)
    one = np.abs(np.linalg.eigvals(target_network.period(1))).max()
    by_hand = np.eye(2) + target_network.ALPHA * sum(
        d * np.outer(x, 0.9 * target_network.X[0] - x)
        for d, x in zip(target_network.SHARE, target_network.X, strict=True)
    )
    assert one == pytest.approx(np.abs(np.linalg.eigvals(by_hand)).max())


def test_copies_of_all_runs_start_ten_too_low():
    for error in growth().runs.values():
        assert error[0] == pytest.approx(10)


# ------------------------------------------------------------------------------- overestimation


def test_the_maximum_is_too_high_by_what_order_statistics_say_and_double_is_not():
    data = overestimation.data_maxima(rng=np.random.default_rng(1))
    assert data.exact[0] == pytest.approx(1 / np.sqrt(np.pi), abs=1e-6)
    assert overestimation.expected_maximum(3) == pytest.approx(1.5 / np.sqrt(np.pi), abs=1e-6)
    assert (np.abs(data.mean["DQN"] - data.exact) < 4 * data.error["DQN"]).all()
    assert (np.abs(data.mean["double DQN"]) < 4 * data.error["double DQN"]).all()


def test_networks_that_agree_make_double_the_maximum_again():
    q = torch.as_tensor(np.random.default_rng(0).normal(size=(50, 4)))
    zero = torch.zeros(50, dtype=q.dtype)
    plain = dqn_target(zero, q, zero, 1.0)
    torch.testing.assert_close(double_dqn_target(zero, q, q, zero, 1.0), plain)


# ------------------------------------------------------------------------------- the bug hunt


def suspect():
    """The rule of the bug hunt, as the page has it."""
    source = re.search(r"def ends\(step\):\n(    .*\n)+", PAGE.read_text("utf-8"))
    names = {}
    exec(source[0], names)
    return names["ends"]


def test_the_suspect_believes_83_where_100_is_right():
    hunt = figures.data_hunt(suspect())
    assert hunt.right == pytest.approx(100)
    assert hunt.value == pytest.approx(1 / (1 - 0.99 * 499 / 500))
    assert figures.data_hunt(lambda step: step.terminated).value == pytest.approx(100)


# ------------------------------------------------------------------------------- live


def test_the_live_run_learns_and_repeats():
    settings = figures.LIVE
    _, one = figures.train(settings, learners=2, steps=1000, every=500)
    _, other = figures.train(settings, learners=2, steps=1000, every=500)
    np.testing.assert_array_equal(one.guess, other.guess)
    np.testing.assert_array_equal(one.earned, other.earned)
