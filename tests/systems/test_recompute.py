"""Recomputed layers have the ordinary gradients, bit for bit, and save their input alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from rlcourse.systems import checkpoint_schedules as schedules
from rlcourse.systems.recompute import backpropagate, recomputed


def layer(seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    found = nn.Sequential(nn.Linear(5, 9), nn.GELU(), nn.Dropout(0.4), nn.Linear(9, 5))
    for p in found.parameters():
        nn.init.normal_(p, generator=generator)
    return found.double()


def trained(how: Callable[[nn.Module, Tensor], Tensor]) -> list[Tensor]:
    """Output, gradients and the state of the generator afterwards."""
    torch.manual_seed(3)
    f, x = layer(), torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(4, 5).requires_grad_()
    y = how(f, x)
    torch.autograd.backward(y.square().sum())
    assert x.grad is not None
    return [y.detach(), x.grad, *(p.grad for p in f.parameters()), torch.get_rng_state()]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "how",
    [
        lambda f, x: recomputed(f, x),
        lambda f, x: recomputed(lambda z: recomputed(f, z), x),
        lambda f, x: checkpoint(f, x, use_reentrant=False),
    ],
    ids=["recomputed", "nested", "PyTorch's"],
)
def test_a_recomputed_layer_draws_the_same_and_has_the_same_gradients(
    how: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    for found, expected in zip(trained(how), trained(lambda f, x: f(x)), strict=True):
        assert torch.equal(found, expected)


def test_a_generator_of_its_own_is_set_back_and_then_left_as_it_was() -> None:
    def run(wrap: bool) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1)

        def f(x: Tensor) -> Tensor:
            return x * torch.rand(x.shape, generator=generator)

        x = torch.ones(6, requires_grad=True)
        y = recomputed(f, x, generators=[generator]) if wrap else f(x)
        torch.rand(3, generator=generator)  # drawn between forward and backward
        y.sum().backward()
        assert x.grad is not None
        return x.grad, torch.rand(2, generator=generator)

    for found, expected in zip(run(True), run(False), strict=True):
        assert torch.equal(found, expected)


def test_forgetting_the_generator_would_show() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.ones(6, requires_grad=True)
    y = recomputed(lambda z: z * torch.rand(6, generator=generator), x)
    y.sum().backward()
    assert not torch.equal(x.grad, y)  # type: ignore[arg-type]


def test_only_the_input_is_saved() -> None:
    saved: list[Tensor] = []

    def pack(t: Tensor) -> Tensor:
        saved.append(t)
        return t

    x = torch.ones(4, 5, dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        recomputed(layer(), x)
    assert [t.data_ptr() for t in saved] == [x.data_ptr()]


def test_weights_learn_where_no_input_needs_a_gradient() -> None:
    f = layer()
    recomputed(f, torch.ones(4, 5, dtype=torch.float64)).sum().backward()
    assert all(p.grad is not None for p in f.parameters())


def test_a_list_of_outputs_is_refused() -> None:
    with pytest.raises(TypeError, match="a tensor or a tuple, got list"):
        recomputed(lambda x: [x, x], torch.ones(2, requires_grad=True))


def test_several_inputs_and_outputs_pass_through() -> None:
    a, b = (torch.tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
    product, _, whole = recomputed(lambda x, y: (x * y, x + y, torch.tensor([1, 2])), a, b)
    assert whole.tolist() == [1, 2]
    product.sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [2.0, 3.0]


def test_mixed_precision_is_that_of_the_forward_pass() -> None:
    weight = torch.ones(4, 4, requires_grad=True)
    seen: list[torch.dtype] = []

    def f(x: Tensor) -> Tensor:
        y = F.linear(x, weight)
        seen.append(y.dtype)
        return y

    with torch.autocast("cpu", torch.bfloat16):
        y = recomputed(f, torch.ones(2, 4, requires_grad=True))
    y.float().sum().backward()
    assert seen == [torch.bfloat16] * 2


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.store_all(7),
        schedules.recompute_all(7),
        schedules.segments(7, 3),
        schedules.recursive(7),
        schedules.revolve(7, 2),
    ],
    ids=["store all", "recompute all", "segments", "recursive", "revolve"],
)
def test_a_schedule_on_real_layers_has_the_ordinary_gradients(
    schedule: schedules.Schedule,
) -> None:
    layers = [layer(seed).eval() for seed in range(7)]
    x = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(2, 5).requires_grad_()
    expected = nn.Sequential(*layers)(x).square().sum()
    weights = [p for f in layers for p in f.parameters()]
    wanted = torch.autograd.grad(expected, [x, *weights])
    loss, gradient = backpropagate(schedule, layers, x, lambda y: y.square().sum())
    assert torch.equal(loss, expected.detach())
    for found, known in zip([gradient, *(p.grad for p in weights)], wanted, strict=True):
        assert torch.equal(found, known)  # type: ignore[arg-type]


def test_a_schedule_without_a_backward_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule"):
        backpropagate([], [], torch.ones(1), torch.sum)
