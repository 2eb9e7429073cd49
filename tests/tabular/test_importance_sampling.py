"""Off-policy estimates against exact values, loops, and the enumeration of all episodes."""

import numpy as np
import pytest

from rlcourse.tabular import importance_sampling as i
from rlcourse.tabular import mdp as m
from rlcourse.tabular.blackjack import blackjack, state, stick_from
from rlcourse.tabular.environment import environment
from rlcourse.tabular.gridworld import closed_form

FAR = 5.0  # standard errors
ONE_STATE = m.finite_mdp(  # example 5.5: left comes back with 0.9 or ends with 1, right ends
    np.zeros((1, 2, 2), int),
    [[[0.9, 0.1], [1.0, 0.0]]],
    [[[0.0, 1.0], [0.0, 0.0]]],
    [[[False, True], [True, True]]],
)
LEFT, HALF = np.array([[1.0, 0.0]]), np.full((1, 2), 0.5)


def layers(rng, n_layers=3, width=2, n_actions=2):
    """A world of layers, which ends after the last at the latest, with rewards everywhere."""
    n_states = n_layers * width
    s_next = np.zeros((n_states, n_actions, 2), int)
    ends = rng.random(s_next.shape) < 0.2
    for s in range(n_states):
        layer = s // width
        s_next[s] = min(layer + 1, n_layers - 1) * width + rng.integers(width, size=(n_actions, 2))
        ends[s] |= layer == n_layers - 1
    p = rng.dirichlet([1, 1], size=(n_states, n_actions))
    return m.finite_mdp(s_next, p, rng.normal(size=s_next.shape), ends)


def all_episodes(mdp, pi, b, gamma, s=0, p=1.0, rho=1.0, t=0, g=0.0, by_decision=0.0):
    """(probability under b, ρ G, per-decision return, ρ) of every episode from s."""
    for a, k in np.ndindex(mdp.p.shape[1:]):
        chance = p * b[s, a] * mdp.p[s, a, k]
        if chance:
            weight = rho * pi[s, a] / b[s, a]
            earned = gamma**t * mdp.r[s, a, k]
            now = g + earned, by_decision + weight * earned
            if mdp.terminated[s, a, k]:
                yield chance, weight * now[0], now[1], weight
            else:
                to = mdp.s_next[s, a, k]
                yield from all_episodes(mdp, pi, b, gamma, to, chance, weight, t + 1, *now)


def two_policies(rng, n_states, n_actions):
    return (rng.dirichlet(np.ones(n_actions), size=n_states) for _ in "pb")


# ------------------------------------------------------------------------------- ratios


def test_a_ratio_is_that_of_the_policies_and_1_after_the_end():
    rng = np.random.default_rng(0)
    pi, b = two_policies(rng, 3, 4)
    s, a = rng.integers(3, size=(6, 9)), rng.integers(4, size=(6, 9))
    alive = np.arange(6)[:, None] < rng.integers(1, 7, size=9)
    rho = i.importance_ratios(pi, b, s, a, alive)
    for t, n in np.ndindex(6, 9):
        at = s[t, n], a[t, n]
        assert rho[t, n] == pytest.approx(pi[at] / b[at] if alive[t, n] else 1)


def test_the_ratios_of_all_episodes_have_mean_1_and_give_the_value():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mdp = layers(rng)
        pi, b = two_policies(rng, 6, 2)
        p, ordinary, by_decision, rho = np.transpose(list(all_episodes(mdp, pi, b, 0.8)))
        v = closed_form(mdp, pi, 0.8)[0]
        assert p.sum() == pytest.approx(1)
        assert p @ rho == pytest.approx(1)
        assert p @ ordinary == pytest.approx(v)
        assert p @ by_decision == pytest.approx(v)


def test_a_behaviour_policy_that_does_not_cover_the_target_is_refused():
    pi, b = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.3, 0.7], [0.0, 1.0]])
    s = a = np.zeros((1, 1), int)
    words = "behaviour must cover pi: in state 1 pi takes action 0 with probability 1, behaviour"
    with pytest.raises(ValueError, match=words):
        i.importance_ratios(pi, b, s, a, s == 0)
    i.importance_ratios(b[::-1], np.array([[0.1, 0.9], [0.5, 0.5]]), s, a, s == 0)  # 0/b is fine
    with pytest.raises(ValueError, match=words):
        i.second_moments(layers(np.random.default_rng(0), 2, 1), pi, b, 0.9, 0)


# ------------------------------------------------------------------------------- estimates


def test_running_estimates_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    rho, g = rng.gamma(1, size=(8, 3)) * (rng.random((8, 3)) < 0.5), rng.normal(size=(8, 3))
    rho[0, 0] = 0
    ordinary, weighted = i.ordinary_estimates(rho, g), i.weighted_estimates(rho, g)
    for k, b in np.ndindex(8, 3):
        w, x = rho[: k + 1, b], g[: k + 1, b]
        assert ordinary[k, b] == pytest.approx((w * x).mean())
        assert weighted[k, b] == pytest.approx(np.average(x, weights=w) if w.any() else 0)


def test_a_per_decision_return_weighs_a_reward_by_the_ratios_up_to_its_action():
    rng = np.random.default_rng(2)
    r, rho = rng.normal(size=(5, 3)), rng.gamma(1, size=(5, 3))
    g = i.per_decision_returns(r, rho, 0.7)
    for t in range(5):
        expected = sum(0.7 ** (k - t) * rho[t : k + 1].prod(0) * r[k] for k in range(t, 5))
        np.testing.assert_allclose(g[t], expected)


def test_all_three_estimates_find_the_value_of_the_target():
    rng = np.random.default_rng(3)
    mdp = layers(rng)
    pi, b = two_policies(rng, 6, 2)
    x = i.evaluate_off_policy(environment(mdp, 0), pi, b, 100, episodes=300, gamma=0.8, rng=rng)
    v = closed_form(mdp, pi, 0.8)[0]
    for estimate in (x.ordinary[-1], x.per_decision[-1]):
        assert abs(estimate.mean() - v) < FAR * estimate.std() / 10
    # the weighted one is biased by O(1/n): more episodes, less of it
    late = x.weighted[-1]
    assert abs(late.mean() - v) < FAR * late.std() / 10 + 10 / 300
    assert ((x.weighted[-1] - v) ** 2).mean() < ((x.weighted[29] - v) ** 2).mean()


def test_ones_own_policy_has_ratios_of_1():
    mdp = layers(np.random.default_rng(4))
    pi = m.uniform_policy(mdp)
    x = i.evaluate_off_policy(
        environment(mdp, 0), pi, pi, 5, episodes=20, gamma=0.9, rng=np.random.default_rng(5)
    )
    np.testing.assert_allclose(x.ordinary, x.weighted)
    np.testing.assert_allclose(x.ordinary, x.per_decision)


def test_a_cut_episode_is_refused_since_what_was_cut_has_no_weight():
    env = environment(ONE_STATE, 0, limit=2)
    with pytest.raises(ValueError, match=r"the limit of 2 steps cut .* of 200"):
        i.evaluate_off_policy(
            env, LEFT, HALF, 2, episodes=100, gamma=1.0, rng=np.random.default_rng(0)
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0}, "n must be an integer of at least 1, got 0"),
        ({"episodes": 0}, "episodes must be an integer of at least 1, got 0"),
        ({"gamma": 1.5}, r"gamma must lie in \[0, 1\], got 1.5"),
        ({"pi": np.ones((1, 2))}, "pi must sum to 1"),
        ({"behaviour": np.full((1, 3), 1 / 3)}, r"behaviour must have shape \(1, 2\)"),
    ],
)
def test_bad_arguments_are_refused(change, words):
    good = {"pi": LEFT, "behaviour": HALF, "n": 2, "episodes": 3, "gamma": 1.0}
    with pytest.raises(ValueError, match=words):
        i.evaluate_off_policy(
            environment(ONE_STATE, 0), **(good | change), rng=np.random.default_rng(0)
        )


# ------------------------------------------------------------------------------- variance


def test_second_moments_are_those_of_all_episodes():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mdp = layers(rng)
        pi, b = two_policies(rng, 6, 2)
        for gamma in (0.6, 1.0):
            p, ordinary, by_decision, _ = np.transpose(list(all_episodes(mdp, pi, b, gamma)))
            found = i.second_moments(mdp, pi, b, gamma, 0)
            assert found.ordinary == pytest.approx(p @ ordinary**2)
            assert found.per_decision == pytest.approx(p @ by_decision**2)


def test_second_moments_of_the_blackjack_example_are_those_of_samples():
    game, s = blackjack(), state(13, 2, 1)
    pi, b = stick_from(20), m.uniform_policy(game.mdp)
    x = i.evaluate_off_policy(
        environment(game.mdp, s), pi, b, 50_000, episodes=1, gamma=1.0,
        rng=np.random.default_rng(6),
    ).ordinary[0]  # fmt: skip
    band = FAR * (x**2).std() / np.sqrt(len(x))
    found = i.second_moments(game.mdp, pi, b, 1.0, s)
    assert abs(found.ordinary - (x**2).mean()) < band
    assert found.per_decision == pytest.approx(found.ordinary)  # one reward, at the end


def test_example_5_5_has_the_value_1_and_an_infinite_variance():
    """0.1 Σ_k 0.9^k 2^(k + 1): each more step to the left multiplies by 1.8."""
    assert closed_form(ONE_STATE, LEFT, 1.0)[0] == pytest.approx(1, abs=1e-12)
    assert i.second_moments(ONE_STATE, LEFT, HALF, 1.0, 0) == (np.inf, np.inf)
    for back, finite in ((0.49, True), (0.5, False)):  # the ratio is 2: below 1/2 the sum is finite
        mdp = ONE_STATE._replace(p=np.array([[[back, 1 - back], [1.0, 0.0]]]))
        found = i.second_moments(mdp, LEFT, HALF, 1.0, 0).ordinary
        assert np.isfinite(found) == finite
        if finite:
            assert found == pytest.approx(2 * (1 - back) / (1 - 2 * back))


def test_a_weighted_estimate_of_example_5_5_is_1_once_an_episode_went_left_to_the_end():
    x = i.evaluate_off_policy(
        environment(ONE_STATE, 0), LEFT, HALF, 20, episodes=500, gamma=1.0,
        rng=np.random.default_rng(7),
    )  # fmt: skip
    assert set(np.unique(x.weighted)) == {0.0, 1.0}
    assert (x.weighted[-1] == 1).all()  # none of 500 does once in 10^11 runs


def test_per_decision_can_be_finite_where_ordinary_is_not():
    """A loop of ratio 2 that pays on the way: 0.6 · 2 > 1, but γ² · 0.6 · 2 < 1."""
    mdp = m.finite_mdp(
        np.zeros((1, 2, 2), int), [[[0.6, 0.4], [1.0, 0.0]]], 1.0, [[[False, True], [True, True]]]
    )
    found = i.second_moments(mdp, LEFT, HALF, 0.8, 0)
    assert found.ordinary == np.inf
    v = closed_form(mdp, LEFT, 0.8)[0]
    expected = (2 + 2 * 0.8 * 2 * 0.6 * v) / (1 - 0.64 * 1.2)
    assert found.per_decision == pytest.approx(expected)


def test_states_that_no_episode_reaches_do_not_count():
    mdp = m.finite_mdp(  # state 0 ends at once, state 1 is example 5.5
        [[[0, 0], [0, 0]], [[1, 1], [1, 1]]],
        [[[1, 0], [1, 0]], [[0.9, 0.1], [1, 0]]],
        [[[3, 0], [3, 0]], [[0, 1], [0, 0]]],
        [[[True, True], [True, True]], [[False, True], [True, True]]],
    )
    pi, b = np.array([[1.0, 0], [1, 0]]), np.full((2, 2), 0.5)
    assert i.second_moments(mdp, pi, b, 1.0, 0) == pytest.approx((18, 18))
    assert i.second_moments(mdp, pi, b, 1.0, 1) == (np.inf, np.inf)
