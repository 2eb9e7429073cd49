"""What autograd really saves, by PyTorch's own hooks: the check of every ledger.

PyTorch hands each tensor that it saves to a hook. Views and repeats share a storage, which counts
once; parameters are there anyway. So the bytes of a run are

    storage_bytes(saved_tensors(run, model.parameters()))

A checkpoint of a function keeps its arguments: tensors among them are seen by the hooks, those
inside a tuple aren't, as the tables of rotary positions; nor is the state of the generator, which
`torch.utils.checkpoint` notes for the second run.
Shapes: B sequences, N tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlcourse.language.attention import grouped_attention, sdpa
from rlcourse.language.masks import causal_mask
from rlcourse.language.training import next_token_loss
from rlcourse.language.transformer import Decoder


def saved_tensors(run: Callable[[], object], known: Iterable[Tensor] = ()) -> list[Tensor]:
    """A tensor of each storage that run() saves for its backward pass, in the order of saving.

    Without empty ones and those that share a storage with a tensor of `known`.
    """
    seen = {x.untyped_storage().data_ptr() for x in known}
    found: list[Tensor] = []

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.nbytes() and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            found.append(x)  # keeps the storage, so that nobody else gets its address
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        run()
    return found


def decoder_loss(
    model: Decoder, windows: Tensor, policy: str = "all", attention: str = "sdpa"
) -> Tensor:
    """The loss of a decoder on windows (B, N + 1), with a policy of `decoder_activations`.

    policy: "all", "selective" (attention is computed again) or "full" (each layer is); attention:
    "sdpa" or "explicit".
    """
    core = sdpa if attention == "sdpa" else explicit_attention
    if policy == "selective":
        core = partial(checkpoint, core, use_reentrant=False)
    with checkpointed(model) if policy == "full" else nullcontext():
        return next_token_loss(model(windows[:, :-1], attention=core), windows)


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """`grouped_attention` with a causal mask where none is given: all N² scores in memory."""
    if mask is None:
        mask = causal_mask(q.shape[2], k.shape[2], device=q.device)
    return grouped_attention(q, k, v, mask)


@contextmanager
def checkpointed(model: Decoder) -> Iterator[None]:
    """Within it each layer keeps its input alone, and is computed again backwards."""
    for block in model.layers:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in model.layers:
            del block.forward
