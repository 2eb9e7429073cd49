"""B learners that step an MDP, against the probabilities that they are drawn from."""

import numpy as np
import pytest

from rlcourse.tabular import environment as e
from rlcourse.tabular import mdp as m
from rlcourse.tabular.gridworld import SUTTON_BARTO_4_1, closed_form, grid_mdp

FAR = 5.0  # standard errors: a normal mean is farther off once in 1.7 million


def random_mdp(rng, ends=0.2):
    shape = (4, 3, 2)
    return m.finite_mdp(
        rng.integers(4, size=shape),
        rng.dirichlet([1, 2], size=(4, 3)),
        rng.normal(size=shape),
        rng.random(shape) < ends,
    )


def near(seen, n, p):
    """Whether counts of n draws are within the band of their probabilities, elementwise."""
    return (np.abs(seen - n * p) <= FAR * np.sqrt(n * p * (1 - p)) + FAR).all()


def test_episodes_begin_by_the_start_distribution():
    mdp, chance = random_mdp(np.random.default_rng(0)), np.array([0.1, 0.0, 0.6, 0.3])
    s = e.first_states(e.environment(mdp, chance), 20_000, rng=np.random.default_rng(1))
    assert near(np.bincount(s, minlength=4), 20_000, chance)
    only = e.first_states(e.environment(mdp, 2), 9, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(only, 2)


def test_outcomes_are_drawn_by_their_probabilities():
    rng = np.random.default_rng(2)
    mdp = random_mdp(rng)
    env = e.environment(mdp, 0)
    for s, a in np.ndindex(4, 3):
        x = e.step(env, np.full(5000, s), np.full(5000, a), rng=rng)
        of = [x.r == r for r in mdp.r[s, a]]
        assert near(np.sum(of, axis=1), 5000, mdp.p[s, a])
        for k in range(2):
            assert (x.s_next[of[k]] == mdp.s_next[s, a, k]).all()
            assert (x.terminated[of[k]] == mdp.terminated[s, a, k]).all()


def test_a_world_of_one_outcome_draws_nothing():
    rng = np.random.default_rng(3)
    env = e.environment(grid_mdp(SUTTON_BARTO_4_1), 5)
    before = rng.bit_generator.state
    x = e.step(env, np.array([5, 1]), np.array([1, 3]), rng=rng)
    assert rng.bit_generator.state == before
    np.testing.assert_array_equal(x.s_next, [6, 0])
    np.testing.assert_array_equal(x.terminated, [False, True])


def test_actions_are_drawn_by_their_probabilities_and_impossible_ones_never():
    rows = np.repeat([[0.2, 0.0, 0.5, 0.3], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.4, 0.6]], 8000, 0)
    a = e.draw_actions(rows, rng=np.random.default_rng(4)).reshape(3, 8000)
    for i in range(3):
        assert near(np.bincount(a[i], minlength=4), 8000, rows[8000 * i])
    assert not (rows[np.arange(24_000), a.ravel()] == 0).any()


def test_an_episode_goes_on_where_its_last_step_led_and_ends_as_it_says():
    rng = np.random.default_rng(5)
    mdp = random_mdp(rng)
    x = e.sample_episodes(e.environment(mdp, 1, limit=6), m.uniform_policy(mdp), 3000, rng=rng)
    length = x.alive.sum(0)
    assert (x.s[0] == 1).all()
    np.testing.assert_array_equal(x.alive, np.arange(len(x.s))[:, None] < length)
    for column in (x.s, x.a, x.r):
        assert not column[~x.alive].any()
    np.testing.assert_array_equal(length[~x.terminated], 6)
    for b in range(300):
        states = [*x.s[: length[b], b], x.s_last[b]]
        for t in range(length[b]):
            here = states[t], x.a[t, b]
            k = list(mdp.r[here]).index(x.r[t, b])
            assert mdp.s_next[here][k] == states[t + 1]
            assert mdp.terminated[here][k] == (t + 1 == length[b] and x.terminated[b])
    assert 0 < x.terminated.mean() < 1


def test_an_end_in_the_last_step_that_the_limit_allows_is_an_end():
    mdp = m.deterministic_mdp([[1], [2], [2]], -1.0, [[False], [True], [True]])
    for limit, terminated in ((1, False), (2, True), (None, True)):
        x = e.sample_episodes(
            e.environment(mdp, 0, limit), np.ones((3, 1)), 2, rng=np.random.default_rng(0)
        )
        assert x.terminated.tolist() == [terminated] * 2
        assert x.s_last.tolist() == [1 + terminated] * 2


def test_the_mean_return_of_whole_episodes_is_the_value():
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    pi = m.uniform_policy(mdp)
    x = e.sample_episodes(e.environment(mdp, 6), pi, 4000, rng=np.random.default_rng(6))
    g = x.r.sum(0)
    assert x.terminated.all()
    assert abs(g.mean() - closed_form(mdp, pi, 1.0)[6]) < FAR * g.std() / np.sqrt(4000)


def test_each_learner_follows_its_own_policy():
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    a = np.random.default_rng(7).integers(4, size=(50, 16))
    env = e.environment(mdp, np.full(16, 1 / 16), limit=9)
    x = e.sample_episodes(env, np.eye(4)[a], 50, rng=np.random.default_rng(8))
    expected = a[np.arange(50), x.s]
    np.testing.assert_array_equal(x.a[x.alive], expected[x.alive])


def test_exploring_starts_begin_where_they_are_told():
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    s, a = np.array([5, 6, 9]), np.array([0, 3, 2])
    env = e.environment(mdp, 1, limit=4)
    x = e.sample_episodes(env, m.uniform_policy(mdp), 3, s=s, a=a, rng=np.random.default_rng(9))
    np.testing.assert_array_equal(x.s[0], s)
    np.testing.assert_array_equal(x.a[0], a)
    x.s[0] = 0
    np.testing.assert_array_equal(s, [5, 6, 9])  # the argument is left alone


def test_the_same_seed_gives_the_same_episodes():
    mdp = random_mdp(np.random.default_rng(10))
    env = e.environment(mdp, np.full(4, 0.25), limit=20)
    one, two = (
        e.sample_episodes(env, m.uniform_policy(mdp), 30, rng=np.random.default_rng(11))
        for _ in "ab"
    )
    for x, y in zip(one, two, strict=True):
        np.testing.assert_array_equal(x, y)


def test_an_episode_that_never_ends_says_which_policy_loops_and_where(monkeypatch):
    monkeypatch.setattr(e, "MOST_STEPS", 50)
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    pi = np.zeros((3, 16, 4))
    pi[:, :, 3] = 1  # left, to cell 4,
    pi[:, 4] = np.eye(4)[0]  # and up, to the end
    pi[1, 5] = np.eye(4)[1]  # but learner 1 goes to and fro
    with pytest.raises(ValueError, match=r"learner 1 lasted 50 steps and loops .* \[5, 6\];"):
        e.sample_episodes(e.environment(mdp, 6), pi, 3, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": 16}, r"start must lie in \[0, 16\), got 16"),
        ({"start": np.full(16, 0.1)}, "start must sum to 1"),
        ({"start": [0.5, 0.5]}, r"start must have shape \(16\), got \(2,\)"),
        ({"limit": 0}, "limit must be an integer of at least 1, got 0"),
        ({"limit": 2.5}, "limit must be an integer of at least 1, got 2.5"),
    ],
)
def test_bad_environments_are_refused(change, words):
    good = {"mdp": grid_mdp(SUTTON_BARTO_4_1), "start": 5, "limit": None}
    with pytest.raises(ValueError, match=words):
        e.environment(**(good | change))


def test_a_policy_of_another_shape_is_refused():
    env = e.environment(grid_mdp(SUTTON_BARTO_4_1), 5)
    with pytest.raises(ValueError, match=r"pi must have shape \(16, 4\), got \(4, 16\)"):
        e.sample_episodes(env, np.full((4, 16), 1 / 16), 3, rng=np.random.default_rng(0))
