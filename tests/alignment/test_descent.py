"""The order of samples, the check and the step down, against steps taken by hand."""

import copy
import itertools

import pytest
import torch
from torch import nn

from rlcourse.alignment.descent import batches, descend, finite
from rlcourse.language.training import Settings, adamw, learning_rate


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


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[3.0, -2.0]], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))


SETTINGS = Settings(steps=10, rate=0.1, warm_up=4, decay=0.5, betas=(0.8, 0.9), most=2.0)


@pytest.mark.parametrize(("scale", "kept"), [(1.0, 2 / 13), (0.01, 1.0)])
def test_a_step_is_adamws_with_a_long_gradient_shortened(scale, kept):
    model, rate = Line(), learning_rate(2, SETTINGS)
    slopes = {"matrix": scale * torch.tensor([[3.0, -4.0]]), "bias": scale * torch.tensor([12.0])}
    before = copy.deepcopy(model.state_dict())
    for name, p in model.named_parameters():
        p.grad = slopes[name].double()
    length = descend(model, adamw(model, SETTINGS), SETTINGS, 2)
    assert length == pytest.approx(13 * scale)
    assert rate == pytest.approx(0.1 * 3 / 4)
    for name, p in model.named_parameters():
        g = kept * slopes[name].double()  # the first moments, corrected, are g and its square
        decayed = before[name] * (1 - rate * (0.5 if name == "matrix" else 0))
        expected = decayed - rate * g / (g.abs() + 1e-8)
        torch.testing.assert_close(p.data, expected, rtol=1e-6, atol=0)
        assert p.grad is None


def test_a_step_goes_down_the_rate_of_its_number():
    model = Line()
    optimiser = adamw(model, SETTINGS)
    for step in (0, 5, 9):
        model.matrix.grad, model.bias.grad = torch.ones(1, 2).double(), torch.ones(1).double()
        descend(model, optimiser, SETTINGS, step)
        rates = {group["lr"] for group in optimiser.param_groups}
        assert rates == {learning_rate(step, SETTINGS)}
