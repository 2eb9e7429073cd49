"""The softmax kernels against torch's: on a GPU, else by Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton")

from rlcourse.systems import gpu_softmax as module
from rlcourse.systems.gpu_softmax import gpu_softmax

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(DEVICE)


@pytest.mark.parametrize(
    "shape", [(3, 5), (7, 100), (2, 3, 17), (1, 40000), (4, 1), (0, 3)], ids=str
)
def test_rows_and_their_gradients_are_those_of_torch(shape: tuple[int, ...]) -> None:
    x, up = normal(*shape), normal(*shape).flip(0)
    mine, torchs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = gpu_softmax(mine), torch.softmax(torchs, -1)
    torch.testing.assert_close(y, z, atol=2e-7, rtol=0)
    y.backward(up)
    z.backward(up)
    torch.testing.assert_close(mine.grad, torchs.grad, atol=5e-7, rtol=0)


@pytest.mark.parametrize("held", [64, 16])
def test_a_row_longer_than_a_block_is_walked_over_twice(
    held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD", held)
    x = 30 * normal(3, 200)
    x[1, :100] = -torch.inf
    torch.testing.assert_close(gpu_softmax(x), torch.softmax(x, -1), atol=1e-6, rtol=0)


def test_large_scores_neither_overflow_nor_vanish() -> None:
    x = torch.tensor([[1e4, 1e4, -1e4], [-1e4, -1e4 + 1, -3e4]], device=DEVICE)
    torch.testing.assert_close(gpu_softmax(x), torch.softmax(x, -1), atol=1e-6, rtol=0)


def test_a_row_that_sees_nothing_is_zero() -> None:
    x = torch.full((2, 9), -torch.inf, device=DEVICE)
    x[1, 3] = 0
    assert torch.equal(gpu_softmax(x)[0], torch.zeros(9, device=DEVICE))
    assert gpu_softmax(x)[1, 3] == 1


def test_strided_rows_and_float16() -> None:
    x = normal(6, 64)[:, ::2]
    torch.testing.assert_close(gpu_softmax(x), torch.softmax(x, -1), atol=2e-7, rtol=0)
    half = normal(5, 33).half()
    found = gpu_softmax(half)
    assert found.dtype == torch.float16
    assert (found.float() - torch.softmax(half.float(), -1)).abs().max() < 5e-4


def test_what_has_no_kernel_is_named() -> None:
    with pytest.raises(ValueError, match="x must have an axis"):
        gpu_softmax(torch.tensor(1.0, device=DEVICE))
    with pytest.raises(ValueError, match=r"must be of .* got torch.float64"):
        gpu_softmax(normal(2, 3).double())
