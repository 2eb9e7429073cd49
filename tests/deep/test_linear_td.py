"""One step of each linear method against loops, numerical gradients and its mean on a model."""

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import linear_td as td
from rlcourse.deep.counterexamples import baird
from rlcourse.deep.mean_updates import gradient_td_system, td_system
from rlcourse.tabular.mdp import policy_model
from rlcourse.tabular.stochastic_approximation import td_reading

GAMMA = 0.9


def batch(seed=0, learners=6, features=4):
    rng = np.random.default_rng(seed)
    w, h, phi, phi_next = rng.normal(size=(4, learners, features))
    terminated = np.arange(learners) % 3 == 0
    rho = rng.uniform(0, 3, learners)
    return w, h, phi, rng.normal(size=learners), phi_next, terminated, rho


def test_td_is_the_gradient_of_the_squared_error_to_a_target_that_counts_as_constant():
    w, _, phi, r, phi_next, terminated, _ = batch()
    target = r + GAMMA * ~terminated * (phi_next * w).sum(1)
    wanted = np.empty_like(w)
    for b in range(len(w)):
        for i in range(w.shape[1]):
            e = 1e-6 * np.eye(w.shape[1])[i]
            loss = [(target[b] - phi[b] @ (w[b] + s * e)) ** 2 / 2 for s in (1, -1)]
            wanted[b, i] = w[b, i] - 0.1 * (loss[0] - loss[1]) / 2e-6
    got = td.semi_gradient_td_step(w, phi, r, phi_next, terminated, 0.1, GAMMA)
    np.testing.assert_allclose(got, wanted, atol=1e-8)


def test_the_residual_gradient_is_that_of_half_the_squared_td_error():
    w, _, phi, r, phi_next, terminated, _ = batch(1)

    def loss(w):
        return td.td_error(w, phi, r, phi_next, terminated, GAMMA) ** 2 / 2

    steps = 1e-6 * np.eye(w.shape[1])
    slope = np.stack([(loss(w + e) - loss(w - e)) / 2e-6 for e in steps], -1)
    got = td.residual_gradient_step(w, phi, r, phi_next, terminated, 0.1, GAMMA)
    np.testing.assert_allclose(got, w - 0.1 * slope, atol=1e-8)


def test_with_one_feature_a_state_it_is_tabular_td():
    rng = np.random.default_rng(2)
    v, s, s_next = rng.normal(size=(5, 4)), rng.integers(4, size=5), rng.integers(4, size=5)
    r, terminated = rng.normal(size=5), np.array([0, 1, 0, 1, 0], dtype=bool)
    one = np.eye(4)
    got = td.semi_gradient_td_step(v, one[s], r, one[s_next], terminated, 0.3, GAMMA)
    wanted = v - 0.3 * td_reading(v, s, r, s_next, terminated, GAMMA)
    np.testing.assert_allclose(got, wanted)


@pytest.mark.parametrize("step", [td.tdc_step, td.gtd2_step])
def test_gradient_td_steps_agree_with_the_books_lines_learner_by_learner(step):
    w, h, phi, r, phi_next, terminated, rho = batch(3)
    got = step(w, h, phi, r, phi_next, terminated, rho, 0.1, 0.2, GAMMA)
    for b in range(len(w)):
        x = phi_next[b] * (not terminated[b])
        delta = r[b] + GAMMA * x @ w[b] - phi[b] @ w[b]
        if step is td.tdc_step:
            change = delta * phi[b] - GAMMA * x * (phi[b] @ h[b])
        else:
            change = (phi[b] - GAMMA * x) * (phi[b] @ h[b])
        np.testing.assert_allclose(got.w[b], w[b] + 0.1 * rho[b] * change)
        np.testing.assert_allclose(got.h[b], h[b] + 0.2 * rho[b] * (delta - phi[b] @ h[b]) * phi[b])


def test_where_h_is_zero_tdc_is_td_and_gtd2_stands_still():
    w, _, phi, r, phi_next, terminated, rho = batch(4)
    sample, zero = (phi, r, phi_next, terminated), np.zeros_like(w)
    plain = td.semi_gradient_td_step(w, *sample, 0.1 * rho, GAMMA)
    np.testing.assert_allclose(td.tdc_step(w, zero, *sample, rho, 0.1, 0.2, GAMMA).w, plain)
    np.testing.assert_array_equal(td.gtd2_step(w, zero, *sample, rho, 0.1, 0.2, GAMMA).w, w)


def test_one_learner_without_an_axis_and_flags_as_numbers_are_served_too():
    w, h, phi, r, phi_next, terminated, rho = batch(5)
    many = td.semi_gradient_td_step(w, phi, r, phi_next, terminated, 0.1, GAMMA)
    one = td.semi_gradient_td_step(w[0], phi[0], 1.5, phi_next[0], True, 0.1, GAMMA)
    np.testing.assert_allclose(one, w[0] + 0.1 * (1.5 - phi[0] @ w[0]) * phi[0])
    for step in (td.tdc_step, td.gtd2_step):
        all_ = step(w, h, phi, r, phi_next, terminated, rho, 0.1, 0.2, GAMMA)
        ints = step(w, h, phi, r, phi_next, terminated.astype(int), rho, 0.1, 0.2, GAMMA)
        single = step(
            w[1], h[1], phi[1], float(r[1]), phi_next[1], 0, float(rho[1]), 0.1, 0.2, GAMMA
        )
        np.testing.assert_array_equal(all_.w, ints.w)
        np.testing.assert_allclose(single.w, all_.w[1])
        np.testing.assert_allclose(single.h, all_.h[1])
    rates = np.linspace(0.1, 0.6, 6)
    each = td.semi_gradient_td_step(w, phi, r, phi_next, terminated, rates, GAMMA)
    np.testing.assert_allclose(each[0], many[0])


def transitions(world):
    """Every (s, a, outcome) of a world with its chance under the behaviour, and its ratio."""
    model = policy_model(world.mdp, world.behaviour)
    d = fa.on_policy_distribution(model.p, np.full(len(d0 := world.phi), 1 / len(d0)))
    for s, a, k in np.ndindex(world.mdp.p.shape):
        chance = d[s] * world.behaviour[s, a] * world.mdp.p[s, a, k]
        if chance:
            yield chance, s, world.mdp.s_next[s, a, k], world.pi[s, a] / world.behaviour[s, a]


def test_the_mean_of_every_sampled_step_is_the_mean_update():
    """On Baird's world: weigh all transitions of the behaviour by their chance."""
    world, gamma = baird(), 0.99
    model = policy_model(world.mdp, world.pi)
    d = np.full(7, 1 / 7)
    system = td_system(world.phi, model.p, model.r, d, gamma)
    rng = np.random.default_rng(6)
    w, h = rng.normal(size=(2, 8))
    mean_w, tdc, gtd2 = np.zeros(8), np.zeros(16), np.zeros(16)
    for chance, s, s_next, rho in transitions(world):
        sample = (world.phi[s], 0.0, world.phi[s_next], False)
        mean_w += chance * (td.semi_gradient_td_step(w, *sample, rho, gamma) - w)
        for total, step in ((tdc, td.tdc_step), (gtd2, td.gtd2_step)):
            new = step(w, h, *sample, rho, 1.0, 5.0, gamma)
            total += chance * (np.concatenate(new) - np.concatenate([w, h]))
    np.testing.assert_allclose(mean_w, system.b - system.a @ w, atol=1e-12)
    c = world.phi.T * d @ world.phi
    both = np.concatenate([w, h])
    for method, total in (("tdc", tdc), ("gtd2", gtd2)):
        joined = gradient_td_system(system, c, 5.0, method)
        np.testing.assert_allclose(total, joined.b - joined.a @ both, atol=1e-12)
