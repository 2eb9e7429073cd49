"""The playground of stochastic approximation in a browser: what a reader does there."""

import pytest
from harness import state

from rlcourse.playgrounds import StochasticApproximationPlayground


@pytest.fixture
def page(load):
    return load(StochasticApproximationPlayground())


def test_the_default_state_shows_both_fates_side_by_side(page):
    counts = page.locator(".count").all_inner_texts()
    assert counts == ["1 of 200 arrive", "200 of 200 arrive"]
    assert page.locator("path.x").first.get_attribute("d")  # where runs leave the picture
    assert page.get_by_text("printed: w₂ = 0.00 − 1.000 ×").is_visible()


def test_a_slider_runs_all_runs_anew(page):
    slider = page.get_by_role("slider", name="offset")
    slider.focus()
    for _ in range(2):
        slider.press("ArrowLeft")
    assert state(page)["settings"]["offset"] == 1
    assert page.locator(".count").last.inner_text() == "151 of 200 arrive"


def test_runs_that_stop_beside_the_root_are_not_said_to_arrive(load):
    page = load(StochasticApproximationPlayground(g="tanh", p=1.5, w1=3.0))
    assert state(page)["own"]["off"] > 0.5
    assert page.locator(".count").last.inner_text() == "200 of 200 are not lost"


def test_step_and_run_can_be_scrubbed_by_keyboard(page):
    slider = page.get_by_role("slider", name="k, the step that is looked into")
    slider.focus()
    slider.press("ArrowRight")
    page.get_by_role("slider", name="run that is looked into").press("ArrowRight")
    assert (state(page)["step"], state(page)["run"]) == (2, 1)
    assert page.get_by_text("Step 2 of run 2").first.is_visible()
    page.get_by_role("button", name="Step", exact=True).click()
    page.get_by_role("button", name="Back", exact=True).click()
    assert state(page)["step"] == 2


def test_a_press_on_a_chart_takes_the_nearest_run_at_that_step(page):
    chart = page.locator("svg.chart").nth(1)
    box = chart.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.2)
    found = state(page)
    assert found["step"] > 1
    assert found["run"] > 0


def test_new_noise_is_new_and_restore_brings_the_old_back(page):
    before = state(page)
    page.get_by_role("button", name="New noise").click()
    assert state(page)["settings"]["seed"] == 2
    assert state(page)["own"]["off"] != before["own"]["off"]
    page.get_by_role("button", name="Restore").click()
    assert state(page) == before


def test_a_run_that_is_lost_says_so(page):
    page.get_by_role("slider", name="k, the step that is looked into").press("End")
    assert page.get_by_text("lost before this step").is_visible()
