"""What was measured is drawn, and what was not is said not to be."""

import itertools
import re
from pathlib import Path

import pytest

from rlcourse.figures.systems import attention_speed as f

SPEEDS = {"ours": 400.0, "sdpa_flash": 350.0}


def row(n: int, causal: bool, speeds: dict[str, float], d: int = 128, g: int = 16) -> dict:
    double = {method: 2 * speed for method, speed in speeds.items()}
    return dict(kind="attention", H=16, G=g, N=n, D=d, causal=causal, forward_tflops=speeds,
                backward_tflops=double)  # fmt: skip


RECORD = {
    "date": "2026-01-02",
    "device": "a card",
    "torch": "2.13.0",
    "triton": "3.9.0",
    "matmul_tflops": 800.0,
    "copy_tb_per_s": 4.0,
    "rows": [
        *(row(n, causal, SPEEDS) for n in (4096, 1024) for causal in (False, True)),
        row(1024, False, {"ours": 1.0, "flex": 300.0}),  # a later row fills gaps only
        row(1024, False, {"cudnn": 5.0}, d=64),
        row(1024, True, {"cudnn": 5.0}, g=2),
        dict(kind="packed", lengths=[9, 70], ours_ms=1.0, cudnn_padded_ms=2.5),
        dict(
            kind="decode", B=8, H=32, G=4, M=32768, tb_per_s={"ours": 3.0}, of_copy={"ours": 0.75}
        ),
        dict(kind="softmax", N=64, M=1024, tb_per_s={"torch": 3.6}, of_copy={"torch": 0.9}),
    ],
}


def test_without_a_record_the_page_says_that_nothing_was_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(f, "HERE", tmp_path)
    assert f.show_gpu() is None
    assert "Not measured yet" in capsys.readouterr().out
    assert f.picture_gpu() is None
    assert f.show_cpu() is None
    assert "Not measured yet" in capsys.readouterr().out


def test_other_head_dimensions_shared_keys_and_later_rows_are_no_part_of_the_figure():
    assert f.speeds(RECORD, "forward", False) == {
        "ours": {4096: 400.0, 1024: 400.0},
        "sdpa_flash": {4096: 350.0, 1024: 350.0},
        "flex": {1024: 300.0},
    }
    assert f.speeds(RECORD, "backward", True)["ours"] == {4096: 800.0, 1024: 800.0}
    assert f.speeds(RECORD, "forward", False, d=64) == {"cudnn": {1024: 5.0}}


def test_the_tables_give_each_method_at_its_greatest_length_and_its_share_of_the_ceiling():
    found = f.gpu_tables(RECORD)
    speeds, packed, decode, softmax = found.tables
    assert found.says.startswith("a card, 2026-01-02, PyTorch 2.13.0, Triton 3.9.0. A matrix")
    numbers = ("400 (50%)", "400 (50%)", "800 (100%)", "800 (100%)")
    assert speeds[1] == ("this chapter's Triton, 4k tokens", *numbers)
    assert speeds[3] == ("FlexAttention, 1k tokens", "300 (38%)", "", "600 (75%)", "")
    assert packed[1] == ("2 sequences of 9 to 70 tokens", "1.00", "", "2.50")
    assert decode[1] == ("B = 8, 32 heads on 4 of keys, 32768 keys", "3.00 (75%)", "", "")
    assert softmax[1] == ("64 rows of 1024", "", "3.60 (90%)")


def test_tables_are_text_where_there_is_no_page():
    found = f.Tables("Says.", ([("a", "b < c"), ("1", "2")],))
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == "Says.\na  b < c\n1  2"
    assert "<th>b &lt; c</th>" in bundle["text/html"]


def test_a_panel_is_drawn_for_each_kind_of_run_that_was_measured():
    assert len(f.draw_gpu(RECORD).panels) == 4
    half = RECORD | {"rows": [r for r in RECORD["rows"] if r.get("causal")]}
    assert len(f.draw_gpu(half).panels) == 2


def test_the_table_of_the_cpu_has_a_line_for_each_run_of_the_greatest_length():
    row = dict(what="forward", N=8192, method="tiled", seconds=0.5, bytes=8e6)
    row["times_sdpa"] = {"median": 0.9}
    versions, machine = {"torch": "2.13.0"}, {"cpu": "a chip"}
    rows = [row | dict(N=2048, seconds=0.1), row]
    found = f.cpu_tables(dict(machine=machine, date="2026-01-02", versions=versions, rows=rows))
    assert found.says == "a chip, 2026-01-02, PyTorch 2.13.0."
    assert found.tables[0][0][0] == "8192 tokens"
    assert found.tables[0][1:] == [("tiled, forward", "0.50", "0.90", "8")]


@pytest.mark.skipif(f.read(f.GPU) is None, reason="no record of the card")
def test_our_kernel_lies_between_the_two_backends_of_pytorch_and_the_formula_below_both():
    record = f.read(f.GPU)
    for kind, d in itertools.product(f.KINDS, (64, 128)):
        found = f.speeds(record, *kind, d)
        assert len(found["ours"]) == 5
        for n, ours in found["ours"].items():
            assert found["sdpa_flash"][n] < ours < found["cudnn"][n], (kind, n)
        assert found["naive"][4096] < found["sdpa_flash"][4096]


@pytest.mark.skipif(f.read(f.GPU) is None, reason="no record of the card")
def test_packed_sequences_are_faster_than_padded_ones():
    _, ours, *padded = f.gpu_tables(f.read(f.GPU)).tables[1][1]
    assert float(ours) < min(map(float, padded)) / 3


@pytest.mark.skipif(f.read(f.CPU) is None, reason="no record of the CPU")
def test_on_a_cpu_tiling_is_faster_than_the_formula_with_a_fraction_of_its_memory():
    rows = {(r["what"], r["N"], r["method"]): r for r in f.read(f.CPU)["rows"]}
    for what in ("forward", "forward and backward"):
        tiled, naive = (rows[what, 8192, method] for method in ("tiled", "naive"))
        assert tiled["seconds"] < naive["seconds"]
        assert tiled["times_sdpa"]["median"] > 0.75
        assert tiled["bytes"] < naive["bytes"] / 40


def test_the_names_of_the_benchmark_are_known_here():
    text = (Path(__file__).parents[3] / "benchmarks/gpu/flash_attention.py").read_text("utf-8")
    named = re.search(r"PEERS: .*?\n\}", text, re.DOTALL)[0]
    assert set(re.findall(r'^    "(\w+)":', named, re.MULTILINE)) <= set(f.LOOKS)


def test_the_demonstration_runs_where_the_kernel_does(monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    module = pytest.importorskip("rlcourse.systems.gpu_attention")
    same = lambda q, k, v, causal: sdpa(q, k, v, is_causal=causal)  # noqa: E731
    monkeypatch.setattr(module, "gpu_attention", same)
    f.demo(heads=2, n=32, d=16, device="cpu")
    said = capsys.readouterr().out
    assert "this kernel" in said
    assert "largest difference 0e+00" in said
