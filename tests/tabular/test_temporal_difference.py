"""The learners against plain loops, linear solves and the numbers of their books.

A sampled number is compared within four standard errors of both runs, so that a right program
fails less than once in 10⁴ seeds.
"""

import numpy as np
import pytest

from rlcourse import gym
from rlcourse.tabular import learning, worlds
from rlcourse.tabular import temporal_difference as td
from rlcourse.tabular.environment import environment, sample_episodes
from rlcourse.tabular.gridworld import closed_form, value_iteration
from rlcourse.tabular.mdp import (
    MDP,
    action_values,
    deterministic_mdp,
    deterministic_policy,
    greedy_policy,
    greedy_sets,
    uniform_policy,
)
from rlcourse.tabular.monte_carlo import epsilon_greedy, soft_optimum
from rlcourse.tabular.returns import constant_alpha, mean_returns

CLIFF = worlds.cliff_walking()
LOOP = deterministic_mdp([[0, 0], [1, 1]], [[-1.0, -2.0], [0.0, 0.0]], [[False, True]] * 2)


def random_mdp(rng, n_states=8, n_actions=3, ends=0.15) -> MDP:
    """Deterministic, with rewards on halves: sums are exact, so ties are too."""
    shape = (n_states, n_actions)
    s_next = rng.integers(n_states, size=shape)
    return deterministic_mdp(s_next, rng.integers(-6, 7, shape) / 2, rng.random(shape) < ends)


def near(sample, stated, se_stated=0.0):
    """Within four standard errors of the two runs together."""
    x = np.ravel(sample)
    return abs(x.mean() - stated) <= 4 * np.hypot(x.std() / np.sqrt(len(x)), se_stated)


# ------------------------------------------------------------------------------- plain loops


def plain(mdp, start, method, *, episodes, alpha, gamma, limit, q, n=1):
    """One greedy learner, as the pseudocode has it, for n steps of Sarsa or one of the others."""
    q, earned = q.copy(), []
    for _ in range(episodes):
        s, r, t, end, total = [start], [0.0], 0, np.inf, 0.0
        a = [int(q[start].argmax())]
        while True:
            if t < end:
                k = (s[t], a[t], 0)
                s.append(int(mdp.s_next[k]))
                r.append(float(mdp.r[k]))
                total += r[-1]
                terminated = bool(mdp.terminated[k])
                if terminated or t + 1 == limit:
                    end = t + 1
                a.append(int(q[s[-1]].argmax()))
            tau = t - n + 1
            if tau >= 0:
                last = min(tau + n, end)
                target = sum(gamma ** (i - tau - 1) * r[i] for i in range(tau + 1, last + 1))
                if not (last == end and terminated):
                    row = q[s[last]]
                    follows = row[a[last]] if method == "sarsa" else row.max()
                    target += gamma ** (last - tau) * follows
                q[s[tau], a[tau]] += alpha * (target - q[s[tau], a[tau]])
            if method != "sarsa" and t + 1 < end:
                a[t + 1] = int(q[s[t + 1]].argmax())  # they choose after learning
            if tau == end - 1:
                break
            t += 1
        earned.append((total, end))
    return q, np.array(earned)


@pytest.mark.parametrize("method", ["sarsa", "expected_sarsa", "q_learning"])
def test_a_learner_is_the_plain_loop_of_its_method(method):
    rng = np.random.default_rng(0)
    alpha = np.array([0.3, 0.6, 1.0])
    for _ in range(6):
        mdp, q = random_mdp(rng), rng.integers(0, 9, (8, 3)) / 4.0
        settings = dict(episodes=12, gamma=0.75, q=q)
        x = td.learn_q(
            environment(mdp, 2, limit=7), method, learners=3, alpha=alpha, epsilon=0.0,
            ties="first", rng=rng, **settings,
        )  # fmt: skip
        for b in range(3):
            q_b, earned = plain(mdp, 2, method, alpha=alpha[b], limit=7, **settings)
            np.testing.assert_allclose(x.q[b], q_b, atol=1e-12)
            np.testing.assert_allclose(np.stack([x.returns, x.lengths], -1)[:, b], earned)


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_n_step_sarsa_is_the_plain_loop_of_the_book(n):
    rng = np.random.default_rng(1)
    alpha = np.array([0.3, 0.6, 1.0])
    for _ in range(6):
        mdp, q = random_mdp(rng), rng.integers(0, 9, (8, 3)) / 4.0
        settings = dict(episodes=8, gamma=0.75, q=q)
        x = td.learn_n_step_sarsa(
            environment(mdp, 2, limit=7), n=n, learners=3, alpha=alpha, epsilon=0.0,
            ties="first", rng=rng, **settings,
        )  # fmt: skip
        for b in range(3):
            q_b, earned = plain(mdp, 2, "sarsa", alpha=alpha[b], limit=7, n=n, **settings)
            np.testing.assert_allclose(x.q[b], q_b, atol=1e-12)
            np.testing.assert_allclose(np.stack([x.returns, x.lengths], -1)[:, b], earned)


def test_n_step_td_beyond_the_episode_is_constant_alpha_monte_carlo():
    mdp, start, _ = worlds.random_walk(7)
    for limit in (None, 4):
        env, settings = environment(mdp, start, limit), dict(episodes=6, alpha=0.3, gamma=0.9)
        pi, guess = np.ones((7, 1)), np.random.default_rng(2).normal(size=(5, 7))
        rng = np.random.default_rng(3)
        v = td.learn_v(env, pi, learners=5, n=1000, v=guess, rng=rng, **settings)
        if limit is None:  # without a bootstrap the order of the updates doesn't matter
            mc = constant_alpha(env, pi, guess, rng=np.random.default_rng(3), **settings)
            np.testing.assert_allclose(v, mc[1:], atol=1e-12)
        assert v.shape == (6, 5, 7)


def test_td_0_is_the_plain_loop():
    mdp, start, _ = worlds.random_walk(5)
    env, pi = environment(mdp, start, limit=6), np.ones((5, 1))
    v = td.learn_v(
        env, pi, episodes=1, learners=9, alpha=0.4, gamma=0.8, v=0.5, rng=np.random.default_rng(4)
    )[0]
    x = sample_episodes(env, pi, 9, rng=np.random.default_rng(4))
    for b in range(9):
        w, length = np.full(5, 0.5), int(x.alive[:, b].sum())
        for t in range(length):
            s = x.s[t, b]
            s_next = x.s_last[b] if t == length - 1 else x.s[t + 1, b]
            ended = t == length - 1 and x.terminated[b]
            w[s] += 0.4 * (x.r[t, b] + (0.0 if ended else 0.8 * w[s_next]) - w[s])
        np.testing.assert_allclose(v[b], w, atol=1e-12)


def test_a_learner_that_is_done_stands_still():
    rng = np.random.default_rng(5)
    mdp, q = random_mdp(rng, ends=0.3), rng.integers(0, 9, (8, 3)) / 4.0
    env = environment(mdp, 2, limit=20)
    settings = dict(episodes=9, gamma=0.75, epsilon=0.0, ties="first", q=q)
    alpha = np.array([0.1, 0.5, 0.9, 1.0])
    together = td.learn_q(env, "q_learning", learners=4, alpha=alpha, rng=rng, **settings)
    assert len(set(together.lengths.sum(0))) > 1  # some were done earlier
    for b in range(4):
        alone = td.learn_q(env, "q_learning", learners=1, alpha=alpha[b], rng=rng, **settings)
        np.testing.assert_array_equal(together.q[b], alone.q[0])
        np.testing.assert_array_equal(together.returns[:, b], alone.returns[:, 0])


def test_what_was_learned_can_be_carried_on():
    env = environment(CLIFF.mdp, CLIFF.start, limit=50)
    settings = dict(learners=3, alpha=0.5, gamma=1.0, epsilon=0.1, rng=np.random.default_rng(6))
    for method in td.METHODS:
        x = td.learn_q(env, method, episodes=2, **settings)
        assert x.tables.shape == (1 + (method == "double_q"), 3, 48, 4)
        again = td.learn_q(env, method, episodes=1, q=x.tables, **settings | {"alpha": 1e-12})
        np.testing.assert_allclose(again.tables, x.tables, atol=1e-8)


# ------------------------------------------------------------------------------- time limits


def chain():
    """Five states in a ring with one action; the step out of state 3 ends the episode."""
    s_next = np.array([[1], [2], [3], [4], [0]])
    return deterministic_mdp(s_next, [[1.0], [-2], [4], [0.5], [3]], s_next == 4)


@pytest.mark.parametrize("limit", [1, 2, 3, None])
def test_a_time_limit_cuts_the_episode_and_leaves_the_values_alone(limit):
    mdp, rng = chain(), np.random.default_rng(7)
    exact = closed_form(mdp, np.ones((5, 1)), 0.9)
    assert exact[3] == pytest.approx(0.5)  # nothing follows the end,
    assert exact[4] == pytest.approx(3 + 0.9 * exact[0])  # while a limit may cut there
    env = environment(mdp, np.full(5, 0.2), limit)
    settings = dict(episodes=150, learners=4, alpha=1.0, gamma=0.9, rng=rng)
    for n in (1, 2, 5):
        v = td.learn_v(env, np.ones((5, 1)), n=n, **settings)[-1]
        np.testing.assert_allclose(v, np.tile(exact, (4, 1)), atol=1e-9)
        q = td.learn_n_step_sarsa(env, n=n, epsilon=0.3, **settings).q
        np.testing.assert_allclose(q[..., 0], np.tile(exact, (4, 1)), atol=1e-9)
    for method in td.METHODS:
        q = td.learn_q(env, method, epsilon=0.3, **settings).q
        np.testing.assert_allclose(q[..., 0], np.tile(exact, (4, 1)), atol=1e-9)


def test_with_a_limit_of_three_steps_q_learning_finds_the_optimum_of_the_whole_world():
    rng = np.random.default_rng(8)
    for _ in range(2):
        mdp = random_mdp(rng)
        q = action_values(mdp, value_iteration(mdp, 0.8, 1e-12).v, 0.8)
        for settings in ({"epsilon": 1.0}, {"epsilon": 0.0, "behaviour": uniform_policy(mdp)}):
            x = td.learn_q(
                environment(mdp, np.full(8, 1 / 8), limit=3), "q_learning", episodes=1000,
                learners=3, alpha=1.0, gamma=0.8, rng=rng, **settings,
            )  # fmt: skip
            np.testing.assert_allclose(x.q, np.tile(q, (3, 1, 1)), atol=1e-6)
            assert x.lengths.max() == 3


def test_sarsa_learns_the_values_of_a_fixed_behaviour_and_expected_sarsa_those_of_its_target():
    rng = np.random.default_rng(9)
    mdp = random_mdp(rng, ends=0.4)
    b = np.tile([0.2, 0.5, 0.3], (8, 1))
    env = environment(mdp, np.full(8, 1 / 8), limit=5)
    settings = dict(learners=300, gamma=0.8, epsilon=0.0, behaviour=b, rng=rng)
    exact = action_values(mdp, closed_form(mdp, b, 0.8), 0.8)
    x = td.learn_q(env, "sarsa", episodes=150, alpha=0.05, q=exact, **settings)
    spread = x.q.std(0) / np.sqrt(300)
    assert spread.max() > 0
    assert (np.abs(x.q.mean(0) - exact) <= 5 * spread + 1e-9).all()
    x = td.learn_q(env, "expected_sarsa", episodes=900, alpha=1.0, **settings)
    best = action_values(mdp, value_iteration(mdp, 0.8, 1e-12).v, 0.8)
    np.testing.assert_allclose(x.q, np.tile(best, (300, 1, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ("0-greedy policy", {}),
        ("behaviour", {"behaviour": np.array([[1 - 1e-9, 1e-9], [0.5, 0.5]])}),
    ],
)
def test_an_episode_that_never_ends_is_stopped_with_the_name_of_the_policy(
    monkeypatch, policy, settings
):
    monkeypatch.setattr(learning, "MOST_STEPS", 60)
    rng, q = np.random.default_rng(0), np.array([[9.0, 0.0]])
    arguments = dict(episodes=3, learners=2, alpha=1e-9, gamma=0.9, epsilon=0.0, q=q, rng=rng)
    words = f"the {policy} of learner 0 loops: after 60 steps it is in state 0"
    with pytest.raises(ValueError, match=words):
        td.learn_q(environment(LOOP, 0), "q_learning", **arguments, **settings)
    if not settings:
        with pytest.raises(ValueError, match=words):
            td.learn_n_step_sarsa(environment(LOOP, 0), n=2, **arguments)


# ------------------------------------------------------------------------------- batches


def test_the_best_prediction_for_a_is_that_of_the_model_not_of_the_mean_return():
    """Sutton & Barto, example 6.4: A once, to B, with 0; B eight times, six of them with 1."""
    s = np.array([0, 1, 1, 1, 1, 1, 1, 1, 1])
    r = np.array([0.0, 0, 1, 1, 1, 1, 1, 1, 0])
    s_next = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1])
    ends = np.arange(9) > 0
    np.testing.assert_allclose(td.batch_td(s, r, s_next, ends, 2, 1.0), [0.75, 0.75])


def test_small_steps_through_the_same_batch_end_where_the_linear_solve_does():
    rng = np.random.default_rng(10)
    s, s_next, r = rng.integers(4, size=30), rng.integers(5, size=30), rng.normal(size=30)
    ends = rng.random(30) < 0.2
    v = np.zeros(5)  # state 4 is entered and never left
    for _ in range(6000):
        error = r + 0.9 * (1 - ends) * v[s_next] - v[s]
        np.add.at(v, s, 0.02 * error)
    np.testing.assert_allclose(td.batch_td(s, r, s_next, ends, 5, 0.9), v, atol=1e-9)
    assert v[4] == 0


def test_batch_td_of_every_transition_is_the_exact_value():
    mdp = chain()
    each = (np.arange(5), mdp.r[:, 0, 0], mdp.s_next[:, 0, 0], mdp.terminated[:, 0, 0])
    np.testing.assert_allclose(
        td.batch_td(*each, 5, 0.9), closed_form(mdp, np.ones((5, 1)), 0.9), atol=1e-12
    )


def test_on_the_random_walk_batch_td_is_nearer_to_the_truth_than_batch_monte_carlo():
    mdp, start, _ = worlds.random_walk(5)
    pi, rng = np.ones((5, 1)), np.random.default_rng(11)
    x = sample_episodes(environment(mdp, start), pi, 60 * 25, rng=rng)
    exact = np.arange(1, 6) / 6
    mc = mean_returns(x, 60, 5, 1.0, "every").v
    errors = []
    for b in range(60):
        mine = np.s_[:, 25 * b : 25 * (b + 1)]
        alive = x.alive[mine]
        following = np.vstack([x.s[1:][mine], x.s[:1][mine]])
        ends = alive & ~np.vstack([alive[1:], np.zeros_like(alive[:1])])
        steps = (x.s[mine][alive], x.r[mine][alive], following[alive], ends[alive])
        errors.append(np.sqrt(((td.batch_td(*steps, 5, 1.0) - exact) ** 2).mean()))
    worse = np.sqrt(((mc - exact) ** 2).mean(1)) - errors
    assert worse.mean() > 4 * worse.std() / np.sqrt(60)


# ------------------------------------------------------------------------------- the books


def greedy_return(q, epsilon, ties):
    pi = epsilon_greedy(q, epsilon, ties)
    return closed_form(CLIFF.mdp, pi, 1.0)[CLIFF.start]


def test_what_q_learning_earns_on_the_cliff_in_the_end_depends_on_the_ties():
    v = value_iteration(CLIFF.mdp, 1.0).v
    assert v[CLIFF.start] == -13
    q = action_values(CLIFF.mdp, v, 1.0)
    assert greedy_return(q, 0.1, "uniform") == pytest.approx(-50.800, abs=5e-4)
    assert greedy_return(q, 0.1, "first") == pytest.approx(-45.803, abs=5e-4)
    env, rng = environment(CLIFF.mdp, CLIFF.start), np.random.default_rng(12)
    for ties in ("uniform", "first"):  # a learner that knows q* has nothing to learn
        x = td.learn_q(
            env, "q_learning", episodes=40, learners=200, alpha=1.0, gamma=1.0, epsilon=0.1,
            ties=ties, q=q, rng=rng,
        )  # fmt: skip
        np.testing.assert_array_equal(x.q[7], q)
        assert near(x.returns, greedy_return(q, 0.1, ties))


def test_the_best_soft_policy_on_the_cliff_takes_fifteen_steps():
    best = soft_optimum(CLIFF.mdp, 0.1, 1.0)
    assert best.v[CLIFF.start] == pytest.approx(-20.7077, abs=5e-5)
    greedy = greedy_policy(best.q)
    assert closed_form(CLIFF.mdp, greedy, 1.0)[CLIFF.start] == pytest.approx(-15)
    # a second method: exploring as a slippery floor, whose optimum is found by value iteration
    mean = MDP(
        *(np.broadcast_to(x[:, None, :, 0], (48, 4, 4)) for x in (CLIFF.mdp.s_next,)),
        np.broadcast_to(0.9 * np.eye(4) + 0.025, (48, 4, 4)),
        *(np.broadcast_to(x[:, None, :, 0], (48, 4, 4)) for x in (CLIFF.mdp.r,)),
        np.broadcast_to(CLIFF.mdp.terminated[:, None, :, 0], (48, 4, 4)),
    )
    np.testing.assert_allclose(value_iteration(mean, 1.0, 1e-11).v, best.v, atol=1e-7)


STATED = {"sarsa": (-26.6, 1.1), "q_learning": (-49.5, 1.2), "expected_sarsa": (-21.0, 0.4)}


@pytest.mark.parametrize("method", STATED)
def test_the_methods_earn_on_the_cliff_what_is_known(method):
    x = td.learn_q(
        environment(CLIFF.mdp, CLIFF.start), method, episodes=500, learners=100, alpha=0.5,
        gamma=1.0, epsilon=0.1, rng=np.random.default_rng(13),
    )  # fmt: skip
    assert near(x.returns[-100:].mean(0), *STATED[method])


@pytest.mark.parametrize(
    ("n", "alpha", "stated"),
    [(1, 0.8, 0.348), (2, 0.6, 0.280), (4, 0.4, 0.268), (8, 0.2, 0.283), (16, 0.1, 0.324)],
)
def test_the_errors_of_n_step_td_on_nineteen_states(n, alpha, stated):
    mdp, start, _ = worlds.random_walk(19, -1.0, 1.0)
    v = td.learn_v(
        environment(mdp, start), np.ones((19, 1)), episodes=10, learners=200, alpha=alpha,
        gamma=1.0, n=n, rng=np.random.default_rng(14),
    )  # fmt: skip
    exact = np.arange(1, 20) / 10 - 1
    error = np.sqrt(((v - exact) ** 2).mean(-1)).mean(0)
    assert near(error, stated, error.std() / np.sqrt(100))  # that of 100 runs


def test_sarsa_finds_the_way_through_the_wind():
    mdp, start, _ = worlds.windy_gridworld()
    env, rng = environment(mdp, start), np.random.default_rng(15)
    settings = dict(alpha=0.5, gamma=1.0, epsilon=0.1, rng=rng)
    x = td.learn_q(env, "sarsa", episodes=170, learners=100, **settings)
    # the book's figure has 170 episodes in 8000 steps
    total = x.lengths.sum(0)
    assert near(total, 8000, total.std())
    q = td.learn_q(env, "q_learning", episodes=400, learners=20, **settings).q
    steps = [
        closed_form(mdp, greedy_policy(q_b), 0.999999)[start] for q_b in q
    ]  # gamma just below 1: some greedy route may still loop
    assert np.median(steps) == pytest.approx(-15, abs=0.01)


def test_a_maximum_of_guesses_is_too_high_and_double_q_learning_is_not():
    mdp, start, available = worlds.maximization_bias()
    env = environment(mdp, start)
    settings = dict(
        episodes=300, learners=1000, alpha=0.1, gamma=1.0, epsilon=0.1, available=available
    )
    single, double = (
        td.learn_q(env, method, rng=np.random.default_rng(16), **settings)
        for method in ("q_learning", "double_q")
    )
    left, doubled = ((x.lengths == 2).mean(1) for x in (single, double))
    assert left[:20].max() > 0.75
    assert doubled.max() < 0.6
    spread = np.sqrt(0.25 / 1000)
    assert (left[5:] > doubled[5:] - 4 * spread).all()
    assert left[-1] > 0.05 + spread
    bias = single.q[:, 0, 0] - (-0.1)
    assert bias.mean() > 4 * bias.std() / np.sqrt(1000)
    assert np.isneginf(single.q[0, 0, 2:]).all()
    sarsa = td.learn_q(env, "expected_sarsa", rng=np.random.default_rng(17), **settings)
    assert np.isfinite(sarsa.q[:, available]).all()


# ------------------------------------------------------------------------------- gymnasium


@pytest.mark.parametrize(
    ("family", "settings", "share"),
    [
        ("CliffWalking", dict(episodes=150, alpha=1.0, learners=20), 1.0),
        ("Taxi", dict(episodes=1500, alpha=1.0, learners=20), 0.5),
        ("FrozenLake", dict(episodes=1000, alpha=0.1, learners=60, q=1.0), 0.4),
    ],
)
def test_q_learning_solves_the_worlds_of_gymnasium(family, settings, share):
    env = gym.make(family)
    mdp, start = gym.model_of(env)
    limit = env.spec.max_episode_steps or 200
    x = td.learn_q(
        environment(mdp, start, limit), "q_learning", gamma=0.99, epsilon=0.3,
        rng=np.random.default_rng(18), **settings,
    )  # fmt: skip
    best = start @ value_iteration(mdp, 0.99).v
    found = [start @ closed_form(mdp, greedy_policy(q), 0.99) for q in x.q]
    assert np.mean(np.array(found) > best - 0.1 * abs(best)) >= share
    assert x.lengths.max() <= limit


@pytest.mark.parametrize("family", ["CliffWalking", "Taxi", "FrozenLake"])
@pytest.mark.parametrize("method", ["sarsa", "expected_sarsa", "double_q"])
def test_every_method_runs_on_the_worlds_of_gymnasium(family, method):
    mdp, start = gym.model_of(gym.make(family))
    settings = dict(learners=20, alpha=0.5, gamma=0.99, epsilon=0.1)
    x = td.learn_q(
        environment(mdp, start, 100), method, episodes=60, rng=np.random.default_rng(19), **settings
    )
    assert np.isfinite(x.tables).all()
    assert x.returns.shape == (60, 20)
    if family != "FrozenLake":  # there sixty episodes are not enough to see the goal often
        assert x.returns[-5:].mean() > x.returns[:5].mean()
    n = td.learn_n_step_sarsa(
        environment(mdp, start, 100), n=3, episodes=3, rng=np.random.default_rng(20), **settings
    )
    assert n.lengths.min() >= 1


def test_the_optimal_actions_on_the_cliff_are_found_as_sets():
    env = environment(CLIFF.mdp, np.full(48, 1 / 48), limit=50)
    x = td.learn_q(
        env, "q_learning", episodes=600, learners=2, alpha=1.0, gamma=1.0, epsilon=1.0,
        rng=np.random.default_rng(21),
    )  # fmt: skip
    q = action_values(CLIFF.mdp, value_iteration(CLIFF.mdp, 1.0).v, 1.0)
    reached = np.r_[:37, 47]  # no step leads into a cell of the cliff
    np.testing.assert_array_equal(greedy_sets(x.q[0])[reached], greedy_sets(q)[reached])
    assert deterministic_policy(x.q[1].argmax(-1), 4)[CLIFF.start, 0] == 1
