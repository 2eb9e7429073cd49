"""The decoder against itself by other ways, a plain second writing, and its arguments' errors."""

import pytest
import torch

from rlcourse.language import masks
from rlcourse.language.attention import grouped_attention
from rlcourse.language.config import Config
from rlcourse.language.rotary import Llama3Scaling, rotate
from rlcourse.language.transformer import Decoder, rms_norm
from rlcourse.systems.tiled_attention import tiled_attention

SIZES = {"vocabulary": 23, "width": 12, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 6}
FAMILIES = {
    "llama": {"tied": False, "scaling": Llama3Scaling(4, 1, 4, 32), "theta": 500.0},
    "qwen2": {"qkv_bias": True, "tied": True},
    "qwen3": {"qk_norm": True, "tied": False, "theta": 1e6, "eps": 1e-5},
    "all biases": {"qkv_bias": True, "o_bias": True, "mlp_bias": True, "qk_norm": True},
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def model_of(family, seed=0):
    """A small random model in float64, whose norms and biases are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    config = Config(**SIZES, hidden=20, positions=64, **FAMILIES[family])
    model = Decoder(config, generator=generator).double()
    for p in model.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    return model


def tokens(b, n, seed=0):
    return torch.randint(23, (b, n), generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-12):
    return torch.allclose(a, b, rtol=0, atol=atol)


def by_hand(model, row):
    """The logits (N, V) of one sequence, written down again with matrices and loops."""
    c, w = model.config, dict(model.named_parameters())
    x = w["embed_tokens.weight"][row]
    at = torch.arange(len(row))

    def linear(name, z):
        out = z @ w[f"{name}.weight"].T
        return out + w[f"{name}.bias"] if f"{name}.bias" in w else out

    def norm(name, z):
        return w[f"{name}.weight"] * z / (z.square().mean(-1, keepdim=True) + c.eps).sqrt()

    def place(z):
        if c.scaling is None:
            return rotate(z, at, c.theta)
        from rlcourse.language.rotary import cos_sin, frequencies, stretched, turn

        return turn(z, *cos_sin(at, stretched(frequencies(c.head_dim, c.theta), c.scaling)))

    for i in range(c.layers):
        z, part = norm(f"layers.{i}.input_layernorm", x), f"layers.{i}.self_attn."
        q, k, v = (linear(part + p, z) for p in ("q_proj", "k_proj", "v_proj"))
        heads = []
        for h in range(c.heads):
            g = h // (c.heads // c.kv_heads)
            mine, its = slice(h * 6, h * 6 + 6), slice(g * 6, g * 6 + 6)
            a, b = q[:, mine], k[:, its]
            if c.qk_norm:
                a, b = norm(part + "q_norm", a), norm(part + "k_norm", b)
            s = place(a) @ place(b).T / 6**0.5
            s = s.masked_fill(torch.ones_like(s).triu(1).bool(), -torch.inf)
            heads.append(s.softmax(-1) @ v[:, its])
        x = x + linear(part + "o_proj", torch.cat(heads, -1))
        z, part = norm(f"layers.{i}.post_attention_layernorm", x), f"layers.{i}.mlp."
        gate = linear(part + "gate_proj", z)
        x = x + linear(part + "down_proj", gate * gate.sigmoid() * linear(part + "up_proj", z))
    x = norm("norm", x)
    return x @ (w["embed_tokens.weight"] if c.tied else w["lm_head.weight"]).T


@every_family
def test_the_decoder_agrees_with_a_second_writing(family):
    model, row = model_of(family), tokens(1, 9)[0]
    assert close(model(row[None])[0], by_hand(model, row))


@every_family
def test_cached_and_uncached_logits_agree(family):
    model, text = model_of(family), tokens(3, 11)
    whole = model(text)
    cache = model.cache(3, 11)
    parts = [model(part, cache=cache) for part in text.split([4, 1, 1, 5], 1)]
    assert close(torch.cat(parts, 1), whole)
    assert cache.length == 11


@every_family
def test_padding_on_either_side_changes_no_logits(family):
    model, text = model_of(family), tokens(3, 8)
    for side in (0, 1):
        present = torch.ones(3, 8, dtype=torch.bool)
        present[0, : 3 if side == 0 else 0] = False
        present[2, 8 - 2 * side :] = False
        found = model(
            text, positions=masks.padded_positions(present), mask=masks.padded_mask(present, 8)
        )
        for row, here, logits in zip(text, present, found, strict=True):
            assert close(logits[here], model(row[None, here])[0])


def test_left_padding_and_a_cache_agree_with_each_prompt_alone():
    model, text = model_of("qwen3"), tokens(2, 9)
    present = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1], [1] * 9]).bool()
    cache = model.cache(2, 9)
    rows = []
    for new in (slice(0, 6), slice(6, 7), slice(7, 9)):
        here = present[:, : new.stop]
        rows.append(
            model(
                text[:, new],
                positions=masks.padded_positions(here)[:, new],
                mask=masks.padded_mask(here, new.stop - new.start),
                cache=cache,
            )
        )
    found = torch.cat(rows, 1)
    assert close(found[0, 3:], model(text[:1, 3:])[0])
    assert close(found[1], model(text[1:])[0])


def test_packed_sequences_know_nothing_of_each_other():
    model = model_of("qwen2")
    parts = [tokens(1, n, seed=n)[0] for n in (4, 3, 5)]
    segments = torch.tensor([[i for i, part in enumerate(parts) for _ in part]])
    found = model(
        torch.cat(parts)[None],
        positions=masks.packed_positions(segments),
        mask=masks.packed_mask(segments),
    )
    alone = torch.cat([model(part[None])[0] for part in parts])
    assert close(found[0], alone)


def test_without_a_mask_a_pack_leaks():
    model = model_of("qwen2")
    a, b = tokens(1, 4), tokens(1, 3, seed=1)
    assert not close(model(torch.cat([a, b], 1))[0, 4:], model(b)[0], atol=1e-3)


def test_attention_is_handed_in():
    model, text = model_of("llama"), tokens(2, 7)

    def flash(q, k, v, mask):
        assert mask is None
        return tiled_attention(q, k, v, causal=True)

    def plain(q, k, v, mask):
        return grouped_attention(q, k, v, masks.causal_mask(q.shape[2], k.shape[2]))

    for attention in (flash, plain):
        assert close(model(text, attention=attention), model(text))
    cache = model.cache(2, 7)
    model(text[:, :4], cache=cache, attention=flash)
    assert close(model(text[:, 4:], cache=cache, attention=flash), model(text)[:, 4:])


@every_family
def test_every_parameter_is_used_and_has_a_true_gradient(family):
    model, text = model_of(family), tokens(2, 5)
    weights = torch.randn(2, 5, 23, generator=torch.Generator().manual_seed(1)).double()
    (model(text) * weights).sum().backward()
    for name, p in model.named_parameters():
        direction = torch.randn(p.shape, generator=torch.Generator().manual_seed(2)).double()
        sides = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                p += step * direction
                sides.append((model(text) * weights).sum())
                p -= step * direction
        slope = (sides[0] - sides[1]) / 2e-5
        exact = (p.grad * direction).sum()
        assert float(slope) == pytest.approx(float(exact), rel=1e-6, abs=1e-6), name
        assert p.grad.abs().max() > 0 or name.endswith("k_proj.bias"), name


def test_tied_weights_are_one_tensor():
    model = model_of("qwen2")
    assert model.head is model.embed_tokens.weight
    assert not any("lm_head" in name for name, _ in model.named_parameters())


def test_the_same_generator_draws_the_same_weights_of_the_intended_size():
    config = Config(300, 64, 8, 4, 2, 16, 128, qkv_bias=True)
    one, two = (Decoder(config, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
        if a.dim() == 1:
            assert torch.equal(a, torch.full_like(a, float("norm" in name)))
        else:
            adds = name.endswith(("o_proj.weight", "down_proj.weight"))
            assert a.std().item() == pytest.approx(0.02 / (4 if adds else 1), rel=0.1)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Decoder(Config(5, 4, 1, 2, 1, 2, 6), generator=torch.Generator().manual_seed(0))
    Decoder(Config(5, 4, 1, 2, 1, 2, 6), generator=None)
    assert torch.equal(torch.get_rng_state(), before)


def test_norms_of_sixteen_bits_are_computed_in_float32():
    x = 300 * torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).half()
    weight = torch.full((64,), 1.5).half()
    found = rms_norm(x, weight, 1e-6)
    exact = rms_norm(x.double(), weight.double(), 1e-6)
    assert found.dtype == torch.float16
    assert float((found.double() - exact).abs().max()) < 4e-3  # 300² overflows 16 bits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_heads": 3}, "heads must be a multiple of kv_heads = 3, got 4"),
        ({"head_dim": 5}, "head_dim must be even, for rotary pairs, got 5"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Config(**SIZES | change, hidden=20)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (torch.tensor([[1, 23]]), r"tokens must lie in \[0, 23\), got 23"),
        (torch.tensor([[1, -1]]), r"tokens must lie in \[0, 23\), got -1"),
        (torch.zeros(2, 0, dtype=torch.long), r"N >= 1, got \(2, 0\)"),
        (
            torch.zeros(4, dtype=torch.long),
            r"must have shape \(B, N\) with N >= 1, got \(4,\)",
        ),
        (torch.zeros(1, 65, dtype=torch.long), "positions up to 63, got one at 64"),
    ],
)
def test_tokens_that_the_model_cannot_read_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        model_of("llama")(row)


def test_a_full_cache_is_refused_and_left_as_it_was():
    model = model_of("llama")
    cache = model.cache(1, 4)
    model(tokens(1, 3), cache=cache)
    with pytest.raises(ValueError, match="cache has room for 4 tokens, got 3 and 2 new ones"):
        model(tokens(1, 2), cache=cache)
    assert cache.length == 3
    with pytest.raises(ValueError, match="size must not exceed positions = 64, got 65"):
        model.cache(1, 65)
