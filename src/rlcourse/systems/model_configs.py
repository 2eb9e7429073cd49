"""config.json: the sizes that say how large a language model is, read and checked.

Families call a size by the same name, apart from GPT-2 and the number of experts; here it is asked
for by the usual name. `MODELS` holds the keys that matter of well-known models, as published.
Letters: C width, H heads of queries, G heads of keys, D head dimension.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlcourse._check import positive_integer

Config = Mapping[str, Any]
MODELS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("model_configs.json").read_text(encoding="utf-8")
)
DENSE = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
SPARSE = ("mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v3")
FAMILIES = (*DENSE, *SPARSE)
GPT2 = {  # the usual name -> GPT-2's
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
REFUSED = {"add_cross_attention": False, "moe_layer_freq": 1}  # key -> the only value counted


def read(config: Config | str | Path) -> Config:
    """A config of a family that is known, from its content or its path.

    ValueError for a file that holds no object, a model_type that isn't one of FAMILIES, and for
    cross-attention or experts in every so many layers, which aren't counted.
    """
    if isinstance(config, str | Path):
        config = json.loads(Path(config).read_text(encoding="utf-8"))
    if not isinstance(config, Mapping):
        raise ValueError(f"config must be an object with keys, got {type(config).__name__}")
    if (family := config.get("model_type")) not in FAMILIES:
        raise ValueError(f"model_type must be one of {', '.join(FAMILIES)}, got {family!r}")
    for key, value in REFUSED.items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} must be {value}, got {config[key]!r}")
    return config


def size(config: Config, key: str, usual: int | None = None) -> int:
    """The size under a key, or the usual one where it is absent or null.

    ValueError where it is needed and absent, and for what isn't an integer of at least 1.
    """
    family = config["model_type"]
    if family == "gpt2" and key not in config:
        key = GPT2.get(key, key)
    if config.get(key) is not None:
        return positive_integer(key, config[key])
    if usual is None:
        raise ValueError(f"config lacks {key}, which model_type {family} needs")
    return usual


def heads(config: Config) -> tuple[int, int, int]:
    """H, G, D: G is H where it is null, or absent from the oldest families; D is C/H, 128 in Qwen3.

    ValueError unless H divides C, where D follows from them, and G divides H.
    """
    family, width = config["model_type"], size(config, "hidden_size")
    queries = size(config, "num_attention_heads")
    if family != "qwen3" and config.get("head_dim") is None and width % queries:
        raise ValueError(f"hidden_size must be a multiple of {queries} heads, got {width}")
    ungrouped = family in ("gpt2", "llama") or "num_key_value_heads" in config
    keys = size(config, "num_key_value_heads", queries if ungrouped else None)
    if queries % keys:
        raise ValueError(f"num_attention_heads must be a multiple of {keys} of keys, got {queries}")
    return queries, keys, size(config, "head_dim", 128 if family == "qwen3" else width // queries)


def experts(config: Config) -> tuple[int, int]:
    """Routed experts of a layer, and how many of them a token goes through, no more than these."""
    each = size(config, next((key for key in EXPERTS if key in config), "num_experts"))
    chosen = size(config, "num_experts_per_tok")
    if chosen > each:
        raise ValueError(f"num_experts_per_tok must be at most the {each} experts, got {chosen}")
    return each, chosen


def sparse(config: Config, layer: int) -> bool:
    """Whether a layer, counted from 0, has experts."""
    match config["model_type"]:
        case "mixtral":
            return True
        case "deepseek_v3":
            key = "first_k_dense_replace"
            return config.get(key) == 0 or layer >= size(config, key)
        case "qwen2_moe" | "qwen3_moe":
            dense = config.get("mlp_only_layers") or ()
            return layer not in dense and (layer + 1) % size(config, "decoder_sparse_step", 1) == 0
    return False
