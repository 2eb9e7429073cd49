"""A decoder's units in a training step, for any number of sequences and tokens.

Of the steps of a part of the model four numbers are left, each linear in (1, N, B N): what is held
after the forward pass, what is released in the backward pass, and the most while each runs. The
most is the largest of a few rows: of all moments, those that another one exceeds in every number
can be left out.
Symbols: B sequences, N tokens, e bytes of a weight.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.systems.decoder_memory import Passes, Sizes, passes
from rlcourse.systems.memory_timeline import Unit
from rlcourse.systems.operation_memory import Size, fixed, heights, net


class Form(NamedTuple):
    """A `Unit` for any B and N: rows are (fixed, per N, per B N); the most is that of any row."""

    parameters: int
    tensors: int
    held: Size
    forward: Size
    backward: Size
    released: Size

    def at(self, name: str, batch: int, tokens: int) -> Unit:
        """The unit for so many sequences of so many tokens."""
        v = np.array([1, tokens, batch * tokens])
        held, released = int(self.held @ v), int(self.released @ v)
        forward, backward = (int((rows @ v).max()) for rows in (self.forward, self.backward))
        return Unit(name, self.parameters, self.tensors, held, forward, backward, released)


def form(part: Passes, e: int) -> Form:
    """What follows from the steps: held and released are nets, the most one of the heights."""
    parameters = sum(int(np.prod(shape)) for shape in part.shapes)
    released = fixed(e * parameters) - net(part.backward)
    forward, backward = (undominated(heights(x)) for x in (part.forward, part.backward))
    return Form(parameters, len(part.shapes), net(part.forward), forward, backward, released)


def undominated(rows: list[Size]) -> Size:
    """(·, 3): the rows that no other one exceeds in every number, so those that may be the most."""
    table: Size = np.unique(rows, axis=0)
    no_less = (table[None] >= table[:, None]).all(-1).sum(-1)
    return np.asarray(table[no_less == 1])


def forms(c: Sizes, e: int, checkpointed: bool = False) -> dict[str, Form]:
    """A `Form` for each part, in the order of a forward pass; errors of `passes`."""
    known: dict[int, Form] = {}
    parts = passes(c, e, checkpointed)
    for part in parts.values():
        known.setdefault(id(part), form(part, e))
    return {name: known[id(part)] for name, part in parts.items()}
