"""The sizes of a decoder, and the switches by which its families differ."""

from dataclasses import dataclass

from rlcourse.language.rotary import Llama3Scaling


@dataclass(frozen=True)
class Config:
    """The sizes of a decoder and the switches of its family.

    vocabulary V, width C, layers L, heads H, kv_heads G, head_dim D; hidden: the inner width of
    SwiGLU; positions: the longest sequence, in tokens; theta and scaling: rotary positions; eps: of
    the norms. Raises ValueError for sizes that don't fit each other.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    positions: int = 2048
    theta: float = 10_000.0
    scaling: Llama3Scaling | None = None
    eps: float = 1e-6
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = True

    def __post_init__(self) -> None:
        sizes = "vocabulary width layers heads kv_heads head_dim hidden positions"
        for name in sizes.split():
            if (size := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads = {self.kv_heads}, got {self.heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even, for rotary pairs, got {self.head_dim}")
