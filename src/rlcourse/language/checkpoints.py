"""Checkpoints of the hub: a folder with config.json and weights in safetensors, read and written.

    family          model_type   biases of q, k, v   of o   of SwiGLU   norms of q and k
    Llama           llama        attention_bias      too    mlp_bias    none
    Qwen2, Qwen2.5  qwen2        always              none   none        none
    Qwen3           qwen3        attention_bias      too    none        always

A key of config.json that is not known is an error, since it may change the computation; so is a
known one whose value asks for something a `Decoder` doesn't do. Rotary positions stand there in one
of two layouts: `rope_theta` and `rope_scaling`, or all of it in `rope_parameters`.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlcourse.language.config import Config
from rlcourse.language.rotary import Llama3Scaling
from rlcourse.language.transformer import Decoder

FAMILIES = ("llama", "qwen2", "qwen3")
SIZES = {  # our name -> the hub's
    "vocabulary": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "positions": "max_position_embeddings",
    "eps": "rms_norm_eps",
}
READ = {
    *SIZES.values(), "model_type", "num_key_value_heads", "head_dim", "rope_theta", "rope_scaling",
    "rope_parameters", "attention_bias", "mlp_bias", "tie_word_embeddings",
}  # fmt: skip
HARMLESS = {  # they say nothing about how logits come about
    "_name_or_path", "architectures", "attention_dropout", "bos_token_id",
    "chunk_size_feed_forward", "dtype", "eos_token_id", "id2label", "initializer_range",
    "is_encoder_decoder", "label2id", "max_window_layers", "output_attentions",
    "output_hidden_states", "pad_token_id", "problem_type", "return_dict", "sliding_window",
    "torch_dtype", "transformers_version", "unsloth_version", "use_cache",
}  # fmt: skip
ONLY = {  # key -> the values that a Decoder can do
    "hidden_act": ("silu",),
    "partial_rotary_factor": (1, None),
    "pretraining_tp": (1, None),
    "use_sliding_window": (False, None),
}
SHARD = "model-{:05d}-of-{:05d}.safetensors"
INDEX = "model.safetensors.index.json"


# ------------------------------------------------------------------------------- config.json


def read_config(about: Mapping[str, Any]) -> Config:
    """The sizes and switches that a config.json describes, in either layout.

    Raises ValueError for a family, key or value that is not known, and for a key that is missing.
    """
    family = about.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"model_type must be one of {FAMILIES}, got {family!r}")
    _refuse(about)
    if missing := [key for key in SIZES.values() if key not in about]:
        raise ValueError(f"config.json must have the keys {missing}, got {sorted(about)}")
    heads = about["num_attention_heads"]
    theta, scaling = _rotary(about)
    bias = bool(about.get("attention_bias", False))
    usual = 128 if family == "qwen3" else about["hidden_size"] // heads
    return Config(
        **{name: about[key] for name, key in SIZES.items()},
        kv_heads=about.get("num_key_value_heads") or heads,
        head_dim=about.get("head_dim") or usual,
        theta=theta,
        scaling=scaling,
        qkv_bias=bias or family == "qwen2",
        o_bias=bias and family != "qwen2",
        mlp_bias=family == "llama" and bool(about.get("mlp_bias", False)),
        qk_norm=family == "qwen3",
        tied=bool(about.get("tie_word_embeddings", False)),
    )


def _refuse(about: Mapping[str, Any]) -> None:
    if unknown := sorted({*about} - READ - HARMLESS - {*ONLY} - {"layer_types"}):
        raise ValueError(f"config.json has keys that are not known: {unknown}")
    for key, values in ONLY.items():
        if (value := about.get(key, values[0])) not in values:
            raise ValueError(f"{key} must be {values[0]!r}, got {value!r}")
    if other := {*(about.get("layer_types") or ())} - {"full_attention"}:
        raise ValueError(f"layer_types must all be 'full_attention', got {sorted(other)}")


def _rotary(about: Mapping[str, Any]) -> tuple[float, Llama3Scaling | None]:
    """θ, and how positions are stretched."""
    given = about.get("rope_parameters") or about.get("rope_scaling") or {}
    theta = float(given.get("rope_theta", about.get("rope_theta", 10_000.0)))
    kind = given.get("rope_type", given.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise ValueError(f"rope_type must be 'default' or 'llama3', got {kind!r}")
    names = "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"a rope_type of 'llama3' must come with {missing}, got {sorted(given)}")
    return theta, Llama3Scaling(*(given[name] for name in names))


def config_of(config: Config) -> dict[str, Any]:
    """What config.json says of a model, in the hub's layout.

    Raises ValueError where no family has these switches.
    """
    c = config
    family = "qwen3" if c.qk_norm else "qwen2" if c.qkv_bias and not c.o_bias else "llama"
    bias = {} if family == "qwen2" else {"attention_bias": c.qkv_bias}
    stretch = c.scaling and {
        "rope_type": "llama3",
        "factor": c.scaling.factor,
        "low_freq_factor": c.scaling.low,
        "high_freq_factor": c.scaling.high,
        "original_max_position_embeddings": c.scaling.original,
    }
    about = {
        "architectures": [f"{family.capitalize()}ForCausalLM"],
        "model_type": family,
        **{key: getattr(c, name) for name, key in SIZES.items()},
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "rope_theta": c.theta,
        "rope_scaling": stretch,
        "tie_word_embeddings": c.tied,
        **bias,
        **({"mlp_bias": c.mlp_bias} if family == "llama" else {}),
    }
    if read_config(about) != c:
        raise ValueError(f"config must have the switches of one of {FAMILIES}, got {c}")
    return about


# ------------------------------------------------------------------------------- weights


def load(folder: str | Path, dtype: torch.dtype | None = None) -> Decoder:
    """The model in a local folder of the hub's form, on the CPU, in its own type unless told.

    Raises ValueError as `read_config` does, and for tensors that are missing, too many or of
    another shape; FileNotFoundError where config.json or the weights are missing.
    """
    folder = Path(folder)
    model = Decoder(read_config(_json(folder / "config.json")), generator=None)
    weights = {name.removeprefix("model."): w for name, w in _weights(folder).items()}
    weights = {name: w for name, w in weights.items() if not name.endswith("rotary_emb.inv_freq")}
    if model.config.tied and (head := weights.pop("lm_head.weight", None)) is not None:
        table = weights.get("embed_tokens.weight")
        if table is None or not torch.equal(head, table):
            raise ValueError("lm_head.weight must equal the embedding it is tied to, it differs")
    _compare({name: w.shape for name, w in model.state_dict().items()}, weights)
    model.load_state_dict(
        {name: w.to(dtype or w.dtype) for name, w in weights.items()}, assign=True
    )
    return model


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"folder must hold {path.name}, {path.parent} doesn't")
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return about


def _weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, by the hub's names."""
    if (whole := folder / "model.safetensors").is_file():
        return load_file(whole)
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"folder must hold model.safetensors or {INDEX}, {folder} doesn't")
    places: dict[str, str] = _json(folder / INDEX)["weight_map"]
    found: dict[str, Tensor] = {}
    for shard in dict.fromkeys(places.values()):
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"{INDEX} names {shard}, {folder} doesn't hold it")
        found |= load_file(folder / shard)
    return found


def _compare(expected: Mapping[str, torch.Size], found: Mapping[str, Tensor]) -> None:
    """ValueError for the first tensor that is missing, of another shape, or not expected."""
    for name, shape in expected.items():
        if name not in found:
            raise ValueError(f"weights must hold {name} of shape {tuple(shape)}, it is missing")
        if found[name].shape != shape:
            got = tuple(found[name].shape)
            raise ValueError(f"{name} must have shape {tuple(shape)}, got {got}")
    if extra := sorted({*found} - {*expected}):
        shapes = {name: tuple(found[name].shape) for name in extra[:3]}
        raise ValueError(f"weights hold {len(extra)} tensors that no layer takes: {shapes}")


def save(model: Decoder, folder: str | Path, *, shard_bytes: int | None = None) -> None:
    """Write config.json and the weights, which `load` and `transformers` read.

    shard_bytes: the most bytes of weights in a file (one tensor at least); None for one file.
    """
    folder = Path(folder)
    about = config_of(model.config)
    folder.mkdir(parents=True, exist_ok=True)
    about["torch_dtype"] = str(model.head.dtype).removeprefix("torch.")
    _write(folder / "config.json", about)
    weights = {
        name if name.startswith("lm_head") else f"model.{name}": w.detach().contiguous().cpu()
        for name, w in model.state_dict().items()
    }
    shards = _shards(weights, shard_bytes)
    if len(shards) == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    places: dict[str, str] = {}
    for i, names in enumerate(shards, start=1):
        file = SHARD.format(i, len(shards))
        save_file({name: weights[name] for name in names}, folder / file, {"format": "pt"})
        places |= dict.fromkeys(names, file)
    total = sum(w.nbytes for w in weights.values())
    _write(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def _shards(weights: Mapping[str, Tensor], most: int | None) -> list[list[str]]:
    """Names in order, cut where the next tensor would make a file larger than `most` bytes."""
    cuts, size = [0], 0
    for i, w in enumerate(weights.values()):
        if most is not None and size and size + w.nbytes > most:
            cuts.append(i)
            size = 0
        size += w.nbytes
    names = [*weights]
    return [names[a:b] for a, b in pairwise([*cuts, len(names)])]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
