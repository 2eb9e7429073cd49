"""The psalmist: a decoder of 0.87 million weights, trained on the course's verses, and its record.

`recorded_training` trains it and writes the folder `results/language/psalmist` as the hub has them;
`psalmist()` loads it, with its tokenizer. It is a Qwen3 in all but size. A text is a verse and the
end token: put one end token before a prompt that begins a verse.

Shapes: M tokens of the whole text, V vocabulary.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cache
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcourse.language.checkpoints import load, save
from rlcourse.language.config import Config
from rlcourse.language.text import split
from rlcourse.language.tokenizers import BpeTokenizer, load_bpe, stream, train_bpe
from rlcourse.language.training import Settings, begin, mean_loss, train
from rlcourse.language.transformer import Decoder
from rlcourse.results import HERE

FOLDER = HERE / "language" / "psalmist"
SPECIALS = ("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
CONFIG = Config(
    vocabulary=1024, width=128, layers=4, heads=4, kv_heads=2, head_dim=32, hidden=352,
    positions=1024, qk_norm=True,
)  # fmt: skip
SETTINGS = Settings(
    steps=2500, batch=16, window=128, rate=3e-3, warm_up=100, decay=2.0, every=250
)  # so little text: with a decay of 0.1 the held-out loss stopped falling at 3.07
SEED = 0


class Psalmist(NamedTuple):
    """The trained model, in float32, and its tokenizer."""

    model: Decoder
    tokenizer: BpeTokenizer


@cache
def psalmist() -> Psalmist:
    """The recorded model: shared, so never write to its weights."""
    model = load(FOLDER, dtype=torch.float32).requires_grad_(False)
    return Psalmist(model, load_bpe(FOLDER))


def tokens_of(tokenizer: BpeTokenizer) -> tuple[list[int], list[int]]:
    """The rows of training and of validation tokens."""
    parts = split()
    return stream(tokenizer, parts.train), stream(tokenizer, parts.validation)


@torch.no_grad()
def continued(
    psalmist: Psalmist,
    prompt: str = "",
    *,
    temperature: float = 0.8,
    most: int = 80,
    generator: torch.Generator,
) -> str:
    """A prompt and what the model makes of it, drawn token by token up to the end of the verse.

    p ∝ exp(logits / temperature). The end token of the verse before stands in front.
    """
    model, tokenizer = psalmist
    written = tokenizer.encode(prompt)
    ids, cache = [tokenizer.eos, *written], model.cache(1, len(written) + 1 + most)
    for _ in range(most):
        p = torch.softmax(model(torch.tensor([ids]), cache=cache)[0, -1] / temperature, -1)
        ids = [int(torch.multinomial(p, 1, generator=generator))]
        if ids[0] == tokenizer.eos:
            break
        written += ids
    return tokenizer.decode(written)


def samples(psalmist: Psalmist, prompts: Sequence[str], temperature: float = 0.7) -> str:
    """A verse for each prompt, wrapped; number i is drawn with seed i."""
    drawn = (
        continued(psalmist, prompt, temperature=temperature,
                  generator=torch.Generator().manual_seed(i))
        for i, prompt in enumerate(prompts)
    )  # fmt: skip
    return "\n".join(fill(f"· {text}", 72, subsequent_indent="  ") for text in drawn)


def digest(state: dict[str, Tensor]) -> str:
    """SHA-256 of weights of 16 bits, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode() + state[name].contiguous().view(torch.int16).numpy().tobytes())
    return found.hexdigest()


def letters(texts: list[str]) -> int:
    """The bytes of some verses, each with the end of its line."""
    return sum(len(text) + 1 for text in texts)


def recorded_training() -> dict[str, Any]:
    """Train it in full on one thread, and write the folder."""
    torch.set_num_threads(1)
    parts, began = split(), time.perf_counter()
    tokenizer = train_bpe(parts.train, CONFIG.vocabulary, SPECIALS)
    ids, held_out = tokens_of(tokenizer)
    generator = torch.Generator().manual_seed(SEED)
    model = Decoder(CONFIG, generator=generator)
    run = begin(model, ids, SETTINGS, generator=generator, validation=held_out)
    train(run, progress=told)
    half = model.to(torch.bfloat16)
    save(half, FOLDER)
    tokenizer.save(FOLDER)
    return {
        "seed": SEED,
        "threads": 1,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": {"train": len(ids), "validation": len(held_out)},
        "bytes": {
            "train": letters(parts.train),
            "validation": letters(parts.validation),
        },
        "read": SETTINGS.steps * SETTINGS.batch * SETTINGS.window,
        "losses": np.array(run.losses).reshape(-1, 20).mean(1).round(4).tolist(),
        "checks": [[step, round(loss, 4)] for step, loss in run.checks],
        "stored": round(mean_loss(half.float(), torch.tensor(held_out), SETTINGS.window), 4),
        "digest": digest(load(FOLDER).state_dict()),
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }


def told(done: int, steps: int, losses: np.ndarray[Any, Any]) -> None:
    """A line every 100 steps: such a run goes on unwatched."""
    if done % 100 == 0:
        print(f"{done}/{steps} {losses.mean():.3f}", flush=True)


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {"training": recorded_training}
RECORDED_MODULES = (
    "rlcourse.language.text",
    "rlcourse.language.tokenizers",
    "rlcourse.language.training",
)
