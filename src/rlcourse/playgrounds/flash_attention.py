"""The playground of FlashAttention: what tiles hold in fast memory, and what they save in slow."""

from typing import Any, Literal, NamedTuple, get_args

from rlcourse import _check
from rlcourse.playgrounds._base import Playground, Prompt
from rlcourse.systems.attention_tiles import (
    Moved,
    attention_flops,
    forward_tiles,
    forward_traffic,
    intensity,
    standard_traffic,
    tallest_block,
    visible_tiles,
)

Card = Literal["RTX 4090", "A100", "H100"]

LENGTHS = tuple(2**i for i in range(10, 18))
WIDTHS = (64, 128, 256)
STEP, MOST = 16, 512  # of the sides of a tile
HELD, SENT = 4, 2  # bytes of an element: float32 in fast memory, bf16 in slow


class Limits(NamedTuple):
    """What a card can do.

    kib   shared memory of a thread block, KiB
    ridge bf16 operations for each byte that its slow memory can move in the same time
    """

    kib: int
    ridge: float


CARDS: dict[Card, Limits] = {
    "RTX 4090": Limits(99, 165.2 / 1.008),
    "A100": Limits(163, 312 / 2.039),
    "H100": Limits(227, 989.4 / 3.35),
}
"""Shared memory: CUDA C++ Programming Guide, technical specifications per compute capability.

Ridge: TFLOP/s of dense bf16 over TB/s, from NVIDIA's data sheets (A100 80 GB SXM, H100 SXM).
"""


class Settings(NamedTuple):
    """What the reader can change.

    n        queries, and as many keys
    d        width of a head
    block_q  queries of a tile
    block_k  keys of a tile
    causal   whether query i sees the keys up to i alone
    card     whose fast memory must hold the tiles
    step     tiles visited so far
    """

    n: int = 8192
    d: int = 64
    block_q: int = 128
    block_k: int = 128
    causal: bool = False
    card: Card = "H100"
    step: int = 2200


PROMPTS = (
    Prompt(
        "Tiles of 256 instead of 128: is twice as much saved?",
        {"block_q": 256, "block_k": 256},
        "In traffic, nearly: 7.8 times less instead of 4.0. But the tiles would take 514 KiB, and a"
        " thread block of an H100 has 227. Fast memory bounds the tile, and the tile bounds the"
        " saving.",
    ),
    Prompt(
        "256 queries, but only 32 keys a tile: does that fit?",
        {"block_q": 256, "block_k": 32},
        "Yes: 178 KiB, and still 7.8 times less traffic. K and V pass once for each tile of"
        " queries, however thin their own tiles are. So kernels take tiles that are tall rather"
        " than wide, such as 128 × 64.",
    ),
    Prompt(
        "Four times the length, N\N{NO-BREAK SPACE}= 32768: is more saved?",
        {"n": 32768},
        "No: 4.0 times, as before. With tiles of B queries both move Θ(N²),"
        " 4\N{NO-BREAK SPACE}N² against 2\N{NO-BREAK SPACE}N²\N{NO-BREAK SPACE}d/B, and N"
        " cancels. What does grow is what is never stored: one matrix of scores would take 2 GiB"
        " in bf16.",
    ),
)
"""Each answer is asserted, from the package's own numbers, in tests/playgrounds."""


class FlashAttentionPlayground(Playground):
    """The scores as tiles: traffic to slow memory beside what must fit in fast memory.

    Arguments are those of `Settings`, which says what they mean; without any it comes with three
    questions to predict. Raises ValueError for what the controls cannot set.
    """

    name = "flash_attention"

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        if odd := settings.keys() - set(Settings._fields):
            raise ValueError(f"settings must be among {Settings._fields}, got {sorted(odd)}")
        w = Settings(**{"step": 0, **settings} if settings else {})
        known = {"n": LENGTHS, "d": WIDTHS, "causal": (True, False), "card": get_args(Card)}
        for name, options in known.items():
            if getattr(w, name) not in options:
                raise ValueError(f"{name} must be one of {options}, got {getattr(w, name)!r}")
        for name in ("block_q", "block_k"):
            block = _check.positive_integer(name, getattr(w, name))
            if block % STEP or block > MOST:
                raise ValueError(f"{name} must be a multiple of {STEP} up to {MOST}, got {block}")
        _check.interval("step", w.step, 0, visited(w))
        self.settings, self.title = w, title

    def data(self) -> dict[str, Any]:
        """Settings, cards, prompts, and the package's counts, which the script must repeat."""
        w = self.settings
        standard, flash = standard_traffic(w.n, w.n, w.d), traffic(w)
        flops = attention_flops(w.n, w.n, w.d, causal=w.causal)
        data = {
            "settings": w._asdict(),
            "cards": {name: card._asdict() for name, card in CARDS.items()},
            "golden": {
                "standard": sum(standard),
                "flash": sum(flash),
                "saved": sum(standard) / sum(flash),
                "intensity": intensity(flops, flash, SENT),
                "held": sum(forward_tiles(w.block_q, w.block_k, w.d).values()),
                "tallest": tallest(w),
            },
            "prompts": [prompt._asdict() for prompt in PROMPTS] if w == Settings() else [],
        }
        return data | ({"title": self.title} if self.title else {})

    def fallback(self) -> str:
        """A table of square tiles: what they save, and whether they fit."""
        w, rows = self.settings, ""
        sizes = sorted({(b, b) for b in (32, 64, 128, 256)} | {(w.block_q, w.block_k)})
        for block_q, block_k in sizes:
            each = w._replace(block_q=block_q, block_k=block_k)
            saved = sum(standard_traffic(w.n, w.n, w.d)) / sum(traffic(each))
            rows += f"<tr><td>{block_q} × {block_k}<td>{mib(traffic(each)):.0f}<td>{saved:.1f}"
            rows += f"<td>{kib(each):.0f}<td>{'yes' if kib(each) <= CARDS[w.card].kib else 'no'}"
        return (
            f"<table><caption>{'Causal attention' if w.causal else 'Attention'} of {w.n} queries to"
            f" {w.n} keys, one head of width {w.d}. Standard attention moves"
            f" {mib(standard_traffic(w.n, w.n, w.d)):.0f} MiB; a thread block of the {w.card} has"
            f" {CARDS[w.card].kib} KiB of fast memory. With JavaScript this is a playground."
            "</caption><tr><th>tile, queries × keys<th>FlashAttention moves, MiB<th>times less"
            f"<th>tiles hold, KiB<th>fits{rows}</table>"
        )

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items())
        return f"FlashAttentionPlayground({fields})"


def traffic(w: Settings) -> Moved:
    """What the forward pass moves, in elements."""
    return forward_traffic(w.n, w.n, w.d, w.block_q, w.block_k, w.causal)


def visited(w: Settings) -> int:
    """How many tiles the forward pass visits."""
    return int(visible_tiles(w.n, w.n, w.block_q, w.block_k, w.causal).seen.sum())


def mib(moved: Moved) -> float:
    """MiB that are moved, in bf16."""
    return SENT * sum(moved) / 2**20


def kib(w: Settings) -> float:
    """KiB of fast memory that the tiles take, in float32."""
    return HELD * sum(forward_tiles(w.block_q, w.block_k, w.d).values()) / 2**10


def tallest(w: Settings) -> int:
    """The most queries that fit beside the keys of a tile; 0 where not even one does."""
    try:
        return tallest_block(CARDS[w.card].kib * 2**10 // HELD, w.d, w.block_k)
    except ValueError:
        return 0
