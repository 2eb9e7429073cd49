"""What a layer does to each number by itself: activation functions, their slopes, and SwiGLU.

    ReLU    max(z, 0)
    GELU    z Φ(z), Φ the normal distribution function        (eq-activations)
    Swish   z σ(z), also called SiLU
    SwiGLU  silu(W_gate x) · W_up x, a product of two views of x                    (eq-swiglu)

Sources: Hendrycks and Gimpel (2016); Ramachandran et al. (2017); Shazeer (2020).
"""

from torch import Tensor
from torch.nn import functional as F


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """W_down (silu(W_gate x) · W_up x), silu(z) = z / (1 + exp(-z))  (eq-swiglu).

    x (..., C), w_gate and w_up (hidden, C), w_down (C, hidden) -> (..., C).
    """
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)
