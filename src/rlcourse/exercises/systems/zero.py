"""The six exercises of the ZeRO chapter: states of a rank, rows of a rank, bytes that a collective
sends, the KV cache, activations of a layer, the peak of a step.

Every answer is a whole number of bytes or rows. Sizes differ and vary, and stay small enough for
one byte to show.
"""

from fractions import Fraction
from math import ceil

from rlcourse.grading import exercise
from rlcourse.systems import zero


def whole(rng, low, high):
    """A whole number from low to high."""
    return int(rng.integers(low, high + 1))


def apart(rng, low, high, number):
    """Different whole numbers from low to high, in no order."""
    return [low + int(x) for x in rng.choice(high - low + 1, number, replace=False)]


def divisible(rng, low, high, by):
    """A multiple of `by`."""
    return by * whole(rng, -(-low // by), high // by)


def indivisible(rng, low, high, by):
    """What is no multiple of `by`."""
    return divisible(rng, low, high, by) + whole(rng, 1, by - 1)


# ------------------------------------------------------------------------------- states of a rank

state_bytes = exercise(
    zero.state_bytes,
    nudge="How many elements of each state does the rank hold: all P, or one share of W?",
    worked={
        "parameters": 10,
        "ranks": 4,
        "stage": 2,
        "weights": 2,
        "gradients": 2,
        "optimizer": 12,
    },
)

RECIPES = (  # bytes of weights, gradients, and what the optimizer keeps
    (2, 2, 12),  # bf16, with Adam
    (2, 4, 12),  # the same with gradients in fp32
    (4, 4, 8),  # fp32, with Adam
    (2, 4, 4),  # bf16, with SGD: the master weights alone
    (2, 2, 6),  # bf16, with 8-bit Adam
)
STATES = ("weights", "gradients", "optimizer")


def recipe(rng):
    """Bytes per parameter: different ones for each state, of no particular optimizer."""
    return dict(zip(STATES, apart(rng, 1, 16, 3), strict=True))


@state_bytes.check(points=2)
def test_each_stage_cuts_one_more_of_the_states(rng):
    """each stage cuts one more: the optimizer's, then the gradients, then the weights"""
    for stage in range(4):
        ranks = whole(rng, 2, 16)
        parameters = divisible(rng, 500, 20_000, ranks)
        yield {"parameters": parameters, "ranks": ranks, "stage": stage} | recipe(rng)


@state_bytes.check(points=1)
def test_bytes_of_weights_gradients_and_optimizer_are_those_of_the_recipe(rng):
    for stage, sizes in zip((0, 1, 2, 3, 0), RECIPES, strict=True):
        ranks = whole(rng, 2, 16)
        case = {"parameters": divisible(rng, 500, 20_000, ranks), "ranks": ranks}
        yield case | {"stage": stage} | dict(zip(STATES, sizes, strict=True))
    yield case | {"stage": 2, "weights": 2, "gradients": 4, "optimizer": 12}
    yield case | {"stage": 1, "weights": 2, "gradients": 2, "optimizer": 0}
    yield case | {"stage": 3, "weights": 2, "gradients": 0, "optimizer": 0}
    yield case | {"stage": 2, "weights": 0, "gradients": 4, "optimizer": 12}


@state_bytes.check(points=2)
def test_a_share_is_padded_to_whole_elements(rng):
    """a share is padded to whole elements, and what isn't cut is not padded"""
    for stage in range(4):
        ranks = whole(rng, 3, 16)
        parameters = indivisible(rng, 500, 20_000, ranks)
        yield {"parameters": parameters, "ranks": ranks, "stage": stage} | recipe(rng)
    few, many = sorted(apart(rng, 2, 30, 2))
    yield {"parameters": few, "ranks": many, "stage": 3} | recipe(rng)
    yield {"parameters": few, "ranks": 1, "stage": 2} | recipe(rng)


@state_bytes.check(points=1)
def test_no_rank_no_parameter_an_unknown_stage_and_negative_bytes_are_refused(rng):
    """no rank, no parameter, an unknown stage and negative bytes raise ValueError"""
    for fault in (
        {},
        {"ranks": 0},
        {"ranks": -2},
        {"parameters": 0},
        {"parameters": -whole(rng, 1, 99)},
        {"stage": 4},
        {"stage": -1},
        {"weights": -1},
        {"gradients": -1},
        {"optimizer": -1},
    ):
        case = {"parameters": whole(rng, 100, 999), "ranks": whole(rng, 2, 9)}
        yield case | {"stage": whole(rng, 0, 3)} | recipe(rng) | fault


def refuse_states(parameters, ranks, stage, weights, gradients, optimizer):
    if min(parameters, ranks) < 1 or stage not in range(4):
        raise ValueError("parameters, ranks or stage")
    if min(weights, gradients, optimizer) < 0:
        raise ValueError("bytes")


def held(share, parameters, stage, first=(3, 2, 1)):
    """Elements of weights, gradients and the optimizer's, the first stage that cuts each given."""
    return [share if stage >= cuts else parameters for cuts in first]


def states(parameters, ranks, stage, *sizes, share=None, first=(3, 2, 1)):
    refuse_states(parameters, ranks, stage, *sizes)
    share = -(-parameters // ranks) if share is None else share
    elements = held(share, parameters, stage, first)
    return sum(n * size for n, size in zip(elements, sizes, strict=True))


@state_bytes.misconception(
    "The optimizer keeps a master weight beside two moments: 4 + 8 = 12 bytes, not 8. And other "
    "optimizers keep other numbers: take the argument."
)
def forgets_the_master_weights(parameters, ranks, stage, weights, gradients, optimizer):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    return zero.state_bytes(parameters, ranks, stage, weights, gradients, 8)


@state_bytes.misconception("12 bytes are Adam's beside 16-bit weights: take the argument.")
def counts_12_bytes_for_any_optimizer(parameters, ranks, stage, weights, gradients, optimizer):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    return zero.state_bytes(parameters, ranks, stage, weights, gradients, 12)


@state_bytes.misconception(
    "Gradients may be kept in 32 bits beside 16-bit weights: they have a size of their own."
)
def takes_gradients_for_as_large_as_weights(
    parameters, ranks, stage, weights, gradients, optimizer
):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    return zero.state_bytes(parameters, ranks, stage, weights, weights, optimizer)


@state_bytes.misconception("Gradients in 32 bits are one recipe of many: take the argument.")
def counts_gradients_in_32_bits(parameters, ranks, stage, weights, gradients, optimizer):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    return zero.state_bytes(parameters, ranks, stage, weights, 4, optimizer)


@state_bytes.misconception("Stage 2 cuts gradients, not weights: only stage 3 cuts those.")
def cuts_the_weights_at_stage_2(parameters, ranks, stage, weights, gradients, optimizer):
    return states(parameters, ranks, stage, weights, gradients, optimizer, first=(2, 2, 1))


@state_bytes.misconception("Stage 1 cuts what the optimizer keeps alone: gradients wait for 2.")
def cuts_the_gradients_at_stage_1(parameters, ranks, stage, weights, gradients, optimizer):
    return states(parameters, ranks, stage, weights, gradients, optimizer, first=(3, 1, 1))


@state_bytes.misconception(
    "At stage 3 a rank keeps its share of the weights; it fetches a layer's when it needs them."
)
def never_cuts_the_weights(parameters, ranks, stage, weights, gradients, optimizer):
    return states(parameters, ranks, stage, weights, gradients, optimizer, first=(4, 2, 1))


@state_bytes.misconception("Stages add up: what stage 1 cuts stays cut at stages 2 and 3.")
def cuts_one_state_alone(parameters, ranks, stage, weights, gradients, optimizer):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    share = -(-parameters // ranks)
    n = [share if stage == cuts else parameters for cuts in (3, 2, 1)]
    return weights * n[0] + gradients * n[1] + optimizer * n[2]


@state_bytes.misconception("Stages count from 0, where nothing is cut: the first cut is stage 1's.")
def begins_to_cut_at_stage_0(parameters, ranks, stage, weights, gradients, optimizer):
    return states(parameters, ranks, stage, weights, gradients, optimizer, first=(2, 1, 0))


@state_bytes.misconception("Asked for is what one rank keeps, not the sum over all of them.")
def adds_all_ranks_up(parameters, ranks, stage, weights, gradients, optimizer):
    return ranks * zero.state_bytes(parameters, ranks, stage, weights, gradients, optimizer)


@state_bytes.misconception("The last elements belong to somebody: round the share up, ⌈P/W⌉.")
def rounds_the_share_down(parameters, ranks, stage, weights, gradients, optimizer):
    sizes = weights, gradients, optimizer
    return states(parameters, ranks, stage, *sizes, share=parameters // max(ranks, 1))


@state_bytes.misconception("There is no half of a byte: a share is a whole number, ⌈P/W⌉.")
def divides_into_fractions(parameters, ranks, stage, weights, gradients, optimizer):
    sizes = weights, gradients, optimizer
    refuse_states(parameters, ranks, stage, *sizes)
    return states(parameters, ranks, stage, *sizes, share=parameters / ranks)


@state_bytes.misconception("Elements are cut, not bytes: round P/W up before you multiply.")
def pads_bytes_in_place_of_elements(parameters, ranks, stage, weights, gradients, optimizer):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    sizes = zip((weights, gradients, optimizer), (3, 2, 1), strict=True)
    return sum(-(-parameters * n // (ranks if stage >= first else 1)) for n, first in sizes)


@state_bytes.misconception("Padding fills the shares up; what isn't cut has P elements, no more.")
def pads_what_is_not_cut(parameters, ranks, stage, weights, gradients, optimizer):
    sizes = weights, gradients, optimizer
    refuse_states(parameters, ranks, stage, *sizes)
    share = -(-parameters // ranks)
    return states(ranks * share, ranks, stage, *sizes)


@state_bytes.misconception("Bytes are asked for, a whole number: no GiB, no GB.")
def answers_in_gib(parameters, ranks, stage, weights, gradients, optimizer):
    return zero.state_bytes(parameters, ranks, stage, weights, gradients, optimizer) / zero.GIB


@state_bytes.misconception(
    "A stage of 4, no rank or a negative number is a slip of whoever asks: raise ValueError."
)
def believes_any_sizes(parameters, ranks, stage, weights, gradients, optimizer):
    n3, n2, n1 = held(-(-parameters // ranks), parameters, stage)
    return weights * n3 + gradients * n2 + optimizer * n1


@state_bytes.control
def states_by_the_stage(parameters, ranks, stage, weights, gradients, optimizer):
    if parameters < 1 or ranks < 1 or min(weights, gradients, optimizer) < 0:
        raise ValueError("sizes")
    share = (parameters + ranks - 1) // ranks
    if stage == 0:
        return (weights + gradients + optimizer) * parameters
    if stage == 1:
        return (weights + gradients) * parameters + optimizer * share
    if stage == 2:
        return weights * parameters + (gradients + optimizer) * share
    if stage == 3:
        return (weights + gradients + optimizer) * share
    raise ValueError("stage")


@state_bytes.control
def states_by_exact_fractions(parameters, ranks, stage, weights, gradients, optimizer):
    refuse_states(parameters, ranks, stage, weights, gradients, optimizer)
    n = [ceil(Fraction(parameters, ranks if stage >= first else 1)) for first in (3, 2, 1)]
    return weights * n[0] + gradients * n[1] + optimizer * n[2]


# ------------------------------------------------------------------------------- rows of a rank

rows_of = exercise(
    zero.rows_of,
    nudge="Deal ⌈rows/W⌉ rows to one rank after another. What is left for the last ones?",
    worked={"rows": 9, "ranks": 6},
)


@rows_of.check(points=1)
def test_rows_that_divide_go_to_all_ranks_alike(rng):
    for _ in range(3):
        ranks, each = apart(rng, 2, 9, 2)
        yield {"rows": ranks * each, "ranks": ranks}
    yield {"rows": whole(rng, 2, 50), "ranks": 1}


@rows_of.check(points=2)
def test_the_first_ranks_get_the_share_rounded_up_and_the_last_what_is_left(rng):
    for _ in range(3):
        ranks = whole(rng, 3, 9)
        last = whole(rng, 1, 4)
        yield {"rows": (last + whole(rng, 2, 30)) * (ranks - 1) + last, "ranks": ranks}
    for rows, ranks in ((17, 3), (50257, 8), (1000, 7), (10, 4)):
        yield {"rows": rows, "ranks": ranks}


@rows_of.check(points=2)
def test_the_last_ranks_may_get_no_row_and_are_named_all_the_same(rng):
    for _ in range(3):
        few, many = sorted(apart(rng, 1, 20, 2))
        yield {"rows": few, "ranks": many}
    for rows, ranks in ((9, 6), (5, 4), (17, 8), (33, 16)):
        yield {"rows": rows, "ranks": ranks}


@rows_of.check(points=1)
def test_no_rows_and_no_ranks_are_refused(rng):
    """no rows, no ranks and negative numbers of them raise ValueError"""
    for fault in ({}, {"rows": 0}, {"rows": -3}, {"ranks": 0}, {"ranks": -whole(rng, 1, 9)}):
        yield {"rows": whole(rng, 20, 90), "ranks": whole(rng, 2, 9)} | fault


def refuse_rows(rows, ranks):
    if min(rows, ranks) < 1:
        raise ValueError("rows or ranks")


@rows_of.misconception(
    "That deals what is left over one by one, as np.array_split does. Here, as in torch.chunk, all "
    "ranks but the last with rows get ⌈rows/W⌉."
)
def spreads_what_is_left_over(rows, ranks):
    refuse_rows(rows, ranks)
    return [rows // ranks + (rank < rows % ranks) for rank in range(ranks)]


@rows_of.misconception("Rounded down, the last rank has to take all that is left: round up.")
def leaves_the_rest_to_the_last(rows, ranks):
    refuse_rows(rows, ranks)
    share = rows // ranks
    return [share] * (ranks - 1) + [rows - share * (ranks - 1)]


@rows_of.misconception("Rounded down, some rows belong to nobody: the answer sums to `rows`.")
def loses_the_rows_left_over(rows, ranks):
    refuse_rows(rows, ranks)
    return [rows // ranks] * ranks


@rows_of.misconception("Here nothing is padded: the last ranks hold only the rows that are left.")
def pads_all_ranks_alike(rows, ranks):
    refuse_rows(rows, ranks)
    return [-(-rows // ranks)] * ranks


@rows_of.misconception("A rank without rows is a rank all the same: it stands in the list with 0.")
def leaves_out_ranks_without_rows(rows, ranks):
    return [mine for mine in zero.rows_of(rows, ranks) if mine]


@rows_of.misconception("Beyond the last row nothing is left: 0 rows, no negative number.")
def counts_rows_below_zero(rows, ranks):
    refuse_rows(rows, ranks)
    share = -(-rows // ranks)
    return [min(share, rows - rank * share) for rank in range(ranks)]


@rows_of.misconception("The smaller share is the last one's, not the first one's.")
def begins_with_the_smallest(rows, ranks):
    return zero.rows_of(rows, ranks)[::-1]


@rows_of.misconception("How many rows a rank has was asked, not with which row its share begins.")
def gives_where_each_share_begins(rows, ranks):
    refuse_rows(rows, ranks)
    share = -(-rows // ranks)
    return [min(rank * share, rows) for rank in range(ranks)]


@rows_of.misconception("Without rows or ranks there is nothing to cut: raise ValueError.")
def believes_any_rows(rows, ranks):
    share = -(-rows // ranks)
    return [min(share, max(0, rows - rank * share)) for rank in range(ranks)]


@rows_of.control
def deals_row_by_row(rows, ranks):
    refuse_rows(rows, ranks)
    held_by = [0] * ranks
    for row in range(rows):
        held_by[row // ceil(Fraction(rows, ranks))] += 1
    return held_by


@rows_of.control
def takes_from_what_is_left(rows, ranks):
    refuse_rows(rows, ranks)
    share, held_by = (rows + ranks - 1) // ranks, []
    for _ in range(ranks):
        held_by.append(share if rows > share else rows)
        rows -= held_by[-1]
    return held_by


# ------------------------------------------------------------------------------- what is sent

sent_bytes = exercise(
    zero.sent_bytes,
    nudge="In a ring each rank hands a share on at every step. How many steps until each share has "
    "been everywhere? And how many times around is an all-reduce?",
    worked={"collective": "all_reduce", "payload": 10, "ranks": 4},
)

SINGLE = ("reduce_scatter", "all_gather")


@sent_bytes.check(points=2)
def test_a_reduce_scatter_or_an_all_gather_sends_all_shares_but_one(rng):
    for collective in SINGLE * 2:
        ranks = whole(rng, 3, 16)
        yield {
            "collective": collective,
            "payload": divisible(rng, 500, 90_000, ranks),
            "ranks": ranks,
        }


@sent_bytes.check(points=2)
def test_an_all_reduce_sends_as_much_as_a_reduce_scatter_and_an_all_gather(rng):
    for _ in range(3):
        ranks = whole(rng, 3, 16)
        payload = divisible(rng, 500, 90_000, ranks)
        yield {"collective": "all_reduce", "payload": payload, "ranks": ranks}
    for collective in SINGLE:
        yield {"collective": collective, "payload": payload, "ranks": ranks}


@sent_bytes.check(points=1)
def test_shares_that_are_sent_are_padded_to_whole_bytes(rng):
    for collective in (*SINGLE, "all_reduce"):
        ranks = whole(rng, 3, 16)
        yield {
            "collective": collective,
            "payload": indivisible(rng, 100, 9000, ranks),
            "ranks": ranks,
        }
    few, many = sorted(apart(rng, 2, 30, 2))
    yield {"collective": "all_reduce", "payload": few, "ranks": many}


@sent_bytes.check(points=1)
def test_a_rank_alone_sends_nothing_and_one_of_two_a_half(rng):
    for collective in (*SINGLE, "all_reduce"):
        for ranks in (1, 2):
            payload = divisible(rng, 100, 9000, 2)
            yield {"collective": collective, "payload": payload, "ranks": ranks}


@sent_bytes.check(points=1)
def test_another_collective_no_payload_and_no_rank_are_refused(rng):
    """another collective, no payload and no rank raise ValueError"""
    for fault in (
        {},
        {"collective": "broadcast"},
        {"collective": "allreduce"},
        {"collective": "gossip", "ranks": 1},
        {"payload": 0, "ranks": 1},
        {"payload": 0},
        {"payload": -whole(rng, 1, 99)},
        {"ranks": 0},
        {"ranks": -1},
    ):
        case = {"payload": whole(rng, 100, 999), "ranks": whole(rng, 2, 9)}
        yield {"collective": SINGLE[whole(rng, 0, 1)]} | case | fault


def refuse_sent(collective, payload, ranks):
    if collective not in (*SINGLE, "all_reduce") or min(payload, ranks) < 1:
        raise ValueError("collective, payload or ranks")


def times(collective):
    return 2 if collective == "all_reduce" else 1


@sent_bytes.misconception(
    "An all-reduce goes around twice: sums are gathered, share by share, then handed to everybody."
)
def counts_an_all_reduce_once(collective, payload, ranks):
    return zero.sent_bytes(collective, payload, ranks) // times(collective)


@sent_bytes.misconception("A rank keeps one of its W shares: it sends W − 1 of them.")
def sends_its_own_share_too(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    return times(collective) * ranks * -(-payload // ranks)


@sent_bytes.misconception("The factor is (W − 1)/W, below 1: a rank sends less than the payload.")
def turns_the_factor_upside_down(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    return times(collective) * payload * ranks // (ranks - 1)


@sent_bytes.misconception("Asked for is what one rank sends, not the sum over all of them.")
def adds_up_what_all_ranks_send(collective, payload, ranks):
    return ranks * zero.sent_bytes(collective, payload, ranks)


@sent_bytes.misconception(
    "In a ring shares are handed on: no rank sends the whole tensor to each of the others."
)
def sends_everything_to_everybody(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    return (ranks - 1) * payload


@sent_bytes.misconception("What a rank receives is sent by another: count what it sends alone.")
def counts_what_is_received_too(collective, payload, ranks):
    return 2 * zero.sent_bytes(collective, payload, ranks)


@sent_bytes.misconception(
    "payload is the whole tensor, after it was gathered: the share of a rank is ⌈payload/W⌉."
)
def takes_the_payload_of_a_gather_for_a_share(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    share = payload if collective == "all_gather" else -(-payload // ranks)
    return times(collective) * (ranks - 1) * share


@sent_bytes.misconception("The last bytes have to be sent as well: round the share up, ⌈·/W⌉.")
def rounds_what_is_sent_down(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    return times(collective) * (ranks - 1) * (payload // ranks)


@sent_bytes.misconception("Each share is padded by itself: round up before you multiply by W − 1.")
def rounds_after_multiplying(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    return -(-times(collective) * (ranks - 1) * payload // ranks)


@sent_bytes.misconception("The answer is a whole number of bytes: shares are rounded up, ⌈·/W⌉.")
def sends_fractions_of_a_byte(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    return times(collective) * (ranks - 1) * payload / ranks


@sent_bytes.misconception("A name that isn't known, no payload or no rank: raise ValueError.")
def believes_any_collective(collective, payload, ranks):
    return times(collective) * (ranks - 1) * -(-payload // ranks)


@sent_bytes.control
def sends_step_by_step(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    share, sent = ceil(Fraction(payload, ranks)), 0
    for _ in range(times(collective)):
        for _step in range(ranks - 1):
            sent += share
    return sent


@sent_bytes.control
def sends_the_padded_payload_but_one_share(collective, payload, ranks):
    refuse_sent(collective, payload, ranks)
    padded = payload + -payload % ranks
    once = padded - padded // ranks
    return once + once if collective == "all_reduce" else once


# ------------------------------------------------------------------------------- KV cache

kv_cache_bytes = exercise(
    zero.kv_cache_bytes,
    nudge="What does a layer keep of each token for those that come later, and for how many heads?",
    worked={"tokens": 3, "layers": 2, "kv_heads": 2, "head_dim": 4, "element": 2, "heads": 8},
)


def model(rng, group=1):
    """A small model; each head of keys serves `group` heads of queries."""
    layers, kv_heads, head_dim = apart(rng, 2, 12, 3)
    sizes = {"layers": layers, "kv_heads": kv_heads, "head_dim": 8 * head_dim}
    return sizes | {"heads": group * kv_heads}


@kv_cache_bytes.check(points=2)
def test_the_cache_keeps_keys_and_values_of_every_token_in_every_layer(rng):
    for element in (2, 2, 4):
        yield {"tokens": whole(rng, 13, 300), "element": element} | model(rng)
    case = model(rng)
    del case["heads"]
    yield {"tokens": 1} | case


@kv_cache_bytes.check(points=2)
def test_grouped_queries_share_their_keys_and_values(rng):
    for group in apart(rng, 2, 8, 3):
        yield {"tokens": whole(rng, 13, 300), "element": 2} | model(rng, group)
    yield {"tokens": 1, "layers": 80, "kv_heads": 8, "head_dim": 128, "heads": 64}


@kv_cache_bytes.check(points=1)
def test_numbers_in_the_cache_take_as_many_bytes_as_they_have(rng):
    for element in (1, 2, 4, 8):
        yield {"tokens": whole(rng, 13, 90), "element": element} | model(rng, whole(rng, 1, 4))


@kv_cache_bytes.check(points=1)
def test_heads_that_no_group_divides_and_sizes_below_1_are_refused(rng):
    """heads that are no multiple of kv_heads, and sizes below 1, raise ValueError"""
    case = {"tokens": whole(rng, 13, 90), "element": 2} | model(rng, 3)
    yield case
    yield case | {"heads": case["heads"] + 1}
    yield case | {"heads": 1}
    yield case | {"heads": 0}
    yield case | {"heads": -case["heads"]}
    for name in case:
        if name != "heads":
            yield case | {name: 0}
            yield case | {name: -whole(rng, 1, 9)}
    yield case | {"tokens": -3, "layers": -2}


def refuse_cache(tokens, layers, kv_heads, head_dim, element, heads):
    if min(tokens, layers, kv_heads, head_dim, element) < 1:
        raise ValueError("sizes")
    if heads is not None and (heads < 1 or heads % kv_heads):
        raise ValueError("heads")


@kv_cache_bytes.misconception("Keys are kept and values too: two numbers, not one.")
def forgets_the_values(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads) // 2


@kv_cache_bytes.misconception(
    "A group of queries shares one head of keys and values: kv_heads are cached, not heads."
)
def ignores_grouped_queries(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    refuse_cache(tokens, layers, kv_heads, head_dim, element, heads)
    return zero.kv_cache_bytes(tokens, layers, heads or kv_heads, head_dim, element)


@kv_cache_bytes.misconception("kv_heads is the number of heads already: no group to divide by.")
def divides_by_the_group_once_more(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    found = zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads)
    return found // ((heads or kv_heads) // kv_heads)


@kv_cache_bytes.misconception("Nobody asks a query again: keys and values are kept alone.")
def keeps_the_queries_too(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    found = zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads)
    return found + tokens * layers * (heads or kv_heads) * head_dim * element


@kv_cache_bytes.misconception("Each layer has keys and values of its own: multiply by layers.")
def counts_one_layer(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads) // layers


@kv_cache_bytes.misconception("That is the cache of one token: multiply by tokens.")
def counts_one_token(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads) // tokens


@kv_cache_bytes.misconception(
    "Scores of all pairs of tokens aren't kept: the cache grows with tokens, not their square."
)
def grows_with_the_square_of_the_tokens(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return tokens * zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads)


@kv_cache_bytes.misconception("That counts numbers: each takes `element` bytes.")
def counts_numbers_for_bytes(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads) // element


@kv_cache_bytes.misconception("16 bits are usual, but the cache may have 8 or 32: take `element`.")
def keeps_16_bits_always(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    refuse_cache(tokens, layers, kv_heads, head_dim, element, heads)
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim)


@kv_cache_bytes.misconception("Bytes are asked for, a whole number: no MiB, no GB.")
def answers_in_mib(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element, heads) / 2**20


@kv_cache_bytes.misconception("kv_heads must divide heads, or some group is smaller: ValueError.")
def believes_any_group(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return zero.kv_cache_bytes(tokens, layers, kv_heads, head_dim, element)


@kv_cache_bytes.misconception("A size below 1 is a slip of whoever asks: raise ValueError.")
def believes_any_cache(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    return 2 * tokens * layers * kv_heads * head_dim * element


@kv_cache_bytes.control
def caches_layer_by_layer(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    refuse_cache(tokens, layers, kv_heads, head_dim, element, heads)
    keys = sum(kv_heads * head_dim * element for _ in range(tokens))
    values = keys
    return sum(keys + values for _ in range(layers))


@kv_cache_bytes.control
def caches_a_share_of_the_heads(tokens, layers, kv_heads, head_dim, element=2, heads=None):
    refuse_cache(tokens, layers, kv_heads, head_dim, element, heads)
    heads = heads or kv_heads
    group = heads // kv_heads
    return (2 * tokens * element * layers * heads * head_dim) // group


# ------------------------------------------------------------------------------- activations

layer_activations = exercise(
    zero.layer_activations,
    nudge="Which tensors does tensor parallelism cut? Those before and after a pair of matrix "
    "products stay whole on every rank, unless the sequence is cut there.",
    worked={"batch": 1, "tokens": 4, "width": 6, "heads": 2, "ranks": 2},
)


def layer(rng, ranks=1):
    """A small layer whose heads, width and tokens `ranks` divides."""
    batch, heads, tokens, width = apart(rng, 2, 11, 4)
    return {"batch": batch, "tokens": 8 * ranks * tokens, "width": 4 * ranks * width} | {
        "heads": ranks * heads,
        "ranks": ranks,
    }


def odd_tokens(case):
    return case | {"tokens": case["tokens"] + 1}


@layer_activations.check(points=2)
def test_a_layer_alone_keeps_34_bytes_a_number_and_5_a_score(rng):
    """a layer alone keeps 34 bytes for each number of its input, and 5 for each score"""
    for _ in range(3):
        yield layer(rng)
    yield {"batch": 1, "tokens": 17, "width": 5, "heads": 3}


@layer_activations.check(points=2)
def test_tensor_parallelism_cuts_24_of_the_34_bytes_and_the_scores(rng):
    for ranks in (5, 7, *apart(rng, 2, 6, 2)):
        yield odd_tokens(layer(rng, ranks))


@layer_activations.check(points=1)
def test_sequence_parallelism_cuts_the_other_10_bytes_too(rng):
    for ranks in (4, 7, *apart(rng, 2, 6, 2)):
        yield layer(rng, ranks) | {"sequence_parallel": True}
    yield layer(rng, 3) | {"sequence_parallel": False}


@layer_activations.check(points=1)
def test_selective_recomputation_drops_the_scores_alone(rng):
    for ranks in (1, *apart(rng, 2, 6, 2)):
        for sequence_parallel in (False, True):
            yield layer(rng, ranks) | {
                "sequence_parallel": sequence_parallel,
                "recompute": "selective",
            }


@layer_activations.check(points=1)
def test_full_recomputation_keeps_the_input_of_the_layer_alone(rng):
    for ranks in (1, *apart(rng, 2, 6, 2)):
        for sequence_parallel in (False, True):
            yield layer(rng, ranks) | {"sequence_parallel": sequence_parallel, "recompute": "full"}


@layer_activations.check(points=1)
def test_what_ranks_do_not_divide_is_refused(rng):
    """what ranks don't divide, sizes below 1 and another recompute raise ValueError"""
    for ranks, more in ((3, {}), (3, {"recompute": "full"}), (2, {"recompute": "selective"})):
        case = layer(rng, ranks) | more
        yield odd_tokens(case)
        yield odd_tokens(case) | {"sequence_parallel": True}
        yield case | {"width": case["width"] + 1}
        yield case | {"heads": case["heads"] + 1}
    for name in ("batch", "tokens", "width", "heads", "ranks"):
        yield layer(rng, 2) | {name: 0}
        yield layer(rng, 2) | {name: -2}
        yield layer(rng, 2) | {name: 0, "recompute": "full"}
    yield layer(rng, 2) | {"batch": -1, "width": -2}
    yield layer(rng, 2) | {"recompute": "all"}
    yield layer(rng, 2) | {"recompute": "None"}


def refuse_layer(batch, tokens, width, heads, ranks, sequence_parallel, recompute):
    if min(batch, tokens, width, heads, ranks) < 1:
        raise ValueError("sizes")
    if width % ranks or heads % ranks or (sequence_parallel and tokens % ranks):
        raise ValueError("ranks")
    if recompute not in ("none", "selective", "full"):
        raise ValueError("recompute")


def terms(batch, tokens, width, heads):
    """BNC and HBN²."""
    return batch * tokens * width, heads * batch * tokens * tokens


def kept(
    given, outside=10, inside=24, scores=5, whole=2, cut=None, scores_left=0, inside_left=None
):
    """Bytes from other factors, those left by selective recomputation too; `cut`: of the 10."""
    case = {"ranks": 1, "sequence_parallel": False, "recompute": "none"} | given
    refuse_layer(**case)
    stream, pairs = terms(*(case[n] for n in ("batch", "tokens", "width", "heads")))
    over = case["ranks"] if (case["sequence_parallel"] if cut is None else cut) else 1
    if case["recompute"] == "full":
        return whole * stream // over
    if case["recompute"] == "selective":
        scores, inside = scores_left, inside if inside_left is None else inside_left
    return outside * stream // over + (inside * stream + scores * pairs) // case["ranks"]


@layer_activations.misconception(
    "Without sequence parallelism every rank keeps the whole of what lies outside attention and "
    "MLP: layer norms, their inputs, dropout masks. The 10 is not divided."
)
def cuts_the_10_without_sequence_parallelism(**given):
    return kept(given, cut=True)


@layer_activations.misconception(
    "Sequence parallelism cuts what lies outside attention and MLP by its tokens: the 10 over t."
)
def never_cuts_the_10(**given):
    return kept(given, cut=False)


@layer_activations.misconception("24/t is a whole number for some t alone: multiply, then divide.")
def rounds_24_over_t_down(**given):
    ranks = max(given.get("ranks", 1), 1)
    return kept(given, inside=24 // ranks * ranks)


@layer_activations.misconception("Each rank has its own heads: HBN² scores are divided by t.")
def keeps_the_scores_of_all_heads(**given):
    return kept(given, scores=5 * max(given.get("ranks", 1), 1))


@layer_activations.misconception("That is one rank's share of what t of them keep: divide by t.")
def forgets_to_divide_by_ranks(**given):
    zero.layer_activations(**given)  # refuses what is to be refused
    return zero.layer_activations(**given | {"ranks": 1})


@layer_activations.misconception(
    "Selective recomputation drops the scores, 5HBN²: they are large and cheap to make again. "
    "The matrix products around them stay."
)
def drops_the_24_and_keeps_the_scores(**given):
    return kept(given, scores_left=5, inside_left=0)


@layer_activations.misconception(
    "Selective recomputation spares queries, keys and values: they are what it starts from."
)
def drops_all_of_attention(**given):
    return kept(given, inside_left=16)


@layer_activations.misconception(
    "Selective recomputation keeps neither scores, softmax nor its dropout: all 5 bytes go."
)
def keeps_a_mask_of_the_scores(**given):
    return kept(given, scores_left=1)


@layer_activations.misconception("Full recomputation starts from the layer's input: that stays.")
def keeps_nothing_at_all(**given):
    return kept(given, whole=0)


@layer_activations.misconception("The input has 16 bits a number: 2BNC bytes.")
def counts_the_input_in_numbers(**given):
    return kept(given, whole=1)


@layer_activations.misconception("The layer's input is whole on each rank, unless the sequence is.")
def cuts_the_input_always(**given):
    return kept(given, cut=True if given.get("recompute") == "full" else None)


@layer_activations.misconception("Each head has scores of its own: HBN² of them, not BN².")
def counts_the_scores_of_one_head(**given):
    return kept(given, scores=Fraction(5, given["heads"] or 1))


@layer_activations.misconception("Scores aren't free: 5 bytes for each pair of tokens and head.")
def forgets_the_scores(**given):
    return kept(given, scores=0)


@layer_activations.misconception("34 and 5 are bytes already: don't double them for 16 bits.")
def takes_34_for_numbers(**given):
    return kept(given, outside=20, inside=48, scores=10)


@layer_activations.misconception("A rank has whole heads and columns: raise ValueError otherwise.")
def believes_any_ranks(
    batch, tokens, width, heads, ranks=1, sequence_parallel=False, recompute="none"
):
    if min(batch, tokens, width, heads, ranks) < 1:
        raise ValueError("sizes")
    stream, pairs = terms(batch, tokens, width, heads)
    over = ranks if sequence_parallel else 1
    if recompute == "full":
        return 2 * stream // over
    scores = 0 if recompute == "selective" else 5 * pairs // ranks
    return 10 * stream // over + 24 * stream // ranks + scores


@layer_activations.misconception(
    "Only sequence parallelism cuts the sequence: tokens need be a multiple of t with it alone."
)
def refuses_tokens_that_nobody_cuts(**given):
    if given["tokens"] % max(given.get("ranks", 1), 1):
        raise ValueError("tokens")
    return zero.layer_activations(**given)


LEDGER = (  # (bytes a number, whether tensor parallelism cuts it) of a layer of width C
    *((2, False), (2, False)),  # inputs of the two layer norms
    *((2, False), (2, True), (2, True), (2, True)),  # input of the projections; q, k, v
    *((2, True), (1, False)),  # what attention gives, and the mask of the dropout after it
    *((2, False), (8, True), (8, True), (1, False)),  # MLP: input, before and after GELU, mask
)


@layer_activations.control
def adds_tensor_by_tensor(
    batch, tokens, width, heads, ranks=1, sequence_parallel=False, recompute="none"
):
    refuse_layer(batch, tokens, width, heads, ranks, sequence_parallel, recompute)
    stream, pairs = terms(batch, tokens, width, heads)
    outside = ranks if sequence_parallel else 1
    if recompute == "full":
        return LEDGER[0][0] * stream // outside
    total = sum(size * (stream // (ranks if cut else outside)) for size, cut in LEDGER)
    softmax = [2, 1, 2] if recompute == "none" else []  # softmax, mask, what the dropout leaves
    return total + sum(size * (pairs // ranks) for size in softmax)


@layer_activations.control
def multiplies_fractions(
    batch, tokens, width, heads, ranks=1, sequence_parallel=False, recompute="none"
):
    refuse_layer(batch, tokens, width, heads, ranks, sequence_parallel, recompute)
    t = Fraction(1, ranks)
    outside = t if sequence_parallel else 1
    factor = {
        "none": 10 * outside + 24 * t + 5 * t * Fraction(heads * tokens, width),
        "selective": 10 * outside + 24 * t,
        "full": 2 * outside,
    }[recompute]
    return int(batch * tokens * width * factor)


# ------------------------------------------------------------------------------- peak of a step

step_peak = exercise(
    zero.step_peak,
    nudge="Write down what stands before the backward of the last layer, and what after that of "
    "the first. At each layer, its gradients come before its activations go.",
    worked={"layers": 4, "weights": 10, "gradients": 10, "activations": 7, "kept": 20},
)


def small(rng, **larger):
    """Bytes of a layer, all different; `larger` have as many times more."""
    names = ("weights", "gradients", "activations", "kept")
    sizes = dict(zip(names, apart(rng, 3, 50, 4), strict=True))
    return {n: size + larger.get(n, 0) * 50 for n, size in sizes.items()}


@step_peak.check(points=2)
def test_large_activations_peak_as_the_backward_of_the_last_layer_ends(rng):
    """with large activations the peak is at the last layer: all of them and its gradients"""
    for layers in apart(rng, 2, 30, 3):
        yield {"layers": layers} | small(rng, activations=2)


@step_peak.check(points=2)
def test_large_gradients_peak_as_the_backward_of_the_first_layer_ends(rng):
    """with large gradients the peak is at the first layer: all of them and its activations"""
    for layers in apart(rng, 2, 30, 3):
        yield {"layers": layers} | small(rng, gradients=2)


@step_peak.check(points=1)
def test_one_layer_has_its_activations_and_gradients_at_once(rng):
    for layers in (1, 1, 2):
        yield {"layers": layers} | small(rng, activations=1)
        yield {"layers": layers} | small(rng, gradients=1)
    yield {"layers": 7} | small(rng) | {"activations": 12, "gradients": 12}


@step_peak.check(points=1)
def test_weights_and_what_is_kept_count_in_every_layer(rng):
    for layers in apart(rng, 3, 30, 2):
        yield {"layers": layers} | small(rng, weights=4, kept=8)
        case = small(rng, weights=4)
        del case["kept"]
        yield {"layers": layers} | case
    yield {"layers": layers, "weights": 0, "gradients": 0, "activations": 5, "kept": 0}
    yield {"layers": layers, "weights": 7, "gradients": 9, "activations": 0, "kept": 3}


@step_peak.check(points=1)
def test_no_layers_and_negative_bytes_are_refused(rng):
    """no layers and negative bytes raise ValueError"""
    case = {"layers": whole(rng, 3, 30)} | small(rng)
    yield case
    yield case | {"layers": 0}
    yield case | {"layers": -1}
    for name in ("weights", "gradients", "activations", "kept"):
        yield case | {name: -1}


def refuse_step(layers, weights, gradients, activations, kept):
    if layers < 1 or min(weights, gradients, activations, kept) < 0:
        raise ValueError("layers or bytes")


@step_peak.misconception(
    "Activations go as gradients come: all of both never stand at once. Take the maximum."
)
def adds_all_activations_and_all_gradients(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return layers * (weights + kept + activations + gradients)


@step_peak.misconception(
    "The layer in between has both: its gradients come before its activations go."
)
def forgets_the_layer_in_between(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return layers * (weights + kept + max(activations, gradients))


@step_peak.misconception("Where gradients are the larger, the peak is at the end of the backward.")
def looks_at_the_last_layer_alone(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return layers * (weights + kept + activations) + gradients


@step_peak.misconception("Where activations are the larger, the peak is before most gradients.")
def looks_at_the_first_layer_alone(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return layers * (weights + kept + gradients) + activations


@step_peak.misconception(
    "The last layer's gradients come while all activations stand: a moment after the forward."
)
def ends_with_the_forward(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return layers * (weights + kept) + max(layers * activations, activations + layers * gradients)


@step_peak.misconception("When its gradients come, the first layer still has its activations.")
def frees_the_last_activations_too_early(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return layers * (weights + kept) + max(layers * activations + gradients, layers * gradients)


@step_peak.misconception("The weights of all L layers stay, not those of the one at work alone.")
def counts_the_weights_of_one_layer(layers, weights, gradients, activations, kept=0):
    return zero.step_peak(layers, weights, gradients, activations, kept) - (layers - 1) * weights


@step_peak.misconception("Moments wait for the step all the while: add `kept` of every layer.")
def forgets_what_is_always_kept(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    return zero.step_peak(layers, weights, gradients, activations)


@step_peak.misconception("`kept` is what one layer keeps: L times that.")
def counts_what_is_kept_once(layers, weights, gradients, activations, kept=0):
    return zero.step_peak(layers, weights, gradients, activations, kept) - (layers - 1) * kept


@step_peak.misconception("No layer, or bytes below 0, is a slip of whoever asks: ValueError.")
def believes_any_layers(layers, weights, gradients, activations, kept=0):
    most = max(layers * activations + gradients, activations + layers * gradients)
    return layers * (weights + kept) + most


@step_peak.control
def goes_through_all_moments(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    now = most = layers * (weights + kept)
    changes = [activations] * layers + [gradients, -activations] * layers
    for change in changes:
        now += change
        most = max(most, now)
    return most


@step_peak.control
def adds_what_only_the_larger_has(layers, weights, gradients, activations, kept=0):
    refuse_step(layers, weights, gradients, activations, kept)
    both = weights + kept + min(activations, gradients)
    return layers * both + abs(activations - gradients) * (layers - 1) + max(activations, gradients)
