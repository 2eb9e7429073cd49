"""The parts of deep Q-learning against the table's, torch's own, and derivatives by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rlcourse.deep import q_learning as q
from rlcourse.tabular import targets

KAPPAS = (0.3, 1.0, 2.5)


def drawn(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def with_gradient(x):
    return x.clone().requires_grad_()


# ------------------------------------------------------------------------------- targets


@pytest.mark.parametrize("shape", [(), (5,), (3, 4)])
def test_the_targets_are_those_of_the_table(shape):
    r, choose, judge = drawn(*shape), drawn(*shape, 3, seed=1), drawn(*shape, 3, seed=2)
    flags = drawn(*shape, seed=3) > 0
    arrays = [np.asarray(x) for x in (r, choose, judge, flags)]
    plain = targets.q_learning_target(arrays[0], arrays[1], arrays[3], 0.9)
    double = targets.double_q_target(*arrays, 0.9)
    for terminated in (flags, flags.long(), flags.float()):
        np.testing.assert_allclose(q.dqn_target(r, choose, terminated, 0.9), plain)
        np.testing.assert_allclose(q.double_dqn_target(r, choose, judge, terminated, 0.9), double)


def test_a_double_target_whose_networks_agree_is_the_plain_one():
    r, q_next, terminated = drawn(6), drawn(6, 4, seed=1), torch.zeros(6)
    both = q.double_dqn_target(r, q_next, q_next, terminated, 0.8)
    torch.testing.assert_close(both, q.dqn_target(r, q_next, terminated, 0.8))


def test_a_double_target_is_never_above_the_judges_maximum():
    r, choose, judge, terminated = (
        drawn(99),
        drawn(99, 4, seed=1),
        drawn(99, 4, seed=2),
        0 * drawn(99),
    )
    double = q.double_dqn_target(r, choose, judge, terminated, 0.8)
    assert (double <= q.dqn_target(r, judge, terminated, 0.8)).all()


# ------------------------------------------------------------------------------- dueling


def test_the_mean_of_a_dueling_row_is_the_state_value():
    v, advantage = drawn(7), drawn(7, 3, seed=1)
    row = q.dueling_q(v, advantage)
    torch.testing.assert_close(row.mean(-1), v)
    torch.testing.assert_close(row, q.dueling_q(v, advantage + 100))
    assert (row.argmax(-1) == advantage.argmax(-1)).all()


# ------------------------------------------------------------------------------- the loss


@pytest.mark.parametrize("kappa", KAPPAS)
def test_huber_is_torchs_and_its_slope_is_the_clipped_error(kappa):
    error = with_gradient(torch.cat([3 * drawn(50), torch.tensor([0, kappa, -kappa])]))
    loss = q.huber(error, kappa)
    zeros = torch.zeros_like(error)
    torch.testing.assert_close(loss, functional.huber_loss(error, zeros, "none", kappa))
    loss.sum().backward()
    torch.testing.assert_close(error.grad, error.detach().clamp(-kappa, kappa))
    assert torch.autograd.gradcheck(lambda x: q.huber(x, kappa), with_gradient(3 * drawn(20)))


def test_without_a_bend_huber_is_half_the_square():
    error = with_gradient(100 * drawn(20))
    loss = q.huber(error, torch.inf)
    torch.testing.assert_close(loss, error**2 / 2)
    loss.sum().backward()
    torch.testing.assert_close(error.grad, error.detach())


def test_the_gradient_of_the_loss_is_the_semi_gradient():
    """Only the action that was taken moves, by the clipped error over N; the target stands."""
    values, target = with_gradient(3 * drawn(2, 5, 3)), with_gradient(drawn(2, 5, seed=1))
    a = torch.as_tensor(np.random.default_rng(2).integers(3, size=(2, 5)))
    loss = q.dqn_loss(values, a, target, 0.7)
    assert loss.shape == (2,)
    loss.sum().backward()
    by_hand = np.zeros((2, 5, 3))
    for b in range(2):
        for i in range(5):
            error = (target[b, i] - values[b, i, a[b, i]]).item()
            by_hand[b, i, a[b, i]] = -np.clip(error, -0.7, 0.7) / 5
    np.testing.assert_allclose(values.grad, by_hand)
    assert target.grad is None


def test_with_one_hot_features_a_gradient_step_is_the_step_of_q_learning():
    """Weights (S, A) of a linear network, half the square, one transition: w is the table."""
    rng = np.random.default_rng(4)
    table, alpha, gamma = rng.normal(size=(6, 3)), 0.1, 0.9
    w = torch.as_tensor(table.copy()).requires_grad_()
    for _ in range(50):
        s, s_next, a = rng.integers(6), rng.integers(6), rng.integers(3)
        r, terminated = rng.normal(), bool(rng.random() < 0.2)
        target = targets.q_learning_target(r, table[s_next], terminated, gamma)
        table[s, a] += alpha * (target - table[s, a])
        x, x_next = torch.eye(6, dtype=w.dtype)[torch.tensor([[s], [s_next]])]
        flag = torch.tensor([terminated])
        goal = q.dqn_target(r * x.new_ones(1), x_next @ w, flag, gamma)  # no target network
        loss = q.dqn_loss(x @ w, torch.tensor([a]), goal, torch.inf)
        (gradient,) = torch.autograd.grad(loss, w)
        with torch.no_grad():
            w -= alpha * gradient
    np.testing.assert_allclose(w.detach(), table, rtol=1e-12)


# ------------------------------------------------------------------------------- acting


def test_exploring_takes_each_action_equally_often_and_with_probability_epsilon():
    n, epsilon = 90_000, 0.3
    u = torch.rand((n, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = q.epsilon_greedy_action(torch.tensor([[0.0, 2.0, 1.0]]).expand(n, 3), epsilon, u)
    share = np.bincount(a, minlength=3) / n
    expected = np.array([epsilon / 3, 1 - epsilon + epsilon / 3, epsilon / 3])
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()


def test_epsilon_zero_never_explores_and_epsilon_one_always_does():
    row = torch.tensor([[1.0, 5.0, 5.0]]).expand(4, 3)
    u = torch.tensor([[0.0, 0.0], [0.0, 0.9], [0.5, 0.4], [0.999, 0.999]])
    assert q.epsilon_greedy_action(row, 0.0, u).tolist() == [1, 1, 1, 1]
    assert q.epsilon_greedy_action(row, 1.0, u).tolist() == [0, 2, 1, 2]


def test_epsilon_falls_on_a_line_and_stays():
    assert [q.linear_epsilon(t, 10, 0.1) for t in (0, 5, 10, 99)] == pytest.approx(
        [1, 0.55, 0.1, 0.1]
    )


def test_blending_with_one_copies_and_a_small_tau_is_a_slow_average():
    old, new = drawn(4), drawn(4, seed=1)
    torch.testing.assert_close(q.blend(old, new, 1.0), new)
    slow = old
    for _ in range(30):
        slow = q.blend(slow, new, 0.1)
    torch.testing.assert_close(slow, new + 0.9**30 * (old - new))
