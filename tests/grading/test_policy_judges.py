"""The judges of policy improvement and iteration: any optimal answer, and a word on others."""

import numpy as np
import pytest

from rlcourse.exercises.tabular import dynamic_programming as set_
from rlcourse.exercises.tabular.dynamic_programming import best_of_all, improved
from rlcourse.grading.verdict import explain, grade, local
from rlcourse.tabular.dynamic_programming import OptimalPolicy, policy_iteration
from rlcourse.tabular.mdp import deterministic_mdp

Q = np.array([[1.0, 2.0, 2.0], [3.0, 0.0, 3.0], [-1.0, -3.0, -2.0]])
A = np.array([2, 1, 0])
WRONG_ACTIONS = [
    ([1, 0, 0], "[0] is 1 instead of 2, which is among the best already"),
    ([2, 1, 0], "[1] is 1, where q is 0; action 0 has 3"),
    ([2, 0, 3], "3 is no action: there are 3, from 0"),
    (None, "is None instead of actions of shape (3,): is a `return` missing?"),
    (np.ones(3), "actions of shape (3,) were expected, got float64 (3,)"),
    (np.eye(3, dtype=int), "actions of shape (3,) were expected, got int64 (3, 3)"),
    ([[1], [2, 3]], "is a list instead of actions of shape (3,)"),
    ({"a": 1}, "is a dict instead of actions of shape (3,)"),
]


@pytest.mark.parametrize(("got", "words"), WRONG_ACTIONS)
def test_what_is_no_improvement_is_told_in_words(got, words):
    assert improved(got, A, Q, A) == words


@pytest.mark.parametrize("got", [[2, 0, 0], (2, 2, 0), np.array([2, 2, 0], np.int32)])
def test_any_of_the_best_actions_is_an_improvement(got):
    assert improved(got, A, Q, A) is None


# From state 0 one can stay (0), or go on for nothing (1, 2) to state 1, where staying pays 1.
MDP = deterministic_mdp(
    np.array([[0, 1, 1], [1, 1, 0]]), np.array([[0.1, 0.0, 0.0], [1.0, 1.0, 0.0]])
)
FIRST = np.array([0, 2])
BEST = policy_iteration(MDP, 0.5, FIRST)


def answer(v=BEST.v, policies=((0, 2), (0, 0), (1, 0)), a=None):
    return OptimalPolicy(v, np.array(policies[-1] if a is None else a), np.array(policies))


@pytest.mark.parametrize("step", [(0, 0), (0, 1)])
@pytest.mark.parametrize("last", [1, 2])
def test_policy_iteration_may_take_any_of_the_actions_that_tie(step, last):
    got = answer(policies=(tuple(FIRST), step, (last, step[1])))
    assert best_of_all(got, BEST, MDP, 0.5, FIRST) is None


WRONG_POLICIES = [
    ((BEST.v, BEST.a), "is a tuple instead of OptimalPolicy(v, a, policies)"),
    (
        BEST._replace(policies=BEST.a),
        ".policies: actions of shape (N, 2) were expected, got int64 (2,)",
    ),
    (BEST._replace(v=BEST.v[:1]), ".v: values of shape (2,) were expected, got float64 (1,)"),
    (answer(policies=((0, 3), (0, 2))), ".policies: 3 is no action: there are 3, from 0"),
    (answer(policies=((0, 0), (1, 0))), ".policies[0] is not the first policy, a"),
    (answer(policies=((0, 2), (0, 0), (0, 0))), ".policies[2] repeats the one before"),
    (answer(policies=((0, 2), (0, 0))), ".policies[1] is followed by action 0 in state 0"),
    (answer(policies=((0, 2), (1, 0))), ".policies[0] is followed by action 1 in state 0"),
    (answer(policies=((0, 2), (0, 0), (1, 0), (2, 0))), ".policies[2] is best already"),
    (answer(a=(2, 0)), ".a is not the last of .policies"),
    (answer(v=BEST.v + [0.0, 1e-6]), ".v[1] 2.000001 instead of 2"),
]


@pytest.mark.parametrize(("got", "words"), WRONG_POLICIES)
def test_what_is_wrong_with_an_optimal_policy_is_told_in_words(got, words):
    assert best_of_all(got, BEST, MDP, 0.5, FIRST).startswith(words)


def test_without_a_first_policy_the_best_under_the_uniform_one_is_the_first():
    got = answer(policies=((0, 0), (1, 0)))
    assert best_of_all(got, BEST, MDP, 0.5) == (
        "the uniform policy is followed by action 0 in state 0, of q 0.344444;"
        " action 1 has 0.561111"
    )


@pytest.mark.parametrize(
    ("exercise", "wrong"),
    [
        (set_.truncated_evaluation, set_.evaluates_past_the_end),
        (set_.truncated_evaluation, set_.sweeps_state_by_state),
        (set_.in_place_sweep, set_.looks_at_the_old_values),
        (set_.policy_iteration, set_.takes_turns_among_ties),
    ],
)
def test_a_failing_mdp_of_dynamic_programming_is_shown_with_few_states(exercise, wrong):
    first = next(v for v in grade(exercise, wrong, 3) if v.outcome == "wrong")
    shown = explain(first, local(wrong, 5, exercise))
    states = shown.question["case"]["mdp"]["fields"]["p"]["shape"][0]
    assert shown.misconceptions == (wrong,)
    assert states <= 3
