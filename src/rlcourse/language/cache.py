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
