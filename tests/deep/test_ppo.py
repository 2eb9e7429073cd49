"""PPO: an update against a loop over one learner, and resumed training against uninterrupted."""

import math
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from rlcourse.deep import acting, on_policy, ppo
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.classic_control import Pendulum
from rlcourse.deep.learners_adam import LearnersAdam
from rlcourse.deep.networks import forward, of_learners, tensors
from rlcourse.gym_vector import from_gymnasium

SMALL = ppo.Settings(hidden=(8,), envs=3, steps=20, epochs=2, minibatches=3)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def agent(settings=SMALL, learners=2, seed=0, kind=CartPole, limit=30):
    env = kind(learners * settings.envs, seeds=seed, limit=limit)
    return ppo.begin(env, settings, generator=torch.Generator().manual_seed(seed))


def numbers(x):
    parts = [y.detach().numpy().ravel() for y in ppo.parameters(x)]
    return np.concatenate([*parts, x.s.ravel(), x.returns, x.earned])


# ------------------------------------------------------------------------------- the update


def alone(x, batch, b, shuffler):
    """Learner b's parameters after an update, by torch's own Adam, distributions and clipping."""
    st = x.settings
    policy, value = (of_learners(net, slice(b, b + 1)) for net in (x.policy, x.value))
    parts = [*tensors(policy), *tensors(value)]
    log_std = None
    if x.log_std is not None:
        log_std = x.log_std.detach()[b : b + 1].clone().requires_grad_()
        parts.append(log_std)
    mine = slice(b * st.envs, (b + 1) * st.envs)
    s, a, s_next, old = (torch.as_tensor(y[:, mine]) for y in (batch.s, batch.a, batch.s_next, batch.log_prob))  # fmt: skip  # noqa: E501

    def values(seen):
        return forward(value, seen.flatten(0, 1)[None], torch.tanh).reshape(st.steps, st.envs)

    with torch.no_grad():
        v, v_next = values(s), values(s_next)
    advantage, after = np.zeros((st.steps, st.envs)), np.zeros(st.envs)
    for t in reversed(range(st.steps)):
        end, cut = batch.terminated[t, mine], batch.truncated[t, mine]
        delta = st.reward_scale * batch.r[t, mine] + st.gamma * ~end * v_next[t].numpy()
        delta = delta - v[t].numpy()
        advantage[t] = after = delta + st.gamma * st.lam * ~(end | cut) * after
    advantage = torch.as_tensor(advantage).float()
    target = (advantage + v).flatten()
    s, a, old, advantage = (y.flatten(0, 1) for y in (s, a, old, advantage))
    rate = st.rate * max(1 - x.updates / st.updates, 0) if st.anneal else st.rate
    optimiser = torch.optim.Adam(parts, rate, eps=1e-5)
    for _ in range(st.epochs):
        for rows in torch.randperm(len(target), generator=shuffler).chunk(st.minibatches):
            out = forward(policy, s[None, rows], torch.tanh)[0]
            if log_std is None:
                pi = torch.distributions.Categorical(logits=out)
                known, entropy = pi.log_prob(a[rows]), pi.entropy()
            else:
                pi = torch.distributions.Normal(out, log_std[0].exp())
                known, entropy = pi.log_prob(a[rows]).sum(-1), pi.entropy().sum(-1)
            rho, weight = (known - old[rows]).exp(), advantage[rows]
            weight = (weight - weight.mean()) / (weight.std(correction=0) + 1e-8)
            near = rho.clamp(1 - st.epsilon, 1 + st.epsilon)
            gain = torch.min(rho * weight, near * weight).mean() + st.beta * entropy.mean()
            v_now = forward(value, s[None, rows], torch.tanh)[0, :, 0]
            loss = st.value_weight * ((v_now - target[rows]) ** 2).mean() / 2 - gain
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parts, st.most)
            optimiser.step()
    return parts


@pytest.mark.parametrize("kind", [CartPole, Pendulum])
def test_an_update_of_a_batch_of_learners_is_that_of_each_alone(kind):
    x = agent(replace(SMALL, beta=0.02), kind=kind, limit=15)
    batch = on_policy.collect(x)
    assert batch.truncated.any() or kind is CartPole
    shuffler = x.shuffler.get_state()
    single = []
    for b in range(2):
        generator = torch.Generator()
        generator.set_state(shuffler)
        single.append(alone(x, batch, b, generator))
    report = ppo.update(x, batch)
    for b in range(2):
        for ours, theirs in zip(ppo.parameters(x), single[b], strict=True):
            assert torch.allclose(ours[b : b + 1], theirs, atol=2e-6)
    assert (report.steps == 6).all()


def test_a_learner_that_has_moved_too_far_stops_and_the_others_go_on_as_if_alone():
    settings = replace(SMALL, target_kl=1e-3, rate=0.01, epochs=6)
    x, y = agent(settings, learners=3, seed=1), agent(settings, learners=3, seed=1)
    batch = on_policy.collect(x)
    report = ppo.update(x, batch)
    assert len(set(report.steps)) > 1
    assert report.steps.min() < 18
    batch = on_policy.collect(y)
    y.settings = replace(settings, target_kl=math.inf)
    longest = int(report.steps.argmax())
    if report.steps[longest] == 18:
        ppo.update(y, batch)
        for ours, free in zip(ppo.parameters(x), ppo.parameters(y), strict=True):
            assert torch.allclose(ours[longest], free[longest], atol=1e-6)
    pause = LearnersAdam([p := torch.zeros(2, 3, requires_grad=True)], 0.1)
    one = torch.zeros(3, requires_grad=True)
    theirs = torch.optim.Adam([one], 0.1, eps=1e-5)
    for k in range(6):
        g = torch.tensor([1.0, -2.0, 0.5]) * (k + 1)
        p.grad = g.expand(2, 3).clone()
        pause.advance(torch.tensor([True, k % 2 == 0]))
        if k % 2 == 0:
            one.grad = g.clone()
            theirs.step()
    assert torch.allclose(p[1], one, atol=1e-7)
    assert not torch.allclose(p[0], one, atol=1e-3)


def test_every_sample_is_used_once_an_epoch_and_orders_differ():
    rows = list(ppo.minibatches(agent(), 60))
    assert len(rows) == 6
    first, second = torch.cat(rows[:3]), torch.cat(rows[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(60))
    assert not torch.equal(first, second)


def test_a_cut_is_completed_unless_it_is_taken_for_an_end():
    x = agent(replace(SMALL, lam=0.0, reward_scale=1.0), kind=Pendulum, limit=15)
    batch = on_policy.collect(x)
    assert batch.truncated.any()
    with torch.no_grad():
        after = on_policy.by_row(x, on_policy.values(x, batch.s_next))
        now = on_policy.by_row(x, on_policy.values(x, batch.s))
    got = on_policy.by_row(x, ppo.samples(x, batch).advantage)
    assert np.allclose(got, batch.r + 0.99 * after - now, atol=1e-4)
    x.settings = replace(x.settings, complete=False)
    cut = batch.truncated.copy()
    cut[-1] = True
    got = on_policy.by_row(x, ppo.samples(x, batch).advantage)
    assert np.allclose(got, batch.r + 0.99 * after * ~cut - now, atol=1e-4)


# ------------------------------------------------------------------------------- collecting


def test_gaussian_actions_are_as_likely_as_torch_says():
    x = agent(kind=Pendulum)
    with torch.no_grad():
        x.log_std.copy_(torch.tensor([-0.5, 0.3]).reshape(2, 1, 1))
    batch = on_policy.collect(x)
    assert batch.a.shape == (20, 6, 1)
    with torch.no_grad():
        mean = forward(x.policy, on_policy.by_learner(x, batch.s), torch.tanh)
        pi = torch.distributions.Normal(mean, x.log_std.exp().expand_as(mean))
        known = pi.log_prob(on_policy.by_learner(x, batch.a))[..., 0]
        assert np.allclose(on_policy.by_row(x, known), batch.log_prob, atol=1e-5)
        ours = acting.Gaussian(mean, x.log_std).entropy()
        assert np.allclose(ours, pi.entropy()[..., 0])
    assert np.abs(ppo.greedy(x, x.s) - mean.numpy().mean()).max() < 1


def test_all_of_gymnasiums_autoreset_modes_give_the_same_training():
    found = []
    for mode in AutoresetMode:
        made = gymnasium.make_vec(
            "CartPole-v1", 6, vectorization_mode="sync", max_episode_steps=30,
            vector_kwargs={"autoreset_mode": mode},
        )  # fmt: skip
        env = from_gymnasium(made, seed=0)
        x = ppo.begin(env, SMALL, generator=torch.Generator().manual_seed(0))
        ppo.learn(x, 3)
        found.append(numbers(x))
    own = agent()
    ppo.learn(own, 3)
    for other in found:
        np.testing.assert_array_equal(other, numbers(own))


def test_numbers_as_actions_reach_gymnasiums_pendulum():
    env = from_gymnasium(gymnasium.make_vec("Pendulum-v1", 3, vectorization_mode="sync"), seed=4)
    assert env.action_size == 1
    x = ppo.begin(env, SMALL, generator=torch.Generator().manual_seed(4))
    own = agent(kind=Pendulum, learners=1, seed=4, limit=200)
    one, two = on_policy.collect(x), on_policy.collect(own)
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


# ------------------------------------------------------------------------------- training


@pytest.mark.parametrize("kind", [CartPole, Pendulum])
def test_training_that_was_stopped_half_way_ends_bit_for_bit_where_the_other_does(kind):
    settings = replace(SMALL, target_kl=0.01)
    whole, first, second = (agent(settings, kind=kind) for _ in range(3))
    ppo.learn(whole, 6)
    ppo.learn(first, 2)
    saved = ppo.checkpoint(first)
    ppo.learn(first, 2)  # what was saved doesn't change with the agent
    ppo.resume(second, saved)
    ppo.learn(second, 4)
    np.testing.assert_array_equal(numbers(second), numbers(whole))
    assert second.updates == 6


def test_a_checkpoint_survives_a_file(tmp_path):
    whole, second = agent(), agent()
    ppo.learn(whole, 2)
    torch.save(ppo.checkpoint(whole), tmp_path / "half.pt")
    ppo.learn(whole, 2)
    ppo.resume(second, torch.load(tmp_path / "half.pt", weights_only=False))
    ppo.learn(second, 2)
    np.testing.assert_array_equal(numbers(second), numbers(whole))


def test_the_rate_falls_to_nothing_or_stays():
    for anneal, last in ((True, 0.0), (False, SMALL.rate)):
        x = agent(replace(SMALL, updates=2, anneal=anneal))
        ppo.learn(x, 3)
        assert x.optimiser.param_groups[0]["lr"] == last


def test_what_cannot_be_shared_out_is_refused():
    env = CartPole(7, seeds=0)
    with pytest.raises(ValueError, match=r"env\.n must be a multiple of envs = 3, got 7"):
        ppo.begin(env, SMALL, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="minibatches must share out 60 samples evenly"):
        agent(replace(SMALL, minibatches=7))
    with pytest.raises(ValueError, match="settings must be those"):
        ppo.resume(agent(replace(SMALL, lam=0.9)), ppo.checkpoint(agent()))


def test_a_loss_that_is_no_number_stops_training_and_says_where_it_began():
    x = agent()
    ppo.learn(x, 2)
    with torch.no_grad():
        x.value.weights[0][1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"an advantage .* update 2.*in learners \[1\]"):
        ppo.learn(x, 1)
    x = agent(replace(SMALL, beta=math.nan))
    with pytest.raises(FloatingPointError, match=r"loss .* at update 0, epoch 0, minibatch 0"):
        ppo.learn(x, 1)
    x = agent(replace(SMALL, rate=1e30, anneal=False, target_kl=0.01))
    with pytest.raises(FloatingPointError, match=r"not finite at update"):
        ppo.learn(x, 3)


def test_learning_makes_the_pole_stand_longer_and_says_so():
    x = agent(ppo.Settings(updates=25, hidden=(32,)), learners=2, limit=500)
    seen, bar = [], []
    ppo.learn(
        x, 25, watch=lambda y, r: seen.append((y.returns, r)), progress=lambda *p: bar.append(p)
    )
    assert np.mean(seen[-1][0]) > 3 * np.nanmean(seen[0][0])
    assert bar[-1][:2] == (25 * 512, 25 * 512)
    report = seen[-1][1]
    assert all(np.isfinite(field).all() and field.shape == (2,) for field in report)
    assert (report.entropy < math.log(2)).all()
    assert (report.kl >= 0).all()
