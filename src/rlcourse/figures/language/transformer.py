"""Figures and experiments of the transformer chapter: data_* computes, draw_* shows.

Parts stand in modules of their own: `layer_parts`, `attention_maps`, `training_curves`, `psalmist`
(the recorded model) and `ngrams`.

Shapes: B batch, T tokens, L layers, G heads of keys, D head dimension.
"""

from collections.abc import Callable
from functools import cache
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.figures.language.psalmist import psalmist, tokens_of
from rlcourse.language.checkpoints import load, save
from rlcourse.language.config import Config
from rlcourse.language.rotary import rotate
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREY, RED, Picture, panel, picture
from rlcourse.systems.tiled_attention import tiled_attention

# ------------------------------------------------------------------------------- sizes

PUBLISHED = {  # as their config.json on the hub has them
    "Llama 2 7B": Config(32000, 4096, 32, 32, 32, 128, 11008, 4096, eps=1e-5, tied=False),
    "Qwen2.5 7B": Config(
        152064, 3584, 28, 28, 4, 128, 18944, 32768, 1e6, qkv_bias=True, tied=False
    ),
    "Qwen3 8B": Config(151936, 4096, 36, 32, 8, 128, 12288, 40960, 1e6, qk_norm=True, tied=False),
    "Qwen2 72B": Config(152064, 8192, 80, 64, 8, 128, 29568, 32768, 1e6, qkv_bias=True, tied=False),
}


class Size(NamedTuple):
    """What a model needs: parameters, and bytes of keys and values a token in 16 bits."""

    parameters: int
    cache: int


def data_sizes() -> dict[str, Size]:
    """The sizes of published models, counted on models without memory (device "meta")."""
    return {
        name: Size(
            sum(p.numel() for p in Decoder(c, generator=None).parameters()), bytes_a_token(c)
        )
        for name, c in PUBLISHED.items()
    }


def table_of_sizes(sizes: dict[str, Size]) -> str:
    """The sizes as text, with the cache of 32 768 tokens."""
    lines = [
        "              heads of q / k       parameters   bytes a token   GiB for 32 768 tokens"
    ]
    for name, size in sizes.items():
        c = PUBLISHED[name]
        heads, long = f"{c.heads} / {c.kv_heads}", size.cache * 32768 / 2**30
        lines.append(f"{name:<13}{heads:>15}{size.parameters:>17,}{size.cache:>16,}{long:>24.1f}")
    return "\n".join(lines).replace(",", " ")


def bytes_a_token(c: Config) -> int:
    """Keys and values of a token in 16 bits: 2 · L · G · D numbers of 2 bytes."""
    return 2 * c.layers * c.kv_heads * c.head_dim * 2


# ------------------------------------------------------------------------------- agreement


class Agreement(NamedTuple):
    """Largest difference of logits between two ways that should agree, in float64.

    cached    read token by token with a cache, and read whole
    flash     FlashAttention handed in, and PyTorch's attention
    stored    saved in 16 bits, loaded, and compared with the weights as they were
    """

    cached: float
    flash: float
    stored: float


@torch.no_grad()
def data_agreement() -> Agreement:
    """Three pairs of ways over 96 tokens of held-out text."""
    small, tokenizer = psalmist()
    model = Decoder(small.config, generator=None)
    model.load_state_dict({k: x.double() for k, x in small.state_dict().items()}, assign=True)
    tokens = torch.tensor([tokens_of(tokenizer)[1][:96]])
    whole, memory = model(tokens), model.cache(1, 96)
    pieces = torch.cat([model(tokens[:, i : i + 1], cache=memory) for i in range(96)], 1)
    tiled = model(tokens, attention=flash)
    with TemporaryDirectory() as folder:
        save(model.bfloat16(), folder)
        again = load(folder, dtype=torch.float64)(tokens)
    return Agreement(*(float((whole - x).abs().max()) for x in (pieces, tiled, again)))


def flash(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """FlashAttention of the systems room, for a decoder without a mask of its own."""
    assert mask is None
    return tiled_attention(q, k, v, causal=True, block_q=32, block_k=32)


# ------------------------------------------------------------------------------- the bug hunt


class Hunt(NamedTuple):
    """What a rule for positions does to the psalmist, nats a token on held-out text.

    whole    read in one go, as in training
    cached   read token by token with a cache, as in generation
    """

    whole: float
    cached: float


@torch.no_grad()
def data_hunt(positions: Callable[[int, int], Tensor]) -> Hunt:
    """Both losses of 16 windows of 64 tokens; positions(cached, new) -> (new,) is the rule."""
    model, tokenizer = psalmist()
    x = torch.tensor(tokens_of(tokenizer)[1][: 16 * 65]).reshape(16, 65)
    memory, steps = model.cache(16, 64), []
    whole = model(x[:, :-1], positions=positions(0, 64)[None])
    for i in range(64):
        steps.append(model(x[:, i : i + 1], positions=positions(i, 1)[None], cache=memory))
    return Hunt(*(loss_of(logits, x) for logits in (whole, torch.cat(steps, 1))))


def loss_of(logits: Tensor, tokens: Tensor) -> float:
    """Mean of -log p of each token but the first, as a number."""
    log_p = logits.log_softmax(-1).gather(2, tokens[:, 1:, None])
    return float(-log_p.mean())


# ------------------------------------------------------------------------------- live


@cache
def _page(seed: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, 1, 64, generator=g, dtype=torch.float64)
    return q, k


def draw_live(theta: float = 1e4, place: int = 100, seed: int = 0) -> Picture:
    """The score of one query at `place` with one key moved along the text: for sliders."""
    q, k = _page(seed)
    positions = torch.arange(200)
    scores = rotate(q, torch.tensor([place]), theta) @ rotate(k.expand(200, 64), positions, theta).T
    figure, axes = panel("q·k while the key moves", (4.8, 2.7))
    axes.plot(positions, scores[0] / 8, color=BLUE)
    axes.axvline(place, color=RED, linestyle="--", linewidth=1)
    axes.axhline(float(q @ k.T) / 8, color=GREY, linestyle=":")
    axes.set(xlabel="position of the key", ylabel="q·k / √D", ylim=(-4, 4))
    return picture(
        figure,
        "The score of a query and a key by the position of the key; at the query's own position it"
        " is that of the unturned pair.",
    )
