"""Parameters by name, shape and number against Hugging Face's models."""

import json
import random

import pytest
import torch

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")

from safetensors import safe_open  # noqa: E402

from rlcourse.systems.parameter_counts import MODELS, count, kv_per_token, shapes  # noqa: E402

DECODER = {
    "vocab_size": 13, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "intermediate_size": 14, "max_position_embeddings": 64,
}  # fmt: skip
MIXTURE = {**DECODER, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 10}
LATENT = {
    **DECODER, "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 10,
    "n_shared_experts": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
    "q_lora_rank": 9, "kv_lora_rank": 7, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
    "v_head_dim": 5, "num_key_value_heads": 6,
}  # fmt: skip
GPT2 = {"vocab_size": 13, "n_positions": 7, "n_embd": 12, "n_layer": 3, "n_head": 4}
CASES = {  # what it shows -> model_type and keys
    "gpt2": ("gpt2", GPT2),
    "gpt2, its own inner width, untied": (
        "gpt2",
        {**GPT2, "n_inner": 20, "tie_word_embeddings": False},
    ),
    "llama": ("llama", DECODER),
    "llama, every head with its own keys, tied": (
        "llama",
        {**DECODER, "num_key_value_heads": None, "tie_word_embeddings": True},
    ),
    "llama, biases, its own head dimension": (
        "llama",
        {**DECODER, "attention_bias": True, "mlp_bias": True, "head_dim": 10},
    ),
    "mistral": ("mistral", DECODER),
    "mistral, its own head dimension": ("mistral", {**DECODER, "head_dim": 10}),
    "qwen2": ("qwen2", DECODER),
    "qwen2, tied": ("qwen2", {**DECODER, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", DECODER),
    "qwen3, biases, its own head dimension": (
        "qwen3",
        {**DECODER, "attention_bias": True, "head_dim": 10},
    ),
    "mixtral": ("mixtral", {**DECODER, "num_local_experts": 5, "num_experts_per_tok": 3}),
    "qwen2_moe": ("qwen2_moe", {**MIXTURE, "shared_expert_intermediate_size": 18}),
    "qwen2_moe, no biases, the second layer alone with experts": (
        "qwen2_moe",
        {
            **MIXTURE,
            "shared_expert_intermediate_size": 18,
            "qkv_bias": False,
            "decoder_sparse_step": 2,
        },
    ),
    "qwen3_moe": ("qwen3_moe", {**MIXTURE, "head_dim": 10}),
    "qwen3_moe, biases, a dense layer": (
        "qwen3_moe",
        {**MIXTURE, "attention_bias": True, "mlp_only_layers": [1]},
    ),
    "deepseek_v3": ("deepseek_v3", LATENT),
    "deepseek_v3, wide queries, biases": (
        "deepseek_v3",
        {**LATENT, "q_lora_rank": None, "attention_bias": True},
    ),
    "deepseek_v3, experts everywhere": ("deepseek_v3", {**LATENT, "first_k_dense_replace": 0}),
}
USUAL = {"n_head": "num_attention_heads", "n_embd": "hidden_size"}
FREE = {
    "vocab_size", "intermediate_size", "num_hidden_layers", "n_positions", "n_layer", "n_inner",
    "num_experts", "num_local_experts", "moe_intermediate_size", "shared_expert_intermediate_size",
    "n_shared_experts", "first_k_dense_replace", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim",
    "v_head_dim",
}  # fmt: skip
BUFFER = "e_score_correction_bias"  # saved, but no gradient reaches it
every_case = pytest.mark.parametrize(("family", "keys"), CASES.values(), ids=CASES)
with_experts = pytest.mark.parametrize(
    ("family", "keys"),
    [case for case in CASES.values() if "num_experts_per_tok" in case[1]],
    ids=[name for name, case in CASES.items() if "num_experts_per_tok" in case[1]],
)


def peer(family, keys, seed=0):
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(family, **keys)
    return transformers.AutoModelForCausalLM.from_config(
        config, experts_implementation="eager"
    ).eval()


@every_case
def test_names_and_shapes_are_those_of_a_checkpoint(family, keys, tmp_path):
    model = peer(family, keys)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        saved = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    saved = {name: shape for name, shape in saved.items() if BUFFER not in name}
    about = {"model_type": family, **keys}
    assert shapes(about) == saved
    assert count(about).total == sum(p.numel() for p in model.parameters())
    assert shapes(tmp_path / "config.json") == saved
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == family


@pytest.mark.parametrize("name", MODELS)
def test_well_known_models_have_as_many_parameters_as_the_peer_builds(name):
    about = MODELS[name]
    with torch.device("meta"):
        model = peer(about["model_type"], {k: v for k, v in about.items() if k != "model_type"})
    assert count(about).total == sum(p.numel() for p in model.parameters())


@every_case
def test_totals_agree_for_sizes_drawn_at_random(family, keys):
    rng = random.Random(0)
    for _ in range(4):
        drawn = {k: v + rng.randrange(9) if k in FREE and v else v for k, v in keys.items()}
        more, wider = rng.randint(1, 2), rng.randint(1, 3)
        for key, times in {"n_head": more, "n_embd": more * wider}.items():
            key = key if family == "gpt2" else USUAL[key]
            drawn[key] = times * keys[key]
        with torch.device("meta"):
            model = peer(family, drawn)
        expected = sum(p.numel() for p in model.parameters())
        assert count({"model_type": family, **drawn}).total == expected, drawn


@with_experts
def test_a_token_goes_through_the_active_parameters(family, keys):
    model = peer(family, keys)
    model(torch.tensor([[3]])).logits.square().sum().backward()
    touched = 0
    for name, p in model.named_parameters():
        if ".experts." in name:  # one slice for each expert
            touched += int(p.grad.flatten(1).any(1).sum()) * p[0].numel()
        elif p.grad is not None:
            touched += p.numel()
    found = count({"model_type": family, **keys})
    assert touched == found.active < found.total


@every_case
def test_the_cache_grows_by_what_a_token_adds(family, keys):
    about = {"model_type": family, **keys}
    model = peer(family, keys)
    cache = model(torch.tensor([[3, 1, 4]]), use_cache=True).past_key_values
    held = sum(a.nbytes for layer in cache.layers for a in (layer.keys, layer.values))
    assert held == 3 * kv_per_token(about, element=4)
