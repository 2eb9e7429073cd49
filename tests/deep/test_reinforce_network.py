"""REINFORCE with networks: each part against a loop, and resumed training against uninterrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.deep import on_policy
from rlcourse.deep import reinforce_network as rn
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.networks import forward, of_learners, tensors
from rlcourse.deep.policy_losses import policy_gradient_loss

SMALL = rn.Settings(hidden=(8,), envs=3, steps=20, fits=2)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def agent(settings=SMALL, learners=2, seed=0, limit=500):
    env = CartPole(learners * settings.envs, seeds=seed, limit=limit)
    return rn.begin(env, settings, generator=torch.Generator().manual_seed(seed))


def numbers(x):
    parts = [y.detach().numpy() for net in (x.policy, x.value) for y in tensors(net)]
    return np.concatenate([y.ravel() for y in parts] + [x.s.ravel(), x.returns, x.earned])


def test_training_that_was_stopped_half_way_ends_bit_for_bit_where_the_other_does():
    whole, first, second = agent(), agent(), agent()
    rn.learn(whole, 8)
    rn.learn(first, 3)
    saved = on_policy.checkpoint(first)
    rn.learn(first, 2)  # what was saved doesn't change with the agent
    on_policy.resume(second, saved)
    rn.learn(second, 5)
    assert np.array_equal(numbers(second), numbers(whole), equal_nan=True)
    assert second.updates == 8


def test_a_checkpoint_of_other_settings_is_refused():
    with pytest.raises(ValueError, match="settings must be those"):
        on_policy.resume(agent(replace(SMALL, gamma=0.9)), on_policy.checkpoint(agent()))


def test_environments_must_be_shared_out_evenly():
    env = CartPole(7, seeds=0)
    with pytest.raises(ValueError, match=r"env\.n must be a multiple of envs = 3, got 7"):
        rn.begin(env, SMALL, generator=torch.Generator().manual_seed(0))


def test_collecting_goes_on_where_it_stopped_and_counts_what_episodes_earned():
    x = agent(limit=15)
    one, two = on_policy.collect(x), on_policy.collect(x)
    assert one.s.shape == (20, 6, 4)
    over = one.terminated | one.truncated
    assert over.any()
    with torch.no_grad():
        logits = forward(x.policy, on_policy.by_learner(x, one.s), torch.tanh)
    known = torch.distributions.Categorical(logits=logits).log_prob(on_policy.by_learner(x, one.a))
    assert np.allclose(on_policy.by_row(x, known), one.log_prob, atol=1e-5)
    assert (one.s[1:][~over[:-1]] == one.s_next[:-1][~over[:-1]]).all()
    assert (two.s[0][~over[-1]] == one.s_next[-1][~over[-1]]).all()
    for learner in range(2):  # every step earns 1
        lengths = []
        for e in range(3 * learner, 3 * learner + 3):
            ends = np.flatnonzero(
                np.concatenate([one.terminated | one.truncated, two.terminated | two.truncated])[
                    :, e
                ]
            )
            lengths += [b - a for a, b in zip([-1, *ends[:-1]], ends, strict=True) if b >= 20]
        assert np.isclose(x.returns[learner], np.mean(lengths))


def test_an_update_of_a_batch_of_learners_is_that_of_each_alone():
    """The policy's first step of Adam only depends on its own learner's samples."""
    x = agent()
    batch = on_policy.collect(x)
    before = of_learners(x.policy, slice(1, 2))
    s = torch.as_tensor(batch.s[:, 3:]).flatten(0, 1)[None]
    a = torch.as_tensor(batch.a[:, 3:]).flatten()[None]
    with torch.no_grad():
        value = of_learners(x.value, slice(1, 2))
        s_next = torch.as_tensor(batch.s_next[:, 3:]).flatten(0, 1)[None]
        v, v_next = (forward(value, y, torch.tanh)[0, :, 0] for y in (s, s_next))
    g = np.zeros((20, 3))
    v_next = v_next.reshape(20, 3).double().numpy()
    for e in range(3):
        follows = v_next[-1, e]
        for t in reversed(range(20)):
            if batch.truncated[t, 3 + e]:
                follows = v_next[t, e]
            if batch.terminated[t, 3 + e]:
                follows = 0.0
            g[t, e] = follows = batch.r[t, 3 + e] + SMALL.gamma * follows
    advantage = torch.as_tensor(g.ravel()).float()[None] - v
    loss = policy_gradient_loss(forward(before, s, torch.tanh), a, advantage, SMALL.beta)
    loss.sum().backward()
    torch.nn.utils.clip_grad_norm_(tensors(before), SMALL.most)
    torch.optim.Adam(tensors(before), SMALL.rate).step()
    rn.update(x, batch)
    # later fits of the baseline leave the policy alone
    for ours, alone in zip(tensors(x.policy), tensors(before), strict=True):
        assert torch.allclose(ours[1:], alone, atol=1e-5)


def test_ingredients_that_are_switched_off_change_the_weights_as_they_say():
    x = agent(limit=15)
    batch = on_policy.collect(x)
    v_next = np.full(batch.r.shape, 100.0)

    def weights(**off):
        x.settings = replace(SMALL, gamma=1.0, **off)
        return rn.returns(x, batch, v_next)

    full, over = weights(), batch.terminated | batch.truncated
    last = over[-1]
    assert (full[-1] == np.where(batch.terminated[-1], 1.0, 101.0)).all()
    assert (weights(complete=False)[-1] == 1).all()
    assert (weights(baseline=False)[-1] == 1).all()
    leaky = weights(leak=True)
    assert (leaky == np.arange(20, 0, -1)[:, None] + 100).all()
    total = weights(to_go=False)
    assert (total[0] == full[0]).all()
    same = ~over[:-1]
    assert (total[1:][same] == total[:-1][same]).all()
    assert (total[1:][~same] == full[1:][~same]).all()
    assert last.shape == (6,)


def test_learning_makes_the_pole_stand_longer():
    x = agent(rn.Settings(hidden=(32,), envs=8, steps=32), learners=3)
    seen = []
    rn.learn(x, 60, watch=lambda y: seen.append(y.returns), progress=lambda *_: None)
    early, late = np.nanmean(seen[:10]), np.mean(seen[-5:])
    assert late > 2 * early
    a = on_policy.greedy_actions(x.policy, x.s)
    assert a.shape == (24,)
    assert set(a.tolist()) <= {0, 1}


def test_a_loss_that_is_no_number_stops_training_and_says_where():
    x = agent()
    rn.learn(x, 2)
    with torch.no_grad():
        x.value.weights[0][1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"at update 2, first in learners \[1\]"):
        rn.learn(x, 1)
