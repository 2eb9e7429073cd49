"""What the chapter on data says of its figures."""

import numpy as np
import pytest

from rlcourse.alignment.data import Targets, next_token_targets
from rlcourse.figures.alignment import data as figures
from rlcourse.figures.alignment import layouts
from rlcourse.results import load


@pytest.fixture(scope="module")
def ways():
    return load("alignment/data")["data"]["ways"]


def test_packing_halves_the_padding_at_least():
    for seed in range(10):
        data = layouts.data_layouts(seed=seed)
        assert data.wasted[1] < 0.5 * data.wasted[0]
        assert (data.padded.tokens * data.padded.mask).sum() == (
            data.packed.tokens * data.packed.mask
        ).sum()


def test_the_slider_shows_the_batch_padded_and_packed():
    figure = layouts.draw_packing()
    example = layouts.data_layouts()
    titles = {frame.name: frame.layout.title.text for frame in figure.frames}
    for name, batch, wasted in zip(("padded", "256"), example[:2], example.wasted, strict=True):
        rows, size = batch.tokens.shape
        assert titles[name] == f"{rows} rows of {size} tokens: {100 * wasted:.0f}% of them padding"
    for frame in figure.frames:
        _, whole, said = frame.data
        assert list(whole.x) == [len(x.tokens) for x in figures.conversations(400)[:12]]
        ends = zip(said.base, said.x, whole.base, whole.x, strict=True)
        assert all(b <= s and s + n == b + m - 1 for s, n, b, m in ends)  # then a newline


def test_a_causal_mask_leaks_into_all_but_the_first_conversation():
    leak = layouts.data_leak()
    first = leak.segments[1:] == leak.segments[0]
    off = np.abs(leak.off)
    assert np.nanmax(off[first[: len(off)]]) < 1e-4
    assert np.nanmax(off) > 1
    assert leak.worst < 1e-4
    assert leak.masks["causal"].sum() > leak.masks["block-diagonal"].sum()


def test_a_few_steps_teach_the_form_of_an_answer():
    run = figures.data_fine_tuning()
    assert run.right[0] == run.stopped[0] == 0
    assert run.stopped[1] == 1
    assert run.right[1] > figures.commonest(run.questions)


def test_passages_are_all_of_a_chapter_and_none_is_both_learned_and_asked_for():
    verses = [f"verse {i}" for i in range(20)]
    assert " ".join(figures.passages(verses)) == " ".join(verses)
    assert [x.count("verse") for x in figures.passages(verses)] == [1, 1, 3, 1, 2, 1, 6, 1, 1, 3]
    assert not set(figures.asked(True)) & set(figures.asked(False))


def test_the_unshifted_mask_learns_a_newline_and_not_the_first_token():
    assert figures.data_hunt(next_token_targets) == repr("Genesis<|im_end|>")
    wrong = figures.data_hunt(lambda x, m: Targets(x[:, :-1], x[:, 1:], m[:, :-1]))
    assert wrong.endswith(repr("<|im_end|>\n")[1:])
    assert not wrong.startswith("'Genesis")


def test_the_faulty_run_has_the_better_loss_and_no_right_answer(ways):
    good, bad = ways["as it should"], ways["mask not shifted"]
    assert np.mean(bad["losses"][-20:]) < np.mean(good["losses"][-20:])
    assert bad["right"][1] < 0.05
    assert good["right"][1] > 1.3 * good["commonest"]
    assert good["stopped"] == [0, 1]


def test_the_record_begins_as_a_run_of_today(ways):
    run = figures.data_fine_tuning(steps=10, held=4)
    assert run.losses[0] == pytest.approx(ways["as it should"]["losses"][0], rel=1e-3)


def test_each_figure_says_what_it_shows():
    for drawn in (
        layouts.draw_layouts(layouts.data_layouts()),
        layouts.draw_live(6, 300, 1),
        layouts.draw_leak(layouts.data_leak()),
        figures.draw_losses({"as it should": np.ones(20)}),
    ):
        assert len(drawn.alt) > 40
        assert drawn.panels


def test_packing_and_budgets_halve_the_time_of_padding():
    rows = {row["layout"]: row for row in load("benchmarks/data")["rows"]}
    for layout in ("packed", "budget"):
        assert rows[layout]["times_padded"]["median"] < 0.6
        assert rows[layout]["cells"] < 0.6 * rows["padded"]["cells"]
