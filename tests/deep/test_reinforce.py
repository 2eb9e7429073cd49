"""REINFORCE with a linear softmax policy, against a loop of one learner and a published figure."""

import numpy as np
import pytest

from rlcourse.deep.policies import softmax_policy, softmax_score
from rlcourse.deep.policy_worlds import hike, short_corridor
from rlcourse.deep.reinforce import reinforce
from rlcourse.tabular.environment import environment, sample_episodes

CORRIDOR, HIKE = short_corridor(), hike()


def by_loop(env, x, theta, x_v, episodes, alpha, alpha_w, gamma, rng):
    """One learner, step by step, as Sutton & Barto print it (p. 330)."""
    w = np.zeros(x_v.shape[1])
    for _ in range(episodes):
        one = sample_episodes(env, softmax_policy(x, theta[None]), 1, rng=rng)
        s, a, r = one.s[:, 0], one.a[:, 0], one.r[:, 0]
        for t in range(len(r)):
            g = sum(gamma ** (k - t) * r[k] for k in range(t, len(r)))
            delta = g - x_v[s[t]] @ w
            w = w + alpha_w * delta * x_v[s[t]]
            score = softmax_score(x, softmax_policy(x, theta))
            theta = theta + alpha * gamma**t * delta * score[s[t], a[t]]
    return theta, w


@pytest.mark.parametrize("alpha_w", [0.0, 0.05])
def test_a_learner_does_what_the_printed_algorithm_does(alpha_w):
    env, x_v = environment(HIKE.mdp, HIKE.start), np.eye(12)
    theta = np.array([0.3, -0.2])
    rules = {"episodes": 7, "alpha": 0.02, "gamma": 0.9, "alpha_w": alpha_w}
    ours = reinforce(env, HIKE.x, theta[None], x_v=x_v, rng=np.random.default_rng(0), **rules)
    theirs = by_loop(env, HIKE.x, theta, x_v, rng=np.random.default_rng(0), **rules)
    assert np.allclose(ours.theta[0], theirs[0])
    assert np.allclose(ours.w[0], theirs[1])
    assert (alpha_w == 0) == (ours.w == 0).all()


def test_a_learner_with_step_size_0_learns_nothing_beside_one_that_does():
    env = environment(CORRIDOR.mdp, CORRIDOR.start)
    theta = np.zeros((2, 2))
    found = reinforce(
        env, CORRIDOR.x, theta, episodes=50, alpha=[0.0, 2e-3], gamma=1.0,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert (found.theta[0] == 0).all()
    assert (found.theta[1] != 0).all()
    assert (theta == 0).all()
    assert found.returns.shape == (50, 2)
    assert (found.returns < 0).all()


def test_the_baseline_makes_the_corridors_learners_faster():
    """Figure 13.2, at a tenth of its length."""
    env = environment(CORRIDOR.mdp, CORRIDOR.start, limit=1000)
    alpha, alpha_w = np.repeat([2.0**-13, 2.0**-9], 25), np.repeat([0.0, 2.0**-6], 25)
    found = reinforce(
        env, CORRIDOR.x, np.tile([1.47, -1.47], (50, 1)), episodes=100, alpha=alpha, gamma=1.0,
        alpha_w=alpha_w, rng=np.random.default_rng(2),
    )  # fmt: skip
    late = found.returns[-20:].reshape(20, 2, 25).mean((0, 2))
    assert late[1] > -15 > late[0]


def test_parameters_that_explode_are_refused():
    env = environment(HIKE.mdp, HIKE.start)
    theta = np.zeros((2, 2))
    with pytest.raises(ValueError, match="alpha must be smaller"):
        reinforce(
            env, HIKE.x, theta, episodes=9, alpha=[0.0, 1e308], gamma=1.0,
            rng=np.random.default_rng(3),
        )  # fmt: skip
    with pytest.raises(ValueError, match="theta must have shape"):
        reinforce(
            env, HIKE.x, theta[0], episodes=9, alpha=0.1, gamma=1.0, rng=np.random.default_rng(3)
        )
