"""Sweeps by shifts, and of the fast form, against the Bellman operators of the plain model."""

from itertools import islice

import numpy as np
import pytest

from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m
from rlcourse.tabular import stencil, sweeps


def random_grid(rng) -> tuple[stencil.Grid, m.MDP]:
    """A grid in which every cell has a reward of its own, and the MDP that plain loops make."""
    n_rows, n_cols = (int(n) for n in rng.integers(1, 6, size=2))
    cell, wall = rng.normal(size=(2, n_rows, n_cols))
    terminal = rng.random((n_rows, n_cols)) < 0.2
    slip, stay = float(rng.choice([0.0, 0.3, 1.0])), bool(rng.integers(2))
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)][: 4 + stay]
    s_next, r = np.zeros((2, n_rows, n_cols, len(moves)))
    for row, col, a in np.ndindex(s_next.shape):
        i, j = row + moves[a][0], col + moves[a][1]
        inside = 0 <= i < n_rows and 0 <= j < n_cols
        s_next[row, col, a] = i * n_cols + j if inside else row * n_cols + col
        r[row, col, a] = cell[i, j] if inside else wall[row, col]
    shape = (n_rows * n_cols, len(moves), len(moves))
    ends = terminal.ravel()
    p = (1 - slip) * np.eye(len(moves)) + slip / len(moves)
    tables = (x.reshape(shape[0], 1, shape[2]) for x in (s_next.astype(int), r))
    s_next, r = (np.broadcast_to(x, shape) for x in tables)
    mdp = m.absorb(m.finite_mdp(s_next, np.broadcast_to(p, shape), r), ends)
    return stencil.Grid(cell, wall, terminal, slip, stay), mdp


@pytest.mark.parametrize("every", [1, 3])
def test_each_sweep_is_that_of_the_bellman_optimality_equation(every):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        grid, mdp = random_grid(rng)
        gamma, v = float(rng.choice([0.0, 0.7, 1.0])), np.zeros(len(mdp.p))
        shown = islice(stencil.sweeps(grid, gamma, every), 8 // every)
        for i, (before, after, number) in enumerate(shown, 1):
            for _ in range(every):
                expected, v = v, m.bellman_optimality(mdp, v, gamma)
            np.testing.assert_allclose(before, expected, atol=1e-12)
            np.testing.assert_allclose(after, v, atol=1e-12)
            assert number == i * every


def test_what_was_shown_does_not_change_afterwards():
    grid, _ = random_grid(np.random.default_rng(5))
    run = stencil.sweeps(grid, 0.9, 1)
    first = next(run)
    kept = [x.copy() for x in first[:2]]
    next(run)
    for x, y in zip(first[:2], kept, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("slip", [0.0, 0.2])
@pytest.mark.parametrize("terminal", [False, True])
def test_the_fast_form_of_an_mdp_has_the_same_action_values(slip, terminal):
    mdp = g.grid_mdp(g.GridWorld(4, 3, (5,), (7,), slip=slip, terminal=terminal))
    rng = np.random.default_rng(0)
    v, a = rng.normal(size=12), rng.integers(5, size=12)
    model, q = sweeps.linear_form(mdp, 0.9), m.action_values(mdp, v, 0.9)
    np.testing.assert_allclose(sweeps.backup(model, v), q, atol=1e-12)
    rows = sweeps.under(model, a)
    np.testing.assert_allclose(sweeps.backup(rows, v), q[np.arange(12), a], atol=1e-12)
    policy = m.deterministic_policy(a, 5)
    p, r = m.policy_model(mdp, policy)
    np.testing.assert_allclose(rows.r, r, atol=1e-12)
    np.testing.assert_allclose((rows.w * v[rows.s_next]).sum(-1), 0.9 * p @ v, atol=1e-12)
