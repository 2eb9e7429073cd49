"""The actor-critic playground in a browser: what a reader drags, presses and is told."""

import numpy as np
import pytest
from harness import change, state

from rlcourse.playgrounds import ActorCriticPlayground
from rlcourse.playgrounds.actor_critic import CELLS, ERROR, Settings, advantages, values, walks

HOST = "document.querySelector('[data-rlc-playground]')"


@pytest.fixture
def page(load):
    return load(ActorCriticPlayground())


def slider(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def critic(page):
    return page.locator("svg.critic")


def story(page):
    return page.locator(".story").inner_text().replace("\N{NO-BREAK SPACE}", " ")


def test_the_default_state_tells_bias_from_noise(page):
    assert story(page) == (
        "At λ = 0 an update is off by 0.324, nearly all bias; at λ = 1 by 0.217, all noise."
        " The least, 0.125, is at λ = 0.89."
    )
    assert page.get_by_text("least at λ = 0.89").is_visible()
    assert page.locator(".strip rect.bin").count() > 50
    assert page.get_by_text("horizon 1/(1 − γλ) = 9.2").is_visible()
    line = page.locator(".told .sum").inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert line == "λ = 0.90:bias² 0.0046+ variance 0.0449 / 4= 0.0158 = 0.126²"


def test_the_arrow_keys_take_a_cell_and_move_what_is_believed_of_it(page):
    v = values(0.99)
    name = "what the critic believes of cell 5; left and right take another cell"
    assert critic(page).get_attribute("aria-label") == name
    assert critic(page).get_attribute("aria-valuetext") == f"{v[4] - 0.35:.2f}, exact {v[4]:.2f}"
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "PageUp"):
        critic(page).press(key)
    found = state(page)
    assert found["cell"] == 3
    want = np.array(ERROR) + 0.35 * (np.arange(CELLS) == 3)
    np.testing.assert_allclose(found["error"], want, atol=0.001)
    for _ in range(4):
        critic(page).press("ArrowLeft")
    assert state(page)["cell"] == CELLS - 1


def test_a_value_follows_the_pointer_until_it_is_released(page):
    before = state(page)
    box = critic(page).bounding_box()
    x = box["x"] + box["width"] * 3.5 / 9  # of cell 3
    page.mouse.move(x, box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(x + 90, box["y"] + 2)
    page.mouse.up()
    found = state(page)
    assert found["cell"] == 2
    assert found["error"][2] + values(0.99)[2] == pytest.approx(1.25, abs=0.001)
    assert found["error"][:2] + found["error"][3:] == list(ERROR[:2] + ERROR[3:])
    assert found["best"] > before["best"]
    assert page.locator("path.was").count() == 2  # the sum before the change, and its legend
    page.mouse.move(x, box["y"] + 50)
    assert state(page) == found


def test_a_press_takes_the_focus_so_that_the_keys_go_on(page):
    box = critic(page).bounding_box()
    page.mouse.click(box["x"] + box["width"] * 1.5 / 9, box["y"] + 0.3 * box["height"])
    error = state(page)["error"][0]
    page.keyboard.press("ArrowDown")
    assert state(page)["error"][0] == pytest.approx(error - 0.05, abs=0.001)


def test_the_slider_of_the_error_stretches_it_and_brings_it_back(page):
    size = slider(page, "error of the critic, root mean square")
    size.fill("0.5")
    twice = np.array(state(page)["error"])
    assert np.sqrt((twice**2).mean()) == pytest.approx(0.5, abs=0.001)
    np.testing.assert_allclose(
        twice / np.linalg.norm(twice), ERROR / np.linalg.norm(ERROR), atol=0.01
    )
    size.press("Home")
    assert state(page)["error"] == [0] * CELLS
    assert story(page).endswith("Nothing is better than λ = 0.")
    size.fill("0.5")
    np.testing.assert_allclose(state(page)["error"], twice)


def test_a_press_on_the_chart_sets_lambda(page):
    box = page.locator("svg.chart").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.2 * box["height"])
    assert 0.75 < state(page)["lam"] < 0.85
    page.mouse.move(box["x"] + 1.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.up()
    assert state(page)["lam"] == 1
    assert slider(page, "lambda").input_value() == "1"
    assert page.get_by_text("λ = 1: yours").is_visible()
    assert state(page)["off"][0] == pytest.approx(0, abs=1e-12)


def test_a_step_of_the_walk_shows_the_sum_that_begins_there(page):
    w = Settings()
    A = advantages(w, walks(w.walk))[:, 0]
    assert state(page)["A"] == pytest.approx(A.tolist())
    assert page.locator(".cap").get_by_text(f"add up to A₀ = {A[0]:.2f}").is_visible()
    assert page.get_by_role("button", name="Back").is_disabled()
    page.get_by_role("button", name="Step").click()
    slider(page, "step whose advantage is formed").press("ArrowRight")
    assert state(page)["t"] == 2
    assert page.locator(".cap").get_by_text(f"add up to A₂ = {A[2]:.2f}").is_visible()
    assert page.locator(".walk rect.weight").count() == len(A) - 2
    slider(page, "step whose advantage is formed").press("End")
    assert page.get_by_text("nothing comes after it").is_visible()
    assert page.get_by_role("button", name="Step").is_disabled()


def test_a_press_on_the_walk_takes_that_step_and_another_walk_begins_anew(page):
    box = page.locator("svg.walk").bounding_box()
    page.locator("svg.walk").click(position={"x": 0.98 * box["width"], "y": 0.5 * box["height"]})
    assert state(page)["t"] == len(state(page)["A"]) - 1
    page.get_by_role("button", name="Other walk").click()
    found = state(page)
    assert (found["walk"], found["t"]) == (Settings().walk + 1, 0)
    assert len(found["A"]) == len(walks(Settings().walk + 1)[0].path)


def test_without_decay_the_horizon_is_infinite(page):
    change(page, {"lam": 1, "gamma": 1})
    assert page.get_by_text("horizon 1/(1 − γλ) = ∞ →").is_visible()


def test_a_critic_that_is_far_off_stays_in_the_picture(page):
    change(page, {"error": [4, -4, 4, -4, 4, -4, 4], "n": 1})
    for what, name, end in (("circle.knob", "cy", 200), ("rect.bin", "x", 320)):
        at = page.locator(what).evaluate_all(
            "(all, name) => all.map((x) => Number(x.getAttribute(name)))", name
        )
        assert 0 < min(at) < max(at) < end


@pytest.mark.parametrize("width", [375, 1280])
def test_the_walk_is_as_wide_as_its_place_and_its_text_keeps_its_size(load, width):
    page = load(ActorCriticPlayground(), width=width)
    page.wait_for_function(
        f"() => {{ const p = {HOST}.shadowRoot.querySelector('svg.walk'); return"
        " Math.abs(p.viewBox.baseVal.width - p.getBoundingClientRect().width) < 1.5 }"
    )
