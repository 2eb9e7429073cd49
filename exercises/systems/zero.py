# desk 9f942931a2c4: the hash of what follows. Edit below, and the file is yours.
"""Your desk for systems/zero. Write the functions, then: rlcourse check zero"""

from math import prod


def state_bytes(
    parameters: int, ranks: int, stage: int, weights: int, gradients: int, optimizer: int
) -> int:
    """w n₃ + g n₂ + k n₁ bytes on one rank, nᵢ = ⌈P/W⌉ from stage i on, else P  (eq-zero-states).

    weights w, gradients g, optimizer k: bytes per parameter (master weights count as the
    optimizer's). The flat cut, padding included: each rank holds the same. ValueError unless
    parameters and ranks are at least 1, stage is one of 0 to 3 and no number of bytes is negative.
    """
    raise NotImplementedError


def rows_of(rows: int, ranks: int) -> list[int]:
    """⌈rows/W⌉ rows to one rank after another, while there are any  (as `torch.chunk` deals them).

    One number for each rank: the last ones may get 0. ValueError unless both are at least 1.
    """
    raise NotImplementedError


def sent_bytes(collective: str, payload: int, ranks: int) -> int:
    """(W − 1) ⌈payload/W⌉ bytes that each rank sends in a ring, twice that in an all-reduce.

    payload: bytes of the whole tensor, before it is scattered or after it was gathered. An
    all-reduce is a reduce-scatter and an all-gather  (eq-sent-bytes). ValueError for another
    collective, or unless payload and ranks are at least 1.
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def step_peak(layers: int, weights: int, gradients: int, activations: int, kept: int = 0) -> int:
    """L (w + k) + max(L a + g, a + L g) bytes at the peak of a step of L equal layers.

    Each layer has w bytes of weights, k of what is always kept (moments), saves a in the forward
    pass and gets g of gradients. Backwards, from the last layer to the first, a layer's g appears
    before its a goes: i layers of activations stand beside L − i + 1 of gradients, and the sum is
    largest at one of the ends  (eq-step-peak). ValueError unless layers is at least 1, and where
    a number of bytes is negative.
    """
    raise NotImplementedError
