"""The Triton kernels against the reference: on a GPU in full, else by Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton")
from attention_cases import CASES, Case, check

from rlcourse.systems.attention import attention_reference
from rlcourse.systems.gpu_attention import gpu_attention

# NumPy, in the interpreter, warns of what a mask then throws away
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# the interpreter's dot of bfloat16 is wrong
KINDS = [torch.float32, torch.float16, *([torch.bfloat16] if DEVICE == "cuda" else [])]


@pytest.mark.parametrize("dtype", KINDS, ids=lambda t: str(t).removeprefix("torch."))
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_kernels_are_as_exact_as_may_be_asked(case: Case, dtype: torch.dtype) -> None:
    check(gpu_attention, case, dtype, DEVICE)


def draw(n: int = 40, m: int = 50, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (1, 4, n, 16), (1, 2, m, 16), (1, 2, m, 16)
    return [torch.randn(s, generator=generator).to(DEVICE, dtype) for s in shapes]


@pytest.mark.parametrize("scale", [-0.7, 0.0])
def test_a_scale_may_be_negative_or_zero(scale: float) -> None:
    q, k, v = (x.requires_grad_() for x in draw())
    grads = []
    for f in (gpu_attention, attention_reference):
        o = f(q, k, v, scale=scale, causal=True)
        grads.append((o, *torch.autograd.grad(o.sum(), (q, k, v))))
    for mine, right in zip(*grads, strict=True):
        torch.testing.assert_close(mine, right, atol=2e-5, rtol=0)


def test_a_pack_of_no_sequence_is_padding_alone() -> None:
    q, k, v = draw()
    none = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    assert not gpu_attention(q, k, v, cu_seqlens=(none, none)).any()


def test_torch_takes_it_for_an_operator_of_its_own() -> None:
    q, k, v = (x.requires_grad_() for x in draw())
    sinks = torch.zeros(4, device=DEVICE, requires_grad=True)
    arguments = (q, k, v, 0.25, 6, 0, 2.0, None, sinks, None, None)
    found = torch.library.opcheck(torch.ops.rlcourse.flash_attention, arguments)
    assert set(found.values()) == {"SUCCESS"}


def test_it_works_under_compile_without_a_break_in_the_graph() -> None:
    q, k, v = (x.requires_grad_() for x in draw())
    compiled = torch.compile(
        lambda *x: 2 * gpu_attention(*x, causal=True), fullgraph=True, backend="aot_eager"
    )
    mine = compiled(q, k, v)
    right = 2 * attention_reference(q, k, v, causal=True)
    torch.testing.assert_close(mine, right, atol=2e-5, rtol=0)
    for a, b in zip(
        *(torch.autograd.grad(o.square().sum(), (q, k, v)) for o in (mine, right)), strict=True
    ):
        torch.testing.assert_close(a, b, atol=5e-5, rtol=0)


def test_what_has_no_kernel_is_named() -> None:
    with pytest.raises(ValueError, match=r"q must be of .* got torch.float64"):
        gpu_attention(*(x.double() for x in draw()))
    with pytest.raises(ValueError, match="q must have a head dimension of at most 256, got 320"):
        gpu_attention(*(x.repeat(1, 1, 1, 20) for x in draw()))
