"""What the captions of the FlashAttention chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rlcourse.exercises.systems import flash_attention as exercises
from rlcourse.figures.systems import flash_attention as f
from rlcourse.systems import attention_tiles as at
from rlcourse.systems import flash_attention as fa

PAGE = Path(__file__).parents[3] / "book/systems/flash_attention.md"


@cache
def bill() -> f.Bill:
    return f.data_bill(rng=np.random.default_rng(0), n=192, powers=(10, 13))


def test_standard_attention_waits_for_memory_and_what_it_keeps_outgrows_the_card():
    data = f.data_question()
    assert data.move > 4 * data.compute
    standard, flash = data.saved.values()
    assert (standard[data.n >= 2**16] > f.H100.memory).all()
    assert (flash < f.H100.memory / 50).all()
    np.testing.assert_allclose(standard[1:] / standard[:-1], 4)
    np.testing.assert_allclose(flash[1:] / flash[:-1], 2)


def test_the_intensity_of_standard_attention_is_half_the_head_dimension():
    roof = f.data_roof()
    assert roof.points["standard"][0] == pytest.approx(64, rel=0.02)
    assert roof.points["flash, tiles of 128"][0] == pytest.approx(128, rel=0.02)
    assert roof.points["flash, tiles of 128"][0] < roof.ridge / 2
    assert roof.points["flash, keys read once"][0] > 10 * roof.ridge
    assert roof.ridge == pytest.approx(295, abs=1)
    assert 1 - roof.points["standard"][1] / (f.H100.flops / 1e12) > 0.75  # it waits


def test_the_saving_is_twice_the_tile_over_the_head_dimension():
    for d, block in ((64, 128), (128, 128), (128, 64)):
        n = 2**17
        ratio = sum(at.standard_traffic(n, n, d)) / sum(at.forward_traffic(n, n, d, block, 64))
        assert ratio == pytest.approx(2 * block / d, rel=0.01)


def test_a_map_of_tiles_counts_what_its_forwards_moved():
    data = f.data_tile_map(12, 16, 3, 5, d=4)
    assert data.moved == sum(at.forward_traffic(12, 16, 4, 3, 5, causal=True))
    assert data.standard == sum(at.standard_traffic(12, 16, 4))
    whole = f.data_tile_map(12, 16, 3, 5, causal=False, d=4)
    assert whole.moved > data.moved
    assert "11 of 16 tiles visited" in f.draw_tiles(12, 16, 3, 5).alt


def test_every_count_of_the_measured_curve_is_the_formulas():
    data = bill()
    for d in data.flash:
        for i, sram in enumerate(data.sram.tolist()):
            tall = min(data.n, at.tallest_block(sram, d, data.block_k))
            square = min(data.n, at.largest_block(sram, d))
            n, k = data.n, data.block_k
            assert data.flash[d][i] == sum(at.forward_traffic(n, n, d, tall, k))
            assert data.square[d][i] == sum(at.forward_traffic(n, n, d, square, square))
        assert data.standard[d] == sum(at.standard_traffic(data.n, data.n, d))


def test_traffic_falls_like_one_over_the_fast_memory_and_grows_like_the_square_of_d():
    """The page's own run, by the formula that it was seen to equal."""
    n, k, sram = 384, 2, 2 ** np.arange(10, 15)

    def moved(d: int, square: bool = False) -> np.ndarray:
        tiles = [(at.largest_block(s, d),) * 2 if square else (at.tallest_block(s, d, k), k)
                 for s in sram.tolist()]  # fmt: skip
        return np.array([sum(at.forward_traffic(n, n, d, *t)) for t in tiles])

    fixed = {d: 2 * n * d + n for d in (16, 32)}
    passes = {d: moved(d) - fixed[d] for d in (16, 32)}
    assert f.slope(sram, passes[32]) == pytest.approx(-1, abs=0.05)
    assert np.median(passes[32] / passes[16]) == pytest.approx(4, abs=0.1)
    leading = 4 * n**2 * 32**2 / sram
    assert ((passes[32] > leading) & (passes[32] < 1.4 * leading)).all()
    assert (moved(32, square=True) > moved(32)).all()
    assert moved(32)[0] > sum(at.standard_traffic(n, n, 32)) > moved(32)[1]
    assert moved(16)[0] < sum(at.standard_traffic(n, n, 16))


@cache
def suspect():
    """The forward of the bug hunt, as the page has it."""
    source = re.search(
        r"(from rlcourse.systems.attention_tiles import visible_tiles\n.*?\n)hunt = ",
        PAGE.read_text("utf-8"),
        re.DOTALL,
    )
    names = {"np": np, "Forward": fa.Forward}
    exec(source[1], names)
    return names["flash_forward"]


def test_the_suspect_on_the_page_is_a_misconception_that_its_checks_know():
    rng = np.random.default_rng(2)
    q, k, v = rng.normal(size=(9, 4)), rng.normal(size=(13, 4)), rng.normal(size=(13, 4))
    for found, wrong in zip(
        suspect()(q, k, v, 4, 3, True),
        exercises.o_is_not_rescaled(q, k, v, 4, 3, True),
        strict=True,
    ):
        np.testing.assert_allclose(found, wrong, atol=1e-14)


def test_the_suspect_is_right_with_a_sink_and_wrong_without():
    hunt = f.data_hunt(suspect(), rng=np.random.default_rng(1))
    assert (hunt.sink < 1e-14).all()
    assert hunt.plain[0] > 0.5
    assert hunt.plain[1] < 1e-14
    assert hunt.error[0] < 1e-14
    assert (hunt.error[1:] > 1).all()


def test_the_right_forward_passes_the_hunt():
    hunt = f.data_hunt(fa.flash_forward, rng=np.random.default_rng(1))
    assert (np.r_[hunt.error, hunt.sink, hunt.plain] < 1e-13).all()


def test_every_picture_of_the_chapter_is_drawn():
    for picture, panels in (
        (f.draw_question(f.data_question()), 2),
        (f.draw_tile_maps(), 4),
        (f.draw_tiles(), 1),
        (f.draw_bill(bill()), 2),
        (f.draw_roof(f.data_roof()), 1),
        (f.draw_hunt(f.data_hunt(suspect(), rng=np.random.default_rng(1))), 1),
    ):
        assert picture.alt
        assert len(picture.panels) == panels
        assert all(svg.startswith("<svg") for svg in picture.panels)


def test_in_two_parts_the_log_sum_exp_of_large_logits_gives_weights_that_its_sum_cannot():
    """What the kernels save, in float32: top and rest, against their sum."""
    rng = np.random.default_rng(0)
    logits = (1000 + rng.normal(size=(200, 50))).astype(np.float32)
    top = logits.max(1, keepdims=True)
    rest = np.log(np.exp(logits - top).sum(1, keepdims=True))
    exact = logits.astype(float)
    exact = np.exp(exact - 1000) / np.exp(exact - 1000).sum(1, keepdims=True)
    lost = float(np.spacing(np.float32(1000)) / 2)
    parts, whole = (
        np.abs(p / exact - 1).max()
        for p in (np.exp(logits - top - rest), np.exp(logits - (top + rest)))
    )
    assert parts < 1e-6
    assert 0.9 * lost < whole < 1.1 * lost
