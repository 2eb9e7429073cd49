"""The GridWorld playground in a browser: what a reader sees, presses and is told."""

import re
from dataclasses import replace

import pytest
from harness import change, state, violations

from rlcourse.playgrounds import GridWorldPlayground
from rlcourse.playgrounds.gridworld import PROMPTS, solve
from rlcourse.tabular.gridworld import SUTTON_BARTO_4_1, ZHAO, GridWorld


def cell(page, i):
    return page.get_by_role("gridcell").nth(i)


def shown(page, kind="v"):
    """The numbers in the cells: v for the values, g for the ghosts."""
    return page.locator(f".cell .{kind}").all_text_contents()


def story(page):
    return page.locator(".story").text_content()


def slider(page, name):
    return page.get_by_role("slider", name=name)


# ------------------------------------------------------------------------------- the default


def test_the_default_shows_the_packages_values_and_the_short_cut(load):
    page = load(GridWorldPlayground())
    values = solve(ZHAO, 0.9).v
    digits = [2 if x < 9.995 else 1 for x in values]
    assert shown(page) == [f"{x:.{d}f}" for x, d in zip(values, digits, strict=True)]
    assert story(page) == (
        "From row 1, column 1: 5 steps to the target, 1 of them into a forbidden cell;"
        " worth 5.83 in all."
    )
    assert page.get_by_text("153 sweeps", exact=True).first.is_visible()
    assert page.get_by_text("No value is off by more than 10⁻⁶.").is_visible()
    assert page.get_by_text("0.0 + 0.90 × 6.480 = 5.832").is_visible()
    assert page.get_by_text("÷ 10 in 22 sweeps").is_visible()
    assert not page.get_by_role("table").is_visible()


@pytest.mark.parametrize("world", [GridWorld(1, 1), GridWorld(2, 9, target=(17,)), GridWorld(9, 3)])
def test_worlds_of_other_shapes_fit(load, world):
    page = load(GridWorldPlayground(world), width=375)
    assert page.get_by_role("gridcell").count() == world.n_states
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_gamma_one_is_solved_where_episodes_end(load):
    page = load(GridWorldPlayground(SUTTON_BARTO_4_1, 1.0, selected=5))
    assert state(page)["solved"]
    assert shown(page)[5] == "−2.00"
    assert story(page).startswith("From row 2, column 2: 2 steps to the target")


# ------------------------------------------------------------------------------- acting


@pytest.mark.parametrize("touch", [False, True])
def test_a_press_looks_and_another_changes(load, touch):
    page = load(GridWorldPlayground(), touch=touch)
    press = (lambda: cell(page, 8).tap()) if touch else (lambda: cell(page, 8).click())
    press()
    assert state(page)["selected"] == 8
    assert state(page)["world"]["forbidden"] == list(ZHAO.forbidden)
    assert page.get_by_text("The actions at row 2, column 4").is_visible()
    press()
    assert 8 in state(page)["world"]["forbidden"]
    press()
    assert state(page)["world"]["target"] == [17, 8]
    press()
    assert state(page)["world"]["target"] == [17]
    assert state(page)["v"] == pytest.approx(solve(ZHAO, 0.9).v, abs=1e-9)


def test_everything_can_be_done_from_the_keyboard(load):
    page = load(GridWorldPlayground())
    cell(page, 0).focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    assert state(page)["selected"] == 5
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert state(page)["world"]["target"] == [17, 5]
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert state(page)["world"]["gamma"] == 0.89
    slider(page, "random action").focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["world"]["slip"] == 0.05
    page.get_by_role("radio", name="pays on").focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["world"]["terminal"] is True
    assert page.get_by_role("radio", name="ends it").get_attribute("aria-checked") == "true"
    slider(page, "sweep").focus()
    page.keyboard.press("Home")
    assert state(page)["sweep"] == 0
    page.keyboard.press("ArrowRight")
    assert state(page)["sweep"] == 1


def test_ghosts_show_what_was_before_a_change_and_the_exact_answer_before_the_end(load):
    page = load(GridWorldPlayground())
    assert set(shown(page, "g")) == {""}
    change(page, {"r_forbidden": -10})
    assert (shown(page)[0], shown(page, "g")[0]) == ("3.49", "5.83")
    assert shown(page, "g")[17] == ""  # its value has not changed
    assert page.locator(".over .was").get_attribute("d").count("L") == 5
    assert page.locator(".over path").first.get_attribute("d").count("L") == 11
    slider(page, "sweep").fill("4")
    assert shown(page, "g")[17] == "10.0"
    assert page.get_by_text("the exact answer").is_visible()
    page.get_by_role("button", name="Solve").click()
    assert page.get_by_text("before your change").is_visible()


def test_no_route_is_drawn_while_values_are_tied(load):
    page = load(GridWorldPlayground())
    slider(page, "sweep").fill("2")
    assert page.locator(".over path").first.get_attribute("d") == ""
    assert "still tied" in story(page)


def test_run_plays_from_the_start_and_pauses(load):
    page = load(GridWorldPlayground(gamma=0.3))
    before = state(page)["sweep"]
    page.get_by_role("button", name="Run").click()
    assert state(page)["sweep"] < before
    page.wait_for_function(
        "document.querySelector('[data-rlc-playground]').playground.state().sweep >= 2"
    )
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Run").is_visible()
    paused = state(page)["sweep"]  # a busy machine may have gone on meanwhile
    assert 2 <= paused <= before
    page.get_by_role("button", name="Step").click()
    page.get_by_role("button", name="Back").click()
    assert state(page)["sweep"] == paused


def test_the_chart_is_a_scrubber_too(load):
    page = load(GridWorldPlayground())
    box = page.locator(".chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    page.mouse.up()
    assert 30 < state(page)["sweep"] < 50
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    assert 30 < state(page)["sweep"] < 50


@pytest.mark.parametrize("number", range(3))
def test_a_question_is_answered_after_it_is_asked(load, number):
    page, prompt = load(GridWorldPlayground()), PROMPTS[number]
    assert page.get_by_text(prompt.answer).count() == 0
    page.get_by_role("button", name=prompt.ask).click()
    assert page.locator(".answer").text_content() == prompt.answer
    rules = dict(prompt.set)
    gamma = rules.pop("gamma", 0.9)
    solution = solve(replace(ZHAO, **rules), gamma)
    assert state(page)["v"] == pytest.approx(solution.v, abs=1e-9)
    assert state(page)["sweeps"] == solution.sweeps
    expected = ("11 steps", "11 steps", "stand still for ever")[number]
    assert expected in story(page)
    slider(page, "gamma").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".answer").text_content() == ""


def test_restore_brings_everything_back(load):
    page = load(GridWorldPlayground())
    before = state(page)
    cell(page, 8).click()
    cell(page, 8).click()
    change(page, {"gamma": 0.3, "slip": 0.2, "terminal": True})
    page.get_by_role("button", name="Restore").click()
    assert state(page) == before


def test_the_sum_of_a_slippery_action_adds_up(load):
    page = load(GridWorldPlayground(replace(ZHAO, slip=0.3)))
    text = page.locator(".sum").first.text_content().replace("−", "-")
    found = re.search(r"with slips:(\S+) × (\S+) \+(\S+) × mean\((.*?)\) = (\S+)The", text)
    keep, value, slip, moves, total = found.groups()
    each = [float(x) for x in moves.split(", ")]
    sum_ = float(keep) * float(value) + float(slip) * sum(each) / len(each)
    assert sum_ == pytest.approx(float(total), abs=0.005)
    assert float(total) == pytest.approx(solve(replace(ZHAO, slip=0.3), 0.9).v[0], abs=0.0006)


def test_gamma_one_without_an_end_is_shown_as_failing(load):
    page = load(GridWorldPlayground())
    change(page, {"gamma": 1})
    assert page.get_by_text("✕ No solution").is_visible()
    assert page.get_by_text("The largest change: it never shrinks").is_visible()
    assert "so far" in story(page)
    page.get_by_role("radio", name="ends it").click()
    assert state(page)["solved"]


def test_copy_as_python_shows_what_it_copies(load):
    page = load(GridWorldPlayground())
    change(page, {"slip": 0.1, "target": []})
    page.get_by_role("button", name="Copy as Python").click()
    code = page.get_by_role("region", name="Python code").text_content()
    names = {}
    exec(code, names)
    assert names["world"] == replace(ZHAO, slip=0.1, target=())
    assert state(page)["v"] == pytest.approx(names["v"], abs=1e-9)


# ------------------------------------------------------------------------------- for everyone


def test_axe_reads_the_failing_state_too(load):
    page = load(GridWorldPlayground())
    change(page, {"gamma": 1})
    assert violations(page, "main") == []


def test_it_prints_the_world_and_its_rules_without_controls(load):
    page = load(GridWorldPlayground())
    page.emulate_media(media="print")
    assert not page.get_by_role("button", name="Run").is_visible()
    assert page.get_by_role("radio", name="pays on").is_visible()
    assert cell(page, 0).is_visible()
