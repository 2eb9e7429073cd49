"""What the captions of the PPO chapter claim."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.deep import ppo_losses
from rlcourse.exercises.deep import ppo as exercises
from rlcourse.figures.deep import ppo_curves as curves
from rlcourse.figures.deep import ppo_runs as runs
from rlcourse.figures.deep import trust_regions
from rlcourse.results import load

PAGE = Path(__file__).parents[3] / "book/deep/ppo.md"
RECORD, GPU = load("deep/ppo"), load("gpu/ppo")


@cache
def details():
    return curves.read_runs(RECORD, "details")


def suspect():
    """The function of the bug hunt, as the page has it."""
    text = PAGE.read_text("utf-8")
    source = re.search(r"(def ppo_loss\([^)]*\):\n    log_prob_old = .*?)\n\n\n", text, re.DOTALL)
    names = {"clipped_surrogate": ppo_losses.clipped_surrogate}
    exec(source[1], names)
    return names["ppo_loss"]


# ------------------------------------------------------------------------------- exact


def test_the_surrogate_touches_the_objective_and_goes_on_rising_where_it_falls():
    x = trust_regions.data_promise()
    assert (np.diff(x.surrogate) > 0).all()
    slopes = np.diff(x.surrogate)
    assert np.allclose(slopes, slopes[0])
    at = np.abs(x.p - trust_regions.OLD).argmin()
    off = np.abs(x.surrogate - x.objective)
    assert off.argmin() == at
    assert x.objective[-1] < -40
    near = np.abs(x.p - trust_regions.OLD) < 0.09
    assert off[near].max() < 3
    assert off[~near].max() > 50


def test_the_bound_promises_a_gain_for_short_steps_only():
    x = trust_regions.data_bound()
    assert (x.bound <= x.objective + 1e-12).all()
    assert (x.bound <= x.surrogate + 1e-12).all()
    assert (np.diff(x.objective) > 0).all()
    assert 0.3 < x.step[x.bound.argmax()] < 0.8
    assert x.bound.max() > x.objective[0] + 0.05
    assert x.bound[x.step > 2].max() < x.objective[0]
    assert np.abs(x.objective - x.surrogate).max() < 0.05


def test_trpo_gets_to_the_top_where_the_plain_gradient_hardly_moves():
    x = trust_regions.data_region()
    plain, natural = trust_regions.on_hike(x.gradient), trust_regions.on_hike(x.natural)
    assert plain.objective[-1] < plain.objective[0] + 0.5
    assert natural.objective[-1] > 11
    assert (np.diff(natural.objective) > 0).all()
    assert x.kl.min() < x.delta < x.kl.max()


def test_the_means_of_k1_and_k3_are_exact_and_k3_spreads_least():
    x = trust_regions.data_estimates(rng=np.random.default_rng(0))
    assert np.allclose(x.mean[:, [0, 2]], x.exact[:, None])
    near = x.exact < 0.01
    assert np.allclose(x.mean[near, 1], x.exact[near], rtol=0.02)
    assert (x.spread[near, 0] > 5 * x.spread[near, 2]).all()
    assert (x.spread[:, 2] < x.spread[:, 0]).all()


# ------------------------------------------------------------------------------- recorded


def test_the_record_says_what_the_page_says_of_the_details():
    final = {name: x.final.mean() for name, x in details().items()}
    assert list(final) == list(runs.DETAILS)
    assert all(x.final.shape == (10,) for x in details().values())
    assert (details()["all details"].final >= 475).all()
    order = sorted(final, key=final.get)
    hurt = ["cuts taken for ends", "no scaled rewards", "no clip", "one epoch"]
    assert order[0] == "cuts taken for ends"
    assert all(final[name] < 490 for name in hurt)
    assert final["KL stop, no clip"] > 450
    assert all(final[name] > 490 for name in final if name not in [*hurt, "KL stop, no clip"])
    late = {name: x.returns[-1].mean() for name, x in details().items()}
    assert late["one epoch"] < late["all details"]


def test_the_clip_holds_the_divergence_and_one_epoch_clips_less():
    half = len(details()["all details"].kl) // 2
    kl = {name: x.kl[:half].mean() for name, x in details().items()}
    assert kl["no clip"] > 5 * kl["all details"] > kl["one epoch"]
    clipped = {name: x.clipped.mean() for name, x in details().items()}
    assert 0.01 < clipped["all details"] < 0.15
    assert clipped["one epoch"] < clipped["all details"] / 2


def test_acrobot_and_pendulum_are_learned():
    tasks = curves.read_runs(RECORD, "tasks")
    assert list(tasks) == list(runs.TASKS)
    acrobot, pendulum = tasks["Acrobot-v1"].final, tasks["Pendulum-v1"].final
    assert len(acrobot) == len(pendulum) == 5
    assert -90 < acrobot.mean() < -75
    assert -200 < pendulum.mean() < -140


def test_a_few_updates_run_again_are_those_of_the_record():
    torch.set_num_threads(1)
    again = runs.data_run(
        runs.cartpoles, runs.WHOLE, seed=1, learners=10, updates=8, every=4, trials=1
    )
    recorded = details()["all details"]
    assert (again.steps == recorded.steps[:2]).all()
    assert np.allclose(again.returns, recorded.returns[:2], atol=0.06)
    off = np.abs(again.kl - recorded.kl[:2])
    assert np.median(off) < 1e-4
    assert off.max() < 5e-3  # a sample drawn otherwise, where a processor rounds otherwise


def test_each_variant_changes_one_thing():
    for name, settings in runs.DETAILS.items():
        changed = [key for key, x in vars(settings).items() if x != getattr(runs.WHOLE, key)]
        assert len(changed) == {"all details": 0, "KL stop, no clip": 2}.get(name, 1), name


def test_thousands_of_carts_are_balanced_within_seconds():
    found = [x for x in GPU["rows"] if x["kind"] == "curve"]
    assert {x["n"] for x in found} == {4096, 16384}
    assert all(max(y for y in x["returns"] if y is not None) >= 475 for x in found)
    speeds = [x for x in GPU["rows"] if x["kind"] == "speed" and x["device"] == "cuda"]
    assert all(a["collect"] < b["collect"] for a, b in pairwise(speeds))
    small = speeds[0]
    assert small["collect_graph"] > 2 * small["collect"]


# ------------------------------------------------------------------------------- the bug hunt


def test_the_suspect_is_the_misconception_and_still_learns():
    wrong = suspect()
    rng = np.random.default_rng(6)
    parts = [torch.tensor(x) for x in rng.normal(size=(5, 3, 7))]
    parts[2].abs_()
    theirs = exercises.old_log_probabilities_recomputed(*parts, 0.2, 0.5, 0.01)
    assert torch.allclose(wrong(*parts, 0.2, 0.5, 0.01), theirs)
    x = curves.data_hunt(wrong, rng=np.random.default_rng(0))
    assert len(x.right) == 31
    assert x.suspect[3].mean() > x.right[3].mean() + 0.5
    assert x.suspect[-1].mean() > x.suspect[0].mean() + 3
    assert x.right[-1].mean() > x.suspect[-1].mean() + 1
    assert x.suspect_kl[0].mean() > 50 * x.right_kl[0].mean()
    assert np.ptp(x.suspect[-1]) > 2 * np.ptp(x.right[-1])


@pytest.mark.parametrize(
    "picture",
    [
        trust_regions.draw_question,
        lambda: trust_regions.draw_bound(trust_regions.data_bound()),
        trust_regions.draw_live,
        lambda: trust_regions.draw_estimates(
            trust_regions.data_estimates(rng=np.random.default_rng(0))
        ),
        lambda: curves.draw_details(details()),
        lambda: curves.draw_movement(details()),
        lambda: curves.draw_tasks(curves.read_runs(RECORD, "tasks")),
        lambda: curves.draw_gpu(GPU),
    ],
)
def test_pictures_are_drawn_with_words_for_those_who_cannot_see_them(picture):
    found = picture()
    assert len(found.alt) > 40
    assert all(svg.startswith("<svg") for svg in found.panels)
