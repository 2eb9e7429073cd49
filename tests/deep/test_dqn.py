"""Deep Q-learning: what is stored, what is learned, and that training is reproducible."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.deep import dqn, q_learning
from rlcourse.deep.cartpole import CartPole
from rlcourse.deep.networks import copy_of, forward, tensors
from rlcourse.deep.progress import progress_bar
from rlcourse.deep.replay import Batch
from rlcourse.deep.rollouts import first_episodes
from rlcourse.deep.scaled import Scaled

SIZES = (2.4, 2.0, 0.2, 3.0)
SMALL = dqn.Settings(
    n=2,
    tau=1.0,
    hidden=(8,),
    batch=4,
    capacity=60,
    warm_up=20,
    every=20,
    updates=5,
    copy_every=3,
    explore=60,
)


def begun(learners, settings=SMALL, first=0, limit=500):
    generators = [torch.Generator().manual_seed(first + b) for b in range(learners)]
    env = CartPole(learners, seeds=first, limit=limit)
    return dqn.begin(env, settings, generators=generators)


def numbers(agent):
    """Everything that a run ends with, flat."""
    optimiser = agent.optimiser.state_dict()["state"].values()
    parts = [*tensors(agent.net), *tensors(agent.old), *agent.replay.held]
    parts += [x for state in optimiser for x in state.values()]
    arrays = [agent.s, agent.earned, agent.returns, *agent.env.state()]
    return [x.detach().numpy().copy() for x in parts] + arrays


# ------------------------------------------------------------------------------- what is stored


def test_a_time_limit_is_not_stored_as_an_end_and_the_true_successor_is_kept():
    agent = begun(3, limit=7)
    for _ in range(40):
        dqn.act(agent, torch.full((3, 2), 0.5))
    held = agent.replay.held
    lean = held.s_next[..., 2].abs() > 12 * 2 * np.pi / 360
    assert (held.terminated[:, :40] == lean[:, :40]).all()
    bug = begun(3, replace(SMALL, truncation_ends=True), limit=7)
    for _ in range(40):
        dqn.act(bug, torch.full((3, 2), 0.5))
    assert bug.replay.held.terminated.sum() == 3 * (40 // 7)
    # between two episodes s' is not the next row's s: the pole was leaning, not upright
    same = (held.s[:, 1:40] == held.s_next[:, :39]).all(-1)
    assert (~same).sum() == 3 * (39 // 7)


def test_returns_are_those_of_the_last_finished_episode():
    agent = begun(2, limit=5)
    assert np.isnan(agent.returns).all()
    for _ in range(13):
        dqn.act(agent, torch.full((2, 2), 0.5))
    np.testing.assert_array_equal(agent.returns, 5)
    np.testing.assert_array_equal(agent.earned, 3)


# ------------------------------------------------------------------------------- an update


def drawn_batch(learners=2, n=4, seed=0):
    rng = np.random.default_rng(seed)
    s, s_next = torch.as_tensor(rng.normal(size=(2, learners, n, 4)), dtype=torch.float32)
    a = torch.as_tensor(rng.integers(2, size=(learners, n)))
    r = torch.as_tensor(rng.normal(size=(learners, n)), dtype=torch.float32)
    terminated, truncated = torch.as_tensor(rng.random((2, learners, n)) < 0.3)
    return Batch(s, a, r, s_next, terminated, truncated)


def update(agent, batch):
    dqn.update(agent, batch, torch.full_like(batch.r, agent.settings.gamma))


@pytest.mark.parametrize("double", [False, True])
def test_an_update_is_a_step_of_adam_down_the_loss_of_the_settings(double):
    """The same step written again, with torch's loss, and q = v + a - mean a by hand."""
    settings = replace(SMALL, double=double, kappa=0.4, most=math.inf)
    agent, batch = begun(2, settings), drawn_batch()
    agent.old = copy_of(begun(2, settings, first=50).net)
    parts = [x.detach().clone().requires_grad_() for x in tensors(agent.net)]
    net = type(agent.net)(tuple(parts[:2]), tuple(parts[2:]))

    def row(which, s):
        y = forward(which, s)
        return y[..., :1] + y[..., 1:] - y[..., 1:].mean(-1, keepdim=True)

    judge = row(agent.old, batch.s_next)
    choose = row(net, batch.s_next) if double else judge
    follows = judge.gather(-1, choose.argmax(-1, keepdim=True))[..., 0]
    target = batch.r + settings.gamma * follows * ~batch.terminated
    taken = row(net, batch.s).gather(-1, batch.a[..., None])[..., 0]
    loss = torch.nn.functional.huber_loss(taken, target.detach(), reduction="none", delta=0.4)
    optimiser = torch.optim.Adam(parts, settings.rate)
    loss.mean(1).sum().backward()
    optimiser.step()
    update(agent, batch)
    for mine, expected in zip(tensors(agent.net), parts, strict=True):
        torch.testing.assert_close(mine, expected)


def test_the_target_network_is_copied_every_so_many_updates():
    agent = begun(2)
    for k in range(1, 7):
        update(agent, drawn_batch(seed=k))
        same = all(
            (a == b).all() for a, b in zip(*map(tensors, (agent.net, agent.old)), strict=True)
        )
        assert same == (k % 3 == 0)


def test_a_loss_that_is_no_number_stops_and_says_where_it_began():
    agent, batch = begun(3), drawn_batch(3)
    batch.r[1, 2] = torch.nan
    agent.done, agent.updated = 40, 7
    with pytest.raises(
        FloatingPointError, match=r"learners \[1\] is no number at update 7, step 40"
    ):
        update(agent, batch)


# ------------------------------------------------------------------------------- whole runs


def test_a_learner_alone_learns_what_it_learns_in_a_batch():
    """In float32 a product of another size may round differently, so the run is short."""
    both, alone = begun(2, first=3), begun(1, first=4)
    for agent in (both, alone):
        dqn.learn(agent, 60)
    assert (both.replay.held.a[1] == alone.replay.held.a[0]).all()
    for x, y in zip(tensors(both.net), tensors(alone.net), strict=True):
        torch.testing.assert_close(x[1:], y, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_run_bit_for_bit():
    one, other = begun(2), begun(2)
    for agent in (one, other):
        dqn.learn(agent, 80)
    for x, y in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_run_stopped_half_way_and_resumed_from_a_file_ends_bit_identical():
    whole, first, second = begun(2), begun(2), begun(2, first=70)
    dqn.learn(whole, 160)
    dqn.learn(first, 80)
    file = io.BytesIO()
    torch.save(dqn.checkpoint(first), file)
    dqn.learn(first, 20)  # a checkpoint is a copy: going on doesn't change it
    file.seek(0)
    second.env = CartPole(2, seeds=0)  # seeds are part of how an agent is begun
    dqn.resume(second, torch.load(file, weights_only=False))
    dqn.learn(second, 80)
    for x, y in zip(numbers(whole), numbers(second), strict=True):
        np.testing.assert_array_equal(x, y)
    assert (second.done, second.updated) == (whole.done, whole.updated) == (160, 40)


def test_a_checkpoint_of_other_settings_is_refused():
    saved = dqn.checkpoint(begun(2))
    with pytest.raises(ValueError, match="settings must be those of the checkpoint"):
        dqn.resume(begun(2, replace(SMALL, gamma=0.5)), saved)


def test_bad_steps_and_generators_are_refused():
    with pytest.raises(ValueError, match=r"steps must be a multiple of settings\.every = 20"):
        dqn.learn(begun(1), 30)
    with pytest.raises(ValueError, match="generators must be one for each of 3 learners, got 2"):
        dqn.begin(CartPole(3, seeds=0), SMALL, generators=[torch.Generator()] * 2)


def test_learning_beats_chance_within_2000_steps():
    agent = begun(3, dqn.Settings(updates=60, warm_up=500, explore=1000))
    dqn.learn(agent, 2000)
    found = first_episodes(
        CartPole(30, seeds=900), lambda s: q_learning.greedy_actions(agent.net, s, dueling=True)
    )
    assert np.median(found.earned.reshape(3, 10).mean(1)) > 50  # chance earns 22


# ------------------------------------------------------------------------------- around it


def test_greedy_actions_of_many_environments_are_those_of_one_at_a_time():
    agent = begun(2)
    s = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    a = q_learning.greedy_actions(agent.net, s, dueling=True)
    for i in range(6):
        q = q_learning.q_values(agent.net, torch.as_tensor(s[i]).expand(2, 1, 4), dueling=True)
        assert a[i] == q[i // 3, 0].argmax()


def test_rollouts_count_the_first_episode_only():
    found = first_episodes(CartPole(5, seeds=3), lambda s: np.ones(len(s), dtype=np.intp), 0.9)
    steps = found.steps
    assert (steps < 12).all()  # always pushing right fells the pole in 8 to 10 steps
    assert found.terminated.all()
    np.testing.assert_array_equal(found.earned, steps)
    np.testing.assert_allclose(found.discounted, (1 - 0.9**steps) / 0.1)
    cut = first_episodes(CartPole(5, seeds=3, limit=4), lambda s: np.ones(len(s), dtype=np.intp))
    np.testing.assert_array_equal(cut.steps, 4)
    assert not cut.terminated.any()


def test_the_bar_shows_steps_and_the_median_return():
    out = io.StringIO()
    show = progress_bar(out)
    show(20, 40, np.array([np.nan, np.nan]))
    show(40, 40, np.array([np.nan, 9.0, 11.0]))
    first, last = out.getvalue().split("\r")[1:]
    assert first.startswith("[############............] 20/40  no episode yet")
    assert "40/40  return 10.0  0 s left" in last
    assert last.endswith("\n")


def test_learning_reports_its_progress_and_is_watched_after_each_bout():
    seen, agent = [], begun(2)
    dqn.learn(
        agent, 60, watch=lambda x: seen.append(x.done), progress=lambda *x: seen.append(x[:2])
    )
    assert seen == [20, (20, 60), 40, (40, 60), 60, (60, 60)]


def test_scaled_observations_are_those_of_the_environment_divided_by_the_sizes():
    plain, scaled = CartPole(3, seeds=5, limit=9), Scaled(CartPole(3, seeds=5, limit=9), SIZES)
    np.testing.assert_allclose(scaled.reset() * SIZES, plain.reset(), rtol=1e-6)
    for _ in range(20):
        x, y = scaled.step(np.array([0, 1, 1])), plain.step(np.array([0, 1, 1]))
        np.testing.assert_allclose(x.s_next * SIZES, y.s_next, rtol=1e-6)
        np.testing.assert_allclose(x.s * SIZES, y.s, rtol=1e-6)
        assert (x.terminated == y.terminated).all()
    scaled.set_state(plain.state())
    np.testing.assert_array_equal(scaled.state().x, plain.state().x)
    for sizes in ((1.0, 2.0), (1.0, 1.0, 0.0, 1.0), (1.0, 1.0, np.nan, 1.0)):
        with pytest.raises(ValueError, match="sizes must"):
            Scaled(CartPole(1, seeds=0), sizes)


def test_the_rate_falls_on_a_line_to_zero():
    agent = begun(1, replace(SMALL, fade=10))
    rates = []
    for k in range(12):
        update(agent, drawn_batch(1, seed=k))
        rates.append(agent.optimiser.param_groups[0]["lr"])
    expected = SMALL.rate * np.maximum(0, 1 - np.arange(12) / 10)
    np.testing.assert_allclose(rates, expected)
