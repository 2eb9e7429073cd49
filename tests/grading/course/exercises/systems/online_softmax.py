"""Checks of online softmax. Sizes differ on every axis: N = 3 queries, M = 5 keys, D = 4."""

import numpy as np
import torch
from rlcourse.systems import online_softmax as os
from rlcourse.systems.online_softmax import Summary

from rlcourse.grading import exercise


def normal(rng, *shape, scale=1.0):
    return torch.from_numpy(scale * rng.normal(size=shape))


def hidden(rng):
    """Scores with causal-like holes; the second query sees no key."""
    scores = normal(rng, 3, 5)
    scores[torch.from_numpy(rng.random((3, 5)) < 0.3)] = -torch.inf
    scores[0, 0], scores[2, 4] = 0.5, 0.5
    scores[1] = -torch.inf
    return scores


def summary(rng, m, d=4):
    """A summary of one key (l = 1) or several; of none where m is -inf."""
    m = torch.as_tensor(m, dtype=torch.float64)
    l = torch.from_numpy(np.maximum(1, 4 * rng.random(len(m)))) * ~m.isinf()
    l[0] = 1.0
    return Summary(m, l, normal(rng, len(m), d) * (l > 0)[:, None])


# ------------------------------------------------------------------ summarize

summarize = exercise(
    os.summarize, nudge="Subtract the maximum before exp. What is exp(-inf - (-inf))?"
)


@summarize.check(points=1, gradients=("scores", "v"))
def test_summarize_weighs_values_by_the_exponential_of_their_scores(rng):
    yield dict(scores=normal(rng, 3, 5), v=normal(rng, 5, 4))
    yield dict(scores=normal(rng, 2, 3, 5), v=normal(rng, 2, 5, 4))


@summarize.check(points=1)
def test_summarize_does_not_overflow_at_scores_of_ten_thousand(rng):
    yield dict(scores=normal(rng, 3, 5) + 1e4, v=normal(rng, 5, 4))
    yield dict(scores=normal(rng, 2, 7) - 1e4, v=normal(rng, 7, 3))


@summarize.check(points=1)
def test_summarize_gives_no_weight_to_keys_that_a_query_cannot_see(rng):
    yield dict(scores=hidden(rng), v=normal(rng, 5, 4))


@summarize.misconception("exp(10 000) is inf. Subtract the largest score first: exp(score - m).")
def summarize_without_the_max(scores, v):
    p = torch.exp(scores)
    return Summary(scores.amax(-1), p.sum(-1), p @ v)


@summarize.misconception(
    "A query that sees no key has m = -inf, and -inf - (-inf) is NaN. Subtract 0 there."
)
def summarize_nothing_to_nan(scores, v):
    m = scores.amax(-1)
    p = torch.exp(scores - m[..., None])
    return Summary(m, p.sum(-1), p @ v)


@summarize.misconception(
    "A summary is not normalised yet: merging needs Σ exp·v itself; finish divides."
)
def summarize_normalises_too_early(scores, v):
    m, l, o = os.summarize(scores, v)
    return Summary(m, l, o / torch.where(l == 0, 1, l)[..., None])


@summarize.misconception("One maximum for the whole block: each query has its own m.")
def summarize_with_one_max_for_all(scores, v):
    m = scores.amax()
    p = torch.exp(scores - m)
    return Summary(m.expand(scores.shape[:-1]), p.sum(-1), p @ v)


@summarize.control
def summarize_key_by_key(scores, v):
    m = scores.max(-1).values
    safe = m.masked_fill(m == -torch.inf, 0)
    l = torch.zeros_like(m)
    o = scores.new_zeros(*m.shape, v.shape[-1])
    for j in range(scores.shape[-1]):
        p = (scores[..., j] - safe).exp()
        l, o = l + p, o + p[..., None] * v[..., j : j + 1, :]
    return Summary(m, l, o)


# ------------------------------------------------------------------ merge

merge = exercise(
    os.merge, nudge="Both sides must speak of the same maximum before they can be added."
)


@merge.check(points=2, gradients=())
def test_merge_brings_both_sides_to_the_larger_maximum(rng):
    m = rng.normal(size=3)
    yield dict(a=summary(rng, m), b=summary(rng, m + [1, -1, 2.0]))
    yield dict(a=summary(rng, m + 1e4), b=summary(rng, m + [1e4 + 1, 1e4 - 1, 5.0]))
    yield dict(a=summary(rng, -m[:2], d=5), b=summary(rng, m[:2] - 3, d=5))


@merge.check(points=1)
def test_merge_with_the_summary_of_nothing_changes_nothing(rng):
    inf = np.inf
    yield dict(a=summary(rng, [1.0, -inf, -inf]), b=summary(rng, [-inf, 2.0, -inf]))


@merge.misconception(
    "The two sums were taken relative to different maxima: rescale each by exp(m_side - m)."
)
def merge_adds_without_rescaling(a, b):
    return Summary(torch.maximum(a.m, b.m), a.l + b.l, a.o + b.o)


@merge.misconception("You rescaled l, but o was taken relative to the same old maximum.")
def merge_forgets_to_rescale_o(a, b):
    m, l, _ = os.merge(a, b)
    return Summary(m, l, a.o + b.o)


@merge.misconception("The sign is turned: the weight is exp(m_side - m), never more than 1.")
def merge_with_the_sign_turned(a, b):
    m = torch.maximum(a.m, b.m)
    wa, wb = torch.exp(os._finite(m) - a.m), torch.exp(os._finite(m) - b.m)
    return Summary(m, wa * a.l + wb * b.l, wa[..., None] * a.o + wb[..., None] * b.o)


@merge.misconception(
    "Both sides may be empty: then m = -inf and -inf - (-inf) is NaN. Subtract 0 there."
)
def merge_nothing_to_nan(a, b):
    m = torch.maximum(a.m, b.m)
    wa, wb = torch.exp(a.m - m), torch.exp(b.m - m)
    return Summary(m, wa * a.l + wb * b.l, wa[..., None] * a.o + wb[..., None] * b.o)


@merge.control
def merge_through_logsumexp(a, b):
    m = torch.stack([a.m, b.m]).amax(0)
    side = torch.stack([a.m, b.m]) - torch.nan_to_num(m, neginf=0.0)
    w = side.exp()
    return Summary(
        m, (w * torch.stack([a.l, b.l])).sum(0), (w[..., None] * torch.stack([a.o, b.o])).sum(0)
    )


# ------------------------------------------------------------------ finish

finish = exercise(os.finish, nudge="0 / 0 is NaN. What should a query get that sees nothing?")


@finish.check(points=1, gradients=())
def test_finish_divides_by_the_total_weight(rng):
    yield dict(x=summary(rng, rng.normal(size=3)))
    yield dict(x=summary(rng, rng.normal(size=2), d=5))


@finish.check(points=1)
def test_finish_gives_zero_to_a_query_that_sees_no_key(rng):
    yield dict(x=summary(rng, [0.3, -np.inf, -2.0]))


@finish.misconception("A query that sees no key has l = 0, and 0 / 0 is NaN. Divide by 1 there.")
def finish_nothing_to_nan(x):
    return x.o / x.l[..., None]


@finish.misconception("A small constant in the divisor changes every answer. Treat l = 0 alone.")
def finish_with_an_epsilon(x):
    return x.o / (x.l + 1e-3)[..., None]


@finish.misconception("m is a maximum of scores, not a weight: divide by l.")
def finish_divides_by_m(x):
    return torch.where(x.l == 0, 0.0, 1 / x.m)[..., None] * x.o


@finish.misconception("o was never multiplied by exp(m): m cancels between o and l.")
def finish_undoes_the_max(x):
    l = torch.where(x.l == 0, torch.ones_like(x.l), x.l)
    return x.o * torch.exp(x.m)[..., None] / l[..., None]


@finish.control
def finish_with_nan_to_num(x):
    return torch.nan_to_num(x.o / x.l.unsqueeze(-1))
