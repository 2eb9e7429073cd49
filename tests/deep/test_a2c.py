"""A2C: its loss by hand, each update against a learner alone, and resumed training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.deep import a2c, on_policy
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.networks import forward, of_learners, tensors

SMALL = a2c.Settings(hidden=(8,), envs=3, steps=20)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def agent(settings=SMALL, learners=2, seed=0, limit=15):
    env = CartPole(learners * settings.envs, seeds=seed, limit=limit)
    return a2c.begin(env, settings, generator=torch.Generator().manual_seed(seed))


def numbers(x):
    parts = [y.detach().numpy() for net in (x.policy, x.value) for y in tensors(net)]
    return np.concatenate([y.ravel() for y in parts] + [x.s.ravel(), x.returns, x.earned])


# ------------------------------------------------------------------------------- the loss


def test_the_loss_of_one_sample_by_hand():
    log_prob, entropy, v = (
        torch.tensor([y], dtype=torch.float64, requires_grad=True) for y in (-1.0, 0.5, 2.0)
    )
    rest = (torch.tensor([y], dtype=torch.float64, requires_grad=True) for y in (3.0, 4.0))
    advantage, target = rest
    loss = a2c.a2c_loss(log_prob, entropy, v, advantage, target, 0.5, 0.1)
    assert np.isclose(loss.item(), 3.95)
    loss.backward()
    assert np.allclose([log_prob.grad, entropy.grad, v.grad], [[-3], [-0.1], [-1]])
    assert advantage.grad is None
    assert target.grad is None


def test_gradients_are_those_of_finite_differences_and_learners_share_nothing():
    rng = np.random.default_rng(0)
    x = [torch.tensor(rng.normal(size=(3, 5)), requires_grad=i < 3) for i in range(5)]

    def loss(*parts):
        return a2c.a2c_loss(*parts, *x[3:], 0.7, 0.2)

    assert torch.autograd.gradcheck(loss, tuple(x[:3]))
    assert loss(*x[:3]).shape == (3,)
    alone = a2c.a2c_loss(*(y[1] for y in x), 0.7, 0.2)
    assert torch.isclose(loss(*x[:3])[1], alone)


# ------------------------------------------------------------------------------- learning


def test_training_that_was_stopped_half_way_ends_bit_for_bit_where_the_other_does():
    whole, first, second = agent(), agent(), agent()
    a2c.learn(whole, 8)
    a2c.learn(first, 3)
    saved = on_policy.checkpoint(first)
    a2c.learn(first, 2)  # what was saved doesn't change with the agent
    on_policy.resume(second, saved)
    a2c.learn(second, 5)
    assert np.array_equal(numbers(second), numbers(whole), equal_nan=True)
    assert second.updates == 8


def test_an_update_of_a_batch_of_learners_is_that_of_each_alone():
    x = agent()
    batch = on_policy.collect(x)
    assert batch.truncated.any()
    policy, value = (of_learners(net, slice(1, 2)) for net in (x.policy, x.value))
    s, s_next = (torch.as_tensor(y[:, 3:]) for y in (batch.s, batch.s_next))
    with torch.no_grad():
        v, v_next = (
            forward(value, y.flatten(0, 1)[None], torch.tanh)[0, :, 0].reshape(20, 3)
            for y in (s, s_next)
        )
    a = torch.zeros(20, 3)
    for e in range(3):
        follows = 0.0
        for t in reversed(range(20)):
            ended, cut = batch.terminated[t, 3 + e], batch.truncated[t, 3 + e]
            delta = batch.r[t, 3 + e] + SMALL.gamma * (0 if ended else v_next[t, e]) - v[t, e]
            follows = delta + (0 if ended or cut else SMALL.gamma * SMALL.lam * follows)
            a[t, e] = follows
    flat = s.flatten(0, 1)[None]
    chosen = torch.distributions.Categorical(logits=forward(policy, flat, torch.tanh)[0])
    log_prob = chosen.log_prob(torch.as_tensor(batch.a[:, 3:]).flatten())
    error = forward(value, flat, torch.tanh)[0, :, 0] - (a + v).flatten()
    loss = (
        -(log_prob * a.flatten()).mean()
        - SMALL.beta * chosen.entropy().mean()
        + SMALL.value_weight * (error**2).mean() / 2
    )
    loss.backward()
    for net, rate in ((policy, SMALL.rate), (value, SMALL.value_rate)):
        torch.nn.utils.clip_grad_norm_(tensors(net), SMALL.most)
        torch.optim.Adam(tensors(net), rate).step()
    a2c.update(x, batch)
    for net, alone in ((x.policy, policy), (x.value, value)):
        for ours, theirs in zip(tensors(net), tensors(alone), strict=True):
            assert torch.allclose(ours[1:], theirs, atol=1e-5)


def test_mistakes_change_the_advantages_as_they_say():
    x = agent()
    batch = on_policy.collect(x)
    v, v_next = np.random.default_rng(1).normal(size=(2, *batch.r.shape))

    def found(ends):
        return a2c.advantages(replace(SMALL, ends=ends), batch, v, v_next)

    right, either, never = (found(ends) for ends in ("terminated", "either", "never"))
    cut, over = batch.truncated, batch.terminated | batch.truncated
    assert cut.any()
    assert np.allclose((right - either)[cut], SMALL.gamma * v_next[cut])
    assert (right[-1][~over[-1]] == either[-1][~over[-1]]).all()
    inside = never[:-1] - SMALL.gamma * SMALL.lam * never[1:]
    delta = batch.r + SMALL.gamma * v_next - v
    assert np.allclose(inside, delta[:-1])


def test_the_gradient_through_the_advantage_moves_the_critic_alone():
    right, wrong = agent(), agent(replace(SMALL, through=True))
    for x in (right, wrong):
        a2c.update(x, on_policy.collect(x))
    same = zip(tensors(right.policy), tensors(wrong.policy), strict=True)
    assert all(torch.equal(x, y) for x, y in same)
    pairs = zip(tensors(right.value), tensors(wrong.value), strict=True)
    assert not all(torch.allclose(x, y) for x, y in pairs)


def test_learning_makes_the_pole_stand_longer():
    x = agent(a2c.Settings(hidden=(32,), envs=8, steps=32), learners=3, limit=500)
    seen = []
    a2c.learn(x, 80, watch=lambda y: seen.append(y.returns), progress=lambda *_: None)
    assert np.mean(seen[-5:]) > 2 * np.nanmean(seen[:10])


def test_a_loss_that_is_no_number_stops_training_and_says_where():
    x = agent()
    a2c.learn(x, 2)
    with torch.no_grad():
        x.value.weights[0][1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"at update 2, first in learners \[1\]"):
        a2c.learn(x, 1)


def test_what_ends_must_be_known():
    with pytest.raises(ValueError, match="ends must be terminated, either or never"):
        agent(replace(SMALL, ends="sometimes"))
