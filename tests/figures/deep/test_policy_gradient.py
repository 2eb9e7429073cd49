"""What the captions of the policy gradient chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.deep import objectives, reinforce_network
from rlcourse.deep.policy_worlds import hike, machine, short_corridor
from rlcourse.exercises.deep import policy_gradient as exercises
from rlcourse.figures.deep import exact_gradients as exact
from rlcourse.figures.deep import gradient_clouds as clouds
from rlcourse.figures.deep import pole_runs, poles
from rlcourse.figures.deep import reinforce_curves as curves
from rlcourse.figures.deep import reinforce_runs as runs
from rlcourse.results import load

PAGE = Path(__file__).parents[3] / "book/deep/policy_gradient.md"
RECORD = load("deep/policy_gradient")


@cache
def the_clouds():
    return clouds.data_clouds(episodes=20_000, rng=np.random.default_rng(0))


def suspect():
    """The function of the bug hunt, as the page has it."""
    text = PAGE.read_text("utf-8")
    source = re.search(r"(def reward_to_go\([^)]*\):\n    g = .*?)\n\n\n", text, re.DOTALL)
    names = {"np": np}
    exec(source[1], names)
    return names["reward_to_go"]


# ------------------------------------------------------------------------------- the clouds


def test_all_clouds_have_the_mean_of_the_exact_gradient_but_one():
    found = the_clouds()
    for name, e in found.estimators.items():
        dropped = name == "γᵗ dropped"
        assert np.allclose(e.mean, found.gradient) != dropped, name
        assert (np.abs(e.z).max() > 5) == dropped, name
        assert dropped or np.abs(e.z).max() < 3, name
        assert np.isclose(e.sampled, e.variance, rtol=0.05), name


def test_variances_fall_from_frame_to_frame_and_fewer_than_half_point_uphill_at_first():
    each = [e for name, e in the_clouds().estimators.items() if name != "γᵗ dropped"]
    assert (np.diff([e.variance for e in each]) < 0).all()
    assert each[0].uphill < 0.5
    assert each[-1].uphill > 0.9


def test_almost_all_points_lie_within_the_axes():
    for e in the_clouds().estimators.values():
        x = np.abs(e.estimates[:250])
        assert ((x[:, 0] < clouds.REACH) & (x[:, 1] < 25)).mean() > 0.97


def test_the_flagship_has_a_frame_for_each_right_estimator_and_is_small():
    figure = clouds.draw_clouds(the_clouds())
    assert [f.name for f in figure.frames] == list(the_clouds().estimators)[:-1]
    assert len(figure.to_json()) < 60_000


def test_a_mean_over_a_batch_has_a_share_of_the_variance():
    x = the_clouds().estimators["state values"].estimates
    means = x.reshape(-1, 20, 2).mean(1)
    assert np.isclose(means.var(0).sum() * 20, x.var(0).sum(), rtol=0.2)


# ------------------------------------------------------------------------------- exact


def test_greedy_policies_of_the_corridor_are_bad_and_the_best_one_is_random():
    w = short_corridor()
    p = np.array([0.05, 0.95, exact.BEST])
    theta = np.stack([np.zeros(3), np.log(p / (1 - p))], -1)
    j = objectives.value_objective(w.mdp, w.x, theta, 0, 1.0).objective
    assert np.allclose(j, [-82.105263, -44.210526, -11.656854])


def test_the_error_of_discounted_values_falls_in_proportion():
    x = exact.data_averages(rng=np.random.default_rng(1))
    slope = np.diff(np.log(x.error)) / np.diff(np.log(1 - x.gammas))
    assert np.allclose(slope[3:], 1, atol=0.05)
    assert x.gap.max() < 1e-12


def test_a_bonus_leads_off_the_plateau_and_costs():
    x = exact.data_ascents()
    plain, small, large = x.objective
    assert np.ptp(plain) < 0.05
    assert small[-1] > large[-1] > plain[-1] + 5
    assert (large > 9).argmax() < (small > 9).argmax()
    assert x.entropy[2, -1] > x.entropy[1, -1]


def test_other_policies_episodes_are_soon_worthless():
    x = exact.data_off_policy()
    assert np.isclose(x.ess[10], 1)
    assert x.ess[[0, -1]].max() < 0.01  # of 100 episodes less than one
    far = np.abs(x.shift) > 0.6
    assert (x.per_decision[far] < x.whole[far]).all()
    assert x.whole.min() < x.on_policy
    assert x.whole[[0, -1]].min() > 1000 * x.on_policy


def test_sampled_gradients_of_the_gaussian_lie_on_the_exact_curves():
    x = exact.data_steered(rng=np.random.default_rng(2))
    assert (np.abs(x.mean - x.exact) < 3.5 * x.error).all()
    assert (np.diff(np.sign(x.exact[:, 0])) != 0).sum() == 1
    assert (x.exact[:, 1] < 0).all()


# ------------------------------------------------------------------------------- recorded


def test_the_corridors_learners_are_those_of_the_published_figures():
    x = curves.read_corridor(RECORD)
    late = x.mean[-10:].mean(0)
    order = [x.names[i] for i in np.argsort(late)[::-1]]
    assert order == ["with baseline", "α = 2⁻¹³", "α = 2⁻¹⁴", "α = 2⁻¹²"]
    assert np.abs(x.mean[20:, 3] - curves.BEST_CORRIDOR).max() < 1.5
    assert 1 <= (x.right[0] > 0.99).sum() <= 10
    assert x.right.min() > 0.2
    assert x.right[1:].max() < 0.99


def test_the_record_of_the_pole_says_what_the_page_says():
    x = {name: data.final.mean() for name, data in poles.read_poles(RECORD).items()}
    assert list(x) == list(runs.VARIANTS)
    assert x["all ingredients"] > 475
    assert x["total return"] > 400
    for name in ("no baseline", "cuts taken for ends"):
        assert x[name] < x["all ingredients"] - 100
    assert x["leaks across ends"] < 50
    final = {name: data.final for name, data in poles.read_poles(RECORD).items()}
    assert all(len(f) == 10 for f in final.values())
    assert 2 <= (final["total return"] < 400).sum() <= 5
    for name in ("no baseline", "cuts taken for ends"):
        assert (final[name] < 250).sum() >= 4  # many stay far below
    difference = x["no entropy bonus"] - x["all ingredients"]
    assert abs(difference) <= 2 * np.hypot(
        *(final[name].std(ddof=1) / 10**0.5 for name in ("no entropy bonus", "all ingredients"))
    )


def test_a_few_updates_run_again_are_those_of_the_record():
    torch.set_num_threads(1)
    again = pole_runs.data_pole(reinforce_network, runs.WHOLE, seed=1, updates=5, trials=1)
    recorded = poles.read_poles(RECORD)["all ingredients"]
    assert again.steps[0] == recorded.steps[0]
    assert np.allclose(again.returns[0], recorded.returns[0], atol=0.06)


def test_a_short_corridor_runs_as_the_record_does():
    again = runs.data_corridor(rng=np.random.default_rng(5), learners=10, episodes=20)
    x = curves.read_corridor(RECORD)
    off = again.mean[:2] - x.mean[:2]
    assert (np.abs(off) < 5 * np.hypot(again.error[:2], x.error[:2])).all()


# ------------------------------------------------------------------------------- the bug hunt


def test_the_suspect_is_the_misconception_and_still_learns():
    wrong = suspect()
    rng = np.random.default_rng(6)
    r, v_next = rng.normal(size=(2, 7, 5))
    ends, cuts = rng.random((2, 7, 5)) < 0.3
    theirs = exercises.leaks_across_episodes(r, v_next, ends, cuts, 0.9)
    assert np.allclose(wrong(r, v_next, ends, cuts, 0.9)[:-1], theirs[:-1]) or ends[-1].any()
    x = curves.data_hunt(wrong, rng=np.random.default_rng(0))
    assert x.suspect[-1].min() > x.suspect[0].max() + 2
    assert x.right[-1].min() > x.suspect[-1].max() + 2
    assert x.probabilities.argmax(1).tolist() == [1, 2]


def test_running_gently_is_best_and_hard_is_better_than_chance():
    w = machine()
    theta = 30 * np.eye(4, 3)
    j = objectives.value_objective(w.mdp, w.x, theta, 0, w.gamma).objective
    assert np.allclose(j[1:3], [20, 12.5])
    assert j[2] > j[3] > j[0]


@pytest.mark.parametrize(
    "picture",
    [
        exact.draw_question,
        lambda: exact.draw_averages(exact.data_averages(rng=np.random.default_rng(1))),
        lambda: clouds.draw_trust(the_clouds()),
        lambda: clouds.draw_batch(4),
        lambda: curves.draw_pole(poles.read_poles(RECORD)),
        lambda: curves.draw_corridor(curves.read_corridor(RECORD)),
    ],
)
def test_pictures_are_drawn_with_words_for_those_who_cannot_see_them(picture):
    found = picture()
    assert len(found.alt) > 40
    assert all(svg.startswith("<svg") for svg in found.panels)


def test_a_hikes_trajectories_are_at_most_as_many_as_the_page_says():
    assert hike().mdp.p.shape == (12, 3, 2)
    assert (3 * 2) ** clouds.DAYS == 1296
