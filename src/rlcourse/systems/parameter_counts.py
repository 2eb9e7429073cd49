"""The parameters of a language model, to the unit, from its config.json.

    total    every tensor that is trained, tied weights once
    active   those that one token goes through: without the experts that are not chosen for it

Both follow from the shapes of the tensors. So does what a token adds to the cache of keys and
values, of which grouped queries keep fewer heads and latent attention (MLA) a narrow vector.
Letters: L layers, G heads of keys, D head dimension.
Sources: Jiang et al. (2024), Mixtral of Experts, section 2, for total and active; DeepSeek-AI
(2024), DeepSeek-V2, section 2.1, for the cache of latent attention.
"""

from math import prod
from pathlib import Path
from typing import NamedTuple

from rlcourse._check import positive_integer
from rlcourse.systems.model_configs import MODELS, SPARSE, Config, experts, heads, read, size
from rlcourse.systems.parameter_shapes import shapes
from rlcourse.systems.zero import kv_cache_bytes

__all__ = ["MODELS", "Counts", "count", "kv_per_token", "shapes"]
PARTS = {  # field of Counts -> what names of its tensors contain, the first that fits
    "idle": (".experts.",),
    "norms": ("norm.", ".ln_"),
    "embedding": ("embed_tokens.", "wte.", "wpe."),
    "head": ("lm_head.",),
    "attention": ("attn.",),
    "mlp": ("",),
}


class Counts(NamedTuple):
    """Parameters by what they are for, each in one field.

    embedding: of tokens, and of positions where they are learned; mlp: dense feed-forward layers,
    shared experts and routers; chosen: the routed experts that one token goes through; idle: the
    other ones; head: 0 where it is the embedding.
    """

    embedding: int
    attention: int
    mlp: int
    chosen: int
    idle: int
    norms: int
    head: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)

    @property
    def active(self) -> int:
        """All but the experts that one token doesn't go through.

        The embedding counts whole, though a token reads one row.
        """
        return self.total - self.idle


def count(config: Config | str | Path) -> Counts:
    """The elements of all `shapes` of a config.json, or of its path; errors: those of `shapes`."""
    c = read(config)
    parts = dict.fromkeys(Counts._fields, 0)
    for name, shape in shapes(c).items():
        part = next(part for part, words in PARTS.items() if any(word in name for word in words))
        parts[part] += prod(shape)
    if c["model_type"] in SPARSE:
        each, chosen = experts(c)
        parts["chosen"] = parts["idle"] // each * chosen
        parts["idle"] -= parts["chosen"]
    return Counts(**parts)


def kv_per_token(config: Config | str | Path, element: int = 2) -> int:
    """2 · L · G · D · element bytes that one token adds to the cache of keys and values.

    Latent attention: L · (kv_lora_rank + qk_rope_head_dim) · element, for all heads together.
    element: bytes of a number. Errors: those of `shapes`.
    """
    c = read(config)
    layers = size(c, "num_hidden_layers")
    if c["model_type"] == "deepseek_v3":
        latent = size(c, "kv_lora_rank") + size(c, "qk_rope_head_dim")
        return layers * latent * positive_integer("element", element)
    _, kv_heads, head_dim = heads(c)
    return kv_cache_bytes(1, layers, kv_heads, head_dim, element)
