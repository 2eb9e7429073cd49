"""What a decoder saves for its backward pass, to the byte: the ledger of `language.transformer`.

A matrix product saves its input, an RMSNorm the stream, 1/rms and their product in float32 at
least, SwiGLU four tensors of the inner width, attention by PyTorch's fused kernel its three inputs,
its output and a log-sum-exp. In float32, with HD = C and as many heads of keys, a layer comes to

    bytes = 4 BN (10 C + 4 F + H + 2)

and in 16 bits to more than half of that: norms keep float32.

    policy        saved by a layer
    "all"         what autograd saves
    "selective"   the same without what lies within attention: its inputs and its output are there
    "full"        the layer's input

Parameters aren't counted. It is so with PyTorch 2.13 on a CPU: another kernel, another ledger.
Symbols: B sequences, N tokens, C width, H heads of queries, G of keys, D head dimension, F inner
width, V vocabulary.
"""

from typing import Protocol

from rlcourse._check import positive_integer
from rlcourse.systems.activations import Entry, Length, symbols, total

POLICIES = ("all", "selective", "full")
ATTENTIONS = ("sdpa", "explicit")
B, N, C, H, G, D, F, V = symbols("B N C H G D F V")


class Sizes(Protocol):
    """What is read of a `language.config.Config`: a read-only V, C, H, G, D, F and a switch."""

    @property
    def vocabulary(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def qk_norm(self) -> bool: ...


def layer_ledger(
    config: Sizes, element: int = 4, policy: str = "all", attention: str = "sdpa",
    one_token: bool = False,
) -> list[Entry]:  # fmt: skip
    """The tensors that one layer saves, in this order; sizes are letters, whatever the config's.

    element: bytes of a number; attention: "sdpa" is PyTorch's, "explicit" `grouped_attention` with
    a causal mask; one_token: N = 1. ValueError for another policy, attention or element.
    """
    _known(element, policy, attention)
    if policy == "full":
        return [Entry("checkpoint", "x", (B, N, C), element)]
    if policy == "selective":
        core = _recomputed(element)
    elif attention == "explicit":
        core = _explicit(element)
    else:
        core = _sdpa(element, copied=config.qk_norm and config.heads > 1 and not one_token)
    qk_norms = _norm("q norm", "q", (B, H, N), D, element)
    qk_norms += _norm("k norm", "k", (B, G, N), D, element)
    return [
        *_norm("input norm", "x", (B, N), C, element),
        Entry("q projection", "normed", (B, N, C), element),
        Entry("k projection", "normed for k", (B, N, C), element, shared="normed"),
        Entry("v projection", "normed for v", (B, N, C), element, shared="normed"),
        *(qk_norms if config.qk_norm else []),
        *core,
        *_norm("second norm", "x after attention", (B, N), C, element),
        *_swiglu(element),
    ]


def _known(element: int, policy: str, attention: str) -> None:
    allowed = dict(element=(2, 4, 8), policy=POLICIES, attention=ATTENTIONS)
    for (name, known), value in zip(allowed.items(), (element, policy, attention), strict=True):
        if value not in known:
            words = ", ".join(map(str, known))
            raise ValueError(f"{name} must be one of {words}, got {value!r}")


def _norm(op: str, of: str, rows: tuple[Length, ...], size: Length, element: int) -> list[Entry]:
    """In float32 the input itself is saved, in 16 bits a copy of it in float32."""
    wide = max(4, element)
    return [
        Entry(op, of, (*rows, size), wide),
        Entry(op, f"1/rms of {of}", (*rows, 1), wide),
        Entry(op, f"{of} / rms", (*rows, size), wide),
    ]


def _sdpa(element: int, copied: bool) -> list[Entry]:
    """The output lies as the queries do: as its projection reads it, unless they were normed."""
    return [
        Entry("attention", "turned k", (B, G, N, D), element),
        Entry("attention", "turned q", (B, H, N, D), element),
        Entry("attention", "v", (B, G, N, D), element),
        Entry("attention", "log-sum-exp", (B, H, N), max(4, element)),
        Entry("attention", "o", (B, H, N, D), element),
        Entry("o projection", "rows of o", (B, N, H * D), element, shared="" if copied else "o"),
    ]


def _explicit(element: int) -> list[Entry]:
    """Each head of queries has a copy of its keys and values; ~mask is made anew each time."""
    return [
        Entry("product q·k", "turned k, repeated", (B, H, D, N), element),
        Entry("product q·k", "turned q", (B, H, N, D), element),
        Entry("mask", "hidden", (N, N), 1),
        Entry("softmax", "probabilities", (B, H, N, N), element),
        Entry("mask", "hidden again", (N, N), 1),
        Entry("product with v", "v, repeated", (B, H, N, D), element),
        Entry("product with v", "masked probabilities", (B, H, N, N), element),
        Entry("o projection", "o", (B, N, H * D), element),
    ]


def _recomputed(element: int) -> list[Entry]:
    return [
        Entry("checkpoint", "turned q", (B, H, N, D), element),
        Entry("checkpoint", "turned k", (B, G, N, D), element),
        Entry("checkpoint", "v", (B, G, N, D), element),
        Entry("o projection", "o", (B, N, H * D), element),
    ]


def _swiglu(element: int) -> list[Entry]:
    return [
        Entry("gate projection", "normed again", (B, N, C), element),
        Entry("SiLU", "gate", (B, N, F), element),
        Entry("up projection", "normed for up", (B, N, C), element, shared="normed again"),
        Entry("product", "activated gate", (B, N, F), element),
        Entry("product", "up", (B, N, F), element),
        Entry("down projection", "inner", (B, N, F), element),
    ]


def ends_ledger(element: int = 4, copied: bool = True) -> list[Entry]:
    """The tensors that are saved before the first layer and after the last one, with the loss.

    Tokens and targets lie in one array of N + 1 columns, as in `language.training`. copied: the
    targets, flattened, are a copy, as they are unless there is one row or one column.
    """
    _known(element, "all", "sdpa")
    wide = max(4, element)
    return [
        Entry("embedding", "tokens", (B, N + 1), 8),
        Entry("rotary", "cos", (1, 1, N, D), wide),
        Entry("rotary", "sin", (1, 1, N, D), wide),
        *_norm("norm", "x", (B, N), C, element),
        Entry("logits", "states", (B, N, C), element),
        Entry("loss", "log-probabilities", (B, N, V), wide),
        Entry("loss", "targets", (B, N), 8, shared="" if copied else "tokens"),
        Entry("loss", "total weight", (), wide),
    ]


def coefficients(
    config: Sizes, element: int = 4, policy: str = "all", attention: str = "sdpa"
) -> dict[tuple[int, int], int]:
    """Bytes that a layer saves of two tokens or more: {(i, j): k} stands for the sum of k Bⁱ Nʲ."""
    size = total(layer_ledger(config, element, policy, attention)).at(**numbers_of(config))
    return {(dict(m).get("B", 0), dict(m).get("N", 0)): int(k) for m, k in size.terms.items()}


def layer_bytes(
    config: Sizes, batch: int, tokens: int, element: int = 4, policy: str = "all",
    attention: str = "sdpa",
) -> int:  # fmt: skip
    """Bytes that one layer saves. ValueError for sizes below 1, and as in `layer_ledger`."""
    b, n = positive_integer("batch", batch), positive_integer("tokens", tokens)
    ledger = layer_ledger(config, element, policy, attention, one_token=n == 1)
    return int(total(ledger).at(**numbers_of(config), B=b, N=n))


def ends_bytes(config: Sizes, batch: int, tokens: int, element: int = 4) -> dict[str, int]:
    """Bytes saved outside the layers: embedding, rotary, norm, logits (the head) and loss.

    A policy changes none of them. ValueError for sizes below 1 and another element.
    """
    b, n = positive_integer("batch", batch), positive_integer("tokens", tokens)
    found: dict[str, int] = {}
    for entry in ends_ledger(element, copied=b > 1 and n > 1):
        size = int(entry.bytes.at(**numbers_of(config), B=b, N=n))
        found[entry.op] = found.get(entry.op, 0) + size
    return found


def numbers_of(config: Sizes) -> dict[str, int]:
    """What the letters of a ledger are for a config, but for B and N."""
    names = dict(C="width", H="heads", G="kv_heads", D="head_dim", F="hidden", V="vocabulary")
    return {symbol: int(getattr(config, name)) for symbol, name in names.items()}
