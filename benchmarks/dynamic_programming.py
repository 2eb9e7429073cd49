"""Optimal values of grid worlds and of a random MDP, to a true error of 1e-8, side by side.

    .venv-peers/bin/python benchmarks/dynamic_programming.py [share]

writes src/rlcourse/results/benchmarks/dynamic_programming.json (requirements-peers.txt says what it
needs), in some ten minutes; a share of 0.2 runs a fifth of the rounds, to try it out. Each method
is asked for 1e-8 in its own words: a tolerance, or an epsilon (quantecon: values within half of it;
pymdptoolbox: an epsilon-optimal policy). Whether the values keep it is told by the Bellman
residual: the true error is at most max|T v - v| / (1 - γ). A method that didn't keep it stays in
the table, with `kept` false, and is no measure for the others.
"model" starts from the form that a library likes best, "end_to_end" from our MDP (the stencil: from
the GridWorld). `true_error` compares with our policy iteration, which is checked to 1e-9 in turn.
`j` is the number of sweeps between two improvements, the fastest of a few.
`stopped` is false where a method ran into its limit of iterations. Where several actions are
equally good, argmax follows the last digits, and policy iteration without a rule for ties may flip
between policies for ever; quantecon's gets the least limit, of a few, with which its values are
right. pymdptoolbox sees up to 2500 states, and up to 1000 in its policy iteration.
`timing` says how they race. One BLAS thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any, NamedTuple

import mdptoolbox.mdp
import numpy as np
import scipy.sparse
from quantecon.markov import DiscreteDP
from timing import race, ratios, rounded, world_of

from rlcourse import results
from rlcourse.tabular.dynamic_programming import (
    grid_values,
    policy_iteration,
    truncated_policy_iteration,
)
from rlcourse.tabular.gridworld import GridWorld, grid_mdp
from rlcourse.tabular.mdp import MDP, Floats, bellman_optimality, finite_mdp

GAMMAS, TOLERANCE = (0.9, 0.99), 1e-8
SWEEPS = (1, 2, 5, 10, 20, 50, 100)
LIMITS = (250, 300, 350, 400, 500, 1000)  # quantecon's own is 250
warnings.filterwarnings("ignore", category=scipy.sparse.SparseEfficiencyWarning)


class Found(NamedTuple):
    """What a method answered: values (S,), how much work it was, whether it stopped by itself."""

    v: Floats
    work: int
    stopped: bool = True


class Row(NamedTuple):
    """One method on one MDP: from its library's own model, and from ours."""

    method: str
    model: Callable[[], Found]
    end_to_end: Callable[[], Found]
    j: int | None = None


def fastest(run: Callable[[int], Found]) -> int:
    """The number of sweeps between improvements that takes the least time, in three calls each."""

    def seconds(j: int) -> float:
        began = time.process_time()  # which other work doesn't disturb
        run(j)
        return time.process_time() - began

    return min(SWEEPS, key=lambda j: min(seconds(j) for _ in range(3)))


def error_at_most(mdp: MDP, gamma: float, v: Floats) -> float:
    """The largest that max|v - v*| can be."""
    return float(np.abs(bellman_optimality(mdp, v, gamma) - v).max() / (1 - gamma))


# ------------------------------------------------------------------------------- ours


def our_rows(mdp: MDP, gamma: float, world: GridWorld | None) -> Iterator[Row]:
    def exact() -> Found:
        v, _, policies = policy_iteration(mdp, gamma)
        return Found(v, len(policies))

    def truncated(j: int) -> Found:
        v, sweeps = truncated_policy_iteration(mdp, gamma, j, TOLERANCE)
        return Found(v, (sweeps - 1) // j + 1)

    yield Row("policy iteration", exact, exact)
    j = fastest(truncated)
    yield Row("truncated policy iteration", lambda: truncated(j), lambda: truncated(j), j)
    if world is not None:

        def shifted() -> Found:
            return Found(*grid_values(world, gamma, TOLERANCE))

        yield Row("grid stencil", shifted, shifted)


# ------------------------------------------------------------------------------- quantecon


def transitions(mdp: MDP) -> scipy.sparse.csr_matrix:
    """The probabilities of the next state, a row for each (s, a): (S A, S)."""
    n_states, n_actions, n_outcomes = mdp.p.shape
    row = np.arange(n_states * n_actions).repeat(n_outcomes)
    entries = (mdp.p.ravel(), (row, mdp.s_next.ravel()))
    return scipy.sparse.coo_matrix(entries, shape=(n_states * n_actions, n_states)).tocsr()


def expected_rewards(mdp: MDP) -> Floats:
    return (mdp.p * mdp.r).sum(-1)


def discrete_dp(mdp: MDP, gamma: float) -> DiscreteDP:
    """quantecon's model: dense for few states, else sparse. Episodes never end here."""
    assert not mdp.terminated.any()
    n_states, n_actions, _ = mdp.p.shape
    r, q = expected_rewards(mdp), transitions(mdp)
    if n_states <= 100:
        return DiscreteDP(r, q.toarray().reshape(n_states, n_actions, n_states), gamma)
    s, a = np.divmod(np.arange(r.size), n_actions)
    return DiscreteDP(r.ravel(), q, gamma, s, a)


def quantecon_rows(mdp: MDP, gamma: float) -> Iterator[Row]:
    built = discrete_dp(mdp, gamma)

    def solved(model: DiscreteDP, method: str, **options: Any) -> Found:
        x = model.solve(method=method, epsilon=2 * TOLERANCE, **options)
        return Found(x.v, x.num_iter, x.num_iter < x.max_iter)

    def row(method: str, j: int | None = None, **options: Any) -> Row:
        return Row(
            f"quantecon, {method.replace('_', ' ')}",
            lambda: solved(built, method, **options),
            lambda: solved(discrete_dp(mdp, gamma), method, **options),
            j,
        )

    def exact(limit: int) -> Row:
        return row("policy_iteration", max_iter=limit)

    def modified(j: int) -> Row:
        return row("modified_policy_iteration", j, max_iter=100_000, k=j - 1)

    right = (x for x in LIMITS if error_at_most(mdp, gamma, exact(x).model().v) <= TOLERANCE)
    yield exact(next(right, LIMITS[-1]))
    yield row("value_iteration", max_iter=100_000)
    yield modified(fastest(lambda j: modified(j).model()))


# ------------------------------------------------------------------------------- pymdptoolbox


def toolbox_rows(mdp: MDP, gamma: float) -> Iterator[Row]:
    n_states, n_actions, _ = mdp.p.shape
    methods = {
        "value iteration": (mdptoolbox.mdp.ValueIteration, {"epsilon": TOLERANCE}),
        "modified policy iteration": (
            mdptoolbox.mdp.PolicyIterationModified,
            {"epsilon": TOLERANCE},
        ),
        "policy iteration": (mdptoolbox.mdp.PolicyIteration, {}),
    }

    def build(method: str) -> mdptoolbox.mdp.MDP:
        q, (solver, options) = transitions(mdp), methods[method]
        p = [q[a::n_actions] for a in range(n_actions)]
        if n_states <= 100:
            p = np.array([x.toarray() for x in p])
        return solver(p, expected_rewards(mdp), gamma, **options)

    def solved(built: mdptoolbox.mdp.MDP) -> Found:
        x = copy.copy(built)
        x.run()
        limited = not isinstance(x, mdptoolbox.mdp.PolicyIterationModified)  # there: sweeps each
        return Found(np.array(x.V), x.iter, not limited or x.iter < x.max_iter)

    for method in methods:
        if n_states <= (1000 if method == "policy iteration" else 2500):
            built = build(method)
            yield Row(
                f"pymdptoolbox, {method}",
                lambda built=built: solved(built),
                lambda method=method: solved(build(method)),
            )


# ------------------------------------------------------------------------------- the race


def compare(mdp: MDP, gamma: float, rounds: int, world: GridWorld | None = None) -> dict[str, Any]:
    """All methods on one MDP, with the ratios to quantecon's fastest one."""
    rows = [*our_rows(mdp, gamma, world), *quantecon_rows(mdp, gamma), *toolbox_rows(mdp, gamma)]
    exact = policy_iteration(mdp, gamma).v
    assert error_at_most(mdp, gamma, exact) <= TOLERANCE / 10
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        v, work, stopped = row.model()
        bound = error_at_most(mdp, gamma, v)
        table[row.method] = {
            "error_at_most": bound,
            "true_error": float(np.abs(v - exact).max()),
            "kept": bound <= TOLERANCE,
            "work": work,
            "stopped": stopped,
        } | ({} if row.j is None else {"j": row.j})
    for way in ("model", "end_to_end"):
        seconds = race({row.method: getattr(row, way) for row in rows}, rounds)
        peers = [m for m in seconds if m.startswith("quantecon") and table[m]["kept"]]
        best = min((seconds[m] for m in peers), key=lambda x: float(np.median(x)))
        for method, x in seconds.items():
            table[method][way] = {
                "seconds": float(np.median(x)),
                "over_quantecon": ratios(x, best),
            }
    for method, row in table.items():
        print(f"{len(mdp.p)} states, gamma {gamma}: {method} {row}", flush=True)
        assert row["kept"] or method.startswith("pymdptoolbox"), method
    return rounded(table)


def random_mdp(n_states: int = 1000, n_actions: int = 5, n_outcomes: int = 5) -> MDP:
    """A general MDP: each action has five successors from anywhere, drawn with seed 1."""
    rng, shape = np.random.default_rng(1), (n_states, n_actions, n_outcomes)
    s_next, r = rng.integers(n_states, size=shape), rng.normal(size=shape)
    return finite_mdp(s_next, rng.dirichlet(np.ones(n_outcomes), shape[:2]), r)


if __name__ == "__main__":
    content = results.circumstances("numpy", "scipy", "numba", "quantecon")
    content["versions"]["pymdptoolbox"] = metadata.version("pymdptoolbox")
    content |= {"tolerance": TOLERANCE, "blas_threads": 1, "load": os.getloadavg()}
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    sizes = {n: max(3, round(share * rounds)) for n, rounds in {5: 51, 50: 11, 200: 7}.items()}
    content["worlds"] = {
        str(gamma): {
            str(n): compare(grid_mdp(world_of(n)), gamma, rounds, world_of(n))
            for n, rounds in sizes.items()
        }
        for gamma in GAMMAS
    }
    content["random"] = {str(g): compare(random_mdp(), g, sizes[50]) for g in GAMMAS}
    content["load"] = [content["load"], os.getloadavg()]
    print(results.write("benchmarks/dynamic_programming", content))
