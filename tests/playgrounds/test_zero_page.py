"""The playground of ZeRO in a browser: what a reader does there."""

import pytest
from harness import change, state

from rlcourse.playgrounds import ZeROPlayground


@pytest.fixture
def page(load):
    return load(ZeROPlayground())


def story(page):
    return plain(page.locator(".story").inner_text())


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def row(page, name):
    return page.get_by_role("radio", name=name)


def length(page, name):
    return sum(bar.bounding_box()["width"] for bar in row(page, name).locator(".track > i").all())


STAGES = [f"stage {stage}" for stage in range(4)]


def test_the_default_state_shows_what_each_stage_cuts_and_the_card(page):
    assert story(page).startswith("✓ Stage 2 on 64 ranks: each keeps 16.6 GB")
    worth = [plain(row(page, x).locator(".worth").inner_text()).split("\n") for x in STAGES]
    assert [x[0] for x in worth] == ["120 GB", "31.4 GB", "16.6 GB", "1.9 GB"]
    assert [x[1] for x in worth] == ["✕ too much", "✓ fits", "✓ fits", "✓ fits"]
    lengths = [length(page, name) for name in STAGES]
    whole = row(page, "stage 0").locator(".track").bounding_box()
    assert lengths[0] == pytest.approx(whole["width"], abs=2)
    for found, gb in zip(lengths, (120, 31.40625, 16.640625, 1.875), strict=True):
        assert found / lengths[0] == pytest.approx(gb / 120, abs=0.005)
    mark = row(page, "stage 0").locator("u").bounding_box()["x"]
    assert (mark - whole["x"]) / whole["width"] == pytest.approx(84.8 / 120, abs=0.01)


def test_a_stage_is_chosen_by_pressing_its_bar_or_by_keys(page):
    row(page, "stage 0").click()
    assert state(page)["settings"]["stage"] == 0
    assert not state(page)["fits"]
    assert story(page).startswith("✕ Stage 0 on 64 ranks")
    row(page, "stage 0").press("ArrowUp")
    assert state(page)["settings"]["stage"] == 3
    assert row(page, "stage 3").get_attribute("aria-checked") == "true"
    assert page.locator("path.curve.on").count() == 1


def test_the_slider_of_ranks_moves_bars_and_curve_and_leaves_ghosts(page):
    assert page.locator(".track em").count() == page.locator("circle.was").count() == 0
    slider = page.get_by_role("slider", name="W, ranks")
    before = length(page, "stage 3")
    slider.press("ArrowLeft")
    assert state(page)["settings"]["ranks"] == 32
    assert length(page, "stage 3") == pytest.approx(2 * before, abs=1)
    assert page.locator(".track em").count() == 3  # stage 0 is as it was
    assert page.locator("circle.was").count() == 1
    page.get_by_role("button", name="Restore").click()
    assert page.locator(".track em").count() == page.locator("circle.was").count() == 0


def test_a_drag_on_the_curves_sets_any_number_of_ranks(page):
    box = page.locator("svg.chart").bounding_box()
    y = box["y"] + box["height"] / 2
    unit = box["width"] / 320
    page.mouse.move(box["x"] + 52 * unit, y)
    page.mouse.down()
    assert state(page)["settings"]["ranks"] == 1
    page.mouse.move(box["x"] + (52 + 220 * 0.35) * unit, y, steps=3)
    assert state(page)["settings"]["ranks"] == 11
    page.mouse.move(box["x"] + box["width"] * 1.2, y, steps=3)
    page.mouse.up()
    assert state(page)["settings"]["ranks"] == 1024


def test_the_sum_has_the_numbers_of_the_chosen_stage(page):
    words = page.locator(".sum").inner_text()
    for part in ("2 P + 2 ⌈P/W⌉ + 12 ⌈P/W⌉", "2 × 7,500,000,000", "12 × 117,187,500",
                 "= 16,640,625,000 bytes", "16.64 GB = 15.50 GiB"):  # fmt: skip
        assert part in words
    change(page, {"recipe": "bf16 8-bit Adam", "stage": 3})
    assert "of constants" in page.locator(".sum").inner_text()


def test_a_list_picks_model_and_recipe(page):
    page.get_by_label("model").select_option("DeepSeek-V3")
    assert state(page)["settings"]["model"] == "DeepSeek-V3"
    assert page.get_by_text("671,026,404,352 parameters").is_visible()
    page.get_by_label("recipe").select_option("bf16 SGD")
    assert state(page)["parts"][3] == 0


def test_without_layers_states_are_all_and_it_is_said(page):
    assert page.get_by_text("states are all that is counted").is_visible()
    assert not page.get_by_role("radio", name="recompute").is_visible()
    assert not page.get_by_role("slider", name="N, tokens of a sequence").is_visible()


def test_with_layers_the_peak_of_a_step_is_shown_beside_that_with_checkpointing(page):
    page.get_by_label("model").select_option("Llama-3.1-8B")
    assert story(page).startswith("✕ Stage 2 on 64 ranks: each keeps 17.8 GB of states; a step")
    every, again = length(page, "keep all"), length(page, "recompute")
    peaks = state(page)["peaks"]
    assert again / every == pytest.approx(peaks[1] / peaks[0], abs=0.01)
    row(page, "recompute").click()
    assert state(page)["settings"]["checkpointing"] is True
    assert story(page).startswith("✓ Stage 2 on 64 ranks")
    assert f"= {peaks[1]:,} bytes" in page.locator(".sum").inner_text()
    assert page.locator("path.curve.peak").count() == 1


def test_sliders_of_batch_and_tokens_move_the_peak(page):
    change(page, {"model": "Qwen2.5-0.5B"})
    before = state(page)["peaks"]
    page.get_by_role("slider", name="N, tokens of a sequence").press("ArrowLeft")
    page.get_by_role("slider", name="B, sequences of each rank").press("ArrowRight")
    found = state(page)
    assert (found["settings"]["batch"], found["settings"]["tokens"]) == (2, 4096)
    assert found["peaks"][0] == pytest.approx(before[0], rel=0.001)
    page.get_by_role("slider", name="B, sequences of each rank").press("End")
    assert state(page)["settings"]["batch"] == 64
    assert state(page)["peaks"][0] > 20 * before[0]


def test_what_would_make_it_fit_is_one_press_away(page):
    change(page, {"model": "Llama-3.1-8B"})
    page.get_by_role("button", name="stage 3: 72.7 GB").click()
    assert state(page)["settings"]["stage"] == 3
    assert state(page)["fits"]
    assert not page.get_by_text("What would make it fit").is_visible()
    change(page, {"model": "DeepSeek-V3", "ranks": 1, "stage": 0})
    assert page.get_by_text("One rank has nobody to share with").is_visible()
    large = {"model": "Llama-3.1-70B", "batch": 64, "tokens": 131072}
    change(page, {"card": "T4 16 GB", "ranks": 2, **large})
    assert page.get_by_text("No changes of up to three kinds make it fit.").is_visible()


def test_weights_of_other_ranks_are_shown_at_stage_3(page):
    change(page, {"model": "Llama-3.1-8B"})
    legend = page.locator(".legend").get_by_text("weights of other ranks")
    assert not legend.is_visible()
    row(page, "stage 3").click()
    assert legend.is_visible()
    assert row(page, "recompute").locator("i.gathered").count() == 1
