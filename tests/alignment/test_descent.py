"""The order of samples, the check and the step down, against steps taken by hand."""

import copy
import itertools

import pytest
import torch
from torch import nn

from rlcourse.alignment.descent import batches, descend, finite
from rlcourse.language.training import Settings


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def first(count, size, number, seed=0):
    found = itertools.islice(batches(count, size, generator=generator(seed)), number)
    return [row.tolist() for row in found]


def test_an_epoch_shows_each_sample_at_most_once_and_leaves_less_than_a_batch():
    rows = first(11, 3, 12)
    for start in range(0, 12, 3):
        epoch = [*itertools.chain(*rows[start : start + 3])]
        assert len({*epoch}) == 9
        assert {*epoch} <= {*range(11)}


def test_each_epoch_has_another_order():
    rows = first(8, 4, 6)
    epochs = [rows[i] + rows[i + 1] for i in (0, 2, 4)]
    assert [sorted(epoch) for epoch in epochs] == [[*range(8)]] * 3
    assert len({*map(tuple, epochs)}) == 3


def test_every_sample_is_used_as_often_in_the_long_run():
    counts = torch.bincount(torch.tensor(first(7, 3, 4000)).flatten())
    assert len(counts) == 7
    assert (counts / counts.sum() * 7 - 1).abs().max() < 0.05


def test_one_generator_gives_one_order():
    assert first(9, 2, 10) == first(9, 2, 10)
    assert first(9, 2, 10) != first(9, 2, 10, seed=1)


def test_fewer_samples_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="samples must be at least 4, a batch, got 3"):
        next(batches(3, 4, generator=generator()))


def test_a_loss_that_is_no_number_says_its_step():
    assert finite(torch.tensor(1.5, requires_grad=True), 3) == 1.5
    for bad in (torch.nan, torch.inf, -torch.inf):
        with pytest.raises(FloatingPointError, match="the loss is no number at step 7"):
            finite(torch.tensor(bad), 7)


SETTINGS = Settings(steps=10, rate=0.1, warm_up=4, last=0.1, most=2.0)


def row(*values):
    return torch.tensor(values, dtype=torch.float64)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(row(3.0, -2.0)[None])
        self.bias = nn.Parameter(row(0.5))


@pytest.mark.parametrize(("scale", "kept"), [(1.0, 2 / 13), (0.01, 1.0)])
@pytest.mark.parametrize(("step", "rate"), [(0, 0.025), (2, 0.075), (4, 0.1), (7, 0.055)])
def test_a_step_goes_down_its_rate_along_a_gradient_that_is_shortened(scale, kept, step, rate):
    model = Line()
    slopes = {"matrix": scale * row(3.0, -4.0)[None], "bias": scale * row(12.0)}
    before = copy.deepcopy(model.state_dict())
    for name, p in model.named_parameters():
        p.grad = slopes[name].clone()
    optimiser = torch.optim.SGD([{"params": [p]} for p in model.parameters()], 1e3)
    assert descend(model, optimiser, SETTINGS, step) == pytest.approx(13 * scale)
    for name, p in model.named_parameters():
        expected = before[name] - rate * kept * slopes[name]
        torch.testing.assert_close(p.data, expected, rtol=1e-6, atol=0)
        assert p.grad is None
