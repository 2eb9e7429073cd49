"""What the same decoder saves in the library transformers: a ledger is a fact about one program.

Llama, Qwen2 and Qwen3 compute there what `language.transformer` computes here, and differ from it
in what they keep (version 5, on a CPU, in float32 or 16 bits):

    norms            the quotient x / rms is cast back to 16 bits, and so are the tables of cosines
    queries, normed  come token by token, so that attention's output does: no copy
    eager attention  a softmax in float32 beside its copy in 16 bits; the mask is added, not kept

Symbols: B sequences, N tokens, C width, H heads of queries, D head dimension.
"""

from rlcourse._check import positive_integer
from rlcourse.systems.activations import Entry, total
from rlcourse.systems.decoder_activations import (
    B,
    D,
    N,
    Sizes,
    ends_ledger,
    layer_ledger,
    numbers_of,
)


def peer_layer_ledger(
    config: Sizes, element: int = 2, policy: str = "all", attention: str = "sdpa",
    one_row: bool = False,
) -> list[Entry]:  # fmt: skip
    """The tensors that one layer saves, attention being "sdpa" or "eager"; policy "all" or "full".

    element: 2 or 4 bytes; one_row: B = 1, where a single head of keys is repeated by a view.
    ValueError for another of these.
    """
    if element not in (2, 4):
        raise ValueError(f"element must be 2 or 4, got {element!r}")
    if policy not in ("all", "full"):
        raise ValueError(f"policy must be all or full, got {policy!r}")
    if attention not in ("sdpa", "eager"):
        raise ValueError(f"attention must be sdpa or eager, got {attention!r}")
    plain = "explicit" if attention == "eager" else "sdpa"
    ours = layer_ledger(config, element, policy, plain)
    theirs = [_peers(entry, element) for entry in ours if entry.op != "mask"]
    if one_row and config.kv_heads == 1:
        once = (B, 1, N, D)
        theirs = [e._replace(shape=once) if e.name.endswith("repeated") else e for e in theirs]
    return theirs


def _peers(entry: Entry, element: int) -> Entry:
    """An entry of ours as it is there."""
    if entry.name.endswith("/ rms") or entry.op == "rotary":
        return entry._replace(element=element)
    if entry.name == "rows of o":
        return entry._replace(shared="o")
    if entry.name == "probabilities":
        return entry._replace(element=4)
    if entry.name == "masked probabilities":
        return entry._replace(name="cast", shared="probabilities" if element == 4 else "")
    return entry


def peer_ends_ledger(element: int = 2, one_row: bool = False) -> list[Entry]:
    """The tensors saved before and after the layers, with the loss on labels that are the tokens.

    The labels are padded by one and shifted, and copied unless there is one row.
    """
    tokens, *rest = (_peers(entry, element) for entry in ends_ledger(element))
    columns = N + 1 if one_row else N
    shifted = [e._replace(shape=(B, columns)) if e.name == "targets" else e for e in rest]
    return [tokens._replace(shape=(B, N)), *shifted]


def peer_bytes(
    config: Sizes, layers: int, batch: int, tokens: int, element: int = 2, policy: str = "all",
    attention: str = "sdpa",
) -> int:  # fmt: skip
    """Bytes that the model saves with its loss. ValueError as in `peer_layer_ledger`."""
    b, n = positive_integer("batch", batch), positive_integer("tokens", tokens)
    layer = total(peer_layer_ledger(config, element, policy, attention, b == 1))
    size = layer * positive_integer("layers", layers)
    size += total(peer_ends_ledger(element, one_row=b == 1))
    return int(size.at(**numbers_of(config), B=b, N=n))
