"""What the captions of the chapter on ZeRO claim of states, cuts, the ring, caches and ranks."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rlcourse.figures.systems import zero as f
from rlcourse.figures.systems import zero_hunt, zero_models, zero_ranks, zero_run, zero_tables
from rlcourse.language.transformer import Decoder
from rlcourse.systems import zero
from rlcourse.systems.parameter_counts import MODELS, shapes

PAGE = Path(__file__).parents[3] / "book/systems/zero.md"


def test_a_card_holds_the_weights_but_not_what_training_keeps():
    data = f.data_question()
    assert data.run == 15 * zero.GB < f.CARD < data.train.total == 120 * zero.GB
    assert data.held == 7680 * zero.GB


def test_stages_1_and_2_have_floors_and_stage_3_has_none():
    ranks, of = f.data_states()
    assert [x / zero.GB for x in np.array(of)[:, ranks.index(64)]] == [
        120,
        31.40625,
        16.640625,
        1.875,
    ]
    assert set(of[0]) == {120 * zero.GB}
    assert 30 * zero.GB < of[1][-1] < 30.1 * zero.GB
    assert 15 * zero.GB < of[2][-1] < 15.2 * zero.GB
    np.testing.assert_allclose(of[3], 120 * zero.GB / np.array(ranks), rtol=1e-7)


def test_a_smaller_optimizer_counts_without_cuts_and_hardly_under_stage_3():
    held = {
        name: [x.total for x in f.of_stages(f.EXAMPLE, 64, r)] for name, r in zero.RECIPES.items()
    }
    whole, cut = ([of[stage] for of in held.values()] for stage in (0, 3))
    assert min(whole) < f.CARD < max(whole)
    assert max(cut) - min(cut) < 1.2 * zero.GB
    text = str(f.table_of_recipes())
    assert "bf16 Adam  2  2  12  16  120.00  31.41  16.64  1.88" in text
    assert text.count("\n") == len(held) + 1


@cache
def cuts():
    return f.data_cuts([list(x) for x in shapes(MODELS["gpt2"]).values()], 8)


def test_whole_parameters_cannot_be_even_and_rows_nearly_are():
    data = cuts()
    assert sum(data["whole"]) == sum(data["rows"]) == 124_439_808
    mean = sum(data["whole"]) / 8
    assert max(data["whole"]) == 50257 * 768 > 2 * mean  # the embedding, alone on its rank
    assert mean < max(data["rows"]) < 1.0001 * mean
    assert set(data["flat"]) == {mean}


@pytest.mark.parametrize("ranks", [2, 3, 4, 7])
def test_in_the_ring_each_rank_sends_all_but_one_chunk_and_gets_the_whole_sum(ranks):
    scattered, gathered = zero_ranks.data_ring(ranks)
    everybody = frozenset(range(ranks))
    final = scattered.held[-1]
    assert all(sum(of == everybody for of in row) == 1 for row in final)
    assert all(sum(bool(of) for of in row) == 1 for row in final)
    assert {i for row in final for i, of in enumerate(row) if of} == everybody
    assert all(of == everybody for row in gathered.held[-1] for of in row)
    for ring, name in ((scattered, "reduce_scatter"), (gathered, "all_gather")):
        assert [10 * n for n in ring.sent] == [zero.sent_bytes(name, 10 * ranks, ranks)] * ranks


def test_sharing_keys_makes_a_token_cheap():
    data = zero_models.data_cache()
    kib = {name: x / 1024 for name, x in data.kept.items()}
    assert [kib[x] for x in ("Llama-2-7B", "Llama-2-70B", "Qwen2.5-7B", "Qwen3-8B")] == [
        512,
        320,
        56,
        144,
    ]
    assert data.ungrouped["Llama-2-7B"] == data.kept["Llama-2-7B"]
    assert data.ungrouped["Llama-2-70B"] == 8 * data.kept["Llama-2-70B"]
    # per layer and token: 128 heads of 192 + 128 numbers, against 512 + 64
    assert data.ungrouped["DeepSeek-V3"] * 576 == data.kept["DeepSeek-V3"] * 128 * 320
    assert data.kept["Llama-2-7B"] * 131072 == 64 * zero.GIB


def test_the_table_of_models_has_a_line_for_each():
    text = str(zero_models.table_of_models())
    assert text.count("\n") == len(MODELS) + 1
    assert "Mixtral-8x7B  46,702,792,704  12,879,925,248  747  128" in text


def test_on_real_ranks_bytes_are_as_predicted_and_stages_change_no_number():
    data = zero_run.data_run(steps=4)
    parameters = sum(p.numel() for p in Decoder(zero_run.CONFIG, generator=None).parameters())
    assert [run.payload for run in data] == [2 * parameters] * 3 + [3 * parameters]
    assert all(run.held == run.predicted for run in data)
    assert data[0].held[0] > data[1].held[0] > data[2].held[0] > data[3].held[0]
    for run in data:
        np.testing.assert_allclose(run.losses, data[0].losses, rtol=1e-6)
        assert run.losses[-1] < run.losses[0]
    (table,) = zero_tables.table_of_run(data).tables
    assert [row[3] for row in table[1:]] == ["0"] * 4


# ------------------------------------------------------------------------------- the bug hunt


@cache
def suspect():
    """The step of the bug hunt, as the page has it."""
    source = re.search(
        r"(from rlcourse.figures.systems.zero_hunt import adam\n.*?\n)hunt = ",
        PAGE.read_text("utf-8"),
        re.DOTALL,
    )
    names: dict = {}
    exec(source[1], names)
    return names["step"]


def mended(weights, gradient, kept):
    share = -(-len(weights) // len(kept))
    for rank, moments in enumerate(kept):
        mine = slice(rank * share, (rank + 1) * share)
        zero_hunt.adam(weights[mine], gradient[mine], moments)


def test_the_suspect_learns_as_well_and_holds_less_than_the_formula_says():
    hunt = zero_hunt.data_hunt(suspect(), rng=np.random.default_rng(0))
    assert hunt.right[0] == hunt.suspect[0] > 2 * hunt.suspect[-1]
    assert abs(hunt.right[-1] - hunt.suspect[-1]) < 0.001
    assert hunt.predicted == 400
    assert hunt.held == [384] * 4


def test_the_suspect_never_moves_the_last_weights():
    weights, before = np.arange(99.0), np.arange(99.0)
    suspect()(weights, np.ones(99), [{} for _ in range(4)])
    assert (weights != before).tolist() == [True] * 96 + [False] * 3


def test_rounded_up_the_step_is_that_of_one_rank_and_holds_what_the_formula_says():
    hunt = zero_hunt.data_hunt(mended, rng=np.random.default_rng(0))
    np.testing.assert_allclose(hunt.suspect, hunt.right, rtol=1e-12)
    assert hunt.held == [400, 400, 400, 384]


def test_every_picture_is_drawn():
    hunt = zero_hunt.data_hunt(mended, rng=np.random.default_rng(0), steps=5)
    for picture, panels in (
        (f.draw_question(f.data_question()), 2),
        (f.draw_states(f.data_states()), 1),
        (f.draw_budget(), 1),
        (f.draw_cuts(cuts()), 3),
        (zero_ranks.draw_ring(zero_ranks.data_ring()), 2),
        (zero_models.draw_cache(zero_models.data_cache()), 1),
        (zero_hunt.draw_hunt(hunt), 1),
    ):
        assert picture.alt
        assert len(picture.panels) == panels
        assert all(svg.startswith("<svg") for svg in picture.panels)


# ------------------------------------------------------------------------------- recorded


def test_the_records_say_what_the_table_and_the_text_say():
    ranks, saved, steps = zero_tables.records().values()
    (table,) = zero_tables.table_of_records().tables
    cases = {row[0]: row[1:] for row in table[1:]}
    assert cases["states of each rank, stages 0 to 3"] == (str(len(ranks["rows"])), "0 bytes")
    assert cases["payload of a step"][1] == "0 elements"
    assert float(cases["losses in float64, against one process"][1]) < 1e-10
    assert cases["moments of PyTorch's two"][1] == "0 bytes"
    assert cases["saved activations"] == (str(len(saved["rows"])), "0 bytes")
    assert cases["peaks of phases of a step"] == (str(len(steps["rows"])), "0 bytes")
    assert {row["ranks"] for row in ranks["rows"]} == {2, 4}
    assert {row["stage"] for row in ranks["rows"]} == {0, 1, 2, 3}
    assert {row["dtype"] for row in saved["rows"]} == {"float32", "bfloat16"}


def test_fsdp2_pads_weights_and_gradients_to_the_rows_of_the_first_rank():
    for peer in zero_tables.records()["ranks"]["peers"]:
        for state in ("weights", "gradients"):
            assert peer["fully_shard"][state] == [peer["rows"][0]] * peer["ranks"]
        assert peer["rows"][-1] < peer["rows"][0]


def test_34_is_a_fact_about_one_implementation():
    (table,) = zero_tables.table_of_layers().tables
    units = {layer: float(x) for layer, x in table[1:]}
    assert units["GPT by the formula, without 5HN/C"] == 34
    assert units["nn.TransformerEncoderLayer, no dropout"] < 34 < units["decoder, SDPA"]
    assert max(units.values()) > 4 * 34
