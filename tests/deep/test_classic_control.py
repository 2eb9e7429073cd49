"""Acrobot and Pendulum against Gymnasium's, bit for bit."""

import gymnasium
import numpy as np
import pytest

from rlcourse.deep.classic_control import Acrobot, Pendulum


def actions(kind, rng, n, s):
    """At random, but half of the acrobots push with the swing, so that some arrive."""
    if kind is Pendulum:
        return rng.normal(scale=2, size=(n, 1)).astype(np.float32)
    with_it = np.where(s[:, 5] > 0, 2, 0)
    return np.where(np.arange(n) % 2, with_it, rng.integers(3, size=n))


@pytest.mark.parametrize("kind", [Acrobot, Pendulum])
def test_episodes_are_gymnasiums_bit_for_bit(kind):
    n, rng = 6, np.random.default_rng(0)
    ours = kind(n, seeds=3)
    envs = [gymnasium.make(f"{kind.__name__}-v1") for _ in range(n)]
    s = np.array([env.reset(seed=3 + i)[0] for i, env in enumerate(envs)])
    now = ours.reset()
    np.testing.assert_array_equal(now, s, strict=True)
    ended = cut = 0
    for _ in range(1100):
        a = actions(kind, rng, n, now)
        x = ours.step(a)
        got = [env.step(action)[:4] for env, action in zip(envs, a, strict=True)]
        s_next, r, terminated, truncated = map(np.array, zip(*got, strict=True))
        s = s_next.copy()
        for i in (terminated | truncated).nonzero()[0]:
            s[i] = envs[i].reset()[0]
        np.testing.assert_array_equal(x.s_next, s_next, strict=True)
        np.testing.assert_allclose(x.r, r, rtol=0, atol=1e-9 * (kind is Pendulum))
        np.testing.assert_array_equal(x.terminated, terminated)
        np.testing.assert_array_equal(x.truncated, truncated)
        np.testing.assert_array_equal(x.s, s, strict=True)
        ended, cut, now = ended + terminated.sum(), cut + truncated.sum(), x.s
    assert cut > 5
    assert (ended > 5) == (kind is Acrobot)


@pytest.mark.parametrize("kind", [Acrobot, Pendulum])
def test_a_saved_state_goes_on_bit_for_bit_in_copies_of_the_same_seeds(kind):
    rng = np.random.default_rng(1)
    env, other = kind(3, seeds=5, limit=7), kind(3, seeds=5, limit=7)
    s = env.reset()
    for _ in range(9):
        s = env.step(actions(kind, rng, 3, s)).s
    saved = env.state()
    env.step(actions(kind, rng, 3, s))
    env.set_state(saved)
    other.set_state(saved)
    for _ in range(20):
        a = actions(kind, rng, 3, s)
        one, two = env.step(a), other.step(a)
        for x, y in zip(one, two, strict=True):
            np.testing.assert_array_equal(x, y)
        s = one.s
    with pytest.raises(ValueError, match="x must have"):
        kind(2, seeds=0).set_state(saved)


def test_steps_before_the_first_reset_and_wrong_actions_are_refused():
    with pytest.raises(ValueError, match="reset"):
        Acrobot(1, seeds=0).step(np.zeros(1, dtype=int))
    env, link = Acrobot(2, seeds=0), Pendulum(2, seeds=0)
    env.reset()
    link.reset()
    with pytest.raises(ValueError, match="a must lie in"):
        env.step(np.array([0, 3]))
    with pytest.raises(ValueError, match="a must have"):
        link.step(np.zeros(2))
    with pytest.raises(ValueError, match="a must"):
        link.step(np.array([[0.0], [np.nan]]))


def test_an_acrobot_that_hangs_still_stays_and_a_pendulum_upright_costs_its_torque_alone():
    from rlcourse.deep.classic_control import swung

    assert np.abs(swung(np.zeros((4, 1)), np.zeros(1))).max() < 1e-15
    link = Pendulum(1, seeds=0)
    link.reset()
    link.set_state(link.state()._replace(x=np.zeros((1, 2))))
    assert np.isclose(link.step(np.array([[5.0]])).r[0], -0.004)
