"""Mean and variance of generalized advantages: against samples, and in limits that are known."""

import numpy as np
import pytest

from rlcourse.deep.gae_moments import gae_moments
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.policies import softmax_policy
from rlcourse.deep.policy_worlds import hike
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.gridworld import closed_form

WORLD = hike()
PI = softmax_policy(WORLD.x, np.array([0.7, 0.2]))
V = closed_form(WORLD.mdp, PI, WORLD.gamma)
V_HAT = V + np.random.default_rng(0).normal(size=len(V))


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_moments_on_a_hike_are_those_of_sampled_episodes(lam):
    n = 40_000
    rng = np.random.default_rng(1)
    s, a = rng.integers(12, size=n), rng.integers(3, size=n)
    x = sample_episodes(environment(WORLD.mdp, 0), PI, n, rng=rng, s=s, a=a)
    v = np.where(x.alive, V_HAT[x.s], 0.0)
    v_next = np.concatenate([v[1:], np.zeros((1, n))])
    ends = x.alive & ~np.concatenate([x.alive[1:], np.zeros((1, n), bool)])
    found = generalized_advantage(x.r, v, v_next, ends, 0 * ends, WORLD.gamma, lam)[0]
    exact = gae_moments(WORLD.mdp, PI, V_HAT, WORLD.gamma, lam)
    for at in np.ndindex(12, 3):
        mine = found[(s == at[0]) & (a == at[1])]
        if exact.variance[at] < 1e-12:
            assert np.allclose(mine, exact.mean[at])
            continue
        spread = mine.std(ddof=1)
        assert abs(mine.mean() - exact.mean[at]) < 4.5 * spread / np.sqrt(len(mine))
        fourth = ((mine - mine.mean()) ** 4).mean()
        error = np.sqrt((fourth - spread**4) / len(mine))
        assert abs(spread**2 - exact.variance[at]) < 4.5 * error + 1e-9


def test_an_exact_critic_has_no_bias_at_any_lambda():
    lam = np.array([0.0, 0.5, 1.0])
    found = gae_moments(WORLD.mdp, PI, V, WORLD.gamma, lam)
    assert found.mean.shape == (3, 12, 3)
    assert np.allclose(found.mean, found.exact)
    assert np.allclose((PI * found.exact).sum(-1), 0)


def test_with_lambda_1_only_the_value_of_the_state_itself_is_wrong():
    found = gae_moments(WORLD.mdp, PI, V_HAT, WORLD.gamma, 1.0)
    assert np.allclose(found.mean - found.exact, (V - V_HAT)[:, None])


def test_lambda_beyond_1_is_refused():
    with pytest.raises(ValueError, match="lam"):
        gae_moments(WORLD.mdp, PI, V, WORLD.gamma, [0.5, 1.5])


def test_the_playground_says_the_same_of_its_seven_cells():
    from rlcourse.playgrounds import actor_critic as playground

    w = playground.Settings()
    rows = playground.moments(w, np.array([0.0, 0.9, 1.0]))
    v = closed_form(playground.ROW, playground.BY_CHANCE, w.gamma)
    for i, lam in enumerate((0.0, 0.9, 1.0)):
        found = gae_moments(playground.ROW, playground.BY_CHANCE, v + w.error, w.gamma, lam)
        mean = np.diff(found.mean)[playground.MIDDLE, 0] / 2
        assert np.isclose(rows.mean[i], mean)
        square = found.mean[playground.MIDDLE] ** 2 + found.variance[playground.MIDDLE]
        second = square.mean()  # left and right are equally likely
        assert np.isclose(rows.variance[i], second - mean**2)
