"""Plain data as text and as Python."""

from collections import namedtuple

import numpy as np
import pytest
import torch

from rlcourse.grading.plain import encode
from rlcourse.grading.show import brief, call, code, show

Pair = namedtuple("Pair", "m l")
VALUES = [
    0.1 + 0.2,
    float("inf"),
    None,
    True,
    "a 'b'\n",
    (1,),
    (1, [2.5, ()]),
    {"k": 1},
    np.array([0.1, np.nan, np.inf, -np.inf]),
    np.zeros((3, 4)),
    np.zeros((0, 2), np.int32),
    np.array([1, 2], np.uint8),
    np.array([[True, False]]),
    np.array(0.3),
    np.full((2, 3), np.inf),
    torch.tensor([[0.1, float("inf")]], dtype=torch.float64),
    torch.tensor([1.5, 2.5], dtype=torch.bfloat16),
    torch.zeros(5, dtype=torch.float32),
    torch.zeros(0, 2, dtype=torch.int64),
    torch.tensor([3, 4]),
    Pair(np.arange(3.0), Pair(1, torch.tensor([True]))),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_code_makes_the_same_value_again(value):
    again = eval(code(encode(value)), {"np": np, "torch": torch, "Pair": Pair})
    assert repr(encode(again)) == repr(encode(value))


def test_a_call_is_one_line_with_its_imports():
    line = call("f", {"x": encode(np.array([1.0])), "y": encode(torch.tensor([2]))})
    assert line == (
        "import numpy as np; import torch; "
        "f(x=np.array([1.0]), y=torch.tensor([2], dtype=torch.int64))"
    )
    assert call("f", {"n": 3}) == "f(n=3)"


def test_a_call_imports_the_types_of_its_records():
    case = {"x": encode(Pair(1, (Pair(2, 3),))), "y": encode(Pair(np.zeros(1), -0.0))}
    line = call("f", case, {"Pair": Pair})
    assert line.startswith(f"import numpy as np; from {__name__} import Pair; f(x=Pair(m=1, ")
    assert line.endswith("y=Pair(m=np.array([0.0]), l=0.0))")
    assert brief("f", case | {"z": 2.5}) == "f(x=Pair(...), y=Pair(...), z=2.5)"


def test_code_knows_no_negative_zero():
    assert code(encode([-0.0, np.array([-0.0, 1.0])])) == "[0.0, np.array([0.0, 1.0])]"


def test_a_long_record_is_shown_a_field_a_line():
    text = show(encode(Pair(np.arange(12.0).reshape(3, 4), Pair(1, np.arange(30)))), 4)
    lines = text.splitlines()
    assert lines[0] == "Pair("
    assert lines[1] == "        m=[[ 0.,  1.,  2.,  3.],"
    assert lines[2] == "           [ 4.,  5.,  6.,  7.],"
    assert lines[4].startswith("        l=Pair(")
    assert show(encode(Pair(1, 2.5))) == "Pair(m=1, l=2.5)"


def test_a_large_array_is_cut_and_its_shape_told():
    text = show(encode(np.zeros((40, 50))))
    assert "..." in text
    assert "shape (40, 50)" in text
    assert len(text.splitlines()) < 12
    assert len(show(encode(np.ones((9, 3, 2)))).splitlines()) < 12


def test_numbers_are_shown_as_a_person_writes_them():
    assert show(encode(np.array([-0.0, 1.0]))) == "[0., 1.]"
    assert show(0.9030403905172806) == "0.90304"
    assert show(encode(np.array([0.00034, 0.9]))) == "[0.0003, 0.9   ]"
    assert show("#.\n.#", 2) == "#.\n  .#"
