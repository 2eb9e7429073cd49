"""A decoder: the model that Llama, Qwen2 and Qwen3 are, with switches where they differ.

    x <- x + attention(norm(x))          tokens look at one another         (eq-block)
    x <- x + swiglu(norm(x))             each token by itself
    norm(x) = w x / √(mean(x²) + ε)                                         (eq-rms-norm)
    attention: query head h reads key head h // (H/G)                       (eq-grouped-attention)

                 qkv_bias   qk_norm   tied                  positions
    Llama        no         no        the smallest          stretched from 3.1 on
    Qwen2, 2.5   yes        no        the small ones
    Qwen3        no         yes       the small ones        head_dim apart from width / heads

Parameters bear the names of the hub's checkpoints, without the prefix "model.". Attention is handed
in, PyTorch's unless told otherwise: see `rlcourse.language.attention`.
Shapes: B batch, N new tokens, M all tokens (the cached ones first), H heads of queries, G heads of
keys, D head dimension, C model width, V vocabulary, L layers.
Sources: Vaswani et al. (2017); Zhang and Sennrich (2019), RMSNorm; Su et al. (2021), rotary
positions; Ainslie et al. (2023), grouped queries; Shazeer (2020), SwiGLU.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlcourse.language.attention import Attention, sdpa
from rlcourse.language.cache import Cache, new_positions
from rlcourse.language.config import Config
from rlcourse.language.numbers import wide
from rlcourse.language.rotary import cached_frequencies, cos_sin, turn

Turn = tuple[Tensor, Tensor]
Past = tuple[Cache, int] | None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """w x / √(mean(x²) + ε) over the last axis; x (..., C), weight (C,)  (eq-rms-norm).

    The mean and the quotient are in float32 at least; then the type of x.
    """
    z = x.to(wide(x.dtype))
    return weight * (z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


class RMSNorm(nn.Module):
    """`rms_norm` with a weight of its own, in PyTorch's fused form."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(size)), eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., size) -> the same shape."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class SelfAttention(nn.Module):
    """H heads of queries that read G heads of keys and values."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.head_dim, keys = c.head_dim, c.kv_heads * c.head_dim
        self.q_proj = nn.Linear(c.width, c.heads * c.head_dim, c.qkv_bias)
        self.k_proj = nn.Linear(c.width, keys, c.qkv_bias)
        self.v_proj = nn.Linear(c.width, keys, c.qkv_bias)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.width, c.o_bias)
        self.q_norm = RMSNorm(c.head_dim, c.eps) if c.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(c.head_dim, c.eps) if c.qk_norm else nn.Identity()

    def forward(
        self, x: Tensor, angle: Turn, mask: Tensor | None, past: Past, attention: Attention
    ) -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        q, k, v = (
            projection(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = turn(self.q_norm(q), *angle), turn(self.k_norm(k), *angle)
        if past:
            cache, layer = past
            k, v = cache.extend(layer, k, v)
        return cast(Tensor, self.o_proj(attention(q, k, v, mask).transpose(1, 2).flatten(2)))


class SwiGLU(nn.Module):
    """`swiglu` with weights of its own, and biases where the config wants them."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(c.width, c.hidden, c.mlp_bias)
        self.up_proj = nn.Linear(c.width, c.hidden, c.mlp_bias)
        self.down_proj = nn.Linear(c.hidden, c.width, c.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> (..., C)."""
        return cast(Tensor, self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x)))


class Block(nn.Module):
    """Attention, then SwiGLU, each on a normed copy and added to the stream  (eq-block)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(c.width, c.eps)
        self.self_attn = SelfAttention(c)
        self.post_attention_layernorm = RMSNorm(c.width, c.eps)
        self.mlp = SwiGLU(c)

    def forward(
        self, x: Tensor, angle: Turn, mask: Tensor | None, past: Past, attention: Attention
    ) -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        x = x + self.self_attn(self.input_layernorm(x), angle, mask, past, attention)
        return cast(Tensor, x + self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    """Tokens in, logits of the next token out.

    The weights are drawn with `generator`: normal with standard deviation 0.02, divided by √(2L)
    where a block adds to the stream; biases 0, norms 1. Without one they stay on the device "meta",
    to be loaded.
    """

    def __init__(self, config: Config, *, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # spares PyTorch's own draws
            self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
            self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.norm = RMSNorm(config.width, config.eps)
            if not config.tied:
                self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
        if generator is not None:
            self._draw(generator)

    def _draw(self, generator: torch.Generator) -> None:
        self.to_empty(device=generator.device)
        for name, p in self.named_parameters():
            adds = name.endswith(("o_proj.weight", "down_proj.weight"))
            if p.dim() == 1:
                nn.init.constant_(p, float(name.endswith("norm.weight")))
            else:
                std = 0.02 / (2 * self.config.layers) ** (0.5 if adds else 0)
                nn.init.normal_(p, std=std, generator=generator)

    @property
    def head(self) -> Tensor:
        """(V, C): the weights of the last linear layer; those of the embedding where tied."""
        return self.embed_tokens.weight if self.config.tied else self.lm_head.weight

    def cache(self, batch: int, size: int) -> Cache:
        """An empty cache for `batch` sequences of up to `size` tokens."""
        c = self.config
        if size > c.positions:
            raise ValueError(f"size must not exceed positions = {c.positions}, got {size}")
        return Cache(self.head.new_empty(c.layers, batch, c.kv_heads, size, c.head_dim))

    def forward(self, tokens: Tensor, **options: Any) -> Tensor:
        """tokens (B, N) -> logits (B, N, V): row t says what comes after token t.

        The options and the errors are those of `states`.
        """
        return F.linear(self.states(tokens, **options), self.head)

    def states(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        attention: Attention = sdpa,
    ) -> Tensor:
        """What the last linear layer reads: tokens (B, N) -> (B, N, C).

        positions (B, N), else counted on from the cache; mask (B, 1, N, M), else causal. With a
        cache its tokens come first, and the new ones are added to it. Raises ValueError for ids
        outside the vocabulary, no token at all, and more tokens than positions or cache allow.
        """
        c = self.config
        positions = new_positions(tokens, positions, cache, c.positions)
        x = self._embed(tokens)
        omega = cached_frequencies(c.head_dim, c.theta, c.scaling)
        cos, sin = (a[:, None].to(wide(x.dtype)) for a in cos_sin(positions, omega))
        for i, block in enumerate(self.layers):
            x = block(x, (cos, sin), mask, cache and (cache, i), attention)
        if cache:
            cache.length += tokens.shape[1]
        return cast(Tensor, self.norm(x))

    def _embed(self, tokens: Tensor) -> Tensor:
        try:
            return cast(Tensor, self.embed_tokens(tokens))
        except IndexError:
            wrong = tokens[(tokens < 0) | (tokens >= self.config.vocabulary)]
            raise ValueError(
                f"tokens must lie in [0, {self.config.vocabulary}), got {int(wrong[0])}"
            ) from None
