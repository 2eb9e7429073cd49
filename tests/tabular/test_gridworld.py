"""The grid world against the published tables of its two books, and exact solves."""

from dataclasses import replace

import numpy as np
import pytest

from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m

ZHAO_10 = replace(g.ZHAO, r_forbidden=-10.0)
TWO_BY_TWO = g.parse(
    """
    .x
    .T
"""
)


def arrows(letters: str, n_actions: int) -> np.ndarray:
    """A deterministic policy from one arrow a cell."""
    return m.deterministic_policy(["↑→↓←o".index(c) for c in "".join(letters.split())], n_actions)


def optimal_sets(world: g.GridWorld, gamma: float) -> list[str]:
    mdp = g.grid_mdp(world)
    best = m.greedy_sets(m.action_values(mdp, g.value_iteration(mdp, gamma).v, gamma))
    return ["".join(c for c, yes in zip("↑→↓←o", row, strict=False) if yes) for row in best]


# ------------------------------------------------------------------------------- the rules


def test_a_step_moves_one_cell_and_a_wall_bumps_back():
    s, a = np.meshgrid(np.arange(6), np.arange(5), indexing="ij")
    s_next, bumped = g.move(s, a, 2, 3)
    np.testing.assert_array_equal(
        s_next,
        [[0, 1, 3, 0, 0], [1, 2, 4, 0, 1], [2, 2, 5, 1, 2],
         [0, 4, 3, 3, 3], [1, 5, 4, 3, 4], [2, 5, 5, 4, 5]],
    )  # fmt: skip
    np.testing.assert_array_equal(bumped, (s_next == s) & (a != 4))


def test_the_reward_is_that_of_the_cell_entered():
    mdp = g.grid_mdp(g.ZHAO)
    r = mdp.r[..., 0]
    assert r[5, 1] == -1  # into forbidden cell 6
    assert r[6, 3] == 0  # out of it
    assert r[6, 4] == -1  # staying in it
    assert r[22, 0] == r[17, 4] == 1  # into the target, and staying in it
    assert r[0, 0] == r[0, 3] == -1  # into the wall
    assert not mdp.terminated.any()


def test_both_conventions_for_a_bump_inside_a_forbidden_cell():
    for bump, expected in (("boundary", -1), ("boundary + cell", -11)):
        mdp = g.grid_mdp(replace(ZHAO_10, bump=bump))
        assert mdp.r[21, 2, 0] == expected  # cell 21 is forbidden and lies at the lower wall
        assert mdp.r[0, 0, 0] == -1


def test_a_slippery_floor_replaces_the_action_by_any_of_all():
    mdp = g.grid_mdp(replace(g.ZHAO, slip=0.3))
    plain = g.grid_mdp(g.ZHAO)
    v = np.random.default_rng(0).normal(size=25)
    q = m.action_values(plain, v, 0.9)
    np.testing.assert_allclose(
        m.action_values(mdp, v, 0.9), 0.7 * q + 0.3 * q.mean(-1, keepdims=True)
    )
    everywhere = g.grid_mdp(replace(g.ZHAO, slip=1.0))
    np.testing.assert_allclose(np.ptp(m.action_values(everywhere, v, 0.9), axis=1), 0, atol=1e-12)


def test_a_terminal_target_ends_the_episode_also_when_slipping_into_it():
    for slip in (0.0, 0.4):
        mdp = g.grid_mdp(replace(g.ZHAO, terminal=True, slip=slip))
        into = (mdp.s_next == 17) & (mdp.p > 0)
        assert mdp.terminated[into].all()
        assert mdp.terminated[17].all()
        assert not mdp.terminated[~into & (np.arange(25) != 17)[:, None, None]].any()
        assert g.value_iteration(mdp, 1.0).v[17] == 0


# ------------------------------------------------------------------------------- published values


def test_the_first_policies_of_zhao_chapter_2():
    mdp = g.grid_mdp(TWO_BY_TWO)
    down = arrows("↓↓ →o", 5)
    np.testing.assert_allclose(g.closed_form(mdp, down, 0.9), [9, 10, 10, 10])
    right = arrows("→↓ →o", 5)
    np.testing.assert_allclose(g.closed_form(mdp, right, 0.9), [8, 10, 10, 10])
    half = (down + right) / 2
    np.testing.assert_allclose(g.closed_form(mdp, half, 0.9), [8.5, 10, 10, 10])


def test_the_values_of_the_uniform_policy_in_zhaos_world():
    mdp = g.grid_mdp(g.ZHAO)
    v = g.closed_form(mdp, m.uniform_policy(mdp), 0.9)
    np.testing.assert_allclose(v[:5].round(1), [-3.8, -3.8, -3.6, -3.1, -3.2])
    assert v.mean() == pytest.approx(-3.52, abs=1e-12)


def test_zhaos_optimal_values():
    expected = [
        [5.832, 5.58, 6.2, 6.48, 5.832],
        [6.48, 7.2, 8, 7.2, 6.48],
        [7.2, 8, 10, 8, 7.2],
        [8, 10, 10, 10, 8],
        [7.2, 9, 10, 9, 8.1],
    ]
    v = g.value_iteration(g.grid_mdp(g.ZHAO), 0.9).v
    np.testing.assert_allclose(v.reshape(5, 5), expected, atol=1e-9)
    v = g.value_iteration(g.grid_mdp(ZHAO_10), 0.9).v
    np.testing.assert_allclose(v[:5].round(1), [3.5, 3.9, 4.3, 4.8, 5.3])


def test_zhaos_world_has_64_optimal_deterministic_policies():
    assert np.prod([len(actions) for actions in optimal_sets(g.ZHAO, 0.9)]) == 64


def test_sutton_and_barto_example_3_5():
    mdp = g.grid_mdp(g.SUTTON_BARTO_3_5)
    v = g.closed_form(mdp, m.uniform_policy(mdp), 0.9)
    printed = [
        [3.3, 8.8, 4.4, 5.3, 1.5],
        [1.5, 3.0, 2.3, 1.9, 0.5],
        [0.1, 0.7, 0.7, 0.4, -0.4],
        [-1.0, -0.4, -0.4, -0.6, -1.2],
        [-1.9, -1.3, -1.2, -1.4, -2.0],
    ]
    np.testing.assert_allclose(v.reshape(5, 5), printed, atol=0.0501)


def test_sutton_and_barto_example_3_8():
    mdp = g.grid_mdp(g.SUTTON_BARTO_3_5)
    v = g.value_iteration(mdp, 0.9).v
    assert v[1] == pytest.approx(10 / (1 - 0.9**5), abs=1e-8)
    printed = [
        [22.0, 24.4, 22.0, 19.4, 17.5],
        [19.8, 22.0, 19.8, 17.8, 16.0],
        [17.8, 19.8, 17.8, 16.0, 14.4],
        [16.0, 17.8, 16.0, 14.4, 13.0],
        [14.4, 16.0, 14.4, 13.0, 11.7],
    ]
    np.testing.assert_allclose(v.reshape(5, 5), printed, atol=0.0501)
    assert optimal_sets(g.SUTTON_BARTO_3_5, 0.9) == [
        "→", "↑→↓←", "←", "↑→↓←", "←", "↑→", "↑", "↑←", "←", "←",
        *["↑→", "↑", "↑←", "↑←", "↑←"] * 3,
    ]  # fmt: skip


def test_sutton_and_barto_example_4_1():
    mdp = g.grid_mdp(g.SUTTON_BARTO_4_1)
    v = g.closed_form(mdp, m.uniform_policy(mdp), 1.0)
    half = [0, -14, -20, -22, -14, -18, -20, -20]
    np.testing.assert_allclose(v, half + half[::-1], atol=1e-9)
    row, col = np.divmod(np.arange(16), 4)
    steps = np.minimum(row + col, 6 - row - col)
    np.testing.assert_array_equal(g.value_iteration(mdp, 1.0).v, -steps)


def test_sweeps_of_example_4_1_in_place_and_not():
    mdp = g.grid_mdp(g.SUTTON_BARTO_4_1)
    pi = m.uniform_policy(mdp)
    counts = []
    for in_place in (False, True):
        v, change, sweeps = np.zeros(16), 1.0, 0
        while change >= 1e-4:
            new = v.copy()
            for s in range(16):
                q = m.action_values(mdp, new if in_place else v, 1.0)
                new[s] = pi[s] @ q[s]
            change, v, sweeps = np.abs(new - v).max(), new, sweeps + 1
        counts.append(sweeps)
    assert counts == [173, 114]


# ------------------------------------------------------------------------------- the solvers


def random_world(rng) -> g.GridWorld:
    n_rows, n_cols = rng.integers(2, 7, size=2)
    cells = rng.permutation(n_rows * n_cols)
    return g.GridWorld(
        int(n_rows),
        int(n_cols),
        forbidden=tuple(cells[3:6].tolist()),
        target=(int(cells[0]),),
        terminal=bool(rng.integers(2)),
        slip=float(rng.choice([0, 0.25])),
        r_step=rng.normal(),
        bump=str(rng.choice(["boundary", "boundary + cell"])),
        stay=bool(rng.integers(2)),
        jumps=((int(cells[1]), int(cells[2]), 5.0),),
    )


def test_the_closed_form_solves_the_bellman_equation_of_any_world():
    rng = np.random.default_rng(0)
    for _ in range(40):
        mdp = g.grid_mdp(random_world(rng))
        pi = rng.dirichlet(np.ones(mdp.p.shape[1]), size=len(mdp.p))
        v = g.closed_form(mdp, pi, 0.95)
        p, r = m.policy_model(mdp, pi)
        np.testing.assert_allclose(v, np.linalg.solve(np.eye(len(r)) - 0.95 * p, r), atol=1e-10)
        np.testing.assert_allclose(m.bellman_expectation(mdp, pi, v, 0.95), v, atol=1e-10)


def test_iterative_evaluation_keeps_its_promise_about_the_true_error():
    rng = np.random.default_rng(1)
    for gamma, tolerance in ((0.5, 1e-2), (0.9, 1e-6), (0.99, 1e-3), (0.0, 1e-3)):
        mdp = g.grid_mdp(random_world(rng))
        pi = m.uniform_policy(mdp)
        error = g.iterative_evaluation(mdp, pi, gamma, tolerance) - g.closed_form(mdp, pi, gamma)
        assert np.abs(error).max() <= tolerance


def test_the_change_of_a_sweep_is_a_poor_stopping_rule():
    """Why the factor γ / (1 - γ): at γ = 0.99 a change below 10⁻³ leaves an error near 0.1."""
    mdp = g.grid_mdp(g.GridWorld(target=(12,)))
    pi = m.deterministic_policy(np.full(25, 4), 5)
    v, change = np.zeros(25), 1.0
    while change >= 1e-3:
        before, v = v, m.bellman_expectation(mdp, pi, v, 0.99)
        change = np.abs(v - before).max()
    error = np.abs(v - g.closed_form(mdp, pi, 0.99)).max()
    assert 50 * change < error <= 99 * change * (1 + 1e-9)


def test_value_iteration_finds_the_best_of_all_policies():
    rng = np.random.default_rng(2)
    world = g.parse("T.\n.x", slip=0.2, stay=False, r_step=-0.1)
    mdp = g.grid_mdp(world)
    every = np.array(list(np.ndindex(4, 4, 4, 4)))
    gamma = rng.uniform(0.5, 0.95)
    values = [g.closed_form(mdp, m.deterministic_policy(a, 4), gamma) for a in every]
    np.testing.assert_allclose(g.value_iteration(mdp, gamma).v, np.max(values, axis=0), atol=1e-9)


def test_value_iteration_is_as_near_as_it_says_and_counts_its_sweeps():
    mdp = g.grid_mdp(ZHAO_10)
    best = g.value_iteration(mdp, 0.9, 1e-12).v
    v, sweeps = g.value_iteration(mdp, 0.9, 1e-4)
    assert np.abs(v - best).max() <= 1e-4
    again = np.zeros(25)
    for _ in range(sweeps):
        again = m.bellman_optimality(mdp, again, 0.9)
    np.testing.assert_array_equal(v, again)


def test_gamma_zero_sees_one_reward_ahead():
    mdp = g.grid_mdp(g.ZHAO)
    np.testing.assert_array_equal(g.value_iteration(mdp, 0.0).v, mdp.r[..., 0].max(1))


# ------------------------------------------------------------------------------- maps and errors


def test_a_map_is_read_and_written_back():
    text = "S..x\n.xT.\n...T"
    world = g.parse(text, slip=0.1)
    assert world == g.GridWorld(3, 4, (3, 5), (6, 11), 0, slip=0.1)
    assert g.render(world) == text
    assert g.ZHAO.forbidden == (6, 7, 12, 16, 18, 21)
    assert g.ZHAO.target == (17,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("..\n...", r"text must have rows of 2 cells, got '...' in row 2"),
        ("..\n.q", r"text may hold the letters .xTS, got \['q'\] in row 2"),
        ("\n \n", "text must hold at least one row of cells, got none"),
        ("S.\n.S", "text may hold one start S, got 2"),
    ],
)
def test_bad_maps_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        g.parse(text)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            {"target": (3,), "forbidden": (2, 3)},
            r"target must not lie in a forbidden cell, got \[3",
        ),
        ({"target": (25,)}, r"target must lie in \[0, 25\), got 25"),
        ({"forbidden": (-1,)}, r"forbidden must lie in \[0, 25\), got -1"),
        ({"start": 30}, r"start must lie in \[0, 25\), got 30"),
        ({"jumps": ((0, 99, 1.0),)}, r"jumps must lie in \[0, 25\), got 99"),
        ({"jumps": ((0, 9, float("nan")),)}, "jumps must be finite, got nan"),
        ({"n_rows": 0}, "n_rows must be an integer of at least 1, got 0"),
        ({"n_cols": 2.5}, "n_cols must be an integer of at least 1, got 2.5"),
        ({"slip": 1.5}, r"slip must lie in \[0, 1\], got 1.5"),
        ({"r_step": float("nan")}, "r_step must be finite, got nan"),
        ({"r_target": float("inf")}, "r_target must be finite, got inf"),
        ({"bump": "wall"}, "bump must be 'boundary' or 'boundary \\+ cell', got 'wall'"),
    ],
)
def test_bad_worlds_are_refused(rules, words):
    with pytest.raises(ValueError, match=words):
        g.GridWorld(**rules)


def test_a_discount_that_has_no_answer_is_refused():
    mdp = g.grid_mdp(g.ZHAO)
    pi = m.uniform_policy(mdp)
    for gamma in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], got"):
            g.closed_form(mdp, pi, gamma)
        with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], got"):
            g.value_iteration(mdp, gamma)
        with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\) for the error bound"):
            g.iterative_evaluation(mdp, pi, gamma, 1e-3)
    with pytest.raises(ValueError, match="gamma = 1 needs episodes that end: from state 0 "):
        g.closed_form(mdp, pi, 1.0)
    with pytest.raises(ValueError, match="gamma = 1 needs episodes that end"):
        g.value_iteration(mdp, 1.0)
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\) for the error bound, got 1"):
        g.iterative_evaluation(mdp, pi, 1, 1e-3)
    for solve in (
        g.value_iteration,
        lambda x, gamma, tol: g.iterative_evaluation(x, pi, gamma, tol),
    ):
        with pytest.raises(ValueError, match="tolerance must be positive, got 0"):
            solve(mdp, 0.9, 0.0)


def test_gamma_one_is_refused_where_only_some_states_never_end():
    mdp = g.grid_mdp(g.SUTTON_BARTO_4_1)
    stuck = m.uniform_policy(mdp)
    stuck[3] = [1, 0, 0, 0]  # the upper right corner: up, into the wall, for ever
    with pytest.raises(ValueError, match=r"from state 3 \(1 in all\)"):
        g.closed_form(mdp, stuck, 1.0)


def test_values_that_grow_without_end_are_reported(monkeypatch):
    monkeypatch.setattr(g, "MOST_SWEEPS", 50)
    world = replace(g.SUTTON_BARTO_4_1, r_step=1.0)
    with pytest.raises(ValueError, match="after 50 sweeps a value still changed by 1"):
        g.value_iteration(g.grid_mdp(world), 1.0)
