"""The playground of FlashAttention in a browser: what a reader does there."""

import pytest
from harness import change, state

from rlcourse.playgrounds import FlashAttentionPlayground


@pytest.fixture
def page(load):
    return load(FlashAttentionPlayground())


def story(page):
    return page.locator(".story").inner_text()


def widths(page, kind):
    bars = page.locator(f".track{kind} > i").all()
    return [bar.bounding_box()["width"] for bar in bars]


def test_the_default_state_shows_the_saving_and_the_wall(page):
    assert story(page).startswith("✓ Tiles of 128 × 128: 4.0 times less traffic, and the tiles fit")
    standard, flash = (sum(widths(page, kind)) for kind in (":not(.flash, .held)", ".flash"))
    assert standard / flash == pytest.approx(3.97, abs=0.03)
    assert page.locator("path.wall").count() == 1
    assert page.get_by_text("227 KiB end at 161").is_visible()
    mark = page.locator(".track.held u").bounding_box()["x"]
    bar = page.locator(".track.held").bounding_box()
    assert (mark - bar["x"]) / sum(widths(page, ".held")) == pytest.approx(227 / 193, abs=0.02)


def test_tiles_that_do_not_fit_are_shown_as_failing_not_clipped(page):
    change(page, {"block_q": 256, "block_k": 256})
    assert story(page).startswith(
        "✕ Tiles of 256 × 256: 7.8 times less traffic, but the tiles do not"
    )
    track = page.locator(".track.held.bad").bounding_box()
    mark = page.locator(".track.held u").bounding_box()["x"]
    assert sum(widths(page, ".held")) == pytest.approx(track["width"], abs=2)
    assert (mark - track["x"]) / track["width"] == pytest.approx(227 / 514, abs=0.02)


def test_tiny_tiles_move_more_than_standard_attention(page):
    change(page, {"block_q": 16, "block_k": 16})
    assert story(page).startswith(
        "✕ Tiles of 16 × 16: more traffic than standard attention, 2.0 times"
    )
    assert state(page)["saved"] < 1


def test_a_slider_moves_a_side_of_the_tile_and_leaves_a_ghost(page):
    assert page.locator("circle.was").count() == 0
    slider = page.get_by_role("slider", name="B_q, queries of a tile")
    slider.press("ArrowRight")
    found = state(page)
    assert (found["settings"]["block_q"], found["settings"]["block_k"]) == (144, 128)
    assert found["settings"]["step"] < 2200
    assert page.locator("circle.was").count() == 1
    page.get_by_role("button", name="Restore").click()
    assert page.locator("circle.was").count() == 0


def test_a_drag_on_the_curve_sets_the_queries_of_a_tile(page):
    box = page.locator("svg.chart").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 1.1, y, steps=3)
    page.mouse.up()
    assert state(page)["settings"]["block_q"] == 512
    assert not state(page)["fits"]


def test_a_press_on_the_scores_visits_the_tiles_up_to_there(page):
    change(page, {"n": 1024, "causal": True})
    box = page.locator("svg.tiles").bounding_box()
    unit = box["width"] / 320
    at = [(34 + 262 * 2.5 / 8) * unit, (40 + 262 * 4.5 / 8) * unit]
    page.mouse.click(box["x"] + at[0], box["y"] + at[1])
    assert state(page)["settings"]["step"] == 1 + 2 + 3 + 4 + 3
    label = page.locator("svg.tiles").get_attribute("aria-label")
    assert label == "1024 by 1024 scores in 36 tiles; tile 13: row 5, column 3"
    page.mouse.click(box["x"] + (34 + 262 * 7.5 / 8) * unit, box["y"] + at[1])
    assert state(page)["settings"]["step"] == 15  # the row's last tile that is seen


def test_the_scrubber_goes_by_keys_and_steps_from_nothing_to_all(page):
    slider = page.get_by_role("slider", name="tiles visited so far")
    slider.press("Home")
    assert state(page)["settings"]["step"] == 0
    assert page.get_by_text("moved by now, 0").is_visible()
    page.get_by_role("button", name="Next tile").click()
    assert state(page)["settings"]["step"] == 1
    slider.press("End")
    assert page.get_by_text("moved by now, 130 MiB").is_visible()
    assert slider.get_attribute("aria-valuetext") == "4096 of 4096"


def test_run_visits_all_tiles_and_stops(page):
    change(page, {"n": 1024, "step": 50})
    page.get_by_role("button", name="Run").click()
    page.get_by_text("64 of 64").wait_for()
    page.get_by_role("button", name="Run").wait_for()


def test_causal_attention_skips_tiles_and_hatches_them(page):
    assert page.locator("svg.tiles path.hatch").count() == 0
    page.get_by_role("radio", name="causal").click()
    assert page.get_by_text("2080 tiles are visited, and 64 of them need the mask.").is_visible()
    assert page.locator("svg.tiles path.hatch").count() == 1
    assert state(page)["saved"] == pytest.approx(7.7, abs=0.01)


def test_a_smaller_card_moves_the_wall(page):
    page.get_by_role("radio", name="RTX 4090").click()
    assert not state(page)["fits"]
    assert page.get_by_text("99 KiB end at 34").is_visible()
    change(page, {"d": 256})
    assert page.get_by_text("99 KiB: no room for 16 queries").is_visible()
