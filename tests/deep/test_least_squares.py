"""LSTD against the mean system, batch TD and a direct inverse."""

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import least_squares as ls
from rlcourse.tabular.mdp import finite_mdp, policy_model
from rlcourse.tabular.sampling import walk
from rlcourse.tabular.temporal_difference import batch_td

GAMMA = 0.9


def samples(seed, n=60, features=4):
    rng = np.random.default_rng(seed)
    phi, phi_next = rng.normal(size=(2, n, features))
    return phi, rng.normal(size=n), phi_next, rng.random(n) < 0.2


def test_with_a_table_it_is_batch_td():
    rng = np.random.default_rng(0)
    s, s_next = rng.integers(5, size=(2, 80))
    r, terminated = rng.normal(size=80), rng.random(80) < 0.2
    one = np.eye(5)
    np.testing.assert_allclose(
        ls.lstd(one[s], r, one[s_next], terminated, GAMMA),
        batch_td(s, r, s_next, terminated, 5, GAMMA),
    )


def test_it_converges_to_tds_fixed_point():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(6), 6)
    s_next = np.broadcast_to(np.arange(6), (6, 1, 6))
    mdp = finite_mdp(s_next, p[:, None], rng.normal(size=(6, 1, 1)), False)
    model, phi = policy_model(mdp, np.ones((6, 1))), rng.normal(size=(6, 3))
    d = fa.on_policy_distribution(model.p, np.eye(6)[0])
    exact = fa.td_fixed_point(phi, model.p, model.r, d, GAMMA)
    errors = []
    for steps in (100, 10_000):
        x = walk(mdp, np.ones((6, 1)), np.zeros(20, dtype=int), steps=steps, rng=rng)
        found = [
            ls.lstd(phi[x.s[:, b]], x.r[:, b], phi[x.s_next[:, b]], x.terminated[:, b], GAMMA)
            for b in range(20)
        ]
        errors.append(np.sqrt(((np.array(found) - exact) ** 2).mean()))
    assert errors[1] < 0.25 * errors[0]  # a tenth, by 1/√N
    assert errors[1] < 0.05


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_sample_by_sample_it_is_the_batch_solution(ridge):
    phi, r, phi_next, terminated = samples(2)
    state = ls.lstd_start(4, ridge)
    for n in range(60):
        state = ls.recursive_lstd_step(state, phi[n], r[n], phi_next[n], terminated[n], GAMMA)
        if n % 20 == 19:
            few = slice(n + 1)
            batch = ls.lstd(phi[few], r[few], phi_next[few], terminated[few], GAMMA, ridge)
            np.testing.assert_allclose(ls.lstd_weights(state), batch, atol=1e-8)


def test_the_inverse_is_that_of_the_sum_of_outer_products_and_zhaos_plus_is_not():
    phi, r, phi_next, _ = samples(3, n=1)
    start = ls.lstd_start(4, 0.5)
    got = ls.recursive_lstd_step(start, phi[0], r[0], phi_next[0], False, GAMMA)
    a = 0.5 * np.eye(4) + np.outer(phi[0], phi[0] - GAMMA * phi_next[0])
    np.testing.assert_allclose(got.inverse, np.linalg.inv(a))
    printed = 2 * start.inverse - got.inverse  # with a plus where the minus belongs
    assert np.abs(printed @ a - np.eye(4)).max() > 0.1


def test_b_learners_each_keep_a_matrix_of_their_own():
    phi, r, phi_next, terminated = samples(4, n=6)
    start = ls.lstd_start(4, 0.5)
    many = ls.LstdState(np.tile(start.inverse, (6, 1, 1)), np.tile(start.b, (6, 1)))
    got = ls.recursive_lstd_step(many, phi, r, phi_next, terminated, GAMMA)
    for b in range(6):
        one = ls.recursive_lstd_step(start, phi[b], r[b], phi_next[b], terminated[b], GAMMA)
        np.testing.assert_allclose(got.inverse[b], one.inverse)
        np.testing.assert_allclose(ls.lstd_weights(got)[b], ls.lstd_weights(one))


def test_too_few_samples_without_a_ridge_are_refused():
    phi, r, phi_next, terminated = samples(5, n=1)
    with pytest.raises(np.linalg.LinAlgError):
        ls.lstd(np.zeros((3, 2)), np.zeros(3), np.zeros((3, 2)), np.zeros(3, dtype=bool), GAMMA)
    with pytest.raises(ValueError, match="ridge must be positive"):
        ls.lstd_start(3, 0.0)
    assert ls.lstd(phi, r, phi_next, terminated, GAMMA, ridge=1.0).shape == (4,)
