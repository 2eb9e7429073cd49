"""CartPole against Gymnasium's, bit for bit."""

import gymnasium
import numpy as np
import pytest

from rlcourse.deep.cartpole import AHEAD, CartPole, Carts, fallen, moved


def balance(s):
    """A linear controller that keeps the pole up for hundreds of steps."""
    return ((s @ [0.02, 0.05, 1.0, 0.3]) > 0).astype(int)


def theirs(seeds):
    envs = [gymnasium.make("CartPole-v1") for _ in seeds]
    return envs, np.array([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])


def test_1000_episodes_are_gymnasiums_bit_for_bit():
    """Half of the carts act at random, half balance, some of them up to the time limit."""
    n, rng = 8, np.random.default_rng(0)
    ours, (envs, s) = CartPole(n, seeds=3), theirs(range(3, 3 + n))
    np.testing.assert_array_equal(ours.reset(), s, strict=True)
    fell = cut = 0
    while fell + cut < 1000:
        a = np.where(np.arange(n) % 2 == 0, balance(s), rng.integers(2, size=n))
        x = ours.step(a)
        got = [env.step(int(action))[:4] for env, action in zip(envs, a, strict=True)]
        s_next, r, terminated, truncated = map(np.array, zip(*got, strict=True))
        s = s_next.copy()
        for i in (terminated | truncated).nonzero()[0]:
            s[i] = envs[i].reset()[0]
        np.testing.assert_array_equal(x.s_next, s_next, strict=True)
        np.testing.assert_array_equal(x.r, r, strict=True)
        np.testing.assert_array_equal(x.terminated, terminated)
        np.testing.assert_array_equal(x.truncated, truncated)
        np.testing.assert_array_equal(x.s, s, strict=True)
        fell, cut = fell + terminated.sum(), cut + truncated.sum()
    assert fell > 900
    assert cut > 20


def test_the_motion_is_gymnasiums_from_states_that_no_episode_visits():
    rng = np.random.default_rng(1)
    env = gymnasium.make("CartPole-v1").unwrapped
    x = rng.normal(scale=[[1], [3], [1], [5]], size=(4, 200))
    a = rng.integers(2, size=200)
    for state, action, there in zip(x.T, a, moved(x, np.where(a, 10.0, -10.0)).T, strict=True):
        env.state, env.steps_beyond_terminated = state, None
        *_, terminated, _, _ = env.step(int(action))
        np.testing.assert_array_equal(env.state, there)
        assert terminated == fallen(there)


def test_sine_and_cosine_of_an_array_are_those_of_its_numbers():
    """Gymnasium takes them one by one, and NumPy's loops may differ: here they don't."""
    x = np.random.default_rng(2).uniform(-0.5, 0.5, 5000)
    for f in (np.sin, np.cos):
        one_by_one = np.array([f(number) for number in x])
        for n in (3, 8, 64, 5000):
            parts = [f(x[i : i + n]) for i in range(0, len(x), n)]
            np.testing.assert_array_equal(np.concatenate(parts), one_by_one)


def test_both_flags_are_true_where_a_pole_falls_on_its_last_step():
    free = CartPole(1, seeds=0)
    free.reset()
    left = np.zeros(1, dtype=int)
    lasts = 1
    while not free.step(left).terminated[0]:
        lasts += 1
    cut = CartPole(1, seeds=0, limit=lasts)
    cut.reset()
    for _ in range(lasts):
        x = cut.step(left)
    assert x.terminated[0]
    assert x.truncated[0]
    env = gymnasium.make("CartPole-v1", max_episode_steps=lasts)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(lasts)][-1] == (True, True)


def test_an_ended_episode_hands_back_its_last_observation_and_the_next_ones_first():
    env = CartPole(3, seeds=0, limit=5)
    env.reset()
    for _ in range(5):
        x = env.step(np.array([0, 1, 0]))
    assert x.truncated.all()
    assert not x.terminated.any()
    assert (np.abs(x.s) <= 0.05).all()
    assert (np.abs(x.s_next).max(1) > 0.05).all()
    assert not np.shares_memory(x.s, x.s_next)
    assert not env.step(np.array([0, 1, 0])).truncated.any()


def test_what_one_cart_does_changes_nothing_for_another():
    rng = np.random.default_rng(3)
    many, one = CartPole(5, seeds=[9, 2, 7, 2, 30]), CartPole(1, seeds=7)
    s = many.reset()
    np.testing.assert_array_equal(s[2:3], one.reset())
    np.testing.assert_array_equal(s[1], s[3])  # the same seed
    for _ in range(500):
        a = rng.integers(2, size=5)
        for got, wanted in zip(many.step(a), one.step(a[2:3]), strict=True):
            np.testing.assert_array_equal(got[2:3], wanted)


@pytest.mark.parametrize("episodes", [0, 1, AHEAD - 1, AHEAD, AHEAD + 1, 3 * AHEAD])
def test_a_saved_state_goes_on_bit_for_bit(episodes):
    seeds = [5, 6]
    env = CartPole(2, seeds=seeds, limit=3)
    for _ in range(episodes):
        env.reset()
    saved = env.state()
    kept = Carts(*(part.copy() for part in saved))
    again = CartPole(2, seeds=seeds, limit=3)
    again.reset()
    again.set_state(saved)
    if not episodes:
        np.testing.assert_array_equal(env.reset(), again.reset())
    for _ in range(2 * AHEAD * 3):
        for got, wanted in zip(again.step([1, 0]), env.step([1, 0]), strict=True):
            np.testing.assert_array_equal(got, wanted)
    for part, before in zip(saved, kept, strict=True):
        np.testing.assert_array_equal(part, before)  # neither run wrote into it


def test_bad_input_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got 0"):
        CartPole(0, seeds=0)
    with pytest.raises(ValueError, match="limit must be an integer of at least 1"):
        CartPole(2, seeds=0, limit=0)
    with pytest.raises(ValueError, match=r"seeds must have shape \(2\)"):
        CartPole(2, seeds=[1, 2, 3])
    with pytest.raises(ValueError, match="seeds must lie in"):
        CartPole(2, seeds=-1)
    env = CartPole(2, seeds=0)
    with pytest.raises(ValueError, match=r"reset\(\) must come before step"):
        env.step(np.array([0, 1]))
    env.reset()
    with pytest.raises(ValueError, match="a must lie in"):
        env.step(np.array([0, 2]))
    with pytest.raises(ValueError, match="a must be integers"):
        env.step(np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"a must have shape \(2\)"):
        env.step(np.array([0]))
    with pytest.raises(ValueError, match=r"x must have shape \(4, 2\)"):
        env.set_state(CartPole(3, seeds=0).state())
