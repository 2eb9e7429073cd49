"""Checkpointing: forget what the forward pass saved, and compute it again where it is needed.

A chain of L layers, x_i = f_i(x_{i-1}), each with a state x_i of so many bytes and a tape: what
autograd saves in the layer beside its input. Backwards a layer needs its tape.

    way                held at once, at most                forwards more than L
    store all          L (x + a)                            0
    recompute all      2x + a                               L (L - 1)/2
    k segments         (k - 1) x + ⌈L/k⌉ (x + a)            L - ⌈L/k⌉             (eq-segment-peak)
    c states           (c + 1) x + a                        r L - C(c + r, r - 1)     (eq-revolve)
    inside a layer     the tensors that are cheap to keep and dear to compute        (eq-knapsack)
    N micro-batches    activations of one of them           0; gradients add up   (eq-accumulation)

x bytes of a state, a of a tape. Near k = √(L (x + a)/x) segments hold least; r is the least number
with C(c + r, c) >= L, and at least 1. Schedules that do this, action by action:
`checkpoint_schedules`; on real layers: `recompute`; for unequal layers: `optimal_checkpoints`.
Sources: Griewank and Walther (2000), Algorithm 799: revolve, theorem 1; Chen, Xu, Zhang and
Guestrin (2016), Training Deep Nets with Sublinear Memory Cost, section 4; Korthikanti et al.
(2022), section 5, selective recomputation.
"""

from collections.abc import Sequence
from math import comb

from rlcourse._check import positive_integer


def segment_peak(layers: int, parts: int, state: int, tape: int) -> int:
    """(k - 1) x + ⌈L/k⌉ (x + a) bytes at the peak of k segments  (eq-segment-peak).

    state x: bytes of each layer's input, tape a: of what autograd saves beside it. While the last
    segment stands on its tapes, the inputs of the k - 1 others are kept; no segment is longer.
    ValueError unless 1 <= parts <= layers.
    """
    if not positive_integer("parts", parts) <= positive_integer("layers", layers):
        raise ValueError(f"parts must lie in [1, layers = {layers}], got {parts}")
    return (parts - 1) * state - (-layers // parts) * (state + tape)


def best_parts(layers: int, state: int, tape: int) -> int:
    """The number of segments with the least peak; of equal ones the smallest  (eq-segment-peak).

    Fewer segments are longer; each one more keeps a state. Near √(L (x + a)/x), but not always
    the whole number next to it. ValueError unless layers is at least 1.
    """
    numbers = range(1, positive_integer("layers", layers) + 1)
    return min(numbers, key=lambda k: segment_peak(layers, k, state, tape))


def revolve_forwards(layers: int, states: int) -> int:
    """r L - C(c + r, r - 1) forwards more than L, the least with c states  (eq-revolve).

    r: the least number with C(c + r, c) >= L, and at least 1; the input is one of the states c.
    Griewank and Walther (2000), theorem 1. ValueError unless both are at least 1.
    """
    c, r = positive_integer("states", states), 1
    while comb(c + r, c) < positive_integer("layers", layers):
        r += 1
    return r * layers - comb(c + r, r - 1)


def knapsack(seconds: Sequence[int], sizes: Sequence[int], budget: int) -> list[int]:
    """The tensors to keep, at most `budget` bytes, that save most seconds  (eq-knapsack).

    seconds and sizes (K,), of computing a tensor again and of keeping it -> their indices,
    increasing; of several best sets any. By dynamic programming over the sets that no other beats
    in both. ValueError for a negative size or budget, and unless both have the same length.
    """
    if min([budget, *sizes]) < 0:
        raise ValueError(f"sizes and budget must not be negative, got {min([budget, *sizes])}")
    if len(seconds) != len(sizes):
        raise ValueError(f"seconds must be as many as sizes, got {len(seconds)} and {len(sizes)}")
    best: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]  # bytes, -seconds saved, which
    for i in range(len(sizes)):
        more = [(held + sizes[i], lost - seconds[i], (*kept, i)) for held, lost, kept in best]
        candidates, best = sorted(best + more), []
        for found in candidates:
            if found[0] <= budget and (not best or found[1] < best[-1][1]):
                best.append(found)
    return list(best[-1][2])


def accumulation_weights(tokens: Sequence[int]) -> list[float]:
    """n_i / Σ n: the weight of each micro-batch's mean loss in the batch's  (eq-accumulation).

    tokens (N,): those that count in each micro-batch. The gradients of the weighted losses add up
    to that of the whole batch, whatever the parts. ValueError for a negative number, or where no
    token counts.
    """
    if not sum(tokens) or min(tokens) < 0:
        raise ValueError(f"tokens must not be negative, and some must count, got {list(tokens)}")
    return [n / sum(tokens) for n in tokens]
