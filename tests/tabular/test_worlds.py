"""The worlds against Gymnasium, exact values and path lengths known from their book."""

import numpy as np
import pytest

from rlcourse import gym
from rlcourse.tabular import worlds
from rlcourse.tabular.gridworld import closed_form, value_iteration
from rlcourse.tabular.mdp import action_values


@pytest.mark.parametrize("n", [1, 5, 19])
def test_the_value_of_the_random_walk_is_a_straight_line(n):
    mdp, start, _ = worlds.random_walk(n, -1.0, 1.0)
    v = closed_form(mdp, np.ones((n, 1)), 1.0)
    np.testing.assert_allclose(v, -1 + 2 * np.arange(1, n + 1) / (n + 1), atol=1e-12)
    assert start == n // 2


def test_the_cliff_is_gymnasiums():
    mdp, start, _ = worlds.cliff_walking()
    theirs, first = gym.model_of(gym.make("CliffWalking"))
    assert first[start] == 1
    v = np.random.default_rng(0).normal(size=48)
    reached = np.r_[:37, 47]  # gymnasium's cliff cells have rows too, which no episode sees
    np.testing.assert_allclose(
        action_values(mdp, v, 0.9)[reached], action_values(theirs, v, 0.9)[reached]
    )


@pytest.mark.parametrize(("king", "steps"), [(False, 15), (True, 7)])
def test_the_shortest_way_through_the_wind(king, steps):
    mdp, start, _ = worlds.windy_gridworld(king=king)
    assert value_iteration(mdp, 1.0).v[start] == -steps
    assert mdp.terminated[37].all()
    assert (mdp.r[37] == 0).all()


def test_wind_blows_up_the_column_that_is_left():
    mdp = worlds.windy_gridworld().mdp
    for s, a, s_next in ((33, 1, 24), (34, 3, 23), (36, 2, 26), (6, 2, 6), (29, 1, 29), (9, 0, 9)):
        assert mdp.s_next[s, a, 0] == s_next


def test_gusts_make_the_wind_one_weaker_or_stronger():
    mdp = worlds.windy_gridworld(gusts=True).mdp
    np.testing.assert_array_equal(mdp.s_next[46, 1], [37, 27, 17])
    np.testing.assert_array_equal(mdp.s_next[43, 0], [33, 23, 13])
    np.testing.assert_array_equal(mdp.s_next[30, 0], [20, 20, 20])
    np.testing.assert_allclose(mdp.p, 1 / 3)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_equal_masses_have_the_mean_and_variance_of_the_normal_distribution(n):
    x = worlds.standard_normal_masses(n)
    assert abs(x.mean()) < 1e-15
    assert x.var() == pytest.approx(float(n > 1))
    assert (np.diff(x) > 0).all()
    if n == 64:
        assert (x**4).mean() == pytest.approx(3, abs=0.3)


def test_going_left_loses_a_tenth_on_average():
    mdp, start, available = worlds.maximization_bias(10)
    q = action_values(mdp, value_iteration(mdp, 1.0).v, 1.0)
    np.testing.assert_allclose(q[start, :2], [-0.1, 0], atol=1e-12)
    np.testing.assert_allclose(q[1], -0.1)
    np.testing.assert_array_equal(available.sum(1), [2, 10])
    variance = (mdp.p * (mdp.r - mdp.r.mean(-1, keepdims=True)) ** 2).sum(-1)[1]
    np.testing.assert_allclose(variance, 1)
    assert worlds.maximization_bias(1).available.sum() == 3
