"""What the captions of the function approximation chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rlcourse.deep import function_approximation as fa
from rlcourse.deep import linear_td
from rlcourse.deep.long_walk import long_walk, position
from rlcourse.figures.deep import divergence, linear_runs, linear_solutions, ring, state_features
from rlcourse.figures.deep import function_approximation as figures
from rlcourse.figures.records import from_record
from rlcourse.results import load
from rlcourse.tabular.mdp import policy_model

PAGE = Path(__file__).parents[3] / "book/deep/function_approximation.md"
RECORD = load("deep/function_approximation")


def curves(name):
    return from_record(linear_runs.Curves, RECORD, name)


# ------------------------------------------------------------------------------- the question


def test_what_a_hundred_states_share_is_learned_better_than_by_a_table():
    data = linear_solutions.data_question(rng=np.random.default_rng(7))
    assert data.errors[1] < 0.75 * data.errors[0]
    assert data.unseen > 0.005  # some states no episode has seen: the table's values are still 0
    assert np.ptp(data.table[400:600]) > 1
    again = linear_solutions.data_question(rng=np.random.default_rng(7))
    np.testing.assert_array_equal(again.table, data.table)


# ------------------------------------------------------------------------------- the flagship


def test_the_ring_spirals_in_until_the_walker_goes_back_too_often():
    data = ring.data_ring()
    border = ring.unstable_from()
    assert 0.7 < border < 0.72
    assert ((data.growth > 0) == (data.back > border)).all()
    inside = np.linalg.norm(data.path[:, -1] - 1, axis=1)
    assert inside[0] < 1e-6
    assert (inside[data.growth > 0] > 3).all()
    # it turns about the star: the angle runs through more than half a turn, in both pictures
    for i in (0, 7):
        angle = np.unwrap(np.arctan2(*(data.path[i, :80] - 1).T))
        assert np.ptp(angle) > (0.5 * np.pi if i == 0 else np.pi)
    assert data.d[0] == pytest.approx(1 / 3)
    assert (np.diff(data.d[:, 0]) > 0).all()


def test_no_step_of_the_ring_is_too_large():
    """The mean update itself grows: a tenth of the step spirals out as well."""
    small = ring.data_ring(alpha=0.01, steps=1800)
    assert np.linalg.norm(small.path[7, -1] - 1) > 3
    assert np.linalg.norm(small.path[0, -1] - 1) < 1e-6


def test_the_arrows_of_the_ring_point_along_the_mean_update():
    data = ring.data_ring()
    i = np.argmin(np.abs(data.grid - [1, 1]).sum(1))
    np.testing.assert_allclose(data.grid[i], [1, 1])
    assert np.abs(data.arrows[:, i]).max() < 1e-12  # at the star nothing moves, in every picture
    figure = ring.draw_ring(data)
    assert len(figure.frames) == 10
    assert "spirals out" in figure.layout.annotations[0].text
    assert len(figure.to_json()) < 60_000


# ------------------------------------------------------------------------------- features


def test_powers_and_waves_reach_everywhere_tiles_and_bells_do_not():
    data = state_features.data_reach()
    far = data.x > 0.8
    assert (np.abs(data.kernel["polynomial"][far]) > 0.5).all()
    assert np.abs(data.kernel["Fourier"][far]).max() > 0.15
    assert (data.kernel["tile coding"][far] == 0).all()
    assert np.abs(data.kernel["radial"][far]).max() < 0.02
    for kernel in data.kernel.values():
        assert kernel[np.argmin(np.abs(data.x - 0.3))] == pytest.approx(1)


def test_nine_centres_are_nearly_infinitely_many():
    data = state_features.data_limit()
    errors = np.abs(data.kernel - data.exact).max(1)
    assert (np.diff(errors) < 0).all()
    assert errors[0] > 0.5
    assert errors[-1] < 0.004


@pytest.mark.parametrize("name", [*state_features.FAMILIES, "state aggregation"])
def test_more_features_of_each_family_fit_better(name):
    few, many = (state_features.data_fit(name, n) for n in (2, 8))
    assert many.best_error < few.best_error
    for data in (few, many):
        assert data.best_error <= data.td_error + 1e-9


def test_powers_are_nearly_parallel_and_waves_are_not():
    mdp, start = long_walk()
    d = fa.on_policy_distribution(policy_model(mdp, np.ones((1000, 1))).p, np.eye(1000)[start])
    sizes = {}
    for name in ("polynomial", "Fourier"):
        phi = state_features.family(name, 5, position())
        sizes[name] = np.linalg.eigvalsh(phi.T * d @ phi)
    assert sizes["polynomial"][0] < 1e-7
    assert sizes["Fourier"][0] > 1e-3


# ------------------------------------------------------------------------------- objectives


@cache
def the_objectives():
    return linear_solutions.data_objectives()


def test_each_answer_is_best_in_its_own_column_and_the_least_residual_has_the_worst_values():
    errors = np.array(list(the_objectives().errors.values()))
    best, td, be = errors
    assert best[0] < td[0] < be[0]
    assert be[1] < td[1] < best[1]
    assert td[2] < 1e-12 < min(best[2], be[2])
    spread = {name: np.ptp(v) for name, v in the_objectives().values.items()}
    assert spread["best fit"] > spread["TD fixed point"] > spread["least residual"]


def test_on_zhaos_world_the_fixed_point_is_hardly_worse_than_the_best():
    data = the_objectives()
    ratio = data.td / data.best
    assert (ratio >= 1).all()
    assert ratio.max() < 1.06
    assert (data.bound > 2 * data.td).all()
    assert data.bound[0] / data.best[0] == pytest.approx(1 / np.sqrt(1 - 0.81))


def test_lstd_is_ahead_of_td_with_either_step():
    data = linear_solutions.data_least_squares(rng=np.random.default_rng(3))
    ends = {name: np.median(error[-1]) for name, error in data.error.items()}
    assert ends["LSTD"] < 0.6 * min(ends["TD(0), α = 0.005"], ends["TD(0), α = 0.05"])
    assert ends["LSTD"] < 2 * data.floor
    slow, fast = (np.median(data.error[f"TD(0), α = {a}"], 1) for a in ("0.005", "0.05"))
    assert slow[-1] < 0.8 * slow[-8]  # on its way
    assert fast[-10:].min() > 0.75 * fast[-10:].mean()  # trembling about a level


# ------------------------------------------------------------------------------- recorded


def test_on_zhaos_world_more_features_end_lower_and_near_what_they_allow():
    data = curves("zhao")
    for kind, sizes in (("polynomial", (3, 6, 10)), ("Fourier", (4, 9, 16))):
        ends = [data.error[f"{kind}, {n}"][-1] for n in sizes]
        assert (np.diff(ends) < 0).all()
        for n, end in zip(sizes, ends, strict=True):
            assert data.best[f"{kind}, {n}"] < end < 1.2 * data.best[f"{kind}, {n}"]
    assert data.error["table"][-1] < 0.06
    assert data.error["table"][100] > data.error["polynomial, 3"][100]
    assert max(spread[-1] for spread in data.spread.values()) < 0.005


def test_waves_beat_powers_and_fifty_tilings_beat_one():
    bases, tilings = curves("bases"), curves("tilings")
    for n in (5, 10, 20):
        low, high = f"Fourier, {n}", f"polynomial, {n}"
        gap = bases.error[high][-1] - bases.error[low][-1]
        assert gap > 4 * np.hypot(bases.spread[high][-1], bases.spread[low][-1])
    assert bases.best["polynomial, 5"] < 0.01 * bases.error["polynomial, 5"][-1]
    one, fifty = (tilings.error[name][-1] for name in ("state aggregation", "tile coding"))
    assert fifty < 0.7 * one


def test_the_records_are_what_the_code_gives():
    """One short run against the start of the recorded ones: the same experiment."""
    data = linear_runs.data_zhao(
        rng=np.random.default_rng(2024), episodes=3, names=("polynomial, 3",)
    )
    recorded = curves("zhao").error["polynomial, 3"]
    assert data.error["polynomial, 3"][0] == pytest.approx(recorded[0], abs=1e-4)
    np.testing.assert_allclose(data.error["polynomial, 3"], recorded[:4], atol=1e-3)
    walk = linear_runs.data_tilings(rng=np.random.default_rng(1), seeds=4, episodes=100, points=3)
    for name, error in walk.error.items():
        wanted = curves("tilings").error[name][1]
        assert error[-1] == pytest.approx(wanted, abs=0.05)


# ------------------------------------------------------------------------------- divergence


def test_all_three_together_diverge_and_any_two_do_not():
    data = divergence.data_triad(rng=np.random.default_rng(4))
    assert data.lost == 1
    assert data.growth["all three"] > 0.2
    assert data.growth["a table"] < -1e-3
    assert abs(data.growth["on-policy"]) < 1e-9
    assert abs(data.growth["no bootstrapping"]) < 1e-9
    assert data.error["all three"][-1] == np.inf
    for name in ("on-policy", "no bootstrapping", "a table"):
        assert data.error[name][-1] < 1e-3
        assert data.error[name].max() < 13
    assert data.weights[-1, 7] > data.weights[-1, :6].max() > 50


def test_gradient_td_repeats_figure_11_5():
    data = divergence.data_correction(rng=np.random.default_rng(5))
    for name in ("TDC", "GTD2"):
        pbe = np.median(data.pbe[name], 1)
        assert pbe[0] > 8
        assert pbe[-1] < 0.15
        assert np.median(data.ve[name][-1]) == pytest.approx(2, abs=0.12)
        assert data.ve_mean[name][-1] == pytest.approx(np.median(data.ve[name][-1]), abs=0.02)
        assert data.slowest[name] == pytest.approx(2.374e-5, rel=1e-3)


# ------------------------------------------------------------------------------- the bug hunt


def suspect():
    """The step of the bug hunt, as the page has it."""
    source = re.search(r"def suspect\([^)]*\):\n.*?\n\n", PAGE.read_text("utf-8"), re.DOTALL)
    names = {"np": np}
    exec(source[0], names)
    return names["suspect"]


def test_the_suspect_lowers_the_loss_more_and_learns_wrong_values():
    rng = np.random.default_rng
    hunt = linear_solutions.data_hunt(suspect(), rng=rng(6))
    right = linear_solutions.data_hunt(linear_td.semi_gradient_td_step, rng=rng(6))
    assert hunt.error[-1] < 0.8 * right.error[-1]
    assert hunt.error[-1] < hunt.error[0]
    assert np.abs(hunt.v - hunt.exact).max() > 0.1
    assert (np.diff(hunt.v) > 0).all()
    assert np.abs(right.v - right.exact).max() < 0.02
    off = np.array([0, 1, 3, 4])
    assert (np.abs(hunt.v - hunt.exact)[off] > 20 * hunt.spread[off]).all()


def test_it_is_the_residual_gradient():
    rng = np.random.default_rng(8)
    w, phi, phi_next = rng.normal(size=(3, 5, 4))
    sample = (phi, rng.normal(size=5), phi_next, rng.random(5) < 0.3, 0.1, 0.9)
    np.testing.assert_allclose(suspect()(w, *sample), linear_td.residual_gradient_step(w, *sample))


def test_every_figure_says_what_it_shows():
    rng = np.random.default_rng(0)
    zhao = curves("zhao")
    for drawn in (
        linear_solutions.draw_objectives(the_objectives()),
        figures.draw_zhao(zhao),
        state_features.draw_reach(state_features.data_reach()),
        state_features.draw_fit(),
        divergence.draw_triad(divergence.data_triad(rng=rng, seeds=7, steps=100)),
    ):
        assert len(drawn.alt) > 40
        assert len(drawn._repr_html_()) < 60_000
