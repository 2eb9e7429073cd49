"""PPO whose environments live where its network does: thousands of carts as tensors on one device.

What limits `ppo.learn` is that each step goes from the network to NumPy and back. Here nothing
leaves the device: a step of n carts is a few dozen elementwise kernels, whatever n is, and T steps
can be recorded once as a CUDA graph and replayed. The losses are those of `ppo_losses`, the
advantages those of `generalized_advantage`; there is one learner, B = 1.

Shapes: n environments, T steps, D observation size; N = T n samples.
Source: Rudin et al. (2022) and Makoviychuk et al. (2021) for the idea of physics and learner on one
device.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcourse.deep import cartpole
from rlcourse.deep.acting import Softmax
from rlcourse.deep.generalized_advantage import generalized_advantage
from rlcourse.deep.networks import clip_gradients, forward, from_tensors, orthogonal_mlp, tensors
from rlcourse.deep.ppo_losses import clipped_value_loss, normalised, ppo_loss


@dataclass(frozen=True)
class Settings:
    """As those of `ppo.Settings`, for large batches."""

    updates: int = 40
    n: int = 4096
    steps: int = 32
    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 0.99
    lam: float = 0.95
    rate: float = 2.5e-3
    epochs: int = 4
    minibatches: int = 4
    epsilon: float = 0.2
    value_weight: float = 0.5
    most: float = 0.5
    reward_scale: float = 0.05


class Carts(NamedTuple):
    """x (4, n), steps (n,) taken and `earned` (n,) in the running episodes; changed in place."""

    x: Tensor
    steps: Tensor
    earned: Tensor


class Rows(NamedTuple):
    """T steps of n environments: (T, n), and observations (T, n, D); flags are 0 or 1."""

    s: Tensor
    a: Tensor
    log_prob: Tensor
    s_next: Tensor
    terminated: Tensor
    truncated: Tensor
    ended: Tensor


def moved(x: Tensor, force: Tensor) -> Tensor:
    """`cartpole.moved` for tensors: the state (4, n) a step of 0.02 s later."""
    c = cartpole
    _, speed, angle, turn = x
    cos, sin = angle.cos(), angle.sin()
    push = (force + c.MASS_LENGTH * turn**2 * sin) / c.TOTAL_MASS
    inertia = c.HALF_LENGTH * (4.0 / 3.0 - c.MASS * cos**2 / c.TOTAL_MASS)
    turning = (c.GRAVITY * sin - cos * push) / inertia
    speeding = push - c.MASS_LENGTH * turning * cos / c.TOTAL_MASS
    return x + c.TAU * torch.stack([speed, speeding, turn, turning])


def first_states(n: int, generator: torch.Generator) -> Tensor:
    """First states (4, n), uniform in ±0.05."""
    u = torch.rand(4, n, generator=generator, device=generator.device)
    return (2 * u - 1) * cartpole.FIRST


class Learner:
    """One policy and n carts on the device of the generator."""

    def __init__(self, settings: Settings, *, generator: torch.Generator) -> None:
        x = self.settings = settings
        self.generator, device = generator, generator.device
        cpu = torch.Generator().manual_seed(generator.initial_seed())
        nets = [
            orthogonal_mlp([4, *x.hidden, out], 1, last_gain=gain, generator=cpu)
            for out, gain in ((2, 0.01), (1, 1.0))
        ]
        self.policy, self.value = (
            from_tensors([p.detach().to(device).requires_grad_() for p in tensors(net)])
            for net in nets
        )
        self.parts = [*tensors(self.policy), *tensors(self.value)]
        self.optimiser = torch.optim.Adam(self.parts, x.rate, eps=1e-5, fused=True)
        zeros = torch.zeros(x.n, device=device)
        self.carts = Carts(first_states(x.n, generator), zeros.clone(), zeros.clone())
        row = torch.zeros(x.steps, x.n, device=device)
        seen = torch.zeros(x.steps, x.n, 4, device=device)
        self.rows = Rows(
            seen, row.long(), row.clone(), seen.clone(), row.clone(), row.clone(), row.clone()
        )
        self.updates = 0

    @torch.no_grad()
    def collect(self) -> None:
        """T steps of all carts into `rows`, in place and without a word to the host."""
        for t in range(self.settings.steps):
            step(self.policy, self.carts, self.rows, t, self.generator)

    def update(self) -> float:
        """A few epochs on the rows; the mean return of the episodes that ended in them, or NaN."""
        x, rows = self.settings, self.rows
        for group in self.optimiser.param_groups:
            group["lr"] = x.rate * (1 - self.updates / x.updates)
        s, a, log_prob, advantage, target = self.samples()
        for _ in range(x.epochs):
            order = torch.randperm(len(a), generator=self.generator, device=a.device)
            for i in order.chunk(x.minibatches):
                pi = Softmax(forward(self.policy, s[None, i], torch.tanh))
                v = forward(self.value, s[None, i], torch.tanh)[..., 0]
                loss = ppo_loss(
                    pi.log_prob(a[None, i]), pi.entropy(),
                    clipped_value_loss(v, v, target[None, i], math.inf), log_prob[None, i],
                    normalised(advantage[None, i]), x.epsilon, x.value_weight, 0.0,
                )  # fmt: skip
                self.optimiser.zero_grad()
                torch.autograd.backward(loss.sum())
                clip_gradients(self.parts, x.most)
                self.optimiser.step()
        self.updates += 1
        over = rows.terminated + rows.truncated > 0
        earned, count = rows.ended.sum(), over.sum()
        last = float(earned / count)
        if not all(bool(torch.isfinite(p).all()) for p in self.parts):
            raise FloatingPointError(f"a parameter is not finite after update {self.updates - 1}")
        return last

    @torch.no_grad()
    def samples(self) -> tuple[Tensor, ...]:
        """Observations (N, D), actions, log-probabilities, advantages and targets (N,)."""
        x, rows = self.settings, self.rows
        v, v_next = (
            forward(self.value, y.flatten(0, 1)[None], torch.tanh).view_as(rows.log_prob)
            for y in (rows.s, rows.s_next)
        )
        gae: Any = generalized_advantage
        r = torch.full_like(v, x.reward_scale)
        advantage = gae(r, v, v_next, rows.terminated, rows.truncated, x.gamma, x.lam)
        flat = (rows.a, rows.log_prob, advantage, advantage + v)
        return rows.s.flatten(0, 1), *(y.flatten() for y in flat)


def step(
    policy: Any, carts: Carts, rows: Rows, t: int, generator: torch.Generator, limit: int = 500
) -> None:
    """One step of all carts, into row t; where an episode ends the next one begins."""
    s = carts.x.T
    pi = Softmax(forward(policy, s[None], torch.tanh))
    u = torch.rand(s.shape[:1], generator=generator, device=s.device)
    a = (u >= pi.logits[0].softmax(-1)[:, 0]).long()
    x = moved(carts.x, 20.0 * a - 10.0)
    carts.steps.add_(1)
    carts.earned.add_(1)
    terminated = (x[0].abs() > cartpole.TRACK) | (x[2].abs() > cartpole.LEAN)
    truncated = carts.steps >= limit
    over = terminated | truncated
    for column, new in zip(
        rows, (s, a, pi.log_prob(a[None])[0], x.T, terminated, truncated, carts.earned * over),
        strict=True,
    ):  # fmt: skip
        column[t].copy_(new)
    carts.x.copy_(torch.where(over, first_states(len(s), generator), x))
    carts.steps.mul_(~over)
    carts.earned.mul_(~over)


def captured(run: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
    """A CUDA graph of what `run` launches: replaying it costs one launch instead of thousands."""
    side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        run()
    return graph.replay
