"""The tensors of a language model, name by name, from its config.json.

    model_type    attention                 biases of q, k, v; of o   feed-forward
    gpt2          q, k, v in one            always; always            GELU, with biases
    llama         grouped queries           attention_bias; too       SwiGLU, mlp_bias
    mistral       grouped queries           none; none                SwiGLU
    qwen2         grouped queries           always; none              SwiGLU
    qwen3         grouped, normed q and k   attention_bias; too       SwiGLU
    mixtral       grouped queries           none; none                experts
    qwen2_moe     grouped queries           qkv_bias; none            experts and a shared one
    qwen3_moe     grouped, normed q and k   attention_bias; too       experts
    deepseek_v3   latent (MLA)              of q_a, kv_a; of o        experts and shared ones

Some layers of the last three may be dense, with SwiGLU (`model_configs.sparse` says which).
Names are those of the hub's checkpoints. A linear layer's weight is (outputs, inputs), GPT-2's the
other way round; tied weights are there once. Only what is trained by gradients is here: neither
rotary tables nor the biases by which DeepSeek balances its experts; nor its module that predicts a
second token ahead.
Sources: the modelling files of `transformers` 5; DeepSeek-AI (2024), DeepSeek-V3, section 2.1.
"""

from pathlib import Path

from rlcourse.systems.model_configs import Config, experts, heads, read, size, sparse

Shapes = dict[str, tuple[int, ...]]
SWIGLU = ("gate_proj", "up_proj", "down_proj")


def shapes(config: Config | str | Path) -> Shapes:
    """Name -> shape of every tensor that is trained, in the order of the layers.

    config: the content of a config.json, or its path. ValueError for a model_type that isn't
    known, a key that is missing, a size below 1 and heads that don't divide what they share.
    """
    c = read(config)
    if c["model_type"] == "gpt2":
        return _gpt2(c)
    table = size(c, "vocab_size"), size(c, "hidden_size")
    layers = range(size(c, "num_hidden_layers"))
    kinds = {kind: _layer(c, kind) for kind in {sparse(c, i) for i in layers}}
    named: Shapes = {"model.embed_tokens.weight": table}
    for i in layers:
        named |= _under(f"model.layers.{i}", kinds[sparse(c, i)])
    named["model.norm.weight"] = table[1:]
    return named if c.get("tie_word_embeddings", False) else {**named, "lm_head.weight": table}


def _gpt2(c: Config) -> Shapes:
    heads(c)  # it refuses those that don't divide the width
    width = size(c, "hidden_size")
    table, hidden = (size(c, "vocab_size"), width), size(c, "intermediate_size", 4 * width)
    layer = {
        **_biased("ln_1", width),
        **_biased("attn.c_attn", width, 3 * width),
        **_biased("attn.c_proj", width, width),
        **_biased("ln_2", width),
        **_biased("mlp.c_fc", width, hidden),
        **_biased("mlp.c_proj", hidden, width),
    }
    named: Shapes = {"wte.weight": table, "wpe.weight": (size(c, "max_position_embeddings"), width)}
    for i in range(size(c, "num_hidden_layers")):
        named |= _under(f"h.{i}", layer)
    named = _under("transformer", {**named, **_biased("ln_f", width)})
    return named if c.get("tie_word_embeddings", True) else {**named, "lm_head.weight": table}


def _biased(name: str, *weight: int) -> Shapes:
    """A weight, and a bias of its last axis."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[-1:]}


def _under(place: str, named: Shapes) -> Shapes:
    return {f"{place}.{name}": shape for name, shape in named.items()}


def _projection(name: str, inputs: int, outputs: int, bias: bool = False) -> Shapes:
    """(outputs, inputs), and a bias for each output."""
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def _layer(c: Config, with_experts: bool) -> Shapes:
    """The tensors of a layer, under their names in it."""
    width = size(c, "hidden_size")
    attention = _latent_attention(c) if c["model_type"] == "deepseek_v3" else _attention(c)
    if with_experts:
        after = _mixture(c)
    else:
        bias = c["model_type"] == "llama" and c.get("mlp_bias", False)
        after = _under("mlp", _swiglu(width, size(c, "intermediate_size"), bias))
    norms = {f"{place}_layernorm.weight": (width,) for place in ("input", "post_attention")}
    return {**_under("self_attn", attention), **after, **norms}


def _attention(c: Config) -> Shapes:
    """H heads of queries, G of keys and values."""
    width, (queries, keys, dim) = size(c, "hidden_size"), heads(c)
    qkv_bias, o_bias = _biases(c)
    normed = ("q_norm", "k_norm") if c["model_type"] in ("qwen3", "qwen3_moe") else ()
    return {
        **_projection("q_proj", width, queries * dim, qkv_bias),
        **_projection("k_proj", width, keys * dim, qkv_bias),
        **_projection("v_proj", width, keys * dim, qkv_bias),
        **_projection("o_proj", queries * dim, width, o_bias),
        **{f"{name}.weight": (dim,) for name in normed},
    }


def _biases(c: Config) -> tuple[bool, bool]:
    """Whether q, k and v have biases, and whether o has."""
    match c["model_type"]:
        case "qwen2":
            return True, False
        case "qwen2_moe":
            return c.get("qkv_bias", True), False
        case "mistral" | "mixtral":
            return False, False
    return (c.get("attention_bias", False),) * 2


def _latent_attention(c: Config) -> Shapes:
    """Queries and keys pass through narrow layers; the cache keeps what kv_a gives."""
    width, every = size(c, "hidden_size"), size(c, "num_attention_heads")
    turned, plain = size(c, "qk_rope_head_dim"), size(c, "qk_nope_head_dim")
    latent, value = size(c, "kv_lora_rank"), size(c, "v_head_dim")
    bias, query = c.get("attention_bias", False), every * (plain + turned)
    if c.get("q_lora_rank", 0) is None:
        q = _projection("q_proj", width, query)
    else:
        narrow = size(c, "q_lora_rank")
        q = _projection("q_a_proj", width, narrow, bias) | _projection("q_b_proj", narrow, query)
        q["q_a_layernorm.weight"] = (narrow,)
    return {
        **q,
        **_projection("kv_a_proj_with_mqa", width, latent + turned, bias),
        "kv_a_layernorm.weight": (latent,),
        **_projection("kv_b_proj", latent, every * (plain + value)),
        **_projection("o_proj", every * value, width, bias),
    }


def _swiglu(width: int, hidden: int, bias: bool = False, names: tuple[str, ...] = SWIGLU) -> Shapes:
    gate, up, down = names
    return {
        **_projection(gate, width, hidden, bias),
        **_projection(up, width, hidden, bias),
        **_projection(down, hidden, width, bias),
    }


def _mixture(c: Config) -> Shapes:
    """A router, its experts, and those that every token goes through."""
    width, (each, _) = size(c, "hidden_size"), experts(c)
    if c["model_type"] == "mixtral":
        expert = _swiglu(width, size(c, "intermediate_size"), names=("w1", "w3", "w2"))
    else:
        hidden = size(c, "moe_intermediate_size")
        expert = _swiglu(width, hidden)
    named = _projection("gate", width, each)
    for e in range(each):
        named |= _under(f"experts.{e}", expert)
    if c["model_type"] == "qwen2_moe":
        shared = _swiglu(width, size(c, "shared_expert_intermediate_size"))
        named |= _under("shared_expert", shared) | _projection("shared_expert_gate", width, 1)
    if c["model_type"] == "deepseek_v3":
        shared = _swiglu(width, hidden * size(c, "n_shared_experts"))
        named |= _under("shared_experts", shared)
    return _under("block_sparse_moe" if c["model_type"] == "mixtral" else "mlp", named)
