"""Whole training steps on a GPU against the timeline: what is allocated, and what is reserved.

    PYTHONPATH=src python benchmarks/gpu/memory.py [--dry] [--output FILE]

Forward, loss, backward and AdamW of a decoder, two steps, in more than twenty configurations.
predicted: bytes at the peak of the second step by `systems.training_memory`, weights, gradients and
moments rounded up to the allocator's 512 bytes a tensor. allocated, reserved: what the peak of
torch.cuda has grown by since the same was done with a tiny model, so that the workspaces of cuBLAS
don't count. off: allocated / predicted − 1.
The timeline is that of norms in single operations, so these are done here too, not by the fused
kernel. Attention is the flash kernel in bfloat16, the memory-efficient one in float32; what they
need for themselves in the backward pass isn't predicted.
The JSON is written after every row. Needs torch and numpy alone; at most four minutes. Without a
GPU it ends with status 2. --dry: lists configurations and predictions, and measures nothing.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from rlcourse.language.numbers import wide
from rlcourse.language.transformer import RMSNorm
from rlcourse.systems.measured_step import decoder_of, measured
from rlcourse.systems.training_memory import Plan, peak_of, sizes_of
from rlcourse.systems.unit_memory import passes
from rlcourse.systems.zero import RECIPES

OUTPUT = Path(__file__).parents[2] / "src/rlcourse/results/gpu/memory.json"
BLOCK = 512  # bytes: torch.cuda's allocator hands out multiples of them
KINDS = {
    "bf16": (torch.bfloat16, "pure bf16 Adam", SDPBackend.FLASH_ATTENTION),
    "fp32": (torch.float32, "fp32 Adam", SDPBackend.EFFICIENT_ATTENTION),
}
BASE: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 32_000, "hidden_size": 1024, "num_hidden_layers": 8,
    "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 64,
    "intermediate_size": 2816,
}  # fmt: skip
MODELS = {
    "MHA": BASE,
    "few tokens in the vocabulary": BASE | {"vocab_size": 1024},
    "GQA": BASE | {"num_key_value_heads": 4, "model_type": "qwen2"},
    "GQA, normed, tied": BASE
    | {"num_key_value_heads": 4, "model_type": "qwen3", "tie_word_embeddings": True},
}
SIZES = ((2, 1024), (1, 4096))  # B and N
TINY = BASE | {"vocab_size": 256, "num_hidden_layers": 1}


def cases() -> list[tuple[str, str, Plan]]:
    """Name of the model, of the type, and the plan; the efficient kernel groups no queries."""
    return [
        (name, kind, Plan(config, b, n, recipe=KINDS[kind][1], checkpointing=again))
        for (name, config), kind, again, (b, n) in product(
            MODELS.items(), KINDS, (False, True), SIZES
        )
        if kind == "bf16" or "GQA" not in name
    ]


def predicted_bytes(plan: Plan) -> int:
    """The peak, and what rounding adds to each weight, gradient, moment and step count."""
    element = RECIPES[plan.recipe].weights
    parts = passes(sizes_of(plan.config), element).values()
    sizes = [element * prod(shape) for part in parts for shape in part.shapes]
    moment = peak_of(plan)
    copies = 3 + (moment.name == "update")
    return moment.total + sum(copies * (-size % BLOCK) + (-4 % BLOCK) for size in sizes)


def plain_norm(self: RMSNorm, x: Tensor) -> Tensor:
    """`rms_norm` operation by operation, as PyTorch does it where it has no fused kernel."""
    z = x.to(wide(x.dtype))
    scale = torch.rsqrt(z.pow(2).mean(-1, keepdim=True).add_(self.eps))
    y = (z * scale) * self.weight
    return y.contiguous().to(x.dtype)


@contextmanager
def plain_norms() -> Iterator[None]:
    """In here no norm is fused."""
    fused, RMSNorm.forward = RMSNorm.forward, plain_norm  # type: ignore[method-assign]
    try:
        yield
    finally:
        RMSNorm.forward = fused  # type: ignore[method-assign]


def run(kind: str, plan: Plan) -> None:
    """Two steps of AdamW."""
    dtype, _, backend = KINDS[kind]
    generator = torch.Generator("cuda").manual_seed(1)
    sizes = sizes_of(plan.config)
    model = decoder_of(sizes, dtype, plan.checkpointing, generator=generator)
    shape = plan.batch, plan.tokens
    x, y = (
        torch.randint(sizes.vocabulary, shape, generator=generator, device="cuda") for _ in "xy"
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    with sdpa_kernel(backend), plain_norms():
        measured(model, x, y, optimizer, lambda: 0)


def row(name: str, kind: str, plan: Plan) -> dict[str, Any]:
    """Predicted and measured bytes of one configuration, from a cold allocator."""
    run(kind, replace(plan, model=TINY))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    run(kind, plan)
    ours = predicted_bytes(plan)
    allocated = torch.cuda.max_memory_allocated() - before[0]
    reserved = torch.cuda.max_memory_reserved() - before[1]
    return {
        "model": name, "type": kind, "checkpointing": plan.checkpointing, "B": plan.batch,
        "N": plan.tokens, "at": peak_of(plan).name, "predicted": ours, "allocated": allocated,
        "reserved": reserved, "off": allocated / ours - 1, "reserved_off": reserved / ours - 1,
    }  # fmt: skip


def main() -> None:
    """Lists or measures all configurations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="predictions alone; needs no GPU")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    if args.dry:
        for name, kind, plan in cases():
            again = "checkpointed" if plan.checkpointing else "all saved"
            size = f"{plan.batch} x {plan.tokens}"
            print(f"{name}; {kind}; {again}; {size}; {predicted_bytes(plan)} bytes")
        return
    if not torch.cuda.is_available():
        print("This measures a GPU, and there is none: see --dry.", file=sys.stderr)
        raise SystemExit(2)
    began = time.perf_counter()
    result: dict[str, Any] = {
        "date": date.today().isoformat(), "device": torch.cuda.get_device_name(),
        "torch": torch.__version__, "cuda": torch.version.cuda, "rows": [],
    }  # fmt: skip
    for case in cases():
        result["rows"].append(row(*case))
        for key in ("off", "reserved_off"):
            result[f"worst_{key}"] = max((x[key] for x in result["rows"]), key=abs)
        result["seconds"] = round(time.perf_counter() - began, 1)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(result["rows"][-1], flush=True)


if __name__ == "__main__":
    main()
