"""Parameters against published numbers, real checkpoints and our own decoder.

What the peer builds from the same configs is in tests/peers.
"""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from rlcourse.language import checkpoints
from rlcourse.language.transformer import Decoder
from rlcourse.systems import zero
from rlcourse.systems.model_configs import FAMILIES, sparse
from rlcourse.systems.parameter_counts import MODELS, Counts, count, kv_per_token, shapes

VECTORS = Path(__file__).parents[1] / "language" / "vectors"
TOTALS = {  # what transformers 5.24 builds; but for DeepSeek's, also elements of the hub's weights
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "Llama-2-7B": 6_738_415_616,
    "Llama-2-70B": 68_976_648_192,
    "Llama-3.2-1B": 1_235_814_400,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Mistral-7B": 7_241_732_096,
    "Qwen2.5-0.5B": 494_032_768,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-8B": 8_190_735_360,
    "Mixtral-8x7B": 46_702_792_704,
    "Qwen1.5-MoE-A2.7B": 14_315_784_192,
    "Qwen3-30B-A3B": 30_532_122_624,
    "DeepSeek-V3": 671_026_419_200 - 58 * 256,  # without the biases that balance its experts
}
PRINTED = {  # in 10⁹, by model cards and papers: total, active, without embedding and head
    "gpt2-xl": ("1.558", None, None),
    "Qwen2.5-0.5B": ("0.49", None, "0.36"),
    "Qwen2.5-7B": ("7.61", None, "6.53"),
    "Qwen3-0.6B": ("0.6", None, "0.44"),
    "Qwen3-8B": ("8.2", None, "6.95"),
    "Mixtral-8x7B": ("46.7", "12.9", None),
    "Qwen1.5-MoE-A2.7B": ("14.3", "2.7", None),
    "Qwen3-30B-A3B": ("30.5", "3.3", "29.9"),
    "DeepSeek-V3": ("671", "37", None),
}
TINY = {
    "vocab_size": 13, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "intermediate_size": 14, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
}  # fmt: skip
DECODERS = {
    "llama": {**TINY, "model_type": "llama"},
    "llama, biases, tied": {
        **TINY,
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": True,
        "head_dim": 10,
    },
    "qwen2": {**TINY, "model_type": "qwen2"},
    "qwen3": {**TINY, "model_type": "qwen3", "tie_word_embeddings": True, "head_dim": 8},
} | {name: about for name, about in MODELS.items() if about["model_type"] in checkpoints.FAMILIES}
USUAL = "vocab_size hidden_size num_hidden_layers num_attention_heads"
GROUPED = f"{USUAL} num_key_value_heads"
NEEDED = {
    "gpt2": "vocab_size n_positions n_embd n_layer n_head",
    "Llama-2-7B": f"{USUAL} intermediate_size",
    "Mistral-7B": f"{GROUPED} intermediate_size",
    "Qwen2.5-7B": f"{GROUPED} intermediate_size",
    "Qwen3-8B": f"{GROUPED} intermediate_size",
    "Mixtral-8x7B": f"{GROUPED} intermediate_size num_experts_per_tok",
    "Qwen1.5-MoE-A2.7B": f"{GROUPED} num_experts num_experts_per_tok moe_intermediate_size "
    "shared_expert_intermediate_size",
    "Qwen3-30B-A3B": f"{GROUPED} num_experts num_experts_per_tok moe_intermediate_size",
    "DeepSeek-V3": f"{USUAL} intermediate_size num_experts_per_tok moe_intermediate_size "
    "n_shared_experts first_k_dense_replace q_lora_rank kv_lora_rank qk_nope_head_dim "
    "qk_rope_head_dim v_head_dim",
}
MIXTRAL = MODELS["Mixtral-8x7B"]
DEEPSEEK = MODELS["DeepSeek-V3"]
every_decoder = pytest.mark.parametrize("about", DECODERS.values(), ids=DECODERS)


def decoder(about):
    return Decoder(checkpoints.read_config(about), generator=None)


@pytest.mark.parametrize("name", MODELS)
def test_well_known_models_have_their_parameters(name):
    assert count(MODELS[name]).total == TOTALS[name]


@pytest.mark.parametrize("name", PRINTED)
def test_counts_are_as_printed_to_one_in_the_last_digit(name):
    found = count(MODELS[name])
    inner = found.total - found.embedding - found.head
    for number, printed in zip((found.total, found.active, inner), PRINTED[name], strict=True):
        if printed:
            digits = len(printed.partition(".")[2])
            assert abs(number / 1e9 - float(printed)) < 10**-digits


@every_decoder
def test_our_decoder_has_these_tensors(about):
    expected = {
        name if name.startswith("lm_head") else f"model.{name}": tuple(p.shape)
        for name, p in decoder(about).named_parameters()
    }
    assert shapes(about) == expected
    assert count(about).active == count(about).total


@pytest.mark.parametrize("family", ["llama", "llama-3.1", "qwen2", "qwen3"])
def test_a_checkpoint_holds_these_tensors(family):
    with safe_open(VECTORS / family / "model.safetensors", "pt") as file:
        held = {name: tuple(file.get_slice(name).get_shape()) for name in list(file.keys())}
    assert shapes(VECTORS / family / "config.json") == held
    assert shapes(str(VECTORS / family / "config.json")) == held


@every_decoder
def test_a_cache_of_our_decoder_holds_these_bytes(about):
    cache = decoder(about).cache(batch=2, size=3)
    assert cache.k.nbytes + cache.v.nbytes == 6 * kv_per_token(about, element=4)


@pytest.mark.parametrize(
    ("name", "kib"),
    [("Llama-2-7B", 512), ("Llama-2-70B", 320), ("Qwen2.5-7B", 56), ("Qwen3-8B", 144)],
)
def test_a_token_adds_so_many_kibibytes_to_the_cache(name, kib):
    assert kv_per_token(MODELS[name]) == kib * 1024


def test_latent_attention_caches_one_narrow_vector_for_all_heads():
    assert kv_per_token(DEEPSEEK) == 61 * (512 + 64) * 2
    heads = {**DEEPSEEK, "model_type": "llama", "head_dim": 128}  # as many, without it
    assert kv_per_token(heads) > 56 * kv_per_token(DEEPSEEK)


def test_fields_add_up_to_the_total():
    found = count(MIXTRAL)
    assert found == Counts(131072000, 1342177280, 1048576, *found[3:5], 266240, 131072000)
    assert (found.chosen, found.idle) == (2 * 32 * 3 * 4096 * 14336, 6 * 32 * 3 * 4096 * 14336)
    assert found.total == found.active + found.idle


def test_all_experts_chosen_leave_none_idle():
    found = count({**MIXTRAL, "num_experts_per_tok": 8})
    assert found.idle == 0
    assert found.total == TOTALS["Mixtral-8x7B"]


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (DEEPSEEK, [False] * 3 + [True] * 58),
        ({**DEEPSEEK, "first_k_dense_replace": 0}, [True] * 61),
        (MIXTRAL, [True] * 32),
        (MODELS["Llama-2-7B"], [False] * 32),
        ({"model_type": "qwen2_moe", "num_hidden_layers": 5, "decoder_sparse_step": 2},
         [False, True, False, True, False]),
        ({"model_type": "qwen3_moe", "num_hidden_layers": 4, "mlp_only_layers": [1, 2]},
         [True, False, False, True]),
    ],
)  # fmt: skip
def test_some_layers_have_experts(about, expected):
    assert [sparse(about, i) for i in range(about["num_hidden_layers"])] == expected


def test_shapes_are_what_the_states_are_counted_from():
    named = shapes(MODELS["Qwen2.5-0.5B"])
    (rank,) = zero.states([*named.values()], zero.RECIPES["bf16 Adam"], ranks=1, stage=0)
    assert rank.total == 16 * TOTALS["Qwen2.5-0.5B"]


@pytest.mark.parametrize("name", NEEDED)
def test_every_family_needs_its_keys(name):
    about = MODELS[name]
    for key in NEEDED[name].split():
        without = {k: v for k, v in about.items() if k != key}
        message = f"config lacks {key}, which model_type {about['model_type']} needs"
        with pytest.raises(ValueError, match=message):
            count(without)
        with pytest.raises(ValueError, match=message):
            shapes(without)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"}, f"model_type must be one of {', '.join(FAMILIES)}, got 'bert'"),
        ({"model_type": None}, "model_type must be one of"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be an integer of at least 1, got 0"),
        ({"vocab_size": -5}, "vocab_size must be an integer of at least 1, got -5"),
        ({"hidden_size": 12.0}, "hidden_size must be an integer of at least 1, got 12.0"),
        ({"head_dim": 0}, "head_dim must be an integer of at least 1, got 0"),
        ({"num_attention_heads": 7}, "hidden_size must be a multiple of 7 heads, got 24"),
        ({"num_key_value_heads": 4}, "num_attention_heads must be a multiple of 4 of keys, got 6"),
        ({"model_type": "gpt2", "n_head": 5, "num_attention_heads": 5}, "multiple of 5 heads"),
        ({"add_cross_attention": True}, "add_cross_attention must be False, got True"),
    ],
)
def test_a_config_that_is_wrong_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        count({**TINY, "model_type": "llama", **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_experts_per_tok": 300}, "num_experts_per_tok must be at most the 256 experts"),
        ({"first_k_dense_replace": -1}, "first_k_dense_replace must be an integer of at least 1"),
        ({"moe_layer_freq": 2}, "moe_layer_freq must be 1, got 2"),
        ({"n_shared_experts": 0}, "n_shared_experts must be an integer of at least 1, got 0"),
    ],
)
def test_experts_that_are_wrong_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        count({**DEEPSEEK, **change})


def test_a_number_has_at_least_a_byte():
    for about in (DEEPSEEK, MIXTRAL):
        with pytest.raises(ValueError, match="element must be an integer of at least 1, got 0"):
            kv_per_token(about, element=0)


def test_a_file_must_hold_an_object(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="config must be an object with keys, got list"):
        count(tmp_path / "config.json")
