"""Beam search: the K likeliest beginnings are kept, and each is tried with every next token.

    score(y) = log p(y | x) / |y|^a            |y| counts the end-of-text token      (eq-beam)

The semantics are those of Hugging Face's `generate` with num_beams: an end counts only where it
stands among the first K candidates of a step, and the search is over when no beginning can be
better than the worst of K finished texts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.language.decoding import check_request
from rlcourse.language.transformer import Decoder


class BeamStep(NamedTuple):
    """The best continuations of a step, best first: score, parent and token, (B, n) each.

    parent is the number of the beam that a continuation comes from.
    """

    score: Tensor
    parent: Tensor
    token: Tensor


class Beam(NamedTuple):
    """A finished text: its new tokens, its log-probability, and the score it is ranked by."""

    tokens: tuple[int, ...]
    log_prob: float
    score: float


def beam_step(scores: Tensor, log_probs: Tensor, n: int) -> BeamStep:
    """The n best of all K V continuations of each batch row  (eq-beam).

    scores (B, K): the log-probability of each beginning; log_probs (B, K, V): of the tokens after
    it. Of equals the one with the lower beam comes first, then the one with the lower token.
    """
    total = (scores[..., None] + log_probs).flatten(1)
    best = total.sort(stable=True, descending=True)
    flat = best.indices[:, :n]
    size = log_probs.shape[-1]
    return BeamStep(best.values[:, :n], flat // size, flat % size)


@torch.no_grad()
def beam_search(
    model: Decoder,
    prompt: Sequence[int],
    *,
    beams: int,
    max_tokens: int,
    eos: Sequence[int],
    length_penalty: float = 1.0,
    early_stopping: bool = False,
) -> list[Beam]:
    """The best texts found after a prompt, at most `beams` of them, best first  (eq-beam).

    early_stopping: end as soon as `beams` texts are finished. Raises ValueError as `generate` does.
    """
    if beams < 1:
        raise ValueError(f"beams must be at least 1, got {beams}")
    if not len(prompt):
        raise ValueError("prompt must have a token, got none")
    check_request(model, [prompt], eos, max_tokens)
    cache = model.cache(beams, len(prompt) + max_tokens)
    tokens = torch.tensor([[*prompt]] * beams)
    logits = model(tokens, cache=cache)[:, -1]
    scores = logits.new_full((1, beams), -torch.inf)
    scores[0, 0] = 0  # all beams begin alike: only the first one counts
    finished: list[Beam] = []
    for length in range(1, max_tokens + 1):
        step = beam_step(scores, logits.log_softmax(-1)[None], max(2, 1 + len(eos)) * beams)
        candidates = zip(*(x[0].tolist() for x in step), strict=True)
        going = []
        for rank, (score, parent, token) in enumerate(candidates):
            if token not in eos and length < max_tokens:
                going.append((score, parent, token))
            elif rank < beams and score > -torch.inf:
                text = (*tokens[parent, len(prompt) :].tolist(), token)
                finished.append(Beam(text, score, score / length**length_penalty))
        finished = sorted(finished, key=lambda beam: -beam.score)[:beams]
        full = len(finished) == beams
        hope = max((going[0][0] if going else -torch.inf) / length**length_penalty, -1e9)
        if length == max_tokens or (full and (early_stopping or hope <= finished[-1].score)):
            break
        values, parents, drawn = zip(*going[:beams], strict=True)
        scores = logits.new_tensor([values])
        origin = torch.tensor(parents)
        tokens = torch.cat([tokens[origin], torch.tensor(drawn)[:, None]], 1)
        cache.k, cache.v = cache.k[:, origin], cache.v[:, origin]
        logits = model(tokens[:, -1:], cache=cache)[:, -1]
    return finished
