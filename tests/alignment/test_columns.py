"""Named columns of one length."""

import pytest
import torch

from rlcourse.alignment.columns import joined, parts, stacked

A, B = torch.arange(5), torch.arange(10).view(5, 2)


def test_what_was_cut_and_stacked_is_the_same():
    found = parts({"a": A, "b": B}, 2)
    assert [len(part["a"]) for part in found] == [2, 2, 1]
    whole = stacked(found)
    assert torch.equal(whole["a"], A)
    assert torch.equal(whole["b"], B)


def test_columns_are_joined_and_an_equal_one_may_come_again():
    assert [*joined({"a": A}, {"b": B}, {"a": A.clone()})] == ["a", "b"]


def test_no_column_is_replaced_and_lengths_must_fit():
    with pytest.raises(ValueError, match="columns must not be replaced, got another 'a'"):
        joined({"a": A}, {"a": A + 1})
    with pytest.raises(ValueError, match="columns must be of one length, got"):
        joined({"a": A}, {"b": B[:2]})
