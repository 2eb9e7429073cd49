"""The playground of checkpointing in a browser: what a reader does there."""

import re

import pytest
from harness import change, state

from rlcourse.playgrounds import CheckpointingPlayground


@pytest.fixture
def page(load):
    return load(CheckpointingPlayground())


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def story(page):
    return plain(page.locator(".story").inner_text())


def kept(page):
    return state(page)["settings"]["kept"]


def pin(page, i):
    """The place between layers i and i + 1 of the chain."""
    return page.get_by_role("checkbox").nth(i)


def press(page, i, x=0.5):
    """Press there, as a finger would."""
    pin(page, i).scroll_into_view_if_needed()
    box = pin(page, i).bounding_box()
    page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] / 2)


def way(page, name):
    return page.locator(".ways button").filter(has_text=re.compile(f"^{name}"))


def test_the_default_state_shows_a_third_of_the_memory_for_a_quarter_more_time(page):
    assert story(page) == "Keep 4 inputs of 16: 30 % of the memory, 25 % more time."
    bars = {
        name: way(page, name).locator(".track i").bounding_box()["width"]
        for name in ("store all", "√L", "best even", "Revolve", "recompute all")
    }
    for name, peak in {"√L": 19, "best even": 15, "Revolve": 8, "recompute all": 5}.items():
        assert bars[name] / bars["store all"] == pytest.approx(peak / 64, abs=0.01)
    assert way(page, "√L").get_attribute("aria-pressed") == "true"
    assert page.get_by_text("peak 19").is_visible()
    assert state(page)["held"] == 19  # the scrubber stands at the peak


def test_a_press_between_two_layers_keeps_or_drops_the_input_there(page):
    press(page, 8)
    assert kept(page) == [0, 4, 12]
    assert pin(page, 8).get_attribute("aria-checked") == "false"
    assert state(page)["peak"] == 33  # of 8 layers in the middle, with one input kept
    for i in (6, 9):
        press(page, i)
    assert kept(page) == [0, 4, 6, 9, 12]
    assert story(page).startswith("Keep 5 inputs of 16")
    assert page.locator(".ways [aria-pressed=true]").count() == 0


def test_the_input_is_always_kept(page):
    press(page, 0)
    assert kept(page) == [0, 4, 8, 12]
    assert page.get_by_role("status").text_content().endswith("is always kept.")


def test_the_chain_goes_by_keys(page):
    pin(page, 0).focus()
    for key in ("ArrowUp", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert kept(page) == [0, 2, 4, 8, 12]
    for key in ("End", " ", "ArrowDown", " ", "Home", "Enter"):
        page.keyboard.press(key)
    assert kept(page) == [0, 2, 4, 8, 12, 14, 15]
    assert page.locator("[role=checkbox][tabindex='0']").count() == 1
    focused = "document.querySelector('[data-rlc-playground]').shadowRoot.activeElement"
    label = page.evaluate(f"{focused}.getAttribute('aria-label')")
    assert label == "the input of layer 1, always kept"


def test_the_pins_stand_between_the_layers_and_on_the_bars_of_kept_states(page):
    layers = [box.bounding_box() for box in page.locator("rect.layer").all()]
    for i in (4, 8, 12):
        box = pin(page, i).locator(".pin").bounding_box()
        y = box["y"] + box["height"] / 2
        assert layers[i]["y"] + layers[i]["height"] < y < layers[i - 1]["y"]
    assert page.locator("path.state").first.get_attribute("d").count("M") == 3


def test_marks_are_as_many_as_actions_and_each_has_its_shape(page):
    def marks(kind):
        return page.locator(f"svg.sched path.{kind}").get_attribute("d").split("M")[1:]

    assert [len(marks(kind)) for kind in ("forward", "tape", "backward")] == [12, 16, 16]
    heights = [float(re.search(r"v([\d.]+)", marks(kind)[0])[1]) for kind in ("forward", "tape")]
    assert heights[0] < heights[1] / 2
    assert all("L" in d for d in marks("backward"))
    change(page, {"way": "recompute_all"})
    assert [len(marks(kind)) for kind in ("forward", "tape", "backward")] == [120, 16, 16]


def test_the_scrubber_goes_through_the_actions(page):
    slider = page.get_by_role("slider", name="actions done so far")
    slider.press("Home")
    assert page.locator(".doing").inner_text() == "nothing is done yet"
    assert page.locator("rect.layer.on").count() == 0
    page.get_by_role("button", name="Next").click()
    assert page.locator(".doing").inner_text() == "keep x₀: 1 state held"
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "53 of 53"
    assert state(page)["held"] == 0
    page.get_by_role("button", name="Back").click()
    assert state(page)["held"] == 4
    page.get_by_role("button", name="Peak", exact=True).click()
    assert state(page)["held"] == 19
    assert page.locator("rect.layer.on").count() == 4


def test_a_drag_on_the_pictures_moves_the_scrubber_alone(page):
    box = page.locator("svg.sched").bounding_box()
    right = box["x"] + box["width"] - 8
    unit = (right - box["x"] - 58) / 60
    for y in (0.3, 0.8):  # the schedule, what is held
        page.mouse.move(right - 20.5 * unit, box["y"] + box["height"] * y)
        page.mouse.down()
        page.mouse.move(right - 1.5 * unit, box["y"] + box["height"] * y, steps=3)
        page.mouse.up()
        assert state(page)["settings"]["step"] == 52
        assert state(page)["settings"]["kept"] == [0, 4, 8, 12]


def test_run_goes_on_to_the_end_and_stops(page):
    change(page, {"step": 40})
    page.get_by_role("button", name="Run").click()
    page.get_by_text("53 of 53").wait_for()
    page.get_by_role("button", name="Run").wait_for()


def test_each_way_is_one_press_away_and_revolve_has_as_many_states(page):
    press(page, 6)
    way(page, "Revolve").click()
    found = state(page)
    assert (found["settings"]["way"], found["forwards"], found["peak"]) == ("revolve", 41, 9)
    assert story(page).startswith("Revolve with 5 states: 14 % of the memory")
    way(page, "store all").click()
    assert story(page) == "Store all: all the memory, the same time."
    way(page, "best even").click()
    assert kept(page) == [0, 2, 4, 6, 8, 10, 12, 14]
    way(page, "recompute all").click()
    assert story(page).endswith("250 % more time.")
    press(page, 7)  # a click on the chain is a choice of segments
    assert state(page)["settings"]["way"] == "segments"
    assert 7 in kept(page)


def test_more_layers_keep_as_many_even_segments_and_the_slider_shows_their_number(page):
    slider = page.get_by_role("slider", name="L, layers")
    slider.press("End")
    assert (state(page)["settings"]["layers"], kept(page)) == (32, [0, 8, 16, 24])
    assert page.locator("rect.layer").count() == 32
    slider.press("Home")
    assert kept(page) == [0, 1, 2, 3]
    change(page, {"layers": 16, "kept": [0, 3, 9]})
    change(page, {"layers": 8})
    assert kept(page) == [0, 3]


def test_a_heavier_tape_wants_more_segments(page):
    assert plain(way(page, "best even").inner_text()).split("\n")[1] == "8 segments"
    page.get_by_role("slider", name="a/x, states that a tape weighs").press("End")
    assert plain(way(page, "best even").inner_text()).split("\n")[1] == "16 segments"


def test_the_sum_has_the_numbers_of_what_is_chosen(page):
    def words():
        return page.locator(".sum").inner_text().replace("\n", " ")

    for part in ("= 3 + 4 × (1 + 3)", "= 19 states", "= 2 × 16 − 4", "= 28", "(28 + 32)/48"):
        assert part in words()
    change(page, {"kept": [0, 3, 6, 8, 10, 12, 14, 15]})
    assert "= 5 + 2 × (1 + 3)" in words()
    assert "= 13 states" in words()
    change(page, {"kept": [0, 4, 8, 12], "way": "revolve"})
    assert "= 16 + 3 × 16 − C(7, 2)" in words()
    assert "= 43" in words()
    change(page, {"way": "recompute_all"})
    assert "= 16 × 17/2" in words()


def test_the_curve_before_a_change_stays_as_a_ghost(page):
    assert page.locator("svg.sched path.was").count() == 0
    assert not page.get_by_text("before your change").is_visible()
    press(page, 8)
    assert page.locator("svg.sched path.was").count() == 1
    assert page.get_by_text("before your change").is_visible()
    page.get_by_role("button", name="Restore").click()
    assert page.locator("svg.sched path.was").count() == 0


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("layers", [4, 16, 32])
@pytest.mark.parametrize("chosen", ["segments", "revolve", "recompute_all"])
def test_no_text_lies_on_another_or_on_a_layer(load, width, layers, chosen):
    page = load(CheckpointingPlayground(), width=width)
    change(page, {"layers": layers, "way": chosen})
    boxes = page.locator("svg.sched text").evaluate_all(
        "all => all.map(el => [el.textContent, el.getBoundingClientRect()])"
        ".map(([t, b]) => [t, b.left, b.top + 3, b.right, b.bottom - 3])"
    )
    rects = page.locator("rect.layer, .pin").evaluate_all(
        "all => all.map(el => el.getBoundingClientRect())"
        ".map(b => ['mark', b.left, b.top, b.right, b.bottom])"
    )
    assert len(boxes) > 9
    for i, (name, left, top, right, bottom) in enumerate(boxes):
        for other, *edges in boxes[:i] + rects:
            apart = right <= edges[0] or edges[2] <= left or bottom <= edges[1] or edges[3] <= top
            assert apart, f"{name} lies on {other}"
