"""Checkpoints of the hub: committed logits of Hugging Face's, round trips, sizes and refusals."""

import json
import shutil

import pytest
import torch
from hugging_face import FAMILIES, VECTORS
from safetensors.torch import load_file, save_file

from rlcourse.language import checkpoints
from rlcourse.language.config import Config
from rlcourse.language.rotary import Llama3Scaling
from rlcourse.language.transformer import Decoder

every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_logits_are_those_of_hugging_face(family):
    about = json.loads((VECTORS / family / "logits.json").read_text("utf-8"))
    model = checkpoints.load(VECTORS / family, dtype=torch.float64)
    expected = torch.tensor(about["logits"], dtype=torch.float64)
    assert torch.allclose(model(torch.tensor(about["tokens"])), expected, rtol=0, atol=1e-12)


@every_family
@pytest.mark.parametrize("shard_bytes", [None, 1, 2000])
def test_a_saved_model_comes_back_as_it_was(family, shard_bytes, tmp_path):
    model = checkpoints.load(VECTORS / family)
    checkpoints.save(model, tmp_path, shard_bytes=shard_bytes)
    again = checkpoints.load(tmp_path)
    assert again.config == model.config
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert bool(shards) == (shard_bytes is not None)
    for shard in shards:
        weights = load_file(shard)
        assert len(weights) == 1 or sum(w.nbytes for w in weights.values()) <= shard_bytes
    if shards:
        index = json.loads((tmp_path / checkpoints.INDEX).read_text("utf-8"))
        total = sum(w.nbytes for w in model.state_dict().values())
        assert index["metadata"]["total_size"] == total
        assert {*index["weight_map"].values()} == {shard.name for shard in shards}


def test_sixteen_bits_stay_unless_another_type_is_asked_for(tmp_path):
    checkpoints.save(checkpoints.load(VECTORS / "qwen2").bfloat16(), tmp_path)
    assert checkpoints.load(tmp_path).head.dtype == torch.bfloat16
    assert checkpoints.load(tmp_path, dtype=torch.float64).head.dtype == torch.float64
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["torch_dtype"] == "bfloat16"


def test_what_was_loaded_can_be_trained():
    model = checkpoints.load(VECTORS / "qwen3")
    model(torch.tensor([[1, 2, 3]])).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@every_family
def test_a_config_survives_the_journey(family):
    config = checkpoints.load(VECTORS / family).config
    assert checkpoints.read_config(checkpoints.config_of(config)) == config


def test_both_layouts_of_rotary_positions_are_read():
    about = published("llama-3.1-8b")
    scaling = about.pop("rope_scaling")
    new = about | {"rope_parameters": scaling | {"rope_theta": about.pop("rope_theta")}}
    found = checkpoints.read_config(new)
    assert found == checkpoints.read_config(published("llama-3.1-8b"))
    assert found.theta == 500_000
    assert found.scaling == Llama3Scaling(8.0, 1.0, 4.0, 8192)


def published(name):
    """What the config.json of a published model says, without what has no say in the logits."""
    keys = (
        "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "intermediate_size", "max_position_embeddings", "rms_norm_eps",
        "rope_theta", "tie_word_embeddings",
    )  # fmt: skip
    values = {
        "qwen2.5-7b": ("qwen2", 152064, 3584, 28, 28, 4, 18944, 131072, 1e-6, 1e6, False),
        "qwen2-72b": ("qwen2", 152064, 8192, 80, 64, 8, 29568, 131072, 1e-5, 1e6, False),
        "qwen3-8b": ("qwen3", 151936, 4096, 36, 32, 8, 12288, 40960, 1e-6, 1e6, False),
        "llama-2-7b": ("llama", 32000, 4096, 32, 32, 32, 11008, 4096, 1e-5, 1e4, False),
        "llama-3.1-8b": ("llama", 128256, 4096, 32, 32, 8, 14336, 131072, 1e-5, 5e5, False),
    }[name]
    about = dict(zip(keys, values, strict=True)) | {"hidden_act": "silu"}
    if name == "qwen3-8b":
        about |= {"head_dim": 128, "attention_bias": False, "rope_scaling": None}
    if name == "llama-3.1-8b":
        about["rope_scaling"] = {
            "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        }  # fmt: skip
    return about


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwen2.5-7b", 7_615_616_512),
        ("qwen2-72b", 72_706_203_648),
        ("qwen3-8b", 8_190_735_360),
        ("llama-2-7b", 6_738_415_616),
        ("llama-3.1-8b", 8_030_261_248),
    ],
)
def test_published_models_have_their_number_of_parameters(name, parameters):
    model = Decoder(checkpoints.read_config(published(name)), generator=None)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gemma"}, "model_type must be one of .* got 'gemma'"),
        ({"logit_softcap": 30.0, "alpha": 1}, r"not known: \['alpha', 'logit_softcap'\]"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu', got 'gelu'"),
        ({"use_sliding_window": True}, "use_sliding_window must be False, got True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, r"got \['sliding_attention'\]"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_type must be 'default' or 'llama3', got 'yarn'"),
        (
            {"rope_scaling": {"rope_type": "llama3"}},
            r"must come with \['factor', ",
        ),
        ({"vocab_size": None}, r"must have the keys \['vocab_size'\]"),
        ({"num_key_value_heads": 5}, "heads must be a multiple of kv_heads = 5, got 28"),
    ],
)
def test_a_config_that_asks_for_something_else_is_refused(change, message):
    about = {k: v for k, v in (published("qwen2.5-7b") | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        checkpoints.read_config(about)


def test_switches_that_no_family_has_are_refused():
    config = Config(9, 8, 1, 2, 1, 4, 6, qk_norm=True, mlp_bias=True)
    with pytest.raises(ValueError, match="config must have the switches of one of"):
        checkpoints.config_of(config)


@pytest.fixture
def broken(tmp_path):
    """A copy of a checkpoint whose weights a function may change."""

    def change(what):
        shutil.copytree(VECTORS / "qwen3", tmp_path, dirs_exist_ok=True)
        weights = load_file(tmp_path / "model.safetensors")
        what(weights)
        save_file(weights, tmp_path / "model.safetensors")
        return tmp_path

    return change


def test_tensors_that_do_not_fit_are_named(broken):
    name = "model.layers.1.mlp.up_proj.weight"
    missing = r"hold layers.1.mlp.up_proj.weight of shape \(12, 8\), it is missing"
    with pytest.raises(ValueError, match=missing):
        checkpoints.load(broken(lambda w: w.pop(name)))
    with pytest.raises(ValueError, match=r"must have shape \(12, 8\), got \(3, 8\)"):
        checkpoints.load(broken(lambda w: w.update({name: w[name][:3].clone()})))
    with pytest.raises(ValueError, match=r"1 tensors that no layer takes: {'extra': \(2,\)}"):
        checkpoints.load(broken(lambda w: w.update(extra=torch.zeros(2))))


def test_a_head_that_differs_from_what_it_is_tied_to_is_refused(broken):
    table = "model.embed_tokens.weight"
    same = broken(lambda w: w.update({"lm_head.weight": w[table].clone()}))
    assert checkpoints.load(same).config.tied
    with pytest.raises(ValueError, match=r"lm_head\.weight must equal the embedding"):
        checkpoints.load(broken(lambda w: w.update({"lm_head.weight": w[table] + 1})))


def test_old_rotary_buffers_are_passed_over(broken):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    checkpoints.load(broken(lambda w: w.update({name: torch.zeros(3)})))


def test_a_folder_without_its_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder must hold config\.json"):
        checkpoints.load(tmp_path)
    shutil.copy(VECTORS / "qwen3" / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must hold model\.safetensors or"):
        checkpoints.load(tmp_path)
    model = checkpoints.load(VECTORS / "qwen3")
    checkpoints.save(model, tmp_path, shard_bytes=2000)
    next(tmp_path.glob("model-00002-*")).unlink()
    with pytest.raises(FileNotFoundError, match="names model-00002-of-"):
        checkpoints.load(tmp_path)
