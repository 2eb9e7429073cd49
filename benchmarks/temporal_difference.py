"""Q-learning side by side with the plain loop over Gymnasium's environment.

    .venv/bin/python benchmarks/temporal_difference.py

writes src/rlcourse/results/benchmarks/temporal_difference.json, in about four minutes.
steps: learning steps (act, step the world, update) per second, from the first episode on. B
learners share one call of `learn_q`; the loop has one, whose table is a NumPy array or lists.
optimal: seconds of learning until 95 % of 100 seeds are optimal, which is checked, off the clock,
after each chunk of episodes. A seed is optimal when the policy that takes the first of its best
actions is worth v*(start) from the start, by an exact solve, to 1e-9. Our seeds learn together, and
are the same in each round; the loop's are new ones, one after another, scaled to 100, and do as
many episodes (`over_ours`). `over_ours_early`: had each stopped at its own first check passed.
Nothing is discounted: on FrozenLake the optimum is to arrive for certain. `learn_q` draws ties, and
there so must the loop, since the first of equal actions never arrives; on the cliff argmax will do,
which is faster for a loop.
`timing` says how they race. One BLAS thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

import random
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from timing import quartiles, race, rounded

from rlcourse import gym, results
from rlcourse.tabular.environment import Environment, environment
from rlcourse.tabular.gridworld import closed_form, value_iteration
from rlcourse.tabular.learning import Ties
from rlcourse.tabular.mdp import MDP, Bools, Floats, deterministic_policy, uniform_policy
from rlcourse.tabular.temporal_difference import learn_q

SEEDS, ENOUGH, MOST_CHUNKS = 100, 0.95, 20
EPISODES = {1: 300, 100: 300, 1024: 100, 4096: 40}  # of each of so many learners
Learning = Callable[[int], tuple[Any, int]]
"""Learn for so many episodes more: the tables (B, S, A) and the steps that it took."""


class Task(NamedTuple):
    """A world and how to learn it; of the loops `seeds` are timed in each of `rounds`."""

    family: str
    alpha: float
    epsilon: float
    ties: Ties  # of the loops
    chunk: int
    seeds: int
    rounds: int


TASKS = (
    Task("CliffWalking", 0.5, 0.1, "first", chunk=20, seeds=100, rounds=5),
    Task("FrozenLake8x8", 0.4, 0.4, "uniform", chunk=500, seeds=10, rounds=3),
)


# ------------------------------------------------------------------------------- who learns


@cache
def world(family: str) -> Environment:
    env: Any = gym.make(family)
    return environment(*gym.model_of(env), limit=env.spec.max_episode_steps)


def ours(task: Task, learners: int) -> Learning:
    """B learners who share the seed 1."""
    rng, q = np.random.default_rng(1), np.zeros(1)

    def learn(episodes: int) -> tuple[Any, int]:
        nonlocal q
        x = learn_q(
            world(task.family), "q_learning", episodes=episodes, learners=learners, gamma=1.0,
            alpha=task.alpha, epsilon=task.epsilon, q=q, rng=rng,
        )  # fmt: skip
        q = x.tables
        return x.q, int(x.lengths.sum())

    return learn


def numpy_loop(task: Task, seed: int) -> Learning:
    """The loop that everybody writes."""
    env: Any = gym.make(task.family)
    env.reset(seed=seed)
    n_states, n_actions = env.observation_space.n, int(env.action_space.n)
    q, rng = np.zeros((n_states, n_actions)), np.random.default_rng(seed)
    alpha, epsilon, ties, gamma = task.alpha, task.epsilon, task.ties, 1.0

    def learn(episodes: int) -> tuple[Any, int]:
        steps = 0
        for _ in range(episodes):
            s, _ = env.reset()
            over = False
            while not over:
                if rng.random() < epsilon:
                    a = int(rng.integers(n_actions))
                elif ties == "first":
                    a = int(q[s].argmax())
                else:
                    row = q[s]
                    best = (row == row.max()).nonzero()[0]
                    a = int(best[int(rng.random() * len(best))])
                s_next, r, terminated, truncated, _ = env.step(a)
                target = r if terminated else r + gamma * q[s_next].max()
                q[s, a] += alpha * (target - q[s, a])
                s, over = s_next, terminated or truncated
                steps += 1
        return [q], steps

    return learn


def list_loop(task: Task, seed: int) -> Learning:
    """The same in lists: NumPy takes its time for four numbers."""
    env: Any = gym.make(task.family)
    env.reset(seed=seed)
    n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)
    q, rng = [[0.0] * n_actions for _ in range(n_states)], random.Random(seed)
    alpha, epsilon, ties, gamma = task.alpha, task.epsilon, task.ties, 1.0

    def learn(episodes: int) -> tuple[Any, int]:
        steps = 0
        for _ in range(episodes):
            s, _ = env.reset()
            over = False
            while not over:
                row = q[s]
                if rng.random() < epsilon:
                    a = int(rng.random() * n_actions)
                else:
                    most = max(row)
                    a = row.index(most)
                    if ties == "uniform" and row.count(most) > 1:
                        a = rng.choice([i for i, x in enumerate(row) if x == most])
                s_next, r, terminated, truncated, _ = env.step(a)
                target = r if terminated else r + gamma * max(q[s_next])
                row[a] += alpha * (target - row[a])
                s, over = s_next, terminated or truncated
                steps += 1
        return [q], steps

    return learn


LOOPS = {"gymnasium loop, NumPy table": numpy_loop, "gymnasium loop, lists": list_loop}


# ------------------------------------------------------------------------------- what is measured


def speeds(task: Task, rounds: int = 11) -> dict[str, Any]:
    """Steps per second of each, and how many times those of the NumPy loop."""
    steps: dict[str, int] = {}

    def run(name: str, start: Callable[[], Learning], episodes: int) -> None:
        steps[name] = start()(episodes)[1]

    runs = {
        f"ours, {n} learner{'s' * (n > 1)}": (partial(ours, task, n), episodes)
        for n, episodes in EPISODES.items()
    } | {name: (partial(loop, task, 1), EPISODES[1]) for name, loop in LOOPS.items()}
    seconds = race({name: partial(run, name, *what) for name, what in runs.items()}, rounds)
    rates = {name: steps[name] / x for name, x in seconds.items()}
    base = rates["gymnasium loop, NumPy table"]
    return {
        name: {"steps_per_second": float(np.median(x)), "times_the_loop": quartiles(x / base)}
        for name, x in rates.items()
    }


def is_optimal(mdp: MDP, start: Floats, best: float, q: Floats) -> bool:
    """Whether the policy that takes the first best action of q (S, A) is worth `best`."""
    here, a, seen = np.arange(len(q)), q.argmax(-1), start > 0
    goes_on = (mdp.p[here, a] > 0) & ~mdp.terminated[here, a]
    for _ in here:
        seen[mdp.s_next[here, a][goes_on & seen[:, None]]] = True
    # elsewhere it doesn't matter what is done, so any policy that ends serves
    pi = np.where(seen[:, None], deterministic_policy(a, q.shape[1]), uniform_policy(mdp))
    try:
        return bool(abs(closed_form(mdp, pi, 1.0) @ start - best) <= 1e-9)
    except ValueError:  # it never ends
        return False


def watch(task: Task, learn: Learning, chunks: int = 0) -> tuple[Floats, Bools, int]:
    """Seconds of each chunk, who is optimal after it, all steps; of 0 chunks: until enough are."""
    mdp, start = gym.model_of(gym.make(task.family))
    best = float(value_iteration(mdp, 1.0, 1e-14).v @ start)
    seconds, found, steps = list[float](), list[list[bool]](), 0
    while len(seconds) < chunks or not (chunks or (found and np.mean(found[-1]) >= ENOUGH)):
        assert len(seconds) < MOST_CHUNKS, found
        began = time.perf_counter()
        tables, taken = learn(task.chunk)
        seconds.append(time.perf_counter() - began)
        found.append([is_optimal(mdp, start, best, np.asarray(q)) for q in tables])
        steps += taken
    return np.array(seconds), np.array(found), steps


def until_optimal(task: Task) -> dict[str, Any]:
    """Seconds of each until enough seeds are optimal, in rounds."""
    first = np.empty(task.rounds)
    each = {name: np.empty((task.rounds, task.seeds, 3)) for name in LOOPS}
    for i in range(task.rounds):
        seconds, found, steps = watch(task, ours(task, SEEDS))
        first[i], share = seconds.sum(), found.mean(1).tolist()
        for name, loop in LOOPS.items():
            for k in range(task.seeds):
                x, passed, _ = watch(task, loop(task, i * task.seeds + k), len(share))
                early = passed.argmax() + 1 if passed.any() else len(x)
                each[name][i, k] = x.sum(), x[:early].sum(), passed[-1, 0]
    table: dict[str, Any] = {"gamma": 1.0, "epsilon": task.epsilon, "q": 0.0, "share": share}
    table["alpha"] = [task.alpha for _ in share]
    table["episodes"] = [task.chunk * (k + 1) for k, _ in enumerate(share)]
    table |= {"steps": steps, "ours": {"seconds": float(np.median(first))}}
    for name, x in each.items():
        whole, early = SEEDS * x[..., :2].mean(1).T
        table[name] = {
            "seconds": float(np.median(whole)),
            "seeds": task.seeds,
            "share": float(x[..., 2].mean()),
            "over_ours": quartiles(whole / first),
            "over_ours_early": quartiles(early / first),
        }
    return table


if __name__ == "__main__":
    content = results.circumstances("numpy", "gymnasium")
    content |= {"blas_threads": 1, "load": os.getloadavg()}
    for what, measure in (("steps", speeds), ("optimal", until_optimal)):
        content[what] = {}
        for task in TASKS:
            content[what][task.family] = rounded(measure(task))
            print(what, task.family, *content[what][task.family].items(), sep="\n  ", flush=True)
    content["load"] = [content["load"], os.getloadavg()]
    print(results.write("benchmarks/temporal_difference", content))
