"""SwiGLU against its definition with exponentials."""

import torch

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
