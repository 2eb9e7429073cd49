"""Hugging Face's models in float64, and the vectors that its logits are committed as.

`python tests/language/hugging_face.py`, in an environment with the extra `peers`, writes
tests/language/vectors anew: a tiny random checkpoint of each family and its logits.
"""

import contextlib
import importlib
import json
from pathlib import Path
from unittest import mock

import torch

VECTORS = Path(__file__).parent / "vectors"
COMMON = {
    "vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 12, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
FAMILIES = {  # name -> model_type, and what is special about its config
    "llama": ("llama", {"rope_theta": 500.0, "tie_word_embeddings": True}),
    "llama-3.1": (
        "llama",
        {"rope_theta": 100.0, "rope_scaling": LLAMA3, "attention_bias": True, "mlp_bias": True},
    ),
    "qwen2": ("qwen2", {"rope_theta": 1e6, "tie_word_embeddings": False}),
    "qwen3": ("qwen3", {"rope_theta": 5000.0, "head_dim": 6, "tie_word_embeddings": True}),
}


class Double:
    """The module torch, in which float32 is float64."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def float64():
    """Hugging Face's own code, which asks for float32 in norms and rotary tables, in float64."""
    names = (
        "modeling_rope_utils",
        *(f"models.{m}.modeling_{m}" for m in ("llama", "qwen2", "qwen3")),
    )
    with contextlib.ExitStack() as stack:
        for name in names:
            module = importlib.import_module(f"transformers.{name}")
            stack.enter_context(mock.patch.object(module, "torch", Double()))
        stack.enter_context(mock.patch.object(torch.Tensor, "float", torch.Tensor.double))
        yield


def peer(family, seed=0):
    """A small random model of Hugging Face's, with norms and biases that are not trivial."""
    import transformers

    kind, special = FAMILIES[family]
    config = transformers.AutoConfig.for_model(kind, **COMMON, **special)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            draw = torch.randn(p.shape, generator=generator)
            p.copy_(1 + 0.3 * draw if "norm" in name else 0.4 * draw)
    return model.eval()


def tokens(n=11, seed=1):
    return torch.randint(13, (2, n), generator=torch.Generator().manual_seed(seed))


def main():
    """Write the vectors."""
    import transformers

    for family in FAMILIES:
        folder = VECTORS / family
        with float64():
            model = peer(family)
            model.save_pretrained(folder)
            logits = model.double()(tokens()).logits
        about = {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "tokens": tokens().tolist(),
            "logits": logits.tolist(),
        }
        (folder / "logits.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        (folder / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
