"""What a decoder saves for its backward pass: the ledger against PyTorch, and other layers' sizes.

    .venv-peers/bin/python benchmarks/memory_activations.py

writes src/rlcourse/results/benchmarks/memory_activations.json (requirements-peers.txt says what it
needs), in half a minute. Each row of the grid is a decoder of two layers and its loss.
predicted: the bytes of the ledger. held: those that live storages have grown by after the forward
pass, without weights, tokens and the loss; off: held - predicted. saved: the bytes that the hooks
of autograd see, which are those without the tables of rotary positions where layers are
checkpointed; saved_off: what is wrong with them.
peers: the same of models of transformers, saved by the hooks and predicted by the ledger of
`systems.peer_activations`, weights and tables of checkpointed layers left out.
layers: bytes that one layer of width 256 saves in bfloat16, by the hooks, in units of BNC, with
B = 2, N = 256 and 8 heads: half of what three layers have more than one. The 34 of Korthikanti et
al. (2022) stands beside them.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from rlcourse import results
from rlcourse.language.config import Config
from rlcourse.language.transformer import Decoder
from rlcourse.systems.activations import korthikanti, total
from rlcourse.systems.decoder_activations import ATTENTIONS, POLICIES, ends_bytes, layer_bytes
from rlcourse.systems.memory_counter import MemoryCounter, storage_bytes
from rlcourse.systems.peer_activations import peer_bytes
from rlcourse.systems.saved_tensors import decoder_loss, saved_tensors

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
BASE = Config(vocabulary=1000, width=64, layers=2, heads=4, kv_heads=4, head_dim=16, hidden=176)
MODELS = {
    "MHA": BASE,
    "GQA": replace(BASE, width=60, heads=6, kv_heads=2, head_dim=10, qkv_bias=True),
    "GQA, normed": replace(BASE, heads=8, kv_heads=2, head_dim=32, qk_norm=True, tied=False),
    "MHA, wide": replace(BASE, width=256, heads=8, kv_heads=8, head_dim=32, hidden=688),
}
SIZES = ((1, 256), (4, 65))  # B and N
FAMILIES = ("Llama", "Qwen2", "Qwen3")
SIZES_OF = ("vocabulary", "width", "layers", "heads", "kv_heads", "head_dim", "hidden", "qk_norm")
WIDTH, HEADS, HIDDEN = 256, 8, 688
B, N = 2, 256


def decoder(config: Config, dtype: torch.dtype) -> Decoder:
    return Decoder(config, generator=torch.Generator().manual_seed(1)).to(dtype)


def held(model: Decoder, windows: Tensor, *how: str) -> int:
    """Bytes that are alive after the forward pass and weren't before."""
    with MemoryCounter() as counter:
        counter.add([windows, *model.parameters()])
        before = counter.live
        loss = decoder_loss(model, windows, *how)
        return counter.live - before - storage_bytes([loss])


def row(name: str, kind: str, policy: str, attention: str, b: int, n: int) -> dict[str, Any]:
    config, dtype = MODELS[name], DTYPES[kind]
    model, windows = decoder(config, dtype), torch.randint(config.vocabulary, (b, n + 1))
    decoder_loss(model, windows)  # makes what is cached
    found = saved_tensors(
        lambda: decoder_loss(model, windows, policy, attention), model.parameters()
    )
    saved, alive = storage_bytes(found), held(model, windows, policy, attention)
    ends = ends_bytes(config, b, n, dtype.itemsize)
    layer = layer_bytes(config, b, n, dtype.itemsize, policy, attention)
    seen = config.layers * layer + sum(ends.values())
    unseen = ends["rotary"] if policy == "full" else 0
    predicted = seen - ends["embedding"]  # the tokens were there
    return {
        "model": name, "dtype": kind, "policy": policy, "attention": attention, "B": b, "N": n,
        "predicted": predicted, "held": alive, "off": alive - predicted,
        "saved": saved, "saved_off": saved - (seen - unseen),
    }  # fmt: skip


# ------------------------------------------------------------------------------- other programs


def peer(family: str, name: str, kind: str, policy: str, attention: str) -> dict[str, Any]:
    """A model of transformers with the sizes of one of ours."""
    c, dtype, (b, n) = replace(MODELS[name], qk_norm=family == "Qwen3"), DTYPES[kind], (3, 100)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=c.vocabulary, hidden_size=c.width, num_hidden_layers=c.layers,
        num_attention_heads=c.heads, num_key_value_heads=c.kv_heads, head_dim=c.head_dim,
        intermediate_size=c.hidden, attn_implementation=attention, use_cache=False,
    )  # fmt: skip
    model = getattr(transformers, f"{family}ForCausalLM")(config).to(dtype).train()
    if policy == "full":
        model.activation_checkpointing_enable({"use_reentrant": False})
    ids = torch.randint(c.vocabulary, (b, n))
    saved = storage_bytes(saved_tensors(lambda: model(ids, labels=ids), model.parameters()))
    unseen = 2 * n * c.head_dim * dtype.itemsize if policy == "full" else 0
    predicted = peer_bytes(c, c.layers, b, n, dtype.itemsize, policy, attention) - unseen
    sizes = {key: getattr(c, key) for key in SIZES_OF}
    return {
        "family": family, "sizes": sizes, "dtype": kind, "policy": policy, "attention": attention,
        "B": b, "N": n, "predicted": predicted, "saved": saved, "off": saved - predicted,
    }  # fmt: skip


def units(run: Callable[[int], tuple[nn.Module, Callable[[], Any]]]) -> float:
    """Bytes that a layer saves over BNC: half of what three layers save more than one."""
    one, three = (
        storage_bytes(saved_tensors(call, model.parameters())) for model, call in (run(1), run(3))
    )
    return (three - one) / 2 / (B * N * WIDTH)


def ours(attention: str, kv_heads: int) -> Callable[[int], Any]:
    def run(layers: int) -> Any:
        model = decoder(
            replace(
                BASE, width=WIDTH, layers=layers, heads=HEADS, kv_heads=kv_heads,
                head_dim=WIDTH // HEADS, hidden=HIDDEN,
            ),
            torch.bfloat16,
        )  # fmt: skip
        windows = torch.randint(1000, (B, N + 1))
        return model, lambda: decoder_loss(model, windows, "all", attention)

    return run


def encoder(dropout: float) -> Callable[[int], Any]:
    def run(layers: int) -> Any:
        parts = [
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, dropout, "gelu", batch_first=True, norm_first=True,
                dtype=torch.bfloat16,
            )
            for _ in range(layers)
        ]  # fmt: skip
        model = nn.Sequential(*parts).train()
        x = torch.randn(B, N, WIDTH, dtype=torch.bfloat16, requires_grad=True)
        return model, lambda: model(x)

    return run


def llama(attention: str) -> Callable[[int], Any]:
    def run(layers: int) -> Any:
        config = transformers.LlamaConfig(
            vocab_size=1000, hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=layers,
            num_attention_heads=HEADS, attn_implementation=attention, use_cache=False,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).train()
        tokens = torch.randint(1000, (B, N))
        return model, lambda: model(tokens, labels=tokens)

    return run


def layers() -> list[dict[str, Any]]:
    """The same width and heads in several implementations; scores where they are kept."""
    whole = total(korthikanti()).at(B=B, N=N, C=WIDTH, H=HEADS, t=1, c=1)
    part = total(korthikanti("selective")).at(B=B, N=N, C=WIDTH, H=HEADS, t=1, c=1)
    runs = {
        "decoder, SDPA": ours("sdpa", HEADS),
        "decoder, SDPA, 2 heads of keys": ours("sdpa", 2),
        "decoder, explicit attention": ours("explicit", HEADS),
        "nn.TransformerEncoderLayer, no dropout": encoder(0.0),
        "nn.TransformerEncoderLayer, dropout 0.1": encoder(0.1),
        "transformers' Llama, SDPA": llama("sdpa"),
        "transformers' Llama, eager attention": llama("eager"),
    }
    rows = [
        {"layer": "GPT by the formula", "units": int(whole) / (B * N * WIDTH)},
        {"layer": "GPT by the formula, without 5HN/C", "units": int(part) / (B * N * WIDTH)},
    ]
    return rows + [{"layer": name, "units": round(units(run), 4)} for name, run in runs.items()]


if __name__ == "__main__":
    torch.manual_seed(1)
    content = results.circumstances("numpy", "torch", "transformers")
    content["problem"] = {"width": WIDTH, "heads": HEADS, "hidden": HIDDEN, "B": B, "N": N}
    grid = product(MODELS, DTYPES, POLICIES, ATTENTIONS, SIZES)
    content["rows"] = [row(*how, *size) for *how, size in grid]  # type: ignore[arg-type]
    grid = product(FAMILIES, ("MHA", "GQA"), DTYPES, ("all", "full"), ("sdpa", "eager"))
    content["peers"] = [peer(*how) for how in grid]
    content["layers"] = layers()
    everything = content["rows"] + content["peers"]
    worst = max(max(abs(x["off"]), abs(x.get("saved_off", 0))) for x in everything)
    content["bytes_off"] = worst
    print(f"{len(everything)} rows, {worst} bytes off", *content["layers"], sep="\n")
    print(results.write("benchmarks/memory_activations", content))
