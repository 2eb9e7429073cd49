"""The playground of dynamic programming in a browser: what a reader sees, presses and is told."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from harness import change, state

from rlcourse.playgrounds import DynamicProgrammingPlayground
from rlcourse.playgrounds.dynamic_programming import DEPTHS, PROMPTS, WORLD, costs, run
from rlcourse.tabular.dynamic_programming import policy_iteration, truncated_evaluation
from rlcourse.tabular.gridworld import GridWorld, grid_mdp
from rlcourse.tabular.mdp import action_values, greedy_sets

EXACT = policy_iteration(grid_mdp(WORLD), 0.9).v
BEST = greedy_sets(action_values(grid_mdp(WORLD), EXACT, 0.9))


def shown(page, kind="v"):
    """The numbers in the cells: v for the values, g for the ghosts."""
    return page.locator(f".cell .{kind}").all_text_contents()


def story(page):
    return page.locator(".story").text_content()


def slider(page, name):
    return page.get_by_role("slider", name=name)


def seek(page, step):
    slider(page, "step of the run").fill(str(step))


def columns(page):
    """The printed costs of all depths: iterations, sweeps, actions looked at."""
    texts = page.locator(".col span").all_text_contents()
    return [tuple(texts[i::12]) for i in range(12)]


def printed(gamma=0.9, ties="first", world=WORLD):
    every = [costs(run(world, gamma, j, ties), j, world.n_actions) for j in DEPTHS]
    return [tuple("∞" if c is None else str(c) for c in each) for each in every]


def numbers(text):
    return [float(x) for x in re.findall(r"-?\d+\.?\d*", text.replace("−", "-"))]


# ------------------------------------------------------------------------------- the default


def test_the_default_shows_that_sweeps_are_the_same_while_iterations_fall(load):
    page = load(DynamicProgrammingPlayground())
    assert columns(page) == printed()
    assert columns(page)[4] == ("18", "90", "162")
    assert page.locator(".col.on span").all_text_contents() == ["18", "90", "162"]
    assert story(page) == (
        "j = 5: 18 iterations, 90 sweeps; all arrows are best from iteration 8 on."
        " It looks at 18 × (5 + 4) = 162 actions in each cell, j = 1 at 440."
    )
    assert page.get_by_text("Iteration 18: sweep 5 of 5").is_visible()
    assert page.get_by_text("near enough").is_visible()
    assert page.locator(".cell path, .cell circle").count() == 25
    assert page.locator(".cell .not").count() == 0
    digits = [2 if abs(x) < 9.995 else 1 for x in EXACT]
    assert shown(page) == [f"{x:.{d}f}" for x, d in zip(EXACT, digits, strict=True)]
    assert page.locator(".chart").get_by_text("all arrows best").is_visible()
    assert page.locator(".chart path.dia").get_attribute("d").count("M") == 9
    assert page.locator(".chart path.other").count() == 10


@pytest.mark.parametrize(
    "world",
    [
        GridWorld(1, 1),
        GridWorld(2, 9, target=(17,)),
        GridWorld(9, 3, target=(4,), terminal=True, r_step=-1.0, stay=False),
        GridWorld(10, 10, target=(55,), forbidden=(44, 45), r_forbidden=-5.0),
    ],
)
def test_other_worlds_fit(load, world):
    page = load(DynamicProgrammingPlayground(world, selected=0), width=375)
    assert page.get_by_role("gridcell").count() == world.n_states
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for step in (0, 1, 2):
        seek(page, step)
    assert "NaN" not in page.locator(".card").inner_text()


# ------------------------------------------------------------------------------- depths


def test_the_depth_is_chosen_from_the_keyboard(load):
    page = load(DynamicProgrammingPlayground())
    depth = slider(page, "j, sweeps of an iteration")
    depth.focus()
    for key, j in (("ArrowRight", 6), ("Home", 1), ("End", None), ("ArrowLeft", 20)):
        page.keyboard.press(key)
        assert state(page)["world"]["j"] == j
        assert depth.get_attribute("aria-valuetext") == ("∞" if j is None else str(j))
        assert page.locator(".tick.on").text_content() == ("∞" if j is None else str(j))
        assert story(page).startswith(f"j = {'∞' if j is None else j}: ")


def test_a_column_is_pressed_to_choose_its_depth(load):
    page = load(DynamicProgrammingPlayground())
    page.locator(".col").nth(12 + 9).click()
    assert state(page)["world"]["j"] == 10
    page.locator(".tick").nth(1).click()
    assert state(page)["world"]["j"] == 2
    assert story(page).startswith("j = 2: 44 iterations, 88 sweeps;")


def test_the_numbers_stand_over_their_mark_of_the_slider(load):
    for width in (375, 1280):
        page = load(DynamicProgrammingPlayground(), width=width)
        track = slider(page, "j, sweeps of an iteration").bounding_box()
        for i in (0, 4, 11):
            thumb = track["x"] + 10 + (track["width"] - 20) * i / 11
            box = page.locator(".tick").nth(i).bounding_box()
            assert box["x"] + box["width"] / 2 == pytest.approx(thumb, abs=4)


def test_a_whole_evaluation_is_shown_as_one_that_sweeps_never_end(load):
    page = load(DynamicProgrammingPlayground())
    change(page, {"j": None})
    assert page.locator(".col.never").count() == 2
    assert story(page) == (
        "j = ∞: 8 iterations, an exact solve in each; all arrows are best from iteration 8 on."
        " By sweeps alone an exact evaluation would never end."
    )
    assert page.get_by_text("Iteration 8: solve").is_visible()
    assert page.locator(".chart path.dia.on").count() == 1
    assert page.locator(".chart path.run").count() == 0


def test_ties_gamma_and_the_fine_are_changed_from_the_keyboard(load):
    page = load(DynamicProgrammingPlayground())
    page.get_by_role("radio", name="first").focus()
    page.keyboard.press("ArrowRight")
    assert columns(page) == printed(ties="last")
    page.keyboard.press("ArrowRight")
    assert columns(page) == printed(ties="keep")
    slider(page, "gamma").focus()
    page.keyboard.press("ArrowLeft")
    assert columns(page) == printed(0.89, "keep")
    slider(page, "forbidden").focus()
    page.keyboard.press("ArrowRight")
    assert columns(page) == printed(0.89, "keep", replace(WORLD, r_forbidden=-9.5))


def test_what_a_change_replaces_stays_as_a_ghost(load):
    page = load(DynamicProgrammingPlayground())
    assert page.locator(".col u").count() == 0
    assert page.locator(".chart path.was").count() == 0
    change(page, {"ties": "last"})
    moved = [
        x != y
        for one, other in zip(printed(), printed(ties="last"), strict=True)
        for x, y in zip(one, other, strict=True)
    ]
    assert page.locator(".col u").count() == sum(moved) > 9
    assert page.locator(".chart path.was").count() == 1
    change(page, {"gamma": 0.5})
    assert shown(page, "g")[0] == "3.49"
    assert page.get_by_text("before your change").is_visible()


# ------------------------------------------------------------------------------- steps


def by_hand(step, j):
    """v and a after some steps, by the package's two halves."""
    mdp, v, a = grid_mdp(WORLD), np.zeros(25), None
    for k in range(step):
        if k % (j + 1) == 0:
            a = greedy_sets(action_values(mdp, v, 0.9)).argmax(-1)
        else:
            v = truncated_evaluation(mdp, a, v, 0.9, 1)
    return v, a


@pytest.mark.parametrize("j", [1, 5])
def test_each_half_step_is_the_packages(load, j):
    page = load(DynamicProgrammingPlayground(j=j))
    for step in (1, 2, 3, 7, 13, 32):
        seek(page, step)
        v, a = by_hand(step, j)
        now = state(page)
        assert now["v"] == pytest.approx(v, abs=1e-12)
        assert now["a"] == a.tolist()
        assert now["iteration"] == (step - 1) // (j + 1) + 1
        part = (step - 1) % (j + 1)
        words = f"sweep {part} of {j}" if part else "improve"
        assert page.locator(".count").text_content() == f"Iteration {now['iteration']}: {words}"
        right = BEST[np.arange(25), a].sum()
        assert page.locator(".cell .not").count() == 25 - right
        assert page.get_by_text(f"best arrow: {right} of 25").is_visible()
        error = np.abs(v - EXACT).max()
        assert numbers(page.locator(".note").first.text_content())[1] == pytest.approx(error, 1e-3)


def test_steps_are_taken_from_the_keyboard(load):
    page = load(DynamicProgrammingPlayground())
    step = slider(page, "step of the run")
    step.focus()
    page.keyboard.press("Home")
    assert page.get_by_text("Nothing is known yet").is_visible()
    assert set(shown(page)) == {"0.00"}
    assert shown(page, "g")[0] == "3.49"
    assert page.locator(".cell path").count() == 0
    page.keyboard.press("ArrowRight")
    assert page.get_by_text("Iteration 1: improve").is_visible()
    page.get_by_role("button", name="Step").press("Enter")
    assert page.get_by_text("Iteration 1: sweep 1 of 5").is_visible()
    page.get_by_role("button", name="Back").press("Enter")
    assert state(page)["step"] == 1
    page.get_by_role("button", name="End").press("Enter")
    assert state(page)["step"] == 18 * 6
    page.get_by_role("gridcell").nth(20).focus()
    page.keyboard.press("ArrowUp")
    assert state(page)["selected"] == 15
    assert page.get_by_text("The sweep at row 4, column 1").is_visible()


def test_run_plays_from_the_start_and_pauses(load):
    page = load(DynamicProgrammingPlayground())
    before = state(page)["step"]
    page.get_by_role("button", name="Run").click()
    assert state(page)["step"] < before
    page.wait_for_function(
        "document.querySelector('[data-rlc-playground]').playground.state().step >= 2"
    )
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Run").is_visible()


def test_the_chart_is_a_scrubber_too(load):
    page = load(DynamicProgrammingPlayground())
    box = page.locator(".chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.up()
    assert state(page)["sweeps"] == pytest.approx(100 * (0.4 * 320 - 34) / 260, abs=1)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    assert state(page)["sweeps"] < 40


# ------------------------------------------------------------------------------- arithmetic


def sums(page):
    return page.locator(".even .part").all_text_contents()


def test_the_sum_of_an_improvement_adds_up(load):
    page = load(DynamicProgrammingPlayground(selected=14))
    seek(page, 25)
    v, a = by_hand(25, 5)
    total = action_values(grid_mdp(WORLD), v, 0.9)[14]
    r, gamma, value, result = numbers(sums(page)[1])
    assert r + gamma * value == pytest.approx(result, abs=1e-3)
    assert result == pytest.approx(total.max(), abs=1e-3)
    assert sums(page)[0] == f"{'↑→↓←•'[a[14]]} r + γ v(s′) ="
    assert page.locator(".q .n").count() == 5
    assert numbers(" ".join(page.locator(".q .n").all_text_contents())) == pytest.approx(
        total, abs=0.006
    )


def test_ties_are_named_and_what_becomes_of_them(load):
    page = load(DynamicProgrammingPlayground())
    seek(page, 1)
    assert page.get_by_text("↑ • tie: take the first.").is_visible()
    change(page, {"ties": "last"})
    seek(page, 1)
    assert page.get_by_text("↑ • tie: take the last.").is_visible()


@pytest.mark.parametrize("part", [1, 3])
def test_the_sum_of_a_sweep_adds_up(load, part):
    page = load(DynamicProgrammingPlayground(selected=14))
    seek(page, 24 + 1 + part)
    r, gamma, value, result = numbers(sums(page)[1])
    assert r + gamma * value == pytest.approx(result, abs=1e-3)
    assert result == pytest.approx(by_hand(25 + part, 5)[0][14], abs=1e-3)
    before = page.locator(".even .note").text_content()
    assert numbers(before)[0] == pytest.approx(by_hand(24 + part, 5)[0][14], abs=1e-3)
    assert ("No other action is looked at" in before) == (part > 1)


def test_the_sum_of_an_exact_evaluation_holds_the_same_values_on_both_sides(load):
    page = load(DynamicProgrammingPlayground(j=None))
    r, gamma, value, result = numbers(sums(page)[1])
    assert r + gamma * value == pytest.approx(result, abs=1e-3)
    assert (value, result) == pytest.approx((EXACT[15], EXACT[20]), abs=1e-3)


@pytest.mark.parametrize(("step", "near"), [(0, 1e-3), (26, 1e-3), (108, 2e-6)])
def test_the_largest_error_is_the_difference_that_is_shown(load, step, near):
    page = load(DynamicProgrammingPlayground())
    seek(page, step)
    v = by_hand(step, 5)[0]
    row, column = numbers(page.locator(".even .cap").last.text_content())
    cell = int(5 * (row - 1) + column - 1)
    ours, theirs = numbers(sums(page)[-1].split("=")[0])
    assert (ours, theirs) == pytest.approx((v[cell], EXACT[cell]), abs=near)
    assert abs(ours - theirs) == pytest.approx(np.abs(v - EXACT).max(), abs=near)


# ------------------------------------------------------------------------------- questions


@pytest.mark.parametrize("number", range(3))
def test_pressing_a_question_shows_its_case(load, number):
    page, prompt = load(DynamicProgrammingPlayground()), PROMPTS[number]
    page.get_by_role("button", name=prompt.ask).click()
    world = state(page)["world"]
    assert {key: world[key] for key in prompt.set} == prompt.set
    assert story(page).startswith(
        (
            "j = 1: 88 iterations, 88 sweeps; all arrows are best from iteration 8 on."
            " It looks at 88 × 5 = 440 actions in each cell.",
            "j = 10: 15 iterations, 150 sweeps; all arrows are best from iteration 15 on.",
            "j = ∞: 8 iterations, an exact solve in each;",
        )[number]
    )
    assert columns(page) == printed(world["gamma"], world["ties"])
    slider(page, "gamma").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".answer").text_content() == ""


def test_long_numbers_have_room_on_a_phone(load):
    page = load(DynamicProgrammingPlayground(), width=375)
    change(page, {"gamma": 0.99, "j": None})
    seen = page.locator(".col span").evaluate_all("""all => all.slice(24)
        .filter(el => getComputedStyle(el).visibility === "visible")
        .map(el => {
          const range = document.createRange();
          range.selectNodeContents(el);
          const box = range.getBoundingClientRect();
          return [el.textContent, box.left, box.right];
        })
    """)
    assert [text for text, *_ in seen] == ["5730", "2070", "1392", "∞"]
    assert all(right < left for (_, _, right), (_, left, _) in pairwise(seen))


def test_it_prints_costs_map_and_curve(load):
    page = load(DynamicProgrammingPlayground())
    page.emulate_media(media="print")
    assert page.locator(".col.on").first.is_visible()
    assert page.locator(".chart").is_visible()
    assert page.get_by_role("gridcell").first.is_visible()
    assert not page.get_by_role("button", name="Run").is_visible()
