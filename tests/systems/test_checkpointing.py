"""The formulas of checkpointing against schedules carried out, enumeration and autograd."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems import checkpointing as c


@pytest.mark.parametrize("layers", range(1, 14))
def test_the_peak_of_segments_is_that_of_the_schedule(layers: int) -> None:
    for parts, (state, tape) in product(range(1, layers + 1), [(1, 1), (2, 7), (5, 1)]):
        schedule = schedules.segments(layers, parts)
        found = schedules.run(schedule, [1] * layers, [state] * layers, [tape] * layers)
        assert c.segment_peak(layers, parts, state, tape) == found.peak


def test_the_best_number_of_parts_is_near_the_root() -> None:
    for layers, (state, tape) in product((1, 9, 64, 100), [(1, 0), (1, 15), (4, 1)]):
        found = c.best_parts(layers, state, tape)
        peaks = [c.segment_peak(layers, k, state, tape) for k in range(1, layers + 1)]
        assert found == int(np.argmin(peaks)) + 1
        root = (layers * (state + tape) / state) ** 0.5
        assert peaks[found - 1] <= (2 * root + 1) * state + tape
    assert c.best_parts(64, 1, 0) == 8


def test_a_layer_more_is_worth_a_binomial_of_forwards() -> None:
    # with c states and r repetitions just C(c + r, c) layers are reached: 3 and 2 give 10
    assert [c.revolve_forwards(n, 3) for n in (1, 2, 4, 5, 10, 11)] == [0, 1, 3, 5, 15, 18]
    assert [c.revolve_forwards(n, 1) for n in range(1, 6)] == [0, 1, 3, 6, 10]
    assert [c.revolve_forwards(n, 99) for n in range(1, 6)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(8))
def test_the_knapsack_saves_as_much_as_the_best_of_all_subsets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds, sizes = (rng.integers(0, 9, 8) for _ in range(2))
    subsets = [np.array(bits, bool) for bits in product((0, 1), repeat=8)]
    for budget in range(0, int(sizes.sum()) + 3, 3):
        kept = c.knapsack(seconds.tolist(), sizes.tolist(), budget)
        best = max(int(seconds[s].sum()) for s in subsets if sizes[s].sum() <= budget)
        assert kept == sorted(set(kept))
        assert sizes[kept].sum() <= budget
        assert seconds[kept].sum() == best


def test_weighted_parts_have_the_gradient_of_the_whole_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, dtype=torch.float64, generator=generator).requires_grad_()
    x = torch.randn(11, 4, dtype=torch.float64, generator=generator)
    y = torch.randint(6, (11,), generator=generator)
    y[[0, 7]] = -100  # tokens that don't count
    (expected,) = torch.autograd.grad(F.cross_entropy(x @ weight.T, y), weight)
    parts = [slice(0, 2), slice(2, 7), slice(7, 11)]
    shares = c.accumulation_weights([int((y[part] != -100).sum()) for part in parts])
    for part, share in zip(parts, shares, strict=True):
        torch.autograd.backward(share * F.cross_entropy(x[part] @ weight.T, y[part]))
    torch.testing.assert_close(weight.grad, expected, rtol=1e-12, atol=1e-15)


def test_wrong_sizes_are_refused() -> None:
    for parts in (0, 5):
        with pytest.raises(ValueError, match="parts"):
            c.segment_peak(4, parts, 1, 1)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="layers"):
            c.segment_peak(wrong, 1, 1, 1)
        with pytest.raises(ValueError, match="layers"):
            c.best_parts(wrong, 1, 1)
        with pytest.raises(ValueError, match="states"):
            c.revolve_forwards(3, wrong)
        with pytest.raises(ValueError, match="layers"):
            c.revolve_forwards(wrong, 2)
    with pytest.raises(ValueError, match="got -1"):
        c.knapsack([1, 2], [3, -1], 5)
    with pytest.raises(ValueError, match="got -2"):
        c.knapsack([1, 2], [3, 1], -2)
    with pytest.raises(ValueError, match="got 2 and 3"):
        c.knapsack([1, 2], [3, 1, 1], 4)
    for tokens in ([], [0, 0], [3, -1], [-2, 2]):
        with pytest.raises(ValueError, match="tokens"):
            c.accumulation_weights(tokens)
