"""Dynamic programming against enumeration of all policies, linear solves and published tables."""

from dataclasses import replace

import numpy as np
import pytest

from rlcourse import gym
from rlcourse.tabular import dynamic_programming as d
from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m

ZHAO_10 = replace(g.ZHAO, r_forbidden=-10.0)  # the world of Zhao's figure 4.4, gamma 0.9
STAY = 4


def random_mdp(rng, n_states=6, n_actions=3, n_outcomes=2, ends=0.0) -> m.MDP:
    """Any successors and rewards; an outcome ends the episode with probability `ends`."""
    shape = (n_states, n_actions, n_outcomes)
    s_next = rng.integers(n_states, size=shape)
    p = rng.dirichlet(np.ones(n_outcomes), shape[:2])
    return m.finite_mdp(s_next, p, rng.normal(size=shape), rng.random(shape) < ends)


def some_mdps(count=12):
    """Random MDPs of several sizes; every second one has ends."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        sizes = (int(n) for n in rng.integers((2, 1, 1), (30, 6, 5)))
        yield random_mdp(rng, *sizes, ends=(seed % 2) * 0.3)


def every_value(mdp: m.MDP, gamma: float) -> np.ndarray:
    """The values of all A^S deterministic policies, by a dense solve: (A^S, S)."""
    n_states, n_actions, _ = mdp.p.shape
    values = []
    for a in np.ndindex((n_actions,) * n_states):
        p, r = m.policy_model(mdp, m.deterministic_policy(a, n_actions))
        values.append(np.linalg.solve(np.eye(n_states) - gamma * p, r))
    return np.array(values)


def values_of(mdp: m.MDP, a: np.ndarray, gamma: float) -> np.ndarray:
    return g.closed_form(mdp, m.deterministic_policy(a, mdp.p.shape[1]), gamma)


# ------------------------------------------------------------------------------- two halves


def test_an_action_is_kept_while_it_is_among_the_best():
    q = np.array([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [5.0, 0.0, 5.1]])
    np.testing.assert_array_equal(d.policy_improvement(q, np.array([0, 1, 2, 0])), [1, 1, 2, 2])
    np.testing.assert_array_equal(d.policy_improvement(q, np.array([0, 1, 2, 0]), 0.2)[3], 0)


def test_an_improved_action_is_a_best_one_whatever_came_before():
    rng = np.random.default_rng(0)
    q = rng.integers(4, size=(500, 5)).astype(float)
    a = rng.integers(5, size=500)
    best = q == q.max(1, keepdims=True)
    better = d.policy_improvement(q, a)
    assert best[np.arange(500), better].all()
    np.testing.assert_array_equal(better == a, best[np.arange(500), a])


@pytest.mark.parametrize("j", [0, 1, 2, 7])
def test_truncated_evaluation_is_as_many_sweeps_of_the_bellman_equation(j):
    for mdp in some_mdps():
        rng = np.random.default_rng(j)
        n_states, n_actions, _ = mdp.p.shape
        a, v = rng.integers(n_actions, size=n_states), rng.normal(size=n_states)
        expected, given = v.copy(), v.copy()
        for _ in range(j):
            expected = m.bellman_expectation(
                mdp, m.deterministic_policy(a, n_actions), expected, 0.9
            )
        np.testing.assert_allclose(d.truncated_evaluation(mdp, a, v, 0.9, j), expected, atol=1e-12)
        np.testing.assert_array_equal(v, given)


def test_many_sweeps_reach_the_value_of_the_policy():
    for mdp in some_mdps():
        a = np.zeros(len(mdp.p), dtype=int)
        v = d.truncated_evaluation(mdp, a, np.ones(len(mdp.p)), 0.8, 150)
        np.testing.assert_allclose(v, values_of(mdp, a, 0.8), atol=1e-12)


# ------------------------------------------------------------------------------- policy iteration


@pytest.mark.parametrize("ends", [0.0, 0.4])
def test_policy_iteration_finds_the_best_of_all_policies(ends):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        mdp, gamma = random_mdp(rng, 5, 3, ends=ends), rng.uniform(0.3, 0.97)
        found = d.policy_iteration(mdp, gamma)
        every = every_value(mdp, gamma)
        np.testing.assert_allclose(found.v, every.max(0), atol=1e-11)
        np.testing.assert_allclose(values_of(mdp, found.a, gamma), found.v, atol=1e-11)


def test_without_a_discount_it_finds_the_best_of_all_policies_that_end():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        mdp = random_mdp(rng, 5, 3, 2)
        mdp = mdp._replace(terminated=np.arange(2) == rng.integers(2, size=(5, 3, 1)))
        found = d.policy_iteration(mdp, 1.0)
        np.testing.assert_allclose(found.v, every_value(mdp, 1.0).max(0), atol=1e-10)


def test_each_policy_is_at_least_as_good_as_the_one_before_in_every_state():
    for mdp in some_mdps():
        found = d.policy_iteration(mdp, 0.95, np.zeros(len(mdp.p), dtype=int))
        np.testing.assert_array_equal(found.policies[0], 0)
        np.testing.assert_array_equal(found.policies[-1], found.a)
        values = np.array([values_of(mdp, a, 0.95) for a in found.policies])
        steps = np.diff(values, axis=0)
        assert (steps >= -1e-12).all()
        assert (steps.max(1) > 1e-12).all()  # and better somewhere
        np.testing.assert_allclose(values[-1], found.v, atol=1e-11)


def test_it_takes_few_policies_and_none_twice():
    for mdp in some_mdps():
        policies = d.policy_iteration(mdp, 0.9).policies
        assert len(policies) == len(np.unique(policies, axis=0)) <= 8


def test_it_stops_where_a_version_that_takes_argmax_would_flip_for_ever():
    """Equally good actions differ in their last digits, and argmax follows those."""
    cycles = 0
    for seed in range(40):
        target = int(np.random.default_rng([3, seed]).integers(9))
        mdp = g.grid_mdp(g.GridWorld(3, 3, target=(target,), slip=0.1))
        assert len(d.policy_iteration(mdp, 0.9, np.zeros(9, dtype=int)).policies) <= 8
        now, seen = np.zeros(9, dtype=int), set[bytes]()
        while now.tobytes() not in seen:
            seen.add(now.tobytes())
            before, now = now, m.action_values(mdp, values_of(mdp, now, 0.9), 0.9).argmax(-1)
            if (before == now).all():
                break
        else:
            cycles += 1
    assert cycles >= 1


def test_it_stops_where_all_policies_tie():
    mdp = m.deterministic_mdp([[0, 1], [1, 0]], np.ones((2, 2)))
    found = d.policy_iteration(mdp, 0.9, [1, 0])
    np.testing.assert_array_equal(found.policies, [[1, 0]])
    np.testing.assert_allclose(found.v, 10)
    still = m.deterministic_mdp([[0, 1], [1, 0]], np.zeros((2, 2)))
    np.testing.assert_array_equal(d.policy_iteration(still, 0.9).v, 0)


def test_small_differences_count_however_rewards_are_scaled():
    """Two ways of equal length, one better by a part in 10⁸."""
    for scale in (1e-6, 1.0, 1e6):
        r = scale * np.array([[1.0, 1.0 + 1e-8], [0.0, 0.0], [0.0, 0.0]])
        mdp = m.deterministic_mdp([[1, 2], [1, 1], [2, 2]], r, [[0, 0], [1, 1], [1, 1]])
        found = d.policy_iteration(mdp, 0.9, [0, 0, 0])
        np.testing.assert_array_equal(found.a, [1, 0, 0])


def test_zhaos_two_cells():
    """Zhao, section 4.2: from both cells to the left, values -10 and -9, to the target at once."""
    world = g.GridWorld(1, 2, target=(1,))
    mdp = g.grid_mdp(world)
    left, right, stay = 3, 1, STAY
    np.testing.assert_allclose(values_of(mdp, np.array([left, left]), 0.9), [-10, -9])
    found = d.policy_iteration(mdp, 0.9, [left, left])
    np.testing.assert_array_equal(found.policies, [[left, left], [right, stay]])
    np.testing.assert_allclose(found.v, [10, 10])


def test_value_iteration_by_hand_as_in_zhaos_section_4_1():
    mdp = g.grid_mdp(g.parse(".x\n.T"))
    v = np.zeros(4)
    for expected in ([0, 1, 1, 1], [0.9, 1.9, 1.9, 1.9]):
        a = m.action_values(mdp, v, 0.9).argmax(-1)
        v = d.truncated_evaluation(mdp, a, v, 0.9, 1)
        np.testing.assert_allclose(v, expected)


def test_the_world_of_zhaos_figure_4_4():
    mdp = g.grid_mdp(ZHAO_10)
    expected = [
        [3.5, 3.9, 4.3, 4.8, 5.3],
        [3.1, 3.5, 4.8, 5.3, 5.9],
        [2.8, 2.5, 10, 5.9, 6.6],
        [2.5, 10, 10, 10, 7.3],
        [2.3, 9, 10, 9, 8.1],
    ]
    for first in (None, np.full(25, STAY), np.zeros(25, dtype=int)):
        found = d.policy_iteration(mdp, 0.9, first)
        np.testing.assert_allclose(found.v.reshape(5, 5).round(1), expected)
        np.testing.assert_allclose(found.v, g.value_iteration(mdp, 0.9, 1e-11).v, atol=1e-10)


def test_near_the_target_values_are_final_first():
    """Zhao, section 4.2, on figure 4.4: k steps away, after k improvements or one more."""
    mdp = g.grid_mdp(ZHAO_10)
    found = d.policy_iteration(mdp, 0.9, np.full(25, STAY))
    values = np.array([values_of(mdp, a, 0.9) for a in found.policies])
    final = (np.abs(values - found.v) < 1e-9).argmax(0)
    steps = np.log(found.v / 10) / np.log(0.9)  # no best way crosses a swamp: v = 10 · 0.9^steps
    np.testing.assert_allclose(steps, steps.round(), atol=1e-9)
    assert ((steps.round() <= final) & (final <= steps.round() + 1)).all()


# ------------------------------------------------------------------------------- truncated


@pytest.mark.parametrize("j", [1, 2, 5, 40])
def test_truncated_policy_iteration_keeps_its_promise_about_the_true_error(j):
    for mdp in some_mdps():
        for gamma, tolerance in ((0.0, 1e-3), (0.5, 1e-2), (0.9, 1e-8), (0.99, 1e-4)):
            v, sweeps = d.truncated_policy_iteration(mdp, gamma, j, tolerance)
            best = d.policy_iteration(mdp, gamma).v
            assert np.abs(v - best).max() <= tolerance * (1 + 1e-9) + 1e-12
            assert sweeps % j == 1 % j  # the last sweep is one that improves


def improve(tie, q, a):
    """A greedy policy: the first best action, the last one, or the old one while it is best."""
    if tie == "first":
        return q.argmax(-1)
    return STAY - q[:, ::-1].argmax(-1) if tie == "last" else d.policy_improvement(q, a)


def iterations(j, tie, evaluate_first=False):
    """Improvements of truncated policy iteration in Zhao's world until max|v - v*| < 10⁻³."""
    mdp, v, a, count = g.grid_mdp(ZHAO_10), np.zeros(25), np.full(25, STAY), 0
    best = d.policy_iteration(mdp, 0.9).v
    if evaluate_first:  # Zhao's algorithm 4.3 begins with the evaluation of its first policy
        v, count = d.truncated_evaluation(mdp, a, v, 0.9, j), 1
    while np.abs(v - best).max() >= 1e-3:
        a = improve(tie, m.action_values(mdp, v, 0.9), a)
        v, count = d.truncated_evaluation(mdp, a, v, 0.9, j), count + 1
    return count


@pytest.mark.parametrize("evaluate_first", [False, True])
@pytest.mark.parametrize("tie", ["first", "last", "keep"])
def test_the_sweeps_that_truncated_policy_iteration_needs_whatever_the_ties(tie, evaluate_first):
    counts = [iterations(j, tie, evaluate_first) for j in (1, 2, 5)]
    assert counts == [88, 44, 18]  # 88, 88 and 90 sweeps


def test_with_ten_sweeps_an_improvement_ties_decide_how_many_are_needed():
    assert [10 * iterations(10, tie) for tie in ("first", "last")] == [90, 150]
    assert 10 * iterations(10, "keep", evaluate_first=True) == 160


def test_a_small_change_is_no_small_error():
    """Stopping on max|change| < 10⁻³ takes 67, 34, 15 and 9 improvements, most of them too few."""
    mdp, counts, errors = g.grid_mdp(ZHAO_10), [], []
    best = d.policy_iteration(mdp, 0.9).v
    for j in (1, 2, 5, 10):
        v, change, count = np.zeros(25), 1.0, 0
        while change >= 1e-3:
            a = m.action_values(mdp, v, 0.9).argmax(-1)
            change = np.abs(m.bellman_optimality(mdp, v, 0.9) - v).max()
            v, count = d.truncated_evaluation(mdp, a, v, 0.9, j), count + 1
        counts.append(count)
        errors.append(np.abs(v - best).max())
    assert counts == [67, 34, 15, 9]
    assert max(errors) > 5e-3


# ------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("gamma", [0.0, 0.6, 0.95])
def test_macqueens_bounds_hold_after_every_sweep_and_tighten(gamma):
    for mdp in some_mdps():
        best, ends = d.policy_iteration(mdp, gamma).v, bool(mdp.terminated.any())
        v = np.random.default_rng(0).normal(size=len(mdp.p))
        low, high = np.full(len(v), -np.inf), np.full(len(v), np.inf)
        for _ in range(60):
            before, v = v, m.bellman_optimality(mdp, v, gamma)
            bounds = d.macqueen_bounds(before, v, gamma, ends)
            assert (bounds.low <= best + 1e-10).all()
            assert (bounds.high >= best - 1e-10).all()
            assert (bounds.low >= low - 1e-10).all()
            assert (bounds.high <= high + 1e-10).all()
            low, high = bounds


def test_the_greedy_policy_loses_no_more_than_the_bounds_are_apart():
    for mdp in some_mdps():
        best, ends = d.policy_iteration(mdp, 0.9).v, bool(mdp.terminated.any())
        v = np.zeros(len(mdp.p))
        for _ in range(12):
            a = m.action_values(mdp, v, 0.9).argmax(-1)
            before, v = v, m.bellman_optimality(mdp, v, 0.9)
            low, high = d.macqueen_bounds(before, v, 0.9, ends)
            assert (best - values_of(mdp, a, 0.9) <= high - low + 1e-12).all()


def test_the_bounds_are_never_wider_than_those_of_the_largest_change():
    for mdp in some_mdps():
        v, ends = np.zeros(len(mdp.p)), bool(mdp.terminated.any())
        for _ in range(10):
            before, v = v, m.bellman_optimality(mdp, v, 0.9)
            low, high = d.macqueen_bounds(before, v, 0.9, ends)
            assert (high - low <= 2 * 9 * np.abs(v - before).max() * (1 + 1e-12)).all()


def test_where_episodes_end_the_bounds_of_those_that_go_on_would_be_wrong():
    """A step that pays 1 and ends: v* = 1 at once, while every change so far was 1."""
    mdp = m.deterministic_mdp([[0]], [[1.0]], [[True]])
    v = m.bellman_optimality(mdp, np.zeros(1), 0.9)
    low, high = d.macqueen_bounds(np.zeros(1), v, 0.9, ends=False)
    assert not low <= d.policy_iteration(mdp, 0.9).v <= high
    low, high = d.macqueen_bounds(np.zeros(1), v, 0.9, ends=True)
    assert low == 1 < high
    losing = d.macqueen_bounds(np.zeros(1), -v, 0.9, ends=True)  # the same with a reward of -1
    assert losing.low < -1 == losing.high


def test_the_bounds_of_one_state_are_exact_after_one_sweep():
    v = m.bellman_optimality(m.deterministic_mdp([[0]], [[1.0]]), np.zeros(1), 0.9)
    low, high = d.macqueen_bounds(np.zeros(1), v, 0.9, ends=False)
    np.testing.assert_allclose([low, high], 10)


# ------------------------------------------------------------------------------- affine rewards


def test_affine_rewards_move_the_values_and_no_best_action():
    rng = np.random.default_rng(3)
    for _ in range(8):
        mdp = random_mdp(rng, 8, 4, 3)
        gamma, scale, shift = rng.uniform(0.1, 0.95), rng.uniform(0.1, 9), rng.normal() * 5
        changed = mdp._replace(r=scale * mdp.r + shift)
        v, v_changed = (d.policy_iteration(x, gamma).v for x in (mdp, changed))
        np.testing.assert_allclose(
            d.affine_values(v, gamma, scale, shift), v_changed, atol=1e-9, rtol=1e-9
        )
        sets = (
            m.greedy_sets(m.action_values(x, y, gamma), 1e-7)
            for x, y in ((mdp, v), (changed, v_changed))
        )
        np.testing.assert_array_equal(*sets)


def test_where_episodes_end_a_bonus_for_every_step_changes_the_best_action():
    world = g.GridWorld(1, 3, target=(2,), terminal=True, r_boundary=0.0)
    mdp = g.grid_mdp(world)
    paid = mdp._replace(r=np.where(np.arange(3)[:, None, None] < 2, mdp.r + 1, 0.0))
    right = 1
    assert d.policy_iteration(mdp, 0.9).a[0] == right
    assert d.policy_iteration(paid, 0.9).a[0] != right
    v = d.policy_iteration(paid, 0.9).v
    assert np.abs(v - d.affine_values(d.policy_iteration(mdp, 0.9).v, 0.9, 1, 1)).max() > 0.1


# ------------------------------------------------------------------------------- grids


def random_world(rng) -> g.GridWorld:
    n_rows, n_cols = (int(n) for n in rng.integers(1, 9, size=2))
    cells = rng.permutation(n_rows * n_cols).tolist()
    count = int(rng.integers(min(3, len(cells)) + 1))
    return g.GridWorld(
        n_rows,
        n_cols,
        target=tuple(cells[:count]),
        forbidden=tuple(cells[count : count + len(cells) // 4]),
        terminal=bool(rng.integers(2)),
        slip=float(rng.choice([0, 0.25, 1.0])),
        r_step=rng.normal(),
        r_target=rng.normal(),
        r_boundary=rng.normal(),
        bump=str(rng.choice(["boundary", "boundary + cell"])),
        stay=bool(rng.integers(2)),
    )


def test_shifted_arrays_find_the_values_of_any_world():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        world, gamma = random_world(rng), float(rng.choice([0.0, 0.5, 0.9, 0.99]))
        tolerance = float(rng.choice([1e-9, 1e-3]))
        v, sweeps = d.grid_values(world, gamma, tolerance)
        best = d.policy_iteration(g.grid_mdp(world), gamma).v
        assert np.abs(v - best).max() <= tolerance + 1e-11, world
        assert sweeps >= 1


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_shifted_arrays_find_what_value_iteration_finds(slip):
    for world in (g.ZHAO, replace(ZHAO_10, terminal=True), g.SUTTON_BARTO_4_1):
        world = replace(world, slip=slip)
        expected = g.value_iteration(g.grid_mdp(world), 0.9, 1e-10).v
        np.testing.assert_allclose(d.grid_values(world, 0.9, 1e-10).v, expected, atol=2e-10)


def test_a_large_world_is_solved_in_as_many_sweeps_as_it_is_wide():
    """Once each cell knows of the target, all change alike, and MacQueen's bounds are closed."""
    v, sweeps = d.grid_values(g.GridWorld(40, 40, target=(0,)), 0.99, 1e-8)
    row, col = np.divmod(np.arange(1600), 40)
    np.testing.assert_allclose(v, 100 * 0.99 ** np.maximum(row + col - 1, 0), atol=1e-8)
    assert sweeps <= 78 + 8


# ------------------------------------------------------------------------------- gymnasium


@pytest.mark.parametrize("family", ["FrozenLake", "CliffWalking", "Taxi"])
def test_gymnasiums_tables_are_solved(family):
    mdp, _ = gym.model_of(gym.make(family))
    expected = g.value_iteration(mdp, 0.95, 1e-10).v
    found = d.policy_iteration(mdp, 0.95)
    np.testing.assert_allclose(found.v, expected, atol=1e-9)
    np.testing.assert_allclose(values_of(mdp, found.a, 0.95), expected, atol=1e-9)
    v = d.truncated_policy_iteration(mdp, 0.95, 4, 1e-9).v
    np.testing.assert_allclose(v, expected, atol=2e-9)


def test_known_optima_of_gymnasiums_tables_without_a_discount():
    mdp, start = gym.model_of(gym.make("FrozenLake"))
    assert start @ d.policy_iteration(mdp, 1.0).v == pytest.approx(14 / 17, abs=1e-12)
    mdp, start = gym.model_of(gym.make("CliffWalking"))
    assert start @ d.policy_iteration(mdp, 1.0).v == pytest.approx(-13, abs=1e-9)


# ------------------------------------------------------------------------------- errors

OPEN = g.grid_mdp(g.ZHAO)


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_a_discount_outside_its_range_is_refused(gamma):
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], got"):
        d.policy_iteration(OPEN, gamma)
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], got"):
        d.policy_iteration(OPEN, gamma, np.zeros(25, dtype=int))


@pytest.mark.parametrize("gamma", [-0.1, 1.0, 1.1, float("nan")])
def test_a_discount_that_has_no_bound_is_refused(gamma):
    for solve in (
        lambda: d.truncated_policy_iteration(OPEN, gamma, 3),
        lambda: d.grid_values(g.ZHAO, gamma),
        lambda: d.affine_values(np.zeros(3), gamma, 1.0, 0.0),
    ):
        with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\)(,| for the error bound)"):
            solve()


def test_without_a_discount_a_policy_that_never_ends_is_named():
    with pytest.raises(ValueError, match="gamma = 1 needs episodes that end: from state 0 "):
        d.policy_iteration(OPEN, 1.0)
    corners = g.grid_mdp(g.SUTTON_BARTO_4_1)
    up = np.zeros(16, dtype=int)  # ends in the first column only
    with pytest.raises(ValueError, match=r"from state 1 \(11 in all\)"):
        d.policy_iteration(corners, 1.0, up)


@pytest.mark.parametrize(
    ("a", "words"),
    [
        (np.zeros(3, dtype=int), r"a must have shape \(25\), got \(3,\)"),
        (np.full(25, 5), r"a must lie in \[0, 5\), got 5"),
        (np.full(25, -1), r"a must lie in \[0, 5\), got -1"),
        (np.zeros(25), "a must be integers, got float64"),
    ],
)
def test_a_first_policy_that_is_none_is_refused(a, words):
    with pytest.raises(ValueError, match=words):
        d.policy_iteration(OPEN, 0.9, a)


@pytest.mark.parametrize("j", [0, -1, 2.5, True])
def test_a_number_of_sweeps_is_a_positive_integer(j):
    with pytest.raises(ValueError, match="j must be an integer of at least 1, got"):
        d.truncated_policy_iteration(OPEN, 0.9, j)


@pytest.mark.parametrize("x", [0.0, -1.0, float("nan"), float("inf")])
def test_tolerances_and_scales_are_positive(x):
    with pytest.raises(ValueError, match="tolerance must be positive, got"):
        d.truncated_policy_iteration(OPEN, 0.9, 3, x)
    with pytest.raises(ValueError, match="tolerance must be positive, got"):
        d.grid_values(g.ZHAO, 0.9, x)
    with pytest.raises(ValueError, match="scale must be positive, got"):
        d.affine_values(np.zeros(3), 0.9, x, 0.0)


def test_what_a_grid_of_shifts_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"world must have no jumps, got \(\(1, 21, 10.0\), "):
        d.grid_values(g.SUTTON_BARTO_3_5, 0.9)


def test_a_tolerance_out_of_reach_is_reported(monkeypatch):
    monkeypatch.setattr(d, "MOST_SWEEPS", 50)
    rng = np.random.default_rng(0)
    words = "gamma = 0.999999 is too near to 1 for tolerance = 1e-12: after 5[0-9] sweeps"
    with pytest.raises(ValueError, match=f"{words} the values are known to .* only"):
        d.truncated_policy_iteration(random_mdp(rng, 30, 2, 2), 0.999999, 4, 1e-12)
    with pytest.raises(ValueError, match=words):
        d.grid_values(g.GridWorld(60, 60, target=(0,)), 0.999999, 1e-12)


def test_policies_that_never_settle_are_reported(monkeypatch):
    monkeypatch.setattr(d, "MOST_POLICIES", 2)
    with pytest.raises(ValueError, match="mdp must be well scaled: after 2 policies"):
        d.policy_iteration(OPEN, 0.9, np.full(25, STAY))
