"""Masks against loops over pairs, and positions against counting."""

import numpy as np
import pytest
import torch

from rlcourse.language import masks


def pairs(n, m, see):
    """(N, M) of see(place of the query, key), the last query at the last key."""
    return torch.tensor([[see(i + m - n, j) for j in range(m)] for i in range(n)])


@pytest.mark.parametrize(("n", "m", "window"), [(4, 4, None), (3, 7, None), (5, 8, 3), (1, 6, 2)])
def test_a_causal_mask_shows_what_came_before_within_the_window(n, m, window):
    expected = pairs(n, m, lambda i, j: 0 <= i - j < (window or 99))
    assert torch.equal(masks.causal_mask(n, m, window), expected)


@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 6), (1, 6)])
def test_a_padded_mask_hides_padding_from_all_others(n, m):
    present = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0]]).bool()
    mask = masks.padded_mask(present, n)
    assert mask.shape == (3, 1, n, m)
    for b, here in enumerate(present.tolist()):
        causal = pairs(n, m, lambda i, j: j < i)
        itself = pairs(n, m, lambda i, j: j == i)
        assert torch.equal(mask[b, 0], itself | (causal & torch.tensor(here)))


def test_numbers_do_for_booleans():
    present = torch.tensor([[0, 1, 1]])
    assert torch.equal(masks.padded_mask(present, 3), masks.padded_mask(present.bool(), 3))


def test_a_packed_mask_is_block_diagonal_and_causal():
    segments = torch.tensor([[0, 0, 0, 1, 1, -1], [3, 3, 3, 3, 3, 3]])
    mask = masks.packed_mask(segments)
    for b, row in enumerate(segments.tolist()):
        same = torch.tensor([[a == b for b in row] for a in row])
        expected = pairs(6, 6, lambda i, j: j <= i) & same
        assert torch.equal(mask[b, 0], expected)
    window = masks.packed_mask(segments, window=2)
    assert torch.equal(window, mask & masks.causal_mask(6, 6, 2))


def test_every_query_sees_itself_in_every_mask():
    present = torch.zeros(2, 5, dtype=torch.bool)
    segments = torch.tensor([[-1, -1, 4, 4, -1]])
    for mask in (masks.padded_mask(present, 5, 1), masks.packed_mask(segments, 1)):
        assert mask.diagonal(dim1=-2, dim2=-1).all()


def test_positions_of_padding_are_those_of_the_tokens_alone():
    present = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    assert masks.padded_positions(present).tolist() == [
        [0, 0, 0, 1, 2],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 2, 2],
    ]


def test_packed_positions_count_within_each_run():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 5, size=(3, 12))
    rows = [np.repeat(np.arange(12), n)[:12] for n in lengths]
    expected = [np.concatenate([np.arange(k) for k in n])[:12] for n in lengths]
    found = masks.packed_positions(torch.from_numpy(np.stack(rows)))
    assert found.tolist() == np.stack(expected).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 4), "n must not exceed m = 4, got 5"), ((2, 4, 0), "window must be at least 1, got 0")],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        masks.causal_mask(*arguments)
