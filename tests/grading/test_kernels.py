"""Triton kernels are judged in the interpreter, whatever the process does with them otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

import torch
import triton
import triton.language as tl

from rlcourse.grading import addresses, course, kernels
from rlcourse.grading.kernels import bare, interpreted, is_kernel
from rlcourse.grading.mutants import family, mutants
from rlcourse.grading.plain import encode
from rlcourse.grading.stubs import desk_text, lacking
from rlcourse.grading.verdict import grade
from rlcourse.grading.worker import answer
from rlcourse.systems import row_kernel

TOPIC = "systems/row_kernel"


@triton.jit
def twice(x):
    return x + x


@triton.jit
def double_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + at, twice(tl.load(x_ptr + at, mask=at < n)), mask=at < n)


@triton.jit
def unmasked_kernel(x_ptr, y_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(y_ptr + at, tl.load(x_ptr + at))


@triton.jit
def unwritten_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    raise NotImplementedError


@triton.jit
def adding_kernel(x_ptr, y_ptr, BEYOND: tl.constexpr):
    tl.atomic_add(y_ptr + BEYOND, tl.load(x_ptr))


@triton.jit
def integers_kernel(x_ptr, y_ptr):
    x, y = tl.load(x_ptr), tl.load(x_ptr + 1)
    tl.store(y_ptr, x + y)
    tl.store(y_ptr + 1, x - y)
    tl.store(y_ptr + 2, x * y)


def integers(x):
    y = torch.zeros(3, dtype=x.dtype)
    integers_kernel[(1,)](x, y)
    return y


def double(x):
    y = torch.empty(x.shape)
    double_kernel[(triton.cdiv(len(x), 4),)](x, y, len(x), BLOCK=4)
    return y


def copied(x, size, room):
    y = torch.zeros(room)
    unmasked_kernel[(1,)](x, y, SIZE=size)
    return y


def unwritten(x):
    unwritten_kernel[(1,)](x, x, len(x), BLOCK=4)


def through_the_courses_kernel(s, lengths, scale, block):
    p = torch.empty(s.shape)
    row_kernel.online_softmax_kernel[(len(s),)](s, lengths, p, s.shape[1], scale, BLOCK=block)
    return p


def added(x, beyond):
    y = torch.zeros(3)
    adding_kernel[(1,)](x, y, BEYOND=beyond)
    return y


def asked(f, **case):
    return answer(f, {"case": {k: encode(v) for k, v in case.items()}, "gradients": []})


def test_a_kernel_with_a_helper_is_interpreted():
    x = torch.arange(7.0)
    with interpreted():
        assert torch.equal(double(x), 2 * x)


@pytest.mark.parametrize("numbers", [(2**31 - 1, 1), (-(2**31), 1), (2**16, 2**15), (-7, 5)])
def test_an_integer_that_leaves_its_range_comes_back_from_the_other_end(numbers):
    x, y = numbers
    wrapped = [(n + 2**31) % 2**32 - 2**31 for n in (x + y, x - y, x * y)]
    case = torch.tensor(numbers, dtype=torch.int32)
    with interpreted():
        assert integers(case).tolist() == wrapped
    if os.environ.get("TRITON_INTERPRET") == "1":  # so does Triton's own interpreter
        assert integers(case).tolist() == wrapped


def test_a_process_that_compiles_kernels_interprets_them_for_the_judge_alone():
    """Triton is loaded without TRITON_INTERPRET, and nothing of the language stays changed."""
    code = """
import torch, triton, triton.runtime.interpreter
from triton import language as tl
def seen(): return {(m.__name__, n): id(x) for m in (tl, tl.core, tl.math, tl.tensor, tl.dtype)
                    for n, x in vars(m).items()}
before = seen()
from rlcourse.grading.kernels import interpreted
from rlcourse.systems.row_kernel import online_softmax_kernel, online_softmax_rows
with interpreted():
    p = online_softmax_rows(torch.zeros(2, 5), torch.tensor([5, 2], dtype=torch.int32), 1.0, 4)
print(p.tolist(), type(online_softmax_kernel).__name__, seen() == before)
try:
    online_softmax_rows(torch.zeros(2, 5), torch.tensor([5, 2], dtype=torch.int32), 1.0, 4)
except (RuntimeError, ValueError) as error:  # no driver, or a tensor that is on no GPU
    print("compiles")
"""
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, encoding="utf-8"
    )
    values, _, rest = run.stdout.partition(" JITFunction ")
    assert json.loads(values) == [[pytest.approx(0.2)] * 5, [0.5, 0.5, 0, 0, 0]], run.stderr
    assert rest.split() == ["True", "compiles"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ((7, 8, 8), "the kernel reads x_ptr[7], and x_ptr has 7 elements: mask it"),
        ((9, 8, 5), "the kernel writes y_ptr[5], and y_ptr has 5 elements: mask it"),
    ],
)
def test_an_access_beyond_a_tensor_is_an_error_with_its_line(case, words):
    length, size, room = case
    got = asked(copied, x=torch.ones(length), size=size, room=room)
    assert (got["raised"], got["message"]) == ("IndexError", words)
    assert [line.split(":")[0].split(", in ")[1] for line in got["where"]] == [
        "copied",
        "unmasked_kernel",
    ]


def test_atomics_are_watched_too():
    assert asked(added, x=torch.ones(1), beyond=2)["value"]
    assert "changes y_ptr[3]" in asked(added, x=torch.ones(1), beyond=3)["message"]
    assert "changes y_ptr[-1]" in asked(added, x=torch.ones(1), beyond=-1)["message"]


def test_a_tile_has_a_size_that_it_cannot_exceed():
    x = torch.ones(2 * kernels.TILE)
    assert "value" in asked(copied, x=x, size=kernels.TILE, room=len(x))
    got = asked(copied, x=x, size=2 * kernels.TILE, room=len(x))
    assert got["raised"] == "ValueError"
    assert str(kernels.TILE) in got["message"]


def test_what_is_not_written_is_nan_inside_alone():
    before = torch.are_deterministic_algorithms_enabled()
    with interpreted():
        assert torch.empty(9).isnan().all()
    assert torch.are_deterministic_algorithms_enabled() == before
    assert os.environ.get("TRITON_INTERPRET") in (None, "1")


def test_an_unwritten_kernel_is_no_mistake_but_named():
    assert asked(unwritten, x=torch.ones(3)) == {"unwritten": "unwritten_kernel"}


def test_launching_the_courses_kernel_brings_no_points():
    (rows,) = course.load(TOPIC)
    verdicts = grade(rows, through_the_courses_kernel, 1)
    assert {v.got["raised"] for v in verdicts} == {"OwnFunction"}
    assert "value" in verdicts[0].expected
    assert not kernels._refusals


def test_a_kernel_is_mutated_with_its_launcher_and_made_a_kernel_again():
    assert is_kernel(double_kernel)
    assert not is_kernel(double)
    assert family(double) == [double, bare(double_kernel), bare(twice)]
    found = {m.what: m.function for m in mutants(double)}
    x = torch.arange(1.0, 6.0)
    with interpreted():
        squared = found["twice: x + x  ->  x - x"]
        assert torch.equal(squared(x), 0 * x)
        assert torch.equal(double(x), 2 * x)


def test_a_desk_has_a_stub_of_kernel_and_launcher_and_runs_as_it_is():
    text = desk_text(TOPIC, course.load(TOPIC))
    kernel, launcher = (f"def {f}(" for f in ("online_softmax_kernel", "online_softmax_rows"))
    assert text.index("import triton.language as tl") < text.index(f"@triton.jit\n{kernel}")
    assert text.index(kernel) < text.index(launcher)
    assert text.count("raise NotImplementedError") == 2
    assert "rlcourse." not in text


def test_a_kernel_that_was_written_is_not_added_again():
    text = desk_text(TOPIC, course.load(TOPIC))
    begun = text[: text.index("def online_softmax_rows")]
    assert [*lacking(begun, course.load(TOPIC)).stubs] == ["online_softmax_rows"]
    assert not lacking(text, course.load(TOPIC)).stubs


def test_a_kernel_that_is_edited_in_its_file_is_read_anew(tmp_path: Path):
    from rlcourse.grading.worker import load

    file = tmp_path / "desk.py"
    for factor in (3, 5):
        file.write_text(
            "import torch, triton\nimport triton.language as tl\n\n@triton.jit\n"
            "def kernel(x_ptr, y_ptr, B: tl.constexpr):\n    at = tl.arange(0, B)\n"
            f"    tl.store(y_ptr + at, tl.load(x_ptr + at) * {factor})\n\n"
            "def scaled(x):\n    y = torch.empty(4)\n    kernel[(1,)](x, y, B=4)\n    return y\n",
            "utf-8",
        )
        got = asked(load(file, "scaled"), x=torch.ones(4))
        assert got["value"] == encode(torch.full((4,), float(factor)))


def test_an_answer_without_a_kernel_is_none_where_one_is_asked_for():
    (rows,) = course.load(TOPIC)
    kernel, torchs = (
        rows.controls[0],
        next(f for f in rows.misconceptions if f.__name__ == "leaves_the_work_to_torch"),
    )
    assert sum(v.points for v in grade(rows, kernel, 1)) == rows.points
    verdicts = grade(rows, torchs, 1)
    assert sum(v.points for v in verdicts) == 0
    for v in verdicts:
        assert v.difference == "launched no kernel: a kernel is what is asked for"
        assert v.misconceptions == (torchs,)


def test_nobody_is_judged_where_the_interpreter_itself_fails(monkeypatch):
    """With some versions of NumPy older interpreters do: any failing answer would be right."""
    (rows,) = course.load(TOPIC)

    def broken(*args):
        raise TypeError("only 0-dimensional arrays")

    monkeypatch.setattr(addresses, "_guarded", broken)
    with pytest.raises(RuntimeError, match="does not work on this machine"):
        rows.checks[0].paper(123)
