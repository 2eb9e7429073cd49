"""A unit: parameters that travel together, end to end in one row, padded and cut into W shares.

    parameters   a (2, 2)   b (3)              W = 2
    row          a a a a b | b b ·             7 elements, 1 of padding
                 share of 0  share of 1        4 each

Where the weights themselves are cut (stage 3), a rank keeps its share of the row alone. `gather`
fetches the others into the row's storage and makes the parameters views of it; `release` empties
the storage, which tensors that autograd has saved still refer to: the next `gather` fills it for
them too. Until then the parameters have no element, so that whoever uses one outside its unit gets
an error, not wrong numbers.

Trained and frozen parameters have a row each. W ranks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rlcourse.systems.communication import Call

# torch 2.13 renamed them
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
_reduce_scatter = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)


class Ranks:
    """A process group that writes down each call and its elements of payload."""

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group, self.rank, self.size = group, dist.get_rank(group), dist.get_world_size(group)
        self.calls: list[Call] = []

    def all_reduce(self, x: Tensor) -> Tensor:
        """x, now the sum over the ranks."""
        self.calls.append(("all_reduce", x.numel()))
        dist.all_reduce(x, group=self.group)
        return x

    def reduce_scatter(self, row: Tensor) -> Tensor:
        """This rank's share of the sum over the ranks: row (W s,) -> (s,)."""
        self.calls.append(("reduce_scatter", row.numel()))
        share = row.new_empty(row.numel() // self.size)
        _reduce_scatter(share, row, group=self.group)
        return share

    def all_gather(self, share: Tensor, row: Tensor | None = None) -> Tensor:
        """The shares of all ranks, end to end: share (s,) -> (W s,), in `row` where given."""
        row = share.new_empty(share.numel() * self.size) if row is None else row
        self.calls.append(("all_gather", row.numel()))
        _all_gather(row, share, group=self.group)
        return row


class FlatRow:
    """Parameters end to end, in W shares of s = ⌈P/W⌉ elements."""

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
        self.parameters, self.ranks = list(parameters), ranks
        self.shapes = [p.shape for p in self.parameters]
        self.size = sum(shape.numel() for shape in self.shapes)
        self.each = -(-self.size // ranks.size)
        self.share: Tensor | None = None
        self.row: Tensor | None = None

    def flatten(self, tensors: Iterable[Tensor | None]) -> Tensor:
        """Tensors of the parameters' shapes -> (W s,), with 0 for None and for padding."""
        parts = [
            p.new_zeros(shape.numel()) if x is None else x.detach().flatten()
            for x, p, shape in zip(tensors, self.parameters, self.shapes, strict=True)
        ]
        parts.append(parts[0].new_zeros(self.each * self.ranks.size - self.size))
        return torch.cat(parts)

    def mine(self, row: Tensor) -> Tensor:
        """This rank's share: (W s,) -> a view (s,)."""
        return row[self.ranks.rank * self.each :][: self.each]

    def views(self, row: Tensor) -> list[Tensor]:
        """The parameters' places in a row, in their shapes; padding is left over."""
        parts = torch.split(row[: self.size], [shape.numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @torch.no_grad()
    def fill(self, row: Tensor) -> None:
        """Copies a row into the parameters."""
        for p, view in zip(self.parameters, self.views(row), strict=True):
            p.copy_(view)

    def agree(self) -> None:
        """Takes over the weights of the first rank; not counted, as it is no part of a step."""
        if self.size:
            row = self.flatten(self.parameters)
            dist.broadcast(row, group=self.ranks.group, group_src=0)
            self.fill(row)

    def cut(self) -> None:
        """Keeps this rank's share of the weights, and no more."""
        if self.size:
            self.row = self.flatten(self.parameters)
            self.share = self.mine(self.row).clone()
            self.release()

    def gather(self) -> None:
        """Makes the parameters whole, until `release`; nothing to do where they are."""
        if self.share is None or self.row is None or self.row.untyped_storage().nbytes():
            return
        self.row.untyped_storage().resize_(self.row.numel() * self.row.element_size())
        self.ranks.all_gather(self.share, self.row)
        for p, view in zip(self.parameters, self.views(self.row), strict=True):
            p.data = view

    def release(self) -> None:
        """Gives the weights of the other ranks back; a `gather` brings them again."""
        if self.row is not None:
            self.row.untyped_storage().resize_(0)
            for p in self.parameters:
                p.data = p.new_empty(0)


@dataclass
class Unit:
    """A module's parameters, and what training keeps beside them on this rank.

    waiting: gradients that have yet to come until the unit's backward pass is done.
    """

    module: nn.Module
    trained: FlatRow
    frozen: FlatRow
    waiting: int = 0
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))
    master: Tensor | None = None
    moments: tuple[Tensor, ...] = ()

    @property
    def rows(self) -> tuple[FlatRow, FlatRow]:
        """The trained parameters and the frozen ones."""
        return self.trained, self.frozen


def units_of(model: nn.Module, modules: Sequence[nn.Module], ranks: Ranks) -> list[Unit]:
    """A unit for each module, after one for what is in none of them: the model's own.

    Tied weights are counted once. ValueError for a module that is no part of the model, or shares a
    parameter with what is outside it, as tied weights may: those belong to the model.
    """
    home = dict.fromkeys(model.modules(), -1)
    for i, module in enumerate(modules):
        if module not in home:
            raise ValueError(f"units[{i}] must be a part of the model, got {type(module).__name__}")
        home |= dict.fromkeys(module.modules(), i)
    owner: dict[nn.Parameter, int] = {}
    for part, i in home.items():
        for p in part.parameters(recurse=False):
            if (other := owner.setdefault(p, i)) != i:
                raise ValueError(f"units[{max(i, other)}] must not share a parameter with the rest")
    found = []
    for i, module in enumerate((model, *modules), start=-1):
        own = [p for p in module.parameters() if owner[p] == i]
        trained, frozen = ([p for p in own if p.requires_grad is yes] for yes in (True, False))
        found.append(Unit(module, FlatRow(trained, ranks), FlatRow(frozen, ranks)))
    return [unit for unit in found if any(row.size for row in unit.rows)]
