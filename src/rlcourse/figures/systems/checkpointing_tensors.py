"""Inside a block: what each saved tensor costs to keep and to compute again, and which to keep.

The tensors of a block of the decoder come one from another, so that a second forward pass computes
them in this order and can leave out those that were kept. Seconds are recorded in
`benchmarks/checkpointing.py`. Shapes: B sequences, N tokens, K tensors.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.figures.systems.checkpointing_run import angles
from rlcourse.language.attention import sdpa
from rlcourse.language.config import Config
from rlcourse.language.rotary import turn
from rlcourse.language.transformer import Decoder, RMSNorm
from rlcourse.plot import BLUE, RED, Picture, panel, picture
from rlcourse.results import load
from rlcourse.systems.checkpointing import knapsack

RECORD = "benchmarks/checkpointing"


class Step(NamedTuple):
    """Computes a tensor of a block again from those before it; bytes saved for the backward."""

    again: Callable[[], Any]
    bytes: int


def steps(
    config: Config, batch: int, tokens: int, *, generator: torch.Generator
) -> dict[str, Step]:
    """The tensors that a block saves beside its input, in the order of the forward pass."""
    block: Any = Decoder(config, generator=generator).layers[0]
    x = torch.randn(batch, tokens, config.width, generator=generator)
    angle = angles(config, tokens)
    part, mlp = block.self_attn, block.mlp

    def heads(projection: Any) -> Tensor:
        y: Tensor = projection(normed).unflatten(2, (-1, config.head_dim))
        return y.transpose(1, 2)

    with torch.no_grad():
        normed = block.input_layernorm(x)
        q, k = (turn(heads(p), *angle) for p in (part.q_proj, part.k_proj))
        v = heads(part.v_proj)
        o = sdpa(q, k, v, None)
        after = x + part.o_proj(o.transpose(1, 2).flatten(2))
        second = block.post_attention_layernorm(after)
        gate, up = mlp.gate_proj(second), mlp.up_proj(second)
        active = F.silu(gate)
    rows, size = batch * tokens, x.element_size()
    return {
        "first norm": _norm(block.input_layernorm, x),
        "queries": Step(lambda: turn(heads(part.q_proj), *angle), q.nbytes),
        "keys": Step(lambda: turn(heads(part.k_proj), *angle), k.nbytes),
        "values": Step(lambda: heads(part.v_proj), v.nbytes),
        "attention": Step(lambda: sdpa(q, k, v, None), o.nbytes + rows * config.heads * size),
        "its projection": Step(lambda: x + part.o_proj(o.transpose(1, 2).flatten(2)), after.nbytes),
        "second norm": _norm(block.post_attention_layernorm, after),
        "gate": Step(lambda: mlp.gate_proj(second), gate.nbytes),
        "SiLU": Step(lambda: F.silu(gate), active.nbytes),
        "up": Step(lambda: mlp.up_proj(second), up.nbytes),
        "inner": Step(lambda: active * up, up.nbytes),
    }


def _norm(norm: RMSNorm, x: Tensor) -> Step:
    """Saves x / rms, 1 / rms and, for the product that follows, the output."""
    return Step(lambda: norm(x), 2 * x.nbytes + x[..., 0].nbytes)


# ------------------------------------------------------------------------------- the choice


class Choice(NamedTuple):
    """What to keep of one block, budget by budget.

    names, micros, sizes  (K,) of the tensors: microseconds to compute again, bytes to keep
    budgets, left, kept   bytes allowed, microseconds still to be computed, which are kept
    """

    names: list[str]
    micros: list[int]
    sizes: list[int]
    budgets: list[int]
    left: list[int]
    kept: list[list[int]]


def data_choice(tokens: int = 256, points: int = 200) -> Choice:
    """The knapsack on recorded microseconds, for budgets from nothing to everything."""
    record = load(RECORD)["tensors"][str(tokens)]
    names = list(record)
    micros = [round(record[name]["median"]) for name in names]
    sizes = [int(record[name]["bytes"]) for name in names]
    whole = sum(sizes)
    budgets = [whole * i // points for i in range(points + 1)]
    kept = [knapsack(micros, sizes, budget) for budget in budgets]
    left = [sum(micros) - sum(micros[i] for i in which) for which in kept]
    return Choice(names, micros, sizes, budgets, left, kept)


def table_of_choice(data: Choice, shares: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)) -> Tables:
    """The tensors by what a byte of them saves; a column a budget says which are kept."""
    whole = sum(data.sizes)
    found = [knapsack(data.micros, data.sizes, int(share * whole)) for share in shares]
    head = ("tensor", "kB", "µs", "µs a kB", *(f"{share:.0%}" for share in shares))
    rows: Rows = [head]
    order = sorted(range(len(data.names)), key=lambda i: -data.micros[i] / data.sizes[i])
    for i in order:
        worth = 1e3 * data.micros[i] / data.sizes[i]
        cells = f"{data.sizes[i] / 1e3:,.0f}", f"{data.micros[i]:,}", f"{worth:.2f}"
        rows.append((data.names[i], *cells, *("kept" if i in which else "" for which in found)))
    left = (f"{1 - sum(data.micros[i] for i in which) / sum(data.micros):.0%}" for which in found)
    rows.append(("computed again", "", "", "", *left))
    return Tables("One block; in the columns, what to keep of all its bytes:", (rows,))


def draw_choice(data: dict[str, Choice]) -> Picture:
    """Share of the time computed again over the share of the bytes kept, a panel a length."""
    figures = [_panel(title, choice) for title, choice in data.items()]
    return picture(
        figures,
        "Share of a block's forward pass that is computed again over the share of its bytes that"
        " is kept: a falling staircase, below the straight line from nothing to everything.",
    )


def _panel(title: str, data: Choice) -> Figure:
    figure, axes = panel(title, (3.6, 2.7))
    whole, time = sum(data.sizes), sum(data.micros)
    x, y = [b / whole for b in data.budgets], [s / time for s in data.left]
    axes.step(x, y, where="post", color=BLUE, label="the knapsack")
    axes.plot([0, 1], [1, 0], ":", color="#000000", linewidth=0.9)
    i = data.names.index("attention")
    axes.plot(data.sizes[i] / whole, 1 - data.micros[i] / time, "s", color=RED,
              label="attention kept")  # fmt: skip
    axes.set(xlabel="bytes kept", ylabel="computed again", xlim=(0, 1), ylim=(0, 1.03))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{t:.0%}" for t in ticks])
    axes.set_yticks(ticks, [f"{t:.0%}" for t in ticks])
    axes.legend(fontsize=7.5)
    return figure
