"""The steering line's exact gradient, against finite differences and against sampled episodes."""

import numpy as np

from rlcourse.deep.policies import gaussian_log_prob, gaussian_score
from rlcourse.deep.policy_worlds import steering

RULES = {"steps": 6, "gamma": 0.9}


def test_the_steering_gradient_is_that_of_finite_differences():
    k, log_std, h = np.array([-0.3, 0.0, 0.6, 1.7]), np.array([-1.0, 0.2, 0.0, -2.0]), 1e-6
    exact = steering(k, log_std, **RULES)
    by_k = steering(k + h, log_std, **RULES).objective - steering(k - h, log_std, **RULES).objective
    by_l = steering(k, log_std + h, **RULES).objective - steering(k, log_std - h, **RULES).objective
    assert np.allclose(exact.k, by_k / (2 * h), atol=1e-7)
    assert np.allclose(exact.log_std, by_l / (2 * h), atol=1e-7)


def test_a_gaussian_policys_estimates_lie_around_the_exact_gradient():
    k, log_std, n = np.float64(0.4), np.float64(-0.5), 200_000
    exact, rng = steering(k, log_std, **RULES), np.random.default_rng(0)
    s, scores, r = np.ones(n), np.zeros((6, 2, n)), np.zeros((6, n))
    for t in range(6):
        a = -k * s + np.exp(log_std) * rng.normal(size=n)
        score = gaussian_score(a, -k * s, log_std)
        scores[t] = score.mean * -s, score.log_std
        r[t] = -(s**2 + a**2 / 10)
        s = s + a + 0.1 * rng.normal(size=n)
    discounted = 0.9 ** np.arange(6)[:, None] * r
    to_go = discounted[::-1].cumsum(0)[::-1]
    g = (scores * to_go[:, None]).sum(0)
    error = g.std(1) / n**0.5
    assert np.isclose(discounted.sum(0).mean(), exact.objective, atol=0.01)
    assert (np.abs(g.mean(1) - [exact.k, exact.log_std]) < 4.5 * error).all()


def test_a_density_may_be_above_one():
    assert gaussian_log_prob(np.float64(0.0), np.float64(0.0), np.float64(-3.0)) > 0
