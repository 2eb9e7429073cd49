"""The row kernel against torch.softmax in float64: on a GPU, else by Triton's interpreter."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

from rlcourse.systems.row_kernel import online_softmax_rows

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from rlcourse.systems.row_kernel import online_softmax_kernel as kernel

for scores in ("fp16", "fp32"):
    types = [f"*{scores}", "*i32", "*fp32", "i32", "fp32", "constexpr"]
    source = ASTSource(kernel, dict(zip(kernel.arg_names, types)), {(5,): 256})
    for sm in (80, 90):
        assert triton.compile(source, target=GPUTarget("cuda", sm, 32)).asm["cubin"]
"""


def drawn(n: int, m: int, size: float = 3.0) -> torch.Tensor:
    return size * torch.randn((n, m), generator=torch.Generator().manual_seed(n)).to(DEVICE)


def lengths_of(*lengths: int) -> torch.Tensor:
    return torch.tensor(lengths, dtype=torch.int32, device=DEVICE)


def exact(s: torch.Tensor, lengths: torch.Tensor, scale: float) -> torch.Tensor:
    seen = torch.arange(s.shape[1], device=s.device) < lengths[:, None]
    x = torch.where(seen, scale * s.double(), -torch.inf)
    return torch.softmax(x, -1).nan_to_num(0.0)


@pytest.mark.parametrize("block", [1, 2, 8, 16])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_rows_of_any_length_are_the_softmax_of_what_they_see(kind: torch.dtype, block: int) -> None:
    s, lengths = drawn(5, 13).to(kind), lengths_of(13, 0, 1, 8, 5)
    for row, length in zip(s, lengths, strict=True):
        row[length:] = torch.nan
    p = online_softmax_rows(s, lengths, 0.7, block)
    assert p.dtype == torch.float32
    torch.testing.assert_close(p.double(), exact(s, lengths, 0.7), atol=5e-7, rtol=0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_maximum_may_come_first_or_last(sign: int) -> None:
    steps = torch.arange(-6.0, 7.0, device=DEVICE)
    s = sign * torch.stack([steps, 1000 * steps])  # exact in float32
    p = online_softmax_rows(s, lengths_of(13, 13), 0.5, 4)
    torch.testing.assert_close(p.double(), exact(s, lengths_of(13, 13), 0.5), atol=5e-7, rtol=0)


def test_hidden_scores_weigh_nothing_and_a_row_of_them_is_zero() -> None:
    s = drawn(3, 10)
    s[0, :4] = s[1] = s[2, 9] = -torch.inf
    lengths = lengths_of(10, 10, 10)
    p = online_softmax_rows(s, lengths, 1.3, 2)
    torch.testing.assert_close(p.double(), exact(s, lengths, 1.3), atol=5e-7, rtol=0)
    assert not p[1].any()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_no_rows_and_no_keys_make_no_work(shape: tuple[int, int]) -> None:
    p = online_softmax_rows(drawn(*shape), lengths_of(*[0] * shape[0]), 1.0, 8)
    assert p.shape == shape


@pytest.mark.parametrize("odd", [-1, 6])
def test_a_length_that_is_none_of_the_row_is_refused(odd: int) -> None:
    with pytest.raises(ValueError, match=rf"lengths must lie in \[0, 5\], got \[5, {odd}\]"):
        online_softmax_rows(drawn(2, 5), lengths_of(5, odd), 1.0, 4)


def test_the_kernel_compiles_for_two_architectures_without_a_gpu() -> None:
    clean = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILE], env=clean, check=True)
