"""Grid worlds, side by side: values of the uniform policy, and steps of random walks.

    .venv-peers/bin/python benchmarks/gridworld.py

writes src/rlcourse/results/benchmarks/gridworld.json (requirements-peers.txt says what it needs).
Values: n x n cells, gamma 0.99; the true error of each row is at most max|r_π + γ P_π v - v| / (1 -
γ), which must not exceed 1e-8. "model" starts from r_π and P_π in the form that a method likes
best, "end_to_end" from the MDP of five actions and the policy; "over_quantecon" divides the seconds
by those of quantecon's faster model of one action, dense or sparse. "structured grid" needs a
policy that is the same in every cell and no terminal one; the other methods don't.
Walks: environment steps per second under the uniform policy, cut off after 100 steps, against the
usual loop over `gymnasium.make` with its wrappers.
`timing` says how they race. One BLAS thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import scipy.sparse
from quantecon.markov import DiscreteDP
from timing import quartiles, race, ratios, rounded, world_of

from rlcourse import gym, results
from rlcourse.tabular import linear
from rlcourse.tabular.gridworld import closed_form, grid_mdp, iterative_evaluation
from rlcourse.tabular.mdp import MDP, Floats, Ints, uniform_policy
from rlcourse.tabular.sampling import walk

GAMMA, TOLERANCE, LIMIT = 0.99, 1e-8, 100
WALKERS = (1, 64, 1024, 16384)


# ------------------------------------------------------------------------------- values


class Chain(NamedTuple):
    """P_π as successors and their weights, one entry for each distinct successor, and r_π."""

    s_next: Ints  # (S, K)
    p: Floats  # (S, K)
    r: Floats  # (S,)


class Row(NamedTuple):
    """One method on one world: from the model, and from the MDP; None: not done."""

    method: str
    model: Callable[[], Any]
    end_to_end: Callable[[], Any] | None
    scale: float = 1.0  # a call does 1 / scale of the work


def sparse(mdp: MDP, pi: Floats) -> scipy.sparse.csr_matrix:
    """P_π as quantecon likes it; duplicates are added up by the conversion."""
    weight = pi[:, :, None] * mdp.p
    s = np.broadcast_to(np.arange(len(pi))[:, None, None], weight.shape)
    entries = (weight.ravel(), (s.ravel(), mdp.s_next.ravel()))
    return scipy.sparse.coo_matrix(entries, shape=(len(pi), len(pi))).tocsr()


def expected_rewards(mdp: MDP, pi: Floats) -> Floats:
    return (pi[:, :, None] * mdp.p * mdp.r).sum((1, 2))


def chain_of(mdp: MDP, pi: Floats) -> Chain:
    matrix = sparse(mdp, pi)
    most = int(np.diff(matrix.indptr).max())
    s_next, p = np.zeros((len(pi), most), dtype=np.intp), np.zeros((len(pi), most))
    for s in range(len(pi)):
        entries = slice(matrix.indptr[s], matrix.indptr[s + 1])
        count = entries.stop - entries.start
        s_next[s], p[s, :count] = s, matrix.data[entries]
        s_next[s, :count] = matrix.indices[entries]
    return Chain(s_next, p, expected_rewards(mdp, pi))


def bound(chain: Chain, v: Floats) -> float:
    """The largest that max|v - v_π| can be."""
    change = chain.r + GAMMA * (chain.p * v[chain.s_next]).sum(1) - v
    return float(np.abs(change).max() / (1 - GAMMA))


def along(n: int) -> Floats:
    """γ P of a walk along n cells, each way with 1/5, with half of the fifth action's staying."""
    a = np.eye(n, k=1) + np.eye(n, k=-1) + np.eye(n) / 2
    a[0, 0] += 1
    a[-1, -1] += 1
    return GAMMA / 5 * a


def structured(n: int, r: Floats) -> Floats:
    a = along(n)
    return linear.solve_sum(a, a, r.reshape(n, n)).ravel()


def python_sweeps(chain: Chain, sweeps: int | None = None) -> list[float]:
    """Sweeps in lists and loops, until the bound holds or as many as are asked for."""
    rows = [
        (r, [(GAMMA * p, s) for p, s in zip(ps, ss, strict=True) if p])
        for r, ps, ss in zip(*(x.tolist() for x in (chain.r, chain.p, chain.s_next)), strict=True)
    ]
    v = [0.0] * len(rows)
    while True:
        before, v = v, [r + sum(w * v[s] for w, s in row) for r, row in rows]
        change = max(abs(x - y) for x, y in zip(v, before, strict=True))
        if sweeps is not None:
            sweeps -= 1
        if sweeps == 0 or GAMMA * change <= (1 - GAMMA) * TOLERANCE:
            return v


def sweeps_needed(chain: Chain) -> int:
    v, count, change = np.zeros(len(chain.r)), 0, np.inf
    while change * GAMMA > (1 - GAMMA) * TOLERANCE:
        before, v = v, chain.r + GAMMA * (chain.p * v[chain.s_next]).sum(1)
        count, change = count + 1, np.abs(v - before).max()
    return count


def our_rows(n: int, mdp: MDP, pi: Floats, chain: Chain) -> Iterator[Row]:
    weights, one = GAMMA * chain.p, np.ones((n * n, 1))
    s_next, p = chain.s_next[:, None], chain.p[:, None]
    short = MDP(s_next, p, np.ones_like(p) * chain.r[:, None, None], np.zeros(p.shape, dtype=bool))
    yield Row(
        "closed form",
        lambda: linear.solve(chain.s_next, weights, chain.r),
        lambda: closed_form(mdp, pi, GAMMA),
    )
    yield Row(
        "structured grid",
        lambda: structured(n, chain.r),
        lambda: structured(n, expected_rewards(mdp, pi)),
    )
    yield Row(
        "sweeps",
        lambda: iterative_evaluation(short, one, GAMMA, TOLERANCE),
        lambda: iterative_evaluation(mdp, pi, GAMMA, TOLERANCE),
    )


def quantecon_rows(mdp: MDP, pi: Floats) -> Iterator[Row]:
    n_states = len(pi)
    only, states = np.zeros(n_states, dtype=int), np.arange(n_states)

    def dense() -> DiscreteDP:
        p = sparse(mdp, pi).toarray()
        return DiscreteDP(expected_rewards(mdp, pi)[:, None], p[:, None], GAMMA)

    def thin() -> DiscreteDP:
        return DiscreteDP(expected_rewards(mdp, pi), sparse(mdp, pi), GAMMA, states, only)

    for kind, build in (("dense", dense), ("sparse", thin)):
        if kind == "sparse" or n_states <= 2500:
            model = build()
            yield Row(
                f"quantecon, {kind}",
                lambda model=model: model.evaluate_policy(only),
                lambda build=build: build().evaluate_policy(only),
            )


def python_row(n: int, chain: Chain) -> Row:
    if n <= 50:
        return Row("plain Python", lambda: python_sweeps(chain), None)
    measured, needed = 20, sweeps_needed(chain)
    note = f"plain Python ({measured} of {needed} sweeps, scaled)"
    return Row(note, lambda: python_sweeps(chain, measured), None, needed / measured)


def evaluate(n: int, rounds: int) -> dict[str, Any]:
    """All methods on one size, with the ratios to quantecon's faster model."""
    mdp = grid_mdp(world_of(n))
    pi = uniform_policy(mdp)
    chain = chain_of(mdp, pi)
    rows = (*our_rows(n, mdp, pi, chain), *quantecon_rows(mdp, pi), python_row(n, chain))
    table: dict[str, dict[str, Any]] = {row.method: {} for row in rows}
    for way in ("model", "end_to_end"):
        runs = {row.method: f for row in rows if (f := getattr(row, way)) is not None}
        scale = {row.method: row.scale for row in rows}
        seconds = {m: scale[m] * x for m, x in race(runs, rounds).items()}
        peers = [x for m, x in seconds.items() if m.startswith("quantecon")]
        best = min(peers, key=lambda x: float(np.median(x)))
        for method, x in seconds.items():
            cell = {"seconds": float(np.median(x)), "over_quantecon": ratios(x, best)}
            if scale[method] == 1:  # a whole run, whose values can be checked
                cell["error_at_most"] = bound(chain, np.asarray(runs[method]()))
                assert cell["error_at_most"] <= TOLERANCE, (method, cell)
            table[method][way] = cell
            print(n, way, method, cell, flush=True)
    return table


# ------------------------------------------------------------------------------- walks


Walk = tuple[Callable[[], Any], int]  # what to run, and how many steps that takes


def our_walk(mdp: MDP, start: Floats, walkers: int) -> Walk:
    """Walkers that start as the environment does."""
    rng = np.random.default_rng(1)
    home = rng.choice(len(start), walkers, p=start)
    steps, pi = max(50, min(20_000, 2_000_000 // walkers)), uniform_policy(mdp)
    return lambda: walk(mdp, pi, home, steps=steps, rng=rng, limit=LIMIT), walkers * steps


def plain_loop(env: gymnasium.Env, steps: int = 50_000) -> Walk:
    """The usual loop; the actions are drawn beforehand."""
    actions = np.random.default_rng(1).integers(env.action_space.n, size=steps).tolist()

    def loop() -> None:
        env.reset(seed=1)
        for a in actions:
            _, _, terminated, truncated, _ = env.step(a)
            if terminated or truncated:
                env.reset()

    return loop, steps


def vector_loop(family: str, walkers: int, steps: int) -> Walk:
    """gymnasium's SyncVectorEnv, which resets by itself."""
    envs = gymnasium.vector.SyncVectorEnv([lambda: made(family)] * walkers)
    n_actions = envs.single_action_space.n
    actions = np.random.default_rng(1).integers(n_actions, size=(steps, walkers))

    def loop() -> None:
        envs.reset(seed=1)
        for a in actions:
            envs.step(a)

    return loop, walkers * steps


def made(family: str) -> gymnasium.Env:
    return gym.make(family, max_episode_steps=LIMIT)


def walks(family: str, rounds: int) -> dict[str, Any]:
    """Steps per second, and how many times that of the plain loop."""
    mdp, start = gym.model_of(made(family))
    walkers = {f"ours, {count} walkers": our_walk(mdp, start, count) for count in WALKERS}
    walkers["gymnasium loop"] = plain_loop(made(family))
    for count, steps in ((64, 400), (1024, 25)):
        walkers[f"gymnasium SyncVectorEnv, {count}"] = vector_loop(family, count, steps)
    seconds = race({name: run for name, (run, _) in walkers.items()}, rounds)
    rates = {name: steps / seconds[name] for name, (_, steps) in walkers.items()}
    base = rates["gymnasium loop"]
    table = {
        name: {"steps_per_second": float(np.median(x)), "times_the_loop": quartiles(x / base)}
        for name, x in rates.items()
    }
    print(family, *table.items(), sep="\n  ", flush=True)
    return table


if __name__ == "__main__":
    content = results.circumstances("numpy", "scipy", "numba", "quantecon", "gymnasium")
    content |= {"gamma": GAMMA, "tolerance": TOLERANCE, "blas_threads": 1, "load": os.getloadavg()}
    sizes = {5: 51, 50: 11, 200: 7}  # rounds: fewer where a round takes seconds
    content["values"] = rounded({str(n): evaluate(n, rounds) for n, rounds in sizes.items()})
    content["walks"] = rounded({f: walks(f, 15) for f in ("rlcourse/GridWorld", "CliffWalking")})
    content["load"] = [content["load"], os.getloadavg()]
    print(results.write("benchmarks/gridworld", content))
