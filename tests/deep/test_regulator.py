"""The regulator's closed forms against Bellman's equation, a search and sampled runs."""

import numpy as np

from rlcourse.deep import regulator as lq

GAMMA = 0.9


def test_the_best_gain_is_where_a_search_finds_it():
    k = np.linspace(0, 1.9, 190_001)
    assert abs(k[np.argmax(lq.start_value(k, GAMMA))] - lq.best_gain(GAMMA)) < 2e-5


def test_values_on_quadratic_features_satisfy_bellmans_equation():
    rng = np.random.default_rng(0)
    s, a, k = rng.normal(size=(3, 50))
    k = 1 + 0.5 * np.tanh(k)
    w = lq.q_weights(k, GAMMA)

    def q(s, a):
        return (lq.quadratic_features(s, a) * w).sum(-1)

    # of a normal error, three nodes of Gauss and Hermite integrate a quadratic exactly
    nodes, weights = np.array([-(3**0.5), 0, 3**0.5]), np.array([1, 4, 1]) / 6
    after = sum(
        p * q(s + a + lq.NOISE * z, -k * (s + a + lq.NOISE * z))
        for z, p in zip(nodes, weights, strict=True)
    )
    assert np.allclose(q(s, a), -(s**2 + lq.COST * a**2) + GAMMA * after)
    assert np.allclose(q(np.ones(50), -k), lq.start_value(k, GAMMA))


def test_slopes_are_those_of_the_features():
    rng = np.random.default_rng(1)
    s, a = rng.normal(size=(2, 7))
    h = 1e-6
    slope = (lq.quadratic_features(s, a + h) - lq.quadratic_features(s, a - h)) / (2 * h)
    assert np.allclose(lq.action_slopes(s, a), slope, atol=1e-8)


def test_sampled_runs_earn_what_the_gain_is_said_to_be_worth():
    rng, n, k = np.random.default_rng(2), 20_000, 0.6
    s, total = np.ones(n), np.zeros(n)
    for t in range(120):
        a = -k * s
        total -= GAMMA**t * (s**2 + lq.COST * a**2)
        s = s + a + lq.NOISE * rng.normal(size=n)
    assert abs(total.mean() - lq.start_value(np.array(k), GAMMA)) < 4 * total.std() / n**0.5


def test_at_the_best_gain_no_action_is_better_than_its_own():
    k = lq.best_gain(GAMMA)
    s, w = np.array([-2.0, 0.3, 1.0]), lq.q_weights(np.array(k), GAMMA)
    assert np.allclose(lq.action_slopes(s, -k * s) @ w, 0, atol=1e-12)
