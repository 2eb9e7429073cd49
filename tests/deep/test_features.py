"""Features against orthogonality, a published tile coder, finite differences and the integral."""

from itertools import product

import numpy as np
import pytest

from rlcourse.deep import features as f
from rlcourse.deep.long_walk import groups, long_walk, position


def test_monomials_come_by_degree_and_there_are_n_plus_d_choose_d():
    assert f.exponents(2, 2).tolist() == [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    for d, n in product((1, 2, 3), (0, 1, 4)):
        c = f.exponents(d, n)
        count = np.prod([(n + i) / i for i in range(1, d + 1)])
        assert len(c) == round(count)
        assert len({tuple(row) for row in c}) == len(c)
        assert c.sum(1).max() == n


def test_polynomials_of_the_plane_are_those_of_zhaos_example():
    x, y = 0.3, -0.7
    np.testing.assert_allclose(
        f.polynomial_features(np.array([x, y]), 3),
        [1, x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3],
    )
    assert f.polynomial_features(np.zeros((4, 5, 2)), 3).shape == (4, 5, 10)


def test_fourier_features_of_a_line_are_orthogonal_and_of_one_size():
    """∫ cos(π c x) cos(π c' x) dx over [0, 1] is 0 unless c' = c, by the midpoint rule."""
    line = (np.arange(40) + 0.5) / 40
    one = f.fourier_features(line[:, None], 7)
    np.testing.assert_allclose(one.T @ one / 40, np.diag([1.0] + [0.5] * 7), atol=1e-12)
    x = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    two = f.fourier_features(x, 3)
    np.testing.assert_allclose((two**2).mean(0), [1.0] + [0.5] * 15, atol=1e-12)


def test_parseval_holds_for_a_function_of_a_few_cosines():
    n = 64
    x = ((np.arange(n) + 0.5) / n)[:, None]
    w = np.array([0.5, -1.0, 2.0, 0.25])
    v = f.fourier_features(x, 3) @ w
    assert (v**2).mean() == pytest.approx(w[0] ** 2 + (w[1:] ** 2).sum() / 2)


def test_the_last_coordinates_frequency_runs_fastest():
    x = np.array([0.2, 0.6])
    got = f.fourier_features(x, 2)
    wanted = [np.cos(np.pi * (a * x[0] + b * x[1])) for a in range(3) for b in range(3)]
    np.testing.assert_allclose(got, wanted)


def sutton_tiles(x, tilings, tiles):
    """The cells of Sutton's tiles3.py before its hashing, coded from its description: integers."""
    q = np.floor(np.asarray(x) * tiles * tilings).astype(int)
    rows = []
    for tiling in range(tilings):
        b = tiling
        cell = []
        for part in q:
            cell.append((part + b) // tilings)
            b += 2 * tiling
        rows.append((tiling, *cell))
    return rows


@pytest.mark.parametrize(("tilings", "tiles", "d"), [(8, 4, 2), (4, 3, 1), (5, 6, 3), (1, 2, 2)])
def test_two_points_share_a_tile_exactly_where_suttons_tile_coder_says_so(tilings, tiles, d):
    rng = np.random.default_rng(0)
    x = rng.random((60, d))
    ours = f.tile_indices(x, tilings, tiles)
    theirs = [sutton_tiles(row, tilings, tiles) for row in x]
    for i, j in product(range(60), repeat=2):
        same = [a == b for a, b in zip(theirs[i], theirs[j], strict=True)]
        assert (ours[i] == ours[j]).tolist() == same


def test_each_tiling_has_tiles_of_its_own_and_all_fit():
    line = np.linspace(0, 1, 33)
    x = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    index = f.tile_indices(x, 8, 4)
    per_tiling = index // 25
    assert (per_tiling == np.arange(8)).all()
    assert index.min() == 0
    assert index.max() < 200
    phi = f.tile_features(x, 8, 4)
    assert phi.shape == (33 * 33, 200)
    assert (phi.sum(-1) == 8).all()
    assert set(np.unique(phi)) == {0.0, 1.0}


def test_shifted_tilings_cut_a_line_into_steps_of_a_tilings_th_of_a_tile():
    tilings, tiles = 8, 4
    x = np.linspace(0, 0.999, 4000)[:, None]
    index = f.tile_indices(x, tilings, tiles)
    change = (np.diff(index, axis=0) != 0).sum(1)
    assert change.sum() == tilings * tiles - 1
    assert change.max() == 1


def test_state_aggregation_is_one_tile_a_state():
    phi = groups(10, 25)
    assert phi.shape == (25, 10)
    assert (phi.sum(1) == 1).all()
    assert (np.diff(phi.argmax(1)) >= 0).all()
    assert phi.sum(0).min() >= 2


def test_the_kernel_of_radial_features_on_a_fine_grid_is_the_gaussian_kernel():
    h, sigma = 0.02, 0.1
    x = np.linspace(0, 1, 7)[:, None]
    centres = np.arange(-1, 2, h)[:, None]
    k = f.kernel(*[f.radial_features(x, centres, sigma)] * 2)
    np.testing.assert_allclose(
        k * h / (sigma * np.sqrt(np.pi)), f.gaussian_kernel(x, x, sigma), atol=1e-12
    )
    grid = np.stack(np.meshgrid(*[np.arange(-1, 2, 0.05)] * 2), -1).reshape(-1, 2)
    points = np.random.default_rng(1).random((5, 2))
    k = f.kernel(*[f.radial_features(points, grid, sigma)] * 2)
    scale = (0.05 / (sigma * np.sqrt(np.pi))) ** 2
    np.testing.assert_allclose(k * scale, f.gaussian_kernel(points, points, sigma), atol=1e-9)


def test_a_gaussian_kernel_is_positive_definite():
    x = np.random.default_rng(2).random((12, 2))
    assert np.linalg.eigvalsh(f.gaussian_kernel(x, x, 0.2)).min() > 0


def test_the_box_is_scaled_and_bounds_are_checked():
    np.testing.assert_allclose(f.to_unit_box([[0, -1], [4, 1]], [0, -1], [4, 1]), [[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="low must be below high"):
        f.to_unit_box([0.0], [1.0], [1.0])
    with pytest.raises(ValueError, match="index must lie in"):
        f.binary_features(np.array([[3]]), 3)
    with pytest.raises(ValueError, match="width must be positive"):
        f.radial_features(np.zeros((1, 1)), np.zeros((1, 1)), 0.0)


def test_the_long_walk_is_that_of_example_9_1():
    mdp, start = long_walk()
    assert mdp.p.shape == (1000, 1, 200)
    assert start == 499
    # from state 100 (99 here) one of the hundred jumps left ends
    assert mdp.terminated[99].sum() == 1
    assert mdp.r[99].sum() == -1
    assert mdp.terminated[0].sum() == 100
    assert mdp.r[999].sum() == 100
    assert not mdp.terminated[500].any()
    assert sorted(mdp.s_next[500, 0] - 500) == [*range(-100, 0), *range(1, 101)]
    assert position(5).tolist() == [[0], [0.25], [0.5], [0.75], [1]]
