"""How learners act, and what their log says."""

import numpy as np
import pytest

from rlcourse.tabular import learning
from rlcourse.tabular import temporal_difference as td
from rlcourse.tabular.environment import environment
from rlcourse.tabular.mdp import deterministic_mdp
from rlcourse.tabular.monte_carlo import epsilon_greedy

ENV = environment(deterministic_mdp([[0] * 4], 0.0, True), 0)
Q = np.array([1.0, 3.0, 0.0, 3.0])


def shares(how, q, n=200_000):
    rng = np.random.default_rng(0)
    a = learning.act(how, np.tile(q[:, None], n), np.zeros(n, dtype=int), rng=rng)
    return np.bincount(a, minlength=len(q)) / n


@pytest.mark.parametrize("ties", ["uniform", "first"])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("q", [Q, 0 * Q])
def test_actions_are_drawn_from_the_epsilon_greedy_policy(ties, epsilon, q):
    how = learning.check_behaviour(ENV, epsilon, ties, None, None, must_cover=False)
    pi = epsilon_greedy(q, epsilon, ties)
    spread = np.sqrt(pi * (1 - pi) / 200_000)
    assert (np.abs(shares(how, q) - pi) <= 5 * spread).all()


def test_an_action_that_is_not_available_is_never_taken():
    available = np.array([[True, False, True, True]])
    how = learning.check_behaviour(ENV, 0.6, "uniform", available, None, must_cover=False)
    q = np.where(available[0], Q, learning.NEVER)
    pi = np.array([0.2, 0, 0.2, 0.6])
    spread = np.sqrt(pi * (1 - pi) / 200_000)
    assert (np.abs(shares(how, q) - pi) <= 5 * spread).all()
    explorers = learning.exploring_policy(how, np.zeros(1, dtype=int), 4)
    np.testing.assert_allclose(explorers, [[1 / 3, 0, 1 / 3, 1 / 3]])


def test_a_fixed_behaviour_is_followed_whatever_the_values_are():
    b = np.array([[0.1, 0.2, 0.3, 0.4]])
    how = learning.check_behaviour(ENV, 0.0, "uniform", None, b, must_cover=True)
    spread = np.sqrt(b * (1 - b) / 200_000)
    assert (np.abs(shares(how, Q) - b) <= 5 * spread).all()


BAD = {
    r"epsilon must lie in \[0, 1\], got -0.1": {"epsilon": -0.1},
    r"epsilon must lie in \[0, 1\], got 1.5": {"epsilon": 1.5},
    r"alpha must lie in \(0, 1\], got 0.0": {"alpha": 0.0},
    r"alpha must lie in \(0, 1\], got 1.01": {"alpha": [0.5, 1.01, 0.5]},
    r"alpha must broadcast to shape \(3,\), got \(2,\)": {"alpha": [0.5, 0.5]},
    r"gamma must lie in \[0, 1\], got 1.1": {"gamma": 1.1},
    "episodes must be an integer of at least 1, got 0": {"episodes": 0},
    "learners must be an integer of at least 1, got 2.5": {"learners": 2.5},
    "ties must be 'uniform' or 'first', got 'last'": {"ties": "last"},
    "method must be one of .*, got 'sarsa_max'": {"method": "sarsa_max"},
    "q must be finite, got nan": {"q": np.nan},
    r"q must broadcast to shape \(1, 3, 1, 4\), got \(5,\)": {"q": np.zeros(5)},
    r"available must have shape \(1, 4\), got \(4,\)": {"available": np.ones(4, dtype=bool)},
    "available must offer an action in each state, got none in 0": {
        "available": np.zeros((1, 4), dtype=bool)
    },
    "behaviour must sum to 1 in each row, got 0.9": {"behaviour": np.full((1, 4), 0.225)},
    "behaviour must cover the target policy.*in state 0 it never takes action 2": {
        "behaviour": np.array([[0.5, 0.3, 0.0, 0.2]])
    },
    "behaviour must take available actions, got action 1 in state 0": {
        "behaviour": np.full((1, 4), 0.25),
        "available": np.array([[True, False, True, True]]),
    },
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_refused_with_its_name(words):
    good = dict(method="q_learning", episodes=1, learners=3, alpha=0.5, gamma=0.9, epsilon=0.1)
    with pytest.raises(ValueError, match=words):
        td.learn_q(ENV, rng=np.random.default_rng(0), **good | BAD[words])


def test_the_other_learners_refuse_the_same():
    rng, good = np.random.default_rng(0), dict(episodes=2, learners=3, alpha=0.5, gamma=0.9)
    for name, x in (("alpha", 2.0), ("n", 0), ("episodes", -1), ("gamma", -1.0)):
        with pytest.raises(ValueError, match=name):
            td.learn_v(ENV, np.full((1, 4), 0.25), rng=rng, **good | {name: x})
        with pytest.raises(ValueError, match=name):
            td.learn_n_step_sarsa(ENV, rng=rng, **good | {"n": 2, "epsilon": 0.1, name: x})
    with pytest.raises(ValueError, match="pi must sum to 1"):
        td.learn_v(ENV, np.full((1, 4), 0.2), rng=rng, **good)


def test_sarsa_may_learn_of_a_policy_that_leaves_actions_out():
    b = np.array([[1.0, 0.0, 0.0, 0.0]])
    x = td.learn_q(
        ENV, "sarsa", episodes=3, learners=2, alpha=1.0, gamma=0.9, epsilon=0.0, behaviour=b,
        q=5.0, rng=np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_array_equal(x.q, np.tile([0.0, 5, 5, 5], (2, 1, 1)))
