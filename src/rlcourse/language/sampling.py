"""From logits to a token: what reshapes the distribution, what cuts it, and what was really drawn.

    temperature   z / T                                                          (eq-temperature)
    top-k         the k largest logits                                           (eq-top-k)
    top-p         the fewest likeliest tokens that hold p of the probability     (eq-top-p)
    min-p         the tokens at least p times as likely as the likeliest         (eq-min-p)
    repetition    a logit above 0 is divided by c, one below is multiplied       (eq-repetition)

What is cut gets the logit -inf, so cuts follow one another, and a softmax at the end shares 1 among
what is left. Their order matters: top-p and min-p look at probabilities, which a temperature before
them has reshaped. `process` has the order of Hugging Face's `generate`: repetition, temperature,
top-k, top-p, min-p.

Shapes: logits (..., V) of floats, V the vocabulary; tokens of integers.
Sources: Fan et al. (2018), top-k; Holtzman et al. (2020), top-p; Nguyen et al. (2025), min-p;
Keskar et al. (2019), repetition.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ORDER = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from logits; what is None does nothing.

    temperature            0 takes the likeliest token, always
    top_k, top_p, min_p    the cuts
    repetition_penalty     c above 1 makes tokens that stood before less likely
    Raises ValueError for values out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None, got {self.top_k}")
        for name in ("top_p", "min_p"):
            if (p := getattr(self, name)) is not None and not 0 < p <= 1:
                raise ValueError(f"{name} must lie in (0, 1] or be None, got {p}")
        if self.repetition_penalty is not None and self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty must be positive, got {self.repetition_penalty}")


GREEDY = Sampling(temperature=0.0)


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    """z / T, T > 0  (eq-temperature): below 1 the distribution grows sharper, above 1 flatter."""
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """The k largest logits of each row, and what equals the k-th; the rest -inf  (eq-top-k)."""
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """The fewest likeliest tokens whose probabilities sum to p or more; the rest -inf  (eq-top-p).

    The token with which the sum reaches p is kept, so at least one is. Of equals the first counts
    as the likelier. logits (..., V), 0 < p <= 1.
    """
    sorted_logits, order = logits.sort(stable=True, descending=True)
    share = sorted_logits.softmax(-1)
    before = share.cumsum(-1) - share
    cut = torch.empty_like(before, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(cut, -torch.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """The tokens whose probability is p times the largest, or more; the rest -inf  (eq-min-p)."""
    share = logits.softmax(-1)
    return logits.masked_fill(share < p * share.amax(-1, keepdim=True), -torch.inf)


def penalise_repetition(
    logits: Tensor, tokens: Tensor, penalty: float, present: Tensor | None = None
) -> Tensor:
    """z / c where z > 0 and z c elsewhere, for the tokens that stand in their row  (eq-repetition).

    logits (B, V), tokens (B, T); present (B, T) is False for padding, which doesn't count. However
    often a token stands there, it is penalised once.
    """
    seen = torch.zeros_like(logits)
    ones = torch.ones_like(tokens) if present is None else present
    seen.scatter_reduce_(-1, tokens, ones.to(logits.dtype), "amax")
    return torch.where(
        seen > 0, torch.where(logits > 0, logits / penalty, logits * penalty), logits
    )


CUTS = {"top_k": keep_top_k, "top_p": keep_top_p, "min_p": keep_min_p}


def process(
    logits: Tensor,
    tokens: Tensor,
    sampling: Sampling,
    present: Tensor | None = None,
    order: Sequence[str] = ORDER,
) -> Tensor:
    """The logits (B, V) that are drawn from, -inf where nothing can be drawn.

    tokens (B, T) and present as in `penalise_repetition`. `order` names each step once; a
    temperature of 0 is left to `draw`. Raises ValueError for another order.
    """
    if sorted(order) != sorted(ORDER):
        raise ValueError(f"order must hold each of {ORDER} once, got {tuple(order)}")
    for name in order:
        value = getattr(sampling, name)
        if name == "repetition_penalty" and value is not None:
            logits = penalise_repetition(logits, tokens, value, present)
        elif name == "temperature" and value > 0:
            logits = with_temperature(logits, value)
        elif name in CUTS and value is not None:
            logits = CUTS[name](logits, value)
    return logits


def choose(probabilities: Tensor, u: Tensor) -> Tensor:
    """The first token at which the running sum of probabilities exceeds u  (eq-choose).

    u lies in [0, 1); the sum is scaled to end at 1, whatever rounding made of it.
    probabilities (..., V), u (...) -> (...) of integers. A token of probability 0 is never chosen.
    """
    running = probabilities.cumsum(-1)
    passed = running / running[..., -1:] > u[..., None]  # the last share is 1 exactly
    return passed.to(torch.uint8).argmax(-1)


def sampled_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(z) at the tokens: the log-probability with which each was drawn  (eq-sampled).

    logits (..., V) after all that reshaped and cut them, tokens (...). A token that was cut has
    -inf.
    """
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)


def draw(logits: Tensor, u: Tensor | None) -> tuple[Tensor, Tensor]:
    """A token of each row and the log-probability with which it was drawn, (...) each.

    logits (..., V) after `process`, u (...) in [0, 1). Without u it is the likeliest token, which
    is then certain: log-probability 0.
    """
    if u is None:
        return logits.argmax(-1), logits.new_zeros(logits.shape[:-1])
    tokens = choose(logits.softmax(-1), u)
    return tokens, sampled_log_probs(logits, tokens)
