"""Objectives and minimisers against numerical gradients, linear solves and published numbers."""

import numpy as np
import pytest

from rlcourse.deep import features as f
from rlcourse.deep import function_approximation as fa
from rlcourse.deep.long_walk import groups, long_walk
from rlcourse.deep.mean_updates import td_system
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp
from rlcourse.tabular.mdp import policy_model, uniform_policy
from rlcourse.tabular.sampling import walk

GAMMA = 0.9


def problem(seed, n_states=7, n_features=3, ending=0.0):
    """A random Markov chain with rewards, features, and the distribution of its states."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_states), n_states) * (1 - ending)
    r, phi = rng.normal(size=n_states), rng.normal(size=(n_states, n_features))
    d = fa.on_policy_distribution(p, np.full(n_states, 1 / n_states))
    v = np.linalg.solve(np.eye(n_states) - GAMMA * p, r)
    return phi, p, r, d, v


def slope(objective, w, h=1e-6):
    """The gradient of a function of w, by central differences."""
    return np.array(
        [(objective(w + h * e) - objective(w - h * e)) / (2 * h) for e in np.eye(len(w))]
    )


# ------------------------------------------------------------------------------- distributions


def test_the_on_policy_distribution_is_stationary_where_no_episode_ends():
    _, p, *_ = problem(0)
    d = fa.on_policy_distribution(p, np.eye(7)[2])
    np.testing.assert_allclose(d @ p, d, atol=1e-14)
    assert d.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.matrix_power(p, 200)[3], d, atol=1e-12)


def test_with_episodes_it_is_the_share_of_the_expected_visits():
    """Sutton & Barto, eq. 9.2 and 9.3: η = h + Pᵀη, d = η / Σ η."""
    _, p, *_ = problem(1, ending=0.2)
    start = np.array([0.5, 0.5, 0, 0, 0, 0, 0])
    visits = np.linalg.solve(np.eye(7) - p.T, start)
    np.testing.assert_allclose(fa.on_policy_distribution(p, start), visits / visits.sum())


def test_it_is_what_walkers_see():
    mdp, start = long_walk(20, 4)
    model = policy_model(mdp, np.ones((20, 1)))
    d = fa.on_policy_distribution(model.p, np.eye(20)[start])
    x = walk(mdp, np.ones((20, 1)), np.full(2000, start), steps=400, rng=np.random.default_rng(3))
    seen = np.array([(x.s == s).mean(0) for s in range(20)])
    error = seen.std(1) / np.sqrt(2000)
    assert (np.abs(seen.mean(1) - d) < 5 * error + 1e-3).all()


def test_the_long_walks_distribution_is_the_published_one():
    """Sutton & Barto, example 9.1: 1.37 % at the start, 0.17 % beside it, 0.0147 % at the ends."""
    mdp, start = long_walk()
    model = policy_model(mdp, np.ones((1000, 1)))
    d = fa.on_policy_distribution(model.p, np.eye(1000)[start])
    assert d[start] == pytest.approx(0.0137, abs=5e-5)
    assert d[start + 1] == pytest.approx(0.0017, abs=5e-5)
    assert d[0] == pytest.approx(0.000147, abs=5e-7)


def test_a_chain_in_two_parts_is_refused():
    with pytest.raises(ValueError, match="several closed parts"):
        fa.on_policy_distribution(np.eye(2), [0.5, 0.5])
    with pytest.raises(ValueError, match="start must sum to 1"):
        fa.on_policy_distribution(np.eye(2), [0.5, 0.4])


def test_under_the_uniform_policy_each_cell_of_zhaos_world_is_seen_alike():
    mdp = grid_mdp(ZHAO)
    d = fa.on_policy_distribution(policy_model(mdp, uniform_policy(mdp)).p, np.eye(25)[0])
    np.testing.assert_allclose(d, 1 / 25, atol=1e-14)


# ------------------------------------------------------------------------------- objectives


@pytest.mark.parametrize("seed", range(4))
def test_each_minimiser_has_a_gradient_of_zero_and_no_neighbour_is_better(seed):
    phi, p, r, d, v = problem(seed)
    rng = np.random.default_rng(seed)
    for objective, w in (
        (lambda w: fa.value_error(w, phi, v, d), fa.best_fit(phi, v, d)),
        (
            lambda w: fa.bellman_error(w, phi, p, r, d, GAMMA),
            fa.least_residual(phi, p, r, d, GAMMA),
        ),
        (
            lambda w: fa.projected_bellman_error(w, phi, p, r, d, GAMMA),
            fa.td_fixed_point(phi, p, r, d, GAMMA),
        ),
    ):
        np.testing.assert_allclose(slope(objective, w), 0, atol=1e-8)
        near = w + 0.1 * rng.normal(size=(50, len(w)))
        assert (objective(near) > objective(w)).all()


def test_objectives_broadcast_over_weight_vectors():
    phi, p, r, d, v = problem(5)
    w = np.random.default_rng(6).normal(size=(4, 2, 3))
    for objective in (
        lambda w: fa.value_error(w, phi, v, d),
        lambda w: fa.bellman_error(w, phi, p, r, d, GAMMA),
        lambda w: fa.projected_bellman_error(w, phi, p, r, d, GAMMA),
    ):
        got = objective(w)
        assert got.shape == (4, 2)
        assert got[3, 1] == pytest.approx(objective(w[3, 1]))


def test_the_fixed_point_is_a_projection_of_its_own_bellman_update():
    phi, p, r, d, _ = problem(7)
    w = fa.td_fixed_point(phi, p, r, d, GAMMA)
    pi = fa.projection(phi, d)
    np.testing.assert_allclose(pi @ (r + GAMMA * p @ phi @ w), phi @ w, atol=1e-12)
    np.testing.assert_allclose(pi @ pi, pi, atol=1e-12)
    np.testing.assert_allclose(d[:, None] * pi, (d[:, None] * pi).T, atol=1e-12)


def test_the_bellman_error_splits_into_what_is_seen_and_what_is_not():
    """Pythagoras: |δ̄|² = |Πδ̄|² + |δ̄ - Πδ̄|²."""
    phi, p, r, d, _ = problem(8)
    w = np.random.default_rng(9).normal(size=3)
    delta = fa.bellman_errors(w, phi, p, r, GAMMA)
    rest = delta - fa.projection(phi, d) @ delta
    assert fa.bellman_error(w, phi, p, r, d, GAMMA) == pytest.approx(
        fa.projected_bellman_error(w, phi, p, r, d, GAMMA) + fa.norm(rest, d)
    )


def test_the_projected_error_is_a_quadratic_form_of_the_mean_update():
    phi, p, r, d, _ = problem(10)
    w = np.random.default_rng(11).normal(size=3)
    a, b = td_system(phi, p, r, d, GAMMA)
    update = b - a @ w
    c = phi.T * d @ phi
    assert fa.projected_bellman_error(w, phi, p, r, d, GAMMA) == pytest.approx(
        update @ np.linalg.solve(c, update)
    )


def test_with_a_feature_for_each_state_all_minimisers_are_the_exact_values():
    _, p, r, d, v = problem(12)
    for w in (
        fa.best_fit(np.eye(7), v, d),
        fa.td_fixed_point(np.eye(7), p, r, d, GAMMA),
        fa.least_residual(np.eye(7), p, r, d, GAMMA),
    ):
        np.testing.assert_allclose(w, v, atol=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_the_fixed_points_error_keeps_its_bound(seed):
    phi, p, r, d, v = problem(seed, n_features=1 + seed % 4)
    best = fa.value_error(fa.best_fit(phi, v, d), phi, v, d)
    td = fa.value_error(fa.td_fixed_point(phi, p, r, d, GAMMA), phi, v, d)
    assert best - 1e-12 <= td <= best / (1 - GAMMA**2) + 1e-12
    assert np.sqrt(td) <= np.sqrt(best) / (1 - GAMMA) + 1e-12


def test_on_zhaos_world_the_values_are_the_books_and_more_features_fit_better():
    mdp = grid_mdp(ZHAO)
    pi = uniform_policy(mdp)
    model, v = policy_model(mdp, pi), closed_form(mdp, pi, GAMMA)
    assert v.mean() == pytest.approx(-3.52)
    assert v[:5].round(1).tolist() == [-3.8, -3.8, -3.6, -3.1, -3.2]
    x = f.to_unit_box(np.stack(np.divmod(np.arange(25), 5), -1), [0, 0], [4, 4])
    errors = []
    for degree in (1, 2, 3, 4):
        phi = f.polynomial_features(2 * x - 1, degree)
        w = fa.td_fixed_point(phi, model.p, model.r, np.full(25, 0.04), GAMMA)
        errors.append(float(fa.value_error(w, phi, v, np.full(25, 0.04))))
    assert (np.diff(errors) < 0).all()


def test_at_tds_fixed_point_ten_groups_of_the_long_walk_are_flatter_than_the_best_fit():
    """Sutton & Barto, figure 9.2, left."""
    mdp, start = long_walk()
    model = policy_model(mdp, np.ones((1000, 1)))
    d, phi = fa.on_policy_distribution(model.p, np.eye(1000)[start]), groups(10)
    v = closed_form(mdp, np.ones((1000, 1)), 1.0)
    best = fa.best_fit(phi, v, d)
    td = fa.td_fixed_point(phi, model.p, model.r, d, 1.0)
    assert np.ptp(td) < np.ptp(best)
    assert (np.diff(td) > 0).all()
    assert fa.value_error(td, phi, v, d) > 3 * fa.value_error(best, phi, v, d)


# ------------------------------------------------------------------------------- kernels


def test_the_kernel_alone_gives_the_values_of_its_features():
    phi, p, r, d, _ = problem(13)
    a, b = td_system(phi, p, r, d, GAMMA)
    values = fa.kernel_td_values(phi @ phi.T, p, r, d, GAMMA, 0.3)
    np.testing.assert_allclose(values, phi @ np.linalg.solve(a + 0.3 * np.eye(3), b), atol=1e-12)


def test_infinitely_many_radial_features_are_one_kernel():
    rng = np.random.default_rng(14)
    x = rng.random((7, 1))
    _, p, r, d, v = problem(14)
    sigma, h = 0.15, 0.01
    centres = np.arange(-1, 2, h)[:, None]
    phi = f.radial_features(x, centres, sigma) * np.sqrt(h / (sigma * np.sqrt(np.pi)))
    a, b = td_system(phi, p, r, d, GAMMA)
    many = phi @ np.linalg.solve(a + 1e-3 * np.eye(len(centres)), b)
    k = f.gaussian_kernel(x, x, sigma)
    np.testing.assert_allclose(fa.kernel_td_values(k, p, r, d, GAMMA, 1e-3), many, atol=1e-8)
    tiny = fa.kernel_td_values(k, p, r, d, GAMMA, 1e-12)
    np.testing.assert_allclose(tiny, v, atol=1e-3)  # as many free numbers as states: exact
