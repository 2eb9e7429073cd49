"""SwiGLU against its definition with exponentials."""

import pytest
import torch
from torch.nn import functional as F

from rlcourse.language import activations
from rlcourse.language.activations import swiglu


def test_swiglu_is_a_gate_times_a_view():
    g = torch.Generator().manual_seed(0)
    x, gate, up, down = (
        torch.randn(*shape, generator=g, dtype=torch.float64)
        for shape in ((4, 3), (5, 3), (5, 3), (3, 5))
    )
    z = x @ gate.T
    expected = (z / (1 + torch.exp(-z)) * (x @ up.T)) @ down.T
    assert torch.allclose(swiglu(x, gate, up, down), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("function", "slope", "theirs"),
    [
        (activations.relu, activations.relu_slope, F.relu),
        (activations.gelu, activations.gelu_slope, F.gelu),
        (activations.swish, activations.swish_slope, F.silu),
    ],
)
def test_values_are_pytorchs_and_slopes_those_of_autograd(function, slope, theirs):
    z = torch.linspace(-9, 9, 91, dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(function(z), theirs(z), rtol=1e-12, atol=1e-14)
    (g,) = torch.autograd.grad(theirs(z).sum(), z)
    torch.testing.assert_close(slope(z.detach()), g, rtol=1e-12, atol=1e-14)
