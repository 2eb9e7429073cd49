"""Returns, visits and their means against loops over single episodes."""

import numpy as np
import pytest

from rlcourse.tabular import returns as x
from rlcourse.tabular.environment import Episodes


def random_episodes(rng, n_steps, n, n_states):
    """Padded episodes whose padding holds junk: it must not count."""
    length = rng.integers(1, n_steps + 1, size=n)
    return Episodes(
        rng.integers(n_states, size=(n_steps, n)),
        rng.integers(3, size=(n_steps, n)),
        rng.normal(size=(n_steps, n)),
        np.arange(n_steps)[:, None] < length,
        rng.integers(n_states, size=n),
        rng.random(n) < 0.5,
    )


def by_hand(e, b, v_last, gamma):
    """The returns of episode b, each summed from its own step."""
    length = e.alive[:, b].sum()
    tail = 0 if e.terminated[b] else v_last
    r = e.r[:length, b]
    return [
        sum(gamma**i * z for i, z in enumerate(r[t:])) + gamma ** (length - t) * tail
        for t in range(length)
    ]


def test_a_return_is_completed_where_time_ran_out_and_not_where_the_world_ended():
    rng = np.random.default_rng(0)
    e = random_episodes(rng, 7, 40, 5)
    v = rng.normal(size=40)
    for gamma in (0.0, 0.7, 1.0):
        g = x.completed_returns(e.r, e.alive, e.terminated, v, gamma)
        for b in range(40):
            expected = by_hand(e, b, v[b], gamma)
            np.testing.assert_allclose(g[: len(expected), b], expected, atol=1e-12)
            assert not g[len(expected) :, b].any()


def test_a_first_visit_is_the_first_step_of_its_episode_in_that_state():
    e = random_episodes(np.random.default_rng(1), 12, 30, 4)
    first = x.first_visits(e.s, e.alive)
    for b in range(30):
        seen = set()
        for t in range(12):
            expected = e.alive[t, b] and e.s[t, b] not in seen
            assert first[t, b] == expected
            if e.alive[t, b]:
                seen.add(e.s[t, b])


@pytest.mark.parametrize("visits", ["first", "every"])
def test_mean_returns_are_those_of_a_loop(visits):
    rng = np.random.default_rng(2)
    e = random_episodes(rng, 9, 24, 5)._replace(terminated=np.ones(24, bool))
    found = x.mean_returns(e, 3, 5, 0.8, visits)
    for learner in range(3):
        listed = [[] for _ in range(5)]
        for b in range(8 * learner, 8 * learner + 8):
            seen = set()
            for t, g in enumerate(by_hand(e, b, 0, 0.8)):
                if visits == "every" or e.s[t, b] not in seen:
                    listed[e.s[t, b]].append(g)
                seen.add(e.s[t, b])
        expected = [np.mean(g) if g else 0 for g in listed]
        np.testing.assert_allclose(found.v[learner], expected, atol=1e-12)
        np.testing.assert_array_equal(found.visits[learner], [len(g) for g in listed])


@pytest.mark.parametrize("visits", ["first", "every"])
def test_values_agree_with_the_returns_that_they_complete(visits):
    e = random_episodes(np.random.default_rng(3), 6, 60, 4)
    found = x.mean_returns(e, 2, 4, 0.9, visits)
    v_last = found.v[np.arange(60) // 30, e.s_last]
    g = x.completed_returns(e.r, e.alive, e.terminated, v_last, 0.9)
    counted = x.first_visits(e.s, e.alive) if visits == "first" else e.alive
    for learner in range(2):
        mine = counted & (np.arange(60) // 30 == learner)
        for s in range(4):
            assert g[mine & (e.s == s)].mean() == pytest.approx(found.v[learner, s], abs=1e-12)
