"""The playground of PPO in a browser: what a reader does there."""

import pytest
from harness import change, state

from rlcourse.playgrounds import PPOPlayground
from rlcourse.playgrounds.ppo import ADVANTAGES, Settings, ascend

HOST = "document.querySelector('[data-rlc-playground]')"


@pytest.fixture
def page(load):
    return load(PPOPlayground())


def setting(page, name):
    return state(page)["settings"][name]


def story(page):
    return page.locator(".story").inner_text().replace("\u00a0", " ")


def test_the_default_state_shows_where_the_push_ends(page):
    assert story(page).startswith("ρ = 1.30 is beyond 1 + ε = 1.20: the slope is 0.")
    assert page.locator(".curve").get_by_text("slope 0", exact=True).is_visible()
    assert page.locator(".bars").get_by_text("∂L/∂z = 0").count() == 2
    assert "L = min(1.30, 1.20)= 1.20" in page.locator(".sum").inner_text()
    assert state(page)["slope"] == 0


def test_the_arrow_keys_move_the_ratio_along_the_curve(page):
    curve = page.locator("svg.curve")
    for key in ("ArrowLeft", "ArrowLeft", "PageDown"):
        curve.press(key)
    assert setting(page, "ratio") == 0.95
    assert curve.get_attribute("aria-valuetext") == "ratio 0.95, surrogate 0.95, slope 1.00"
    assert "a good action, pushed up until 1 + ε = 1.20" in story(page)
    for _ in range(12):
        curve.press("PageDown")
    assert setting(page, "ratio") == 0.05
    for _ in range(12):
        curve.press("PageUp")
    assert setting(page, "ratio") == 2.2


def test_the_point_follows_the_pointer_along_the_curve_until_it_is_released(page):
    box = page.locator("svg.curve").bounding_box()
    knob = page.locator(".knob").bounding_box()
    page.mouse.move(knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2)
    page.mouse.down()
    assert setting(page, "ratio") == pytest.approx(1.3, abs=0.011)
    page.mouse.move(box["x"] + 44 + (box["width"] - 74) * 0.5 / 2.2, box["y"] + 90)
    page.mouse.up()
    found = state(page)
    assert found["settings"]["ratio"] == pytest.approx(0.5, abs=0.011)
    assert (found["slope"], found["surrogate"]) == (1, found["settings"]["ratio"])
    page.mouse.move(box["x"] + 300, box["y"] + 90)
    assert state(page) == found
    page.keyboard.press("ArrowRight")  # a press takes the focus
    assert setting(page, "ratio") == pytest.approx(found["settings"]["ratio"] + 0.05)


def test_the_bar_sets_the_same_ratio(page):
    box = page.locator("svg.bars").bounding_box()
    scale = box["height"] / 224
    page.mouse.move(box["x"] + 92 * scale, box["y"] + (178 - 150 * 0.52) * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + 92 * scale, box["y"] + (178 - 150 * 0.3) * scale)
    page.mouse.up()
    assert setting(page, "ratio") == pytest.approx(0.75, abs=0.02)
    page.wait_for_timeout(300)  # the bar grows
    bar, rest = (float(x.get_attribute("height")) for x in page.locator("rect.bar").all())
    assert (bar + rest, bar) == pytest.approx((150, 150 * 0.4 * setting(page, "ratio")))


def test_a_bad_action_has_its_flat_side_below(page):
    change(page, {"advantage": -1, "ratio": 1.5})
    assert "a bad action became likelier, and PPO pushes it back down" in story(page)
    assert page.locator(".curve").get_by_text("slope −1.0").is_visible()
    change(page, {"ratio": 0.6})
    assert "below 1 − ε = 0.80: the slope is 0" in story(page)
    assert page.locator(".zone.mine").count() == 1
    change(page, {"advantage": 0})
    assert "There is nothing to push" in story(page)
    assert page.locator(".zone.mine").count() == 0


def test_a_likely_action_cannot_reach_the_clip(page):
    page.get_by_role("slider", name="old probability of the action").press("End")
    assert setting(page, "ratio") == 1.04
    assert page.get_by_text("no such ratio: π > 1").is_visible()
    curve = page.locator("svg.curve")
    curve.press("PageUp")
    assert setting(page, "ratio") == 1.04
    assert state(page)["slope"] == 1


def test_a_sample_of_the_batch_is_followed_on_the_curve(page):
    batch, run = page.locator("svg.batch"), ascend(Settings())
    batch.scroll_into_view_if_needed()
    box = batch.bounding_box()
    page.mouse.click(box["x"] + 200, box["y"] + box["height"] * (20 + 24 * 7.4) / 330)
    assert state(page)["sample"] == 7
    assert setting(page, "ratio") == pytest.approx(run.ratio[4, 7])
    assert setting(page, "advantage") == ADVANTAGES[7]
    assert story(page).startswith("Sample 8: ρ = ")
    page.get_by_role("button", name="Next step").click()
    assert setting(page, "ratio") == pytest.approx(run.ratio[5, 7])
    batch.press("ArrowDown")
    assert state(page)["sample"] == 8
    assert "no gradient" in batch.get_attribute("aria-valuetext")
    page.locator("svg.curve").press("ArrowLeft")
    assert state(page)["sample"] is None
    batch.press("ArrowUp")
    assert state(page)["sample"] == 11
    page.get_by_role("button", name="Restore").click()
    assert state(page)["settings"] == Settings()._asdict()


def test_the_scrubber_shows_whose_gradient_is_gone(page):
    scrub, run = page.get_by_role("slider", name="steps done on the batch"), ascend(Settings())
    for key, epoch in (("Home", 0), ("ArrowRight", 1), ("End", 10)):
        scrub.press(key)
        assert state(page)["alive"] == run.alive[epoch].tolist()
        assert state(page)["ratios"] == pytest.approx(run.ratio[epoch].tolist())
        dead = int((~run.alive[epoch]).sum())
        assert page.locator("circle.dead").count() == dead + 1  # and that of the legend
        assert page.get_by_text(f"{dead} of 12 have no gradient left").is_visible()
    assert page.get_by_role("button", name="Next step").is_disabled()
    scrub.press("Home")
    assert page.get_by_text("the first step is a plain policy gradient").is_visible()
    assert page.get_by_role("button", name="Back").is_disabled()


def test_run_takes_all_steps_and_stops(page):
    change(page, {"epoch": 8})
    page.get_by_role("button", name="Run").click()
    page.wait_for_function(f"() => {HOST}.playground.state().settings.epoch === 10")
    page.get_by_role("button", name="Run").wait_for()


def test_a_wider_clip_lets_more_samples_push(page):
    before = sum(state(page)["alive"])
    page.get_by_role("slider", name="epsilon below 1").press("End")
    page.get_by_role("slider", name="epsilon above 1").press("End")
    assert sum(state(page)["alive"]) > before
    page.get_by_role("slider", name="epsilon above 1").press("Home")
    assert setting(page, "high") == 0


@pytest.mark.parametrize("width", [375, 1280])
def test_the_pictures_are_as_wide_as_their_place_and_their_text_keeps_its_size(load, width):
    page = load(PPOPlayground(), width=width)
    for name in ("curve", "batch"):
        page.wait_for_function(
            f"() => {{ const p = {HOST}.shadowRoot.querySelector('svg.{name}'); return"
            " Math.abs(p.viewBox.baseVal.width - p.getBoundingClientRect().width) < 1.5 }"
        )
