"""What was measured is drawn, and what was not is said not to be."""

import pytest

from rlcourse.figures.systems import attention_speed as f

RECORD = {
    "date": "2026-01-02",
    "machine": {"gpu": "a card"},
    "versions": {"torch": "2.13.0"},
    "matmul_tflops": 800.0,
    "rows": [
        dict(what=what, causal=causal, D=128, N=n, method=method, tflops=speed, groups=1)
        for what in ("forward", "backward")
        for causal in (False, True)
        for n in (1024, 4096)
        for method, speed in (("ours", 400.0), ("naive", 100.0), ("SDPA cuDNN", None))
    ],
}


def test_without_a_record_the_page_says_that_nothing_was_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(f, "HERE", tmp_path)
    assert f.show_gpu() is None
    assert "Not measured yet" in capsys.readouterr().out
    f.show_cpu()
    assert "Not measured yet" in capsys.readouterr().out


def test_the_table_gives_the_greatest_length_and_the_share_of_a_product():
    lines = f.table(RECORD).split("\n")
    assert lines[0] == "a card, 2026-01-02, torch 2.13.0"
    assert len(lines) == 1 + 4 * 2  # a method that was not measured has no line
    words = "forward N = 4096 ours 400 TFLOP/s, 50% of a product"
    assert " ".join(lines[1].split()) == words


def test_other_head_dimensions_groups_and_packs_are_no_part_of_the_figure():
    changes = dict(D=64), dict(groups=8), dict(packed=True)
    strange = [RECORD["rows"][0] | change for change in changes]
    assert f._chosen(strange, "forward", False) == []


def test_a_panel_is_drawn_for_each_kind_of_run_that_was_measured():
    assert len(f.draw_gpu(RECORD).panels) == 4
    half = RECORD | {"rows": [r for r in RECORD["rows"] if r["what"] == "forward"]}
    assert len(f.draw_gpu(half).panels) == 2


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
