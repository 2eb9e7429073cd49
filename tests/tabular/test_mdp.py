"""The operators of a finite MDP against enumeration, a linear solve and hand-made examples."""

import numpy as np
import pytest

from rlcourse.tabular import mdp as m


def random_mdp(rng, n_states=6, n_actions=3, n_outcomes=4, end=0.2):
    shape = (n_states, n_actions, n_outcomes)
    return m.finite_mdp(
        rng.integers(n_states, size=shape),
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
        rng.normal(size=shape),
        rng.random(shape) < end,
    )


def random_policy(rng, mdp):
    return rng.dirichlet(np.ones(mdp.p.shape[1]), size=len(mdp.p))


# ------------------------------------------------------------------------------- operators


def test_a_return_is_the_sum_of_powers_of_gamma():
    rng = np.random.default_rng(0)
    r = rng.normal(size=(2, 3, 7))
    g = m.discounted_returns(r, 0.8)
    for t in range(7):
        np.testing.assert_allclose(g[..., t], r[..., t:] @ 0.8 ** np.arange(7 - t))


def test_the_return_of_sutton_and_barto_exercise_3_8_is_computed_backwards():
    g = m.discounted_returns(np.array([-1.0, 2, 6, 3, 2]), 0.5)
    np.testing.assert_array_equal(g, [2, 6, 8, 4, 2])


def test_action_values_are_an_enumeration_of_outcomes():
    rng = np.random.default_rng(1)
    mdp = random_mdp(rng)
    v = rng.normal(size=6)
    q = m.action_values(mdp, v, 0.7)
    for s, a in np.ndindex(6, 3):
        total = 0.0
        for k in range(4):
            after = 0.0 if mdp.terminated[s, a, k] else 0.7 * v[mdp.s_next[s, a, k]]
            total += mdp.p[s, a, k] * (mdp.r[s, a, k] + after)
        assert q[s, a] == pytest.approx(total, abs=1e-12)


def test_the_policy_model_says_the_same_as_the_operator():
    rng = np.random.default_rng(2)
    for _ in range(20):
        mdp = random_mdp(rng)
        pi, v = random_policy(rng, mdp), rng.normal(size=6)
        p, r = m.policy_model(mdp, pi)
        np.testing.assert_allclose(r + 0.9 * p @ v, m.bellman_expectation(mdp, pi, v, 0.9))
        survive = (pi[..., None] * mdp.p * ~mdp.terminated).sum((1, 2))
        np.testing.assert_allclose(p.sum(1), survive)


def test_bellman_optimality_is_the_best_of_all_deterministic_policies():
    rng = np.random.default_rng(3)
    mdp = random_mdp(rng, n_states=4, n_actions=2)
    v = rng.normal(size=4)
    every = [
        m.bellman_expectation(mdp, m.deterministic_policy(np.array(a), 2), v, 0.9)
        for a in np.ndindex(2, 2, 2, 2)
    ]
    np.testing.assert_allclose(m.bellman_optimality(mdp, v, 0.9), np.max(every, axis=0))


def test_both_bellman_operators_contract_by_gamma():
    rng = np.random.default_rng(4)
    mdp = random_mdp(rng, end=0)
    pi = random_policy(rng, mdp)
    for _ in range(50):
        u, v = rng.normal(scale=10, size=(2, 6))
        far = 0.9 * np.abs(u - v).max() + 1e-12
        for sweep in (
            lambda x: m.bellman_expectation(mdp, pi, x, 0.9),
            lambda x: m.bellman_optimality(mdp, x, 0.9),
        ):
            assert np.abs(sweep(u) - sweep(v)).max() <= far


# ------------------------------------------------------------------------------- builders


def test_a_dense_table_and_its_outcomes_are_one_mdp():
    rng = np.random.default_rng(5)
    p, r, v = rng.dirichlet(np.ones(5), size=(5, 2)), rng.normal(size=(5, 2)), rng.normal(size=5)
    q = m.action_values(m.dense_mdp(p, r), v, 0.9)
    np.testing.assert_allclose(q, r + 0.9 * p @ v)
    r3 = rng.normal(size=(5, 2, 5))
    q = m.action_values(m.dense_mdp(p, r3), v, 0.9)
    np.testing.assert_allclose(q, (p * (r3 + 0.9 * v)).sum(-1))


def test_a_terminal_state_is_worth_nothing_and_ends_what_enters_it():
    p = np.full((3, 1, 3), 1 / 3)
    mdp = m.dense_mdp(p, np.ones((3, 1)), terminal=[2])
    q = m.action_values(mdp, np.array([10.0, 20, 1000]), 1.0)
    np.testing.assert_allclose(q[:, 0], [11, 11, 0])


def test_a_deterministic_mdp_has_one_outcome():
    mdp = m.deterministic_mdp([[1, 0], [0, 1]], 2.0, [[False, True], [False, False]])
    assert mdp.p.shape == (2, 2, 1)
    q = m.action_values(mdp, np.array([1.0, 10]), 0.5)
    np.testing.assert_allclose(q, [[7, 2], [2.5, 7]])


GOOD = {"s_next": np.zeros((2, 3, 2), int), "p": np.full((2, 3, 2), 0.5), "r": np.zeros((2, 3, 2))}
BAD = {
    "p must sum to 1 in each row, got 1.1 in row (1, 2)": {
        "p": lambda p: p.__setitem__((1, 2), 0.55)
    },
    "p must not be negative, got -0.5 at index (0, 1, 0)": {
        "p": lambda p: p.__setitem__((0, 1), [-0.5, 1.5])
    },
    "p must be finite, got nan at index (0, 0, 1)": {
        "p": lambda p: p.__setitem__((0, 0, 1), np.nan)
    },
    "r must be finite, got inf at index (1, 0, 0)": {
        "r": lambda r: r.__setitem__((1, 0, 0), np.inf)
    },
    "s_next must lie in [0, 2), got 2": {"s_next": lambda s: s.__setitem__((1, 0, 0), 2)},
    "s_next must lie in [0, 2), got -1": {"s_next": lambda s: s.__setitem__((1, 0, 0), -1)},
}


@pytest.mark.parametrize("words", BAD)
def test_bad_tables_are_refused_with_their_name_and_place(words):
    fields = {k: v.copy() for k, v in GOOD.items()}
    for name, spoil in BAD[words].items():
        spoil(fields[name])
    with pytest.raises(ValueError) as error:
        m.finite_mdp(**fields)
    assert words in str(error.value)


def test_wrong_shapes_and_types_are_refused():
    with pytest.raises(ValueError, match=r"p must have shape \(2, 3, 2\), got \(2, 3, 4\)"):
        m.finite_mdp(GOOD["s_next"], np.full((2, 3, 4), 0.25), 0.0)
    with pytest.raises(ValueError, match=r"r must broadcast to shape \(2, 3, 2\), got \(5,\)"):
        m.finite_mdp(GOOD["s_next"], GOOD["p"], np.zeros(5))
    with pytest.raises(ValueError, match="s_next must be integers, got float64"):
        m.finite_mdp(np.zeros((2, 3, 2)), GOOD["p"], 0.0)
    with pytest.raises(ValueError, match=r"s_next must have shape \(S, A, K\), got \(2, 3\)"):
        m.finite_mdp(np.zeros((2, 3), int), GOOD["p"], 0.0)
    with pytest.raises(ValueError, match=r"p must have shape \(S, A, 3\), got \(3, 2, 4\)"):
        m.dense_mdp(np.full((3, 2, 4), 0.25), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"r must have shape \(3, 2\), got \(3,\)"):
        m.dense_mdp(np.full((3, 2, 3), 1 / 3), np.zeros(3))
    with pytest.raises(ValueError, match=r"terminal must lie in \[0, 3\), got 7"):
        m.dense_mdp(np.full((3, 2, 3), 1 / 3), np.zeros((3, 2)), terminal=[7])
    mdp = m.finite_mdp(**GOOD)
    with pytest.raises(ValueError, match=r"pi must have shape \(2, 3\), got \(3, 2\)"):
        m.check_policy(mdp, np.full((3, 2), 0.5))
    with pytest.raises(ValueError, match="pi must sum to 1 in each row"):
        m.check_policy(mdp, np.full((2, 3), 0.5))


# ------------------------------------------------------------------------------- policies


def test_greedy_sets_hold_all_that_tie_within_the_tolerance():
    q = np.array([[1.0, 1 + 1e-12, 0.9], [-3, -2, -2]])
    np.testing.assert_array_equal(m.greedy_sets(q), [[1, 1, 0], [0, 1, 1]])
    np.testing.assert_array_equal(m.greedy_sets(q, 0.0), [[0, 1, 0], [0, 1, 1]])
    np.testing.assert_allclose(m.greedy_policy(q), [[0.5, 0.5, 0], [0, 0.5, 0.5]])


def test_policies_are_rows_of_probabilities():
    mdp = m.finite_mdp(**GOOD)
    np.testing.assert_allclose(m.uniform_policy(mdp), 1 / 3)
    np.testing.assert_array_equal(m.deterministic_policy([2, 0], 3), [[0, 0, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"a must lie in \[0, 3\), got 3"):
        m.deterministic_policy([3, 0], 3)
