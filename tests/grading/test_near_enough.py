"""The judge of iterative evaluation: any array near the exact values, and a word on all else."""

import numpy as np
import pytest

from rlcourse.exercises.tabular.gridworld import iterative_evaluation, near_enough
from rlcourse.grading.verdict import grade
from rlcourse.tabular.gridworld import closed_form
from rlcourse.tabular.mdp import deterministic_mdp

MDP = deterministic_mdp(np.array([[1], [2], [0]]), np.array([[1.0], [0.0], [2.0]]))
PI = np.ones((3, 1))
EXACT = closed_form(MDP, PI, 0.5)
ODD = [
    ((EXACT, 12), "is a tuple instead of one array of shape (3,): return v alone"),
    (None, "is None instead of one array of shape (3,): is a `return` missing?"),
    ([[1.0], [2.0, 3.0]], "is a list instead of one array of shape (3,)"),
    ({"v": 1.0}, "is a dict instead of one array of shape (3,)"),
    ("v", "is 'v' instead of one array of shape (3,)"),
    (EXACT[:2], "values of shape (3,) were expected, got float64 (2,)"),
]


@pytest.mark.parametrize(("got", "words"), ODD)
def test_what_is_no_array_of_values_is_told_in_words(got, words):
    assert near_enough(got, EXACT, MDP, PI, 0.5, 1e-6) == words


@pytest.mark.parametrize("got", [EXACT, EXACT + 9e-7, EXACT.tolist(), tuple(EXACT)])
def test_values_within_the_tolerance_are_right_in_any_wrapping(got):
    assert near_enough(got, EXACT, MDP, PI, 0.5, 1e-6) is None


def test_values_with_their_count_of_sweeps_fail_and_crash_nothing():
    def counts(mdp, pi, gamma, tolerance):
        return closed_form(mdp, pi, gamma), 12

    first = grade(iterative_evaluation, counts, 3)[0]
    assert first.outcome == "wrong"
    assert "return v alone" in first.difference
