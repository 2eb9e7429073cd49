"""Networks of B independent learners, in one batched product.

A layer of one learner is x W + b. Of B learners the weights get a leading axis, and one product of
(B, N, in) and (B, in, out) serves them all. They stay independent: no number of one learner enters
another's output, so the gradient of the *sum* of their losses holds for each learner the gradient
of its own. Adam works element by element, so one optimiser serves them too; only what is done by
norm, such as clipping, has to be done learner by learner.

    net = uniform_mlp([4, 64, 64, 2], B, generator=generator)
    optimiser = torch.optim.Adam(tensors(net), 1e-3)
    losses = ((forward(net, x) - y) ** 2).mean((1, 2))      # (B,)
    losses.sum().backward()
    clip_gradients(tensors(net), 10.0)
    optimiser.step()

Shapes: B learners, N samples, H hidden width.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse import _check

Activation = Callable[[Tensor], Tensor]
HIDDEN_GAIN = 2**0.5


class Mlp(NamedTuple):
    """The layers of B multilayer perceptrons.

    weights  of each layer (B, in, out)
    biases   of each layer (B, 1, out)
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


# ------------------------------------------------------------------------------- beginnings


def uniform_mlp(
    sizes: Sequence[int],
    learners: int,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Mlp:
    """Weights and biases uniform in ±1/√in, as torch.nn.Linear's are.

    `sizes` are in, H, …, out. Raises ValueError for fewer than two sizes, or any below 1.
    """
    shapes = _shapes(sizes, learners)

    def draw(*shape: int, within: float) -> Tensor:
        return (torch.rand(shape, generator=generator, dtype=dtype) * 2 - 1) * within

    layers = [(draw(b, n, m, within=n**-0.5), draw(b, 1, m, within=n**-0.5)) for b, n, m in shapes]
    return _leaves(layers)


def orthogonal_mlp(
    sizes: Sequence[int],
    learners: int,
    *,
    last_gain: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Mlp:
    """Orthogonal weights, times √2 in hidden layers and times last_gain in the last; biases 0.

    A small last gain makes a policy's first probabilities almost equal. Raises as `uniform_mlp`.
    """
    shapes = _shapes(sizes, learners)
    gains = [HIDDEN_GAIN] * (len(shapes) - 1) + [last_gain]
    layers = [
        (gain * orthogonal(*shape, generator=generator, dtype=dtype),
         torch.zeros(shape[0], 1, shape[2], dtype=dtype))
        for gain, shape in zip(gains, shapes, strict=True)
    ]  # fmt: skip
    return _leaves(layers)


def orthogonal(
    learners: int, n: int, m: int, *, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    """Matrices (B, n, m), uniform among those whose rows or columns, the fewer, are orthonormal."""
    x = torch.empty(learners, n, m, dtype=dtype)
    for one in x:
        torch.nn.init.orthogonal_(one, generator=generator)
    return x


def _shapes(sizes: Sequence[int], learners: int) -> list[tuple[int, int, int]]:
    if len(sizes) < 2:
        raise ValueError(f"sizes must hold the input's and the output's, got {list(sizes)}")
    for size in sizes:
        _check.positive_integer("sizes", size)
    b = _check.positive_integer("learners", learners)
    return [(b, n, m) for n, m in pairwise(sizes)]


def _leaves(layers: list[tuple[Tensor, Tensor]]) -> Mlp:
    weights, biases = zip(*layers, strict=True)
    return Mlp(
        tuple(x.requires_grad_() for x in weights), tuple(x.requires_grad_() for x in biases)
    )


# ------------------------------------------------------------------------------- use


def forward(net: Mlp, x: Tensor, activation: Activation = torch.relu) -> Tensor:
    """Each learner's outputs (B, N, out) for its own inputs x (B, N, in).

    An activation follows each layer but the last.
    """
    *hidden, last = zip(net.biases, net.weights, strict=True)
    for bias, weight in hidden:
        x = activation(torch.baddbmm(bias, x, weight))
    bias, weight = last
    return torch.baddbmm(bias, x, weight)


def tensors(net: Mlp) -> list[Tensor]:
    """All weights, then all biases: what an optimiser takes, and a checkpoint saves."""
    return [*net.weights, *net.biases]


def from_tensors(parts: Sequence[Tensor]) -> Mlp:
    """The network whose `tensors` these are."""
    half = len(parts) // 2
    return Mlp(tuple(parts[:half]), tuple(parts[half:]))


def copy_of(net: Mlp) -> Mlp:
    """The same numbers in new tensors that need no gradient: a target network, a snapshot."""
    return from_tensors([x.detach().clone() for x in tensors(net)])


def of_learners(net: Mlp, which: slice) -> Mlp:
    """The networks of some learners only, in new tensors that need gradients."""
    return from_tensors([x.detach()[which].clone().requires_grad_() for x in tensors(net)])


def clip_gradients(parts: Iterable[Tensor], most: float) -> Tensor:
    """Scale each learner's gradient to a norm of at most `most`; the norms before it, (B,).

    `parts` all have the learners as leading axis: `tensors(net)`, of several nets together where
    they share one norm. In place; learner by learner it is torch.nn.utils.clip_grad_norm_.
    """
    grads = [x.grad for x in parts if x.grad is not None]
    norms: Tensor = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in grads], 1), dim=1)
    scale = (most / (norms + 1e-6)).clamp(max=1.0)
    for g in grads:
        g.mul_(scale.reshape(-1, *[1] * (g.ndim - 1)))
    return norms
