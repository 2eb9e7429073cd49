"""What a layer does to each number by itself: activation functions, their slopes, and SwiGLU.

    ReLU    max(z, 0)
    GELU    z Φ(z), Φ the normal distribution function        (eq-activations)
    Swish   z σ(z), also called SiLU
    SwiGLU  silu(W_gate x) · W_up x, a product of two views of x                    (eq-swiglu)

Where z is large and positive all of them are z, where it is large and negative all are 0; GELU and
Swish dip below 0 in between, and their slope has no step.

Sources: Hendrycks and Gimpel (2016); Ramachandran et al. (2017); Shazeer (2020).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def relu(z: Tensor) -> Tensor:
    """max(z, 0), element by element  (eq-activations)."""
    return z.clamp(min=0)


def relu_slope(z: Tensor) -> Tensor:
    """1 where z > 0, else 0; at the kink itself 0, as autograd has it."""
    return (z > 0).to(z.dtype)


def normal_cdf(z: Tensor) -> Tensor:
    """Φ(z) = (1 + erf(z / √2)) / 2."""
    return (1 + torch.erf(z / math.sqrt(2))) / 2


def gelu(z: Tensor) -> Tensor:
    """z Φ(z), element by element  (eq-activations)."""
    return z * normal_cdf(z)


def gelu_slope(z: Tensor) -> Tensor:
    """Φ(z) + z φ(z), φ the normal density."""
    return normal_cdf(z) + z * torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def swish(z: Tensor) -> Tensor:
    """z σ(z) = z / (1 + exp(-z)), element by element  (eq-activations)."""
    return z * torch.sigmoid(z)


def swish_slope(z: Tensor) -> Tensor:
    """σ(z) (1 + z (1 - σ(z)))."""
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """W_down (silu(W_gate x) · W_up x), silu(z) = z / (1 + exp(-z))  (eq-swiglu).

    x (..., C), w_gate and w_up (hidden, C), w_down (C, hidden) -> (..., C).
    """
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)
