"""Gymnasium's vector environments as the deep room's: true successors, no wasted step.

Gymnasium has three conventions for what happens after an episode's end, and each hides something
from a learner that isn't told. `Transition` hides nothing, and here is one for all of them:

    NEXT_STEP  the next step takes no action but resets: a transition that never happened
    SAME_STEP  the step returns the new episode's first observation, the last one is in `infos`
    DISABLED   the caller resets, by a mask

    env = from_gymnasium(gymnasium.make_vec("CartPole-v1", 8), seed=0)
    s = env.reset()
    x = env.step(a)

Needs Gymnasium 1.1, where they got their names.

Shapes: n environments, D observation size.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from rlcourse import _check
from rlcourse.deep.environments import Observations, Transition
from rlcourse.tabular.mdp import Floats, Ints

Envs = gymnasium.vector.VectorEnv[Any, Any, Any]


class GymnasiumEnvironments:
    """n environments of Gymnasium, as `from_gymnasium` makes them: a VectorEnvironment.

    Where actions are numbers, n_actions is 0 and action_size how many an action has; else it is 0.
    """

    def __init__(self, envs: Envs, seed: int, in_infos: bool) -> None:
        self.envs, self.n = envs, envs.num_envs
        self.n_actions, self.action_size = _actions(envs)
        self.observation_size = _size(envs)
        self._seed: int | None = seed
        self._in_infos = in_infos

    def reset(self) -> Observations:
        """Begin an episode in each: (n, D). The first time by the seed, then as they come."""
        s, _ = self.envs.reset(seed=self._seed)
        self._seed = None
        return np.array(s)

    def step(self, a: Ints | Floats) -> Transition:
        """Take action a (n,), or (n, K) numbers clipped to their bounds; begin anew after ends."""
        actions: NDArray[Any]
        if self.action_size:
            actions = _check.finite("a", a).astype(np.float32)
            _check.shape("a", actions, (self.n, self.action_size))
            space: Any = self.envs.single_action_space
            actions = actions.clip(space.low, space.high)
        else:
            actions = _check.indices("a", a, self.n_actions)
            _check.shape("a", actions, (self.n,))
        now, r, terminated, truncated, infos = self.envs.step(actions)
        s = np.array(now)  # theirs may be overwritten
        s_next, rewards = s.copy(), np.array(r, dtype=np.float64)
        ends, cuts = np.array(terminated, dtype=np.bool_), np.array(truncated, dtype=np.bool_)
        if (ended := ends | cuts).any():
            if self._in_infos:
                s_next[ended] = np.stack(infos["final_obs"][ended])
            else:
                s = np.array(self.envs.reset(options={"reset_mask": ended})[0])
        return Transition(s_next, rewards, ends, cuts, s)


def from_gymnasium(envs: Envs, *, seed: int) -> GymnasiumEnvironments:
    """A vector environment of Gymnasium, whatever its convention, as a VectorEnvironment.

    Environment i's first episode is seeded by seed + i. SAME_STEP has the last observation in its
    infos; the others are reset by a mask in the step that ends an episode, so that NEXT_STEP never
    comes to its transition without an action. Raises ValueError for observations that are no
    vector, actions that are neither 0, 1, … nor vectors, and for an environment with a NEXT_STEP of
    its own (such as make_vec's "vector_entry_point"), which can't be reset by a mask.
    """
    bare: Any = envs.unwrapped
    mode = getattr(bare, "autoreset_mode", envs.metadata.get("autoreset_mode"))
    masks = isinstance(bare, gymnasium.vector.SyncVectorEnv) or (
        # without shared memory its workers reset once more
        isinstance(bare, gymnasium.vector.AsyncVectorEnv) and bare.shared_memory
    )
    if not masks and mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
        raise ValueError(
            f"envs must be reset by a mask or in the same step, got {type(bare).__name__} with"
            f' {mode}; make them with vectorization_mode="sync" and'
            ' vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}'
        )
    _size(envs)
    return GymnasiumEnvironments(envs, seed, mode == AutoresetMode.SAME_STEP)


def _actions(envs: Envs) -> tuple[int, int]:
    """The number of actions, or how many numbers one has; the other is 0."""
    space = envs.single_action_space
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return 0, space.shape[0]
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise ValueError(f"envs must have actions 0, 1, … or of shape (K,), got {space}")
    return int(space.n), 0


def _size(envs: Envs) -> int:
    space = envs.single_observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"envs must have observations of shape (D,), got {space}")
    return space.shape[0]
