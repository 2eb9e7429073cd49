"""The playground of temporal differences in a browser: what a reader sees, presses and is told."""

import re

import numpy as np
import pytest
from harness import change, state

from rlcourse.playgrounds import TemporalDifferencePlayground
from rlcourse.playgrounds.temporal_difference import CLIFF, Settings, earned, limits, methods, run


@pytest.fixture
def page(load):
    return load(TemporalDifferencePlayground())


def numbers(text):
    """The numbers of a text, in their order."""
    return [float(x.replace("−", "-")) for x in re.findall(r"[−-]?\d+(?:\.\d+)?", text)]


def slider(page, name):
    return page.get_by_role("slider", name=name)


def counts(page):
    """The large numbers: worth of the way and return, of both."""
    return page.locator(".count").all_inner_texts()


def sums(page):
    """The printed sums of the update: of each learner its target, then its new value."""
    return page.locator(".panel .sum p").all_inner_texts()


def printed(x):
    return f"{x:.1f}".replace("-", "−")


def fell(w, method):
    """How often the first learner fell in the last 100 episodes: each costs 99 more than a step."""
    x = run(w, method)
    return round(-(x.returns + x.lengths)[-100:, 0].sum() / 99)


def test_the_default_state_shows_who_knows_more_and_who_earns_more(page):
    w = Settings()
    q, sarsa = (printed(earned(run(w, method))) for method in methods(w))
    assert counts(page) == ["−13", q, "−17", sarsa]
    story = page.locator(".story").inner_text().replace("‑", "-")
    falls = [fell(w, method) for method in methods(w)]
    assert f"Q-learning fell {falls[0]} times, Sarsa fell {falls[1]} times" in story
    assert falls[0] > 5 * falls[1]
    for words in ("the best way: −13", "best ε-greedy: −20.71", "Q-learning in the end: −50.80"):
        assert page.get_by_text(words, exact=True).is_visible()


def test_one_step_teaches_sarsa_fear_and_q_learning_nothing(page):
    pair = (29, 1)
    s_next = CLIFF.mdp.s_next[*pair, 0]
    for i, method in enumerate(methods(Settings())):
        q = run(Settings(), method).q[0]
        follows = q[s_next].max() if method == "q_learning" else q[s_next, 2]
        r, gamma, value, target = numbers(sums(page)[2 * i].split("=", 1)[1])
        assert (r, gamma) == (-1, 1)
        assert value == pytest.approx(follows, abs=0.006)
        assert target == pytest.approx(r + follows, abs=0.006)
        old, alpha, again, known, new = numbers(sums(page)[2 * i + 1])
        assert (old, known, again) == pytest.approx((q[pair], q[pair], target), abs=0.006)
        assert new == pytest.approx(q[pair] + alpha * (r + follows - q[pair]), abs=0.006)
        assert (new < old - 20) == (method == "sarsa")


def test_the_next_action_changes_the_target_of_sarsa_alone(page):
    before = sums(page)
    page.get_by_role("radiogroup", name="a′, the next action").get_by_role("radio").first.click()
    assert state(page)["after"] == 0
    after = sums(page)
    assert after[:2] == before[:2]
    assert after[2] != before[2]


def test_the_mean_of_expected_sarsa_adds_up(page):
    change(page, {"against": "expected_sarsa"})
    text = sums(page)[2].split("=", 1)[1]
    r, gamma, *parts, target = numbers(text)
    shares, values = parts[::2], parts[1::2]
    assert sum(shares) == pytest.approx(1)
    assert r + gamma * np.dot(shares, values) == pytest.approx(target, abs=0.01)


def test_where_the_episode_ends_nothing_follows(page):
    first = slider(page, "Q‑learning: the cell that is looked into")
    first.focus()
    for _ in range(6):
        first.press("ArrowRight")
    assert state(page)["cell"] == 35
    first.press("ArrowDown")
    assert state(page)["cell"] == 35  # nobody acts in the goal
    page.get_by_role("radiogroup", name="a, the action of the step").get_by_role("radio").nth(
        2
    ).click()
    assert page.get_by_text("knows that nothing follows").count() == 2
    assert sums(page)[0] == sums(page)[2] == "r = −1"


def test_a_press_on_either_map_looks_into_that_cell_in_both(page):
    for i, (row, column) in enumerate([(0, 7), (2, 3)]):
        box = page.locator(".cliff").nth(i).bounding_box()
        x, y = (column + 0.6) / 12.2, (row + 0.6) / 4.2
        page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        assert state(page)["cell"] == 12 * row + column
        assert page.get_by_text(f"at row {row + 1}, column {column + 1}").is_visible()
    values = page.locator(".cliff").evaluate_all("all => all.map(x => x.ariaValueNow)")
    assert values == ["27", "27"]


def test_episodes_are_scrubbed_by_keyboard_and_on_the_chart(page):
    episode = slider(page, "episode that is shown")
    episode.focus()
    episode.press("Home")
    assert counts(page)[::2] == ["✕", "✕"]
    assert page.locator(".bad").count() == 2
    box = page.locator("svg.chart").bounding_box()
    page.mouse.click(box["x"] + box["width"] * (34 + 0.4 * 280) / 320, box["y"] + 40)
    assert state(page)["episode"] == pytest.approx(200, abs=2)
    k = state(page)["episode"]
    q = run(Settings(), "q_learning").returns[k - 100 : k].mean()
    assert counts(page)[1] == printed(q)


def test_run_plays_from_the_first_episode_and_pauses(page):
    page.get_by_role("button", name="Run").click()
    assert state(page)["episode"] == 1
    page.wait_for_function(
        "document.querySelector('[data-rlc-playground]').playground.state().episode > 2"
    )
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Run").is_visible()


def test_sliders_and_choices_teach_anew_and_leave_a_ghost(page):
    assert page.locator(".chart .old").count() == 0
    epsilon = slider(page, "epsilon, the probability to explore")
    epsilon.focus()
    epsilon.press("ArrowRight")
    page.get_by_role("radio", name="the first").click()
    w = Settings(epsilon=0.11, ties="first")
    assert state(page)["settings"] == w._asdict()
    assert counts(page)[1::2] == [printed(earned(run(w, method))) for method in methods(w)]
    exact = f"{limits(0.11).first:.2f}".replace("-", "−")
    assert page.get_by_text(f"Q-learning in the end: {exact}", exact=True).is_visible()
    assert page.locator(".chart .old").count() == 2
    assert page.get_by_text("before your change").is_visible()


def test_new_learners_are_others(page):
    page.get_by_role("button", name="New learners").click()
    assert state(page)["settings"]["seed"] == 2
    assert state(page)["earned"] == [
        pytest.approx(earned(run(Settings(seed=2), method))) for method in methods(Settings())
    ]


@pytest.mark.parametrize("width", [375, 1280])
def test_everything_has_room_in_its_box(load, width):
    page = load(TemporalDifferencePlayground(), width=width)
    for against in ("sarsa", "expected_sarsa"):
        change(page, {"against": against, "epsilon": 0.2})
        wide = page.locator(".panel, .panel *, .nums *, svg.chart").evaluate_all("""
            all => all.filter(el => {
              const [box, card] = [el, el.closest(".card")].map(x => x.getBoundingClientRect());
              const cut = el.clientWidth > 0 && el.scrollWidth > el.clientWidth + 1;
              const wraps = el.matches(".choice > :first-child") && box.height > 30;
              return cut || wraps || box.left < card.left || box.right > card.right;
            }).map(el => el.outerHTML.slice(0, 90))
        """)
        assert wide == []


def test_it_prints_the_maps_the_curves_and_the_update(page):
    page.emulate_media(media="print")
    assert page.locator(".cliff").first.is_visible()
    assert page.locator("svg.chart").is_visible()
    assert page.locator(".panel .sum").first.is_visible()
    assert not page.get_by_role("button", name="Run").is_visible()
