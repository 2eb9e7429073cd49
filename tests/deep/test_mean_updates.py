"""Mean updates against matrix powers, numerical gradients and published divergence."""

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import mean_updates as mean


def random_problem(seed, n_states=6, n_features=3):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_states), n_states)
    return rng.normal(size=(n_states, n_features)), p, rng.normal(size=n_states), rng


def test_a_and_b_are_sums_over_states_and_successors():
    phi, p, r, rng = random_problem(0)
    d = rng.dirichlet(np.ones(6))
    a, b = np.zeros((3, 3)), np.zeros(3)
    for s in range(6):
        b += d[s] * r[s] * phi[s]
        for j in range(6):
            a += d[s] * p[s, j] * np.outer(phi[s], phi[s] - 0.9 * phi[j])
    got = mean.td_system(phi, p, r, d, 0.9)
    np.testing.assert_allclose(got.a, a)
    np.testing.assert_allclose(got.b, b)


@pytest.mark.parametrize("seed", range(20))
def test_on_policy_a_is_positive_definite(seed):
    """Sutton & Barto, section 9.4: wᵀA w > 0 for all w, which is more than eigenvalues."""
    phi, p, r, _ = random_problem(seed)
    d = fa.on_policy_distribution(p, np.eye(6)[0])
    a = mean.td_system(phi, p, r, d, 0.99).a
    assert np.linalg.eigvalsh(a + a.T).min() > 0
    assert mean.largest_growth(a) < 0


def test_the_mean_path_is_a_matrix_power():
    phi, p, r, rng = random_problem(1)
    system = mean.td_system(phi, p, r, np.full(6, 1 / 6), 0.9)
    w, target = rng.normal(size=3), np.linalg.solve(*system)
    path = mean.mean_path(system, w, 0.1, 40)
    shrink = np.linalg.matrix_power(np.eye(3) - 0.1 * system.a, 40)
    np.testing.assert_allclose(path[40] - target, shrink @ (w - target), atol=1e-12)
    assert path.shape == (41, 3)


def test_half_the_gradient_of_pbe_is_what_gradient_td_descends():
    """Where h has settled at C⁻¹(b - Aw), the means of both methods are -∇PBE / 2."""
    phi, p, r, rng = random_problem(2)
    d = rng.dirichlet(np.ones(6))
    system, c = mean.td_system(phi, p, r, d, 0.9), phi.T * d @ phi
    w = rng.normal(size=3)
    h = np.linalg.solve(c, system.b - system.a @ w)
    e = 1e-6 * np.eye(3)

    def pbe(w):
        return fa.projected_bellman_error(w, phi, p, r, d, 0.9)

    slope = np.array([(pbe(w + x) - pbe(w - x)) / 2e-6 for x in e])
    for method in ("tdc", "gtd2"):
        joined = mean.gradient_td_system(system, c, 7.0, method)
        move = joined.b - joined.a @ np.concatenate([w, h])
        np.testing.assert_allclose(move[:3], -slope / 2, atol=1e-7)
        np.testing.assert_allclose(move[3:], 0, atol=1e-10)
    with pytest.raises(ValueError, match="method must be 'tdc' or 'gtd2'"):
        mean.gradient_td_system(system, c, 1.0, "sarsa")
