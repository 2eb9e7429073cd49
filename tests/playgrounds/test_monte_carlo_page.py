"""The Monte Carlo playground in a browser: what a reader sees, presses and is told."""

import numpy as np
import pytest
from harness import state

from rlcourse.playgrounds import MonteCarloPlayground
from rlcourse.playgrounds.monte_carlo import errors, learned


@pytest.fixture
def page(load):
    return load(MonteCarloPlayground())


def slider(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def names(page):
    return page.locator(".split .who").all_inner_texts()


def test_the_default_state_tells_bias_from_noise(page):
    assert page.locator(".story").inner_text() == (
        "After 16 episodes, TD(0)’s squared error is over 99 % bias, Monte Carlo’s 83 % noise."
    ).replace(" %", "\N{NO-BREAK SPACE}%")
    assert names(page) == ["TD(0)", "Monte Carlo"]
    for i, n in enumerate((1, None)):
        found = errors(19, 0.04, n)
        printed = page.locator(".split .note").nth(i).inner_text()
        assert printed == (
            f"{found.bias[16]:.4f} + {found.noise[16]:.4f} ="
            f" {found.bias[16] + found.noise[16]:.3f} = {found.rms[16]:.3f}²"
        )
        bias, noise = page.locator(".split").nth(i).locator("i, b").all()
        share = bias.bounding_box()["width"] / noise.bounding_box()["width"]
        assert share == pytest.approx(found.bias[16] / found.noise[16], rel=0.05, abs=20)
    assert page.get_by_text("TD(0) ahead from 58 on").is_visible()


def test_the_row_shows_the_learner_that_walks(page):
    shown = np.array(state(page)["v"])
    for values, n in zip(shown, (1, None), strict=True):
        np.testing.assert_allclose(values, learned(19, 0.04, n)[16, 0], atol=1e-9)


def test_the_steps_of_a_walk_can_be_scrubbed_by_keyboard(page):
    page.get_by_role("button", name="Other learner").click()
    assert state(page)["learner"] == 2
    walk = slider(page, "step of the walk")
    walk.press("Home")
    assert state(page)["step"] == 0
    assert page.get_by_text("The walk begins in the middle.").count() == 2
    before = state(page)["v"]
    walk.press("ArrowRight")
    assert state(page)["step"] == 1
    assert page.get_by_text("Waits for the end of the walk.").is_visible()
    td, monte_carlo = state(page)["v"]
    assert monte_carlo == before[1]
    assert 0 < np.abs(np.subtract(td, before[0])).max() < 0.001  # neighbours guess the same
    page.get_by_role("button", name="End").click()
    after = state(page)["v"]
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_steering_the_walk_changes_how_it_ends(page):
    slider(page, "step of the walk").press("Home")
    for _ in range(10):
        page.get_by_role("button", name="let the walk go right here").click()
    found = state(page)
    assert found["path"] == list(range(9, 19))
    assert (found["right"], found["step"]) == (1, 10)
    assert page.get_by_text("The walk came out on the right: pulls all 10 cells").is_visible()
    assert page.get_by_text("The walk came out on the right: pulls cell 19 alone").is_visible()
    assert page.locator(".cap").get_by_text("steered by you").is_visible()
    page.get_by_role("button", name="Restore").click()
    assert page.locator(".cap").get_by_text("steered by you").count() == 0


def test_a_press_beside_the_walker_steers_it(page):
    slider(page, "step of the walk").press("Home")
    box = page.locator(".rowmap").first.bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.5 * box["height"])
    assert state(page)["path"][:3] == [9, 10, 9]


def test_a_press_on_the_chart_looks_into_that_episode(page):
    box = page.locator("svg.chart").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.up()
    found = state(page)
    assert 70 < found["episode"] < 90
    assert found["rms"] == pytest.approx(
        [errors(19, 0.04, n).rms[found["episode"]] for n in (1, None)]
    )


def test_waiting_for_ever_is_monte_carlo_itself(page):
    waits = slider(page, "n, steps that the first learner waits before it takes a guess")
    waits.press("End")
    assert state(page)["n"] is None
    assert names(page) == ["Monte Carlo"]
    assert page.get_by_text("the two are one").is_visible()
    assert (page.locator(".rowmap").count(), page.locator("svg.chart path.line").count()) == (1, 1)
    assert page.get_by_text("false").count() == 0
    waits.press("ArrowLeft")
    assert names(page) == ["128-step TD", "Monte Carlo"]


def test_learning_that_does_harm_is_marked_in_words(page):
    slider(page, "alpha, step size").fill("0.2")
    assert page.locator(".split.m").get_by_text("worse than at first").is_visible()
    assert page.locator(".split.td").get_by_text("worse than at first").count() == 0
    assert page.locator("path.was").count() == 3  # both errors before the change, and its legend


def test_before_the_first_episode_all_is_bias(page):
    slider(page, "episode").press("Home")
    slider(page, "step of the walk").press("Home")
    assert page.locator(".story").inner_text() == (
        "After 0 episodes, TD(0)’s squared error is 100 % bias, Monte Carlo’s 100 % bias."
    ).replace(" %", "\N{NO-BREAK SPACE}%")


def test_running_walks_to_the_end_of_the_episode(page):
    page.get_by_role("radio", name="5", exact=True).click()
    page.get_by_role("button", name="Run").click()
    page.wait_for_function(
        """() => { const { state } = document.querySelector('[data-rlc-ready]').playground;
          return state().step === state().path.length; }"""
    )
    page.get_by_role("button", name="Run").wait_for()
