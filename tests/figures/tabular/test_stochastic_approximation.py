"""What the captions of the stochastic approximation chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rlcourse.exercises.tabular import stochastic_approximation as exercises
from rlcourse.figures.tabular import iterates, rates
from rlcourse.figures.tabular import step_conditions as conditions
from rlcourse.figures.tabular import stochastic_approximation as f
from rlcourse.results import load
from rlcourse.tabular import stochastic_approximation as sa
from rlcourse.tabular.gridworld import ZHAO, closed_form, grid_mdp
from rlcourse.tabular.mdp import deterministic_policy, uniform_policy

PAGE = Path(__file__).parents[3] / "book/tabular/stochastic_approximation.md"
RECORD = load("tabular/stochastic_approximation")


def suspect():
    """The reading of the bug hunt, as the page has it."""
    source = re.search(
        r"def td_reading\([^)]*\):\n    b = .*?\n\n", PAGE.read_text("utf-8"), re.DOTALL
    )
    names = {"np": np}
    exec(source[0], names)
    return names["td_reading"]


@cache
def the_hunt():
    return f.data_hunt(suspect(), rng=np.random.default_rng(4))


def spread(w):
    return np.ptp(np.quantile(w, [0.1, 0.9]))


# ------------------------------------------------------------------------------- the conditions


def test_steps_of_1_over_k_settle_a_constant_jumps_on_and_1_over_k_squared_stops_too_early():
    data = conditions.data_question(rng=np.random.default_rng(3))
    slow, constant, fast = data.w.values()
    assert (np.abs(slow[-1] - 1) < 0.15).all()  # σ / √T = 0.02
    assert spread(constant[-1]) > 1
    assert np.ptp(constant[data.k > 500, 0]) > 0.5
    assert (np.abs(fast[-1] - fast[data.k > 300][0]) < 0.05).all()
    assert np.median(np.abs(fast[-1] - 1)) > 0.5
    assert abs(fast[-1, 0] - 1) > 1  # the run that is drawn


def test_each_condition_that_is_broken_breaks_convergence():
    k, failures = conditions.data_failures(rng=np.random.default_rng(2))
    finite, squares, mean, variance, flat, steep = failures
    for failure in failures:
        assert spread(failure.kept[-1]) < 0.35
        assert abs(np.median(failure.kept[-1]) - failure.root) < 0.1, failure.title
    assert np.quantile(finite.broken[-1], 0.1) > 2
    late = k > 300
    assert (np.abs(finite.broken[late] - finite.broken[-1]) < 0.02).all()
    assert spread(squares.broken[-1]) > 1.2
    assert abs(np.median(mean.broken[-1]) - (1 - np.arctanh(0.5))) < 0.1
    ratio = spread(variance.broken[-1]) / (2 * np.tan(0.4 * np.pi))
    assert 0.5 < ratio < 2  # the mean of Cauchy numbers is a Cauchy number, however many
    assert np.quantile(flat.broken[-1], 0.1) > 3.5
    assert np.isnan(steep.broken[-1]).mean() > 0.95
    assert np.isfinite(steep.kept).all()


def test_the_reach_of_steps_with_a_finite_sum_is_bounded():
    """|g| < 1 and Σ 1/k² = π²/6: without noise w cannot come nearer than 5 - π²/6."""
    path = sa.robbins_monro(
        sa.noisy(sa.squashed), [5.0], sa.step_sizes(9999, p=2), np.zeros((9999, 1))
    ).w
    assert path.min() > 5 - np.pi**2 / 6


def test_the_flat_function_takes_more_than_e_to_the_200_steps_to_half_of_the_way():
    """dw = -g da without noise: from 4 to 2 off the root takes Σ a = ∫ dw / g, about ln k."""
    w = np.linspace(3, 5, 20_001)
    assert np.trapezoid(1 / conditions.flat(w), w) > 201


def test_rare_large_noise_strikes_for_ever_unless_the_squares_converge():
    data = conditions.data_jumps(rng=np.random.default_rng(4))
    for p, chance in data.chance.items():
        sd = np.sqrt(chance * (1 - chance) / data.rare.shape[1])
        assert (np.abs(data.seen[p] - chance) <= 5 * sd + 0.02).all()
    assert data.chance[0.4][-1] > 0.95
    assert data.chance[0.5][-1] == pytest.approx(0.5, abs=0.001)
    assert data.chance[0.75][-1] < 0.02
    assert np.quantile(data.rare[-1], 0.1) > 0.9
    assert np.quantile(data.gaussian[-1], 0.9) < 0.6
    assert (np.diff(np.median(data.gaussian[3:], 1)) < 0.02).all()


# ------------------------------------------------------------------------------- the cubic


def test_a_step_leads_nearer_within_the_safe_interval_and_only_there():
    for a in (0.5, 0.1, 0.02):
        low, high = f.safe_interval(np.array([a]))
        w = np.linspace(-12, 12, 2401) + 1e-4
        nearer = np.abs(w - a * sa.cubic(w) - f.ROOT) < np.abs(w - f.ROOT)
        inside = (w > low) & (w < high)
        np.testing.assert_array_equal(nearer, inside)


def test_with_1_over_k_the_second_iterate_lies_outside_and_the_runs_drawn_explode():
    rng = np.random.default_rng(5)
    first = f.cubic_runs(0.0, 1.0, 10, 10, rng=rng)  # as drawn
    high = f.safe_interval(np.array([0.5]))[1][0]
    assert (first.w[1] > high).all()
    assert abs(first.w[1].mean() - 5) < 1
    assert first.diverged.all()
    second = f.cubic_runs(1.0, 1.0, 10, 10, rng=rng)
    assert 0 < second.diverged.sum() < 10
    assert (np.abs(second.w[-1][~second.diverged] - f.ROOT) < 0.4).all()


def test_the_recorded_shares_agree_with_the_quadrature():
    data = f.read_shares(RECORD)
    n = len(data.share) * 10_000
    assert (np.abs(data.share.mean(0) - data.exact) < 5 * np.sqrt(data.exact / n) + 1e-6).all()
    again = f.exact_share(1.0, 0.5, reach=8.0, n=1601)
    assert again == pytest.approx(data.exact[1, 1], abs=1e-6)
    np.testing.assert_allclose(data.exact[:, 0], [0.00495, 0.7069, 0.99999], atol=6e-5)
    np.testing.assert_allclose(data.exact[:, 1], [0, 0.8628, 1], atol=6e-5)


# ------------------------------------------------------------------------------- the record


def test_the_record_repeats_from_its_seeds():
    x = RECORD["data"]["rates"]
    k = np.array(x["k"])
    early = k[k <= 200]
    c, p = x["settings"][0]
    noise = iterates.gaussian(200, 2000, 1.0, rng=np.random.default_rng(x["seed"]))
    path = sa.robbins_monro(
        sa.noisy(lambda w: w), np.ones(2000), sa.step_sizes(200, c=c, p=p), noise, early
    ).w
    recorded = np.array(x["error"][0])[:, : len(early)]
    np.testing.assert_allclose(rates.root_mean_square(path, 20), recorded, atol=1e-6)
    x = RECORD["data"]["shares"]
    runs = f.cubic_runs(0, 1.0, 10_000, 60, rng=np.random.default_rng(x["seed"]))
    assert 1 - runs.diverged.mean() == pytest.approx(x["share"][0][0][0])


def test_the_measured_errors_are_the_exact_ones():
    data = f.read_rates(RECORD)
    square = (data.error**2).mean(1)
    sd = data.exact**2 * np.sqrt(2 / 2000)  # at most: the mean adds no spread
    assert (np.abs(square - data.exact**2) <= 5 * sd + 1e-5).all()


def test_the_measured_slopes_follow_the_theory():
    data = f.read_rates(RECORD)
    found = rates.slopes(data)
    assert found.shape == (12, 20)
    for (c, p), row in zip(data.settings, found, strict=True):
        logarithm = 0.06 if c == 0.5 else 0.025  # at c = 1/2 the error is √(log k / k)
        assert row.mean() == pytest.approx(rates.theory(c, p), abs=logarithm), (c, p)
        assert np.ptp(np.quantile(row, [0.1, 0.9])) < 0.07


def test_the_average_of_a_slow_sequence_is_nearly_as_good_as_the_best_step():
    data = f.read_rates(RECORD)
    average = np.sqrt((data.averaged**2).mean(0))[-1]
    plain, best = (data.exact[data.settings.index(s), -1] for s in ((1.0, 0.7), (1.0, 1.0)))
    assert best == pytest.approx(1 / np.sqrt(data.k[-1]), rel=1e-3)
    assert average < plain / 2
    assert average < 1.3 * best
    found, spread = f.averaged_error(data)
    assert found == average
    assert abs(found - exact_average(int(data.k[-1]), 0.7)) < 3 * spread < 0.2 * best


def exact_average(steps, p):
    """RMS error of the mean of w_1 .. w_{T+1} from w_1 = 1: what each η_k adds to their sum.

    η_k moves w_{k+1} by -a_k, and the sum by a_k (1 + (1 - a_{k+1}) (1 + ...)).
    """
    a, weight, square = sa.step_sizes(steps, p=p), 0.0, 0.0
    for size in a[::-1]:
        weight += 1  # of w_{k+1} in the sum, with all that it leaves to later ones
        square += (size * weight) ** 2
        weight *= 1 - size
    return np.sqrt((1 + weight) ** 2 + square) / (steps + 1)


def test_twice_the_best_factor_costs_fifteen_per_cent_and_half_of_it_the_rate():
    """The constant c / √(2c - 1), its double near c = 7.5, and the quiz's 2/√3."""
    errors = {c: rates.exact_error(c, 1.0, 20_000)[-1] * np.sqrt(20_000) for c in (1.0, 2.0, 7.46)}
    assert errors[1.0] == pytest.approx(1, rel=0.01)
    assert errors[2.0] == pytest.approx(2 / np.sqrt(3), rel=0.01)
    assert errors[7.46] == pytest.approx(2, rel=0.01)


def test_the_live_figure_says_the_slope_of_its_exact_error():
    assert "slope −0.30" in rates.draw_rate().alt
    assert "slope −0.50" in rates.draw_rate(c=1.0).alt


# ------------------------------------------------------------------------------- gradients


def test_far_away_the_batch_hardly_matters_and_near_the_solution_it_does():
    data = f.data_batches(rng=np.random.default_rng(4))
    early, late = np.searchsorted(data.k, 15), -1
    errors = {m: data.error(m) for m in data.w}
    assert errors[1][early] < 1.5 * errors[100][early]
    assert errors[1][late] / errors[10][late] == pytest.approx(np.sqrt(10), rel=0.4)
    assert errors[100][late] < 0.1 * errors[10][late]
    for m in (1, 10):  # from where it ends on, to as many samples as BGD reads, as 1/√k
        assert errors[100][late] < 0.5 * errors[m][late] * np.sqrt(m / 100)
    assert f.relative_noise(data, 10.0) < 2 < 5 < f.relative_noise(data, 0.1)


def test_for_each_sample_read_a_small_batch_is_nearest_at_first():
    data = f.data_batches(rng=np.random.default_rng(4))
    for read in (100, 300, 1000):
        small, middle, full = (
            np.interp(np.log(read), np.log((data.k + 1) * m), data.error(m)) for m in (1, 10, 100)
        )
        assert small < middle < full


# ------------------------------------------------------------------------------- the bridge


def test_td_needs_more_than_1_over_k_and_settles_only_if_the_step_falls():
    data = f.data_bridge(rng=np.random.default_rng(6), steps=20_000, runs=5)
    slow, constant, good = (np.median(x, 1) for x in data.error.values())
    late = data.k > 2000
    fit = np.polyfit(np.log(data.k[late]), np.log(slow[late]), 1)[0]
    assert -0.2 < fit < -0.05  # the slowest direction: -(1 - γ) = -0.1
    assert constant[late].max() / constant[late].min() < 1.8
    assert good[-1] < 0.5 * constant[-1] < 0.5 * slow[-1]
    np.testing.assert_allclose(data.v, data.exact, atol=0.45)


def test_steps_of_1_over_k_shrink_the_slowest_error_as_k_to_the_gamma_minus_1():
    """One state that returns to itself: each step leaves 1 - (1 - γ)/k of the error."""
    for gamma in (0.9, 0.99):
        a = sa.step_sizes(20_000)
        error = sa.exact_moments(1.0, (1 - gamma) * a, a, 0.0).mean
        fit = np.log(error[20_000] / error[200]) / np.log(100)
        assert fit == pytest.approx(gamma - 1, rel=0.01)


def test_the_suspect_is_right_on_a_dry_floor_and_stalls_on_a_slippery_one():
    hunt = the_hunt()
    assert hunt.suspect["dry"][-1] < 1e-8
    assert hunt.right["dry"][-1] < 1e-8
    slippery = hunt.suspect["slippery"]
    assert slippery[-1] < 0.4 * slippery[0]
    assert slippery[-1] > 4 * hunt.right["slippery"][-1]
    assert hunt.loss < hunt.least
    assert hunt.same_actions
    assert (hunt.v > hunt.exact)[:-1].all()  # the last is the end, worth 0


def test_the_suspect_on_the_page_is_a_misconception_that_its_checks_know():
    rng = np.random.default_rng(0)
    s, s_next = rng.integers(0, 5, (2, 30))
    case = rng.normal(size=(30, 5)), s, rng.normal(size=30), s_next, rng.random(30) < 0.3, 0.9
    np.testing.assert_allclose(suspect()(*case), exercises.follows_the_full_gradient(*case))


def test_the_suspect_minimises_the_mean_square_td_error():
    """Its limit by a linear solve: E[(∇δ)(∇δ)ᵀ] v = -E[∇δ r]; no other values have a lower loss."""
    hunt = the_hunt()
    world = f.FLOORS["slippery"]
    mdp = grid_mdp(world)
    pi = deterministic_policy(f.best_actions(world, hunt.exact), world.n_actions)
    rows, wanted = [], []
    for s, a, k in np.ndindex(mdp.p.shape):
        weight = np.sqrt(pi[s, a] * mdp.p[s, a, k])
        row = np.eye(6)[s] - 0.9 * (not mdp.terminated[s, a, k]) * np.eye(6)[mdp.s_next[s, a, k]]
        rows.append(weight * row)
        wanted.append(weight * mdp.r[s, a, k])
    limit = np.linalg.lstsq(np.array(rows), np.array(wanted))[0]
    np.testing.assert_allclose(hunt.v, limit, atol=0.06)
    assert f.mean_square_td(world, pi, limit) <= hunt.loss <= hunt.least


def test_the_values_of_the_bridge_are_those_of_the_closed_form():
    mdp = grid_mdp(ZHAO)
    data = f.data_bridge(rng=np.random.default_rng(0), steps=10, runs=2)
    np.testing.assert_allclose(data.exact, closed_form(mdp, uniform_policy(mdp), 0.9))


def test_every_picture_of_the_chapter_is_drawn():
    rng = np.random.default_rng(0)
    for picture, panels in (
        (
            conditions.draw_question(conditions.data_question(rng=rng, steps=50, runs=5)),
            2,
        ),
        (
            conditions.draw_failures(*conditions.data_failures(rng=rng, steps=50, runs=20)),
            6,
        ),
        (conditions.draw_jumps(conditions.data_jumps(rng=rng, steps=63, runs=5)), 2),
        (f.draw_escape(rng=rng), 2),
        (f.draw_shares(f.read_shares(RECORD)), 1),
        (rates.draw_rates(f.read_rates(RECORD)), 4),
        (rates.draw_rate(steps=100), 1),
        (f.draw_batches(f.data_batches(rng=rng, steps=30, runs=3)), 4),
        (f.draw_bridge(f.data_bridge(rng=rng, steps=300, runs=2)), 2),
        (f.draw_hunt(f.data_hunt(sa.td_reading, rng=rng, steps=300, runs=2)), 2),
    ):
        assert picture.alt
        assert len(picture.panels) == panels
        assert all(svg.startswith("<svg") for svg in picture.panels)
