"""Reward-to-go of time-major batches: against loops over the episodes, in arrays and tensors."""

import numpy as np
import torch

from rlcourse.deep.advantages import reward_to_go
from rlcourse.tabular.mdp import discounted_returns
from rlcourse.tabular.returns import completed_returns
from rlcourse.tabular.targets import n_step_target


def batch(rng, steps=9, n=40):
    terminated, truncated = rng.random((2, steps, n)) < 0.2
    r, v_next = rng.normal(size=(2, steps, n))
    return r, v_next, terminated, truncated


def by_loop(r, v_next, terminated, truncated, gamma, b, t):
    """What is earned from step t of environment b on, until its episode is over."""
    g = 0.0
    for k in range(t, len(r)):
        g += gamma ** (k - t) * r[k, b]
        if terminated[k, b]:
            return g
        if truncated[k, b] or k == len(r) - 1:
            return g + gamma ** (k - t + 1) * v_next[k, b]
    raise AssertionError


def test_the_reward_to_go_stops_at_ends_and_is_completed_at_cuts():
    x = batch(np.random.default_rng(0))
    assert (x[2] & x[3]).any()
    g = reward_to_go(*x, 0.9)
    for t, b in np.ndindex(g.shape):
        assert np.isclose(g[t, b], by_loop(*x, 0.9, b, t))


def test_it_is_the_n_step_target_of_every_row():
    r, v_next, terminated, truncated = batch(np.random.default_rng(1))
    g = reward_to_go(r, v_next, terminated, truncated, 0.9)
    for t in range(len(r)):
        rows = (x[t:].T for x in (r, v_next, terminated, truncated))
        assert np.allclose(g[t], n_step_target(*rows, 0.9))


def test_whole_episodes_have_their_discounted_returns():
    rng = np.random.default_rng(2)
    r, never = rng.integers(-3, 4, size=(7, 5)), np.zeros((7, 5), dtype=bool)
    last = never.copy()
    last[-1] = True
    g = reward_to_go(r, np.full((7, 5), 1e9), last, never, 0.8)
    assert np.allclose(g, discounted_returns(r.T, 0.8).T)
    assert r.dtype.kind == "i"


def test_an_episode_that_was_cut_is_completed_as_everywhere():
    rng = np.random.default_rng(3)
    r, v = rng.normal(size=(6, 4)), rng.normal(size=4)
    never = np.zeros((6, 4), dtype=bool)
    theirs = completed_returns(r, ~never, never[0], v, 0.9)
    assert np.allclose(reward_to_go(r, np.tile(v, (6, 1)), never, never, 0.9), theirs)


def test_tensors_have_the_numbers_of_arrays():
    x = batch(np.random.default_rng(4))
    tensors = [torch.tensor(y, dtype=torch.float64) for y in x]
    assert np.allclose(reward_to_go(*tensors, 0.9), reward_to_go(*x, 0.9), rtol=1e-15)


def test_it_is_generalised_advantage_estimation_with_lambda_1_and_no_baseline():
    """A_t = δ_t + γ (1 - over) A_{t+1}, with v = 0 in δ_t but where an episode is cut."""
    r, v_next, terminated, truncated = batch(np.random.default_rng(5))
    cut = truncated.copy()
    cut[-1] = True
    delta = r + 0.9 * (1 - terminated) * np.where(cut, v_next, 0.0)
    a, follows = np.zeros(r.shape), np.zeros(r.shape[1])
    for t in reversed(range(len(r))):
        follows = delta[t] + 0.9 * (1 - (terminated | truncated)[t]) * follows
        a[t] = follows
    assert np.allclose(reward_to_go(r, v_next, terminated, truncated, 0.9), a)
