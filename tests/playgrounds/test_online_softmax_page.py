"""The playground of online softmax in a browser: what a reader does there."""

import pytest
from harness import change, state

from rlcourse.playgrounds import OnlineSoftmaxPlayground
from rlcourse.playgrounds.online_softmax import FIRST, KEYS

HOST = "document.querySelector('[data-rlc-playground]')"


@pytest.fixture
def page(load):
    return load(OnlineSoftmaxPlayground())


def picture(page):
    return page.locator("svg.keys")


def press(page, *keys):
    for key in keys:
        picture(page).press(key)


def test_the_default_state_shows_old_weights_shrinking(page):
    assert page.get_by_text("all that is kept shrinks to 20 %").first.is_visible()
    heights = [float(x.get_attribute("height")) for x in page.locator("rect.w").all()]
    ghosts = [float(x.get_attribute("height")) for x in page.locator("rect.ghost").all()]
    assert len(ghosts) == 4
    assert [b / a for a, b in zip(ghosts, heights, strict=False)] == pytest.approx(
        [0.202] * 4, abs=1e-3
    )
    assert max(heights) == heights[7]
    assert heights[8:] == [0] * 8
    assert "exp(0.4 − 2.0)= 0.202" in page.locator(".sum").inner_text()


def test_the_arrow_keys_take_a_key_and_move_its_score(page):
    assert picture(page).get_attribute("aria-label").startswith("score of key 8;")
    press(page, "ArrowRight", "ArrowUp", "PageDown")
    found = state(page)
    assert found["key"] == 8
    assert found["settings"]["scores"][8] == pytest.approx(-1.3)
    assert picture(page).get_attribute("aria-valuetext") == "−1.3, not read yet"
    press(page, *["ArrowLeft"] * 9)
    assert state(page)["key"] == KEYS - 1
    press(page, *["PageUp"] * 9)
    assert state(page)["settings"]["scores"][-1] == 4


def test_a_score_follows_the_pointer_until_it_is_released(page):
    box = picture(page).bounding_box()
    x, y = box["x"] + box["width"] * 2.5 / KEYS, box["y"] + box["height"] * 0.3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, box["y"] + 2)
    page.mouse.up()
    found = state(page)
    assert (found["key"], found["settings"]["scores"][2]) == (2, 4)
    assert found["m"] == 4
    page.mouse.move(x, y)
    assert state(page) == found


def test_reading_on_moves_the_output_to_the_exact_one(page):
    assert state(page)["output"] != pytest.approx(state(page)["exact"])
    following = page.get_by_role("button", name="Next tile")
    following.click()
    following.click()
    assert following.is_disabled()
    assert state(page)["output"] == pytest.approx(state(page)["exact"])
    assert page.get_by_text("exactly the softmax of all").first.is_visible()
    page.get_by_role("slider", name="tiles read so far").press("Home")
    assert page.get_by_role("button", name="Back").is_disabled()
    assert page.get_by_text("Nothing is read").first.is_visible()


def test_run_reads_all_tiles_and_stops(page):
    page.get_by_role("button", name="Run").click()
    page.wait_for_function(f"() => {HOST}.playground.state().settings.step === 4")
    page.get_by_role("button", name="Run").wait_for()


def test_another_tile_size_has_read_as_many_keys(page):
    page.get_by_role("radio", name="2", exact=True).click()
    assert state(page)["settings"]["step"] == 4
    assert page.locator("rect.lane").count() == 8
    page.get_by_role("radio", name="16", exact=True).click()
    assert state(page)["settings"]["step"] == 1
    assert state(page)["output"] == pytest.approx(state(page)["exact"])


def test_the_bug_is_shown_as_wrong_and_its_distance_as_a_line(page):
    page.get_by_role("radio", name="not: a bug").click()
    assert page.get_by_text("From here on the output is wrong.").first.is_visible()
    change(page, {"step": 4})
    assert page.get_by_text("0.45 away from the exact output").first.is_visible()
    assert page.locator("path.gap").count() == 1
    change(page, {"scores": list(FIRST)})
    assert page.locator("path.gap").count() == 0
    assert page.get_by_text("exactly the softmax of all").first.is_visible()


def test_a_large_shift_overflows_whoever_has_no_maximum(page):
    slider = page.get_by_role("slider", name="shift, added to every score")
    assert page.get_by_text("It fits").is_visible()
    change(page, {"shift": 10})
    assert page.get_by_text("✕ That is ∞ in float16.").is_visible()
    slider.press("End")
    assert page.get_by_text("✕ That is ∞ in float16 and in float32.").is_visible()
    assert page.get_by_text("m = 102.0").is_visible()
    assert state(page)["output"] == pytest.approx([0.3668, 0.2954], abs=1e-4)


@pytest.mark.parametrize("width", [375, 1280])
def test_the_picture_is_as_wide_as_its_place_and_its_text_keeps_its_size(load, width):
    page = load(OnlineSoftmaxPlayground(), width=width)
    page.wait_for_function(
        f"() => {{ const p = {HOST}.shadowRoot.querySelector('svg.keys'); return"
        " Math.abs(p.viewBox.baseVal.width - p.getBoundingClientRect().width) < 1.5 }"
    )


def test_a_press_takes_the_focus_so_that_the_keys_go_on(page):
    box = picture(page).bounding_box()
    page.mouse.click(box["x"] + box["width"] * 4.5 / KEYS, box["y"] + box["height"] * 0.25)
    score = state(page)["settings"]["scores"][4]
    page.keyboard.press("ArrowUp")
    assert state(page)["settings"]["scores"][4] == pytest.approx(score + 0.1)
    page.mouse.click(box["x"] + box["width"] * 9.5 / KEYS, box["y"] + box["height"] * 0.8)
    assert state(page)["key"] == 4  # weights are not for dragging
