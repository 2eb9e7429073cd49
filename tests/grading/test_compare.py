"""Which answers count as right, and what is said of the others."""

from collections import namedtuple

import numpy as np
import pytest
import torch

from rlcourse.grading.compare import gap
from rlcourse.grading.plain import decode, encode

Pair = namedtuple("Pair", "m l")
Twin = namedtuple("Twin", "m l")
F = np.array([1.0, 2.0])
T = torch.tensor([1.0, 2.0], dtype=torch.float64)


def told(got, expected, tolerance=1e-9):
    sides = [{"value": encode(x), "gradients": {}, "changed": []} for x in (got, expected)]
    return gap(*sides, tolerance)


RIGHT = {
    "the same array": (F.copy(), F),
    "a list of the right numbers": ([1.0, 2.0], F),
    "a list of NumPy numbers": ([F[0], F[1]], F),
    "a tuple where an array was expected": ((1, 2), F),
    "whole numbers for floats": (np.array([1, 2]), F),
    "a nested list": ([[1, 2], [3, 4]], np.array([[1.0, 2.0], [3.0, 4.0]])),
    "a Python number for a scalar": (1.0, F[0]),
    "an int for a float": (2, 2.0),
    "a scalar for a Python number": (F[0], 1.0),
    "an array without axes for a number": (np.array(1.0), 1.0),
    "a list of ints for an array of ints": ([0, 2], np.array([0, 2])),
    "narrow integers": (np.array([0, 2], np.int32), np.array([0, 2])),
    "a list of booleans": ([True, False], np.array([True, False])),
    "a NumPy boolean": (np.True_, True),
    "a list for a tuple": ([1.0, F], (1.0, F)),
    "a record of another name with the same fields": (Twin(1.0, F), Pair(1.0, F)),
    "NaN and infinity in their places": (np.array([np.nan, -np.inf]), np.array([np.nan, -np.inf])),
    "an empty list for an empty array": ([], np.zeros(0)),
    "rounding": (F * (1 + 1e-12), F),
    "a wider tensor": (T, T.float()),
    "a string": ("ab", "ab"),
    "nothing": (None, None),
}
WRONG = {
    "another number": (np.array([1.0, 3.0]), F, "[1] 3 instead of 2"),
    "a hair beside": (F + 1e-6, F, "[0] 1.000001 instead of 1"),
    "infinity with the wrong sign": (
        np.array([np.inf]),
        np.array([-np.inf]),
        "inf instead of -inf",
    ),
    "NaN": (np.array([np.nan, 2.0]), F, "[0] nan instead of 1"),
    "one number for an array": (1, np.array([1, 1]), "shape () instead of (2,)"),
    "a column": (F[:, None], F, "shape (2, 1) instead of (2,)"),
    "a ragged list": ([[1.0], [2.0, 3.0]], F, "is a list instead of an array of float64"),
    "a list of the wrong length": ([1.0], F, "shape (1,) instead of (2,)"),
    "floats for indices": (np.array([0.0, 2.0]), np.array([0, 2]), "float64 instead of int64"),
    "a float for a count": (3.0, 3, "float64 instead of int64"),
    "numbers for booleans": (np.array([1, 0]), np.array([True, False]), "int64 instead of bool"),
    "the other boolean": (
        np.array([True, False]),
        np.array([True, True]),
        "[1] False instead of True",
    ),
    "a negative zero": (np.array([-0.0]), np.array([1.0]), "[0] 0 instead of 1"),
    "float32": (np.array([0.1], np.float32), np.array([0.1]), "(float32: compute in float64)"),
    "a boolean for a number": (True, 1.0, "bool instead of float64"),
    "booleans for numbers": ([True, False], np.array([1.0, 0.0]), "bool instead of float64"),
    "a tensor for an array": (T, F, "a tensor of torch.float64 instead of an array of float64"),
    "an array for a tensor": (F, T, "an array of float64 instead of a tensor of torch.float64"),
    "a list for a tensor": ([1.0, 2.0], T, "a list instead of a tensor"),
    "a tuple for a record": ((1.0, F), Pair(1.0, F), "a tuple instead of Pair(m, l)"),
    "a record that lacks a field": (namedtuple("P", "m")(1.0), Pair(1.0, F), "lacks part .l"),
    "an array for a record": (F, Pair(1.0, F), "an array of float64 instead of Pair(m, l)"),
    "one answer too many": ((F, F), (F,), "has an unexpected part [1]"),
    "a part of a record": (Pair(1.0, F + 1), Pair(1.0, F), ".l[0] 2 instead of 1"),
    "None": (None, F, "is None instead of an array of float64: is a `return`"),
    "text for a number": ("1.0", 1.0, "is '1.0' instead of a float"),
    "an array for a list of text": (F, ["a", "b"], "an array of float64 instead of a list"),
    "a number for text": (1, "1", "is an int instead of '1'"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_counts_however_it_is_wrapped(name):
    got, expected = RIGHT[name]
    assert told(got, expected).size <= 1e-2, told(got, expected)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_words(name):
    got, expected, words = WRONG[name]
    found = told(got, expected)
    assert found.size > 1
    assert words in found.text


def test_a_tolerance_is_relative_to_large_numbers_and_absolute_for_small_ones():
    big = np.array([1e6])
    assert told(big * (1 + 1e-10), big).size == pytest.approx(0.1, rel=1e-3)
    assert told(np.array([1e-10]), np.array([0.0])).size == pytest.approx(0.1)
    third = np.array([1 / 3])
    assert told(third.astype(np.float32), third).size > 1
    assert told(third.astype(np.float32), third, tolerance=1e-5).size < 0.1


def test_raising_is_right_where_the_same_is_expected_and_only_there():
    refused = {"raised": "ValueError", "message": "gamma", "where": []}
    value = {"value": 1.0, "gradients": {}, "changed": []}
    assert gap({**refused, "message": "other words"}, refused, 1e-9).size == 0
    assert gap({**refused, "raised": "IndexError"}, refused, 1e-9).size > 1
    assert gap(value, refused, 1e-9).text == "returned a value instead of raising ValueError"
    assert gap(refused, value, 1e-9).text == "raised ValueError instead of returning a value"
    assert gap({**refused, "import": True}, refused, 1e-9).size > 1
    assert gap({"unwritten": "f"}, refused, 1e-9).size > 1


def test_a_gradient_is_part_of_the_answer():
    right = {"value": 1.0, "gradients": {"x": encode(T)}, "changed": []}
    wrong = right | {"gradients": {"x": encode(T * 2)}}
    assert gap(right, right, 1e-9).size == 0
    assert gap(wrong, right, 1e-9).text == "gradient by x[0] 2 instead of 1"


@pytest.mark.parametrize(
    "x",
    [
        None,
        True,
        3,
        -2.5,
        "a",
        [1, [2.0]],
        (1, (2,)),
        {"a": F},
        F,
        F.astype(np.float32),
        np.zeros((0, 3)),
        np.array([[1, 2], [3, 4]])[:, ::-1],
        T,
        T.bfloat16(),
        torch.zeros(2, 0),
        torch.tensor([True, False]),
        T[None].mT,
        np.array(["x"]).size,
        Pair(F, T),
    ],
)
def test_plain_data_come_back_as_they_went(x):
    again = decode(encode(x), {"Pair": Pair})
    assert type(again) is type(x)
    assert encode(again) == encode(x)


def test_numbers_of_another_byte_order_keep_their_value():
    assert decode(encode(F.astype(">f8"))).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "x", [{1, 2}, object(), iter([]), lambda: 0, 2**70, np.array(["a"]), 1j, Pair]
)
def test_what_is_no_data_is_refused(x):
    with pytest.raises(TypeError):
        encode(x)
