"""Baird's example, a state that is twice another, the ring: unstable where they say they are."""

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import mean_updates as mean
from rlcourse.deep.counterexamples import baird, ring, twice
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import policy_model


def visited(world, policy):
    n = len(world.phi)
    return fa.on_policy_distribution(policy_model(world.mdp, policy).p, np.full(n, 1 / n))


def system_of(world, d, gamma):
    model = policy_model(world.mdp, world.pi)
    return mean.td_system(world.phi, model.p, model.r, d, gamma)


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
