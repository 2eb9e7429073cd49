"""Sequences of unequal length in one array: padded, packed, or by a budget of tokens.

    padded   a row a sequence, as long as the longest: the rest is computed for nothing
    packed   rows of several sequences; attention is block-diagonal, positions start at 0 anew
    unpadded one row of all tokens, with the places where sequences begin: cu_seqlens

A packed sequence must not see its neighbours. With the mask `language.masks.packed_mask` and the
positions `packed_positions` its log-probabilities and gradients are those that it has alone.

Shapes: N sequences, B rows, T tokens of a row.
Sources: Johnson (1973), first-fit decreasing; Dósa (2007): at most 11/9 of the fewest rows, and
6/9 of one more.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.alignment.data import Sample


class Packing(NamedTuple):
    """Where each of N sequences goes: its row, and the place in it where it begins."""

    row: list[int]
    offset: list[int]


class Batch(NamedTuple):
    """Rows of tokens, padded at the end.

    tokens    (B, T)  integers
    segments  (B, T)  the number of the sequence a token belongs to, -1 for padding
    mask      (B, T)  True where a token carries loss
    """

    tokens: Tensor
    segments: Tensor
    mask: Tensor


class Unpadded(NamedTuple):
    """All tokens in one row, (1, K), and cu_seqlens (N + 1,): where each sequence begins."""

    tokens: Tensor
    cu_seqlens: Tensor


def pack(lengths: Sequence[int], capacity: int) -> Packing:
    """First fit, the longest first: each sequence goes into the first row that has room for it.

    Of equally long ones the earlier goes first. Raises ValueError for a length below 1 or above the
    capacity.
    """
    if wrong := [n for n in lengths if not 1 <= n <= capacity]:
        raise ValueError(f"lengths must lie in [1, {capacity}], got {wrong[0]}")
    filled: Counter[int] = Counter()
    places: dict[int, tuple[int, int]] = {}
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        b = next(b for b in count() if filled[b] + lengths[i] <= capacity)
        places[i] = b, filled[b]
        filled[b] += lengths[i]
    found = [places[i] for i in range(len(lengths))]
    return Packing([b for b, _ in found], [start for _, start in found])


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Batches of sequence numbers, each of at most `budget` tokens with its padding.

    Sequences are taken in order of their length, the shortest first and of equals the earlier; a
    batch is closed when the next would make longest x count exceed the budget. Raises ValueError
    for a length below 1 or above the budget.
    """
    if wrong := [n for n in lengths if not 1 <= n <= budget]:
        raise ValueError(f"lengths must lie in [1, {budget}], got {wrong[0]}")
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[i] <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def padded_batch(samples: Sequence[Sample], pad: int = 0) -> Batch:
    """A row a sample, padded at the end."""
    lengths = [len(sample.tokens) for sample in samples]
    return _filled(samples, Packing([*range(len(samples))], [0] * len(samples)), max(lengths), pad)


def packed_batch(samples: Sequence[Sample], capacity: int, pad: int = 0) -> Batch:
    """As few rows of `capacity` tokens as `pack` finds."""
    return _filled(samples, pack([len(s.tokens) for s in samples], capacity), capacity, pad)


def _filled(samples: Sequence[Sample], packing: Packing, size: int, pad: int) -> Batch:
    shape = max(packing.row) + 1, size
    tokens, segments = torch.full(shape, pad), torch.full(shape, -1)
    mask = torch.zeros(shape, dtype=torch.bool)
    for i, (sample, b, start) in enumerate(zip(samples, *packing, strict=True)):
        place = slice(start, start + len(sample.tokens))
        tokens[b, place], segments[b, place], mask[b, place] = sample.tokens, i, sample.mask
    return Batch(tokens, segments, mask)


def unpad(tokens: Tensor, present: Tensor) -> Unpadded:
    """The tokens (B, T) that are present (B, T), in one row, and where each row's begin."""
    lengths = present.sum(1)
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return Unpadded(tokens[present][None], starts.int())


def repad(values: Tensor, present: Tensor, fill: float = 0.0) -> Tensor:
    """Values (1, K, ...) of an unpadded row back at their places (B, T, ...)."""
    out = values.new_full((*present.shape, *values.shape[2:]), fill)
    out[present] = values[0]
    return out
