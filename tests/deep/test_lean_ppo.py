"""The hand-written PPO against torch's autograd and optimiser, and against its own copy."""

import copy

import numpy as np
import pytest
import torch

from rlcourse.deep import lean_ppo as lean
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.environments import Transition
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.rollouts import first_episodes

SMALL = lean.Settings(hidden=(7, 5), steps=24, epochs=3, minibatches=2, beta=0.02, epsilon=0.1)
torch.set_num_threads(1)


def small(seed=0, **changes):
    """A learner of four carts in float64, whose policy is no longer uniform."""
    settings = lean.Settings(**(vars(SMALL) | changes))
    rng = np.random.default_rng(seed)
    x = lean.begin(CartPole(4, seeds=10 * seed), settings, rng=rng)
    x.theta = rng.normal(size=x.theta.size) / 2
    x.m, x.v = np.zeros_like(x.theta), np.zeros_like(x.theta)
    return x


def as_tensors(learner):
    return [torch.tensor(y, requires_grad=True) for layer in lean.layers(learner) for y in layer]


def torchs_loss(parts, data, settings):
    """PPO's loss as one writes it in torch, both networks one after the other."""
    outs = []
    for i in range(2):
        x = torch.as_tensor(data.s).double()
        for w, b in zip(parts[:-2:2], parts[1:-2:2], strict=True):
            x = torch.tanh(x @ w[i] + b[i])
        outs.append(x @ parts[-2][i] + parts[-1][i])
    pi = torch.distributions.Categorical(logits=outs[0])
    a, known, advantage, target = (torch.as_tensor(y) for y in data[1:])
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    ratio = (pi.log_prob(a) - known).exp()
    clipped = ratio.clamp(1 - settings.epsilon, 1 + settings.epsilon)
    gain = torch.minimum(ratio * advantage, clipped * advantage).mean()
    value_loss = 0.5 * ((outs[1][:, 0] - target) ** 2).mean()
    loss = settings.value_weight * value_loss - gain - settings.beta * pi.entropy().mean()
    return loss, ratio.detach()


def off_policy(learner, data, rng):
    """The same samples from a policy some way off, in float64: a good part is clipped."""
    wide = lean.Samples(*(y.astype(np.float64) if y.dtype == np.float32 else y for y in data))
    return wide._replace(log_prob=wide.log_prob + rng.normal(0, 0.2, len(data.a)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden", [(), (6,), (7, 5), (4, 4, 4)])
def test_the_gradient_is_the_one_that_autograd_finds(seed, hidden):
    learner = small(seed, hidden=hidden)
    data = off_policy(learner, lean.collect(learner), np.random.default_rng(seed))
    parts = as_tensors(learner)
    loss, ratio = torchs_loss(parts, data, learner.settings)
    assert 0.2 < ((ratio - 1).abs() > learner.settings.epsilon).double().mean() < 0.9
    loss.backward()
    expected = torch.cat([x.grad.flatten() for x in parts]).numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(lean.gradient(learner, data), expected, rtol=1e-10, atol=1e-12)


def test_the_gradient_points_where_finite_differences_do():
    learner = small()
    data = off_policy(learner, lean.collect(learner), np.random.default_rng(0))
    way = np.random.default_rng(1).normal(size=learner.theta.size)
    rise = lean.gradient(learner, data) @ way
    theta, losses = learner.theta.copy(), []
    for step in (1e-6, -1e-6):
        learner.theta[:] = theta + step * way
        losses.append(float(torchs_loss(as_tensors(learner), data, learner.settings)[0].detach()))
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(rise, rel=1e-6)


def test_the_layers_work_for_any_leading_axes():
    rng = np.random.default_rng(0)
    net = [
        (rng.normal(size=(2, 3, n, m)), rng.normal(size=(2, 3, 1, m))) for n, m in ((4, 6), (6, 2))
    ]
    x, d = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 3, 5, 2))
    whole = lean.backward(net, lean.forward(net, x), d)
    for i in np.ndindex(2, 3):
        one = [(w[i], b[i]) for w, b in net]
        alone = lean.backward(one, lean.forward(one, x[i]), d[i])
        for (w, b), (w_one, b_one) in zip(whole, alone, strict=True):
            np.testing.assert_allclose(w[i], w_one, atol=1e-13)
            np.testing.assert_allclose(b[i], b_one, atol=1e-13)


def test_adam_is_torchs():
    rng = np.random.default_rng(0)
    theta, m, v = rng.normal(size=20), np.zeros(20), np.zeros(20)
    theirs = torch.tensor(theta, requires_grad=True)
    optimiser = torch.optim.Adam([theirs], 0.01)
    for t in range(1, 101):
        g = rng.normal(size=20) * np.logspace(-6, 2, 20)
        theirs.grad = torch.tensor(g)
        optimiser.step()
        lean.adam(theta, g, m, v, t, 0.01)
    np.testing.assert_allclose(theta, theirs.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("most", [0.05, 100.0])
def test_an_update_is_the_one_that_torch_makes(most):
    """All minibatches of all epochs, with gradients that are shortened and such that aren't."""
    learner = small(most=most)
    twin = copy.deepcopy(learner)
    lean.learn(learner, 1)
    parts = as_tensors(twin)
    optimiser = torch.optim.Adam(parts, twin.settings.rate)
    steps = 0
    for data in lean.minibatches(twin, lean.collect(twin)):
        optimiser.zero_grad()
        torchs_loss(parts, data, twin.settings)[0].backward()
        torch.nn.utils.clip_grad_norm_(parts, most)
        optimiser.step()
        steps += 1
    assert steps == SMALL.epochs * SMALL.minibatches == learner.t
    expected = torch.cat([x.detach().flatten() for x in parts]).numpy()
    assert np.abs(expected - twin.theta).max() > 1e-3
    np.testing.assert_allclose(learner.theta, expected, rtol=0, atol=1e-6)


def test_what_is_collected_is_what_happened():
    learner = small()
    env, theta = copy.deepcopy(learner.env), learner.theta.copy()
    s = learner.s
    data = lean.collect(learner)
    np.testing.assert_array_equal(theta, learner.theta)
    steps, (policy, value) = (
        learner.settings.steps,
        ([(w[i], b[i]) for w, b in lean.layers(learner)] for i in range(2)),
    )
    rows = []
    for t in range(steps):
        now = slice(4 * t, 4 * (t + 1))
        np.testing.assert_array_equal(data.s[now], s)
        x = env.step(data.a[now])
        rows.append((s, *x[:4]))
        s = x.s
    np.testing.assert_array_equal(learner.s, s)
    pi = torch.distributions.Categorical(logits=torch.as_tensor(lean.forward(policy, data.s)[-1]))
    np.testing.assert_allclose(data.log_prob, pi.log_prob(torch.as_tensor(data.a)), atol=1e-6)
    s, s_next, r, terminated, truncated = (np.array(column) for column in zip(*rows, strict=True))
    assert terminated.any()
    v, v_next = (lean.forward(value, y)[-1][..., 0] for y in (s, s_next))
    advantage = generalized_advantage(r, v, v_next, terminated, truncated, SMALL.gamma, SMALL.lam)
    np.testing.assert_allclose(data.advantage.reshape(steps, 4), advantage, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(data.target.reshape(steps, 4), advantage + v, rtol=1e-6, atol=1e-6)


def test_actions_are_drawn_from_the_policy():
    """In one state for ever, 40 000 draws: their share is the probability, to 4 standard errors."""
    learner = small(hidden=(), steps=10_000, minibatches=1)
    state = np.full((4, 4), 0.1, dtype=np.float32)
    learner.s = state

    class Still:
        n, n_actions, observation_size = 4, 2, 4

        def step(self, a):
            never = np.zeros(4, dtype=np.bool_)
            return Transition(state, np.ones(4), never, never, state)

    learner.env = Still()
    data = lean.collect(learner)
    p = np.exp(data.log_prob[data.a == 1][0])
    assert 0.05 < p < 0.95
    share, error = data.a.mean(), np.sqrt(p * (1 - p) / len(data.a))
    assert abs(share - p) < 4 * error


def test_it_learns_to_balance():
    earned = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        learner = lean.begin(CartPole(16, seeds=100 * seed), lean.Settings(), rng=rng)
        lean.learn(learner, 60)
        earned.append(
            first_episodes(CartPole(100, seeds=10_000), lean.greedy(learner)).earned.mean()
        )
    assert np.median(earned) > 450


def test_a_copy_goes_on_bit_for_bit():
    learner = small()
    lean.learn(learner, 3)
    saved = copy.deepcopy(learner)
    lean.learn(learner, 3)
    assert not np.array_equal(saved.theta, learner.theta)
    lean.learn(saved, 3)
    np.testing.assert_array_equal(saved.theta, learner.theta)
    np.testing.assert_array_equal(saved.s, learner.s)
    assert saved.updates == learner.updates == 6


def test_the_greedy_policy_keeps_what_it_was():
    learner = small()
    policy, s = lean.greedy(learner), np.random.default_rng(0).normal(size=(50, 4))
    before = policy(s)
    learner.theta *= -1
    np.testing.assert_array_equal(policy(s), before)
    assert (lean.greedy(learner)(s) != before).any()


def test_the_first_policy_is_almost_uniform_and_its_layers_are_orthogonal():
    learner = lean.begin(CartPole(4, seeds=0), SMALL, rng=np.random.default_rng(0))
    assert learner.theta.dtype == np.float32
    np.testing.assert_allclose(lean.collect(learner).log_prob, -np.log(2), atol=0.02)
    for (w, b), gains in zip(lean.layers(learner), [(2, 2), (2, 2), (1e-4, 1)], strict=True):
        assert not b.any()
        for matrix, square in zip(w, gains, strict=True):
            short = matrix if len(matrix) <= matrix.shape[1] else matrix.T
            np.testing.assert_allclose(short @ short.T, square * np.eye(len(short)), atol=1e-6)


def test_it_stops_where_a_gradient_is_no_number():
    learner = small()
    lean.learn(learner, 2)
    learner.theta[-1] = np.nan  # the value network's last bias, of which its output doesn't depend
    learner.theta[-2] = np.nan
    with pytest.raises(FloatingPointError, match="not finite at update 2, minibatch 0"):
        lean.learn(learner, 1)


def test_it_wants_minibatches_of_one_size():
    with pytest.raises(ValueError, match="share out 96 samples evenly, got 5"):
        small(minibatches=5)
    with pytest.raises(ValueError, match="updates must be an integer of at least 1, got 0"):
        lean.learn(small(), 0)
