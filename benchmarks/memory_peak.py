"""A full training step against its timeline: forward, loss, backward, AdamW, the first and a later.

    .venv-peers/bin/python benchmarks/memory_peak.py

writes src/rlcourse/results/benchmarks/memory_peak.json (requirements-peers.txt says what it needs;
without transformers there are no peers), in two minutes, on a CPU.
predicted: bytes at the peak of forward, backward and update by `systems.training_memory`; off:
counted by `MemoryCounter` − predicted, in the same order. allocator: bytes at the peak of the first
step by PyTorch's profiler, which sees each call of the allocator, also those within a kernel.
peers: models of transformers; the timeline is ours, but for what is held of each unit, which is the
ledger of `systems.peer_activations`. worst: the largest share of the peak of a step that is off.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import gc
import importlib.util
import time
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from rlcourse import results
from rlcourse.systems.activations import total
from rlcourse.systems.decoder_activations import numbers_of
from rlcourse.systems.measured_step import (
    Peaks,
    checkpoint_modules,
    counted,
    decoder_of,
    measured,
    predicted,
)
from rlcourse.systems.memory_counter import MemoryCounter
from rlcourse.systems.memory_timeline import timeline
from rlcourse.systems.peer_activations import peer_bytes, peer_layer_ledger
from rlcourse.systems.training_memory import Plan, sizes_of, timeline_of, units_of
from rlcourse.systems.zero import RECIPES

RECIPE = {"float32": "fp32 Adam", "bfloat16": "pure bf16 Adam"}
BASE = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 176,
}  # fmt: skip
WIDE = BASE | {"hidden_size": 256, "head_dim": 64, "intermediate_size": 688}
MODELS: dict[str, dict[str, Any]] = {
    "MHA": BASE,
    "GQA, biases": BASE | {"model_type": "qwen2", "num_key_value_heads": 2},
    "GQA, normed, tied": BASE
    | {
        "model_type": "qwen3",
        "num_key_value_heads": 2,
        "head_dim": 32,
        "tie_word_embeddings": True,
    },
    "MHA, wide": WIDE,
    "GQA, deep": BASE | {"num_key_value_heads": 1, "num_hidden_layers": 12},
    "large vocabulary": BASE | {"vocab_size": 32_000, "tie_word_embeddings": True},
}
SIZES = ((2, 64), (1, 513))  # B and N
WHOLE = Plan("Qwen2.5-0.5B", 1, 256, recipe=RECIPE["bfloat16"], checkpointing=True)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def allocated(plan: Plan, dtype: torch.dtype) -> int:
    """Bytes at the peak of the first step, by the allocator's own log."""
    sizes = sizes_of(plan.config)
    model = decoder_of(sizes, dtype, plan.checkpointing, generator=generator())
    x, y = torch.zeros(2, plan.batch, plan.tokens, dtype=torch.int64)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    before = sum(int(t.nbytes) for t in (*model.parameters(), x, y))
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        measured(model, x, y, optimizer, lambda: 0, steps=1)
    live, most = before, before
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += int(event.nbytes())
            most = max(most, live)
    return most


def compared(real: list[Peaks], ours: list[Peaks]) -> dict[str, Any]:
    off = [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(real, ours, strict=True)]
    shares = [abs(max(x) - max(y)) / max(x) for x, y in zip(real, ours, strict=True)]
    return {"predicted": ours, "off": off, "worst": max(shares)}


def row(name: str, plan: Plan, dtype: str) -> dict[str, Any]:
    began = time.perf_counter()
    kind = getattr(torch, dtype)
    sizes = sizes_of(plan.config)
    real = counted(sizes, plan.batch, plan.tokens, kind, plan.checkpointing, generator=generator())
    gc.collect()
    ours = [predicted(timeline_of(plan, first=first)) for first in (True, False)]
    content = {
        "model": name, "dtype": dtype, "checkpointing": plan.checkpointing, "B": plan.batch,
        "N": plan.tokens, **compared(real, ours), "allocator": allocated(plan, kind),
        "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip
    print(content, flush=True)
    return content


# ------------------------------------------------------------------------------- peers


class Logits(nn.Module):
    """A model of transformers that returns logits, as ours does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits


def peer_moments(plan: Plan, first: bool) -> Peaks:
    """Our timeline, with what the library's units hold."""
    sizes, element = sizes_of(plan.config), RECIPES[plan.recipe].weights
    policy = "full" if plan.checkpointing else "all"
    shape = plan.batch, plan.tokens
    numbers = numbers_of(sizes) | {"B": plan.batch, "N": plan.tokens}
    ledger = peer_layer_ledger(sizes, element, policy, "sdpa", plan.batch == 1)
    layer = int(total(ledger).at(**numbers))
    ends = peer_bytes(sizes, sizes.layers, *shape, element, policy) - sizes.layers * layer
    units = units_of(plan)
    held = sum(unit.held for unit in (units[0], units[-1]))
    units[1:-1] = [
        x._replace(held=layer, released=x.released - x.held + layer) for x in units[1:-1]
    ]
    labels = 8 * plan.batch * plan.tokens  # in the ledger, and among the batch here
    extra = ends - 2 * labels - held
    units[-1] = units[-1]._replace(held=units[-1].held + extra, released=units[-1].released + extra)
    batch = 2 * labels
    return predicted(timeline(units, RECIPES[plan.recipe], first=first, batch=batch))


def peer_row(name: str, plan: Plan, dtype: str) -> dict[str, Any]:
    import transformers  # type: ignore[import-not-found]

    about = {k: v for k, v in plan.config.items() if k != "model_type"}
    config = transformers.AutoConfig.for_model(
        plan.config["model_type"], **({"tie_word_embeddings": False} | about)
    )
    torch.manual_seed(1)
    inner = transformers.AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
    if plan.checkpointing:
        checkpoint_modules(inner.model.layers)
    model = Logits(inner)
    x = torch.randint(config.vocab_size, (plan.batch, plan.tokens))
    y = x.clone()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    with MemoryCounter() as counter:
        counter.add([*model.parameters(), *model.buffers(), x, y])
        real = measured(model, x, y, optimizer, counter.mark)
    ours = [peer_moments(plan, first) for first in (True, False)]
    content = {
        "model": name, "dtype": dtype, "checkpointing": plan.checkpointing, "B": plan.batch,
        "N": plan.tokens, **compared(real, ours),
    }  # fmt: skip
    print(content, flush=True)
    return content


def main() -> None:
    peers = importlib.util.find_spec("transformers") is not None
    content = results.circumstances("torch", *["transformers"] * peers)
    plans = [
        (name, Plan(config, b, n, recipe=RECIPE[dtype], checkpointing=again), dtype)
        for (name, config), dtype, again, (b, n) in product(
            MODELS.items(), RECIPE, (False, True), SIZES
        )
    ]
    content["rows"] = [row(*case) for case in (*plans, ("Qwen2.5-0.5B", WHOLE, "bfloat16"))]
    content["worst"] = max(x["worst"] for x in content["rows"])
    gaps = [abs(x["allocator"] - max(x["predicted"][0])) for x in content["rows"]]
    content["worst_allocator"] = max(gaps)
    if peers:
        content["peers"] = [peer_row(*case) for case in plans]
        content["worst_peer"] = max(x["worst"] for x in content["peers"])
    print(content["worst"], content["worst_allocator"], content.get("worst_peer"))
    print(results.write("benchmarks/memory_peak", content))


if __name__ == "__main__":
    main()
