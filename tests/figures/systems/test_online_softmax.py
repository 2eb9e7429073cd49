"""What the captions and the prose of the online softmax chapter claim."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.figures.systems import memory_passes, merging, precision
from rlcourse.figures.systems import online_softmax as f
from rlcourse.results import load
from rlcourse.systems import online_softmax as os

PAGE = (Path(__file__).parents[3] / "book/systems/online_softmax.md").read_text("utf-8")
RECORD = load("systems/online_softmax")


def suspect():
    """The merge of the bug hunt, as the page has it."""
    source = re.search(r"def merge_partials\(a, b\):\n    lse = np.maximum.*?\n\n", PAGE, re.DOTALL)
    names = {"np": np, "os": os}
    exec(source[0], names)
    return names["merge_partials"]


# ------------------------------------------------------------------------------- the question


def test_float16_loses_rows_first_and_all_types_lose_them_at_larger_scores():
    data = precision.data_lost(rng=np.random.default_rng(0))
    first = {kind: data.scales[share > 0.5][0] for kind, share in data.share.items()}
    assert first["float16"] < 5 < 20 < first["float32"] < 40
    assert first["bfloat16"] == first["float32"]
    assert all(share[0] == 0 and share[-1] == 1 for share in data.share.values())


def test_the_scores_of_a_head_pass_a_terabyte_while_operands_stay_within_a_gigabyte():
    assert f.scores_bytes(2**20) == 2 * 2**40
    assert f.operand_bytes(2**20) == 2**30
    assert f.LENGTHS[-1] == 2**20


# ------------------------------------------------------------------------------- online


def test_new_maxima_are_as_many_as_the_harmonic_number():
    data = f.data_maxima(rng=np.random.default_rng(1))
    spread = data.found.std(1) / np.sqrt(data.found.shape[1])
    assert (np.abs(data.found.mean(1) - data.expected) <= 4 * spread + 1e-12).all()
    assert data.expected[-1] == pytest.approx(np.log(4096) + 0.58, abs=0.01)


def test_the_counted_passes_are_the_published_ones():
    passes = {p.name: (p.reads, p.writes) for p in memory_passes.data_passes()}
    assert passes == {
        "naive softmax": (2, 1),
        "safe softmax": (3, 1),
        "online softmax": (2, 1),
        "safe, then the top k": (4, 1),
        "online, then the top k": (3, 1),
        "online with the top k": (1, 0),
        "online with values": (1, 0),
    }


@pytest.mark.parametrize("block", [1, 7, 64, 500])
def test_the_programs_compute_what_they_say(block):
    rng = np.random.default_rng(0)
    x, v, y = rng.normal(size=300), rng.normal(size=(300, 3)), np.zeros(300)
    p = os.safe_softmax(x)
    for program in ("naive_program", "safe_program", "online_program"):
        y[:] = 0
        getattr(memory_passes, program)(x, y, block)
        np.testing.assert_allclose(y, p, rtol=1e-12)
    top = np.sort(p)[::-1][:5]
    np.testing.assert_allclose(memory_passes.largest(p, 5, block), top)
    np.testing.assert_allclose(memory_passes.fused_largest(x, 5, block), top)
    np.testing.assert_allclose(memory_passes.weighted_sum(x, v, block), p @ v, rtol=1e-12)


def test_the_timed_programs_run():
    times = memory_passes.time_passes(rng=np.random.default_rng(0), size=2**10, block=2**8)
    assert len(times) == 5
    assert min(times.values()) > 0


# ------------------------------------------------------------------------------- any order


def test_all_orders_trees_and_splits_agree_to_a_few_epsilon_but_not_to_the_last_bit():
    data = merging.data_orders(rng=np.random.default_rng(0))
    assert max(error.max() for error in data.error.values()) < 10 * 2.0**-23
    assert data.distinct["left to right"] == data.distinct["pairs of pairs"] == 1
    for way in ("any order", "any tree", "any split"):
        assert data.distinct[way] == 60


def test_each_rank_meets_all_blocks_in_an_order_of_its_own_and_is_right_at_the_last_step_only():
    data = merging.data_ring(rng=np.random.default_rng(2))
    assert (np.sort(data.block, axis=1) == np.arange(5)).all()
    assert len(np.unique(data.block, axis=0)) == 5
    assert (data.block[:, 0] == np.arange(5)).all()
    assert (data.error[:, :-1] > 0.1).all()
    assert (data.error[:, -1] < 1e-14).all()


# ------------------------------------------------------------------------------- precision


def test_programs_rounded_to_float64_are_the_functions_of_the_chapter():
    x = np.random.default_rng(0).normal(size=(3, 64))
    v = np.random.default_rng(1).normal(size=(64, 2))
    p = os.safe_softmax(x)
    for found in (
        precision.naive_in(x, "float64"),
        precision.safe_in(x, "float64"),
        precision.online_in(x, "float64"),
        precision.online_in(x, "float64", 7),
    ):
        np.testing.assert_allclose(found, p, rtol=1e-12)
    total = np.exp(x - x.max(-1, keepdims=True)).sum(-1)
    np.testing.assert_allclose(precision.tree_in(x, "float64"), total, rtol=1e-12)
    found = precision.attend_in(x, v, "float64", "float64", 5)
    np.testing.assert_allclose(found, p @ v, rtol=1e-12, atol=1e-14)


def test_online_is_as_good_as_safe_and_errors_grow_in_proportion_to_the_scores():
    data = precision.data_errors(rng=np.random.default_rng(0))
    for kind in precision.KINDS:
        np.testing.assert_allclose(data.online[kind], data.safe[kind], rtol=0.25)
    growth = data.safe["float32"][8] / data.safe["float32"][3]
    assert 16 < growth < 64  # sizes 256 and 8
    ends = {k: data.sizes[np.isfinite(e)][-1] for k, e in data.naive.items()}
    assert ends == {"float16": 4, "bfloat16": 64, "float32": 64}
    assert data.sizes[6] == 64
    assert 0.1 < data.safe["bfloat16"][6] < 0.25  # half a step of 0.5, at worst
    assert data.safe["bfloat16"][-1] > 0.5


def test_a_running_sum_of_ones_stops_at_256_in_bfloat16_and_at_2048_in_float16():
    ones = np.zeros((1, 5000))
    assert precision.running_in(ones, "bfloat16").l[-1] == 256
    assert precision.running_in(ones, "float16").l[-1] == 2048
    assert precision.running_in(ones, "float32").l[-1] == 5000
    assert precision.running_in(ones[:, :4096], "bfloat16", 64).l[-1] == 4096
    assert precision.tree_in(ones[:, :4096], "bfloat16") == 4096
    assert precision.running_in(ones[:, :4096], "float16", 128).l[-1] == 4096


def test_a_float16_sum_of_blocks_of_128_grows_up_to_the_largest_number():
    """The third quiz."""
    path = precision.running_in(np.zeros((1, 65536 - 128)), "float16", 128).l[:, 0]
    assert (np.diff(path) > 0).all()
    assert path[-1] == 65408


@cache
def recorded_sums():
    return {way: np.median(e[-1]) for way, e in f.read_sums(RECORD).error.items()}


def test_one_by_one_in_16_bits_most_of_the_sum_is_lost_and_pairs_or_float32_keep_it():
    end = recorded_sums()
    assert end["bfloat16", "one by one"] > 0.8
    assert end["float16", "one by one"] > 0.5
    assert end["bfloat16", "blocks of 64"] < end["bfloat16", "one by one"] / 3
    assert end["bfloat16", "pairs of pairs"] < 2.0**-8
    assert end["float32", "one by one"] < 1e-5


def test_the_alternative_text_of_the_sums_is_true():
    errors = f.read_sums(RECORD).error
    assert np.median(errors["float32", "one by one"], 1).max() < 1e-4
    crossed = {k: (np.median(errors[k, "one by one"], 1) > 0.1).argmax() for k in f.KINDS_16}
    assert crossed["bfloat16"] < crossed["float16"]


def test_float32_accumulators_are_no_worse_than_the_whole_row_and_16_bit_ones_are_ruin():
    data = f.read_outputs(RECORD)
    for kind in f.KINDS_16:
        wide, narrow = precision.relative(data, kind)
        assert 0.8 < wide <= 1.1
        assert narrow > 100
    assert max(np.median(data.error["float32", how]) for how in precision.HOWS) < 1e-5


def test_the_record_is_what_a_smaller_run_gives():
    few = precision.data_sums(rows=10, doublings=9, rng=np.random.default_rng(7))
    recorded = f.read_sums(RECORD)
    for way, error in few.error.items():
        np.testing.assert_allclose(
            np.median(error, 1), np.median(recorded.error[way][: len(error)], 1), rtol=3
        )
    data = precision.data_outputs(queries=16, keys=2048, dim=16, rng=np.random.default_rng(7))
    for kind in f.KINDS_16:
        assert 0.7 < precision.relative(data, kind)[0] < 1.3


# ------------------------------------------------------------------------------- the bug hunt


@cache
def hunts():
    return tuple(
        f.data_hunt(g, rng=np.random.default_rng(0)) for g in (suspect(), os.merge_partials)
    )


def test_the_suspect_is_exact_for_two_splits_and_wrong_for_more():
    wrong, right = hunts()
    for scale in wrong.error:
        assert wrong.error[scale][0] < 1e-13
        assert (wrong.error[scale][1:] > 0.05).all()
        assert (np.diff(wrong.error[scale]) > 0).all()
        assert (right.error[scale] < 1e-13).all()


def test_where_attention_is_sharp_the_suspect_looks_right_in_most_cases():
    wrong, right = hunts()
    flat, sharp = wrong.same.values()
    assert (sharp > 0.75).all()
    assert flat[-1] < 0.3
    assert all((same == 1).all() for same in right.same.values())


def test_three_parts_in_both_groupings_tell_the_suspect_at_once():
    rng = np.random.default_rng(0)
    a, b, c = (os.Partial(rng.normal(size=(1, 2)), rng.normal(size=1)) for _ in range(3))
    for merge, same in ((suspect(), False), (os.merge_partials, True)):
        left, right = merge(merge(a, b), c), merge(a, merge(b, c))
        assert np.allclose(left.o, right.o) == same


def test_the_mended_suspect_is_right():
    def mended(a, b):
        lse = np.maximum(a.lse, b.lse)
        w_a, w_b = (np.exp(x.lse - lse)[..., None] for x in (a, b))
        o = (w_a * a.o + w_b * b.o) / (w_a + w_b)
        return os.Partial(o, lse + np.log(w_a + w_b)[..., 0])

    assert "lse + np.log(w_a + w_b)[..., 0]" in PAGE
    assert max(
        e.max() for e in f.data_hunt(mended, rng=np.random.default_rng(0)).error.values()
    ) < (1e-13)


# ------------------------------------------------------------------------------- at scale


def test_pytorch_answers_nan_or_zero_for_a_row_without_keys_as_the_page_says():
    hidden = torch.full((1, 3), -torch.inf)
    assert torch.softmax(hidden, -1).isnan().all()
    q, k = torch.ones(1, 1, 1, 4), torch.ones(1, 1, 3, 4)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    assert (sdpa(q, k, k, attn_mask=torch.zeros(1, 3, dtype=torch.bool)) == 0).all()


def test_torch_softmax_sums_16_bit_scores_in_float32():
    p = torch.softmax(torch.zeros(2**15, dtype=torch.bfloat16), -1)
    assert (p == 2.0**-15).all()


def test_all_figures_are_drawn_with_their_own_words():
    rng = np.random.default_rng
    hunt, right = hunts()
    pictures = [
        f.draw_question(precision.data_lost(rng=rng(0), rows=20)),
        f.draw_maxima(f.data_maxima(rng=rng(0), rows=20)),
        f.draw_hunt(hunt, right),
        memory_passes.draw_passes(memory_passes.data_passes()),
        merging.draw_orders(merging.data_orders(rng=rng(0), runs=3)),
        merging.draw_ring(merging.data_ring(rng=rng(0))),
        precision.draw_errors(precision.data_errors(rng=rng(0), rows=4)),
        precision.draw_sums(f.read_sums(RECORD)),
        precision.draw_outputs(f.read_outputs(RECORD)),
        precision.draw_running(),
        precision.draw_running("float16", 16, 2.0, 4096),
    ]
    assert len({p.alt for p in pictures}) == len(pictures)
    assert all(p.panels for p in pictures)
