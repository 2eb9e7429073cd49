"""Gymnasium's vector environments, presented as ours: the same transitions as CartPole's."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.environments import Resumable, VectorEnvironment
from rlcourse.gym_vector import from_gymnasium

LIMIT = 30


def made(mode=None, how="sync", name="CartPole-v1", **kwargs):
    wanted = {} if mode is None else {"vector_kwargs": {"autoreset_mode": mode}}
    return gymnasium.make_vec(name, 4, vectorization_mode=how, **wanted, **kwargs)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_every_convention_gives_the_transitions_of_cartpole(mode):
    ours = CartPole(4, seeds=11, limit=LIMIT)
    env = from_gymnasium(made(mode, max_episode_steps=LIMIT), seed=11)
    assert (env.n, env.n_actions, env.observation_size) == (4, 2, 4)
    np.testing.assert_array_equal(env.reset(), ours.reset(), strict=True)
    rng, fell, cut = np.random.default_rng(0), 0, 0
    for _ in range(300):
        a = rng.integers(2, size=4)
        x, wanted = env.step(a), ours.step(a)
        for got, expected in zip(x, wanted, strict=True):
            np.testing.assert_array_equal(got, expected, strict=True)
        fell, cut = fell + x.terminated.sum(), cut + x.truncated.sum()
    assert min(fell, cut) > 3
    np.testing.assert_array_equal(env.reset(), ours.reset())  # the next episodes, not the first


def test_workers_in_processes_of_their_own_give_the_same():
    env = from_gymnasium(made(how="async", max_episode_steps=LIMIT), seed=2)
    ours = CartPole(4, seeds=2, limit=LIMIT)
    try:
        np.testing.assert_array_equal(env.reset(), ours.reset())
        for i in range(100):
            a = np.array([i % 2, 0, 1, i // 2 % 2])
            for got, expected in zip(env.step(a), ours.step(a), strict=True):
                np.testing.assert_array_equal(got, expected)
    finally:
        env.envs.close()


def test_what_cannot_be_presented_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"CartPoleVectorEnv.*SAME_STEP"):
        from_gymnasium(made(how="vector_entry_point"), seed=0)
    with pytest.raises(ValueError, match=r"observations of shape \(D,\), got Discrete"):
        from_gymnasium(made(name="FrozenLake-v1"), seed=0)
    several = gymnasium.vector.SyncVectorEnv([SeveralChoices] * 2)
    with pytest.raises(ValueError, match=r"actions 0, 1, … or of shape \(K,\), got MultiDiscrete"):
        from_gymnasium(several, seed=0)
    env = from_gymnasium(made(), seed=0)
    env.reset()
    with pytest.raises(ValueError, match="a must lie in"):
        env.step(np.array([0, 1, 2, 0]))


def test_numbers_as_actions_are_clipped_to_their_bounds_and_checked():
    env = from_gymnasium(made(name="Pendulum-v1"), seed=0)
    same = from_gymnasium(made(name="Pendulum-v1"), seed=0)
    assert (env.n_actions, env.action_size) == (0, 1)
    env.reset()
    same.reset()
    one, two = env.step(np.full((4, 1), 9.0)), same.step(np.full((4, 1), 2.0))
    np.testing.assert_array_equal(one.s_next, two.s_next)
    assert (one.r == two.r).all()
    with pytest.raises(ValueError, match="a must have"):
        env.step(np.zeros(4))
    with pytest.raises(ValueError, match="a must"):
        env.step(np.full((4, 1), np.nan))


class SeveralChoices(gymnasium.Env):
    """Its actions are two whole numbers."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])


def test_both_kinds_serve_where_the_protocol_is_asked_for():
    def steps(env: VectorEnvironment) -> int:
        env.reset()
        return env.step(np.zeros(env.n, dtype=np.intp)).s.size

    assert steps(CartPole(2, seeds=0)) == 8
    assert steps(from_gymnasium(made(), seed=0)) == 16
    resumable: Resumable = CartPole(2, seeds=0)
    resumable.set_state(resumable.state())
