"""What the forward leaves behind, in the chapter on ZeRO: ledgers, policies, and the logits.

Bytes are sums over ledgers, which tests compare with the tensors that autograd really saves.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from matplotlib.figure import Figure

from rlcourse.figures.systems.attention_speed import Rows, Tables
from rlcourse.language.checkpoints import read_config
from rlcourse.language.config import Config
from rlcourse.language.transformer import Decoder
from rlcourse.plot import BLUE, GREEN, GREY, OCHRE, PURPLE, RED, Picture, panel, picture
from rlcourse.systems.activations import Entry, korthikanti, total
from rlcourse.systems.decoder_activations import POLICIES, ends_bytes, layer_bytes, layer_ledger
from rlcourse.systems.memory_counter import storage_bytes
from rlcourse.systems.parameter_counts import MODELS
from rlcourse.systems.saved_tensors import decoder_loss, saved_tensors
from rlcourse.systems.zero import GB

MODEL, TOKENS = "Llama-3.1-8B", 4096
ELEMENT = 2  # bytes
PARTS = {  # part of a layer -> colour, letter in its bar
    "norms": (BLUE, "n"),
    "attention": (RED, "a"),
    "SwiGLU": (GREEN, "s"),
    "inputs of projections": (OCHRE, "p"),
    "the layer's input": (GREY, "x"),
}
SWIGLU = {"SiLU", "product", "gate projection", "up projection", "down projection"}
WAYS = {  # in words -> policy, attention
    "all, explicit scores": ("all", "explicit"),
    "all": ("all", "sdpa"),
    "selective": ("selective", "sdpa"),
    "full": ("full", "sdpa"),
}


def part_of(entry: Entry) -> str:
    """Which part of a layer saves a tensor."""
    if entry.name == "x" and entry.op == "checkpoint":
        return "the layer's input"
    if "norm" in entry.op:
        return "norms"
    if entry.op in SWIGLU:
        return "SwiGLU"
    return "inputs of projections" if "projection" in entry.op else "attention"


def sizes_of(config: Config, batch: int, tokens: int) -> dict[str, int]:
    """The numbers of a ledger's letters."""
    return dict(B=batch, N=tokens, C=config.width, H=config.heads, G=config.kv_heads,
                D=config.head_dim, F=config.hidden, V=config.vocabulary)  # fmt: skip


def config_of(name: str = MODEL) -> Config:
    """The sizes of a decoder of this package, for a model by name."""
    return read_config(MODELS[name])


# ------------------------------------------------------------------------------- one layer


def table_of_ledger(name: str = MODEL, tokens: int = TOKENS) -> Tables:
    """What one layer saves in bf16, line by line: shape, bytes, and whose storage it is."""
    config = config_of(name)
    numbers = sizes_of(config, 1, tokens)
    rows: Rows = [("operation", "keeps", "shape", "MB")]
    for entry in layer_ledger(config, ELEMENT):
        shape = " × ".join(str(x) for x in entry.shape)
        size = f"{int(entry.bytes.at(**numbers)) / 1e6:.1f}"
        rows.append((entry.op, entry.name, shape, "–" if entry.shared else size))
    whole = layer_bytes(config, 1, tokens, ELEMENT)
    says = (
        f"One layer of {name} in bf16 and {tokens} tokens, {whole / 1e6:.0f} MB; – is the storage"
        " of another line."
    )
    return Tables(says, (rows,))


def table_of_formulas() -> Tables:
    """The GPT layer's ledger, summed up in letters, for each way of cutting and recomputing."""
    rows: Rows = [("keeps", "tensor parallel", "and sequence parallel")]
    for recompute in ("none", "selective", "full"):
        words = (str(total(korthikanti(recompute, s)).at(c=1)) for s in (False, True))
        rows.append((recompute, *words))
    return Tables("Bytes of a GPT layer, recomputing nothing, attention, all:", (rows,))


class Policies(NamedTuple):
    """Bytes of one layer by part, and of the whole model, for each way.

    layers, ends: of all layers; of embedding, last norm, logits and loss.
    """

    parts: dict[str, dict[str, int]]
    layers: dict[str, int]
    ends: int


def data_policies(name: str = MODEL, tokens: int = TOKENS) -> Policies:
    """One sequence in bf16."""
    config = config_of(name)
    numbers = sizes_of(config, 1, tokens)
    parts: dict[str, dict[str, int]] = {}
    for way, (policy, attention) in WAYS.items():
        of = parts.setdefault(way, dict.fromkeys(PARTS, 0))
        for entry in layer_ledger(config, ELEMENT, policy, attention):
            of[part_of(entry)] += int(entry.bytes.at(**numbers))
    layers = {way: config.layers * sum(of.values()) for way, of in parts.items()}
    return Policies(parts, layers, sum(ends_bytes(config, 1, tokens, ELEMENT).values()))


def draw_policies(data: Policies) -> Picture:
    """Left one layer, by part; right the model, layers and ends."""
    left = _bars(data.parts, PARTS, f"One layer of {MODEL}", 1e6, "MB")
    both = {way: {"layers": x, "logits, loss, ends": data.ends} for way, x in data.layers.items()}
    looks = {"layers": (PURPLE, "l"), "logits, loss, ends": (GREY, "e")}
    right = _bars(both, looks, "All layers, and the ends", GB, "GB")
    words = "; ".join(f"{way} {x / GB:.1f} GB" for way, x in data.layers.items())
    return picture(
        [left, right],
        f"Bytes that the forward of {TOKENS} tokens leaves. All layers: {words}. Logits and the"
        f" other ends: {data.ends / GB:.1f} GB, whatever the policy.",
    )


def _bars(
    rows: Mapping[str, Mapping[str, int]], looks: Mapping[str, tuple[str, str]], title: str,
    unit: float, name: str,
) -> Figure:  # fmt: skip
    figure, axes = panel(title, (3.6, 2.6))
    whole = max(sum(of.values()) for of in rows.values())
    for y, of in enumerate(rows.values()):
        start = 0.0
        for part, size in of.items():
            colour, letter = looks[part]
            axes.barh(-y, size / unit, 0.6, start / unit, color=(colour, 0.6), edgecolor=colour,
                      label=f"{letter}: {part}" if not y else None)  # fmt: skip
            if size > 0.04 * whole:
                axes.annotate(letter, ((start + size / 2) / unit, -y), ha="center", va="center")
            start += size
        axes.annotate(f"{start / unit:,.{0 if unit < GB else 1}f}", (start / unit, -y), (3, -3),
                      textcoords="offset points", fontsize=7.5)  # fmt: skip
    axes.set_yticks([-y for y in range(len(rows))], list(rows))
    axes.set(xlabel=name, xlim=(0, 1.2 * whole / unit))
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=6.5, loc="lower right")
    return figure


# ------------------------------------------------------------------------------- measured


def table_of_saved(batch: int = 2, tokens: int = 48) -> Tables:
    """Bytes that autograd saves of a small decoder, live, beside the ledger's."""
    config = Config(211, 32, 3, heads=4, kv_heads=2, head_dim=8, hidden=88)
    rows: Rows = [("type", "policy", "ledger", "measured", "off")]
    for dtype in (torch.float32, torch.bfloat16):
        model = Decoder(config, generator=torch.Generator().manual_seed(0)).to(dtype)
        windows = torch.arange(batch * (tokens + 1)).reshape(batch, -1) % config.vocabulary
        for policy in POLICIES:
            size = dtype.itemsize
            ends = ends_bytes(config, batch, tokens, size)
            if policy == "full":  # a checkpoint holds the tables of positions out of sight
                del ends["rotary"]
            ledger = config.layers * layer_bytes(config, batch, tokens, size, policy)
            ledger += sum(ends.values())
            measured = measure(model, windows, policy)
            kind = str(dtype).removeprefix("torch.")
            off = measured - ledger
            rows.append((kind, policy, f"{ledger:,}", f"{measured:,}", str(off)))
    return Tables(f"{batch} sequences of {tokens} tokens, bytes:", (rows,))


def measure(model: Decoder, windows: torch.Tensor, policy: str) -> int:
    """Bytes of the tensors that autograd saves, parameters left out."""
    found = saved_tensors(lambda: decoder_loss(model, windows, policy), model.parameters())
    return storage_bytes(found)
