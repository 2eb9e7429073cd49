"""The counter against sequences whose bytes are known, and against PyTorch's own profiler."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from rlcourse.systems.memory_counter import MemoryCounter, storage_bytes

N = 1000  # elements, so 4000 bytes in float32


def counted(run: Callable[[], object]) -> MemoryCounter:
    counter = MemoryCounter()
    with counter:
        run()
    return counter


def test_what_is_alive_and_what_was_most_are_told_apart() -> None:
    with MemoryCounter() as counter:
        a = torch.zeros(N)
        b = a + 1
        assert (counter.live, counter.peak) == (8000, 8000)
        del a
        assert (counter.live, counter.peak) == (4000, 8000)
        c = b.double()
        assert (counter.live, counter.peak) == (12000, 12000)
    del b, c
    assert (counter.live, counter.peak) == (0, 12000)


def test_a_temporary_counts_while_it_lives() -> None:
    x = torch.zeros(N)
    assert counted(lambda: (x + 1) * 2).peak == 8000
    assert counted(lambda: (x + 1).mul_(2)).peak == 4000


@pytest.mark.parametrize(
    "view", [lambda x: x[3:], lambda x: x.view(10, -1).mT, lambda x: x.expand(5, N), Tensor.detach]
)
def test_a_view_costs_nothing_and_keeps_the_whole_alive(view: Callable[[Tensor], Tensor]) -> None:
    with MemoryCounter() as counter:
        a = torch.zeros(N)
        v = view(a)
        assert counter.live == 4000
        del a
        assert counter.live == 4000
        del v
        assert counter.live == 0


def test_writing_into_a_tensor_costs_nothing() -> None:
    x, out = torch.ones(N), torch.empty(N)
    assert counted(lambda: x.mul_(3).add_(1).relu_()).peak == 0
    assert counted(lambda: torch.add(x, 1, out=out)).peak == 0


def test_an_output_that_must_grow_counts_by_its_growth() -> None:
    x = torch.ones(N)
    with MemoryCounter() as counter:
        out = torch.empty(0)
        torch.add(x, 1, out=out)
        assert counter.live == 4000
        out.resize_(3 * N)
        assert counter.live == 12000


def test_numbers_given_one_by_one_count() -> None:
    with MemoryCounter() as counter:
        x = torch.tensor([1.0, 2.0, 3.0])
        y = torch.tensor(0.5, dtype=torch.float64)
        assert (x.numel(), y.numel(), counter.live) == (3, 1, 20)


def test_what_was_there_before_counts_when_it_is_added_and_once() -> None:
    x = torch.ones(N)
    with MemoryCounter() as counter:
        assert (x.t().shape, counter.live) == ((N,), 0)
        counter.add([x, x[5:]])
        assert counter.live == 4000
    del x
    assert counter.live == 0


def test_the_operation_at_the_peak_is_named() -> None:
    x = torch.ones(N)
    counter = counted(lambda: (x + 1, torch.sqrt(x).double().sum()))
    assert (counter.peak, counter.owner) == (4000 + 4000 + 8000, "aten._to_copy.default")
    assert counted(lambda: x.add_(1)).owner == ""


def test_a_mark_begins_a_new_peak_from_what_is_alive() -> None:
    x = torch.ones(N)
    with MemoryCounter() as counter:
        kept = x + 1
        (x + 1) * 2
        assert counter.mark() == 12000
        assert counter.peak == 4000
        assert counter.mark() == 4000
        assert kept.numel() == N


def test_the_backward_pass_is_counted() -> None:
    x = torch.ones(N, requires_grad=True)
    with MemoryCounter() as counter:
        y = x.exp().exp()  # both exp's save their output
        assert counter.live == 8000
        torch.autograd.backward(y.sum())
        assert counter.live == 4000 + 4000  # y is still held, and a gradient has come
        del y
    assert counter.live == storage_bytes([x.grad]) == 4000  # type: ignore[list-item]


def test_storage_that_is_shared_counts_once() -> None:
    x = torch.ones(N)
    assert storage_bytes([x, x[1:], x.view(10, -1), torch.ones(7)]) == 4028


def test_the_profiler_sees_the_same_peak() -> None:
    """The profiler hooks the allocator itself, below every operation; a CPU's rounds nothing."""
    w = torch.randn(48, 32, requires_grad=True)
    x = torch.randn(20, 32)

    def step() -> None:
        torch.autograd.backward(F.silu(F.rms_norm(x @ w.mT, (48,))).square().sum())
        w.grad = None

    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    totals, live = [0], 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            totals.append(live)
    assert counted(step).peak == max(totals)
