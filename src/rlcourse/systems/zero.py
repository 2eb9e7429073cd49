"""ZeRO: W data-parallel ranks share out what each of them would hold alike.

Training keeps four states of each of the P parameters: its weight, its gradient, and for the
optimizer a master weight (where the weight itself is in 16 bits) and moments. A stage says which of
them are cut into W shares; a rank then holds one share and fetches the rest when it needs it.

    stage   weights   gradients   master weights, moments   sent, in elements of payload
    0       P         P           P                         2P
    1       P         P           P/W                       2P
    2       P         P/W         P/W                       2P
    3       P/W       P/W         P/W                       3P

    bytes = w n₃ + g n₂ + k n₁,  nᵢ = ⌈P/W⌉ from stage i on, else P          (eq-zero-states)

Three ways of cutting: "flat" (all parameters end to end, padded to a multiple of W), "rows" (each
parameter by its first dimension) and "whole" (no parameter is cut). Bytes are exact integers, of
one rank; GB = 10⁹ bytes, GiB = 2³⁰ bytes.
Symbols: P parameters, W ranks (the paper's Ψ and N_d), L layers, N tokens, B sequences, C width,
H heads.
Sources: Rajbhandari, Rasley, Ruwase and He (2020), ZeRO, section 5 and figure 1; Korthikanti et
al. (2022), Reducing Activation Recomputation, equations 1-4 and table 2.
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import NamedTuple

from rlcourse._check import positive_integer

CUTS = ("flat", "rows", "whole")
GB, GIB = 10**9, 2**30


class Recipe(NamedTuple):
    """Bytes that training keeps for each parameter.

    block: 8-bit moments share one float32 constant in so many elements, each of the two; 0: none.
    """

    weights: int
    gradients: int
    master: int
    moments: int
    block: int = 0


RECIPES = {
    "fp32 Adam": Recipe(4, 4, 0, 8),
    "bf16 Adam": Recipe(2, 2, 4, 8),
    "bf16 Adam, fp32 gradients": Recipe(2, 4, 4, 8),
    "bf16 8-bit Adam": Recipe(2, 2, 4, 2, block=256),
    "bf16 SGD": Recipe(2, 2, 4, 0),
    "bf16 momentum": Recipe(2, 2, 4, 4),
    "pure bf16 Adam": Recipe(2, 2, 0, 4),
}


class States(NamedTuple):
    """Bytes of one rank."""

    weights: int
    gradients: int
    master: int
    moments: int

    @property
    def total(self) -> int:
        """All four together."""
        return sum(self)


def state_bytes(
    parameters: int, ranks: int, stage: int, weights: int, gradients: int, optimizer: int
) -> int:
    """w n₃ + g n₂ + k n₁ bytes on one rank, nᵢ = ⌈P/W⌉ from stage i on, else P  (eq-zero-states).

    weights w, gradients g, optimizer k: bytes per parameter (master weights count as the
    optimizer's). The flat cut, padding included: each rank holds the same. ValueError unless
    parameters and ranks are at least 1, stage is one of 0 to 3 and no number of bytes is negative.
    """
    _not_negative(weights=weights, gradients=gradients, optimizer=optimizer)
    share = -(-positive_integer("parameters", parameters) // positive_integer("ranks", ranks))
    n1, n2, n3 = (share if _stage(stage) >= first else parameters for first in (1, 2, 3))
    return weights * n3 + gradients * n2 + optimizer * n1


def shares(shapes: Sequence[Sequence[int]], ranks: int, cut: str = "flat") -> list[int]:
    """Elements that each of the ranks holds of parameters of these shapes, padding included.

    "flat": ⌈P/W⌉ for all. "rows": ⌈rows/W⌉ rows of each parameter to one rank after another, while
    there are any (as `torch.chunk` does it). "whole": the largest parameter first, each to the rank
    that holds least. ValueError for another cut or a size below 1.
    """
    positive_integer("ranks", ranks)
    sizes = [prod(positive_integer("shapes", n) for n in shape) for shape in shapes]
    if cut == "flat":
        return [-(-sum(sizes) // ranks)] * ranks
    held = [0] * ranks
    if cut == "rows":
        for shape, size in zip(shapes, sizes, strict=True):
            rows = shape[0] if shape else 1
            for rank, mine in enumerate(rows_of(rows, ranks)):
                held[rank] += mine * (size // rows)
    elif cut == "whole":
        for size in sorted(sizes, reverse=True):
            held[held.index(min(held))] += size
    else:
        raise ValueError(f"cut must be one of {', '.join(CUTS)}, got {cut!r}")
    return held


def rows_of(rows: int, ranks: int) -> list[int]:
    """⌈rows/W⌉ rows to one rank after another, while there are any  (as `torch.chunk` deals them).

    One number for each rank: the last ones may get 0. ValueError unless both are at least 1.
    """
    share = -(-positive_integer("rows", rows) // positive_integer("ranks", ranks))
    return [min(share, max(0, rows - rank * share)) for rank in range(ranks)]


def states(
    shapes: Sequence[Sequence[int]],
    recipe: Recipe,
    ranks: int,
    stage: int,
    *,
    cut: str = "flat",
    frozen: Sequence[Sequence[int]] = (),
) -> list[States]:
    """Bytes that each of the ranks keeps for parameters of these shapes  (eq-zero-states).

    frozen: shapes of parameters that aren't trained, of which there are weights alone (those under
    LoRA, say); they are cut by themselves. Errors: those of `shares`; ValueError for another stage,
    a negative number of bytes.
    """
    _not_negative(**{f"recipe.{name}": size for name, size in recipe._asdict().items()})
    whole, mine = [sum(map(prod, shapes))] * ranks, shares(shapes, ranks, cut)
    n1, n2, n3 = (mine if _stage(stage) >= first else whole for first in (1, 2, 3))
    still = [sum(map(prod, frozen))] * ranks if stage < 3 else shares(frozen, ranks, cut)
    return [
        States(
            recipe.weights * (n3[rank] + still[rank]),
            recipe.gradients * n2[rank],
            recipe.master * n1[rank],
            recipe.moments * n1[rank] + _constants(n1[rank], recipe.block),
        )
        for rank in range(ranks)
    ]


def _constants(elements: int, block: int) -> int:
    """Bytes of the float32 constants of two 8-bit moments, one per block."""
    return 2 * 4 * ceil(elements / block) if block else 0


def _not_negative(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"{name} must not be negative, got {size}")


def _stage(stage: int) -> int:
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"stage must be 0, 1, 2 or 3, got {stage!r}")
    return stage


def sent_bytes(collective: str, payload: int, ranks: int) -> int:
    """(W − 1) ⌈payload/W⌉ bytes that each rank sends in a ring, twice that in an all-reduce.

    payload: bytes of the whole tensor, before it is scattered or after it was gathered. An
    all-reduce is a reduce-scatter and an all-gather  (eq-sent-bytes). ValueError for another
    collective, or unless payload and ranks are at least 1.
    """
    rounds = {"all_reduce": 2, "reduce_scatter": 1, "all_gather": 1}
    if collective not in rounds:
        raise ValueError(f"collective must be one of {', '.join(rounds)}, got {collective!r}")
    share = -(-positive_integer("payload", payload) // positive_integer("ranks", ranks))
    return rounds[collective] * (ranks - 1) * share


def kv_cache_bytes(
    tokens: int,
    layers: int,
    kv_heads: int,
    head_dim: int,
    element: int = 2,
    heads: int | None = None,
) -> int:
    """2 · tokens · layers · kv_heads · head_dim · element: keys and values  (eq-kv-cache).

    kv_heads: heads of keys, each for a group of queries; heads: those of queries, to be checked;
    element: bytes of a number. ValueError unless all are at least 1 and kv_heads divides heads.
    """
    sizes = dict(
        tokens=tokens, layers=layers, kv_heads=kv_heads, head_dim=head_dim, element=element
    )
    numbers = prod(positive_integer(name, size) for name, size in sizes.items())
    if heads is not None and positive_integer("heads", heads) % kv_heads:
        raise ValueError(f"heads must be a multiple of kv_heads = {kv_heads}, got {heads}")
    return 2 * numbers


def layer_activations(
    batch: int,
    tokens: int,
    width: int,
    heads: int,
    ranks: int = 1,
    sequence_parallel: bool = False,
    recompute: str = "none",
) -> int:
    """BNC (10 + 24/t) + 5HBN²/t bytes saved by a GPT layer in 16 bits  (eq-layer-activations).

    ranks t: tensor parallel. sequence_parallel divides the 10 by t too. recompute: "none";
    "selective", without the 5HBN² of attention; "full", 2BNC, the layer's input alone (over t with
    sequence parallelism). ValueError unless t divides heads, C and, with sequence parallelism, N,
    and for sizes below 1.
    """
    sizes = dict(batch=batch, tokens=tokens, width=width, heads=heads, ranks=ranks)
    for name, size in sizes.items():
        positive_integer(name, size)
    for name in ("width", "heads", *["tokens"] * sequence_parallel):
        if sizes[name] % ranks:
            raise ValueError(f"{name} must be a multiple of ranks = {ranks}, got {sizes[name]}")
    stream, scores = batch * tokens * width, heads * batch * tokens**2
    outside = ranks if sequence_parallel else 1
    if recompute == "full":
        return 2 * stream // outside
    if recompute not in ("none", "selective"):
        raise ValueError(f"recompute must be none, selective or full, got {recompute!r}")
    kept = 10 * stream // outside + 24 * stream // ranks
    return kept if recompute == "selective" else kept + 5 * scores // ranks


def step_peak(layers: int, weights: int, gradients: int, activations: int, kept: int = 0) -> int:
    """L (w + k) + max(L a + g, a + L g) bytes at the peak of a step of L equal layers.

    Each layer has w bytes of weights, k of what is always kept (moments), saves a in the forward
    pass and gets g of gradients. Backwards, from the last layer to the first, a layer's g appears
    before its a goes: i layers of activations stand beside L − i + 1 of gradients, and the sum is
    largest at one of the ends  (eq-step-peak). ValueError unless layers is at least 1, and where
    a number of bytes is negative.
    """
    positive_integer("layers", layers)
    _not_negative(weights=weights, gradients=gradients, activations=activations, kept=kept)
    most = max(layers * activations + gradients, activations + layers * gradients)
    return layers * (weights + kept) + most
