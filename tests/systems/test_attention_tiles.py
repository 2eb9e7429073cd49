"""The arithmetic of tiles against masks that are counted one by one."""

import itertools

import numpy as np
import pytest

from rlcourse.systems import attention_tiles as at

SIZES = list(itertools.product((1, 2, 7, 12), (1, 3, 7, 13), (1, 2, 5, 12), (1, 3, 4, 13)))


def mask(n: int, m: int) -> np.ndarray:
    """visible[i, j]: key j lies no later than query i, whose place is i + M - N."""
    return np.array([[j <= i + m - n for j in range(m)] for i in range(n)])


def tiles_of(visible: np.ndarray, block_q: int, block_k: int) -> list[list[np.ndarray]]:
    n, m = visible.shape
    return [
        [visible[i : i + block_q, j : j + block_k] for j in range(0, m, block_k)]
        for i in range(0, n, block_q)
    ]


@pytest.mark.parametrize(("n", "m", "block_q", "block_k"), SIZES)
def test_tiles_are_full_then_partly_seen_then_hidden_as_the_mask_says(n, m, block_q, block_k):
    full, seen = at.visible_tiles(n, m, block_q, block_k)
    rows = tiles_of(mask(n, m), block_q, block_k)
    assert full.tolist() == [sum(t.all() for t in row) for row in rows]
    assert seen.tolist() == [sum(t.any() for t in row) for row in rows]
    for row, f, s in zip(rows, full, seen, strict=True):
        kinds = ["full" if t.all() else "partly" if t.any() else "hidden" for t in row]
        assert kinds == ["full"] * f + ["partly"] * (s - f) + ["hidden"] * (len(row) - s)


def test_without_a_causal_mask_every_tile_is_full():
    full, seen = at.visible_tiles(10, 7, 4, 3, causal=False)
    np.testing.assert_array_equal([full, seen], [[3, 3, 3]] * 2)


def test_about_half_of_the_tiles_is_skipped_and_one_a_row_is_masked():
    full, seen = at.visible_tiles(8192, 8192, 128, 128)
    np.testing.assert_array_equal(full, np.arange(64))
    np.testing.assert_array_equal(seen, np.arange(1, 65))


def test_a_tile_that_is_read_by_hand_counts_what_is_read_and_written():
    # 5 queries in tiles of 2, 4 keys in tiles of 3, D = 2. The queries see 0, 1 | 2, 3 | 4 keys:
    # the first two tiles of queries read the first 3 keys, the last one reads all 4
    assert at.forward_traffic(5, 4, 2, 2, 3, causal=True) == (5 * 2 + 2 * 2 * 10, 5 * 2 + 5)
    assert at.forward_traffic(5, 4, 2, 2, 3) == (5 * 2 + 2 * 2 * 12, 5 * 2 + 5)
    assert at.standard_traffic(5, 4, 2) == (2 * 20 + 10 + 16, 2 * 20 + 10)


def test_with_8192_keys_of_64_tiles_of_128_move_a_quarter_and_tiles_of_256_an_eighth():
    ratios = [
        sum(at.standard_traffic(8192, 8192, 64)) / sum(at.forward_traffic(8192, 8192, 64, b, b))
        for b in (128, 256)
    ]
    np.testing.assert_allclose(ratios, [4, 8], rtol=0.03)


@pytest.mark.parametrize(("sram", "d"), [(600, 3), (58_112, 64), (58_112, 128), (515, 128)])
def test_the_largest_block_fits_and_one_more_does_not(sram, d):
    block = at.largest_block(sram, d)
    assert block >= 1
    assert sum(at.forward_tiles(block, block, d).values()) <= sram
    assert sum(at.forward_tiles(block + 1, block + 1, d).values()) > sram


@pytest.mark.parametrize("block_k", [1, 16, 40])
def test_the_tallest_block_fits_and_one_more_does_not(block_k):
    block = at.tallest_block(20_000, 64, block_k)
    assert sum(at.forward_tiles(block, block_k, 64).values()) <= 20_000
    assert sum(at.forward_tiles(block + 1, block_k, 64).values()) > 20_000


def test_tiles_that_do_not_fit_are_named():
    message = "sram must hold the tiles q 12, k 20, v 20, s 15, m 3, l 3, o 12: 85 .* got 84"
    with pytest.raises(ValueError, match=message):
        at.require_fit(84, at.forward_tiles(3, 5, 4))
    at.require_fit(85, at.forward_tiles(3, 5, 4))
    for refused in (lambda: at.largest_block(10, 4), lambda: at.tallest_block(30, 4, 3)):
        with pytest.raises(ValueError, match="sram must hold the tiles"):
            refused()
    with pytest.raises(ValueError, match="d must be an integer"):
        at.largest_block(100, 0)


def test_operations_are_counted_by_the_convention_of_the_field():
    whole = at.attention_flops(1024, 2048, 64, heads=6)
    assert whole == 2 * (2 * 1024 * 2048 * 64) * 6  # two products, an addition for each factor
    assert at.attention_flops(1024, 2048, 64, heads=6, causal=True) == whole / 2
    assert at.attention_flops(1024, 2048, 64, heads=6, backward=True) == 2.5 * whole


def test_intensity_is_operations_per_byte():
    assert at.intensity(600.0, at.Moved(40, 10)) == 6
    assert at.intensity(600.0, at.Moved(40, 10), element=4) == 3
