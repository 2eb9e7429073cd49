"""The playground of decoding in a browser: what a reader does there."""

import pytest
from harness import change, state

from rlcourse.playgrounds import DecodingPlayground
from rlcourse.playgrounds.decoding import ROWS, Settings, logits, recorded, solve, text

HOST = "document.querySelector('[data-rlc-playground]')"
HEAD, ROW = 40, 25  # pixels above the rows, and of a row


@pytest.fixture
def page(load):
    return load(DecodingPlayground())


def setting(page, name):
    return state(page)["settings"][name]


def story(page):
    return page.locator(".story").inner_text().replace("\u00a0", " ")


def shown(name):
    """A token as the figure writes it."""
    return "⟨end⟩" if name == "<end>" else name.replace(" ", "·", 1)


def test_the_default_state_shows_that_the_order_matters(page):
    here, there = solve(Settings()), solve(Settings(first="cuts"))
    assert story(page) == (
        f"After T = {Settings().temperature:.2f}, top-p keeps {here.kept.sum()} of 1024 tokens."
        f" Before it, on the model’s own probabilities: {there.kept.sum()}."
    )
    assert here.kept.sum() > there.kept.sum()
    page.get_by_role("radio", name="cuts").click()
    assert story(page).startswith(f"Before the temperature, top-p keeps {there.kept.sum()} of")
    assert state(page)["kept"] == there.kept.sum()


def test_each_row_has_its_token_and_what_is_drawn_from(page):
    names = recorded()["contexts"][Settings().context]["names"]
    assert page.locator("text.name").all_text_contents()[:ROWS] == [shown(x) for x in names[:ROWS]]
    found = page.locator("text.p").all_text_contents()
    p = solve(Settings()).p
    assert found[:ROWS] == [f"{x:.3f}" for x in p[:ROWS]]
    assert found[ROWS] == f"{p[ROWS:].sum():.3f}"


def test_what_is_cut_has_no_bar_and_says_so(page):
    change(page, {"top_k": 5, "top_p": 1})
    assert page.locator("text.p.cut").all_text_contents() == ["cut"] * (ROWS - 5)
    assert page.locator("circle.knob.off").count() == ROWS - 5
    page.wait_for_timeout(300)  # the bars shrink
    widths = [float(x.get_attribute("width")) for x in page.locator("rect.bar").all()]
    assert all(w > 0 for w in widths[:5])
    assert widths[5 : ROWS + 1] == [0] * (ROWS - 5 + 1)
    assert page.locator("path.limit").count() == 2  # and that of the legend


def test_a_row_is_dragged_and_its_logit_follows(page):
    rows = page.locator("svg.rows")
    box = rows.bounding_box()
    y = box["y"] + HEAD + 3.4 * ROW
    page.mouse.move(box["x"] + 250, y)
    page.mouse.down()
    assert (state(page)["picked"], setting(page, "moved")) == (3, [])
    page.mouse.move(box["x"] + 280, y)
    page.mouse.up()
    [[place, logit]] = setting(page, "moved")
    assert place == 3
    assert logits(Settings().context)[3] < logit
    before = state(page)
    page.mouse.move(box["x"] + 100, y)
    assert state(page) == before
    w = Settings(moved=((3, logit),))
    assert before["p"] == pytest.approx(solve(w).p[:ROWS].tolist())
    assert before["kept"] == solve(w).kept.sum()
    rows.press("ArrowRight")  # a press takes the focus
    assert setting(page, "moved") == [[3, pytest.approx(logit + 0.1)]]


def test_the_arrow_keys_choose_a_row_and_move_its_logit(page):
    rows = page.locator("svg.rows")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "PageDown"):
        rows.press(key)
    want = logits(Settings().context)[1] - 1
    assert setting(page, "moved") == [[1, pytest.approx(want, abs=0.051)]]
    name = recorded()["contexts"][Settings().context]["names"][1]
    assert rows.get_attribute("aria-valuetext").startswith(f"{shown(name)}: logit ")
    for _ in range(20):
        rows.press("ArrowDown")
    assert state(page)["picked"] == ROWS - 1


def test_u_is_dragged_along_the_probabilities(page):
    strip = page.locator("svg.strip")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    page.mouse.down()
    assert setting(page, "u") == pytest.approx(0.5, abs=0.003)
    page.mouse.move(box["x"] + 1, box["y"] + 30)
    page.mouse.up()
    assert setting(page, "u") == pytest.approx(0, abs=0.003)
    assert state(page)["token"] == 0
    strip.press("End")
    assert setting(page, "u") == 0.999
    assert state(page)["token"] == solve(Settings(u=0.999)).token
    strip.press("ArrowLeft")
    assert setting(page, "u") == 0.989


def test_what_was_drawn_is_appended_and_taken_back(page):
    contexts, start = recorded()["contexts"], Settings().context
    drawn = solve(Settings()).token
    child = next(i for i, c in enumerate(contexts) if (c["parent"], c["chosen"]) == (start, drawn))
    assert page.get_by_role("button", name="Back").is_disabled()
    assert (state(page)["token"], state(page)["next"]) == (drawn, child)
    page.get_by_role("button", name="Append").click()
    assert setting(page, "context") == child
    assert page.locator(".text").text_content().startswith(f"⟨end⟩ {text(child)}")
    page.get_by_role("button", name="Back").click()
    assert setting(page, "context") == start


def test_the_end_of_a_verse_is_a_token_and_ends_it(page):
    page.get_by_role("radio", name="verse's end").click()
    change(page, {"top_p": 1, "temperature": 0})
    assert page.get_by_role("button", name="The verse ends").is_disabled()
    assert page.locator(".text mark").text_content().strip() == "⟨end⟩"
    assert story(page).startswith("Temperature 0 takes the likeliest token")
    assert "T = 0: the largest z is taken for certain" in page.locator(".sum").inner_text()
    assert state(page)["p"] == [1] + [0] * (ROWS - 1)


def test_a_draw_is_a_uniform_number_that_is_shown(page):
    drawn = set()
    for _ in range(8):
        page.get_by_role("button", name="Draw").click()
        u = setting(page, "u")
        assert 0 <= u < 1
        assert page.locator("text.u").text_content().startswith(f"u = {u:.3f}: ")
        assert state(page)["token"] == solve(Settings(u=u)).token
        drawn.add(u)
    assert len(drawn) > 1


def test_a_penalty_moves_the_tokens_of_the_text_alone(page):
    c = next(i for i, x in enumerate(recorded()["contexts"]) if min(x["seen"]) < ROWS)
    change(page, {"context": c, "penalty": 1.5})
    touched = [i for i in recorded()["contexts"][c]["seen"] if i < ROWS]
    assert page.locator("circle.from").count() == len(touched)
    for _ in range(touched[0]):
        page.locator("svg.rows").press("ArrowDown")
    z = logits(c)[touched[0]]
    assert f"/ 1.50 = {z / 1.5:.2f}" in page.locator(".sum").inner_text()


def test_nothing_is_cut_when_all_cuts_are_off(page):
    change(page, {"top_p": 1})
    assert story(page).startswith("Nothing is cut: all 1024 tokens may come")
    assert page.locator("path.limit").count() == 1  # that of the legend
    for name, key in (("top-k", "ArrowRight"), ("min-p", "ArrowRight")):
        page.get_by_role("slider", name=name).press(key)
    assert story(page).startswith("Top-k and min-p keep 1 of 1024 tokens")


@pytest.mark.parametrize("width", [375, 1280])
def test_the_pictures_are_as_wide_as_their_place_and_their_text_keeps_its_size(load, width):
    page = load(DecodingPlayground(), width=width)
    for name in ("rows", "strip"):
        page.wait_for_function(
            f"() => {{ const p = {HOST}.shadowRoot.querySelector('svg.{name}'); return"
            " Math.abs(p.viewBox.baseVal.width - p.getBoundingClientRect().width) < 1.5 }"
        )
