"""What the table of other calculators says: each cause accounts for the whole of its difference."""

import pytest

from rlcourse.figures.systems import calculator_formulas as cf
from rlcourse.figures.systems import other_calculators as oc
from rlcourse.systems.parameter_counts import MODELS, count
from rlcourse.systems.zero import GB, GIB, layer_activations

ROWS = {row.question: row for row in oc.data_other_calculators()}
LLAMA, LARGE = MODELS["Llama-2-7B"], MODELS["Llama-2-70B"]
P = 6_738_415_616


@pytest.mark.parametrize(
    ("parameters", "largest", "gpus", "printed"),
    [
        (2851e6, 32e6, 8, 6.09),  # DeepSpeed's documentation, memory.rst
        (6805e6, 131e6, 4, 29.01),  # issue 4527
        (737.67e6, 32.90e6, 4, 3291 / 1024),  # memory.rst, t5-large
    ],
)
def test_stage_3_of_deepspeed_is_what_it_prints_in_gibibytes(parameters, largest, gpus, printed):
    found = cf.deepspeed_stage_3(parameters, largest, gpus)
    assert found / GIB == pytest.approx(printed, abs=0.02)
    assert abs(found / GB - printed) > 0.2


def test_deepspeed_counts_gradients_of_32_bits_and_the_largest_matrix():
    two, three = ROWS["Llama-2-7B, 8 GPUs, stage 2"], ROWS["Llama-2-7B, 8 GPUs, stage 3"]
    assert two.theirs - two.ours == 4 * P // 8
    assert three.theirs - three.ours == 2 * P // 8 + 4 * 32_000 * 4096


def test_a_whole_step_holds_more_than_twice_the_states_that_deepspeed_estimates():
    row, states = ROWS["    and a step of 4096 tokens"], ROWS["Llama-2-7B, 8 GPUs, stage 3"].ours
    layers = 32 * layer_activations(1, 4096, 4096, 32, recompute="selective")
    assert row.ours > states + layers
    assert 2 < row.ours / row.theirs < 3


def test_accelerate_is_right_in_float32_but_for_the_head():
    row, head = ROWS["Llama-2-7B, Adam in float32"], 32_000 * 4096
    assert row.ours == 16 * P
    assert row.ours - row.theirs == 16 * head
    assert cf.accelerate_model("gpt2") == 4 * 124_439_808  # tied: there is nothing to miss


def test_accelerate_shows_half_of_mixed_precision():
    row, head = ROWS["Llama-2-7B, Adam in float16"], 32_000 * 4096
    assert row.ours == 16 * P
    assert row.theirs == 8 * (P - head)


def test_the_cookbook_misses_a_matrix_of_each_layer_and_adds_positions():
    theirs = cf.cookbook_parameters(LLAMA)
    gates, positions, norms = 32 * 4096 * 11008, 4096 * 4096, 32 * 6 * 4096 + 4096
    assert theirs + gates - positions - norms == P
    assert ROWS["Llama-2-7B, weights in bf16"][2:4] == (2 * theirs, 2 * P)


def test_the_cookbook_counts_a_tied_embedding_twice():
    theirs, rest = cf.cookbook_parameters(MODELS["gpt2"]), 1024 * 768 - 5 * 12 * 768
    assert theirs - 50_257 * 768 - rest == count(MODELS["gpt2"]).total == 124_439_808
    assert rest < 0.02 * 50_257 * 768


def test_the_cookbooks_cache_is_half_and_knows_no_groups():
    multi, grouped = (ROWS[f"{m}, cache of 4096 tokens"] for m in ("Llama-2-7B", "Llama-2-70B"))
    assert multi.ours == 2 * multi.theirs == 4096 * 512 * 1024
    assert grouped.theirs == 4 * grouped.ours == 4 * 4096 * 320 * 1024
    assert LARGE["num_attention_heads"] // LARGE["num_key_value_heads"] // 2 == 4


def test_the_cookbook_forgets_tensor_parallelism_or_counts_it_twice():
    """P = 20 G, 8 ranks of tensor parallelism times 8 of data parallelism."""
    one, three = (ROWS[f"P = 20 G, 8 × 8 GPUs, stage {stage}"] for stage in (1, 3))
    size = 20 * GB
    assert one.ours == size // 8 * (2 + 4) + 12 * size // 64
    assert one.theirs - one.ours == 4 * (size - size // 8)
    assert three.ours == 18 * size // 64
    assert three.ours - three.theirs == 2 * size // 64 - 2 * size // 512


def test_the_cookbook_recomputes_attention_alone():
    row = ROWS["Llama-2-7B, 4096 tokens, recomputed"]
    selective = layer_activations(1, 4096, 4096, 32, recompute="selective")
    assert row.theirs == 32 * selective
    unit = 4096 * 4096
    assert row.ours == unit * (32 * 2 + 34) + 5 * 32 * 4096**2


def test_every_row_stands_in_the_table_with_its_reason():
    rows = oc.data_other_calculators()
    assert {row.calculator for row in rows} == {*cf.SOURCES}
    table = oc.table_of_calculators(rows)
    lines = table.splitlines()
    assert all(any(source in line for line in lines) for source in cf.SOURCES.values())
    assert max(map(len, lines)) <= 78
    for row, letter in zip(rows, "abcdefghijklmnop", strict=False):
        (line,) = [x for x in lines if x.startswith(f"  {letter}  {row.question} ")]
        assert f"{row.theirs / GB:.2f} GB" in line
        assert line.endswith(f" {row.theirs / row.ours:.2f}")
        assert row.why in " ".join(table.split())


def test_two_calculators_are_off_by_a_factor_of_two_to_five():
    ratios = {name: [r.theirs / r.ours for r in ROWS.values() if r.calculator == name]
              for name in cf.SOURCES}  # fmt: skip
    assert min(ratios["accelerate"]) < 0.5
    assert 4 < max(ratios["cookbook"]) < 5
    assert all(1 < x < 1.2 for x in ratios["DeepSpeed"][:2])
