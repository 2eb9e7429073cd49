"""Slow memory counts what goes through it."""

import numpy as np
import pytest

from rlcourse.systems.slow_memory import SlowMemory, Traffic, blocks, count_traffic


def test_reads_and_writes_are_counted_by_the_element_and_the_largest_access_is_kept():
    x = SlowMemory(np.arange(12.0).reshape(4, 3))
    assert x.traffic == Traffic(0, 0, 0)
    x[0:2], x[1, 2], x[:]
    assert x.traffic == Traffic(6 + 1 + 12, 0, 12)
    x.reset()
    x[1:3] = 7
    x[0] = [1, 2, 3]
    assert x.traffic == Traffic(0, 9, 6)
    np.testing.assert_array_equal(x.values[:3], [[1, 2, 3], [7, 7, 7], [7, 7, 7]])


def test_what_was_read_is_a_copy_and_so_is_what_was_given():
    given = np.zeros(3)
    x = SlowMemory(given)
    x[0:3][:] = 5
    given[:] = 5
    np.testing.assert_array_equal(x.values, 0)


def test_looking_at_shape_type_and_length_costs_nothing():
    x = SlowMemory(np.zeros((4, 3), np.float16))
    assert (x.shape, x.dtype, len(x), x.traffic.reads) == ((4, 3), np.float16, 4, 0)


def test_it_can_be_reached_in_slices_alone():
    with pytest.raises(TypeError, match="read a slice first"):
        np.asarray(SlowMemory(np.zeros(3)))


@pytest.mark.parametrize("size", [0, 1, 6, 7])
def test_blocks_cover_an_axis_once_in_order(size):
    tiles = list(blocks(size, 3))
    assert [i for t in tiles for i in range(t.start, t.stop)] == list(range(size))
    assert all(t.stop - t.start == 3 for t in tiles[:-1])
    with pytest.raises(ValueError, match="block must be an integer"):
        blocks(size, 0)


# ------------------------------------------------------------------------------- a whole program


def doubled(x, block):
    out = np.empty_like(x, shape=len(x))
    for rows in blocks(len(x), block):
        out[rows] = 2 * x[rows]
    return out


def test_a_program_is_billed_for_its_arguments_and_for_what_it_makes_beside_them():
    found, traffic = count_traffic(doubled, np.arange(7.0), 3)
    np.testing.assert_array_equal(found, 2 * np.arange(7))
    assert traffic == Traffic(7, 7, 3)


def test_a_program_that_reaches_past_the_slices_is_refused():
    x = np.arange(6.0).reshape(2, 3)
    for f in (np.exp, np.sum, np.transpose, lambda x: x[:] @ x, lambda x: np.concatenate([x, x])):
        with pytest.raises(TypeError, match="read a slice first"):
            count_traffic(f, x)
    with pytest.raises(AttributeError):
        count_traffic(lambda x: x.T, x)
