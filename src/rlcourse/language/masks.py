"""Who sees whom, and where each token stands: masks and positions for every layout of a batch.

    causal     query i sees the keys j <= i + M - N         the last query stands at the last key
    window     ... and of these the last `window` alone     (eq-causal-mask)
    padded     ... and no key that is padding               (eq-padded-mask)
    packed     ... and no key of another sequence           (eq-packed-mask)

A mask is Boolean: True where the query may see the key. A padding query sees itself too: nobody
reads its output, and a softmax over nothing would be NaN, which a weight of 0 doesn't undo.

Shapes: B batch, T tokens, N queries, M keys, of which the last N are those of the queries.
present (B, M): True for a token, False for padding. segments (B, T): the number of the sequence
that a token belongs to; padding is a segment of its own.
"""

import torch
from torch import Tensor


def causal_mask(
    n: int, m: int, window: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """(N, M): query i sees the keys j with 0 <= i + M - N - j < window  (eq-causal-mask).

    Raises ValueError for n > m, since then the first queries would see nothing, and for a window
    below 1.
    """
    if n > m:
        raise ValueError(f"n must not exceed m = {m}, got {n}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    back = torch.arange(m - n, m, device=device)[:, None] - torch.arange(m, device=device)
    seen = back >= 0
    return seen if window is None else seen & (back < window)


def padded_mask(present: Tensor, n: int, window: int | None = None) -> Tensor:
    """(B, 1, N, M): causal, and padding is seen by nobody else  (eq-padded-mask).

    The N queries are the last of the M tokens.
    """
    m = present.shape[1]
    seen = causal_mask(n, m, window, present.device) & present[:, None].bool()
    itself = torch.arange(m - n, m, device=present.device)[:, None] == torch.arange(
        m, device=present.device
    )
    return (seen | itself)[:, None]


def packed_mask(segments: Tensor, window: int | None = None) -> Tensor:
    """(B, 1, T, T): causal, within a segment; block-diagonal where they follow one another.

    (eq-packed-mask)
    """
    t = segments.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    return (causal_mask(t, t, window, segments.device) & same)[:, None]


def padded_positions(present: Tensor) -> Tensor:
    """(B, M): how many tokens stood before; 0 for padding on the left."""
    return (present.long().cumsum(1) - 1).clamp(min=0)


def packed_positions(segments: Tensor) -> Tensor:
    """(B, T): the place within the segment, counted from 0 anew where the segment changes."""
    t = torch.arange(segments.shape[1], device=segments.device)
    start = torch.zeros_like(segments)
    start[:, 1:] = torch.where(segments[:, 1:] != segments[:, :-1], t[1:], 0)
    return t - start.cummax(1).values
