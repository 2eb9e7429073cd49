"""The five NumPy exercises of the FlashAttention chapter: which tiles are visible, what is moved,
the forward over tiles, softmax backwards, the backward over tiles. A sixth is a kernel: row_kernel.

Axes differ in size and vary: N queries, M keys, D head dimension; tiles are of block_q x block_k.
"""

import numpy as np

from rlcourse.grading import exercise
from rlcourse.systems import attention_tiles, flash_attention
from rlcourse.systems.attention_tiles import Moved, Tiles
from rlcourse.systems.flash_attention import Forward, Gradients
from rlcourse.systems.online_softmax import Summary, finish, merge, summarize


def ceil(n, block):
    return -(-n // block)


def sizes(rng, low, high, number):
    """Different sizes, in no order."""
    return [int(x) for x in rng.choice(np.arange(low, high), number, replace=False)]


# ------------------------------------------------------------------------------- visible tiles

visible_tiles = exercise(
    attention_tiles.visible_tiles,
    nudge="How many keys does the first query of a tile see, and how many the last?",
    worked={"n": 4, "m": 7, "block_q": 2, "block_k": 3},
)


@visible_tiles.check(points=2)
def test_a_tile_is_skipped_if_no_query_sees_it_and_full_if_every_query_sees_it_whole(rng):
    for _ in range(3):
        block_q, block_k = sizes(rng, 2, 8, 2)
        n = block_q * int(rng.integers(3, 7))
        m = block_k * (ceil(n, block_k) + int(rng.integers(1, 4)))
        yield {"n": n, "m": m, "block_q": block_q, "block_k": block_k}
    yield {"n": 11, "m": 16, "block_q": 1, "block_k": 4}
    yield {"n": 12, "m": 14, "block_q": 3, "block_k": 1}


@visible_tiles.check(points=1)
def test_a_query_without_keys_sees_no_tile_be_it_alone_or_with_others(rng):
    """a query without keys sees no tile, be it alone in its tile or with others"""
    for _ in range(3):
        m, more, block_q, block_k = sizes(rng, 2, 17, 4)
        yield {"n": m + more, "m": m, "block_q": block_q, "block_k": block_k}
    yield {"n": 23, "m": 5, "block_q": 4, "block_k": 2}
    yield {"n": 9, "m": 0, "block_q": 2, "block_k": 3}


@visible_tiles.check(points=1)
def test_the_last_tiles_may_be_smaller_and_are_full_all_the_same(rng):
    for _ in range(4):
        block_q, block_k = sizes(rng, 3, 9, 2)
        n = block_q * int(rng.integers(2, 6)) + int(rng.integers(1, block_q))
        m = block_k * int(rng.integers(4, 8)) + int(rng.integers(1, block_k))
        yield {"n": n, "m": m, "block_q": block_q, "block_k": block_k}
    yield {"n": 1, "m": 10, "block_q": 8, "block_k": 4}
    yield {"n": 5, "m": 7, "block_q": 16, "block_k": 32}


@visible_tiles.check(points=1)
def test_without_a_causal_mask_all_tiles_are_full(rng):
    for _ in range(3):
        n, m, block_q, block_k = sizes(rng, 4, 60, 4)
        yield {"n": n, "m": m, "block_q": block_q, "block_k": block_k, "causal": False}
    yield {"n": 30, "m": 20, "block_q": 7, "block_k": 6, "causal": False}
    yield {"n": 30, "m": 20, "block_q": 7, "block_k": 6, "causal": True}


def reach(n, m, block_q, block_k, causal, sees, low=0, high=None):
    """(keys that the first query of each tile sees, keys that the last sees), clipped."""
    first = np.arange(0, n, block_q)
    last = np.minimum(first + block_q, n) - 1
    if not causal:
        return np.full(len(first), m), np.full(len(first), m)
    return [np.clip(sees(i), low, m if high is None else high) for i in (first, last)]


def bottom_right(n, m):
    return lambda i: i + 1 + m - n


def whole(least, m, block_k):
    return np.where(least == m, ceil(m, block_k), least // block_k)


def tiles(least, most, m, block_k):
    return Tiles(whole(least, m, block_k), ceil(most, block_k))


@visible_tiles.misconception(
    "That aligns the first query with the first key. The last query sees all M keys: i + M - N."
)
def aligns_the_first_query_with_the_first_key(n, m, block_q, block_k, causal=True):
    return tiles(*reach(n, m, block_q, block_k, causal, lambda i: i + 1), m, block_k)


@visible_tiles.misconception(
    "A query sees its own key too: i + M - N is its position, and it sees one key more than that."
)
def hides_a_querys_own_key(n, m, block_q, block_k, causal=True):
    return tiles(*reach(n, m, block_q, block_k, causal, lambda i: i + m - n), m, block_k)


@visible_tiles.misconception(
    "A tile that is seen in part has to be visited: round `seen` up, ⌈keys / block_k⌉."
)
def skips_tiles_that_are_seen_in_part(n, m, block_q, block_k, causal=True):
    least, most = reach(n, m, block_q, block_k, causal, bottom_right(n, m))
    return Tiles(whole(least, m, block_k), whole(most, m, block_k))


@visible_tiles.misconception(
    "The last query of a tile sees furthest: a tile that it alone sees has to be visited too."
)
def skips_what_the_first_query_does_not_see(n, m, block_q, block_k, causal=True):
    least, _ = reach(n, m, block_q, block_k, causal, bottom_right(n, m))
    return tiles(least, least, m, block_k)


@visible_tiles.misconception(
    "The first query of a tile sees least: what it does not see whole is not full."
)
def takes_what_the_last_query_sees_for_full(n, m, block_q, block_k, causal=True):
    _, most = reach(n, m, block_q, block_k, causal, bottom_right(n, m))
    return tiles(most, most, m, block_k)


@visible_tiles.misconception("Where N > M the count of keys goes below 0: no query sees -3 keys.")
def counts_keys_below_zero(n, m, block_q, block_k, causal=True):
    return tiles(*reach(n, m, block_q, block_k, causal, bottom_right(n, m), -n), m, block_k)


@visible_tiles.misconception(
    "The last tile of queries ends with query N - 1: what lies beyond sees no tile beyond the last."
)
def counts_queries_beyond_the_last(n, m, block_q, block_k, causal=True):
    first = np.arange(0, n, block_q)
    least = np.clip(first + 1 + m - n, 0, m)
    most = np.maximum(first + block_q + m - n, 0)
    return (
        tiles(least, most, m, block_k) if causal else tiles(least * 0 + m, most * 0 + m, m, block_k)
    )


@visible_tiles.misconception(
    "The last tile of keys may be smaller. It is full where the first query sees all M keys."
)
def never_takes_the_smaller_last_tile_for_full(n, m, block_q, block_k, causal=True):
    least, most = reach(n, m, block_q, block_k, causal, bottom_right(n, m))
    return Tiles(least // block_k if causal else 0 * least + ceil(m, block_k), ceil(most, block_k))


@visible_tiles.misconception("block_q cuts the N queries, and block_k the M keys.")
def swaps_the_blocks(n, m, block_q, block_k, causal=True):
    return attention_tiles.visible_tiles(n, m, block_k, block_q, causal)


@visible_tiles.misconception("With `causal` what lies ahead of all queries of a tile is skipped.")
def ignores_causal(n, m, block_q, block_k, causal=True):
    return attention_tiles.visible_tiles(n, m, block_q, block_k, False)


@visible_tiles.misconception("Without `causal` nothing is hidden: all tiles are full.")
def masks_always(n, m, block_q, block_k, causal=True):
    return attention_tiles.visible_tiles(n, m, block_q, block_k, True)


@visible_tiles.misconception(
    "There are ⌈N / block_q⌉ tiles of queries: the smaller last one counts too."
)
def drops_the_smaller_last_tile_of_queries(n, m, block_q, block_k, causal=True):
    found = attention_tiles.visible_tiles(n, m, block_q, block_k, causal)
    return Tiles(found.full[: n // block_q], found.seen[: n // block_q])


@visible_tiles.misconception(
    "`seen` is where the row of tiles ends, counted from the first, not how many are seen in part."
)
def counts_only_the_tiles_seen_in_part(n, m, block_q, block_k, causal=True):
    full, seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal)
    return Tiles(full, seen - full)


@visible_tiles.control
def tiles_of_the_mask_itself(n, m, block_q, block_k, causal=True):
    mask = np.tri(n, m, m - n if causal else m, dtype=bool)
    full, seen = [], []
    for i in range(0, n, block_q):
        cut = [mask[i : i + block_q, j : j + block_k] for j in range(0, m, block_k)]
        full.append(sum(bool(t.all()) for t in cut))
        seen.append(sum(bool(t.any()) for t in cut))
    return Tiles(np.array(full, int), np.array(seen, int))


@visible_tiles.control
def tiles_one_key_at_a_time(n, m, block_q, block_k, causal=True):
    full, seen = [], []
    for i in range(0, n, block_q):
        last = min(i + block_q, n) - 1
        starts = range(0, m, block_k)
        ends = [min(j + block_k, m) - 1 for j in starts]
        seen.append(sum(not causal or j <= last + m - n for j in starts))
        full.append(sum(not causal or j <= i + m - n for j in ends))
    return Tiles(np.array(full, int), np.array(seen, int))


# ------------------------------------------------------------------------------- what is moved

forward_traffic = exercise(
    attention_tiles.forward_traffic,
    nudge="Go through the loops: what is read once for a query tile, what once for each pair of "
    "tiles, and when is anything written?",
    worked={"n": 4, "m": 6, "d": 2, "block_q": 2, "block_k": 3},
)


def lengths(rng, more=False):
    """Sizes of a head and its tiles, no two alike; with `more` more queries than keys."""
    block_q, block_k, d = sizes(rng, 2, 9, 3)
    n, m = sorted(sizes(rng, 18, 70, 2), reverse=more)
    return {"n": n, "m": m, "d": d, "block_q": block_q, "block_k": block_k}


@forward_traffic.check(points=2)
def test_each_tile_of_queries_reads_all_keys_and_values_and_writes_its_output_once(rng):
    for _ in range(3):
        case = lengths(rng)
        n, m = (case[b] * int(rng.integers(3, 8)) for b in ("block_q", "block_k"))
        yield case | {"n": n, "m": m, "causal": False}
    yield {"n": 8192, "m": 4096, "d": 128, "block_q": 64, "block_k": 32, "causal": False}


@forward_traffic.check(points=1)
def test_a_smaller_last_tile_of_queries_reads_the_keys_too_and_of_keys_what_there_is(rng):
    """a smaller last tile of queries reads all keys too, and one of keys has fewer to be read"""
    for _ in range(4):
        case = lengths(rng)
        n = case["block_q"] * int(rng.integers(3, 8)) + int(rng.integers(1, case["block_q"]))
        m = case["block_k"] * int(rng.integers(3, 8)) + int(rng.integers(1, case["block_k"]))
        yield case | {"n": n, "m": m, "causal": False}
    yield {"n": 1, "m": 9, "d": 3, "block_q": 4, "block_k": 8}


@forward_traffic.check(points=2)
def test_with_a_causal_mask_the_tiles_that_are_seen_are_read_whole_and_no_others(rng):
    """with a causal mask the tiles that some query sees are read, whole, and no others"""
    for more in (False, True, False, True):
        yield lengths(rng, more) | {"causal": True}
    yield {"n": 4095, "m": 4096, "d": 64, "block_q": 128, "block_k": 32, "causal": True}
    yield {"n": 41, "m": 6, "d": 2, "block_q": 3, "block_k": 4, "causal": True}


def keys_read(n, m, block_q, block_k, causal):
    seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen
    return int(np.minimum(seen * block_k, m).sum())


@forward_traffic.misconception("The backward needs the log-sum-exp: N elements more are written.")
def forgets_the_log_sum_exp(n, m, d, block_q, block_k, causal=False):
    return Moved(n * d + 2 * d * keys_read(n, m, block_q, block_k, causal), n * d)


@forward_traffic.misconception(
    "Keys and values pass by anew for every tile of queries: nothing of them stays."
)
def reads_keys_and_values_once(n, m, d, block_q, block_k, causal=False):
    return Moved(n * d + 2 * m * d, n * d + n)


@forward_traffic.misconception("The values are read as well as the keys: 2 D elements each.")
def reads_keys_alone(n, m, d, block_q, block_k, causal=False):
    return Moved(n * d + d * keys_read(n, m, block_q, block_k, causal), n * d + n)


@forward_traffic.misconception(
    "⌊N / block_q⌋ drops the last tile of queries where N is no multiple: it reads the keys too."
)
def rounds_the_tiles_of_queries_down(n, m, d, block_q, block_k, causal=False):
    seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen[: n // block_q]
    return Moved(n * d + 2 * d * int(np.minimum(seen * block_k, m).sum()), n * d + n)


@forward_traffic.misconception(
    "Queries do not read N / block_q times a fraction: tiles are counted, and rounded up."
)
def counts_fractions_of_tiles(n, m, d, block_q, block_k, causal=False):
    share = n / block_q if not causal else keys_read(n, m, block_q, block_k, True) / m
    return Moved(round(n * d + 2 * d * m * share), n * d + n)


@forward_traffic.misconception(
    "A causal mask hides half the scores only where N = M, and tiles on its edge are read whole."
)
def halves_what_a_causal_mask_leaves(n, m, d, block_q, block_k, causal=False):
    keys = m * ceil(n, block_q) // (2 if causal else 1)
    return Moved(n * d + 2 * d * keys, n * d + n)


@forward_traffic.misconception("With `causal` the tiles that no query sees are not read.")
def reads_hidden_tiles(n, m, d, block_q, block_k, causal=False):
    return attention_tiles.forward_traffic(n, m, d, block_q, block_k, False)


@forward_traffic.misconception(
    "A tile on the edge of the mask is read whole, with the keys that its queries do not see."
)
def reads_visible_keys_alone(n, m, d, block_q, block_k, causal=False):
    most = reach(n, m, block_q, block_k, causal, bottom_right(n, m))[1]
    return Moved(n * d + 2 * d * int(most.sum()), n * d + n)


@forward_traffic.misconception(
    "The last tile of keys has what is left of M, not block_k: the rest is not there to be read."
)
def reads_beyond_the_last_key(n, m, d, block_q, block_k, causal=False):
    seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen
    return Moved(n * d + 2 * d * block_k * int(seen.sum()), n * d + n)


@forward_traffic.misconception(
    "A tile of queries stays in fast memory while the keys pass: it is read once."
)
def reads_the_queries_for_each_tile_of_keys(n, m, d, block_q, block_k, causal=False):
    seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen
    rows = np.minimum(block_q, n - block_q * np.arange(len(seen)))
    keys = keys_read(n, m, block_q, block_k, causal)
    return Moved(d * int((seen * rows).sum()) + 2 * d * keys, n * d + n)


@forward_traffic.misconception(
    "The sums stay in fast memory until the last tile of keys: o and lse are written once."
)
def writes_the_output_for_each_tile_of_keys(n, m, d, block_q, block_k, causal=False):
    seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen
    rows = np.minimum(block_q, n - block_q * np.arange(len(seen)))
    keys = keys_read(n, m, block_q, block_k, causal)
    return Moved(n * d + 2 * d * keys, (d + 1) * int((seen * rows).sum()))


@forward_traffic.misconception(
    "Scores and probabilities never leave fast memory: that is the point."
)
def writes_the_scores(n, m, d, block_q, block_k, causal=False):
    right = attention_tiles.forward_traffic(n, m, d, block_q, block_k, causal)
    return Moved(right.reads, right.writes + n * m)


@forward_traffic.misconception("Elements are asked for, whatever their size; these are bytes.")
def counts_bytes(n, m, d, block_q, block_k, causal=False):
    return Moved(
        *(4 * x for x in attention_tiles.forward_traffic(n, m, d, block_q, block_k, causal))
    )


@forward_traffic.misconception("block_q cuts the queries: M is passed by ⌈N / block_q⌉ times.")
def swaps_the_blocks_of_the_count(n, m, d, block_q, block_k, causal=False):
    return attention_tiles.forward_traffic(n, m, d, block_k, block_q, causal)


@forward_traffic.control
def traffic_counted_tile_by_tile(n, m, d, block_q, block_k, causal=False):
    reads = writes = 0
    for i in range(0, n, block_q):
        rows = min(block_q, n - i)
        reads += rows * d
        for j in range(0, m, block_k):
            if not causal or j <= i + rows - 1 + m - n:
                reads += 2 * d * min(block_k, m - j)
        writes += rows * (d + 1)
    return Moved(reads, writes)


@forward_traffic.control
def traffic_of_the_mask_itself(n, m, d, block_q, block_k, causal=False):
    mask = np.tri(n, m, m - n if causal else m, dtype=bool)
    firsts, starts = range(0, n, block_q), range(0, m, block_k)
    ends = [min(i + block_q, n) - 1 for i in firsts]
    keys = sum(mask[i, j] * min(block_k, m - j) for i in ends for j in starts)
    return Moved(d * (n + 2 * int(keys)), n * (d + 1))


# ------------------------------------------------------------------------------- the forward

flash_forward = exercise(
    flash_attention.flash_forward,
    nudge="Which of m, l and o refer to the old maximum when a tile brings a larger one?",
    worked={
        "q": np.array([[2.0], [-1.0]]),
        "k": np.array([[0.0], [1.0], [3.0]]),
        "v": np.array([[1.0], [2.0], [6.0]]),
        "block_q": 1,
        "block_k": 2,
    },
    seconds=6.0,
)


def blocks_of(block_q, block_k, causal=False):
    return {"block_q": block_q, "block_k": block_k, "causal": causal}


def head(rng, n, m, d, size=1.0):
    """A head with scores of about that size."""
    q, k = (size**0.5 * rng.normal(size=(length, d)) for length in (n, m))
    return {"q": q, "k": k, "v": rng.normal(size=(m, d)) + rng.uniform(1, 2, d)}


def rising(rng, n, m, d, size):
    """A head whose scores rise along the keys, so that the largest comes last (or first)."""
    x = head(rng, n, m, d)
    x["q"][:, 0] = rng.uniform(1, 2, n)
    x["k"][:, 0] = size * np.linspace(-1, 1, m)
    return x


def edge(rng, block_q, block_k):
    """(N, M, i, j): tiles of keys before key j are all that the queries before query i see.

    Both are at the beginning of a tile, so that it depends on nothing else which tiles are seen.
    """
    i, j = block_q * int(rng.integers(1, 3)), block_k * int(rng.integers(2, 4))
    m = j + block_k * int(rng.integers(1, 3)) + int(rng.integers(block_k))
    return i + m - j, m, i, j


@flash_forward.check(points=2)
def test_any_tiling_gives_softmax_attention_with_its_log_sum_exp(rng):
    for n, m, d in ((5, 9, 3), (12, 7, 4), (1, 10, 3), (8, 6, 1)):
        yield head(rng, n, m, d) | blocks_of(*sizes(rng, 2, 6, 2))
    yield head(rng, 6, 8, 5) | blocks_of(3, 4)
    yield head(rng, 3, 11, 2) | blocks_of(1, 1)
    yield head(rng, 4, 5, 7) | blocks_of(16, 8)


@flash_forward.check(points=1)
def test_a_maximum_that_comes_late_rescales_all_that_was_summed_before(rng):
    for size in (3.0, 20.0, 600.0, 1e4, -3.0, -600.0, -1e4):
        n, m, d = int(rng.integers(5, 9)), int(rng.integers(10, 17)), int(rng.integers(2, 5))
        yield rising(rng, n, m, d, size) | blocks_of(3, 4)
    yield rising(rng, 5, 13, 4, 30.0) | blocks_of(2, 1)


@flash_forward.check(points=1)
def test_with_a_causal_mask_the_last_query_sees_every_key_and_each_earlier_one_a_key_less(rng):
    """with a causal mask the last query sees every key, and each earlier one a key less"""
    for n, m, d in ((5, 9, 3), (7, 8, 2), (13, 14, 4), (1, 8, 3), (4, 15, 1)):
        yield head(rng, n, m, d, 4.0) | blocks_of(*sizes(rng, 2, 6, 2), True)
    yield head(rng, 9, 12, 2, 4.0) | blocks_of(1, 1, True)


@flash_forward.check(points=1)
def test_a_query_without_keys_has_output_zero_and_a_log_sum_exp_of_minus_infinity(rng):
    """a query without keys has output 0 and log-sum-exp -∞, whoever shares its tile"""
    for n, m, d in ((9, 5, 3), (14, 4, 2), (11, 10, 3), (7, 1, 2)):
        yield head(rng, n, m, d) | blocks_of(*sizes(rng, 2, 6, 2), True)
    yield head(rng, 8, 3, 2, 100.0) | blocks_of(4, 2, True)


@flash_forward.check(points=1, slow=("k", "v"))
def test_a_tile_of_queries_reads_each_tile_of_keys_that_it_sees_once_and_no_others(rng):
    """a tile of queries reads each tile of keys that it sees once, and no others"""
    n, m, d = sizes(rng, 9, 21, 3)
    yield head(rng, n, m, d) | blocks_of(*sizes(rng, 3, 6, 2))
    for block_q, block_k, d in ((2, 3, 4), (3, 2, 1), (1, 4, 2)):
        n, m, _, j = edge(rng, block_q, block_k)
        x = head(rng, n, m, d if d not in (n, m) else 17)
        x["v"][j : j + block_k] = np.nan
        yield x | blocks_of(block_q, block_k, True)


def some_tiles(q, k, v, block_q, block_k, causal=False):
    """Bytes: twice the answer, and room for a dozen tiles."""
    return 16 * len(q) * (q.shape[1] + 1) + 96 * block_q * block_k + 12_000


@flash_forward.check(points=1, peak=some_tiles)
def test_no_array_but_the_answer_is_larger_than_a_tile(rng):
    """beside its answer it holds no array that is larger than a tile"""
    d = int(rng.integers(2, 4))
    yield head(rng, 304, 45 + d, d) | blocks_of(10, 25)
    yield head(rng, 22, 700 + d, 2 * d) | blocks_of(12, 24, True)


def learner(
    q, k, v, block_q, block_k, causal,
    *, scale=None, ahead=0, hidden=-np.inf, seen=lambda seen, tiles: seen, shrink_l=1, shrink_o=1,
    follow=np.maximum, start=-np.inf, guard=True, each=False, total=None, kind=np.float64,
):  # fmt: skip
    """The forward over tiles as a learner writes it, with one thing or another gone wrong.

    scale   of the products, 1/√D            ahead    how far the causal mask is off
    hidden  the score of a hidden key        seen     how many tiles of keys are visited
    shrink_ the power of exp(m - m') that rescales l and o
    follow  the new maximum from the old and that of the tile; start: the first
    guard   whether -∞ - (-∞) is thought of  each     whether each tile is divided by its own sum
    total   l at the end -> log-sum-exp      kind     of the sums
    """
    n, m, d = len(q), len(k), q.shape[1]
    scale = d**-0.5 if scale is None else scale
    total = total or (lambda m_i, l_i: m_i + np.log(np.where(l_i == 0, 1, l_i)))
    o, lse = np.zeros(q.shape), np.zeros(n)
    count = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen
    for t, i in enumerate(range(0, n, block_q)):
        rows = np.arange(i, min(i + block_q, n))
        m_i, l_i = np.full(len(rows), start), np.zeros(len(rows), kind)
        o_i = np.zeros((len(rows), d), kind)
        for j in range(0, m, block_k)[: max(seen(count[t], ceil(m, block_k)), 0)]:
            cols = np.arange(j, min(j + block_k, m))
            s = q[rows] @ k[cols].T * scale
            if causal:
                s = np.where(cols[None] <= rows[:, None] + m - n + ahead, s, hidden)
            new = follow(m_i, s.max(1))
            c = np.where(new == -np.inf, 0, new) if guard else new
            p, shrink = np.exp(s - c[:, None]), np.exp(m_i - c)
            if each:
                p = p / p.sum(1, keepdims=True)
            l_i = (shrink**shrink_l * l_i + p.sum(1)).astype(kind)
            o_i = (shrink[:, None] ** shrink_o * o_i + p @ v[cols]).astype(kind)
            m_i = new
        o[rows] = o_i / (np.where(l_i == 0, 1, l_i) if guard else l_i)[:, None]
        lse[rows] = total(m_i, l_i)
    return Forward(o, lse)


@flash_forward.misconception(
    "o is summed relative to the old maximum, as l is: scale both by exp(m - m') before adding."
)
def o_is_not_rescaled(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, shrink_o=0)


@flash_forward.misconception(
    "l is summed relative to the old maximum, as o is: scale both by exp(m - m') before adding."
)
def l_is_not_rescaled(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, shrink_l=0)


@flash_forward.misconception(
    "Upside down: when the maximum grows what was summed shrinks, by exp(m - m'), not exp(m' - m)."
)
def rescales_the_wrong_way_round(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, shrink_l=-1, shrink_o=-1)


@flash_forward.misconception(
    "The maximum runs over all tiles so far, max(m, max of the tile): l and o are relative to it, "
    "and to no tile's own."
)
def takes_the_maximum_of_the_tile_alone(q, k, v, block_q, block_k, causal=False):
    return learner(
        q, k, v, block_q, block_k, causal, follow=lambda old, new: new, shrink_l=0, shrink_o=0
    )


@flash_forward.misconception(
    "The maximum of the first tile is not that of the row: exp of a later score overflows."
)
def keeps_the_maximum_of_the_first_tile(q, k, v, block_q, block_k, causal=False):
    def first(old, new):
        return np.where(old == -np.inf, new, old)

    return learner(q, k, v, block_q, block_k, causal, follow=first)


@flash_forward.misconception("Subtract the running maximum: exp of a score of 1000 overflows.")
def subtracts_no_maximum(q, k, v, block_q, block_k, causal=False):
    def none(old, new):
        return 0 * new.clip(0, 0)

    return learner(
        q, k, v, block_q, block_k, causal,
        follow=none, start=0.0, total=lambda m_i, l_i: np.log(l_i),
    )  # fmt: skip


@flash_forward.misconception(
    "Divide by l once, after the last tile: each tile's own sum says nothing about the row's."
)
def divides_each_tile_by_its_own_sum(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, each=True)


@flash_forward.misconception("The scores are q·k / √D.")
def does_not_scale_the_scores(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, scale=1.0)


@flash_forward.misconception("The scores are divided by √D, not by D.")
def divides_the_scores_by_d(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, scale=1 / q.shape[1])


@flash_forward.misconception("With `causal` a query sees no key ahead of it: their scores are -∞.")
def ignores_the_causal_mask(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, False)


@flash_forward.misconception(
    "That aligns query 0 with key 0. The last query sees all keys: query i stands at i + M - N."
)
def aligns_the_mask_top_left(q, k, v, block_q, block_k, causal=False):
    off = len(q) - len(k)
    return learner(q, k, v, block_q, block_k, causal, ahead=off, seen=lambda seen, tiles: tiles)


@flash_forward.misconception("A query sees the key at its own position too: j <= i + M - N.")
def hides_the_key_at_a_querys_own_place(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, ahead=-1)


@flash_forward.misconception(
    "A hidden key's score is -∞. A score of 0 weighs exp(0 - m), which is not nothing."
)
def hides_keys_with_a_score_of_zero(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, hidden=0.0)


@flash_forward.misconception(
    "Where a query sees no key, -1e9 is its maximum, and all keys weigh alike. Hide them with -∞."
)
def hides_keys_with_a_large_negative_score(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, hidden=-1e9)


@flash_forward.misconception(
    "-∞ - (-∞) is NaN: as long as a query has seen no key, subtract 0, and divide by 1 at the end."
)
def gives_nan_to_a_query_without_keys(q, k, v, block_q, block_k, causal=False):
    return learner(
        q, k, v, block_q, block_k, causal, guard=False, total=lambda m_i, l_i: m_i + np.log(l_i)
    )


@flash_forward.misconception("l is relative to the maximum: lse = m + log l.")
def leaves_the_maximum_out_of_the_log_sum_exp(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, total=lambda m_i, l_i: np.log(l_i))


@flash_forward.misconception("lse is the logarithm of the whole sum, m + log l, and not l itself.")
def saves_the_sum_itself(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, total=lambda m_i, l_i: l_i)


@flash_forward.misconception("The backward takes exp: use the natural logarithm.")
def takes_the_logarithm_to_base_two(q, k, v, block_q, block_k, causal=False):
    found = flash_attention.flash_forward(q, k, v, block_q, block_k, causal)
    return Forward(found.o, found.lse / np.log(2))


@flash_forward.misconception("The last tile of keys may be smaller than block_k; it counts too.")
def drops_the_smaller_last_tile(q, k, v, block_q, block_k, causal=False):
    most = len(k) // block_k
    return learner(q, k, v, block_q, block_k, causal, seen=lambda seen, tiles: min(seen, most))


@flash_forward.misconception(
    "The tile on the edge of the mask is seen in part: it has to be visited too."
)
def skips_the_tile_on_the_edge(q, k, v, block_q, block_k, causal=False):
    full = attention_tiles.visible_tiles(len(q), len(k), block_q, block_k, causal).full
    starts = iter(full)
    return learner(q, k, v, block_q, block_k, causal, seen=lambda seen, tiles: next(starts))


@flash_forward.misconception(
    "Tiles that no query of the tile sees are masked here, but visited: end the loop before them."
)
def visits_hidden_tiles(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, seen=lambda seen, tiles: tiles)


@flash_forward.misconception("Only the first tile of keys is visited: loop over all that are seen.")
def stops_after_one_tile(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, seen=lambda seen, tiles: min(seen, 1))


@flash_forward.misconception("float32 sums lose half of the digits: m, l and o have the type of q.")
def sums_in_float32(q, k, v, block_q, block_k, causal=False):
    return learner(q, k, v, block_q, block_k, causal, kind=np.float32)


@flash_forward.misconception(
    "Right, but all N x M scores lie in memory at once. Let the keys pass, one tile at a time."
)
def makes_all_scores_at_once(q, k, v, block_q, block_k, causal=False):
    s = flash_attention.tile_scores(q, k, len(k) - len(q) if causal else None)
    return Forward(
        flash_attention.flash_forward(q, k, v, block_q, block_k, causal).o,
        np.logaddexp.reduce(s, 1),
    )


@flash_forward.misconception(
    "A tile has block_q queries: with all N at once a tile of keys meets N x block_k scores."
)
def takes_all_queries_at_once(q, k, v, block_q, block_k, causal=False):
    n, m = len(q), len(k)
    high, l, o = np.full(n, -np.inf), np.zeros(n), np.zeros(q.shape)
    for j in range(0, m, block_k):
        first = max(j + n - m, 0) // block_q * block_q if causal else 0
        rows, cols = slice(first, n), slice(j, j + block_k)
        ahead = first + m - n - j if causal else None
        part = summarize(flash_attention.tile_scores(q[rows], k[cols], ahead), v[cols])
        high[rows], l[rows], o[rows] = merge(Summary(high[rows], l[rows], o[rows]), part)
    return Forward(finish(Summary(high, l, o)), high + np.log(np.where(l == 0, 1, l)))


@flash_forward.misconception(
    "A tile has block_k keys: with all M of them at once a tile of queries has block_q x M scores."
)
def takes_all_keys_at_once(q, k, v, block_q, block_k, causal=False):
    n, m = len(q), len(k)
    o, lse = np.empty(q.shape), np.empty(n)
    for i in range(0, n, block_q):
        rows = slice(i, min(i + block_q, n))
        end = max(rows.stop + m - n, 0) if causal else m
        o[rows], lse[rows] = learner(q[rows], k[:end], v[:end], block_q, m + 1, causal)
    return Forward(o, lse)


@flash_forward.control
def forward_by_merging_summaries(q, k, v, block_q, block_k, causal=False):
    n, m = len(q), len(k)
    o, lse = np.empty_like(q), np.empty(n)
    for i in range(0, n, block_q):
        last = min(i + block_q, n) - 1
        rows = slice(i, last + 1)
        none = np.zeros((last + 1 - i, 0))
        x = summarize(none, v[:0])
        for j in range(0, m, block_k):
            if causal and j > last + m - n:
                break
            s = q[rows] @ k[j : j + block_k].T / np.sqrt(q.shape[1])
            if causal:
                s[~np.tri(*s.shape, i + m - n - j, dtype=bool)] = -np.inf
            x = merge(x, summarize(s, v[j : j + block_k]))
        o[rows] = finish(x)
        lse[rows] = [mi + np.log(li) if li else -np.inf for mi, li in zip(x.m, x.l, strict=True)]
    return Forward(o, lse)


@flash_forward.control
def forward_query_by_query_from_the_last_tile(q, k, v, block_q, block_k, causal=False):
    n, m = len(q), len(k)
    o, lse = np.zeros_like(q), np.full(n, -np.inf)
    for i in range(0, n, block_q):
        rows = range(i, min(i + block_q, n))
        see = [max(r + 1 + m - n, 0) if causal else m for r in rows]
        for j in reversed(range(0, max(see), block_k)):
            keys, values = k[j : j + block_k], v[j : j + block_k]
            for r, end in zip(rows, see, strict=True):
                s = keys[: max(end - j, 0)] @ q[r] / q.shape[1] ** 0.5
                if len(s):
                    last = lse[r]
                    lse[r] = np.logaddexp(last, np.logaddexp.reduce(s))
                    o[r] = np.exp(last - lse[r]) * o[r] + np.exp(s - lse[r]) @ values[: len(s)]
    return Forward(o, lse)


# ------------------------------------------------------------------------------- softmax backwards

softmax_backward = exercise(
    flash_attention.softmax_backward,
    nudge="A score raises its own probability, and lowers all others of its row: by how much?",
    worked={"p": np.array([[0.5, 0.25, 0.25]]), "dp": np.array([[4.0, 0.0, 8.0]])},
)


def rows_of_softmax(rng, shape, size=1.5):
    """Rows of probabilities, and gradients whose mean is not 0."""
    p = np.exp(size * rng.normal(size=shape))
    return {
        "p": p / p.sum(-1, keepdims=True),
        "dp": rng.normal(size=shape) + rng.uniform(1, 3, (*shape[:-1], 1)),
    }


@softmax_backward.check(points=2)
def test_each_row_subtracts_its_own_mean_gradient_weighted_by_probability(rng):
    for shape in ((3, 5), (7, 4), (2, 9)):
        yield rows_of_softmax(rng, shape)


@softmax_backward.check(points=1)
def test_rows_may_stand_along_any_leading_axes(rng):
    for shape in ((6,), (2, 3, 5), (4, 1, 3), (1, 7), (2, 1, 5, 3)):
        yield rows_of_softmax(rng, shape)


@softmax_backward.check(points=1)
def test_what_has_no_probability_has_no_gradient_and_large_gradients_stay_exact(rng):
    """what has no probability has no gradient, however large the others are"""
    for shape, size in (((4, 6), 1e4), ((3, 8), -1e4), ((2, 5), 300.0)):
        x = rows_of_softmax(rng, shape)
        hidden = rng.permutation(np.arange(shape[1]) < 2)
        p = np.where(hidden, 0, x["p"])
        x["dp"][:, hidden] *= size
        x["dp"][0] += size
        yield {"p": p / p.sum(-1, keepdims=True), "dp": x["dp"]}
    one = rng.permutation(np.arange(7) == 0)
    x = rows_of_softmax(rng, (4, 7))
    yield x | {"p": np.where([[1], [0], [0], [1]], one, x["p"])}
    x = rows_of_softmax(rng, (5, 6))
    x["p"][rng.integers(5)] = 0.0
    yield x
    yield rows_of_softmax(rng, (4, 1))


@softmax_backward.misconception(
    "The probabilities of a row sum to 1: raising one lowers the others. Subtract Σ_j p_j dp_j."
)
def leaves_out_the_row_sum(p, dp):
    return p * dp


@softmax_backward.misconception(
    "p (1 - p) dp is the diagonal of the derivative; each score moves the other probabilities too."
)
def takes_the_diagonal_alone(p, dp):
    return p * (1 - p) * dp


@softmax_backward.misconception("The sum is over one row, the last axis, and not over all rows.")
def sums_over_all_rows(p, dp):
    return p * (dp - (p * dp).sum())


@softmax_backward.misconception("The sum is over the keys of a row, the last axis, not the first.")
def sums_over_the_first_axis(p, dp):
    return p * (dp - (p * dp).sum(0))


@softmax_backward.misconception("The mean is weighted: Σ_j p_j dp_j. Unlikely keys count little.")
def subtracts_the_plain_mean(p, dp):
    return p * (dp - dp.mean(-1, keepdims=True))


@softmax_backward.misconception("The sum is weighted by the probabilities: Σ_j p_j dp_j.")
def subtracts_the_plain_sum(p, dp):
    return p * (dp - dp.sum(-1, keepdims=True))


@softmax_backward.misconception("Σ_j p_j dp_j is a weighted mean already: do not divide by M.")
def divides_the_weighted_sum_by_m(p, dp):
    return p * (dp - (p * dp).mean(-1, keepdims=True))


@softmax_backward.misconception("The whole bracket is scaled by p_i: p (dp - Σ_j p_j dp_j).")
def forgets_the_factor_in_front(p, dp):
    return dp - (p * dp).sum(-1, keepdims=True)


@softmax_backward.misconception("The sum of the others is subtracted: p (dp - Σ_j p_j dp_j).")
def adds_the_row_sum(p, dp):
    return p * (dp + (p * dp).sum(-1, keepdims=True))


@softmax_backward.misconception("Upside down: a larger dp_i makes a larger ds_i.")
def turns_the_sign(p, dp):
    return p * ((p * dp).sum(-1, keepdims=True) - dp)


@softmax_backward.misconception(
    "p is a softmax already, and the row of a query without keys is 0: dividing makes it NaN."
)
def divides_by_the_sum_again(p, dp):
    p = p / p.sum(-1, keepdims=True)
    return p * (dp - (p * dp).sum(-1, keepdims=True))


@softmax_backward.misconception("dp is the caller's: compute in an array of your own.")
def writes_over_the_gradient(p, dp):
    dp -= (p * dp).sum(-1, keepdims=True)
    dp *= p
    return dp


@softmax_backward.control
def by_the_derivative_itself(p, dp):
    ds = np.zeros_like(p)
    for at in np.ndindex(p.shape[:-1]):
        ds[at] = (np.diag(p[at]) - np.outer(p[at], p[at])) @ dp[at]
    return ds


@softmax_backward.control
def by_the_weighted_differences(p, dp):
    return (p[..., :, None] * p[..., None, :] * (dp[..., :, None] - dp[..., None, :])).sum(-1)


# ------------------------------------------------------------------------------- the backward

flash_backward = exercise(
    flash_attention.flash_backward,
    nudge="What of the forward's loop can be had again from q, k and lse alone, for any tile?",
    worked={
        "q": np.array([[2.0], [-1.0]]),
        "k": np.array([[0.0], [1.0], [3.0]]),
        "v": np.array([[1.0], [2.0], [6.0]]),
        "o": np.array([[5.87], [1.3]]),
        "lse": np.array([6.02, 0.35]),
        "do": np.array([[1.0], [0.5]]),
        "block_q": 1,
        "block_k": 2,
    },
    seconds=6.0,
)


def with_output(rng, x, **blocks):
    """A head with what the forward saved, and the gradient with respect to its output."""
    found = flash_attention.flash_forward(**x, **blocks)
    do = rng.normal(size=x["q"].shape) + rng.uniform(0.5, 1.5, x["q"].shape[1])
    return x | {"o": found.o, "lse": found.lse, "do": do} | blocks


@flash_backward.check(points=2)
def test_the_gradients_of_any_tiling_are_those_of_softmax_attention(rng):
    for n, m, d in ((5, 9, 3), (12, 7, 4), (1, 10, 3), (8, 6, 1)):
        yield with_output(rng, head(rng, n, m, d), **blocks_of(*sizes(rng, 2, 6, 2)))
    yield with_output(rng, head(rng, 6, 8, 5), **blocks_of(3, 4))
    yield with_output(rng, head(rng, 3, 11, 2), **blocks_of(1, 1))
    yield with_output(rng, head(rng, 4, 5, 7), **blocks_of(16, 8))


@flash_backward.check(points=1)
def test_large_scores_are_weighed_by_the_log_sum_exp_that_was_saved(rng):
    for size in (20.0, -20.0, 600.0, 1e4, -1e4):
        n, m, d = int(rng.integers(5, 9)), int(rng.integers(10, 17)), int(rng.integers(2, 5))
        x = rising(rng, n, m, d, 1.0)
        x["q"][:, 0] *= size  # and the keys stay small: so do the gradients of the queries
        yield with_output(rng, x, **blocks_of(3, 4))


@flash_backward.check(points=1)
def test_hidden_keys_and_queries_that_see_none_have_no_part_in_any_gradient(rng):
    """hidden keys, and queries that see no key, have no part in any gradient"""
    for n, m, d in ((5, 9, 3), (7, 8, 2), (13, 14, 4), (9, 5, 3), (14, 4, 2), (7, 1, 2)):
        yield with_output(rng, head(rng, n, m, d, 4.0), **blocks_of(*sizes(rng, 2, 6, 2), True))
    yield with_output(rng, head(rng, 9, 12, 2, 4.0), **blocks_of(1, 1, True))


@flash_backward.check(points=2, slow=("q", "k", "v"))
def test_a_pair_of_tiles_that_sees_something_is_read_once_in_each_pass_and_no_other_is(rng):
    """a pair of tiles that sees something is read once in each pass, and no other is read"""
    n, m, d = sizes(rng, 9, 21, 3)
    yield with_output(rng, head(rng, n, m, d), **blocks_of(*sizes(rng, 3, 6, 2)))
    for block_q, block_k, d in ((2, 3, 4), (3, 2, 1), (1, 4, 2)):
        tiles_seen = block_k * int(rng.integers(2, 4))
        m = tiles_seen + block_k * int(rng.integers(1, 3)) + int(rng.integers(block_k))
        n = block_q + m - tiles_seen
        x = head(rng, n, m, d if d not in (n, m) else 23)
        case = with_output(rng, x, **blocks_of(block_q, block_k, True))
        case["do"][:block_q] = np.nan
        yield case
        n, m, _, j = edge(rng, block_q, block_k)
        x = head(rng, n, m, d if d not in (n, m) else 23)
        case = with_output(rng, x, **blocks_of(block_q, block_k, True))
        case["v"][j : j + block_k] = np.nan
        yield case


def some_tiles_and_gradients(q, k, v, o, lse, do, block_q, block_k, causal=False):
    """Bytes: twice the answer with delta, and room for a dozen tiles."""
    answer = len(q) * (q.shape[1] + 1) + 2 * k.size
    return 16 * answer + 96 * block_q * block_k + 24_000


@flash_backward.check(points=1, peak=some_tiles_and_gradients)
def test_no_array_but_the_gradients_is_larger_than_a_tile(rng):
    """beside the gradients it holds no array that is larger than a tile"""
    d = int(rng.integers(1, 3))
    yield with_output(rng, head(rng, 304, 55 + d, d), **blocks_of(10, 30))
    yield with_output(rng, head(rng, 40, 320 + d, d), **blocks_of(20, 16, True))


def learners_gradients(
    q, k, v, o, lse, do, block_q, block_k, causal,
    *, delta=None, scale_q=1, scale_k=1, ahead=0, probabilities=None, visit=None, add=np.add,
    score_of_v=False, guard=True, tile_delta=False,
):  # fmt: skip
    """The backward over tiles as a learner writes it, with one thing or another gone wrong.

    delta   from o and do                    scale_  the power of 1/√D in dq and dk
    ahead   how far the mask is off          probabilities  from the scores of a tile and lse
    visit   whether a pair of tiles is       add     a tile's part to the sum so far
    """
    n, m, d = len(q), len(k), q.shape[1]
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    delta = (o * do).sum(1) if delta is None else delta
    seen = attention_tiles.visible_tiles(n, m, block_q, block_k, causal).seen
    visit = visit or (lambda i, j: j < seen[i])
    for t, i in enumerate(range(0, n, block_q)):
        for u, j in enumerate(range(0, m, block_k)):
            if not visit(t, u):
                continue
            a, b = np.arange(i, min(i + block_q, n)), np.arange(j, min(j + block_k, m))
            q_a, k_b = q[a], k[b]
            s = q_a @ k_b.T / d**0.5
            if causal:
                s = np.where(b <= a[:, None] + m - n + ahead, s, -np.inf)
            c = np.where(lse[a] == -np.inf, 0, lse[a]) if guard else lse[a]
            p = np.exp(s - c[:, None]) if probabilities is None else probabilities(s, lse[a])
            dp = do[a] @ v[b].T
            ds = p * (dp - ((p * dp).sum(1) if tile_delta else delta[a])[:, None])
            dq[a] = add(dq[a], ds @ k_b / d ** (0.5 * scale_q))
            dk[b] = add(dk[b], ds.T @ q_a / d ** (0.5 * scale_k))
            dv[b] = add(dv[b], (ds if score_of_v else p).T @ do[a])
    return Gradients(dq, dk, dv)


@flash_backward.misconception(
    "Through softmax goes p (dp - δ): without δ each probability would move alone."
)
def leaves_delta_out(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, delta=np.zeros(len(q))
    )  # fmt: skip


@flash_backward.misconception("δ is Σ_d o do of each query, and not Σ_d o².")
def takes_delta_from_the_output_alone(q, k, v, o, lse, do, block_q, block_k, causal=False):
    delta = (o * o).sum(1)
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, delta=delta)


@flash_backward.misconception("δ is one number a query, Σ_d o do: no mean over the head dimension.")
def takes_the_mean_for_delta(q, k, v, o, lse, do, block_q, block_k, causal=False):
    delta = (o * do).mean(1)
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, delta=delta)


@flash_backward.misconception("Each query has its own δ: sum over d, not over all queries.")
def takes_one_delta_for_all_queries(q, k, v, o, lse, do, block_q, block_k, causal=False):
    delta = np.full(len(q), (o * do).sum())
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, delta=delta)


@flash_backward.misconception(
    "Σ_j p_j dp_j runs over all keys of the row, and a tile has a few. δ = Σ_d o do has them all."
)
def sums_delta_over_the_tile(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, tile_delta=True)


@flash_backward.misconception("The scores are q·k / √D: dk has the factor 1/√D as well as dq.")
def forgets_the_scale_of_dk(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, scale_k=0)


@flash_backward.misconception("The scores are q·k / √D: dq has the factor 1/√D as well as dk.")
def forgets_the_scale_of_dq(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, scale_q=0)


@flash_backward.misconception("The scores are q·k / √D: dq and dk both have the factor 1/√D.")
def forgets_the_scale_of_both(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, scale_q=0, scale_k=0
    )  # fmt: skip


@flash_backward.misconception("1/√D twice: it is in ds once, or in dq and dk once.")
def scales_twice(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, scale_q=2, scale_k=2
    )  # fmt: skip


@flash_backward.misconception("dv is Pᵀ dO: the values are weighed by p; ds belongs to q and k.")
def gives_dv_from_ds(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, score_of_v=True)


def softmax_of_a_tile(s, lse):
    most = s.max(1, keepdims=True)
    p = np.exp(s - np.where(most == -np.inf, 0, most))
    return p / np.maximum(p.sum(1, keepdims=True), 1e-300)


@flash_backward.misconception(
    "That is the softmax of a tile, which sums to 1 in each. P of the whole row is exp(s - lse)."
)
def takes_the_softmax_of_each_tile(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, probabilities=softmax_of_a_tile
    )  # fmt: skip


@flash_backward.misconception("exp(s) / exp(lse) overflows: subtract first, exp(s - lse).")
def divides_by_the_exponential_of_lse(q, k, v, o, lse, do, block_q, block_k, causal=False):
    def quotient(s, lse):
        total = np.exp(lse)[:, None]
        return np.exp(s) / np.where(total == 0, 1, total)

    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, probabilities=quotient
    )  # fmt: skip


@flash_backward.misconception("lse is a logarithm: P = exp(s - lse), not exp(s) / lse.")
def divides_by_lse(q, k, v, o, lse, do, block_q, block_k, causal=False):
    def quotient(s, lse):
        return np.exp(s) / np.where(np.isinf(lse), 1, lse)[:, None]

    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, probabilities=quotient
    )  # fmt: skip


@flash_backward.misconception(
    "The mask of the forward holds for the backward: a hidden key's p is 0."
)
def forgets_the_causal_mask(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, False)


@flash_backward.misconception(
    "That aligns query 0 with key 0. The last query sees all keys: query i stands at i + M - N."
)
def aligns_the_backward_top_left(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal,
        ahead=len(q) - len(k), visit=lambda i, j: True,
    )  # fmt: skip


@flash_backward.misconception(
    "A query without keys has lse = -∞, and -∞ - (-∞) is NaN: its p is 0."
)
def gives_nan_where_lse_is_infinite(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, guard=False)


@flash_backward.misconception(
    "Every pair of tiles adds its part: dq gets one from each tile of keys, dk and dv from queries."
)
def keeps_the_last_tiles_part_alone(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, add=lambda so_far, part: part
    )  # fmt: skip


@flash_backward.misconception("A tile on the edge of the mask is seen in part: visit it too.")
def skips_tiles_on_the_edge(q, k, v, o, lse, do, block_q, block_k, causal=False):
    full = attention_tiles.visible_tiles(len(q), len(k), block_q, block_k, causal).full
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, visit=lambda i, j: j < full[i]
    )  # fmt: skip


@flash_backward.misconception(
    "Pairs of tiles that see nothing are masked here, but visited: pass them over."
)
def visits_pairs_that_see_nothing(q, k, v, o, lse, do, block_q, block_k, causal=False):
    return learners_gradients(
        q, k, v, o, lse, do, block_q, block_k, causal, visit=lambda i, j: True
    )  # fmt: skip


@flash_backward.misconception("δ is subtracted: ds = p (dp - δ).")
def adds_delta(q, k, v, o, lse, do, block_q, block_k, causal=False):
    delta = -(o * do).sum(1)
    return learners_gradients(q, k, v, o, lse, do, block_q, block_k, causal, delta=delta)


@flash_backward.misconception("Gradients(dq, dk, dv): dK = dSᵀ Q comes before dV = Pᵀ dO.")
def swaps_dk_and_dv(q, k, v, o, lse, do, block_q, block_k, causal=False):
    found = flash_attention.flash_backward(q, k, v, o, lse, do, block_q, block_k, causal)
    return Gradients(found.dq, found.dv, found.dk)


@flash_backward.misconception(
    "Both passes need the mask, that for dk and dv as well as that for dq."
)
def masks_one_pass_alone(q, k, v, o, lse, do, block_q, block_k, causal=False):
    masked, plain = (
        learners_gradients(q, k, v, o, lse, do, block_q, block_k, c) for c in (causal, False)
    )
    return Gradients(masked.dq, plain.dk, plain.dv)


@flash_backward.misconception(
    "Right, but P of all N x M pairs lies in memory at once. Recompute it tile by tile."
)
def makes_all_probabilities_at_once(q, k, v, o, lse, do, block_q, block_k, causal=False):
    found = flash_attention.flash_backward(q, k, v, o, lse, do, block_q, block_k, causal)
    ahead = len(k) - len(q) if causal else None
    ds = flash_attention.recompute(q, k, v, do, lse, (o * do).sum(1), ahead)[1]
    return Gradients(ds @ k, found.dk, found.dv)


@flash_backward.misconception(
    "A tile has block_q queries: with all N of them at once a tile of keys has N x block_k pairs."
)
def takes_all_queries_at_once_again(q, k, v, o, lse, do, block_q, block_k, causal=False):
    n, m = len(q), len(k)
    found = Gradients(np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape))
    delta = (o * do).sum(1)
    for j in range(0, m, block_k):
        first = max(j + n - m, 0) // block_q * block_q if causal else 0
        rows, cols = slice(first, n), slice(j, j + block_k)
        ahead = first + m - n - j if causal else None
        a, b = (x[cols] for x in (k, v))
        p, ds = flash_attention.recompute(q[rows], a, b, do[rows], lse[rows], delta[rows], ahead)
        found.dq[rows] += ds @ a
        found.dk[cols], found.dv[cols] = ds.T @ q[rows], p.T @ do[rows]
    return found


def two_passes(q, k, v, block_q, block_k, causal, part):
    """Both passes, from the last tile to the first; part(tiles of q, k, v, i, j) -> P, dS / √D."""
    n, m = len(q), len(k)
    found = Gradients(np.empty_like(q), np.empty_like(k), np.empty_like(v))
    i_s, j_s = (range(0, size, block)[::-1] for size, block in ((n, block_q), (m, block_k)))

    def seen(i, j):
        return not causal or j < min(i + block_q, n) + m - n

    for j in j_s:
        kj, vj = k[j : j + block_k], v[j : j + block_k]
        dk, dv = np.zeros_like(kj), np.zeros_like(vj)
        for i in filter(lambda i, j=j: seen(i, j), i_s):
            qi = q[i : i + block_q]
            p, ds, do = part(qi, kj, vj, i, j)
            dk += ds.T @ qi
            dv += p.T @ do
        found.dk[j : j + block_k], found.dv[j : j + block_k] = dk, dv
    for i in i_s:
        qi = q[i : i + block_q]
        dq = np.zeros_like(qi)
        for j in filter(lambda j, i=i: seen(i, j), j_s):
            kj = k[j : j + block_k]
            dq += part(qi, kj, v[j : j + block_k], i, j)[1] @ kj
        found.dq[i : i + block_q] = dq
    return found


@flash_backward.control
def backward_from_the_last_tile(q, k, v, o, lse, do, block_q, block_k, causal=False):
    root, ahead = np.sqrt(q.shape[1]), len(k) - len(q)

    def part(qi, kj, vj, i, j):
        rows = slice(i, i + len(qi))
        s = (qi / root) @ kj.T
        if causal:
            s[~np.tri(*s.shape, i + ahead - j, dtype=bool)] = -np.inf
        p = np.exp(s - np.nan_to_num(lse[rows], neginf=0.0)[:, None])
        delta = np.einsum("nd,nd->n", o[rows], do[rows])
        return p, p * (do[rows] @ vj.T - delta[:, None]) / root, do[rows]

    return two_passes(q, k, v, block_q, block_k, causal, part)


@flash_backward.control
def backward_query_by_query(q, k, v, o, lse, do, block_q, block_k, causal=False):
    root, ahead = q.shape[1] ** 0.5, len(k) - len(q)

    def part(qi, kj, vj, i, j):
        p, ds = np.zeros((len(qi), len(kj))), np.zeros((len(qi), len(kj)))
        for r in range(len(qi)):
            end = max(i + r + 1 + ahead - j, 0) if causal else len(kj)
            if kj[:end].size:
                p[r, :end] = np.exp(kj[:end] @ qi[r] / root - lse[i + r])
                ds[r, :end] = p[r, :end] * ((vj[:end] - o[i + r]) @ do[i + r]) / root
        return p, ds, do[i : i + len(qi)]

    return two_passes(q, k, v, block_q, block_k, causal, part)
