"""PPO on tensors: its carts against NumPy's, its rows against themselves; on the CPU."""

import numpy as np
import pytest
import torch

from rlcourse.deep import cartpole, ppo_tensors
from rlcourse.deep.networks import forward


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def learner(**changes):
    settings = ppo_tensors.Settings(**({"n": 64, "steps": 40, "updates": 8} | changes))
    return ppo_tensors.Learner(settings, generator=torch.Generator().manual_seed(0))


def test_the_motion_is_that_of_numpys_carts_to_float_precision():
    rng = np.random.default_rng(0)
    x = rng.normal(scale=[[1], [2], [0.2], [2]], size=(4, 100))
    force = rng.choice([-10.0, 10.0], size=100)
    wanted = cartpole.moved(x, force)
    got = ppo_tensors.moved(torch.tensor(x), torch.tensor(force))
    assert np.allclose(got, wanted, rtol=1e-12)
    single = ppo_tensors.moved(torch.tensor(x).float(), torch.tensor(force).float())
    assert np.allclose(single, wanted, atol=1e-5)


def test_rows_follow_each_other_and_episodes_begin_anew():
    x = learner()
    x.collect()
    rows = x.rows
    over = (rows.terminated + rows.truncated)[:-1] > 0
    assert over.any()
    assert torch.equal(rows.s[1:][~over], rows.s_next[:-1][~over])
    assert (rows.s[1:][over].abs() <= cartpole.FIRST).all()
    forces = 20.0 * rows.a - 10.0
    for t in (0, 7):
        moved = ppo_tensors.moved(rows.s[t].T, forces[t])
        assert torch.allclose(moved.T, rows.s_next[t])
        fallen = cartpole.fallen(rows.s_next[t].double().numpy().T)
        assert (fallen == rows.terminated[t].bool().numpy()).all()
    logits = forward(x.policy, rows.s.flatten(0, 1)[None], torch.tanh)
    pi = torch.distributions.Categorical(logits=logits[0].detach())
    assert torch.allclose(pi.log_prob(rows.a.flatten()), rows.log_prob.flatten(), atol=1e-5)


def test_what_an_episode_earned_is_its_length():
    x = learner()
    x.collect()
    ends = x.rows.terminated.numpy().astype(bool)
    for cart in range(5):
        at = np.flatnonzero(ends[:, cart])
        lengths = np.diff(np.concatenate([[-1], at]))
        assert (x.rows.ended[:, cart].numpy()[at] == lengths).all()
    running = np.where(ends.any(0), ends[::-1].argmax(0), len(ends))
    assert (x.carts.earned.numpy() == running).all()


def test_a_time_limit_cuts_and_the_next_episode_begins():
    x = learner()
    for t in range(10):
        ppo_tensors.step(x.policy, x.carts, x.rows, t, x.generator, limit=5)
    assert (x.rows.truncated[4] == 1).any()
    assert (x.rows.truncated[:4] == 0).all()
    assert (x.carts.steps <= 5).all()


def test_it_learns_and_the_same_seed_learns_the_same():
    one, two = learner(), learner()
    returns = []
    for x in (one, two):
        for _ in range(8):
            x.collect()
            returns.append(x.update())
    assert returns[:8] == returns[8:]
    assert np.mean(returns[6:8]) > 2 * returns[0]


def test_parameters_that_are_no_numbers_stop_it():
    x = learner()
    x.collect()
    with torch.no_grad():
        x.value.weights[0][0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite after update 0"):
        x.update()
