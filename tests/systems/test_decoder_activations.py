"""The ledger of the decoder against what PyTorch's hooks see and what its allocator holds."""

import random
from dataclasses import replace

import pytest
import torch

from rlcourse.language.config import Config
from rlcourse.language.transformer import Decoder
from rlcourse.systems.decoder_activations import (
    ATTENTIONS,
    POLICIES,
    coefficients,
    ends_bytes,
    ends_ledger,
    layer_bytes,
    layer_ledger,
)
from rlcourse.systems.memory_counter import MemoryCounter, storage_bytes
from rlcourse.systems.saved_tensors import checkpointed, decoder_loss, saved_tensors

SMALL = Config(
    vocabulary=50, width=24, layers=2, heads=4, kv_heads=2, head_dim=10, hidden=36, tied=False
)
DTYPES = {2: (torch.bfloat16, torch.float16), 4: (torch.float32,), 8: (torch.float64,)}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(config, batch, tokens, dtype):
    generator = torch.Generator().manual_seed(1)
    model = Decoder(config, generator=generator).to(dtype)
    return model, torch.randint(config.vocabulary, (batch, tokens + 1), generator=generator)


def measured(config, batch, tokens, dtype, policy, attention):
    model, windows = drawn(config, batch, tokens, dtype)
    saved = saved_tensors(
        lambda: decoder_loss(model, windows, policy, attention), model.parameters()
    )
    return storage_bytes(saved)


def predicted(config, batch, tokens, element, policy, attention):
    """What hooks can see of it: a checkpoint holds the tables of positions out of their sight."""
    ends = ends_bytes(config, batch, tokens, element)
    if policy == "full":
        del ends["rotary"]
    layer = layer_bytes(config, batch, tokens, element, policy, attention)
    return config.layers * layer + sum(ends.values())


def any_config(rng):
    kv_heads = rng.choice((1, 1, 2, 3))
    switches = ("qkv_bias", "o_bias", "mlp_bias", "qk_norm", "tied")
    return Config(
        vocabulary=rng.randint(1, 60),
        width=rng.randint(1, 40),
        layers=rng.randint(1, 3),
        heads=kv_heads * rng.choice((1, 1, 2, 3)),
        kv_heads=kv_heads,
        head_dim=2 * rng.randint(1, 9),
        hidden=rng.randint(1, 50),
        **{switch: rng.random() < 0.5 for switch in switches},
    )


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("element", DTYPES)
def test_the_bytes_are_those_that_autograd_saves_whatever_the_sizes(element, policy, attention):
    rng = random.Random(f"{element} {policy} {attention}")
    for i in range(12):
        config, batch, tokens = any_config(rng), rng.randint(1, 4), rng.choice((1, 2, 3, 7, 40))
        dtype = DTYPES[element][i % len(DTYPES[element])]
        expected = predicted(config, batch, tokens, element, policy, attention)
        found = measured(config, batch, tokens, dtype, policy, attention)
        assert found == expected, (config, batch, tokens, dtype)


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("element", DTYPES)
def test_each_line_is_a_tensor_that_is_saved_at_its_place(element, policy, attention, qk_norm):
    config = replace(SMALL, qk_norm=qk_norm)
    model, windows = drawn(config, 3, 7, DTYPES[element][0])
    saved = saved_tensors(
        lambda: decoder_loss(model, windows, policy, attention), model.parameters()
    )
    embedding, *rest = ends_ledger(element)
    tables, after = rest[:2], rest[2:]
    layer = layer_ledger(config, element, policy, attention)
    lines = [embedding, *layer, *layer, *after]
    if policy != "full":  # the first layer to turn a query saves the tables
        first = next(i for i, line in enumerate(lines) if line.name.startswith("turned"))
        # with norms the queries are turned before the keys are normed
        first -= 3 if qk_norm else 0
        lines[first:first] = tables
    sizes = dict(B=3, N=7, C=24, H=4, G=2, D=10, F=36, V=50)
    expected = [(int(x.bytes.at(**sizes)), x.element) for x in lines if not x.shared]
    found = [(x.untyped_storage().nbytes(), x.element_size()) for x in saved]
    assert found == expected


def test_a_line_that_shares_names_an_earlier_line():
    for policy in POLICIES:
        for attention in ATTENTIONS:
            before, *after = ends_ledger(copied=False)
            lines = [before, *layer_ledger(SMALL, 4, policy, attention), *after]
            for i, line in enumerate(lines):
                assert not line.shared or line.shared in {x.name for x in lines[:i]}


@pytest.mark.parametrize("element", [2, 4])
@pytest.mark.parametrize("policy", POLICIES)
def test_after_the_forward_pass_the_allocator_holds_what_the_ledger_says(element, policy):
    model, windows = drawn(SMALL, 3, 7, DTYPES[element][0])
    decoder_loss(model, windows)  # makes the cached frequencies
    with MemoryCounter() as counter:
        counter.add([windows, *model.parameters()])
        before = counter.live
        loss = decoder_loss(model, windows, policy)
        held = counter.live - before
    ends = ends_bytes(SMALL, 3, 7, element)
    ends["embedding"] = 0  # the tokens were there
    expected = 2 * layer_bytes(SMALL, 3, 7, element, policy) + sum(ends.values())
    assert held == expected + storage_bytes([loss])


def test_the_polynomial_gives_the_bytes_of_any_batch_and_length():
    rng = random.Random(2)
    for _ in range(50):
        config, b, n = any_config(rng), rng.randint(1, 9), rng.randint(2, 9)
        chosen = rng.choice((2, 4, 8)), rng.choice(POLICIES), rng.choice(ATTENTIONS)
        powers = coefficients(config, *chosen)
        found = sum(k * b**i * n**j for (i, j), k in powers.items())
        assert found == layer_bytes(config, b, n, *chosen)


def test_a_layer_comes_to_the_formula_of_the_module():
    c = replace(SMALL, width=40, kv_heads=4)
    found = layer_bytes(c, 3, 7)
    assert found == 4 * 3 * 7 * (10 * c.width + 4 * c.hidden + c.heads + 2)
    assert found / 2 < layer_bytes(c, 3, 7, 2) < found


def test_the_fused_kernel_leaves_selective_recomputation_the_log_sum_exp_alone():
    powers = {p: coefficients(SMALL, 2, p) for p in POLICIES}
    assert powers["all"][1, 1] - powers["selective"][1, 1] == 4 * SMALL.heads
    explicit = coefficients(SMALL, 2, "all", "explicit")
    assert explicit[1, 2] == 2 * 2 * SMALL.heads
    assert coefficients(SMALL, 2, "selective", "explicit") == powers["selective"]


def test_a_policy_changes_neither_the_loss_nor_the_model():
    model, windows = drawn(SMALL, 2, 5, torch.float32)
    plain = decoder_loss(model, windows)
    with pytest.raises(RuntimeError, match="stop"), checkpointed(model):
        raise RuntimeError("stop")
    assert all("forward" not in vars(block) for block in model.layers)
    for policy in POLICIES:
        for attention in ATTENTIONS:
            torch.testing.assert_close(decoder_loss(model, windows, policy, attention), plain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(batch=0), "batch must be an integer of at least 1, got 0"),
        (dict(tokens=2.0), "tokens must be an integer of at least 1, got 2.0"),
        (dict(element=3), "element must be one of 2, 4, 8, got 3"),
        (dict(policy="none"), "policy must be one of all, selective, full, got 'none'"),
        (dict(attention="flash"), "attention must be one of sdpa, explicit, got 'flash'"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words):
    arguments = dict(batch=2, tokens=3) | change
    with pytest.raises(ValueError, match=words):
        layer_bytes(SMALL, **arguments)
    if not change.keys() & {"policy", "attention"}:
        with pytest.raises(ValueError, match=words):
            ends_bytes(SMALL, **arguments)
