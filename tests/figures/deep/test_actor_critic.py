"""What the captions of the actor-critic chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.deep import a2c, regulator
from rlcourse.deep.objectives import value_objective
from rlcourse.deep.policy_worlds import machine
from rlcourse.exercises.deep import actor_critic as exercises
from rlcourse.figures.deep import a2c_runs as runs
from rlcourse.figures.deep import actor_curves as curves
from rlcourse.figures.deep import advantage_errors as errors
from rlcourse.figures.deep import pole_runs, poles
from rlcourse.figures.records import from_record
from rlcourse.results import load

PAGE = Path(__file__).parents[3] / "book/deep/actor_critic.md"
RECORD = load("deep/actor_critic")


@cache
def moments():
    return errors.data_moments(rng=np.random.default_rng(0))


@cache
def gains():
    return curves.data_gains(rng=np.random.default_rng(4))


def the_grid():
    return from_record(runs.Grid, RECORD, "grid")


def suspect():
    """The function of the bug hunt, as the page has it."""
    text = PAGE.read_text("utf-8")
    source = re.search(
        r"(def generalized_advantage\([^)]*\):\n    goes_on.*?)\n\n\n", text, re.DOTALL
    )
    names = {"np": np}
    exec(source[1], names)
    return names["generalized_advantage"]


# ------------------------------------------------------------------------------- exact


def test_the_return_is_right_on_average_and_scatters_and_the_critic_is_wrong_and_does_not():
    x = errors.data_question(rng=np.random.default_rng(1))
    assert len(x.at_end) == len(x.at_once) == 100
    error = x.at_end.std(ddof=1) / 10
    assert abs(x.at_end.mean() - x.truth) < 2 * error
    assert abs(x.at_once.mean() - x.truth) > 0.05
    assert x.at_end.std() > 5 * x.at_once.std()


def test_bias_falls_to_nothing_and_variance_rises_steeply_near_1():
    x = moments()
    bias, variance = x.bias[errors.USUAL], x.variance[errors.USUAL]
    assert (np.diff(bias) <= 1e-12).all()
    assert (x.bias[:, -1] < 1e-12).all()
    assert variance[-1] > 3 * variance[90]
    assert variance[0] > variance.min()


def test_samples_lie_on_the_exact_curves():
    x, at = moments(), (errors.MARKED * 100).round().astype(int)
    for exact, sampled, error in zip(
        (x.bias[errors.USUAL, at], x.variance[errors.USUAL, at]), x.sampled, x.error, strict=True
    ):
        assert (np.abs(sampled - exact) < 3.5 * error + 1e-12).all()
    assert x.farthest < 4


def test_the_better_the_critic_the_smaller_the_best_lambda():
    best = errors.best(moments())
    assert best[0] == 0
    assert (np.diff(best) > 0).all()
    total = errors.total(moments())
    usual = total[errors.USUAL]
    assert usual[-1] > 3 * usual.min()
    assert usual[0] > 2 * usual.min()
    assert np.sqrt(total).max() < 0.16  # within the axes
    x = moments()
    above = x.bias[errors.USUAL] > x.variance[errors.USUAL] / errors.BATCH
    assert above[0]
    assert (np.diff(above.astype(int)) == -1).sum() == 1  # they cross once


def test_gains_come_to_riccatis_and_cost_next_to_nothing():
    x, best = gains(), regulator.best_gain(0.9)
    assert x.k.shape[1] == 10
    assert abs(x.k[-40:].mean() - best) < 0.03
    value = regulator.start_value(x.k, 0.9)
    optimum = regulator.start_value(np.array(best), 0.9)
    assert (value <= optimum).all()
    assert (value[40:] > 1.03 * optimum).all()  # after 2000 steps
    assert np.ptp(x.k[-40:]) > 0.01


# ------------------------------------------------------------------------------- recorded


def test_on_the_grid_all_come_near_and_without_restarts_only_the_off_policy_one():
    x, best = the_grid(), curves.best_grid()
    last = {name: y[0, -1] for name, y in x.begun.items()}
    assert all(best - 0.25 < y < best for y in last.values())
    quarter = {name: y[0, len(x.steps) // 4] for name, y in x.begun.items()}
    assert quarter["actor-critic"] > quarter["QAC"] + 1.5
    never = {name: y[0, -1] for name, y in x.endless.items()}
    assert never["off-policy actor-critic"] > best - 0.25
    assert max(never["actor-critic"], never["QAC"]) < 3


def test_the_grid_run_again_is_that_of_the_record():
    rng = np.random.default_rng(11)
    mean, error = runs.learn_grid("actor-critic", 20, learners=10, steps=1500, every=500, rng=rng)
    x = the_grid().begun["actor-critic"]
    assert (np.abs(mean - x[0, :4]) < 5 * np.hypot(error, x[1, :4]) + 1e-9).all()


def test_the_record_of_the_pole_says_what_the_page_says():
    data = poles.read_poles(RECORD)
    assert list(data) == list(runs.VARIANTS)
    assert all(len(x.final) == 10 for x in data.values())
    x = {name: y.final.mean() for name, y in data.items()}
    assert x["λ = 0.95"] > 450
    assert x["λ = 0"] < 100 < x["λ = 0.5"] < x["λ = 0.9"] < x["λ = 0.95"]
    error = [data[name].final.std(ddof=1) / 10**0.5 for name in ("λ = 0.95", "λ = 1")]
    assert abs(x["λ = 1"] - x["λ = 0.95"]) < 2 * np.hypot(*error)
    assert x["leaks across ends"] < 50
    assert (data["a critic as slow as the actor"].final < 490).sum() > 5  # most don't arrive
    for name in ("time limits taken for ends", "gradient through Â"):
        assert (data[name].final > 490).sum() >= 5  # half or more arrive all the same


def test_a_few_updates_run_again_are_those_of_the_record():
    torch.set_num_threads(1)
    again = pole_runs.data_pole(a2c, runs.WHOLE, seed=1, updates=5, trials=1)
    recorded = poles.read_poles(RECORD)["λ = 0.95"]
    assert again.steps[0] == recorded.steps[0]
    assert np.allclose(again.returns[0], recorded.returns[0], atol=0.06)


# ------------------------------------------------------------------------------- the bug hunt


def test_the_suspect_is_the_misconception_and_still_learns():
    wrong = suspect()
    rng = np.random.default_rng(6)
    r, v, v_next = rng.normal(size=(3, 7, 5))
    ends, cuts = rng.random((2, 7, 5)) < 0.3
    theirs = exercises.takes_a_cut_for_an_end(r, v, v_next, ends, cuts, 0.9, 0.8)
    assert np.allclose(wrong(r, v, v_next, ends, cuts, 0.9, 0.8), theirs)
    x = curves.data_hunt(wrong, rng=np.random.default_rng(0))
    assert x.suspect[-1].min() > x.suspect[0].max() + 1
    assert 1.8 * x.suspect[-1].mean() < x.right[-1].mean()
    assert x.right[-1].min() > x.suspect[-1].max() + 5
    assert x.probabilities.argmax(1).tolist() == [1, 2]


def test_running_gently_is_best_unless_the_world_ends_after_eight_steps():
    w = machine(0.3)
    policies = 30 * np.eye(3)
    j = value_objective(w.mdp, w.x, policies, 0, w.gamma).objective
    assert j.argmax() == 1
    stay = np.array([1, 1, 0.7]) * w.gamma
    short = np.array([-1, 1, 3]) * (1 - stay**8) / (1 - stay)
    assert short.argmax() == 2


@pytest.mark.parametrize(
    "picture",
    [
        lambda: errors.draw_question(errors.data_question(rng=np.random.default_rng(1))),
        lambda: errors.draw_moments(moments()),
        errors.draw_critic,
        lambda: curves.draw_grid(the_grid()),
        lambda: curves.draw_gains(gains()),
        lambda: curves.draw_lambdas(poles.read_poles(RECORD)),
        lambda: curves.draw_mistakes(poles.read_poles(RECORD)),
    ],
)
def test_pictures_are_drawn_with_words_for_those_who_cannot_see_them(picture):
    found = picture()
    assert len(found.alt) > 40
    assert all(svg.startswith("<svg") for svg in found.panels)
