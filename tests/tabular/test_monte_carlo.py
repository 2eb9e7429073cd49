"""Monte Carlo methods against exact solutions, under bands of five standard errors."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from rlcourse import gym
from rlcourse.tabular import mdp as m
from rlcourse.tabular import monte_carlo as mc
from rlcourse.tabular.blackjack import blackjack, state, stick_from
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import (
    SUTTON_BARTO_4_1,
    ZHAO,
    closed_form,
    grid_mdp,
    parse,
    value_iteration,
)
from rlcourse.tabular.returns import constant_alpha

FAR = 5.0  # standard errors: a normal mean is farther off once in 1.7 million
WALK = grid_mdp(SUTTON_BARTO_4_1)
UNIFORM = m.uniform_policy(WALK)
ZHAO_5 = grid_mdp(replace(ZHAO, r_forbidden=-10.0, bump="boundary + cell"))
LOOP = m.finite_mdp([[[0, 0]]], [[[0.8, 0.2]]], 1.0, [[[False, True]]])  # one state, mean 5 steps
CHOICE = m.deterministic_mdp([[0, 0]], -1.0, [[False, True]])  # stay or leave, each for -1


def is_near(samples, expected):
    """Whether the mean of independent samples (B, ...) is within the band of what is expected."""
    error = samples.std(0, ddof=1) / np.sqrt(len(samples))
    return (np.abs(samples.mean(0) - expected) <= FAR * error + 1e-12).all()


# ------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("visits", ["first", "every"])
def test_mean_returns_are_the_values_of_the_policy(visits):
    env = environment(WALK, np.full(16, 1 / 16))
    found = mc.evaluate(
        env, UNIFORM, 40, episodes=100, gamma=1.0, visits=visits, rng=np.random.default_rng(0)
    )
    assert (found.visits > 0).all()
    v = closed_form(WALK, UNIFORM, 1.0)
    bias = 0.0 if visits == "first" else 0.3  # which falls as 1/episodes
    assert (np.abs(found.v.mean(0) - v) <= FAR * found.v.std(0) / np.sqrt(40) + bias).all()


def test_the_first_visit_mean_of_one_episode_is_unbiased_and_the_every_visit_mean_is_not():
    """T steps of a loop that pays 1: the first return is T, the mean of all (T + 1) / 2."""
    env = environment(LOOP, 0)
    for visits, expected in (("first", 5.0), ("every", 3.0)):
        found = mc.evaluate(
            env, np.ones((1, 1)), 4000, episodes=1, gamma=1.0, visits=visits,
            rng=np.random.default_rng(1),
        )  # fmt: skip
        assert is_near(found.v[:, 0], expected)
    many = mc.evaluate(
        env, np.ones((1, 1)), 1, episodes=40_000, gamma=1.0, visits="every",
        rng=np.random.default_rng(2),
    )  # fmt: skip
    assert many.v[0, 0] == pytest.approx(5.0, abs=FAR * 6 / 200)  # E[(Σ T(T+1)/2)] / E[ΣT] = 5


def test_example_5_4_of_sutton_and_barto_by_sampling():
    game, s = blackjack(), state(13, 2, 1)
    found = mc.evaluate(
        environment(game.mdp, s), stick_from(20), 100, episodes=200, gamma=1.0,
        rng=np.random.default_rng(3),
    )  # fmt: skip
    assert is_near(found.v[:, s], -0.277204)


def test_a_cut_episode_is_no_whole_one():
    """Of a walk of 18 steps on average, cut after 8, three answers; one of them is right."""
    env, rng = environment(WALK, 5, limit=8), np.random.default_rng(4)
    completed = mc.evaluate(env, UNIFORM, 60, episodes=400, gamma=1.0, rng=rng).v[:, 5]
    v = closed_form(WALK, UNIFORM, 1.0)[5]
    assert v == pytest.approx(-18)
    bias = 0.3  # of a solved linear system with sampled entries, which falls as 1/episodes
    assert abs(completed.mean() - v) < FAR * completed.std() / np.sqrt(60) + bias
    x = mc.sample_episodes(env, UNIFORM, 20_000, rng=rng)
    whole = x.r.sum(0)
    left_out = whole[x.terminated]
    of_8_steps = np.zeros(16)
    for _ in range(8):
        of_8_steps = m.bellman_expectation(WALK, UNIFORM, of_8_steps, 1.0)
    assert is_near(whole, of_8_steps[5])
    assert left_out.mean() > whole.mean() > v + 10


def test_a_learner_completes_what_the_time_limit_cut():
    """Stay or leave, at random, for -1 a step: worth -2, of which 2 steps see -1.5."""
    learned = mc.learn(
        environment(CHOICE, 0, limit=2), 200, episodes=300, gamma=1.0, epsilon=1.0,
        rng=np.random.default_rng(5),
    )  # fmt: skip
    v = learned.q.mean(-1)[:, 0]
    assert abs(v.mean() + 2) < FAR * v.std() / np.sqrt(200) + 0.05  # old guesses are in the mean
    assert is_near(learned.earned.ravel(), -1.5)


def test_evaluation_without_an_end_is_refused_where_nothing_discounts():
    rng = np.random.default_rng(0)
    for start, episodes in ((5, 9), (np.full(16, 1 / 16), 20)):  # from the middle, from anywhere
        env = environment(WALK, start, limit=1)
        with pytest.raises(ValueError, match="gamma = 1 needs episodes that end: learner 0 saw"):
            mc.evaluate(env, UNIFORM, 2, episodes=episodes, gamma=1.0, rng=rng)
        found = mc.evaluate(env, UNIFORM, 2, episodes=episodes, gamma=0.9, rng=rng)
        assert np.isfinite(found.v).all()


def test_one_state_without_an_end_among_others_is_named():
    """0 ends at once; 1 and 2 lead to each other: each cut there is completed by the other."""
    mdp = m.deterministic_mdp([[0], [2], [1]], -1.0, [[True], [False], [False]])
    env = environment(mdp, np.full(3, 1 / 3), limit=3)
    with pytest.raises(ValueError, match=r"learner 0 saw none end from state 1 on"):
        mc.evaluate(env, np.ones((3, 1)), 1, episodes=30, gamma=1.0, rng=np.random.default_rng(0))


def test_constant_alpha_steps_towards_each_return():
    """With alpha 1 the values of a deterministic walk are its last returns, from the end back."""
    mdp = m.deterministic_mdp([[1], [2], [2]], [[1.0], [10], [0]], [[False], [True], [True]])
    guess = np.array([[0.0, 8, 5], [4, 0, 5]])
    found = constant_alpha(
        environment(mdp, 0), np.ones((3, 1)), guess, episodes=2, alpha=0.5, gamma=0.5,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.shape == (3, 2, 3)
    np.testing.assert_array_equal(found[0], guess)
    np.testing.assert_allclose(found[1], [[3, 9, 5], [5, 5, 5]])
    np.testing.assert_allclose(found[2], [[4.5, 9.5, 5], [5.5, 7.5, 5]])
    cut = constant_alpha(
        environment(mdp, 0, limit=1), np.ones((3, 1)), guess, episodes=1, alpha=1.0, gamma=0.5,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_allclose(cut[1], [[1 + 0.5 * 8, 8, 5], [1, 0, 5]])


def test_constant_alpha_comes_back_to_a_state_as_often_as_the_episode_does():
    found = constant_alpha(
        environment(LOOP, 0), np.ones((1, 1)), np.zeros((1, 1)), episodes=1, alpha=0.5, gamma=1.0,
        rng=np.random.default_rng(6),
    )  # fmt: skip
    length = int(mc.sample_episodes(
        environment(LOOP, 0), np.ones((1, 1)), 1, rng=np.random.default_rng(6)
    ).alive.sum())  # fmt: skip
    v = 0.0
    for t in range(length):
        v += 0.5 * (length - t - v)
    assert length > 1
    assert found[1, 0, 0] == pytest.approx(v)


# ------------------------------------------------------------------------------- policies


def test_a_greedy_action_has_what_exploration_leaves():
    q = np.array([[1.0, 3, 2, 0], [2, 5, 5, -1], [0, 0, 0, 0]])
    np.testing.assert_allclose(
        mc.epsilon_greedy(q, 0.2),
        [[0.05, 0.85, 0.05, 0.05], [0.05, 0.45, 0.45, 0.05], [0.25] * 4],
    )
    np.testing.assert_allclose(
        mc.epsilon_greedy(q, 0.2, "first"),
        [[0.05, 0.85, 0.05, 0.05], [0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]],
    )
    np.testing.assert_allclose(mc.epsilon_greedy(q, 1.0), 0.25)
    np.testing.assert_allclose(mc.epsilon_greedy(q[:, None], 0.0)[0, 0], [0, 1, 0, 0])
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\]"):
            mc.epsilon_greedy(q, bad)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5, 1.0])
def test_the_soft_optimum_is_the_optimum_of_a_floor_that_slips_as_often(epsilon):
    world = replace(ZHAO, r_forbidden=-10.0, bump="boundary + cell")
    found = mc.soft_optimum(grid_mdp(world), epsilon, 0.9)
    slippery = value_iteration(grid_mdp(replace(world, slip=epsilon)), 0.9, 1e-11)
    np.testing.assert_allclose(found.v, slippery.v, atol=1e-9)
    mixed = (1 - epsilon) * found.q.max(-1) + epsilon * found.q.mean(-1)
    np.testing.assert_allclose(found.v, mixed, atol=1e-9)
    np.testing.assert_allclose(found.v, closed_form(ZHAO_5, found.pi, 0.9), atol=1e-9)


def test_the_soft_optimum_is_the_best_of_all_soft_policies():
    rng = np.random.default_rng(7)
    mdp = m.finite_mdp(
        rng.integers(4, size=(4, 3, 2)), rng.dirichlet([1, 1], size=(4, 3)),
        rng.normal(size=(4, 3, 2)), rng.random((4, 3, 2)) < 0.3,
    )  # fmt: skip
    best = np.max([
        closed_form(mdp, 0.3 / 3 + 0.7 * m.deterministic_policy(a, 3), 1.0)
        for a in product(range(3), repeat=4)
    ], axis=0)  # fmt: skip
    np.testing.assert_allclose(mc.soft_optimum(mdp, 0.3, 1.0).v, best)


def test_the_cliff_has_a_known_soft_optimum():
    mdp, _ = gym.model_of(gym.make("CliffWalking"))
    assert mc.soft_optimum(mdp, 0.1, 1.0).v[36] == pytest.approx(-20.7077, abs=5e-5)
    assert mc.soft_optimum(mdp, 0.0, 1.0).v[36] == pytest.approx(-13)


def test_exploration_changes_the_best_policy_at_two_thresholds():
    best = m.greedy_sets(mc.soft_optimum(ZHAO_5, 0.0, 0.9).q, 1e-7)

    def greedy(epsilon):
        return m.greedy_sets(mc.soft_optimum(ZHAO_5, epsilon, 0.9).q, 1e-7)

    for epsilon, agrees in ((0.11955, True), (0.11965, False)):
        assert (greedy(epsilon) & best).any(-1).all() == agrees
    for epsilon, stays in ((0.21335, True), (0.21345, False)):
        assert greedy(epsilon)[17, 4] == stays


# ------------------------------------------------------------------------------- control


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 14, 15, 30])
def test_mc_basic_finds_the_optimum_of_as_many_steps_as_its_episodes_have(n_steps):
    found = mc.mc_basic(
        environment(ZHAO_5, 0, limit=n_steps), 2, episodes=1, iterations=20, gamma=0.9,
        rng=np.random.default_rng(8),
    )  # fmt: skip
    v = np.zeros(25)
    for _ in range(n_steps):
        v = m.bellman_optimality(ZHAO_5, v, 0.9)
    np.testing.assert_allclose(found[-1].max(-1), [v, v], atol=1e-12)
    assert (v[20] > 0) == (n_steps >= 15)  # the cell at the bottom left sees the target


def test_mc_basic_averages_the_episodes_of_a_pair():
    """Two steps in the loop: 1 + 0.5 with probability 0.8, and 1 otherwise."""
    found = mc.mc_basic(
        environment(LOOP, 0, limit=2), 300, episodes=20, iterations=2, gamma=0.5,
        rng=np.random.default_rng(9),
    )  # fmt: skip
    assert found.shape == (2, 300, 1, 1)
    assert is_near(found[-1, :, 0, 0], 1.4)
    expected = 0.5 * np.sqrt(0.16 / 20)
    assert found[-1].std() == pytest.approx(expected, rel=0.2)  # 20 episodes each, not one


def test_mc_basic_needs_to_know_how_long_an_episode_is():
    with pytest.raises(ValueError, match="env must have a limit"):
        mc.mc_basic(
            environment(LOOP, 0), 1, episodes=1, iterations=1, gamma=0.9,
            rng=np.random.default_rng(0),
        )  # fmt: skip


def test_exploring_starts_find_an_optimal_policy():
    world = parse(".x.\n...\n.xT", terminal=True, r_forbidden=-10.0, r_step=-1.0)
    mdp = grid_mdp(world)
    learned = mc.learn(
        environment(mdp, np.full(9, 1 / 9), limit=20), 30, episodes=800, gamma=1.0, epsilon=0.0,
        alpha=0.1, exploring_starts=True, rng=np.random.default_rng(10),
    )  # fmt: skip
    best = m.greedy_sets(m.action_values(mdp, value_iteration(mdp, 1.0).v, 1.0))
    chosen = best[np.arange(9), learned.q.argmax(-1)].all(-1)
    assert chosen.mean() >= 0.85  # of 50 others all did: five of 30 don't once in 10^5 runs


def test_a_learner_that_explores_finds_the_best_soft_policy():
    """Where leaving at once is best: q(stay) = -1 + v, q(leave) = -1."""
    for epsilon in (0.2, 0.6):
        learned = mc.learn(
            environment(CHOICE, 0), 100, episodes=2000, gamma=1.0, epsilon=epsilon,
            rng=np.random.default_rng(11),
        )  # fmt: skip
        exact = mc.soft_optimum(CHOICE, epsilon, 1.0)
        late = learned.earned[1000:].mean(0)
        assert is_near(late, exact.v[0])
        assert (learned.q.argmax(-1) == 1).all()
        np.testing.assert_allclose(learned.q[:, 0, 1], exact.q[0, 1])


@pytest.mark.parametrize(
    ("family", "settings", "episodes", "epsilon"),
    [
        ("FrozenLake", {"is_slippery": False}, 200, 0.3),
        ("CliffWalking", {}, 150, 0.1),
        ("Taxi", {}, 150, 0.1),
    ],
)
def test_learners_improve_in_the_worlds_of_gymnasium(family, settings, episodes, epsilon):
    mdp, start = gym.model_of(gym.make(family, **settings))
    learned = mc.learn(
        environment(mdp, start, limit=100), 40, episodes=episodes, gamma=0.95, epsilon=epsilon,
        rng=np.random.default_rng(12),
    )  # fmt: skip
    third = episodes // 3
    gain = learned.earned[-third:].mean(0) - learned.earned[:third].mean(0)
    assert gain.mean() > FAR * gain.std() / np.sqrt(40)


def test_a_step_size_replaces_the_mean():
    settings = {"episodes": 1, "gamma": 1.0, "epsilon": 1.0}
    for alpha, expected in ((None, -1.0), (0.25, -0.25)):
        learned = mc.learn(
            environment(CHOICE, 0), 50, alpha=alpha, rng=np.random.default_rng(13), **settings
        )
        left = learned.visits[:, 0, 1] == 1
        assert left.all()
        np.testing.assert_allclose(learned.q[:, 0, 1], expected)


def test_a_pair_counts_once_an_episode():
    learned = mc.learn(
        environment(CHOICE, 0), 50, episodes=4, gamma=1.0, epsilon=1.0,
        rng=np.random.default_rng(14),
    )  # fmt: skip
    assert (learned.visits[:, 0, 1] == 4).all()
    assert (learned.visits <= 4).all()
    assert (learned.earned < -2).any()  # although some stayed for several steps


def test_a_policy_that_loops_is_named(monkeypatch):
    monkeypatch.setattr("rlcourse.tabular.environment.MOST_STEPS", 1000)
    mdp = m.deterministic_mdp([[0, 0]], [[1.0, 0.0]], [[False, True]])  # staying pays
    with pytest.raises(ValueError, match="loops through the states \\[0\\]; give the env"):
        mc.learn(
            environment(mdp, 0), 3, episodes=50, gamma=1.0, epsilon=0.0,
            rng=np.random.default_rng(15),
        )  # fmt: skip


def test_the_same_seed_gives_the_same_learners():
    env = environment(WALK, 5, limit=30)
    one, two = (
        mc.learn(env, 5, episodes=20, gamma=1.0, epsilon=0.2, rng=np.random.default_rng(16))
        for _ in "ab"
    )
    for x, y in zip(one, two, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0}, "n must be an integer of at least 1, got 0"),
        ({"episodes": 0}, "episodes must be an integer of at least 1, got 0"),
        ({"gamma": -0.1}, r"gamma must lie in \[0, 1\], got -0.1"),
        ({"epsilon": 1.1}, r"epsilon must lie in \[0, 1\], got 1.1"),
        ({"alpha": 0.0}, r"alpha must lie in \(0, 1\], got 0.0"),
        ({"alpha": 1.5}, r"alpha must lie in \(0, 1\], got 1.5"),
    ],
)
def test_bad_learners_are_refused(change, words):
    good = {"n": 2, "episodes": 3, "gamma": 1.0, "epsilon": 0.1, "alpha": None}
    with pytest.raises(ValueError, match=words):
        mc.learn(environment(WALK, 5, limit=9), **(good | change), rng=np.random.default_rng(0))


def test_bad_evaluations_are_refused():
    good = {"env": environment(WALK, 5), "pi": UNIFORM, "episodes": 3, "gamma": 1.0}
    for change, words in (
        ({"visits": "last"}, "visits must be 'first' or 'every', got 'last'"),
        ({"pi": np.ones((16, 4))}, "pi must sum to 1"),
        ({"episodes": 0}, "episodes must be an integer of at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            mc.evaluate(n=2, **(good | change), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\], got 2"):
        constant_alpha(**good, v=np.zeros((2, 16)), alpha=2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"v must have shape \(B, 16\), got \(16,\)"):
        constant_alpha(**good, v=np.zeros(16), alpha=0.1, rng=np.random.default_rng(0))
