"""One state at a time: the same values as whole sweeps, and what an order saves."""

import numpy as np
import pytest

from rlcourse import gym
from rlcourse.tabular import asynchronous as asy
from rlcourse.tabular import dynamic_programming as d
from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m

CORRIDOR = g.grid_mdp(g.GridWorld(1, 30, target=(0,), terminal=True, stay=False))


def random_mdp(rng, ends=0.0) -> m.MDP:
    shape = tuple(int(n) for n in rng.integers((2, 1, 1), (20, 5, 5)))
    s_next = rng.integers(shape[0], size=shape)
    p = rng.dirichlet(np.ones(shape[2]), shape[:2])
    return m.finite_mdp(s_next, p, rng.normal(size=shape), rng.random(shape) < ends)


def some_mdps():
    for seed in range(10):
        yield random_mdp(np.random.default_rng(seed), ends=(seed % 2) * 0.3)


def by_hand(mdp, v, gamma, order):
    """The sweep in plain loops over a list."""
    v = v.tolist()
    for s in order:
        q = []
        for a in range(mdp.p.shape[1]):
            q.append(0.0)
            for k in range(mdp.p.shape[2]):
                goes_on = 0.0 if mdp.terminated[s, a, k] else 1.0
                future = gamma * goes_on * v[mdp.s_next[s, a, k]]
                q[a] += mdp.p[s, a, k] * (mdp.r[s, a, k] + future)
        v[s] = max(q)
    return v


# ------------------------------------------------------------------------------- in place


def test_a_sweep_in_place_is_that_of_plain_loops_in_any_order():
    for seed, mdp in enumerate(some_mdps()):
        rng = np.random.default_rng(seed)
        v = rng.normal(size=len(mdp.p))
        orders = (range(len(v)), rng.permutation(len(v)), [0, 1, 0], [])
        for order in orders:
            before = v.copy()
            swept = asy.in_place_sweep(mdp, v, 0.9, order)
            np.testing.assert_allclose(swept, by_hand(mdp, v, 0.9, order), atol=1e-12)
            np.testing.assert_array_equal(v, before)


def test_states_that_are_left_out_keep_their_values():
    mdp = random_mdp(np.random.default_rng(1))
    v = np.arange(len(mdp.p), dtype=float)
    swept = asy.in_place_sweep(mdp, v, 0.9, [1])
    np.testing.assert_array_equal(np.delete(swept, 1), np.delete(v, 1))


def test_one_backup_of_one_state_is_that_of_a_whole_sweep():
    for mdp in some_mdps():
        v = np.random.default_rng(0).normal(size=len(mdp.p))
        whole = m.bellman_optimality(mdp, v, 0.8)
        alone = [asy.in_place_sweep(mdp, v, 0.8, [s])[s] for s in range(len(v))]
        np.testing.assert_allclose(alone, whole, atol=1e-12)


def test_sweeps_in_place_reach_the_optimal_values_in_whatever_order():
    for seed, mdp in enumerate(some_mdps()):
        rng, v = np.random.default_rng(seed), np.zeros(len(mdp.p))
        best = d.policy_iteration(mdp, 0.8).v
        for _ in range(120):
            v = asy.in_place_sweep(mdp, v, 0.8, rng.permutation(len(v)))
        np.testing.assert_allclose(v, best, atol=1e-9)


def test_a_sweep_in_place_is_a_contraction_too():
    """Its error shrinks by γ at least, as that of a whole sweep does."""
    for mdp in some_mdps():
        v, best = np.zeros(len(mdp.p)), d.policy_iteration(mdp, 0.9).v
        for _ in range(20):
            before, v = v, asy.in_place_sweep(mdp, v, 0.9, range(len(v)))
            assert np.abs(v - best).max() <= 0.9 * np.abs(before - best).max() + 1e-12


def test_the_right_order_needs_one_sweep_where_the_wrong_one_needs_one_for_each_state():
    best = d.policy_iteration(CORRIDOR, 0.9).v
    counts = []
    for order in (range(30), range(29, -1, -1)):
        v, count = np.zeros(30), 0
        while np.abs(v - best).max() > 1e-12:
            v, count = asy.in_place_sweep(CORRIDOR, v, 0.9, order), count + 1
        counts.append(count)
    assert counts == [1, 29]


# ------------------------------------------------------------------------------- prioritized


@pytest.mark.parametrize(("gamma", "tolerance"), [(0.0, 1e-6), (0.5, 1e-9), (0.95, 1e-6)])
def test_prioritized_sweeping_keeps_its_promise_about_the_true_error(gamma, tolerance):
    for mdp in some_mdps():
        v, backups = asy.prioritized_sweeping(mdp, gamma, tolerance)
        assert np.abs(v - d.policy_iteration(mdp, gamma).v).max() <= tolerance
        assert backups > 0


def test_no_backup_is_spent_where_nothing_is_new():
    """Along a corridor one backup of each state is enough, beginning at the target."""
    v, backups = asy.prioritized_sweeping(CORRIDOR, 0.9, 1e-9)
    np.testing.assert_allclose(v, d.policy_iteration(CORRIDOR, 0.9).v, atol=1e-12)
    row = np.arange(1, 30)
    np.testing.assert_allclose(v[1:], 0.9 ** (row - 1))
    assert backups <= 2 * 29  # at first the wall at the far end looks bad from everywhere
    sweeps = g.value_iteration(CORRIDOR, 0.9, 1e-9).sweeps
    assert backups < sweeps * 30 / 10


def test_a_queue_takes_fewer_backups_than_sweeps_in_a_large_frozen_lake():
    mdp, _ = gym.model_of(gym.make("FrozenLake", map_name="8x8"))
    v, backups = asy.prioritized_sweeping(mdp, 0.95, 1e-6)
    swept = g.value_iteration(mdp, 0.95, 1e-6)
    np.testing.assert_allclose(v, swept.v, atol=2e-6)
    assert backups < swept.sweeps * 64


def test_nothing_to_do_takes_no_backup():
    mdp = m.deterministic_mdp([[0, 1], [1, 0]], np.zeros((2, 2)))
    v, backups = asy.prioritized_sweeping(mdp, 0.9)
    np.testing.assert_array_equal(v, 0)
    assert backups == 0


def test_predecessors_lead_there_with_some_probability_and_go_on():
    for mdp in some_mdps():
        model = [set[int]() for _ in mdp.p]
        for s, a, k in np.ndindex(mdp.p.shape):
            if mdp.p[s, a, k] > 0 and not mdp.terminated[s, a, k]:
                model[mdp.s_next[s, a, k]].add(s)
        assert asy.predecessors(mdp) == [sorted(states) for states in model]
    certain = m.finite_mdp([[[0, 1]], [[0, 1]]], [[[1.0, 0.0]], [[1.0, 0.0]]], 0.0, [[[0]], [[1]]])
    assert asy.predecessors(certain) == [[0], []]


@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_a_discount_that_has_no_bound_is_refused(gamma):
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\) for the error bound, got"):
        asy.prioritized_sweeping(CORRIDOR, gamma)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_a_tolerance_is_positive(tolerance):
    with pytest.raises(ValueError, match="tolerance must be positive, got"):
        asy.prioritized_sweeping(CORRIDOR, 0.9, tolerance)
