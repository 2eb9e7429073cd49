"""Optimal values and policies against quantecon's and pymdptoolbox's, right ones and wrong ones."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlcourse import gym
from rlcourse.tabular.dynamic_programming import (
    grid_values,
    macqueen_bounds,
    policy_iteration,
    truncated_policy_iteration,
)
from rlcourse.tabular.gridworld import SUTTON_BARTO_3_5, ZHAO, GridWorld, grid_mdp
from rlcourse.tabular.mdp import (
    MDP,
    action_values,
    bellman_optimality,
    finite_mdp,
    greedy_sets,
)

pytestmark = pytest.mark.peers
Floats = NDArray[np.float64]
Model = Callable[[MDP, float], Any]


def random_mdp(seed: int) -> MDP:
    rng = np.random.default_rng(seed)
    shape = (60, 4, 3)
    s_next, r = rng.integers(60, size=shape), rng.normal(size=shape)
    return finite_mdp(s_next, rng.dirichlet(np.ones(3), shape[:2]), r, rng.random(shape) < 0.1)


GRIDS = {
    "Zhao's": ZHAO,
    "a slippery one": replace(ZHAO, slip=0.3, terminal=True, r_forbidden=-10.0),
    "a large one": GridWorld(12, 9, forbidden=(20, 31), target=(100,), slip=0.1, stay=False),
}
MDPS = {
    **{name: grid_mdp(world) for name, world in GRIDS.items()},
    "one with jumps": grid_mdp(SUTTON_BARTO_3_5),
    "a random one": random_mdp(0),
    "another random one": random_mdp(1),
    "FrozenLake": gym.model_of(gym.make("FrozenLake")).mdp,
    "Taxi": gym.model_of(gym.make("Taxi")).mdp,
}


@pytest.mark.parametrize("mdp", MDPS.values(), ids=MDPS)
@pytest.mark.parametrize("gamma", [0.5, 0.95])
def test_optimal_values_and_policies_are_quantecons(
    mdp: MDP, gamma: float, discrete_dp: Model
) -> None:
    model = discrete_dp(mdp, gamma)
    exact = model.solve(method="policy_iteration")
    modified = model.solve(method="modified_policy_iteration", epsilon=1e-9, max_iter=10_000)
    found = policy_iteration(mdp, gamma)
    np.testing.assert_allclose(found.v, exact.v[:-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.v, modified.v[:-1], rtol=0, atol=1e-9)
    truncated = truncated_policy_iteration(mdp, gamma, 5, 1e-9).v
    np.testing.assert_allclose(truncated, exact.v[:-1], rtol=0, atol=2e-9)
    best = greedy_sets(action_values(mdp, found.v, gamma), 1e-8)
    for sigma in (exact.sigma, modified.sigma):
        assert best[np.arange(len(best)), sigma[:-1]].all()


@pytest.mark.parametrize("world", GRIDS.values(), ids=GRIDS)
def test_the_values_of_shifted_arrays_are_quantecons(world: GridWorld, discrete_dp: Model) -> None:
    exact = discrete_dp(grid_mdp(world), 0.95).solve(method="policy_iteration")
    np.testing.assert_allclose(grid_values(world, 0.95).v, exact.v[:-1], rtol=0, atol=2e-9)


def toolbox(name: str, mdp: MDP, gamma: float, **options: Any) -> Any:
    """A solver of pymdptoolbox that has run; the MDP must not end."""
    from mdptoolbox import mdp as solvers

    n_states, n_actions, n_outcomes = mdp.p.shape
    p = np.zeros((n_actions, n_states, n_states))
    for s, a, k in np.ndindex(n_states, n_actions, n_outcomes):
        p[a, s, mdp.s_next[s, a, k]] += mdp.p[s, a, k]
    solver = getattr(solvers, name)(p, (mdp.p * mdp.r).sum(-1), gamma, **options)
    solver.run()
    return solver


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_pymdptoolboxs_value_iteration_is_off_by_the_change_that_all_states_share(
    gamma: float,
) -> None:
    """It stops when all values change alike, γ^k each in sweep k + 1, and leaves out all the rest.

    In Zhao's world that is after 7 sweeps: all values are too low by γ⁷ / (1 - γ), 4.8 of 10.
    """
    mdp = grid_mdp(ZHAO)
    best = policy_iteration(mdp, gamma).v
    solver = toolbox("ValueIteration", mdp, gamma, epsilon=1e-8)
    v = np.array(solver.V)
    np.testing.assert_allclose(best - v, gamma**solver.iter / (1 - gamma), atol=1e-9)
    assert np.abs(best - v).max() > 4.7
    # MacQueen's bounds make the same sweeps right
    low, high = macqueen_bounds(v, bellman_optimality(mdp, v, gamma), gamma, ends=False)
    np.testing.assert_allclose(low, best, atol=1e-8)
    np.testing.assert_allclose(high, best, atol=1e-8)
    # and its policy is right: adding the same number to all values changes no best action
    sets = greedy_sets(action_values(mdp, best, gamma), 1e-8)
    assert sets[np.arange(25), list(solver.policy)].all()


def test_pymdptoolboxs_modified_policy_iteration_is_off_too() -> None:
    for mdp in (grid_mdp(ZHAO), grid_mdp(replace(ZHAO, slip=0.2))):
        best = policy_iteration(mdp, 0.9).v
        v = np.array(toolbox("PolicyIterationModified", mdp, 0.9, epsilon=1e-8).V)
        assert np.abs(v - best).max() > 1e-3
        low, high = macqueen_bounds(v, bellman_optimality(mdp, v, 0.9), 0.9, ends=False)
        np.testing.assert_allclose((low + high) / 2, best, atol=1e-7)


def test_pymdptoolboxs_policy_iteration_has_our_values() -> None:
    mdp = random_mdp(2)._replace(terminated=np.zeros((60, 4, 3), dtype=np.bool_))
    solver = toolbox("PolicyIteration", mdp, 0.95)
    np.testing.assert_allclose(np.array(solver.V), policy_iteration(mdp, 0.95).v, atol=1e-10)


def test_policy_iteration_without_a_rule_for_ties_may_flip_for_ever(discrete_dp: Model) -> None:
    """On slippery floors the others run into whatever limit is set; their values are right."""
    limit, flips = 60, {"quantecon": 0, "pymdptoolbox": 0}
    for target, slip in product(range(16), (0.1, 0.2)):
        mdp = grid_mdp(GridWorld(4, 4, target=(target,), slip=slip))
        found = policy_iteration(mdp, 0.9)
        assert len(found.policies) < 10
        theirs = discrete_dp(mdp, 0.9).solve(method="policy_iteration", max_iter=limit)
        solver = toolbox("PolicyIteration", mdp, 0.9, max_iter=limit)
        np.testing.assert_allclose(theirs.v[:-1], found.v, atol=1e-9)
        np.testing.assert_allclose(np.array(solver.V), found.v, atol=1e-9)
        flips["quantecon"] += theirs.num_iter == limit
        flips["pymdptoolbox"] += solver.iter == limit
    assert all(flips.values()), flips
