"""The playground of direct preference optimisation in a browser: what a reader does there."""

import pytest
from harness import change, state

from rlcourse.playgrounds import DPOPlayground
from rlcourse.playgrounds.dpo import REFERENCE, Settings, trained

HOST = "document.querySelector('[data-rlc-playground]')"


@pytest.fixture
def page(load):
    return load(DPOPlayground())


def setting(page, name):
    return state(page)["settings"][name]


def answers(page):
    return setting(page, "chosen"), setting(page, "rejected")


def story(page):
    return page.locator(".story").inner_text().replace("\u00a0", " ")


def lane(page, who):
    return page.get_by_role("slider", name=f"log-probability of the {who} answer")


def test_the_default_state_shows_a_content_loss_and_a_rarer_chosen_answer(page):
    assert story(page) == (
        "Both answers became rarer than under the reference, the chosen 403 times. DPO sees only"
        " h = 24.0, is nearly content, and keeps 17 % of its push at h = 0."
    )
    for words in ("reward −0.60", "reward −3.00", "+0.0083", "−0.0083", "L = 0.087"):
        assert page.get_by_text(words, exact=True).count() == 1
    assert "h = −6.0 − (−30.0)= 24.0" in page.locator(".sum").inner_text()
    assert page.locator(".odds").get_by_text("0.917").is_visible()


def test_the_arrow_keys_move_each_answer(page):
    for key in ("ArrowLeft", "ArrowLeft", "PageUp"):
        lane(page, "chosen").press(key)
    assert answers(page) == (-22, -54)
    lane(page, "rejected").press("End")
    assert answers(page) == (-22, -10)
    assert "The chosen lost, the rejected gained: the wrong way round." in story(page)
    lane(page, "rejected").press("Home")
    assert answers(page) == (-22, -60)
    spoken = lane(page, "chosen").get_attribute("aria-valuetext")
    assert spoken == "log π −22.0, reward −0.20, push 0.0032"


def test_an_answer_follows_the_pointer_until_it_is_released(page):
    box = lane(page, "rejected").bounding_box()
    knob = page.locator(".knob").nth(1).bounding_box()
    page.mouse.move(knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2)
    page.mouse.down()
    assert setting(page, "rejected") == pytest.approx(-54, abs=0.11)
    page.mouse.move(box["x"] + 16 + (box["width"] - 32) * 30 / 50, box["y"] + 30)
    page.mouse.up()
    found = state(page)
    assert found["settings"]["rejected"] == pytest.approx(-30, abs=0.11)
    assert found["margin"] == pytest.approx(-30 - found["settings"]["rejected"])
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    assert state(page) == found
    page.keyboard.press("ArrowRight")  # a press takes the focus
    moved = found["settings"]["rejected"] + 0.5
    assert setting(page, "rejected") == pytest.approx(moved)


def test_what_changes_both_alike_changes_nothing_that_the_loss_sees(page):
    before = state(page)
    change(page, {"chosen": -32, "rejected": -60})
    after = state(page)
    for name in ("margin", "loss", "weight"):
        assert after[name] == before[name]
    assert "the chosen 1.6 × 10⁵ times" in story(page)


def test_every_loss_says_what_it_wants(page):
    for name, words in (
        ("cDPO", "more than its goal 22.0, and pulls back: the chosen down, the rejected up."),
        ("IPO", "more than its goal 5.0, and pulls back: the chosen down, the rejected up."),
        ("hinge", "The hinge sees only h = 24.0, which is enough: no push is left."),
    ):
        page.get_by_role("radio", name=name, exact=True).click()
        assert words in story(page)
        epsilon = page.get_by_role("slider", name="epsilon, the share of wrong labels")
        assert epsilon.is_visible() == (name == "cDPO")
    assert page.get_by_text("no push", exact=True).count() == 2
    assert page.locator("path.push").count() == 1  # that of the legend
    change(page, {"rejected": -30})
    assert page.locator("path.push").count() == 3


def test_twenty_steps_are_those_of_the_package_and_leave_their_trail(page):
    page.get_by_role("button", name="To the reference").click()
    assert answers(page) == REFERENCE
    assert "The policy is the reference, and both implicit rewards are 0." in story(page)
    w = Settings(*REFERENCE)
    for press in range(1, 4):
        page.get_by_role("button", name="20 steps").click()
        w = w._replace(**dict(zip(("chosen", "rejected"), trained(w), strict=True)))
        assert answers(page) == pytest.approx((w.chosen, w.rejected))
        assert state(page)["presses"] == press
        assert page.locator("circle.was").count() == 2 * press
    lane(page, "chosen").press("ArrowLeft")
    assert page.locator("circle.was").count() == 0


def test_with_answers_that_share_little_the_chosen_rises(page):
    change(page, {"chosen": REFERENCE[0], "rejected": REFERENCE[1], "overlap": 0.25})
    page.get_by_role("button", name="20 steps").click()
    assert "The chosen gained, the rejected lost: as one would wish." in story(page)
    change(page, {"overlap": 0.5})
    assert page.get_by_text("stands still", exact=True).is_visible()


def test_run_trains_until_the_goal_is_reached(page):
    change(page, {"chosen": REFERENCE[0], "rejected": REFERENCE[1], "loss": "ipo"})
    page.get_by_role("button", name="Run").click()
    page.wait_for_function(f"() => {HOST}.playground.state().margin > 4.9")
    page.get_by_role("button", name="Run").wait_for()
    assert state(page)["margin"] == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("width", [375, 1280])
def test_the_pictures_are_as_wide_as_their_place_and_hold_their_labels(load, width):
    page = load(DPOPlayground(), width=width)
    page.wait_for_function(
        f"() => {{ const p = {HOST}.shadowRoot.querySelector('svg.curve'); return"
        " Math.abs(p.viewBox.baseVal.width - p.getBoundingClientRect().width) < 1.5 }"
    )
    outside = """() => {
      const root = document.querySelector('[data-rlc-playground]').shadowRoot;
      const card = root.querySelector('.card').getBoundingClientRect();
      return [...root.querySelectorAll('svg text')].filter((text) => {
        const box = text.getBoundingClientRect();
        return box.left < card.left + 4 || box.right > card.right - 4;
      }).map((text) => text.textContent);
    }"""
    for chosen in (-60, -20.5, -10):
        for rejected in (-60, -24, -10):
            for loss in ("dpo", "cdpo", "ipo"):
                fields = {"chosen": chosen, "rejected": rejected, "loss": loss, "beta": 0.5}
                change(page, fields)
                assert page.evaluate(outside) == [], fields
