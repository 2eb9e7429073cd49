"""A batch as named columns of one length: what the parts of a training loop hand to each other.

Plain dictionaries of tensors, so that a part may as well run in another process.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

Columns = Mapping[str, Tensor]


def joined(*parts: Columns) -> dict[str, Tensor]:
    """All columns of all parts. Raises ValueError for lengths that differ, and for a name that
    stands for two different columns."""
    found: dict[str, Tensor] = {}
    for name, column in (item for part in parts for item in part.items()):
        if name in found and not torch.equal(found[name], column):
            raise ValueError(f"columns must not be replaced, got another {name!r}")
        found[name] = column
    lengths = {name: len(column) for name, column in found.items()}
    if len({*lengths.values()}) > 1:
        raise ValueError(f"columns must be of one length, got {lengths}")
    return found


def parts(columns: Columns, rows: int) -> list[dict[str, Tensor]]:
    """So many rows in each, the last may have fewer."""
    cut = {name: torch.split(column, rows) for name, column in columns.items()}
    return [dict(zip(cut, part, strict=True)) for part in zip(*cut.values(), strict=True)]


def stacked(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The rows of all parts, one under the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
