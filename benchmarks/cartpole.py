"""CartPole side by side with Gymnasium's two ways to step many of them.

    .venv/bin/python benchmarks/cartpole.py

writes src/rlcourse/results/benchmarks/cartpole.json, in about two minutes.
steps: transitions per second of n carts under random actions, drawn beforehand. Gymnasium's vector
environments reset in a step of their own, whose action is ignored; such a step is no transition and
isn't counted. "sync" loops over n environments, "vector" is the CartPole that Gymnasium has written
in NumPy: its carts share a generator, so it has not the episodes of n environments, as ours has.
`timing` says how they race. One BLAS thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from timing import quartiles, race, rounded

from rlcourse import results
from rlcourse.deep.cartpole import CartPole

STEPS = {64: 200, 4096: 20}  # of a call, for so many carts
GYMNASIUM = {"sync": "sync", "vector": "vector_entry_point"}


def ours(n: int) -> Callable[[], int]:
    """Steps that count their transitions."""
    env, a = CartPole(n, seeds=0), actions(n)
    env.reset()

    def run() -> int:
        for pushes in a:
            env.step(pushes)
        return n * len(a)

    return run


def theirs(mode: str, n: int) -> Callable[[], int]:
    envs: Any = gymnasium.make_vec("CartPole-v1", n, vectorization_mode=mode)
    a, ended = actions(n), np.zeros(n, dtype=np.bool_)
    envs.reset(seed=0)

    def run() -> int:
        nonlocal ended
        transitions = 0
        for pushes in a:
            transitions += n - ended.sum()
            _, _, terminated, truncated, _ = envs.step(pushes)
            ended = terminated | truncated
        return int(transitions)

    return run


def actions(n: int) -> list[Any]:
    return list(np.random.default_rng(1).integers(2, size=(STEPS[n], n)))


def speeds(n: int, rounds: int = 11) -> dict[str, Any]:
    """Transitions per second of each, and how many times those of ours are."""
    counts: dict[str, int] = {}

    def counted(name: str, run: Callable[[], int]) -> None:
        counts[name] = run()

    runs = {"ours": ours(n)} | {name: theirs(mode, n) for name, mode in GYMNASIUM.items()}
    seconds = race({name: partial(counted, name, run) for name, run in runs.items()}, rounds)
    rates = {name: counts[name] / x for name, x in seconds.items()}
    return {
        name: {
            "steps_per_second": float(np.median(x)),
            "ours_times": quartiles(rates["ours"][: len(x)] / x),
        }
        for name, x in rates.items()
    }


if __name__ == "__main__":
    content = results.circumstances("numpy", "gymnasium")
    content |= {"blas_threads": 1, "load": os.getloadavg(), "steps": {}}
    for n in STEPS:
        content["steps"][n] = rounded(speeds(n))
        print(n, *content["steps"][n].items(), sep="\n  ", flush=True)
    content["load"] = [content["load"], os.getloadavg()]
    print(results.write("benchmarks/cartpole", content))
