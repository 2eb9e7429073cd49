"""Our values against quantecon's, on models that each library builds for itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlcourse import gym
from rlcourse.tabular.gridworld import (
    SUTTON_BARTO_3_5,
    ZHAO,
    GridWorld,
    closed_form,
    grid_mdp,
    iterative_evaluation,
    value_iteration,
)
from rlcourse.tabular.mdp import (
    MDP,
    action_values,
    deterministic_policy,
    greedy_sets,
    policy_model,
    uniform_policy,
)

pytestmark = pytest.mark.peers
Floats = NDArray[np.float64]
Model = Callable[[MDP, float], Any]

WORLDS = {
    "Zhao's": grid_mdp(ZHAO),
    "Zhao's with a dear swamp": grid_mdp(replace(ZHAO, r_forbidden=-10.0)),
    "a slippery one": grid_mdp(replace(ZHAO, slip=0.3, terminal=True)),
    "one with jumps": grid_mdp(SUTTON_BARTO_3_5),
    "a large one": grid_mdp(GridWorld(12, 9, forbidden=(20, 31), target=(100,), slip=0.1)),
    "FrozenLake": gym.model_of(gym.make("FrozenLake")).mdp,
    "CliffWalking": gym.model_of(gym.make("CliffWalking")).mdp,
}
worlds = pytest.mark.parametrize("mdp", WORLDS.values(), ids=WORLDS)


@worlds
@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.999])
def test_the_values_of_deterministic_policies_are_quantecons(
    mdp: MDP, gamma: float, discrete_dp: Model
) -> None:
    model = discrete_dp(mdp, gamma)
    rng = np.random.default_rng(1)
    for a in rng.integers(mdp.p.shape[1], size=(5, len(mdp.p))):
        expected = model.evaluate_policy(np.append(a, 0))[:-1]
        v = closed_form(mdp, deterministic_policy(a, mdp.p.shape[1]), gamma)
        np.testing.assert_allclose(v, expected, rtol=1e-9, atol=1e-9)


@worlds
def test_the_values_of_the_uniform_policy_are_quantecons(mdp: MDP, discrete_dp: Model) -> None:
    """A model of one action, made of quantecon's own mean over the actions."""
    from quantecon.markov import DiscreteDP

    pi, gamma = uniform_policy(mdp), 0.95
    whole = discrete_dp(mdp, gamma)
    one = DiscreteDP(whole.R.mean(1, keepdims=True), whole.Q.mean(1, keepdims=True), gamma)
    expected = one.evaluate_policy(np.zeros(len(mdp.p) + 1, dtype=int))[:-1]
    np.testing.assert_allclose(closed_form(mdp, pi, gamma), expected, rtol=0, atol=1e-9)
    swept = iterative_evaluation(mdp, pi, gamma, 1e-8)
    assert np.abs(swept - expected).max() <= 1e-8
    model = policy_model(mdp, pi)
    np.testing.assert_allclose(model.p, one.Q[:-1, 0, :-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.r, one.R[:-1, 0], rtol=0, atol=1e-12)


@worlds
@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_the_best_values_are_those_of_quantecons_policy_iteration(
    mdp: MDP, gamma: float, discrete_dp: Model
) -> None:
    found = discrete_dp(mdp, gamma).solve(method="policy_iteration")
    solution = value_iteration(mdp, gamma, 1e-9)
    assert np.abs(solution.v - found.v[:-1]).max() <= 1e-9 + 1e-12 * np.abs(found.v).max()
    best = greedy_sets(action_values(mdp, solution.v, gamma), 1e-7)
    assert best[np.arange(len(best)), found.sigma[:-1]].all()
