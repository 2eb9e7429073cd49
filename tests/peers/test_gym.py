"""Stable-Baselines3 accepts the environment and learns in it."""

import gymnasium
import numpy as np
import pytest

from rlcourse import gym
from rlcourse.tabular.gridworld import GridWorld

pytestmark = pytest.mark.peers

CORRIDOR = GridWorld(1, 4, target=(3,), start=0, terminal=True, stay=False)
WORLDS = {"Zhao's": {}, "a slippery one": {"slip": 0.3}, "a corridor": {"world": CORRIDOR}}


@pytest.mark.parametrize("kwargs", WORLDS.values(), ids=WORLDS)
def test_its_checker_has_nothing_to_say(kwargs: dict[str, object]) -> None:
    from stable_baselines3.common.env_checker import check_env

    check_env(gymnasium.make(gym.GRID_WORLD, **kwargs).unwrapped)


def test_a_short_run_learns_to_walk_to_the_target() -> None:
    import torch
    from stable_baselines3 import A2C

    torch.set_num_threads(1)  # a small network: a second thread only costs
    env = gymnasium.make(gym.GRID_WORLD, world=CORRIDOR, max_episode_steps=20)
    agent = A2C("MlpPolicy", env, seed=0, device="cpu", gamma=0.9)
    agent.learn(1000)
    s, _ = env.reset(seed=0)
    moves, over = [], False
    while not over:
        action, _ = agent.predict(np.asarray(s), deterministic=True)
        s, r, terminated, truncated, _ = env.step(action)
        moves.append(int(action))
        over = terminated or truncated
    assert (moves, r, terminated) == ([1, 1, 1], 1.0, True)
