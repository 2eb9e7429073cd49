"""What other calculators get wrong: their formulas run beside ours, each difference with its cause.

Where a calculator leaves its user a switch, the reason says so. Bytes are integers, of one GPU.
"""

from math import prod
from string import ascii_lowercase
from textwrap import wrap
from typing import NamedTuple

from rlcourse.figures.systems.calculator_formulas import (
    SOURCES,
    accelerate_adam,
    accelerate_model,
    cookbook_cache,
    cookbook_checkpointed,
    cookbook_parameters,
    cookbook_states,
    deepspeed_stage_2,
    deepspeed_stage_3,
)
from rlcourse.systems.parameter_counts import MODELS, count, kv_per_token, shapes
from rlcourse.systems.training_memory import Plan, peak_of
from rlcourse.systems.zero import GB, layer_activations, state_bytes

MIXED = (2, 2, 12)  # bytes of weights, gradients, optimizer states: bf16 Adam


class Row(NamedTuple):
    """A question, what a calculator answers and what is so, in bytes, and why they differ."""

    calculator: str
    question: str
    theirs: int
    ours: int
    why: str


ADAM = {
    "float32": "It builds the model without its head; 16 bytes per parameter are right.",
    "float16": "It shows the largest of its moments, 8P for Adam's, although weights and gradients"
    " are there at the same time; and the head is missing.",
}
READ = {
    "Llama-2-7B": "From a config.json it takes two matrices for a feed-forward layer that has three"
    " (--num-mlp-linears says otherwise), and positions that a rotary model doesn't learn.",
    "gpt2": "It counts the embedding twice, though it is tied to the head.",
}
CACHED = {
    "Llama-2-7B": "Keys and values are two tensors: the factor 2 is missing.",
    "Llama-2-70B": "The factor 2 is missing, and 64 heads of queries share 8 of keys: 8/2 = 4"
    " (--kv-size-ratio reaches the parameters alone).",
}
CUT = {
    1: "As long as ZeRO doesn't cut them, gradients are whole: tensor parallelism is forgotten.",
    3: "All 64 GPUs cut weights that tensor parallelism has cut by 8 already: an eighth is left.",
}
STEP = (
    "4 of their 18 bytes are gradients in 32 bits, beside those in 16: DeepSpeed's step makes them,"
    " other steps need not. There is no estimator for stage 1."
)
LAYER = (
    "Their 18 bytes hold gradients in 32 bits; the largest layer is the largest matrix, not a"
    " block. What is printed as GB is GiB."
)
PEAK = (
    "Activations are left to the user, as their documentation says: here the whole peak of a step,"
    " in PyTorch and without checkpointing."
)


def _accelerate(name: str = "Llama-2-7B") -> list[Row]:
    parameters = count(MODELS[name]).total
    return [
        Row(
            "accelerate",
            f"{name}, Adam in {dtype}",
            accelerate_adam(accelerate_model(name), dtype),
            state_bytes(parameters, 1, 0, *recipe),
            ADAM[dtype],
        )
        for dtype, recipe in (("float32", (4, 4, 8)), ("float16", MIXED))
    ]


def _cookbook() -> list[Row]:
    return [
        *(_weights(name, why) for name, why in READ.items()),
        *(_cache(name, why) for name, why in CACHED.items()),
        *(_states(stage, why) for stage, why in CUT.items()),
        _checkpointed(),
    ]


def _weights(name: str, why: str) -> Row:
    theirs, ours = cookbook_parameters(MODELS[name]), count(MODELS[name]).total
    return Row("cookbook", f"{name}, weights in bf16", 2 * theirs, 2 * ours, why)


def _cache(name: str, why: str, tokens: int = 4096) -> Row:
    theirs, ours = cookbook_cache(MODELS[name], tokens), tokens * kv_per_token(MODELS[name])
    return Row("cookbook", f"{name}, cache of {tokens} tokens", theirs, ours, why)


def _states(stage: int, why: str, gpus: int = 64, tensor: int = 8) -> Row:
    parameters = 20 * 10**9  # the count is not in question
    theirs = cookbook_states(parameters, gpus, tensor, stage)
    ours = state_bytes(parameters // tensor, gpus // tensor, stage, 2, 4, 12)
    return Row("cookbook", f"P = 20 G, 8 × 8 GPUs, stage {stage}", theirs, ours, why)


def _checkpointed(name: str = "Llama-2-7B", tokens: int = 4096) -> Row:
    c = MODELS[name]
    sizes = 1, tokens, c["hidden_size"], c["num_attention_heads"]
    inputs = c["num_hidden_layers"] * layer_activations(*sizes, recompute="full")
    theirs, ours = cookbook_checkpointed(c, tokens), inputs + layer_activations(*sizes)
    why = (
        "34 NBC a layer is right for selective recomputation. Full recomputation keeps 2 NBC a"
        " layer, and all of one layer at a time."
    )
    return Row("cookbook", f"{name}, {tokens} tokens, recomputed", theirs, ours, why)


def _deepspeed(name: str = "Llama-2-7B", gpus: int = 8) -> list[Row]:
    tensors = [prod(shape) for shape in shapes(MODELS[name]).values()]
    parameters = sum(tensors)
    two = deepspeed_stage_2(parameters, gpus)
    three = deepspeed_stage_3(parameters, max(tensors), gpus)
    ours = [state_bytes(parameters, gpus, stage, *MIXED) for stage in (2, 3)]
    step = peak_of(Plan(name, tokens=4096, ranks=gpus, stage=3)).total
    return [
        Row("DeepSpeed", f"{name}, {gpus} GPUs, stage 2", two, ours[0], STEP),
        Row("DeepSpeed", f"{name}, {gpus} GPUs, stage 3", three, ours[1], LAYER),
        Row("DeepSpeed", "    and a step of 4096 tokens", three, step, PEAK),
    ]


def data_other_calculators() -> list[Row]:
    """Every row, computed; a calculator's rows stand together."""
    return _accelerate() + _cookbook() + _deepspeed()


def table_of_calculators(rows: list[Row]) -> str:
    """Theirs, ours and the ratio as text; the reasons follow, by letter."""
    lines, notes = [f"{'':42}{'theirs':>10}{'ours':>10}{'ratio':>7}"], []
    for calculator in dict.fromkeys(row.calculator for row in rows):
        lines.append(f"{calculator}: {SOURCES[calculator]}")
        for letter, row in zip(ascii_lowercase, rows, strict=False):
            if row.calculator == calculator:
                sizes = f"{row.theirs / GB:7.2f} GB{row.ours / GB:7.2f} GB"
                ratio = row.theirs / row.ours
                lines.append(f"  {letter}  {row.question:37}{sizes}{ratio:7.2f}")
    for letter, row in zip(ascii_lowercase, rows, strict=False):
        notes += wrap(f"{letter}  {row.why}", 78, subsequent_indent="   ")
    return "\n".join([*lines, "", *notes])
