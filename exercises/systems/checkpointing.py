# desk 8e84c0d36747: the hash of what follows. Edit below, and the file is yours.
"""Your desk for systems/checkpointing. Write the functions, then: rlcourse check checkpointing"""

from collections.abc import Sequence
from math import comb


def segment_peak(layers: int, parts: int, state: int, tape: int) -> int:
    """(k - 1) x + ⌈L/k⌉ (x + a) bytes at the peak of k segments  (eq-segment-peak).

    state x: bytes of each layer's input, tape a: of what autograd saves beside it. While the last
    segment stands on its tapes, the inputs of the k - 1 others are kept; no segment is longer.
    ValueError unless 1 <= parts <= layers.
    """
    raise NotImplementedError


def best_parts(layers: int, state: int, tape: int) -> int:
    """The number of segments with the least peak; of equal ones the smallest  (eq-segment-peak).

    Fewer segments are longer; each one more keeps a state. Near √(L (x + a)/x), but not always
    the whole number next to it. ValueError unless layers is at least 1.
    """
    raise NotImplementedError


def revolve_forwards(layers: int, states: int) -> int:
    """r L - C(c + r, r - 1) forwards more than L, the least with c states  (eq-revolve).

    r: the least number with C(c + r, c) >= L, and at least 1; the input is one of the states c.
    Griewank and Walther (2000), theorem 1. ValueError unless both are at least 1.
    """
    raise NotImplementedError


def knapsack(seconds: Sequence[int], sizes: Sequence[int], budget: int) -> list[int]:
    """The tensors to keep, at most `budget` bytes, that save most seconds  (eq-knapsack).

    seconds and sizes (K,), of computing a tensor again and of keeping it -> their indices,
    increasing; of several best sets any. By dynamic programming over the sets that no other beats
    in both. ValueError for a negative size or budget, and unless both have the same length.
    """
    raise NotImplementedError


def accumulation_weights(tokens: Sequence[int]) -> list[float]:
    """n_i / Σ n: the weight of each micro-batch's mean loss in the batch's  (eq-accumulation).

    tokens (N,): those that count in each micro-batch. The gradients of the weighted losses add up
    to that of the whole batch, whatever the parts. ValueError for a negative number, or where no
    token counts.
    """
    raise NotImplementedError
