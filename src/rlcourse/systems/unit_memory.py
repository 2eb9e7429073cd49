"""A decoder's units in a training step, for any number of sequences and tokens.

Of the steps of a part of the model four numbers are left, each linear in (1, N, B N): what is held
after the forward pass, what is released in the backward pass, and the most while each runs. The
most is the largest of a few rows: of all moments, those that another one exceeds in every number
can be left out.
Symbols: B sequences, N tokens, e bytes of a weight.
"""

from typing import NamedTuple

import numpy as np

from rlcourse.systems.decoder_memory import (
    Sizes,
    block_backward,
    block_forward,
    block_recomputed,
    embedding_backward,
    embedding_forward,
    loss_backward,
    loss_forward,
)
from rlcourse.systems.memory_timeline import Unit
from rlcourse.systems.operation_memory import Size, Steps, fixed, heights, net


class Passes(NamedTuple):
    """A part of the model: shapes of its parameters, its steps forwards and backwards."""

    shapes: tuple[tuple[int, ...], ...]
    forward: Steps
    backward: Steps


def passes(c: Sizes, e: int, checkpointed: bool = False) -> dict[str, Passes]:
    """The parts in the order of a forward pass: "embedding", "block 0" to the last, "loss".

    checkpointed: each block keeps its input alone. Tied weights belong to the embedding, though
    their gradient comes first with the loss. ValueError unless e is 2 or 4.
    """
    if e not in (2, 4):
        raise ValueError(f"e must be 2 or 4 bytes, got {e!r}")
    again = block_recomputed(c, e) if checkpointed else []
    table, ahead = (c.vocabulary, c.width), block_forward(c, e, not checkpointed)
    first, other = (
        Passes(block_shapes(c), ahead, again + block_backward(c, e, i == 0, checkpointed))
        for i in (0, 1)
    )
    head = ((c.width,),) if c.tied else ((c.width,), table)
    return {
        "embedding": Passes((table,), embedding_forward(c, e), embedding_backward(c, e)),
        **{f"block {i}": other if i else first for i in range(c.layers)},
        "loss": Passes(head, loss_forward(c, e), loss_backward(c, e)),
    }


def block_shapes(c: Sizes) -> tuple[tuple[int, ...], ...]:
    """Shapes of a block's parameters, in the order of the model."""
    hd, kd, stream = c.heads * c.head_dim, c.kv_heads * c.head_dim, (c.width,)
    inner = [(c.head_dim,)] * (2 * c.qk_norm)
    projections = [(hd, c.width, c.qkv_bias), (kd, c.width, c.qkv_bias), (kd, c.width, c.qkv_bias)]
    projections += [(c.width, hd, c.o_bias)]
    swiglu = [(c.hidden, c.width, c.mlp_bias)] * 2 + [(c.width, c.hidden, c.mlp_bias)]
    return (stream, *_linears(projections), *inner, stream, *_linears(swiglu))


def _linears(matrices: list[tuple[int, int, bool]]) -> list[tuple[int, ...]]:
    """Shapes of weights, (outputs, inputs), and of their biases where they have one."""
    shapes: list[tuple[int, ...]] = []
    for rows, columns, bias in matrices:
        shapes += [(rows, columns), *[(rows,)] * bias]
    return shapes


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
