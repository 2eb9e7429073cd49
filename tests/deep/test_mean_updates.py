"""Mean updates against matrix powers, numerical gradients and published divergence."""

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import mean_updates as mean
from rlcourse.deep.counterexamples import baird, ring, twice
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import policy_model


def random_problem(seed, n_states=6, n_features=3):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_states), n_states)
    return rng.normal(size=(n_states, n_features)), p, rng.normal(size=n_states), rng


def visited(world, policy):
    n = len(world.phi)
    return fa.on_policy_distribution(policy_model(world.mdp, policy).p, np.full(n, 1 / n))


def system_of(world, d, gamma):
    model = policy_model(world.mdp, world.pi)
    return mean.td_system(world.phi, model.p, model.r, d, gamma)


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


# ------------------------------------------------------------------------------- the deadly triad


def test_bairds_behaviour_sees_all_states_alike_and_its_target_one():
    world = baird()
    np.testing.assert_allclose(visited(world, world.behaviour), 1 / 7)
    np.testing.assert_allclose(visited(world, world.pi), np.eye(7)[6], atol=1e-14)
    np.testing.assert_allclose(world.phi @ world.w, [3, 3, 3, 3, 3, 3, 12])


def test_bairds_example_diverges_and_without_any_one_of_the_three_it_does_not():
    world, gamma = baird(), 0.99
    d = visited(world, world.behaviour)
    assert mean.largest_growth(system_of(world, d, gamma).a) > 0.1
    # on-policy
    on = system_of(world, visited(world, world.pi), gamma).a
    assert mean.largest_growth(on) <= 1e-12
    # no bootstrapping: the target is the return, whose mean is v_π whatever w is
    assert mean.largest_growth(world.phi.T * d @ world.phi) <= 1e-12
    # no function approximation
    table = world._replace(phi=np.eye(7))
    assert mean.largest_growth(system_of(table, d, gamma).a) < 0


def test_bairds_errors_grow_as_the_eigenvalue_says():
    world, gamma, alpha = baird(), 0.99, 0.01
    system = system_of(world, np.full(7, 1 / 7), gamma)
    path = mean.mean_path(system, world.w, alpha, 20_000)
    growth = np.log(np.linalg.norm(path[-1]) / np.linalg.norm(path[-1001])) / 1000
    assert growth == pytest.approx(np.log1p(alpha * mean.largest_growth(system.a)), rel=1e-6)


def test_gradient_td_is_stable_on_bairds_example_for_any_ratio():
    world = baird()
    d = np.full(7, 1 / 7)
    system, c = system_of(world, d, 0.99), world.phi.T * d @ world.phi
    for method in ("tdc", "gtd2"):
        for ratio in (1.0, 10.0, 100.0):
            growth = mean.largest_growth(mean.gradient_td_system(system, c, ratio, method).a)
            # one direction of w and h that says nothing has the eigenvalue 0
            if method == "gtd2" or ratio > 1:
                assert growth < 1e-9, (method, ratio)


def test_twice_the_value_diverges_above_a_half_if_the_first_state_alone_is_seen():
    world = twice()
    for gamma, grows in ((0.4, False), (0.49, False), (0.51, True), (0.99, True)):
        a = system_of(world, np.array([1.0, 0.0]), gamma).a
        assert a[0, 0] == pytest.approx(1 - 2 * gamma)
        assert (mean.largest_growth(a) > 0) == grows
    a = system_of(twice(0.1), np.array([0.5, 0.5]), 0.8).a
    assert a[0, 0] == pytest.approx((1 - 1.6 + 4 * (1 - 0.9 * 0.8)) / 2)


def test_the_ring_has_the_same_exact_solution_however_it_is_visited_and_turns_unstable():
    growth = []
    for back in np.linspace(0, 0.9, 10):
        world = ring(float(back))
        d = visited(world, world.behaviour)
        system = system_of(world, d, 0.95)
        np.testing.assert_allclose(np.linalg.solve(*system), [1, 1], atol=1e-9)
        growth.append(mean.largest_growth(system.a))
    v = closed_form(world.mdp, world.pi, 0.95)
    np.testing.assert_allclose(world.phi @ [1, 1], v)
    assert (np.diff(growth) > 0).all()
    assert growth[0] < -1
    assert growth[7] < 0 < growth[8]
    assert np.abs(np.linalg.eigvals(system_of(ring(0.0), np.full(3, 1 / 3), 0.95).a).imag).max() > 0
