"""PPO on CartPole-v1 side by side with Stable-Baselines3: seconds until the pole stays up.

    .venv-peers/bin/python benchmarks/ppo.py [seeds]

writes src/rlcourse/results/benchmarks/ppo.json (requirements-peers.txt says what it needs), with
5 seeds in some three minutes; with 1 seed in half a minute, to try it out.
Seconds are those of the CPU (`time.process_time`), with one thread: other work on the machine
doesn't count, though it still disturbs the caches. They run from before the environments are made
until the criterion is met. Every system is checked alike, off the clock: after the first update at
or beyond each multiple of 2048 steps its greedy policy plays 100 episodes of our CartPole, which is
Gymnasium's bit for bit, new ones at each check. The criterion is a mean of at least 475 at three
checks in a row. A run that hasn't met it after 100 000 steps is given up: `solved` is false, and
its seconds are a lower bound.

    lean      `deep.lean_ppo`, NumPy and a gradient derived by hand      our CartPole
    readable  `deep.ppo`, torch and its autograd, the same settings      our CartPole
    zoo       Stable-Baselines3 with the settings that RL Baselines3 Zoo has tuned for CartPole-v1
    defaults  Stable-Baselines3 as it comes
    same      Stable-Baselines3 with the settings of ours: what is then left is not the tuning

The systems take turns, seed by seed; each has been warmed up by an update. Our settings were chosen
with other seeds, in some forty trials of about ten seeds each.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from timing import rounded

from rlcourse import results
from rlcourse.deep import lean_ppo, ppo
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.rollouts import Policy, first_episodes

EVERY, EPISODES, ENOUGH, IN_A_ROW, MOST = 2048, 100, 475.0, 3, 100_000
FIRST_SEED = 1000
ENVS = 16
LEAN = lean_ppo.Settings()
READABLE = ppo.Settings(
    envs=ENVS, hidden=LEAN.hidden, gamma=LEAN.gamma, lam=LEAN.lam, rate=LEAN.rate,
    steps=LEAN.steps, epochs=LEAN.epochs, minibatches=LEAN.minibatches, epsilon=LEAN.epsilon,
    value_weight=LEAN.value_weight, beta=LEAN.beta, most=LEAN.most,
    anneal=False,
)  # fmt: skip


class Clock:
    """Counts CPU seconds between checks, until the criterion is met or the steps run out."""

    def __init__(self, seed: int, most: int = MOST) -> None:
        self.seed, self.most = seed, most
        self.seconds, self.steps, self.checks, self.good = 0.0, 0, 0, 0
        self.began = time.process_time()

    def over(self, steps: int, policy: Callable[[], Policy]) -> bool:
        """Whether to stop, after so many steps, with this policy."""
        self.seconds += time.process_time() - self.began
        self.steps = steps
        if steps >= EVERY * (self.checks + 1):
            self.checks += 1
            first = 1_000_000 * (self.seed + 1) + EPISODES * self.checks
            earned = first_episodes(CartPole(EPISODES, seeds=first), policy()).earned.mean()
            self.good = self.good + 1 if earned >= ENOUGH else 0
        self.began = time.process_time()
        return self.solved or steps >= self.most

    @property
    def solved(self) -> bool:
        return self.good == IN_A_ROW


# ------------------------------------------------------------------------------- who learns


def lean(seed: int, clock: Clock) -> None:
    env = CartPole(ENVS, seeds=1000 * seed)
    learner = lean_ppo.begin(env, LEAN, rng=np.random.default_rng(seed))
    size = ENVS * LEAN.steps
    while not clock.over(size * learner.updates, lambda: lean_ppo.greedy(learner)):
        lean_ppo.learn(learner, 1)


def readable(seed: int, clock: Clock) -> None:
    env = CartPole(ENVS, seeds=1000 * seed)
    agent = ppo.begin(env, READABLE, generator=torch.Generator().manual_seed(seed))
    size = ENVS * READABLE.steps
    while not clock.over(size * agent.updates, lambda: lambda s: ppo.greedy(agent, s)):
        ppo.learn(agent, 1)


class Watch(BaseCallback):
    """Asks the clock before each rollout, which is after each update, and at the end."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.stop = clock, False

    def _on_rollout_start(self) -> None:
        def policy(s: Any) -> Any:
            return self.model.predict(s, deterministic=True)[0]

        self.stop = self.clock.over(self.num_timesteps, lambda: policy)

    def _on_step(self) -> bool:
        return not self.stop

    def _on_training_end(self) -> None:
        if not self.stop:
            self._on_rollout_start()


def peer(settings: dict[str, Any], seed: int, clock: Clock) -> None:
    """Stable-Baselines3's PPO on Gymnasium's CartPole-v1; `linear` names what falls to 0."""
    options = dict(settings)
    env = make_vec_env("CartPole-v1", options.pop("n_envs"), seed=seed)
    for name in options.pop("linear", ()):
        options[name] = lambda left, first=options[name]: left * first
    model = stable_baselines3.PPO("MlpPolicy", env, seed=seed, device="cpu", **options)
    model.learn(MOST, Watch(clock), log_interval=None)


PEERS: dict[str, dict[str, Any]] = {
    # hyperparams/ppo.yml of rl-baselines3-zoo; n_timesteps is MOST there too
    "zoo": {
        "n_envs": 8, "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98,
        "n_epochs": 20, "ent_coef": 0.0, "learning_rate": 1e-3, "clip_range": 0.2,
        "linear": ("learning_rate", "clip_range"),
    },
    "defaults": {"n_envs": 1},
    "same": {
        "n_envs": ENVS, "n_steps": LEAN.steps, "gae_lambda": LEAN.lam, "gamma": LEAN.gamma,
        "batch_size": ENVS * LEAN.steps // LEAN.minibatches, "n_epochs": LEAN.epochs,
        "ent_coef": LEAN.beta, "learning_rate": LEAN.rate, "clip_range": LEAN.epsilon,
        "vf_coef": LEAN.value_weight / 2, "max_grad_norm": LEAN.most,
        "policy_kwargs": {"net_arch": list(LEAN.hidden)},
    },
}  # fmt: skip
SYSTEMS: dict[str, Callable[[int, Clock], None]] = {
    "lean": lean,
    "readable": readable,
    **{name: lambda seed, clock, x=x: peer(x, seed, clock) for name, x in PEERS.items()},
}


# ------------------------------------------------------------------------------- the race


def measured(seeds: int) -> dict[str, Any]:
    """Seconds, steps and whether it was solved, of each system and seed."""
    table = {name: {"seconds": [], "steps": [], "solved": []} for name in SYSTEMS}
    for system in SYSTEMS.values():
        system(0, Clock(0, most=1))
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for name, system in SYSTEMS.items():
            clock = Clock(seed)
            system(seed, clock)
            for key in table[name]:
                table[name][key].append(getattr(clock, key))
            print(seed, name, clock.seconds, clock.steps, clock.solved, flush=True)
    return {
        name: {key: [rounded(x) for x in row[key]] for key in row} for name, row in table.items()
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    content = results.circumstances("numpy", "torch", "gymnasium", "stable_baselines3")
    content |= {"threads": 1, "load": os.getloadavg()}
    content["criterion"] = {
        "every": EVERY, "episodes": EPISODES, "enough": ENOUGH, "in_a_row": IN_A_ROW, "most": MOST,
    }  # fmt: skip
    content["settings"] = {"lean": {"envs": ENVS} | asdict(LEAN)} | PEERS
    content["systems"] = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    content["load"] = [content["load"], os.getloadavg()]
    print(results.write("benchmarks/ppo", content))
