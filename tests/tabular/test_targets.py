"""The targets against plain loops, exact fractions and each other."""

from fractions import Fraction

import numpy as np
import pytest

from rlcourse.tabular import targets as t


def draw_rows(rng, n=7, n_actions=4):
    r, gamma = rng.normal(size=n), rng.uniform(0.2, 0.95)
    return r, rng.normal(size=(n, n_actions)), rng.permutation(np.arange(n) < 3), gamma


def test_nothing_follows_an_end():
    target = t.td_target(np.array([1.0, 1.0]), np.array([10.0, 10.0]), np.array([0, 1]), 0.9)
    np.testing.assert_allclose(target, [10, 1])


def test_a_target_is_made_of_operators_and_takes_any_numbers():
    assert t.td_target(Fraction(1, 3), Fraction(1, 2), 0, Fraction(2, 3)) == Fraction(2, 3)
    assert t.td_target(-1.0, 8.0, False, 0.5) == 3.0
    wide = t.td_target(np.ones((2, 1)), np.ones((1, 3)), np.zeros(3), np.float32(0.5))
    np.testing.assert_array_equal(wide, np.full((2, 3), 1.5))


def test_the_targets_are_what_a_loop_says():
    rng = np.random.default_rng(0)
    r, q, ends, gamma = draw_rows(rng)
    other, a = rng.normal(size=q.shape), rng.integers(4, size=7)
    pi = rng.dirichlet(np.ones(4), size=7)
    expected = np.zeros((4, 7))
    for b in range(7):
        best = max(range(4), key=lambda i: q[b, i])
        mean = sum(pi[b, i] * q[b, i] for i in range(4))
        for row, follows in enumerate((q[b, a[b]], mean, q[b, best], other[b, best])):
            expected[row, b] = r[b] if ends[b] else r[b] + gamma * follows
    np.testing.assert_allclose(t.sarsa_target(r, q, a, ends, gamma), expected[0])
    np.testing.assert_allclose(t.expected_sarsa_target(r, q, pi, ends, gamma), expected[1])
    np.testing.assert_allclose(t.q_learning_target(r, q, ends, gamma), expected[2])
    np.testing.assert_allclose(t.double_q_target(r, q, other, ends, gamma), expected[3])


def test_expected_sarsa_is_sarsa_averaged_over_the_next_action():
    rng = np.random.default_rng(1)
    r, q, ends, gamma = draw_rows(rng)
    pi = rng.dirichlet(np.ones(4), size=7)
    each = [t.sarsa_target(r, q, np.full(7, a), ends, gamma) for a in range(4)]
    mean = (pi.T * np.array(each)).sum(0)
    np.testing.assert_allclose(t.expected_sarsa_target(r, q, pi, ends, gamma), mean)


def test_q_learning_is_expected_sarsa_for_the_greedy_policy_and_double_q_with_one_table():
    r, q, ends, gamma = draw_rows(np.random.default_rng(2))
    greedy = np.eye(4)[q.argmax(-1)]
    target = t.q_learning_target(r, q, ends, gamma)
    np.testing.assert_allclose(t.expected_sarsa_target(r, q, greedy, ends, gamma), target)
    np.testing.assert_allclose(t.double_q_target(r, q, q, ends, gamma), target)


def test_double_q_judges_the_first_of_equal_best_actions():
    q = np.array([[0.0, 2.0, 2.0]])
    judge = np.array([[5.0, 6.0, 7.0]])
    assert t.double_q_target(np.zeros(1), q, judge, np.zeros(1), 1.0) == [6]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_steps_without_an_end_are_powers_of_gamma(n):
    rng = np.random.default_rng(3)
    r, v, no = rng.normal(size=(6, n)), rng.normal(size=(6, n)), np.zeros((6, n))
    expected = r @ 0.8 ** np.arange(n) + 0.8**n * v[:, -1]
    np.testing.assert_allclose(t.n_step_target(r, v, no, no, 0.8), expected)


def test_one_step_is_the_td_target_whatever_the_time_limit_says():
    rng = np.random.default_rng(4)
    r, v, ends, cut = rng.normal(size=9), rng.normal(size=9), rng.random(9) < 0.5, np.arange(9) < 4
    rows = (x[:, None] for x in (r, v, ends, cut))
    np.testing.assert_allclose(t.n_step_target(*rows, 0.7), t.td_target(r, v, ends, 0.7))


def test_steps_stop_at_an_end_and_at_a_time_limit_and_only_the_second_is_worth_something():
    r, v = np.array([[1.0, 2, 4, 8]] * 4), np.array([[10.0, 20, 40, 80]] * 4)
    ends, cut = np.zeros((2, 4, 4), dtype=bool)
    ends[1, 1] = cut[2, 1] = ends[3, 1] = cut[3, 1] = True
    target = t.n_step_target(r, v, ends, cut, 0.5)
    np.testing.assert_allclose(target, [1 + 1 + 1 + 1 + 5, 1 + 1, 1 + 1 + 5, 1 + 1])
    r[1:, 2:], v[1:, 2:] = 1e6, -1e6  # what comes after the stop doesn't matter
    np.testing.assert_allclose(t.n_step_target(r, v, ends, cut, 0.5)[1:], target[1:])
