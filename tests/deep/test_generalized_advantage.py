"""Generalized advantages against sums written out, deleted rows, and the reward-to-go."""

import numpy as np
import pytest
import torch

from rlcourse.deep.advantages import reward_to_go
from rlcourse.deep.generalized_advantage import generalized_advantage, next_values

R, V = np.array([1.0, 2.0, 3.0]), np.array([0.5, -0.2, 0.4])
NO, LAST = np.zeros(3), np.array([0.0, 0.0, 1.0])


def steps(rng, t=12, b=4):
    r, v, v_next = rng.normal(size=(3, t, b))
    terminated, truncated = rng.random((2, t, b)) < 0.2
    return r, v, v_next, terminated, truncated


def test_by_hand_where_the_world_ends():
    v_next = next_values(V, np.array(0.0))
    a = generalized_advantage(R, V, v_next, LAST, NO, 0.9, 0.8)
    assert np.allclose(a, [3.51104, 4.432, 2.6], rtol=0, atol=1e-12)


def test_by_hand_where_a_time_limit_cuts():
    v_next = next_values(V, np.array(0.7))
    a = generalized_advantage(R, V, v_next, NO, LAST, 0.9, 0.8)
    assert np.allclose(a, [3.837632, 4.8856, 3.23], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("gamma", "lam"), [(0.95, 0.9), (1.0, 0.3), (0.7, 1.0), (0.9, 0.0)])
def test_it_is_the_sum_of_the_errors_of_the_rest_of_the_episode(gamma, lam):
    r, v, v_next, terminated, truncated = steps(np.random.default_rng(0))
    a = generalized_advantage(r, v, v_next, terminated, truncated, gamma, lam)
    for t, b in np.ndindex(*r.shape):
        total, k = 0.0, t
        while True:
            follows = 0.0 if terminated[k, b] else v_next[k, b]
            total += (gamma * lam) ** (k - t) * (r[k, b] + gamma * follows - v[k, b])
            if terminated[k, b] or truncated[k, b] or k == len(r) - 1:
                break
            k += 1
        assert abs(a[t, b] - total) < 1e-12


def test_with_lambda_1_it_is_the_reward_to_go_less_the_value():
    r, _, v_next, terminated, truncated = steps(np.random.default_rng(1))
    # a sum that telescopes needs values that belong together: v_next of a row is v of the next
    v = np.random.default_rng(2).normal(size=r.shape)
    over = terminated | truncated
    v_next[:-1] = np.where(over[:-1], v_next[:-1], v[1:])
    a = generalized_advantage(r, v, v_next, terminated, truncated, 0.9, 1.0)
    assert np.allclose(a + v, reward_to_go(r, v_next, terminated, truncated, 0.9))
    nothing = np.zeros(r.shape)
    cut = np.where(truncated & ~terminated, v_next, 0.0)
    cut[-1] = v_next[-1]
    a = generalized_advantage(r, nothing, cut, terminated, truncated, 0.9, 1.0)
    assert np.allclose(a, reward_to_go(r, cut, terminated, truncated, 0.9))


def test_what_follows_an_end_changes_nothing_before_it():
    r, v, v_next, terminated, truncated = steps(np.random.default_rng(3), t=8, b=2)
    terminated[3, 0], truncated[3, 1], terminated[3, 1] = True, True, False
    a = generalized_advantage(r, v, v_next, terminated, truncated, 0.9, 0.8)
    later = r.copy()
    later[4:] += 100
    b = generalized_advantage(later, v, v_next, terminated, truncated, 0.9, 0.8)
    assert np.array_equal(a[:4], b[:4])
    assert not np.isclose(a[4:], b[4:]).any()


def test_rows_that_do_not_count_are_as_if_deleted():
    rng = np.random.default_rng(4)
    for _ in range(50):
        t = int(rng.integers(2, 12))
        r, v, v_next, terminated, truncated = (x[:, 0] for x in steps(rng, t, 1))
        mask = rng.random(t) < 0.6
        a = generalized_advantage(r, v, v_next, terminated, truncated, 0.9, 0.8, mask)
        assert (a[~mask] == 0).all()
        if mask.any():
            kept = [x[mask] for x in (r, v, v_next, terminated, truncated)]
            assert np.allclose(a[mask], generalized_advantage(*kept, 0.9, 0.8))
            found = next_values(v, np.array(0.7), mask)[mask]
            assert np.allclose(found, next_values(v[mask], np.array(0.7)))


def test_a_tools_tokens_are_skipped_without_a_decay():
    """two sequences that differ by tokens in their midst have the same advantages"""
    r, v = np.array([[0.0], [0.0], [1.0]]), np.array([[0.3], [0.2], [0.6]])
    never = np.zeros((3, 1))
    plain = generalized_advantage(r, v, next_values(v, np.zeros(1)), never, never, 1.0, 0.9)
    at = [0, 3, 4]
    long_r, long_v, mask = np.full((5, 1), 7.0), np.full((5, 1), -5.0), np.zeros((5, 1))
    long_r[at], long_v[at], mask[at] = r, v, 1
    v_next = next_values(long_v, np.zeros(1), mask)
    never = np.zeros((5, 1))
    found = generalized_advantage(long_r, long_v, v_next, never, never, 1.0, 0.9, mask)
    assert np.allclose(found[at], plain)


def test_a_reset_step_of_a_vector_environment_is_skipped():
    """next-step autoreset: after an end one row only resets; its reward and values are nothing"""
    r = np.array([1.0, 2.0, 0.0, 4.0])
    v, v_next = np.array([0.1, 0.2, 9.0, 0.4]), np.array([0.2, 9.0, 0.4, 0.5])
    ended, never, mask = np.array([0.0, 1, 0, 0]), np.zeros(4), np.array([1.0, 1, 0, 1])
    a = generalized_advantage(r, v, v_next, ended, never, 0.9, 0.8, mask)
    real = [x[[0, 1, 3]] for x in (r, v, v_next, ended, never)]
    assert np.allclose(a[[0, 1, 3]], generalized_advantage(*real, 0.9, 0.8))


def test_tensors_and_arrays_agree_and_gradients_pass_through():
    r, v, v_next, terminated, truncated = steps(np.random.default_rng(5))
    mask = np.random.default_rng(6).random(r.shape) < 0.7
    expected = generalized_advantage(r, v, v_next, terminated, truncated, 0.9, 0.8, mask)
    tensors = [torch.tensor(x * 1.0) for x in (r, v, v_next, terminated, truncated)]
    tensors[1].requires_grad_()
    a = generalized_advantage(*tensors, 0.9, 0.8, torch.tensor(mask * 1.0))
    assert np.allclose(a.detach().numpy(), expected)
    a.sum().backward()
    step = 1e-6
    for i in ((3, 1), (7, 2)):
        up, down = v.copy(), v.copy()
        up[i] += step
        down[i] -= step
        rest = (v_next, terminated, truncated, 0.9, 0.8, mask)
        slope = generalized_advantage(r, up, *rest).sum()
        slope = (slope - generalized_advantage(r, down, *rest).sum()) / (2 * step)
        assert abs(tensors[1].grad[i].item() - slope) < 1e-6


def test_nothing_that_is_handed_in_changes():
    x = steps(np.random.default_rng(7))
    before = [y.copy() for y in x]
    generalized_advantage(*x, 0.9, 0.8, np.ones(x[0].shape))
    next_values(x[1], x[2][0])
    assert all(np.array_equal(a, b) for a, b in zip(x, before, strict=True))
