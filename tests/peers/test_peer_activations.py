"""The ledger of transformers' models against what autograd saves in them."""

import random

import pytest
import torch

pytestmark = pytest.mark.peers
transformers = pytest.importorskip("transformers")

from rlcourse.language.config import Config  # noqa: E402
from rlcourse.systems.memory_counter import storage_bytes  # noqa: E402
from rlcourse.systems.peer_activations import peer_bytes  # noqa: E402
from rlcourse.systems.saved_tensors import saved_tensors  # noqa: E402


def theirs(family, c, attention, dtype):
    config = getattr(transformers, f"{family}Config")(
        vocab_size=c.vocabulary, hidden_size=c.width, num_hidden_layers=c.layers,
        num_attention_heads=c.heads, num_key_value_heads=c.kv_heads, head_dim=c.head_dim,
        intermediate_size=c.hidden, attn_implementation=attention, use_cache=False,
    )  # fmt: skip
    return getattr(transformers, f"{family}ForCausalLM")(config).to(dtype).train()


def checkpoint_layers(model):
    """By the method's name in version 5, or its older one."""
    new = getattr(model, "activation_checkpointing_enable", None)
    (new or model.gradient_checkpointing_enable)({"use_reentrant": False})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("policy", ["all", "full"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3"])
def test_the_bytes_are_those_that_autograd_saves(family, attention, policy, dtype):
    rng = random.Random(f"{family} {attention} {policy} {dtype}")
    for _ in range(5):
        kv_heads = rng.choice((1, 2, 3))
        heads = kv_heads * rng.choice((1, 2, 3))
        config = Config(
            vocabulary=rng.randint(2, 60), width=heads * rng.randint(1, 9), heads=heads,
            kv_heads=kv_heads, head_dim=2 * rng.randint(1, 9), hidden=rng.randint(1, 50),
            layers=rng.randint(1, 3), qk_norm=family == "Qwen3",
        )  # fmt: skip
        batch, tokens = rng.randint(1, 4), rng.choice((1, 2, 3, 7, 40))
        model = theirs(family, config, attention, dtype)
        if policy == "full":
            checkpoint_layers(model)
        ids = torch.randint(config.vocabulary, (batch, tokens))
        saved = saved_tensors(lambda: model(ids, labels=ids), model.parameters())  # noqa: B023
        expected = peer_bytes(
            config, config.layers, batch, tokens, dtype.itemsize, policy, attention
        )
        if policy == "full":  # as ours: a checkpoint holds the tables out of sight
            expected -= 2 * tokens * config.head_dim * dtype.itemsize
        assert storage_bytes(saved) == expected, (config, batch, tokens)
