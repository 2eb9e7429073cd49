"""The banded solver against a dense one, on systems of every form that an MDP can lead to."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rlcourse.tabular import linear

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def dense(s_next: Ints, w: Floats) -> Floats:
    matrix = np.zeros((len(w), len(w)))
    for s in range(len(w)):
        for k in range(w.shape[1]):
            matrix[s, s_next[s, k]] += w[s, k]
    return matrix


def banded(
    n: int, band: int, k: int, total: float, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Random successors at most `band` away; each row of w sums to `total`."""
    here = np.arange(n)[:, None]
    s_next = np.clip(here + rng.integers(-band, band + 1, (n, k)), 0, n - 1)
    return s_next, total * rng.dirichlet(np.ones(k), n)


def grid(n_rows: int, n_cols: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Random weights on the four neighbours, or on the cell itself at the edge."""
    row, col = np.divmod(np.arange(n_rows * n_cols), n_cols)
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    ends = [
        np.clip(row + i, 0, n_rows - 1) * n_cols + np.clip(col + j, 0, n_cols - 1) for i, j in moves
    ]
    return np.stack(ends, 1), 0.99 * rng.dirichlet(np.ones(4), n_rows * n_cols)


def expect_the_dense_solution(s_next: Ints, w: Floats, rng: np.random.Generator) -> None:
    r = rng.normal(size=len(w))
    before = s_next.copy(), w.copy(), r.copy()
    expected = np.linalg.solve(np.eye(len(w)) - dense(s_next, w), r)
    v = linear.solve(s_next, w, r)
    np.testing.assert_allclose(v, expected, rtol=0, atol=1e-11 * max(1, np.abs(expected).max()))
    for kept, given in zip(before, (s_next, w, r), strict=True):
        np.testing.assert_array_equal(kept, given)


@pytest.mark.parametrize(
    ("n", "band"), [(1, 1), (2, 1), (24, 3), (65, 1), (100, 7), (101, 12), (400, 30), (700, 80)]
)
def test_a_banded_system_has_the_dense_solution(n: int, band: int) -> None:
    rng = np.random.default_rng([n, band])
    expect_the_dense_solution(*banded(n, band, 5, 0.99, rng), rng)


@pytest.mark.parametrize(
    ("n_rows", "n_cols"), [(1, 1), (1, 90), (90, 1), (9, 8), (8, 9), (40, 5), (5, 40), (10, 70)]
)
def test_a_grid_has_the_dense_solution(n_rows: int, n_cols: int) -> None:
    rng = np.random.default_rng([n_rows, n_cols])
    expect_the_dense_solution(*grid(n_rows, n_cols, rng), rng)


@pytest.mark.parametrize("n_cols", [10, 130])
def test_a_jump_on_a_grid_changes_no_digit(n_cols: int) -> None:
    rng = np.random.default_rng(n_cols)
    s_next, w = grid(1040 // n_cols, n_cols, rng)
    s_next[n_cols + 1] = 3  # a cell whose every move leads to the row above, not straight up
    expect_the_dense_solution(s_next, w, rng)


def test_states_without_order_have_the_dense_solution() -> None:
    rng = np.random.default_rng(0)
    s_next = rng.integers(0, 150, (150, 4))
    expect_the_dense_solution(s_next, 0.9 * rng.dirichlet(np.ones(4), 150), rng)


def test_weights_of_zero_do_not_widen_the_band() -> None:
    rng = np.random.default_rng(1)
    s_next, w = banded(300, 4, 3, 0.9, rng)
    far = rng.integers(0, 300, (300, 1))
    r = rng.normal(size=300)
    wide = linear.solve(np.hstack([s_next, far]), np.hstack([w, np.zeros((300, 1))]), r)
    np.testing.assert_array_equal(wide, linear.solve(s_next, w, r))


@pytest.mark.parametrize(("n", "band"), [(30, 4), (200, 9)])
def test_undiscounted_systems_that_end_somewhere_are_solved(n: int, band: int) -> None:
    rng = np.random.default_rng([n, band])
    s_next, w = banded(n, band, 6, 1.0, rng)
    s_next[:, 0] = np.maximum(np.arange(n) - 1, 0)  # a way towards state 0 from everywhere
    w[0] = 0  # which is terminal
    expect_the_dense_solution(s_next, w, rng)


@pytest.mark.parametrize("total", [0.0, 0.5, 0.9999])
@pytest.mark.parametrize("spare", [0, 3])
def test_where_each_state_leads_to_one_other_it_is_followed(total: float, spare: int) -> None:
    """Also where the other successors have the weight 0, and where some weights are negative."""
    rng = np.random.default_rng(spare)
    s_next, w = rng.integers(0, 300, (300, 1 + spare)), np.zeros((300, 1 + spare))
    w[np.arange(300), rng.integers(0, 1 + spare, 300)] = rng.choice([total, -total, 0], 300)
    expect_the_dense_solution(s_next, w, rng)


def test_one_state_that_leads_to_two_others_is_not_overlooked() -> None:
    rng = np.random.default_rng(9)
    s_next, w = banded(100, 3, 2, 0.9, rng)
    w[np.arange(100) != 50, 1] = 0
    expect_the_dense_solution(s_next, w, rng)


def test_following_leads_to_an_end_without_a_discount() -> None:
    s_next = np.maximum(np.arange(5000) - 1, 0)[:, None]
    w = (np.arange(5000) > 0).astype(float)[:, None]
    v = linear.solve(s_next, w, np.ones(5000))
    np.testing.assert_array_equal(v, np.arange(1, 5001))


def test_small_values_far_from_all_rewards_keep_their_digits() -> None:
    s_next = np.maximum(np.arange(200) - 1, 0)[:, None]
    v = linear.solve(s_next, np.full((200, 1), 0.9), np.eye(200)[0])
    np.testing.assert_allclose(v, 10 * 0.9 ** np.arange(200), rtol=1e-10)


@pytest.mark.parametrize("n", [2, 100])
def test_a_system_without_an_end_is_singular(n: int) -> None:
    s_next = ((np.arange(n) + 1) % n)[:, None]
    with pytest.raises(np.linalg.LinAlgError, match="ingular"):
        linear.solve(s_next, np.ones((n, 1)), np.ones(n))


def test_a_circle_that_turns_the_sign_is_no_singular_system() -> None:
    s_next, w = ((np.arange(100) + 1) % 100)[:, None], np.ones((100, 1))
    w[7] = -1
    expect_the_dense_solution(s_next, w, np.random.default_rng(0))


def test_no_successor_at_all_leaves_the_rewards() -> None:
    r = np.arange(200.0)
    np.testing.assert_array_equal(
        linear.solve(np.zeros((200, 1), np.intp), np.zeros((200, 1)), r), r
    )


def reflected(n: int, w: float) -> Floats:
    """Weights of a walk along n cells that goes each way with w; a wall sends it back."""
    a = w * (np.eye(n, k=1) + np.eye(n, k=-1))
    a[0, 0] += w
    a[-1, -1] += w
    return a


@pytest.mark.parametrize(("n_rows", "n_cols"), [(1, 1), (1, 7), (6, 6), (30, 11), (12, 80)])
def test_a_walk_that_treats_all_cells_alike_is_solved_by_its_sum(n_rows: int, n_cols: int) -> None:
    rng = np.random.default_rng([n_rows, n_cols])
    s_next, w = grid(n_rows, n_cols, rng)
    r = rng.normal(size=n_rows * n_cols)
    w = np.broadcast_to([0.3, 0.19, 0.3, 0.19], w.shape)
    v = linear.solve_sum(reflected(n_rows, 0.3), reflected(n_cols, 0.19), r.reshape(n_rows, n_cols))
    np.testing.assert_allclose(v.ravel(), linear.solve(s_next, w, r), rtol=0, atol=1e-11)


def test_a_sum_takes_symmetric_walks_that_lose_something() -> None:
    a, r = reflected(3, 0.25), np.ones((3, 3))
    with pytest.raises(ValueError, match=r"b must be symmetric, got entries 0\.25 apart"):
        linear.solve_sum(a, np.triu(a), r)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        linear.solve_sum(a, a, r)
