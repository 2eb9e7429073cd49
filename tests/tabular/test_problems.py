"""The gambler against exact rational arithmetic, car rental against plain Poisson sums."""

from fractions import Fraction
from itertools import product
from math import exp, factorial

import numpy as np
import pytest

from rlcourse.tabular import dynamic_programming as d
from rlcourse.tabular import gridworld as g
from rlcourse.tabular import mdp as m
from rlcourse.tabular import problems as pr

# ------------------------------------------------------------------------------- the gambler


def bold(s: int, p: Fraction, goal: int) -> Fraction:
    """The chance of bold play, F(x) = p F(2x) below the middle and p + (1 - p) F(2x - 1) above it.

    The way of s leads in a circle sooner or later: F(s) = a + b F(s') along it, with a and b exact.
    """
    a, b, at, seen = Fraction(0), Fraction(1), s, dict[int, tuple[Fraction, Fraction]]()
    while at not in (0, goal) and at not in seen:
        seen[at] = a, b
        if 2 * at <= goal:
            at, b = 2 * at, b * p
        else:
            at, a, b = 2 * at - goal, a + b * p, b * (1 - p)
    if at == 0:
        return a
    if at == goal:
        return a + b
    a0, b0 = seen[at]  # F(at) = (a - a0) / b0 + b / b0 F(at)
    circle = (a - a0) / b0 / (1 - b / b0)
    return a0 + b0 * circle


def exact_optimum(p: Fraction, goal: int) -> tuple[list[Fraction], list[set[int]]]:
    """Bold play's values, and for each capital the stakes that are worth as much and no less."""
    v, best = [bold(s, p, goal) for s in range(goal + 1)], list[set[int]]()
    for s in range(1, goal):
        worth = {x: p * v[s + x] + (1 - p) * v[s - x] for x in range(1, min(s, goal - s) + 1)}
        assert max(worth.values()) == v[s]  # bold play solves the optimality equation
        best.append({x for x, value in worth.items() if value == v[s]})
    return v, best


def printed_stake(s: int) -> int:
    """Sutton & Barto, figure 4.3: to the nearest quarter, and from a quarter as far as possible."""
    return min(s % 25, 25 - s % 25) or min(s, 100 - s)


@pytest.mark.parametrize("goal", [2, 5, 16, 100])
@pytest.mark.parametrize("p", [Fraction(1, 4), Fraction(2, 5)])
def test_with_bad_odds_the_gamblers_values_are_those_of_bold_play(p, goal):
    v, best = exact_optimum(p, goal)
    mdp = pr.gamblers_problem(float(p), goal)
    found = d.policy_iteration(mdp, 1.0)
    np.testing.assert_allclose(found.v[1:-1], np.array(v[1:-1], dtype=float), atol=1e-12)
    np.testing.assert_array_equal(found.v[[0, -1]], 0)  # it's over: nothing more is won
    sets, stakes = m.greedy_sets(m.action_values(mdp, found.v, 1.0)), pr.stakes(goal)
    for s in range(1, goal):
        assert set(stakes[s, sets[s]].tolist()) == best[s - 1]


def test_the_printed_stakes_are_the_least_of_the_best():
    """Where figure 4.3 has one stake, up to five are equally good."""
    _, best = exact_optimum(Fraction(2, 5), 100)
    for s, stakes in enumerate(best, 1):
        assert printed_stake(s) == (min(stakes) if s % 25 else max(stakes))
        assert printed_stake(s) in stakes
    assert [printed_stake(s) for s in (1, 12, 13, 25, 37, 50, 51, 75, 99)] == [
        1, 12, 12, 25, 12, 50, 1, 25, 1
    ]  # fmt: skip
    assert max(map(len, best)) > 1


def test_in_a_fair_game_every_stake_is_as_good_as_another():
    mdp = pr.gamblers_problem(0.5, 20)
    v = d.policy_iteration(mdp, 1.0).v
    np.testing.assert_allclose(v[:-1], np.arange(20) / 20, atol=1e-12)
    assert m.greedy_sets(m.action_values(mdp, v, 1.0)).all()


def test_with_good_odds_the_gambler_stakes_one_coin():
    """The gambler's ruin: v(s) = (1 - x^s) / (1 - x^goal), where x = (1 - p) / p."""
    p, goal = 0.55, 30
    mdp = pr.gamblers_problem(p, goal)
    found = d.policy_iteration(mdp, 1.0)
    x = (1 - p) / p
    expected = (1 - x ** np.arange(goal)) / (1 - x**goal)
    np.testing.assert_allclose(found.v[:-1], expected, atol=1e-12)
    s = np.arange(1, goal)
    np.testing.assert_array_equal(pr.stakes(goal)[s, found.a[1:-1]], 1)


def test_a_stake_wins_or_loses_itself():
    mdp, stakes = pr.gamblers_problem(0.3, 7), pr.stakes(7)
    for s, a in product(range(1, 7), range(3)):
        x = stakes[s, a]
        assert x == min(a + 1, s, 7 - s)
        np.testing.assert_array_equal(mdp.s_next[s, a], [s + x, s - x])
        np.testing.assert_array_equal(mdp.p[s, a], [0.3, 0.7])
        np.testing.assert_array_equal(mdp.r[s, a], [s + x == 7, 0])
        np.testing.assert_array_equal(mdp.terminated[s, a], [s + x == 7, s == x])
    assert mdp.terminated[[0, 7]].all()
    assert not mdp.r[[0, 7]].any()


def test_a_coin_that_is_sure_wins_or_loses_all():
    for p, won in ((0.0, 0), (1.0, 1)):
        v = d.policy_iteration(pr.gamblers_problem(p, 6), 1.0).v
        np.testing.assert_allclose(v[1:-1], won)


# ------------------------------------------------------------------------------- car rental


def poisson(rate: float, most: int) -> list[float]:
    return [exp(-rate) * rate**n / factorial(n) for n in range(most)]


def one_night(capacity, s, moved, rental, move_cost, requests, returns, free_move, parking_cost):
    """Probability of each state in the evening, and the day's reward, by sums over all that comes.

    35 requests or returns a day stand for infinitely many.
    """
    n = [s[0] - moved, s[1] + moved]
    chance, reward = np.ones((1, 1)), 0.0
    for place in range(2):
        here = np.zeros(capacity + 1)
        for wanted, p_wanted in enumerate(poisson(requests[place], 35)):
            rented = min(wanted, n[place])
            reward += p_wanted * rental * rented
            for back, p_back in enumerate(poisson(returns[place], 35)):
                here[min(n[place] - rented + back, capacity)] += p_wanted * p_back
        chance = np.multiply.outer(chance, here)
        reward -= parking_cost if n[place] > capacity / 2 else 0
    paid = abs(moved) - 1 if free_move and moved > 0 else abs(moved)
    return chance.ravel(), reward - move_cost * paid


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"free_move": True, "parking_cost": 4.0},
        {"rental": 7.0, "move_cost": 1.0, "requests": (1.0, 2.5), "returns": (0.5, 2.0)},
    ],
    ids=["example 4.2", "exercise 4.7", "other numbers"],
)
def test_a_day_of_car_rental_is_what_sums_over_all_requests_and_returns_make_it(rules):
    capacity, most = 3, 2
    mdp = pr.car_rental(capacity, most, **rules)
    whole = {
        "rental": 10.0, "move_cost": 2.0, "requests": (3.0, 4.0), "returns": (3.0, 2.0),
        "free_move": False, "parking_cost": 0.0, **rules,
    }  # fmt: skip
    for s, cars in enumerate(product(range(capacity + 1), repeat=2)):
        for a, wanted in enumerate(range(-most, most + 1)):
            fits = [
                x
                for x in range(-most, most + 1)
                if 0 <= cars[0] - x <= capacity and 0 <= cars[1] + x <= capacity
            ]
            moved = min(fits, key=lambda x: abs(x - wanted))
            assert pr.moves(capacity, most)[s, a] == moved
            p, r = one_night(capacity, cars, moved, **whole)
            np.testing.assert_allclose(mdp.p[s, a], p, atol=1e-12)
            np.testing.assert_allclose(mdp.p[s, a] @ mdp.r[s, a], r, atol=1e-9)
            np.testing.assert_array_equal(mdp.s_next[s, a], np.arange((capacity + 1) ** 2))
    assert not mdp.terminated.any()


@pytest.fixture(scope="module")
def jack() -> m.MDP:
    return pr.car_rental()


@pytest.fixture(scope="module")
def improvements(jack) -> np.ndarray:
    """The policies of figure 4.2: cars to move (policies, first place, second place)."""
    nothing = np.full(441, 5)
    found = d.policy_iteration(jack, 0.9, nothing)
    moved = np.take_along_axis(pr.moves(), found.policies.T, axis=1).T
    return moved.reshape(-1, 21, 21)


def test_four_improvements_lead_to_jacks_best_policy(improvements):
    assert len(improvements) == 5
    assert not improvements[0].any()
    counts = [int((x != y).sum()) for x, y in zip(improvements[1:], improvements, strict=False)]
    assert counts[0] > counts[1] > counts[2] > counts[3] > 0


def test_the_shape_of_the_policies_of_figure_4_2(improvements):
    """Down its left edge, along its bottom and in its corners, as the figure draws it."""
    last = improvements[-1]
    assert (improvements[1:].max((1, 2)) == 5).all()
    assert (improvements[1:].min((1, 2)) == -4).all()
    np.testing.assert_array_equal(last[:, 0], [0] * 5 + [1, 2, 3, 3, 4, 4] + [5] * 10)
    np.testing.assert_array_equal(last[0], [0] * 8 + [-1] * 2 + [-2] * 3 + [-3] * 5 + [-4] * 3)
    assert (last[20, 0], last[20, 20], last[0, 0], last[0, 20]) == (5, 0, 0, -4)
    assert (np.diff(last, axis=0) >= 0).all()  # more cars in the first place: move more
    assert (np.diff(last, axis=1) <= 0).all()


def test_more_cars_are_worth_more_to_jack(jack):
    v = d.truncated_policy_iteration(jack, 0.9, 20, 1e-6).v.reshape(21, 21)
    assert (np.diff(v, axis=0) > 0).all()
    assert (np.diff(v, axis=1) > 0).all()
    exact = d.policy_iteration(jack, 0.9).v.reshape(21, 21)
    np.testing.assert_allclose(v, exact, atol=1e-6)


def test_in_exercise_4_7_the_free_move_is_used_and_the_parking_is_saved(improvements):
    mdp = pr.car_rental(free_move=True, parking_cost=4.0)
    found = d.policy_iteration(mdp, 0.9)
    moved = np.take_along_axis(pr.moves(), found.a[:, None], axis=1)[:, 0].reshape(21, 21)
    before = improvements[-1]
    assert (moved[8, 8], before[8, 8]) == (1, 0)  # the free move
    np.testing.assert_array_equal(moved[2, 11:16], [-1, -2, -3, -4, -5])  # ten stay in the lot
    assert (before[2, 11:16] >= -2).all()
    assert (moved == 0).sum() < (before == 0).sum() / 2


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: pr.gamblers_problem(-0.1), r"p_heads must lie in \[0, 1\], got -0.1"),
        (lambda: pr.gamblers_problem(1.5), r"p_heads must lie in \[0, 1\], got 1.5"),
        (lambda: pr.gamblers_problem(float("nan")), r"p_heads must lie in \[0, 1\], got nan"),
        (lambda: pr.gamblers_problem(goal=1), "goal must be at least 2, got 1"),
        (lambda: pr.gamblers_problem(goal=0), "goal must be an integer of at least 1, got 0"),
        (lambda: pr.gamblers_problem(goal=2.5), "goal must be an integer of at least 1, got 2.5"),
        (lambda: pr.car_rental(0), "capacity must be an integer of at least 1, got 0"),
        (lambda: pr.car_rental(3, 0), "most_moves must be an integer of at least 1, got 0"),
        (lambda: pr.car_rental(3, requests=(0, 1)), "requests must be positive, got 0"),
        (lambda: pr.car_rental(3, returns=(1, float("inf"))), "returns must be positive, got inf"),
        (lambda: pr.car_rental(3, rental=float("nan")), "r must be finite, got nan"),
    ],
)
def test_bad_numbers_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_gamma_one_is_fine_for_the_gambler_by_sweeps_too():
    mdp = pr.gamblers_problem(0.4, 20)
    v = g.value_iteration(mdp, 1.0, 1e-12).v
    np.testing.assert_allclose(v, d.policy_iteration(mdp, 1.0).v, atol=1e-9)
