"""Memory and traffic in closed form against real tensors, enumeration and printed numbers."""

import heapq
import random
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, product
from math import prod

import numpy as np
import pytest
import torch

from rlcourse.language.config import Config
from rlcourse.language.transformer import Decoder
from rlcourse.systems.zero import (
    CUTS,
    GB,
    GIB,
    RECIPES,
    Recipe,
    kv_cache_bytes,
    layer_activations,
    rows_of,
    sent_bytes,
    shares,
    state_bytes,
    states,
    step_peak,
)

SHAPES = [(7, 5), (3,), (10, 2, 3), (), (1, 9)]
MIXED = RECIPES["bf16 Adam"]

TABLE_1 = {  # Rajbhandari et al. (2020), table 1: GB of a rank at stages 1, 2, 3, for W = 1, 4, …
    "7.5e9": "120 120 120  52.5 41.3 30  35.6 21.6 7.5  31.4 16.6 1.88  30.4 15.4 0.47  "
    "30.1 15.1 0.12",
    "128e9": "2048 2048 2048  896 704 512  608 368 128  536 284 32  518 263 8  513 257 2",
    "1e12": "16000 16000 16000  7000 5500 4000  4750 2875 1000  4187 2218 250  4046 2054 62.5  "
    "4011 2013 15.6",
}
FIGURE_1 = (120, 31.4, 16.6, 1.9)  # GB of 7.5e9 parameters on 64 ranks, stages 0 to 3


@pytest.mark.parametrize("parameters", TABLE_1)
def test_the_table_of_the_paper_holds_to_its_last_digit(parameters):
    printed = iter(TABLE_1[parameters].split())
    for ranks in (1, 4, 16, 64, 256, 1024):
        for stage in (1, 2, 3):
            ours = Decimal(state_bytes(int(float(parameters)), ranks, stage, 2, 2, 12)) / GB
            theirs = Decimal(next(printed))  # some are rounded, some cut off
            assert abs(ours - theirs) < Decimal(1).scaleb(theirs.as_tuple().exponent)
    assert next(printed, None) is None


def test_the_figure_of_the_paper_holds_in_units_of_ten_to_the_nine():
    ours = [state_bytes(7_500_000_000, 64, stage, 2, 2, 12) for stage in range(4)]
    assert [round(b / GB, 1) for b in ours] == [*FIGURE_1]
    assert [round(b / GIB, 1) for b in ours] != [*FIGURE_1]


# -------------------------------------------------------------------------------- real tensors


def trained(kind: str, count: int) -> tuple[int, int, int, int]:
    """Bytes of weights, gradients, master weights and moments after a step of real training."""
    low = torch.float32 if kind.startswith("fp32") else torch.bfloat16
    weight = torch.nn.Parameter(torch.ones(count, dtype=low))
    weight.grad = torch.ones_like(weight)
    gradients = weight.grad.float() if kind.endswith("fp32 gradients") else weight.grad
    has_master = kind.startswith("bf16")
    master = torch.nn.Parameter(weight.detach().float()) if has_master else weight
    master.grad = gradients.to(master.dtype)
    if kind in ("bf16 SGD", "bf16 momentum"):
        momentum = 0.9 * (kind == "bf16 momentum")
        optimizer: torch.optim.Optimizer = torch.optim.SGD([master], 0.1, momentum=momentum)
    else:
        optimizer = torch.optim.Adam([master], foreach=False)
    optimizer.step()
    kept = [x for x in optimizer.state[master].values() if torch.is_tensor(x) and x.dim()]
    moments = sum(x.nbytes for x in kept)
    return weight.nbytes, gradients.nbytes, master.nbytes * has_master, moments


@pytest.mark.parametrize("name", [n for n in RECIPES if "8-bit" not in n])
def test_a_recipe_counts_the_bytes_of_real_optimizers(name):
    assert states([(33, 7)], RECIPES[name], 1, 0) == [trained(name, 231)]


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_8_bit_moments_share_a_constant_in_each_block_that_has_begun(count):
    two = [torch.zeros(count, dtype=torch.uint8) for _ in range(2)]
    constants = [moment.float().split(256) for moment in two]
    largest = torch.stack([block.max() for blocks in constants for block in blocks])
    (found,) = states([(count,)], RECIPES["bf16 8-bit Adam"], 1, 0)
    assert found.moments == sum(x.nbytes for x in two) + largest.nbytes


@pytest.mark.parametrize("ranks", range(1, 9))
def test_a_flat_share_is_that_of_a_padded_buffer(ranks):
    flat = torch.cat([torch.ones(shape).flatten() for shape in SHAPES])
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % ranks))
    assert shares(SHAPES, ranks) == [len(share) for share in padded.chunk(ranks)]


def chunked(tensor: torch.Tensor, ranks: int) -> list[torch.Tensor]:
    """One chunk for each rank; an empty one where torch makes fewer."""
    chunks = [*tensor.chunk(ranks)]
    return chunks + [tensor[:0]] * (ranks - len(chunks))


def test_rows_go_to_ranks_as_torch_chunk_deals_them():
    for rows, ranks in product(range(1, 41), range(1, 13)):
        assert rows_of(rows, ranks) == [len(c) for c in chunked(torch.zeros(rows), ranks)]


@pytest.mark.parametrize("ranks", range(1, 9))
def test_a_share_by_rows_is_that_of_chunks_of_every_parameter(ranks):
    tensors = [torch.zeros(shape or (1,)) for shape in SHAPES]  # a number by itself is a row
    chunks = [chunked(t, ranks) for t in tensors]
    assert shares(SHAPES, ranks, "rows") == [
        sum(c.numel() for c in mine) for mine in zip(*chunks, strict=True)
    ]


# -------------------------------------------------------------------------------- whole parameters


def dealt(sizes: list[int], owners: tuple[int, ...], ranks: int) -> list[int]:
    held = [0] * ranks
    for size, owner in zip(sizes, owners, strict=True):
        held[owner] += size
    return held


@pytest.mark.parametrize("ranks", [2, 3])
def test_whole_parameters_are_dealt_within_grahams_bound_of_the_best_of_all_ways(ranks):
    rng = random.Random(ranks)
    for _ in range(20):
        sizes = [rng.randint(1, 30) for _ in range(6)]
        ways = [dealt(sizes, way, ranks) for way in product(range(ranks), repeat=len(sizes))]
        found = shares([(n,) for n in sizes], ranks, "whole")
        assert found in ways
        best = min(map(max, ways))
        assert max(found) <= (Fraction(4, 3) - Fraction(1, 3 * ranks)) * best


def test_each_whole_parameter_goes_to_the_first_rank_that_holds_least():
    rng = random.Random(0)
    for ranks in (1, 3, 4, 30):
        shapes = [(rng.randint(1, 9), rng.randint(1, 9)) for _ in range(20)]
        heap = [(0, rank) for rank in range(ranks)]
        for size in sorted(map(prod, shapes), reverse=True):
            held, rank = heap[0]
            heapq.heapreplace(heap, (held + size, rank))
        expected = [held for held, _ in sorted(heap, key=lambda pair: pair[1])]
        assert shares(shapes, ranks, "whole") == expected


# -------------------------------------------------------------------------------- states


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_states_of_the_flat_cut_add_up_to_state_bytes_on_every_rank(ranks, stage):
    count = sum(map(prod, SHAPES))
    for recipe in (r for r in RECIPES.values() if not r.block):
        w, g, m, v = recipe[:4]
        expected = state_bytes(count, ranks, stage, w, g, m + v)
        assert [s.total for s in states(SHAPES, recipe, ranks, stage)] == [expected] * ranks


@pytest.mark.parametrize("cut", ["rows", "whole"])
def test_shares_without_padding_add_up_to_the_states_of_one_rank(cut):
    (alone,) = states(SHAPES, MIXED, 1, 0)
    for ranks in (2, 3, 8):
        cut_up = states(SHAPES, MIXED, ranks, 3, cut=cut)
        assert tuple(map(sum, zip(*cut_up, strict=True))) == alone


@pytest.mark.parametrize("cut", CUTS)
def test_a_stage_cuts_its_own_states_and_leaves_the_others_whole(cut):
    count, ranks = sum(map(prod, SHAPES)), 3
    mine = shares(SHAPES, ranks, cut)
    for stage in range(4):
        found = states(SHAPES, MIXED, ranks, stage, cut=cut)
        for rank, s in enumerate(found):
            n1, n2, n3 = (mine[rank] if stage >= first else count for first in (1, 2, 3))
            assert s == (2 * n3, 2 * n2, 4 * n1, 8 * n1)


@pytest.mark.parametrize("cut", CUTS)
def test_frozen_parameters_have_weights_alone_which_stage_3_cuts_by_themselves(cut):
    adapters, base = [(8, 64), (64, 8)], [(64, 64), (65,)]
    frozen = sum(map(prod, base))
    for stage in range(4):
        without = states(adapters, MIXED, 4, stage, cut=cut)
        found = states(adapters, MIXED, 4, stage, cut=cut, frozen=base)
        held = shares(base, 4, cut) if stage == 3 else [frozen] * 4
        assert [a.weights - b.weights for a, b in zip(found, without, strict=True)] == [
            2 * n for n in held
        ]
        assert [a[1:] for a in found] == [b[1:] for b in without]


def test_blocks_of_8_bit_moments_are_those_of_a_ranks_own_share():
    flat = states([(1025,)], RECIPES["bf16 8-bit Adam"], 4, 1)
    assert [s.moments for s in flat] == [2 * 257 + 2 * 4 * 2] * 4
    rows = states([(3, 256), (1, 5)], RECIPES["bf16 8-bit Adam"], 2, 1, cut="rows")
    assert [s.moments for s in rows] == [2 * 517 + 2 * 4 * 3, 2 * 256 + 2 * 4]


# -------------------------------------------------------------------------------- what is sent


class Ring:
    """W ranks in a ring, each of which hands one of W shares to the next at every step."""

    def __init__(self, tensors: np.ndarray) -> None:
        self.shares, self.sent = np.stack(np.split(tensors, len(tensors), 1), 1), 0

    def go_around(self, first: int, add: bool) -> None:
        ranks = len(self.shares)
        for step in range(ranks - 1):
            before = self.shares.copy()
            for rank in range(ranks):
                share, to = (rank + first - step) % ranks, (rank + 1) % ranks
                self.shares[to, share] = before[rank, share] + add * before[to, share]
            self.sent += before[0, 0].nbytes


@pytest.mark.parametrize("payload", [12, 17, 1])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_a_ring_that_sums_and_hands_out_sends_the_bytes_of_an_all_reduce(ranks, payload):
    tensors = np.random.default_rng(ranks).integers(0, 9, size=(ranks, payload)).astype(np.uint8)
    ring = Ring(np.pad(tensors, ((0, 0), (0, -payload % ranks))))
    ring.go_around(0, add=True)
    assert ring.sent == sent_bytes("reduce_scatter", payload, ranks)
    ring.go_around(1, add=False)
    assert (ring.shares.reshape(ranks, -1)[:, :payload] == tensors.sum(0)).all()
    assert ring.sent == sent_bytes("all_reduce", payload, ranks)
    assert ring.sent == 2 * sent_bytes("all_gather", payload, ranks)


# -------------------------------------------------------------------------------- KV cache


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_of_a_real_decoder_has_as_many_bytes(dtype):
    config = Config(
        vocabulary=11, width=24, layers=3, heads=6, kv_heads=2, head_dim=4, hidden=8, positions=16
    )
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).to(dtype)
    cache = model.cache(batch=5, size=7)
    assert cache.k.nbytes + cache.v.nbytes == kv_cache_bytes(
        5 * 7, 3, kv_heads=2, head_dim=4, element=dtype.itemsize, heads=6
    )


# -------------------------------------------------------------------------------- activations


@pytest.mark.parametrize("t", [1, 2, 4])
def test_activations_are_those_of_korthikantis_table_2(t):
    s, b, h, a = 64, 3, 32, 8
    sbh, scores = s * b * h, Fraction(5 * a * s, h)
    rows = {  # tensor parallel, and with sequence parallelism
        "none": (10 + Fraction(24, t) + scores / t, (34 + scores) / t),
        "selective": (10 + Fraction(24, t), Fraction(34, t)),
        "full": (2, Fraction(2, t)),
    }
    for recompute, row in rows.items():
        for sequence_parallel, factor in zip((False, True), row, strict=True):
            found = layer_activations(b, s, h, a, t, sequence_parallel, recompute)
            assert found == sbh * factor


@pytest.mark.parametrize(("width", "heads", "saved"), [(12288, 96, "0.70"), (20480, 128, "0.65")])
def test_selective_recomputation_saves_what_the_paper_says_of_gpt_3_and_mt_nlg(width, heads, saved):
    whole, selective = (
        layer_activations(1, 2048, width, heads, 8, True, how) for how in ("none", "selective")
    )
    assert f"{1 - selective / whole:.2f}" == saved


# -------------------------------------------------------------------------------- peak of a step


def test_the_peak_of_a_step_is_the_largest_of_all_its_moments():
    rng = random.Random(1)
    for _ in range(300):
        layers = rng.randint(1, 12)
        w, g, a, k = (rng.choice([0, rng.randint(1, 99)]) for _ in range(4))
        events = [w + k] * layers + [a] * layers + [g, -a] * layers
        assert step_peak(layers, w, g, a, k) == max(accumulate(events))


# -------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: state_bytes(0, 2, 1, 2, 2, 12), "parameters must be .* at least 1, got 0"),
        (lambda: state_bytes(9, 0, 1, 2, 2, 12), "ranks must be .* at least 1, got 0"),
        (lambda: state_bytes(9, 2, 4, 2, 2, 12), "stage must be 0, 1, 2 or 3, got 4"),
        (lambda: state_bytes(9, 2, 1, 2, -2, 12), "gradients must not be negative, got -2"),
        (lambda: shares(SHAPES, 0), "ranks must be .* at least 1, got 0"),
        (lambda: shares([(3, 0)], 2), "shapes must be .* at least 1, got 0"),
        (lambda: shares(SHAPES, 2, "columns"), "cut must be one of flat, rows, whole, got 'col"),
        (lambda: rows_of(0, 2), "rows must be .* at least 1, got 0"),
        (lambda: rows_of(3, -1), "ranks must be .* at least 1, got -1"),
        (lambda: states(SHAPES, MIXED, 2, 5), "stage must be 0, 1, 2 or 3, got 5"),
        (lambda: states(SHAPES, MIXED, 2, 3, cut="x"), "cut must be one of"),
        (lambda: states(SHAPES, MIXED, 2, 3, frozen=[(0,)]), "shapes must be"),
        (lambda: states(SHAPES, Recipe(2, 2, 4, -1), 2, 0), "recipe.moments must not be negative"),
        (lambda: sent_bytes("gossip", 8, 2), "collective must be one of all_reduce, .*'gossip'"),
        (lambda: sent_bytes("all_reduce", 0, 2), "payload must be .* at least 1, got 0"),
        (lambda: sent_bytes("all_reduce", 8, 0), "ranks must be .* at least 1, got 0"),
        (lambda: kv_cache_bytes(1, 2, 0, 4), "kv_heads must be .* at least 1, got 0"),
        (lambda: kv_cache_bytes(1, 2, 3, 4, heads=8), "heads must be a multiple of kv_heads = 3"),
        (lambda: layer_activations(1, 8, 8, 3, 2), "heads must be a multiple of ranks = 2, got 3"),
        (lambda: layer_activations(1, 7, 8, 4, 2, True), "tokens must be a multiple of ranks"),
        (lambda: layer_activations(0, 8, 8, 4), "batch must be .* at least 1, got 0"),
        (lambda: layer_activations(1, 8, 8, 4, recompute="all"), "recompute must be none, sel"),
        (lambda: step_peak(0, 1, 1, 1), "layers must be .* at least 1, got 0"),
        (lambda: step_peak(2, 1, 1, 1, -1), "kept must not be negative, got -1"),
    ],
)
def test_an_error_names_the_argument_and_what_came(call, words):
    with pytest.raises(ValueError, match=words):
        call()
