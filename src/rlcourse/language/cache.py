"""The keys and values of what was read, so that each token is read once."""

import torch
from torch import Tensor


class Cache:
    """The keys and values of the tokens read so far: k and v (L, B, G, size, D).

    The first `length` of them are filled. `model.cache(batch, size)` makes an empty one.
    """

    def __init__(self, k: Tensor) -> None:
        self.k, self.v, self.length = k, torch.empty_like(k), 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write down k and v (B, G, N, D) of the new tokens; all keys and values up to them."""
        end = self.length + k.shape[2]
        self.k[layer, :, :, self.length : end] = k
        self.v[layer, :, :, self.length : end] = v
        return self.k[layer, :, :, :end], self.v[layer, :, :, :end]


def new_positions(
    tokens: Tensor, positions: Tensor | None, cache: Cache | None, most: int
) -> Tensor:
    """Where new tokens (B, N) stand: positions (B, N) as given, else counted on from the cache.

    Raises ValueError where there is no token, one stands at `most` or beyond, or the cache is full.
    """
    if tokens.dim() != 2 or not tokens.numel():
        raise ValueError(f"tokens must have shape (B, N) with N >= 1, got {tuple(tokens.shape)}")
    n, start = tokens.shape[1], cache.length if cache else 0
    if positions is None:
        positions = torch.arange(start, start + n, device=tokens.device)[None]
    if (last := int(positions.max())) >= most:
        raise ValueError(f"tokens must stand at positions up to {most - 1}, got one at {last}")
    if cache and start + n > (room := cache.k.shape[3]):
        raise ValueError(f"cache has room for {room} tokens, got {start} and {n} new ones")
    return positions
