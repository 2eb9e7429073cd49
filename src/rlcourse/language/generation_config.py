"""What a text is really sampled with: what was asked for, what a file adds, and what is left.

A checkpoint comes with a generation_config.json, the settings its makers chat with. Hugging Face's
`generate` takes what the caller sets, then what the file says, then defaults of its own, of which
top_k = 50 is one. So a caller who asks for temperature 1 alone may get a repetition penalty from a
file he never opened (Qwen2.5 brings 1.05), and samples from another distribution than he thinks.

Source: transformers 5, `GenerationConfig` and its global defaults.
"""

from collections.abc import Mapping
from typing import Any

from rlcourse.language.sampling import Sampling

DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "repetition_penalty": 1.0,
}
NOTHING = {"top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}  # values that change nothing


def sampling_of(asked: Mapping[str, Any], file: Mapping[str, Any]) -> Sampling:
    """What `generate` samples with: asked are the caller's settings, file the checkpoint's.

    None counts as not set. Without do_sample it is greedy, and only the penalty acts. Keys of the
    file that say nothing about sampling are passed over. Raises ValueError for a key asked for that
    is not one of DEFAULTS.
    """
    if unknown := sorted({*asked} - {*DEFAULTS}):
        raise ValueError(f"asked must hold keys of {sorted(DEFAULTS)}, got {unknown}")
    found = dict(DEFAULTS)
    for layer in (file, asked):
        found |= {k: v for k, v in layer.items() if k in DEFAULTS and v is not None}
    if not found.pop("do_sample"):
        return Sampling(0.0, repetition_penalty=_or_none(found, "repetition_penalty"))
    cuts = {name: _or_none(found, name) for name in (*NOTHING, "min_p")}
    return Sampling(found["temperature"], **cuts)


def _or_none(found: Mapping[str, Any], name: str) -> Any:
    """The value, or None where it changes nothing."""
    return None if found[name] == NOTHING.get(name) else found[name]
