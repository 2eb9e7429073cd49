"""What the stages of ZeRO have in common: units that wait for gradients, Adam, the bytes held.

A training step of every stage is

    micro-batch   forward, backward; as soon as all gradients of a unit are there: `receive`
    step          `reduced` gradients -> clip -> Adam on what is `mine` -> `publish`

and a stage, a class of `rlcourse.systems.data_parallel`, fills in the words in quotes. Gradients
are summed over micro-batches and ranks; the loss is divided by their number before, so that the sum
is the mean. Shapes: W ranks; a unit of P parameters has a row (W s,), s = ⌈P/W⌉.
Sources: Loshchilov and Hutter (2019), AdamW; Micikevicius et al. (2018), master weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rlcourse._check import positive_integer
from rlcourse.language.numbers import wide
from rlcourse.systems.flat_unit import Ranks, Unit, units_of
from rlcourse.systems.zero import Recipe, States


class Precision(NamedTuple):
    """The types of weights, of gradients, and of moments and master weights."""

    weights: torch.dtype
    gradients: torch.dtype
    optimizer: torch.dtype

    @property
    def recipe(self) -> Recipe:
        """Bytes per parameter; a master weight is kept where the weight is of another type."""
        w, g, k = (kind.itemsize for kind in self)
        return Recipe(w, g, k if self.optimizer != self.weights else 0, 2 * k)


PRECISIONS = {
    "fp64 Adam": Precision(torch.float64, torch.float64, torch.float64),
    "fp32 Adam": Precision(torch.float32, torch.float32, torch.float32),
    "bf16 Adam": Precision(torch.bfloat16, torch.bfloat16, torch.float32),
    "bf16 Adam, fp32 gradients": Precision(torch.bfloat16, torch.float32, torch.float32),
    "pure bf16 Adam": Precision(torch.bfloat16, torch.bfloat16, torch.bfloat16),
}


class Adam(NamedTuple):
    """AdamW's constants. clip: a longer gradient of the whole model is shortened to that norm."""

    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 0.0
    clip: float | None = None

    def update(self, step: int, w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> None:
        """Moves w, m and v in place, all (s,), along gradient g in step number 1, 2, …"""
        beta1, beta2 = self.betas
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        spread = (v / (1 - beta2**step)).sqrt_().add_(self.eps)
        w.mul_(1 - self.rate * self.decay)
        w.addcdiv_(m, spread, value=-self.rate / (1 - beta1**step))


class ParallelTraining(ABC):
    """A model in training on the ranks of a group; each runs it on its own part of the batch."""

    stage: int

    def __init__(
        self,
        model: nn.Module,
        units: Sequence[nn.Module] = (),
        *,
        precision: str = "fp32 Adam",
        adam: Adam | None = None,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Prepares a model on its device, with the weights of the first rank.

        units: modules whose parameters travel together, in the order of the forward pass; what is
        in none of them is a unit of the model's own. precision: one of PRECISIONS. ValueError for
        another one, and for units that share a parameter with the rest of the model.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.precision, self.adam, self.steps = PRECISIONS[precision], adam or Adam(), 0
        self.ranks = Ranks(group)
        self.units = units_of(model, units, self.ranks)
        self.trained = [unit for unit in self.units if unit.trained.size]
        for unit in self.units:
            for row in unit.rows:
                row.agree()
            self.prepare(unit)

    @torch.no_grad()
    def prepare(self, unit: Unit) -> None:
        """Allocates what training keeps beside the weights, and casts these."""
        row, types = unit.trained, self.precision
        if row.size:
            whole = row.flatten(row.parameters)
            mine = self.mine(unit, whole).to(types.optimizer, copy=True)
            unit.master = mine if types.optimizer != types.weights else None
            unit.moments = torch.zeros_like(mine), torch.zeros_like(mine)
            unit.gradient = torch.zeros_like(self.kept(unit, whole), dtype=types.gradients)
        for p in row.parameters:
            p.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda _: self.arrive(unit)
            )
        for p in row.parameters + unit.frozen.parameters:
            p.data = p.data.to(types.weights)
        unit.waiting = len(row.parameters)

    def backward(self, loss: Tensor, micro_batches: int = 1) -> None:
        """Adds a micro-batch to the gradients: loss is the mean of this rank's part of it."""
        count = positive_integer("micro_batches", micro_batches) * self.ranks.size
        (loss / count).backward()  # type: ignore[no-untyped-call]
        for unit in self.units:
            if unit.waiting:  # for a parameter that the loss does not depend on
                self.finish(unit)
            unit.waiting = len(unit.trained.parameters)

    def arrive(self, unit: Unit) -> None:
        """A gradient that the unit waited for has come."""
        unit.waiting -= 1
        if not unit.waiting:
            self.finish(unit)

    def finish(self, unit: Unit) -> None:
        """The unit's backward pass is done: its gradients go where the stage keeps them."""
        row = unit.trained
        if row.size:
            self.receive(unit, row.flatten(p.grad for p in row.parameters))
        for p in row.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Moves the weights along the gradients, which are then 0 again."""
        gradients = [self.reduced(unit).to(self.precision.optimizer) for unit in self.trained]
        scale, self.steps = self.shortening(gradients), self.steps + 1
        for unit, g in zip(self.trained, gradients, strict=True):
            w = self.weights(unit) if unit.master is None else unit.master
            self.adam.update(self.steps, w, g * scale, *unit.moments)
            self.publish(unit, w.to(self.precision.weights))
            unit.gradient.zero_()

    def shortening(self, gradients: Sequence[Tensor]) -> Tensor | float:
        """min(1, clip / norm) of the whole model's gradient, of which this rank has its part."""
        if self.adam.clip is None:
            return 1.0
        square = torch.stack([g.to(wide(g.dtype)).square().sum() for g in gradients]).sum()
        if self.stage:
            self.ranks.all_reduce(square)
        return (self.adam.clip / (square.sqrt() + 1e-6)).clamp(max=1)

    def held(self) -> States:
        """Bytes of this rank's tensors: of their storages, each counted once.

        What a step needs for a moment is not among them: gathered weights, a row on its way.
        """
        rows = [row for unit in self.units for row in unit.rows]
        weights = [p for row in rows for p in row.parameters] + [row.share for row in rows]
        gradients = [p.grad for unit in self.trained for p in unit.trained.parameters]
        return States(
            _bytes(weights),
            _bytes([unit.gradient for unit in self.trained] + gradients),
            _bytes(unit.master for unit in self.trained),
            _bytes(moment for unit in self.trained for moment in unit.moments),
        )

    @abstractmethod
    def mine(self, unit: Unit, row: Tensor) -> Tensor:
        """What of a row (W s,) this rank's optimizer takes care of."""

    @abstractmethod
    def kept(self, unit: Unit, row: Tensor) -> Tensor:
        """What of a row (W s,) of gradients this rank keeps."""

    @abstractmethod
    def receive(self, unit: Unit, gradients: Tensor) -> None:
        """Adds the gradients (W s,) of a micro-batch to those kept."""

    @abstractmethod
    def reduced(self, unit: Unit) -> Tensor:
        """The gradient, of what is `mine`, of the whole batch."""

    @abstractmethod
    def weights(self, unit: Unit) -> Tensor:
        """The weights of what is `mine`, where there is no master copy of them."""

    @abstractmethod
    def publish(self, unit: Unit, weights: Tensor) -> None:
        """Puts new weights, of what is `mine`, into force on all ranks."""


def _bytes(tensors: Iterable[Tensor | None]) -> int:
    """Bytes of the storages of tensors, those that are shared once."""
    storages = (x.untyped_storage() for x in tensors if x is not None)
    return sum({s._cdata: s.nbytes() for s in storages}.values())
