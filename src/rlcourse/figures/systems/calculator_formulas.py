"""The formulas of other memory calculators, written anew from the code named in SOURCES.

Each does for the case at hand what that code does, and no more. Bytes are integers, of one GPU; P
parameters, V vocabulary, C width, F inner width, L layers, N tokens, W GPUs.
"""

from collections.abc import Mapping
from typing import Any

from rlcourse.systems.parameter_counts import MODELS, count

SOURCES = {
    "accelerate": "src/accelerate/commands/estimate.py, version 1.15.0",
    "cookbook": "EleutherAI/cookbook, calc/calc_transformer_mem.py, 069ae2e",
    "DeepSpeed": "runtime/zero/stage_1_and_2.py, 02aa38c; stage3.py, 007cca6",
}


def accelerate_adam(fp32_model: int, dtype: str) -> int:
    """Its "Training using Adam", the largest of four moments in `estimate_training_usage`."""
    if dtype == "float32":
        return max(fp32_model, fp32_model, 2 * fp32_model, 4 * fp32_model)
    return max(fp32_model, fp32_model + fp32_model // 2, 2 * fp32_model, 2 * fp32_model)


def accelerate_model(name: str) -> int:
    """Bytes in float32 of what `AutoModel` builds: the model without the head of its own."""
    counts = count(MODELS[name])
    return 4 * (counts.total - counts.head)


def cookbook_parameters(config: Mapping[str, Any]) -> int:
    """2VC + CN + 2C + L (4C² + 2CF + 8C), as it reads a config.json and fills in its defaults."""
    vocabulary = config["vocab_size"]
    if config["model_type"] == "gpt2":
        width, layers, tokens = config["n_embd"], config["n_layer"], 2048
        inner = 4 * width
    else:
        width, layers = _sizes(config)
        tokens, inner = config["max_position_embeddings"], config["intermediate_size"]
    ends = width * (2 * vocabulary + tokens + 2)
    return int(ends + layers * width * (4 * width + 2 * inner + 8))


def cookbook_cache(config: Mapping[str, Any], tokens: int) -> int:
    """2 · C · L · N: its 2 is the bytes of a number."""
    width, layers = _sizes(config)
    return 2 * width * layers * tokens


def cookbook_states(parameters: int, gpus: int, tensor: int, stage: int) -> int:
    """Weights, gradients in float32 and optimizer, as it cuts them; buffers left aside."""
    weights = 2 * parameters / tensor / (gpus if stage == 3 else 1)
    gradients = 4 * parameters / (gpus if stage >= 2 else 1)
    optimizer = 12 * parameters / (gpus if stage >= 1 else 1)
    return round(weights + gradients + optimizer)


def cookbook_checkpointed(config: Mapping[str, Any], tokens: int) -> int:
    """34 · C · L · N for one sequence, with --checkpoint-activations."""
    width, layers = _sizes(config)
    return 34 * width * layers * tokens


def _sizes(config: Mapping[str, Any]) -> tuple[int, int]:
    return config["hidden_size"], config["num_hidden_layers"]


def deepspeed_stage_2(parameters: int, gpus: int) -> int:
    """2P + 18P/W without offloading."""
    return 2 * parameters + int(18 * parameters / gpus)


def deepspeed_stage_3(parameters: int, largest: int, gpus: int) -> int:
    """4 · largest layer + 18P/W without offloading; a layer is one module's own tensors."""
    return 4 * largest + int(18 * parameters / gpus)
