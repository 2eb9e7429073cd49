"""What a token weighs: by hand, and the same however a batch is cut."""

import pytest
import torch

from rlcourse.alignment.aggregation import WAYS, token_weights

MASK = torch.tensor([[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]]).bool()


@pytest.mark.parametrize(
    ("way", "weights"),
    [
        ("token mean", [1 / 7, 1 / 7, 0, 1 / 7]),
        ("sequence mean", [1 / 9, 1 / 3, 0, 1 / 9]),
        ("constant", [1 / 30, 1 / 30, 0, 1 / 30]),
    ],
)
def test_the_weights_of_each_response_by_hand(way, weights):
    expected = torch.tensor(weights, dtype=torch.float64)[:, None] * MASK
    torch.testing.assert_close(token_weights(MASK, way, 10), expected)


def test_means_weigh_1_in_all():
    for way in ("token mean", "sequence mean"):
        assert float(token_weights(MASK, way).sum()) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("way", WAYS)
def test_padding_and_an_empty_response_change_nothing(way):
    wider = torch.nn.functional.pad(MASK[[0, 1, 3]], (2, 3))
    found = token_weights(wider, way, 10)[:, 2:6]
    torch.testing.assert_close(found, token_weights(MASK, way, 10)[[0, 1, 3]], rtol=0, atol=0)


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match=r"way must be one of .*, got 'mean'"):
        token_weights(MASK, "mean")
    with pytest.raises(ValueError, match="length must be given"):
        token_weights(MASK, "constant")
    with pytest.raises(ValueError, match="length must be"):
        token_weights(MASK, "constant", 0)
    for way in WAYS:
        with pytest.raises(ValueError, match="mask must have a token, got none"):
            token_weights(MASK & ~MASK, way, 10)
