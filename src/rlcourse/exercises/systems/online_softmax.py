"""The seven exercises of the online softmax chapter: the safe softmax, one online step, the merge
of two summaries, attention in blocks, the log-sum-exp, weights recovered from it and the merge of
finished parts.

Axes differ in size and vary: N queries, M keys, B keys of a block, D head dimension, and a batch.
A score of -inf is a key that a query doesn't see; it stands among ordinary ones.
"""

import numpy as np

from rlcourse.grading import exercise
from rlcourse.systems import online_softmax as os
from rlcourse.systems.online_softmax import Partial, Summary

FAR = 1e4  # scores of this size overflow exp, and -FAR underflows it


def holes(rng, x):
    """The scores with a third of each row hidden, and one row at least visible in part."""
    unseen = np.broadcast_to(np.arange(x.shape[-1]) < x.shape[-1] // 3, x.shape)
    return np.where(rng.permuted(unseen, axis=-1), -np.inf, x)


def blinded(rng, x, n=1):
    """The rows with n of them hidden throughout."""
    return np.where((rng.permutation(len(x)) < n)[(...,) + (None,) * (x.ndim - 1)], -np.inf, x)


def finite(m):
    return np.where(m == -np.inf, 0.0, m)


def whole(rng, *shape):
    return rng.integers(-4, 5, size=shape)


# ------------------------------------------------------------------------------- safe softmax

safe_softmax = exercise(
    os.safe_softmax,
    nudge="Softmax stays the same when a number is subtracted from a whole row. Which one keeps "
    "every exponent at 0 or below? And what is -inf - (-inf)?",
    worked={"x": np.array([[1.0, 2.0, -np.inf], [1e3, 1e3, 1e3]])},
)


@safe_softmax.check(points=2)
def test_softmax_shares_one_among_the_scores_of_each_row(rng):
    for shape in ((7,), (3, 5), (5, 3), (2, 3, 6), (1,), (4, 1), (1, 8)):
        yield {"x": 2 * rng.normal(size=shape)}
    yield {"x": whole(rng, 9)}
    yield {"x": whole(rng, 4, 6)}


@safe_softmax.check(points=1)
def test_softmax_is_finite_for_scores_of_ten_thousand_of_either_sign(rng):
    for base in (FAR, -FAR):
        yield {"x": base + rng.normal(size=(3, 5))}
    x = rng.normal(size=(4, 7)) + rng.permutation([-FAR, FAR, 0.0, 300.0])[:, None]
    yield {"x": x}
    yield {"x": x[0] + rng.permutation(FAR * np.repeat([-1, 1], [4, 3]))}
    yield {"x": rng.normal(size=9) - rng.permutation(FAR * np.arange(9))}
    yield {"x": rng.normal(size=(3, 8)) - rng.permutation(np.repeat([0.0, 12.0], 4))}


@safe_softmax.check(points=1)
def test_softmax_gives_nothing_to_keys_that_are_not_seen(rng):
    """softmax gives nothing to keys that are not seen, and equal scores equal shares"""
    for shape in ((8,), (3, 7), (2, 4, 6)):
        yield {"x": holes(rng, 2 * rng.normal(size=shape))}
    x = holes(rng, rng.normal(size=(5, 9)))
    yield {"x": np.where(x > 0, 0.5, x)}
    yield {"x": np.where(rng.permutation(np.arange(6) < 5), -np.inf, rng.normal(size=6))}


@safe_softmax.check(points=1)
def test_softmax_of_a_row_that_sees_nothing_is_zero(rng):
    yield {"x": blinded(rng, rng.normal(size=(3, 5)))}
    yield {"x": blinded(rng, holes(rng, FAR * rng.normal(size=(5, 4))), 2)}
    yield {"x": np.full(rng.integers(2, 6), -np.inf)}
    yield {"x": np.swapaxes(blinded(rng, rng.normal(size=(4, 3, 6))), 0, 1)}


def shares(p):
    total = p.sum(-1, keepdims=True)
    return p / np.where(total == 0, 1.0, total)


@safe_softmax.misconception("exp(10 000) is inf, and inf / inf is NaN: subtract the row's max.")
def subtracts_nothing(x):
    p = np.exp(x)
    return np.where((x == -np.inf).all(-1, keepdims=True), 0.0, p / p.sum(-1, keepdims=True))


@safe_softmax.misconception(
    "Each row has a max of its own, max(-1). Far below the max of all, a whole row becomes 0."
)
def takes_one_max_for_all_rows(x):
    p = np.exp(x - finite(x.max()))
    return np.where((x == -np.inf).all(-1, keepdims=True), 0.0, p / p.sum(-1, keepdims=True))


@safe_softmax.misconception("Each row sums to 1, not the whole array: sum over the last axis.")
def normalises_the_whole_array(x):
    p = np.exp(x - finite(x.max(-1, keepdims=True)))
    return p / max(p.sum(), 1.0)


@safe_softmax.misconception("The scores of a query lie along the last axis: axis=-1, not 0.")
def normalises_the_columns(x):
    m = finite(x.max(0))
    p = np.exp(x - m)
    return p / np.where(p.sum(0) == 0, 1.0, p.sum(0))


@safe_softmax.misconception(
    "A row without a visible key has the max -inf, and -inf - (-inf) is NaN: subtract 0 there."
)
def meets_nan_where_nothing_is_seen(x):
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


@safe_softmax.misconception(
    "With a large negative number for -inf, a row that sees nothing looks at every key alike."
)
def spreads_over_keys_that_are_not_seen(x):
    return shares(np.exp(np.maximum(x, -1e9) - np.maximum(x.max(-1, keepdims=True), -1e9)))


@safe_softmax.misconception("The mean is no bound: a score far above it still overflows exp.")
def subtracts_the_mean(x):
    seen = np.where(x == -np.inf, 0.0, x)
    mean = seen.sum(-1, keepdims=True) / np.maximum((x > -np.inf).sum(-1, keepdims=True), 1)
    return shares(np.exp(x - mean))


@safe_softmax.misconception(
    "Clipping makes scores of 800 and of 10 000 equal: subtract the max instead."
)
def clips_the_scores(x):
    return shares(np.exp(np.clip(x, -700, 700)) * (x > -np.inf))


@safe_softmax.misconception(
    "A small constant in the divisor changes every share. Only where the sum is 0, divide by 1."
)
def divides_by_a_little_more(x):
    p = np.exp(x - finite(x.max(-1, keepdims=True)))
    return p / (p.sum(-1, keepdims=True) + 1e-6)


@safe_softmax.misconception(
    "max(-1) drops the axis, and NumPy then lines it up with the wrong one: keepdims=True."
)
def drops_the_axis(x):
    p = np.exp(x - finite(x.max(-1)))
    return p / p.sum(-1)


@safe_softmax.misconception(
    "zeros_like(x) of whole numbers holds whole numbers only: ask for floats, dtype=float."
)
def rounds_shares_to_whole_numbers(x):
    return shares(np.exp(x - finite(x.max(-1, keepdims=True)))).astype(x.dtype)


@safe_softmax.misconception("x is the caller's: x -= m changes it. Write x - m.")
def subtracts_in_place(x):
    x -= finite(x.max(-1, keepdims=True)).astype(x.dtype)
    return shares(np.exp(x))


@safe_softmax.control
def softmax_by_logaddexp(x):
    lse = np.logaddexp.reduce(x, axis=-1, keepdims=True, dtype=float)
    return np.exp(x - np.where(lse == -np.inf, 0.0, lse))


@safe_softmax.control
def softmax_row_by_row(x):
    p = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        seen = np.flatnonzero(x[row] > -np.inf)
        weight = [np.exp(x[*row, j] - max(x[*row, seen])) for j in seen]
        for j, w in zip(seen, weight, strict=True):
            p[*row, j] = w / sum(weight)
    return p


# ------------------------------------------------------------------------------- update

update = exercise(
    os.update,
    nudge="l was summed relative to the old m. Which factor makes it relative to m'?",
    worked={"m": np.array(1.0), "l": np.array(1.5), "x": np.array([3.0, 1.0])},
)


def step(rng, *shape, far=2.0):
    """Sums of scores so far, and the next block: in some rows the max rises, in others not."""
    m, x = far * rng.normal(size=shape[:-1]), far * rng.normal(size=shape)
    return {"m": m, "l": rng.uniform(1, 5, shape[:-1]), "x": x}


def started(rng, m, l, new):
    """The same, with `new` queries that have seen no score yet."""
    fresh = rng.permutation(m.size).reshape(m.shape) < new
    return {"m": np.where(fresh, -np.inf, m), "l": np.where(fresh, 0.0, l)}


@update.check(points=2)
def test_an_update_brings_the_old_sum_to_the_new_max(rng):
    for shape in ((4, 5), (6, 1), (5, 8), (1, 3), (2, 3, 4)):
        yield step(rng, *shape)
    case = step(rng, 7, 3)
    rises = rng.permutation(np.arange(7) < 4)
    yield case | {"m": case["x"].max(-1) + np.where(rises, -1.5, 1.5)}
    yield case | {"m": case["x"].max(-1) + np.where(rises, 0.0, -0.5)}


@update.check(points=1)
def test_an_update_begins_with_nothing_and_takes_blocks_of_any_size(rng):
    """an update begins with m = -∞, l = 0, for one query or many, and takes blocks of any size"""
    for shape in ((3, 4), (5, 1), (4, 2, 7)):
        case = step(rng, *shape)
        yield case | started(rng, case["m"], case["l"], 2)
    for size in (1, 6):
        yield {"m": -np.inf, "l": 0.0, "x": rng.normal(size=size)}
        yield {"m": rng.normal(), "l": rng.uniform(1, 4), "x": rng.normal(size=size)}
    yield {"m": whole(rng, 5), "l": rng.integers(1, 4, 5), "x": whole(rng, 5, 3)}


@update.check(points=1)
def test_an_update_neither_overflows_nor_forgets_at_scores_of_ten_thousand(rng):
    for base in (FAR, -FAR):
        case = step(rng, 4, 3)
        yield case | {"m": case["m"] + base, "x": case["x"] + base}
    case = step(rng, 6, 5)
    jump = rng.permutation(np.repeat([-FAR, FAR, 0.0], 2))
    yield case | {"x": case["x"] + jump[:, None]}
    yield case | {"m": case["m"] + jump, "x": case["x"] - jump[:, None]}
    yield case | {"m": case["m"] + 800.0, "x": case["x"] + 800.0}
    yield case | {"m": case["m"] + rng.permutation(np.repeat([-12.0, 12.0], 3))}


@update.check(points=1)
def test_an_update_with_scores_that_are_not_seen_adds_nothing(rng):
    """an update adds nothing for scores of -∞, also where no score was seen before"""
    case = step(rng, 5, 7)
    yield case | {"x": holes(rng, case["x"])}
    for size in (1, 4):
        case = step(rng, 6, size)
        hidden = rng.permutation(np.arange(6) < 3)
        case |= {"x": np.where(hidden[:, None], -np.inf, case["x"])}
        new = rng.permutation([*rng.permutation(np.flatnonzero(hidden))[:2]])
        m, l = case["m"].copy(), case["l"].copy()
        m[new], l[new] = -np.inf, 0.0
        yield case | {"m": m, "l": l}
        yield case | started(rng, case["m"], case["l"], 2)


def rows(x, m):
    return np.exp(x - finite(m)[..., None])


def larger(m, x):
    return np.maximum(m, x.max(-1))


@update.misconception(
    "l was summed relative to the old max: multiply it by exp(m - m') before adding to it."
)
def adds_to_the_old_sum(m, l, x):
    new = larger(m, x)
    return new, l + rows(x, new).sum(-1)


@update.misconception("The factor is turned: exp(m - m') shrinks the old sum, it is at most 1.")
def rescales_the_wrong_way(m, l, x):
    new = larger(m, x)
    return new, np.where(l > 0, l * np.exp(finite(new) - m), 0) + rows(x, new).sum(-1)


@update.misconception("The factor is exp(m - m'): only the difference of both maxima counts.")
def rescales_by_the_new_max_alone(m, l, x):
    new = larger(m, x)
    return new, l * np.exp(-finite(new)) + rows(x, new).sum(-1)


@update.misconception("A running max must run: m' is the larger of m and max x.")
def keeps_the_old_max(m, l, x):
    return m, l + rows(x, np.asarray(m)).sum(-1)


@update.misconception("The max so far counts too: m' = max(m, max x), not max x alone.")
def takes_the_max_of_the_block_alone(m, l, x):
    new = x.max(-1)
    return new, l * np.exp(m - finite(new)) + rows(x, new).sum(-1)


@update.misconception(
    "Right on paper, but exp(x - m) overflows where x is far above m. Take x - m' at once."
)
def adds_before_it_rescales(m, l, x):
    new = larger(m, x)
    old = np.where(np.isneginf(m), new, m)
    return new, (l + rows(x, old).sum(-1)) * np.exp(finite(old) - finite(new))


@update.misconception("The new terms are relative to m' already: the factor is for the old l.")
def rescales_the_new_terms_too(m, l, x):
    new = larger(m, x)
    return new, (l + rows(x, new).sum(-1)) * np.exp(m - finite(new))


@update.misconception("exp(x - m') for the new terms: all of l' is relative to m'.")
def leaves_the_new_terms_at_the_old_max(m, l, x):
    new = larger(m, x)
    return new, l * np.exp(m - finite(new)) + rows(x, np.asarray(m)).sum(-1)


@update.misconception(
    "Before the first visible score m' is -inf, and -inf - (-inf) is NaN: subtract 0 there."
)
def meets_nan_before_the_first_score(m, l, x):
    new = larger(m, x)
    return new, l * np.exp(m - new) + np.exp(x - new[..., None]).sum(-1)


@update.misconception("The old sum is part of the new one: add l exp(m - m').")
def forgets_the_old_sum(m, l, x):
    new = larger(m, x)
    return new, 0 * l + rows(x, new).sum(-1)


@update.misconception("Every score of the block adds its term: sum them, a mean divides by B.")
def averages_the_block(m, l, x):
    new = larger(m, x)
    return new, l * np.exp(m - finite(new)) + rows(x, new).mean(-1)


@update.misconception("A block holds B scores: all of them count, not its first or its largest.")
def counts_a_block_as_one_score(m, l, x):
    new = larger(m, x)
    return new, l * np.exp(m - finite(new)) + np.exp(x.max(-1) - finite(new))


@update.misconception("Each query has a max of its own: max(-1), not the max of the array.")
def takes_one_max_for_all_queries(m, l, x):
    new = np.maximum(m, x.max())
    return new, l * np.exp(m - finite(new)) + rows(x, new).sum(-1)


@update.misconception("The order is (m', l'): the max first.")
def turns_the_answer_round(m, l, x):
    return adds_by_logarithms(m, l, x)[::-1]


@update.misconception("The sum needs float64: in float32 every step rounds away eight digits.")
def sums_in_float32(m, l, x):
    new = larger(m, x)
    old = (l * np.exp(m - finite(new))).astype(np.float32)
    return new, old + rows(x, new).astype(np.float32).sum(-1)


@update.misconception("m and l are the caller's: l *= ... changes them. Make new arrays.")
def updates_in_place(m, l, x):
    new = larger(m, x)
    l = np.asarray(l) if np.ndim(l) == 0 else l
    old = np.where(np.isneginf(m), 0.0, np.exp(m - finite(new)))
    l *= old.astype(l.dtype)
    l += rows(x, new).sum(-1).astype(l.dtype)
    return new, l


@update.control
def adds_by_logarithms(m, l, x):
    new = np.maximum(m, np.max(x, axis=-1))
    with np.errstate(divide="ignore"):
        total = np.logaddexp(m + np.log(l), np.logaddexp.reduce(x, axis=-1, dtype=float))
    return new, np.exp(total - finite(new))


@update.control
def takes_one_score_at_a_time(m, l, x):
    m, l = np.array(m, dtype=float), np.array(l, dtype=float)
    for j in range(x.shape[-1]):
        s = x[..., j]
        higher = s > m
        l = np.where(higher, l * np.exp(m - np.where(higher, s, 0.0)) + 1, l)
        below = ~higher & (s > -np.inf)
        l = l + np.where(below, np.exp(np.where(below, s, 0.0) - finite(m)), 0.0)
        m = np.where(higher, s, m)
    return m, l


# ------------------------------------------------------------------------------- merge

merge = exercise(
    os.merge,
    nudge="Both sides must speak of the same max before their sums can be added.",
    worked={
        "a": Summary(np.array([2.0]), np.array([1.5]), np.array([[1.0, 3.0]])),
        "b": Summary(np.array([3.0]), np.array([1.0]), np.array([[2.0, 0.0]])),
    },
)


def summary(rng, m, d):
    """A summary of keys with that max; of none where it is -inf."""
    m = np.asarray(m)
    l = np.where(m == -np.inf, 0.0, rng.uniform(1, 4, m.shape))
    return Summary(m, l, 2 * rng.normal(size=(*m.shape, d)) * (l > 0)[..., None])


def sides(rng, m, by, d):
    """Two summaries, of maxima m and m + by."""
    return {"a": summary(rng, m, d), "b": summary(rng, m + by, d)}


@merge.check(points=2)
def test_a_merge_brings_both_sides_to_the_larger_max(rng):
    for n, d in ((4, 3), (5, 8), (7, 1)):
        by = rng.permutation([1.5, -0.7, *rng.normal(size=n - 2)])
        yield sides(rng, rng.normal(size=n), by, d)
    tie = rng.permutation([0.0, 0.0, 1.0, -1.0, 0.0])
    yield sides(rng, rng.normal(size=5), tie, 2)


@merge.check(points=1)
def test_a_merge_with_no_keys_changes_nothing(rng):
    """a merge with the summary of no keys changes nothing, on either side or on both"""
    for n, d in ((4, 3), (6, 2)):
        m = rng.normal(size=(2, n))
        m[0, :2], m[1, 1:3] = -np.inf, -np.inf  # one side, both, the other, none
        at = rng.permutation(n)
        yield {"a": summary(rng, m[0, at], d), "b": summary(rng, m[1, at], d)}
    m = FAR * rng.choice([-1, 1], 3)
    none = np.where(rng.permutation(3) < 1, -np.inf, rng.normal(size=3))
    yield {"a": summary(rng, none, 4), "b": summary(rng, m, 4)}
    yield {"a": os.EMPTY, "b": summary(rng, rng.normal(size=4), 2)}
    yield {"a": summary(rng, none, 5), "b": os.EMPTY}


@merge.check(points=1)
def test_a_merge_neither_overflows_nor_underflows_at_scores_of_ten_thousand(rng):
    for base in (FAR, -FAR):
        yield sides(rng, base + rng.normal(size=4), rng.normal(size=4), 3)
    by = rng.permutation([FAR, -FAR, 800.0, -800.0, 1.0, 12.0, -12.0])
    yield sides(rng, rng.normal(size=7), by, 2)
    yield sides(rng, rng.normal(size=7) - by / 2, by, 5)


@merge.check(points=1)
def test_a_merge_takes_one_query_or_a_batch_of_many(rng):
    for shape, d in (((), 3), ((1,), 5), ((2, 3), 4), ((4, 1), 2), ((3, 2, 4), 5)):
        yield sides(rng, rng.normal(size=shape), rng.normal(size=shape) * 1.5, d)


def scaled(a, b, weigh, combine=lambda a, b: a + b):
    """A merge by other factors, weigh(m_side, m); o and l are combined alike."""
    m = np.maximum(a.m, b.m)
    x, y = weigh(a.m, finite(m)), weigh(b.m, finite(m))
    return Summary(m, combine(x * a.l, y * b.l), combine(x[..., None] * a.o, y[..., None] * b.o))


def right_weight(side, m):
    return np.exp(side - m)


@merge.misconception(
    "The sums were taken relative to different maxima: multiply each side by exp(m_side - m)."
)
def adds_without_rescaling(a, b):
    return scaled(a, b, lambda side, m: np.ones(side.shape))


@merge.misconception("l was rescaled, but o was summed relative to the same old max: scale both.")
def forgets_to_rescale_o(a, b):
    return scaled(a, b, right_weight)._replace(o=a.o + b.o)


@merge.misconception("o was rescaled, but l was summed relative to the same old max: scale both.")
def forgets_to_rescale_l(a, b):
    return scaled(a, b, right_weight)._replace(l=a.l + b.l)


@merge.misconception("Each side is scaled by its own factor: exp(m_a - m) belongs to a.")
def swaps_the_factors(a, b):
    m = finite(np.maximum(a.m, b.m))
    x, y = np.exp(b.m - m), np.exp(a.m - m)
    return Summary(np.maximum(a.m, b.m), x * a.l + y * b.l, x[..., None] * a.o + y[..., None] * b.o)


@merge.misconception("The sign is turned: the factor is exp(m_side - m), never above 1.")
def scales_up(a, b):
    return scaled(a, b, lambda side, m: np.where(side == -np.inf, 0.0, np.exp(m - side)))


@merge.misconception(
    "A summary is not normalised: keep o as a sum, the division by l comes once, at the end."
)
def normalises_on_the_way(a, b):
    x = scaled(a, b, right_weight)
    return x._replace(o=x.o / np.where(x.l == 0, 1.0, x.l)[..., None])


@merge.misconception("Sums over two disjoint sets of keys are added, not averaged.")
def averages_both_sides(a, b):
    return scaled(a, b, right_weight, lambda a, b: (a + b) / 2)


@merge.misconception("The side with the smaller max holds keys too: it is scaled down, not lost.")
def lets_the_larger_max_win(a, b):
    first = a.m >= b.m
    o = np.where(first[..., None], a.o, b.o)
    return Summary(np.maximum(a.m, b.m), np.where(first, a.l, b.l), o)


@merge.misconception("Either side may have the larger max: scale a as well as b.")
def takes_a_for_the_larger(a, b):
    m = finite(a.m)
    y = np.exp(b.m - m)
    return Summary(np.maximum(a.m, b.m), a.l + y * b.l, a.o + y[..., None] * b.o)


@merge.misconception("The max of a union is the larger of both maxima, not their sum.")
def adds_the_maxima(a, b):
    return scaled(a, b, right_weight)._replace(m=a.m + b.m)


@merge.misconception(
    "Neither side may have seen a key: then m = -inf, and -inf - (-inf) is NaN. Subtract 0 there."
)
def meets_nan_where_both_are_empty(a, b):
    m = np.maximum(a.m, b.m)
    x, y = np.exp(a.m - m), np.exp(b.m - m)
    return Summary(m, x * a.l + y * b.l, x[..., None] * a.o + y[..., None] * b.o)


@merge.misconception(
    "exp(m) itself overflows, or becomes 0: only differences of maxima go into exp."
)
def goes_back_to_plain_sums(a, b):
    m = np.maximum(a.m, b.m)
    x, y = np.exp(a.m), np.exp(b.m)
    back = np.where(m == -np.inf, 1.0, np.exp(m))
    o = (x[..., None] * a.o + y[..., None] * b.o) / back[..., None]
    return Summary(m, (x * a.l + y * b.l) / back, o)


@merge.misconception("Each query has its own max: compare them one by one, np.maximum.")
def takes_one_max_for_the_batch(a, b):
    m = np.full(a.m.shape, max(a.m.max(), b.m.max()))
    x, y = np.exp(a.m - finite(m)), np.exp(b.m - finite(m))
    return Summary(m, x * a.l + y * b.l, x[..., None] * a.o + y[..., None] * b.o)


@merge.misconception("a and b are the caller's: a.o *= ... changes them. Make new arrays.")
def merges_into_a(a, b):
    x = scaled(a, b, right_weight)
    a.o[...] = x.o
    return x._replace(o=a.o)


@merge.control
def merges_a_stack(a, b):
    m, l, o = (np.stack(np.broadcast_arrays(*pair)) for pair in zip(a, b, strict=True))
    factor = np.exp(m - np.nan_to_num(m.max(0), neginf=0.0))
    return Summary(m.max(0), (factor * l).sum(0), np.einsum("s...,s...d->...d", factor, o))


@merge.control
def merges_query_by_query(a, b):
    both = [np.broadcast_arrays(*pair) for pair in zip(a, b, strict=True)]
    a, b = (Summary(*(pair[side] for pair in both)) for side in (0, 1))
    m, l, o = (np.zeros(np.shape(x)) for x in a)
    for i in np.ndindex(m.shape):
        low, high = ((s.m[i], s.l[i], s.o[i]) for s in sorted((a, b), key=lambda s: s.m[i]))
        factor = np.exp(low[0] - high[0]) if low[0] > -np.inf else 0.0
        m[i], l[i], o[i] = high[0], high[1] + factor * low[1], high[2] + factor * low[2]
    return Summary(m, l, o)


@merge.control
def merges_by_cases(a, b):
    apart = np.where(a.m == b.m, 0.0, -np.abs(a.m - b.m))
    x, y = np.exp(np.where(a.m < b.m, apart, 0.0)), np.exp(np.where(b.m < a.m, apart, 0.0))
    o = x[..., None] * a.o + y[..., None] * b.o
    return Summary(np.where(a.m > b.m, a.m, b.m), x * a.l + y * b.l, o)


# ------------------------------------------------------------------------------- attention

attention = exercise(
    os.attention,
    nudge="Begin with m = -∞, l = 0 and o = 0. What does one block of keys do to all three?",
    worked={
        "q": np.array([1.0, 1.0, 0.0, 0.0]),
        "k": np.array([[2.0, 0, 1, 0], [0, 4.0, 0, 0], [1.0, 1, 0, 0]]),
        "v": np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]]),
        "block": 2,
    },
    seconds=4.0,
)


def lookup(rng, shape, m, d, block, far=1.5):
    """Queries of that shape, m keys, and values away from 0."""
    q, k = far * rng.normal(size=(*shape, d)), far * rng.normal(size=(m, d))
    return {"q": q, "k": k, "v": rng.normal(3, 2, (m, d)), "block": block}


def along(rng, t, block, d=3):
    """One query, and keys whose scores are t."""
    u = rng.normal(size=d)
    k = np.asarray(t)[:, None] * u * d**0.5 / (u @ u)
    return {"q": u, "k": k, "v": rng.normal(3, 2, (len(t), d)), "block": block}


@attention.check(points=2)
def test_attention_is_the_same_for_blocks_of_any_size(rng):
    for shape, m, d, block in (
        ((3,), 7, 4, 2), ((2,), 7, 4, 3), ((4,), 9, 3, 4), ((5,), 6, 2, 1), ((3,), 8, 5, 11),
        ((), 7, 5, 3), ((), 5, 2, 5), ((2, 3), 11, 4, 4), ((1,), 4, 3, 2), ((7,), 1, 2, 3),
    ):  # fmt: skip
        yield lookup(rng, shape, m, d, block)
    yield {n: whole(rng, m, 3) for n, m in (("q", 4), ("k", 8), ("v", 8))} | {"block": 3}


@attention.check(points=1)
def test_attention_follows_a_max_that_rises_or_falls_by_ten_thousand(rng):
    t = rng.normal(size=9)
    for block in (1, 2, 4):
        jump = FAR * (np.arange(9) > rng.integers(3, 6))
        for scores in (t + jump, t - jump, t + FAR, t - FAR, np.sort(t) + jump):
            yield along(rng, scores, block)
        yield along(rng, t - rng.uniform(11, 13) * (np.arange(9) >= 4), block)
    for block in (3, 10, 12):
        yield lookup(rng, (4,), 10, 3, block, far=100.0)
    yield along(rng, t + FAR, 9)


def a_few_blocks(q, k, v, block):
    """Bytes of five blocks of scores, and room for a summary of each block."""
    queries = q.size // q.shape[-1]
    return 20_000 + 8 * 5 * block * queries + 300 * (2 + queries) * (len(k) // block)


@attention.check(points=1, peak=a_few_blocks)
def test_attention_never_holds_more_than_a_block_of_scores(rng):
    yield lookup(rng, (), int(rng.integers(5800, 6200)), 2, int(rng.integers(330, 370)))
    yield lookup(rng, (5,), int(rng.integers(2900, 3100)), 3, int(rng.integers(140, 160)))


@attention.check(points=1, slow=("k", "v"))
def test_attention_reads_each_key_once_and_no_more_than_a_block_at_a_time(rng):
    """attention reads each key and value once, and no more than a block of them at a time"""
    for shape, m, d, block in (((3,), 11, 4, 3), ((), 8, 3, 5), ((2, 3), 7, 5, 1)):
        yield lookup(rng, shape, m, d, block)


@attention.check(points=1)
def test_attention_refuses_keys_without_values_and_is_zero_without_any_keys(rng):
    """attention refuses keys without values and values without keys, and is 0 without both"""
    yield lookup(rng, (3,), 8, 4, 3)
    for shape in ((3,), (), (2, 4)):
        yield lookup(rng, shape, 0, 5, int(rng.integers(1, 4)))
    for more in (1, 3, -1, -2, -3, -8):
        case = lookup(rng, (2,), 8, 3, 3)
        yield case | {"v": np.resize(case["v"], (8 + more, 3))}
    case = lookup(rng, (), 6, 2, 2)
    yield case | {"k": case["k"][:4]}


def divided(o, l):
    return o / np.where(l == 0, 1.0, l)[..., None]


def fold(q, k, v, block, step, end=None, factor=None, last=divided):
    """step(m, l, o, scores, values) over all blocks from nothing, then last(o, l)."""
    if len(k) != len(v):
        raise ValueError
    factor = q.shape[-1] ** -0.5 if factor is None else factor
    m, l, o = np.full(q.shape[:-1], -np.inf), np.zeros(q.shape[:-1]), np.zeros(q.shape)
    for i in range(0, len(k) if end is None else end, block):
        m, l, o = step(m, l, o, q @ k[i : i + block].T * factor, v[i : i + block])
    return last(o, l)


def good_step(m, l, o, s, v):
    new = np.maximum(m, s.max(-1))
    p, c = np.exp(s - new[..., None]), np.exp(m - new)
    return new, c * l + p.sum(-1), c[..., None] * o + p @ v


@attention.misconception("The scores are divided by √D: without that, large D sharpens softmax.")
def leaves_the_scores_unscaled(q, k, v, block):
    return fold(q, k, v, block, good_step, factor=1.0)


@attention.misconception("The scores are divided by √D, not by D.")
def divides_by_d(q, k, v, block):
    return fold(q, k, v, block, good_step, factor=1 / q.shape[-1])


@attention.misconception(
    "That takes all keys at once. Take `block` of them, fold them into (m, l, o), and go on."
)
def builds_all_scores(q, k, v, block):
    if len(k) != len(v):
        raise ValueError
    s = q @ k.T / q.shape[-1] ** 0.5
    p = np.exp(s - s.max(-1, keepdims=True, initial=-np.inf))
    return divided(p @ v, p.sum(-1))


@attention.misconception(
    "k[:] is all of k at once, more than fast memory holds. Read k[i : i + block] in the loop."
)
def reads_all_keys_at_once(q, k, v, block):
    return builds_all_scores(q, k[:], v[:], block)


@attention.misconception(
    "One pass is enough: o is rescaled whenever m rises, so nobody needs to know the max first."
)
def reads_the_keys_twice(q, k, v, block):
    if len(k) != len(v):
        raise ValueError
    tiles = [slice(i, i + block) for i in range(0, len(k), block)]
    m, l, o = np.full(q.shape[:-1], -np.inf), np.zeros(q.shape[:-1]), np.zeros(q.shape)
    for t in tiles:
        m = np.maximum(m, (q @ k[t].T).max(-1) / q.shape[-1] ** 0.5)
    for t in tiles:
        p = np.exp(q @ k[t].T / q.shape[-1] ** 0.5 - m[..., None])
        l, o = l + p.sum(-1), o + p @ v[t]
    return divided(o, l)


@attention.misconception(
    "The output of a block is no fair share of the whole: blocks with larger scores weigh more."
)
def averages_the_blocks(q, k, v, block):
    def step(m, l, o, s, v):
        p = shares(np.exp(s - s.max(-1, keepdims=True)))
        return m, l + 1, o + p @ v

    return fold(q, k, v, block, step)


@attention.misconception("The last block may be shorter: range(0, M, block) reaches it.")
def drops_the_short_block(q, k, v, block):
    if len(k) != len(v):
        raise ValueError
    return fold(q, k, v, block, good_step, end=max(len(k) - block + 1, 0))


@attention.misconception("o was summed relative to the old max, as l was: rescale it too.")
def forgets_to_rescale_the_output(q, k, v, block):
    def step(m, l, o, s, v):
        new, l, _ = good_step(m, l, o, s, v)
        return new, l, o + np.exp(s - new[..., None]) @ v

    return fold(q, k, v, block, step)


@attention.misconception("l was summed relative to the old max, as o was: rescale it too.")
def forgets_to_rescale_the_sum(q, k, v, block):
    def step(m, l, o, s, v):
        new, _, o = good_step(m, l, o, s, v)
        return new, l + np.exp(s - new[..., None]).sum(-1), o

    return fold(q, k, v, block, step)


@attention.misconception(
    "Each block's terms are relative to its own max: before they are added, bring both to one max."
)
def adds_blocks_of_different_maxima(q, k, v, block):
    def step(m, l, o, s, v):
        p = np.exp(s - s.max(-1, keepdims=True))
        return m, l + p.sum(-1), o + p @ v

    return fold(q, k, v, block, step)


@attention.misconception("exp of a large score is inf: subtract the running max.")
def exponentiates_the_scores_themselves(q, k, v, block):
    def step(m, l, o, s, v):
        return m, l + np.exp(s).sum(-1), o + np.exp(s) @ v

    return fold(q, k, v, block, step)


@attention.misconception(
    "The max must run: relative to that of the first block, a later score overflows exp."
)
def keeps_the_max_of_the_first_block(q, k, v, block):
    def step(m, l, o, s, v):
        m = np.where(m == -np.inf, s.max(-1), m)
        p = np.exp(s - m[..., None])
        return m, l + p.sum(-1), o + p @ v

    return fold(q, k, v, block, step)


@attention.misconception("Carry (m, l, o) on: each block adds to what the ones before have left.")
def begins_again_at_each_block(q, k, v, block):
    def step(m, l, o, s, v):
        return good_step(np.full(l.shape, -np.inf), 0 * l, 0 * o, s, v)

    return fold(q, k, v, block, step)


@attention.misconception("There are more blocks: divide and return after the loop, not in it.")
def stops_after_the_first_block(q, k, v, block):
    return fold(q, k, v, block, good_step, end=min(block, len(k)))


@attention.misconception("Divide by l once, at the end: o in the loop is a sum, not a mean.")
def normalises_in_the_loop(q, k, v, block):
    def step(m, l, o, s, v):
        new, l, o = good_step(m, l, o, s, v)
        return new, l, o / l[..., None]

    return fold(q, k, v, block, step, last=lambda o, l: o)


@attention.misconception(
    "Without keys there is nothing to divide by: 0 / 0 is NaN. Where l = 0, divide by 1."
)
def divides_by_nothing(q, k, v, block):
    return fold(q, k, v, block, good_step, last=lambda o, l: o / l[..., None])


@attention.misconception(
    "Keep the sums in float64: np.zeros(..., np.float32) rounds away eight digits at every block."
)
def sums_the_output_in_float32(q, k, v, block):
    def step(m, l, o, s, v):
        m, l, o = good_step(m, l, o, s, v)
        return m, l.astype(np.float32), o.astype(np.float32)

    return fold(q, k, v, block, step).astype(np.float64)


@attention.misconception("Say what is wrong: raise ValueError where k and v differ in length.")
def believes_that_keys_and_values_match(q, k, v, block):
    n = min(len(k), len(v))
    return fold(q, k[:n] if n < len(k) else k, v[:n] if n < len(v) else v, block, good_step)


@attention.control
def attends_to_one_key_at_a_time(q, k, v, block):
    if len(k) != len(v):
        raise ValueError("k and v differ in length")
    return fold(q, k, v, 1 + len(k) // 100, good_step)  # of thousands, to more: steps take long


@attention.control
def merges_summaries_of_all_blocks(q, k, v, block):
    if len(v) != len(k):
        raise ValueError("k and v differ in length")
    parts = []
    for i in range(0, len(k), block):
        s = np.einsum("...d,jd->...j", q, k[i : i + block]) / np.sqrt(q.shape[-1])
        parts.append(Summary(m := s.max(-1), (p := np.exp(s - m[..., None])).sum(-1), None))
        parts[-1] = parts[-1]._replace(o=p @ v[i : i + block])
    if not parts:
        return np.zeros(q.shape)
    top = np.max([x.m for x in parts], axis=0)
    c = [np.exp(x.m - top) for x in parts]
    total = sum(w * x.l for w, x in zip(c, parts, strict=True))
    return sum(w[..., None] * x.o for w, x in zip(c, parts, strict=True)) / total[..., None]


@attention.control
def attends_by_log_sum_exp(q, k, v, block):
    if len(v) != len(k):
        raise ValueError("k and v differ in length")
    o, lse = np.zeros(q.shape), np.full(q.shape[:-1], -np.inf)
    for i in range(0, len(k), block):
        s = (q / q.shape[-1] ** 0.5) @ np.transpose(k[i : i + block])
        new = np.logaddexp(lse, np.logaddexp.reduce(s, axis=-1))
        o = o * np.exp(lse - new)[..., None] + np.exp(s - new[..., None]) @ v[i : i + block]
        lse = new
    return o


# ------------------------------------------------------------------------------- log-sum-exp

log_sum_exp = exercise(
    os.log_sum_exp,
    nudge="Σ exp(x) = exp(m) Σ exp(x - m). What does the log make of that product?",
    worked={"x": np.array([[0.0, 0.0, -np.inf], [1e3, 1e3, 1e3]])},
)


@log_sum_exp.check(points=2)
def test_log_sum_exp_is_the_log_of_the_sum_of_each_row(rng):
    for shape in ((7,), (3, 5), (5, 3), (2, 3, 6), (1,), (4, 1), (1, 8)):
        yield {"x": 2 * rng.normal(size=shape)}
    yield {"x": whole(rng, 9)}
    yield {"x": whole(rng, 4, 6)}


@log_sum_exp.check(points=1)
def test_log_sum_exp_is_finite_for_scores_of_ten_thousand_of_either_sign(rng):
    for base in (FAR, -FAR):
        yield {"x": base + rng.normal(size=(3, 5))}
    x = rng.normal(size=(4, 7)) + rng.permutation([-FAR, FAR, 0.0, 900.0])[:, None]
    yield {"x": x}
    yield {"x": x[0] + rng.permutation(FAR * np.repeat([-1, 1], [4, 3]))}
    yield {"x": rng.normal(size=(3, 8)) - 12.0 * (np.arange(8) < 7)}


@log_sum_exp.check(points=1)
def test_log_sum_exp_of_no_keys_is_minus_infinity(rng):
    """log-sum-exp leaves out keys that are not seen, and is -∞ for a row of none"""
    for shape in ((8,), (3, 7), (2, 4, 6)):
        yield {"x": holes(rng, 2 * rng.normal(size=shape))}
    yield {"x": blinded(rng, rng.normal(size=(3, 5)))}
    yield {"x": blinded(rng, holes(rng, FAR * rng.normal(size=(5, 4))), 2)}
    yield {"x": np.swapaxes(blinded(rng, rng.normal(size=(4, 3, 6))), 0, 1)}
    yield {"x": np.full(rng.integers(2, 6), -np.inf)}
    yield {"x": np.zeros((3, 0))}


def row_max(x):
    return x.max(-1, initial=-np.inf) if x.dtype.kind == "f" else x.max(-1)


def log(total):
    with np.errstate(divide="ignore"):
        return np.log(total)


@log_sum_exp.misconception("exp(10 000) is inf: take the max out of the sum, and add it again.")
def exponentiates_large_scores(x):
    return log(np.exp(x).sum(-1))


@log_sum_exp.misconception("The max that was taken out of the sum comes back: m + log Σ.")
def forgets_to_add_the_max(x):
    return log(rows(x, row_max(x)).sum(-1))


@log_sum_exp.misconception("The max comes back with a plus: log(e^m Σ) = m + log Σ.")
def subtracts_the_max_again(x):
    return log(rows(x, row_max(x)).sum(-1)) - finite(row_max(x))


@log_sum_exp.misconception("The log of the sum, not of the mean: that would lose log M.")
def takes_the_log_of_the_mean(x):
    return finite(row_max(x)) + log(rows(x, row_max(x)).sum(-1) / max(x.shape[-1], 1))


@log_sum_exp.misconception("The base is e, as in exp: np.log, not np.log2.")
def takes_the_log_to_base_two(x):
    with np.errstate(divide="ignore"):
        return finite(row_max(x)) + np.log2(rows(x, row_max(x)).sum(-1))


@log_sum_exp.misconception("The max is only a lower bound: the other scores add log Σ exp(x - m).")
def gives_the_max_alone(x):
    return row_max(x)


@log_sum_exp.misconception(
    "Each row has a max of its own: far below the max of all, exp makes a whole row 0."
)
def takes_out_one_max_for_all(x):
    m = finite(x.max(initial=-np.inf) if x.size or x.dtype.kind == "f" else x.max())
    return m + log(np.exp(x - m).sum(-1))


@log_sum_exp.misconception("The scores of a query lie along the last axis: axis=-1, not 0.")
def sums_the_columns(x):
    m = finite(x.max(0)) if x.shape[0] else 0.0
    return m + log(np.exp(x - m).sum(0))


@log_sum_exp.misconception("Without a visible key m = -inf, and -inf - (-inf) is NaN: subtract 0.")
def meets_nan_in_a_row_of_none(x):
    m = row_max(x)
    return m + log(np.exp(x - m[..., None]).sum(-1))


@log_sum_exp.misconception("The sum of no keys is 0, and its log is -inf, not 0.")
def takes_a_row_of_none_for_one(x):
    total = rows(x, row_max(x)).sum(-1)
    return finite(row_max(x)) + np.log(np.where(total == 0, 1.0, total))


@log_sum_exp.misconception(
    "A small constant in the log changes every answer, and log 0 = -inf is what is asked for."
)
def adds_a_little_before_the_log(x):
    return finite(row_max(x)) + np.log(rows(x, row_max(x)).sum(-1) + 1e-6)


@log_sum_exp.misconception("One number a row: the last axis is summed away, (..., M) -> (...).")
def keeps_the_last_axis(x):
    return log_by_halves(x)[..., None]


@log_sum_exp.misconception("x is the caller's: x -= m changes it. Write x - m.")
def subtracts_from_the_scores(x):
    m = row_max(x)
    x -= finite(m)[..., None].astype(x.dtype)
    return m + log(np.exp(x).sum(-1))


@log_sum_exp.control
def log_by_halves(x):
    parts = [x[..., j] for j in range(x.shape[-1])]
    total = np.full(x.shape[:-1], -np.inf)
    for part in parts:
        total = np.logaddexp(total, part)
    return total


@log_sum_exp.control
def log_row_by_row(x):
    lse = np.full(x.shape[:-1], -np.inf)
    for row in np.ndindex(lse.shape):
        if len(seen := [float(s) for s in x[row] if s > -np.inf]):
            lse[row] = max(seen) + np.log(sum(np.exp(s - max(seen)) for s in sorted(seen)))
    return lse


# ------------------------------------------------------------------------------- weights

weights = exercise(
    os.weights,
    nudge="exp(x) / Σ exp(x) is a quotient of two exponentials. Which one exponential is it?",
    worked={"x": np.array([1.0, 2.0]), "lse": np.array(3.0)},
)


def tile(rng, x, b):
    """b columns of the scores, in their order, and the log-sum-exp of all of them."""
    lse = np.logaddexp.reduce(x, axis=-1)
    columns = np.sort(rng.permutation(x.shape[-1])[:b])
    return {"x": x[..., columns], "lse": lse}


@weights.check(points=2)
def test_weights_of_some_columns_are_their_part_of_the_softmax(rng):
    for shape, b in (((7,), 3), ((4, 9), 5), ((5, 8), 2), ((2, 3, 7), 4), ((3, 6), 1), ((1, 5), 3)):
        yield tile(rng, 2 * rng.normal(size=shape), b)
    yield tile(rng, rng.normal(size=(3, 5)), 5)
    yield tile(rng, rng.normal(size=(4, 6)), 4)
    yield tile(rng, rng.normal(size=(2, 3, 7)), 3)
    yield {"x": whole(rng, 3, 4), "lse": rng.integers(5, 9, size=3)}


@weights.check(points=1)
def test_weights_are_finite_for_scores_of_ten_thousand_of_either_sign(rng):
    for base in (FAR, -FAR):
        yield tile(rng, base + rng.normal(size=(3, 7)), 4)
    x = rng.normal(size=(5, 9)) + rng.permutation([-FAR, FAR, 0.0, 900.0, -900.0])[:, None]
    yield tile(rng, x, 6)
    yield tile(rng, x - rng.permutation(FAR * np.repeat([0, 1], [4, 5])), 6)


@weights.check(points=1)
def test_weights_of_keys_that_are_not_seen_are_zero(rng):
    """weights of keys that are not seen are zero, all of them in a row of log-sum-exp -∞"""
    yield tile(rng, holes(rng, rng.normal(size=(4, 9))), 5)
    yield tile(rng, blinded(rng, holes(rng, 2 * rng.normal(size=(5, 7)))), 4)
    yield tile(rng, blinded(rng, FAR * rng.normal(size=(4, 8)), 2), 3)
    yield {"x": np.full(rng.integers(2, 6), -np.inf), "lse": np.array(-np.inf)}
    case = tile(rng, rng.normal(size=(5, 9)), 4)
    yield case | {"x": blinded(rng, case["x"], 2)}  # seen in other columns
    yield tile(rng, np.swapaxes(blinded(rng, rng.normal(size=(3, 2, 7))), 0, 1), 4)


def within(x, lse):
    """lse as a column, 0 where it is -inf: there every x is -inf."""
    return finite(np.asarray(lse))[..., None]


@weights.misconception("lse is a logarithm: subtract it inside exp, don't divide by it.")
def divides_by_the_logarithm(x, lse):
    return np.exp(x) / np.where(within(x, lse) == 0, 1.0, within(x, lse))


@weights.misconception("exp(x) and exp(lse) overflow one by one; exp(x - lse) never does.")
def divides_two_exponentials(x, lse):
    total = np.exp(np.asarray(lse, dtype=float))[..., None]
    return np.where(np.asarray(lse)[..., None] == -np.inf, 0.0, np.exp(x) / total)


@weights.misconception(
    "These columns are a part of the row: their weights sum to less than 1. lse has all of them."
)
def normalises_over_the_tile(x, lse):
    return shares(np.exp(x - finite(x.max(-1, keepdims=True))))


@weights.misconception("Subtract the log-sum-exp of the whole row, not the max of these columns.")
def subtracts_the_max_of_the_tile(x, lse):
    return np.exp(x - finite(x.max(-1, keepdims=True)))


@weights.misconception("Where lse is -inf no key is seen, and -inf - (-inf) is NaN: subtract 0.")
def meets_nan_where_lse_is_minus_infinity(x, lse):
    return np.exp(x - np.asarray(lse)[..., None])


@weights.misconception("One lse belongs to a row: lse[..., None], not to a column.")
def takes_lse_for_columns(x, lse):
    return np.exp(x - finite(np.asarray(lse)))


@weights.misconception("The sign is turned: exp(x - lse) is at most 1.")
def turns_the_difference(x, lse):
    p = np.exp(np.where(x == -np.inf, 0.0, within(x, lse) - finite(x)))
    return np.where(x == -np.inf, 0.0, p)


@weights.misconception("The scores are natural logarithms: exp, not a power of 2.")
def takes_powers_of_two(x, lse):
    return np.exp2(x - within(x, lse))


@weights.misconception("That is the logarithm of the weight: take exp of it.")
def gives_logarithms(x, lse):
    return x - within(x, lse)


@weights.misconception("x is the caller's: x -= ... changes it. Write x - lse.")
def subtracts_lse_in_place(x, lse):
    x -= within(x, lse).astype(x.dtype)
    return np.exp(x)


@weights.misconception(
    "Where lse is -inf no key is seen: every weight there is 0, not an equal share."
)
def shares_among_unseen_keys(x, lse):
    none = np.asarray(lse)[..., None] == -np.inf
    return np.where(none, 1.0 / x.shape[-1], np.exp(x - within(x, lse)))


@weights.control
def weighs_row_by_row(x, lse):
    p = np.zeros(x.shape)
    for row in np.ndindex(x.shape[:-1]):
        if np.asarray(lse)[row] > -np.inf:
            for j, s in enumerate(x[row]):
                p[*row, j] = np.exp(float(s) - float(np.asarray(lse)[row]))
    return p


@weights.control
def weighs_and_cleans_up(x, lse):
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.exp(x - np.expand_dims(lse, -1)), nan=0.0)


# ------------------------------------------------------------------------------- merge_partials

merge_partials = exercise(
    os.merge_partials,
    nudge="exp(lse) is the weight behind each output. What is the weighted mean of the two?",
    worked={
        "a": Partial(np.array([[4.0, 0.0]]), np.array([1.0])),
        "b": Partial(np.array([[0.0, 2.0]]), np.array([2.0])),
    },
)


def finished(rng, lse, d):
    """A part of that log-sum-exp, with the output 0 where it saw no key."""
    lse = np.asarray(lse)
    o = 2 + 2 * rng.normal(size=(*lse.shape, d))
    return Partial(o * (lse > -np.inf)[..., None], lse)


def halves(rng, lse, by, d):
    """Two parts, of log-sum-exp lse and lse + by."""
    return {"a": finished(rng, lse, d), "b": finished(rng, lse + by, d)}


@merge_partials.check(points=2)
def test_finished_parts_weigh_as_much_as_stood_behind_them(rng):
    for n, d in ((4, 3), (5, 8), (7, 1)):
        by = rng.permutation([1.5, -0.7, *rng.normal(size=n - 2)])
        yield halves(rng, 2 * rng.normal(size=n), by, d)
    tie = rng.permutation([0.0, 0.0, 1.0, -1.0, 0.0])
    yield halves(rng, rng.normal(size=5), tie, 2)


@merge_partials.check(points=1)
def test_finished_parts_of_any_size_merge_without_overflow(rng):
    for base in (FAR, -FAR, 800.0):
        yield halves(rng, base + rng.normal(size=4), rng.normal(size=4), 3)
    by = rng.permutation([FAR, -FAR, 800.0, -800.0, 1.0, 12.0, -12.0])
    yield halves(rng, rng.normal(size=7), by, 2)
    yield halves(rng, rng.normal(size=7) - by / 2, by, 5)


@merge_partials.check(points=1)
def test_a_part_that_saw_no_key_changes_nothing(rng):
    """a part that saw no key changes nothing; two of them give output 0 and log-sum-exp -∞"""
    for n, d in ((4, 3), (6, 2)):
        lse = rng.normal(size=(2, n))
        lse[0, :2], lse[1, 1:3] = -np.inf, -np.inf  # one part, both, the other, none
        at = rng.permutation(n)
        yield {"a": finished(rng, lse[0, at], d), "b": finished(rng, lse[1, at], d)}
    lse = FAR * rng.choice([-1, 1], 3)
    none = np.where(rng.permutation(3) < 1, -np.inf, rng.normal(size=3))
    yield {"a": finished(rng, none, 4), "b": finished(rng, lse, 4)}


@merge_partials.check(points=1)
def test_finished_parts_of_one_query_or_a_batch_of_many_merge_alike(rng):
    """finished parts of one query, or of a batch of many, merge alike"""
    for shape, d in (((), 3), ((1,), 5), ((2, 3), 4), ((4, 1), 2), ((3, 2, 4), 5), ((3,), 3)):
        yield halves(rng, rng.normal(size=shape), rng.normal(size=shape) * 1.5, d)


def weighed(a, b, weigh, lse=None):
    """o by weights weigh(lse_side, lse of both), and that lse or another."""
    both = np.logaddexp(a.lse, b.lse)
    x, y = weigh(a.lse, finite(both)), weigh(b.lse, finite(both))
    return Partial(x[..., None] * a.o + y[..., None] * b.o, both if lse is None else lse)


def seen(part):
    return part.lse > -np.inf


@merge_partials.misconception(
    "The parts saw different keys: the one with the larger log-sum-exp weighs more than the other."
)
def averages_the_outputs(a, b):
    n = np.maximum(seen(a) * 1 + seen(b), 1)
    return Partial((a.o + b.o) / n[..., None], np.logaddexp(a.lse, b.lse))


@merge_partials.misconception("lse is a logarithm of a weight: the weights are exp(lse).")
def weighs_by_the_logarithms(a, b):
    total = np.where(seen(a), a.lse, 0.0) + np.where(seen(b), b.lse, 0.0)
    total = np.where(total == 0, 1.0, total)[..., None]
    o = (finite(a.lse)[..., None] * a.o + finite(b.lse)[..., None] * b.o) / total
    return Partial(o, np.logaddexp(a.lse, b.lse))


@merge_partials.misconception("The output is right; the weight behind it is that of both parts.")
def gives_the_larger_log_sum_exp(a, b):
    return weighed(a, b, right_weight, np.maximum(a.lse, b.lse))


@merge_partials.misconception("Weights are added, not their logarithms: log(e^lse_a + e^lse_b).")
def adds_the_logarithms(a, b):
    return weighed(a, b, right_weight, a.lse + b.lse)


@merge_partials.misconception("exp(lse) overflows: only differences of them go into exp.")
def exponentiates_each_log_sum_exp(a, b):
    x, y = np.exp(a.lse), np.exp(b.lse)
    total = np.where(seen(a) | seen(b), x + y, 1.0)
    o = (x[..., None] * a.o + y[..., None] * b.o) / total[..., None]
    return Partial(o, np.where(seen(a) | seen(b), np.log(x + y), -np.inf))


@merge_partials.misconception("Each output goes with its own weight: exp(lse_a - lse) is a's.")
def swaps_the_weights(a, b):
    both = finite(np.logaddexp(a.lse, b.lse))
    x, y = np.exp(b.lse - both), np.exp(a.lse - both)
    return Partial(x[..., None] * a.o + y[..., None] * b.o, np.logaddexp(a.lse, b.lse))


@merge_partials.misconception(
    "exp(lse_side - max) are no shares yet: they sum to more than 1. Divide by their sum."
)
def weighs_relative_to_the_larger(a, b):
    m = finite(np.maximum(a.lse, b.lse))
    x, y = np.exp(a.lse - m), np.exp(b.lse - m)
    return Partial(x[..., None] * a.o + y[..., None] * b.o, np.logaddexp(a.lse, b.lse))


@merge_partials.misconception("Where neither part saw a key, -inf - (-inf) is NaN: subtract 0.")
def meets_nan_where_neither_saw_a_key(a, b):
    both = np.logaddexp(a.lse, b.lse)
    x, y = np.exp(a.lse - both), np.exp(b.lse - both)
    return Partial(x[..., None] * a.o + y[..., None] * b.o, both)


@merge_partials.misconception("These outputs are normalised: weigh them before you add them.")
def adds_the_outputs(a, b):
    return Partial(a.o + b.o, np.logaddexp(a.lse, b.lse))


@merge_partials.misconception("Two sets of keys together weigh as much as their sum, not its half.")
def halves_the_weight(a, b):
    return weighed(a, b, right_weight, np.logaddexp(a.lse, b.lse) - np.log(2))


@merge_partials.misconception("The smaller part is no nothing: it keeps its share of the output.")
def lets_the_larger_part_win(a, b):
    o = np.where((a.lse >= b.lse)[..., None], a.o, b.o)
    return Partial(o, np.logaddexp(a.lse, b.lse))


@merge_partials.misconception("The sign is turned: the weight is exp(lse_side - lse), at most 1.")
def weighs_upside_down(a, b):
    return weighed(a, b, lambda side, lse: np.where(side == -np.inf, 0.0, np.exp(lse - side)))


@merge_partials.misconception("a and b are the caller's: a.o *= ... changes them. Make new arrays.")
def merges_into_the_first_part(a, b):
    x = weighed(a, b, right_weight)
    a.o[...] = x.o
    return x._replace(o=a.o)


@merge_partials.control
def merges_by_a_sigmoid(a, b):
    with np.errstate(invalid="ignore", over="ignore"):
        share = 1 / (
            1 + np.exp(np.nan_to_num(a.lse - b.lse, nan=0.0, posinf=np.inf, neginf=-np.inf))
        )
    o = a.o + share[..., None] * (b.o - a.o)
    top, low = np.maximum(a.lse, b.lse), np.minimum(a.lse, b.lse)
    return Partial(o, top + np.log1p(np.exp(low - finite(top))) * (top > -np.inf))


@merge_partials.control
def merges_a_stack_of_parts(a, b):
    lse, o = np.stack([a.lse, b.lse]), np.stack([a.o, b.o])
    m = np.nan_to_num(lse.max(0), neginf=0.0)
    weight = np.exp(lse - m)
    total = weight.sum(0)
    share = weight / np.where(total == 0, 1.0, total)
    with np.errstate(divide="ignore"):
        return Partial((share[..., None] * o).sum(0), m + np.log(total))


@merge_partials.control
def merges_parts_query_by_query(a, b):
    o, lse = np.zeros(a.o.shape), np.full(a.lse.shape, -np.inf)
    for i in np.ndindex(lse.shape):
        sides = sorted(((x.lse[i], x.o[i]) for x in (a, b)), key=lambda side: side[0])
        low, high = sides
        if high[0] > -np.inf:
            more = np.exp(low[0] - high[0])
            lse[i] = high[0] + np.log1p(more)
            o[i] = (high[1] + more * low[1]) / (1 + more)
    return Partial(o, lse)
