"""Walkers against the probabilities that they are drawn from."""

import numpy as np
import pytest

from rlcourse.tabular import mdp as m
from rlcourse.tabular.gridworld import SUTTON_BARTO_4_1, closed_form, grid_mdp
from rlcourse.tabular.sampling import alias, draw, walk


def chi_square_limit(degrees: int) -> float:
    """A value that chi square exceeds less than once in 10^6 (Wilson-Hilferty, z = 5)."""
    return degrees * (1 - 2 / (9 * degrees) + 5 * np.sqrt(2 / (9 * degrees))) ** 3


def test_alias_tables_hold_exactly_the_probabilities():
    rng = np.random.default_rng(0)
    p = np.vstack([rng.dirichlet(np.full(7, 0.3), size=20), np.eye(7), np.full((1, 7), 1 / 7)])
    keep, other = alias(p)
    back = keep.copy()
    for s, j in np.ndindex(p.shape):
        back[s, other[s, j]] += 1 - keep[s, j]
    np.testing.assert_allclose(back / 7, p, atol=1e-14)


def test_an_impossible_index_is_never_drawn():
    p = np.array([[0.0, 0.25, 0.75, 0.0], [1.0, 0, 0, 0]])
    rows = np.repeat([0, 1], 50_000)
    drawn = draw(alias(p), rows, np.random.default_rng(1))
    assert set(drawn[:50_000]) == {1, 2}
    assert set(drawn[50_000:]) == {0}


def test_walkers_follow_the_policy_and_the_outcomes():
    rng = np.random.default_rng(2)
    mdp = m.finite_mdp(
        rng.integers(4, size=(4, 3, 2)),
        rng.dirichlet([1, 2], size=(4, 3)),
        rng.normal(size=(4, 3, 2)),
    )
    pi = rng.dirichlet(np.ones(3), size=4)
    steps = walk(mdp, pi, np.zeros(400, int), steps=500, rng=rng)
    weight = pi[..., None] * mdp.p
    for s in range(4):
        here = steps.s == s
        n = here.sum()
        for a, k in np.ndindex(3, 2):
            seen = (here & (steps.a == a) & (steps.r == mdp.r[s, a, k])).sum()
            spread = np.sqrt(n * weight[s, a, k])
            assert abs(seen - n * weight[s, a, k]) < 5 * spread + 5
        seen = np.bincount(steps.a[here], minlength=3)
        assert ((seen - n * pi[s]) ** 2 / (n * pi[s])).sum() < chi_square_limit(2)


def test_a_walk_goes_on_where_the_last_step_led():
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    start = np.array([5, 6, 9])
    x = walk(mdp, m.uniform_policy(mdp), start, steps=300, rng=np.random.default_rng(3), limit=7)
    over = x.terminated | x.truncated
    np.testing.assert_array_equal(x.s[0], start)
    np.testing.assert_array_equal(x.s[1:], np.where(over[:-1], start, x.s_next[:-1]))
    assert x.terminated.any()
    assert x.truncated.any()
    assert not (x.terminated & x.truncated).any()
    assert set(np.unique(x.s_next[x.terminated])) <= {0, 15}


def test_an_episode_is_cut_after_exactly_its_limit():
    mdp = m.deterministic_mdp([[0]], 1.0)
    x = walk(mdp, np.ones((1, 1)), [0], steps=9, rng=np.random.default_rng(0), limit=4)
    np.testing.assert_array_equal(np.flatnonzero(x.truncated[:, 0]), [3, 7])


def test_the_mean_return_of_many_walks_is_the_value():
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    pi = m.uniform_policy(mdp)
    x = walk(mdp, pi, np.full(4000, 6), steps=600, rng=np.random.default_rng(4))
    first = np.cumsum(x.terminated, axis=0) - x.terminated == 0
    returns = (x.r * first).sum(0)
    assert x.terminated.any(0).all()
    error = returns.std() / np.sqrt(4000)
    assert abs(returns.mean() - closed_form(mdp, pi, 1.0)[6]) < 5 * error


def test_the_same_seed_gives_the_same_walk():
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    a, b = (
        walk(mdp, m.uniform_policy(mdp), [5, 6], steps=50, rng=np.random.default_rng(7))
        for _ in "ab"
    )
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": [16]}, r"start must lie in \[0, 16\), got 16"),
        ({"start": [[0]]}, r"start must have shape \(B\), got \(1, 1\)"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"pi": np.ones((16, 4))}, "pi must sum to 1"),
    ],
)
def test_bad_walks_are_refused(change, words):
    mdp = grid_mdp(SUTTON_BARTO_4_1)
    good = {"pi": m.uniform_policy(mdp), "start": [1], "steps": 3, "limit": None}
    with pytest.raises(ValueError, match=words):
        walk(mdp, **(good | change), rng=np.random.default_rng(0))
