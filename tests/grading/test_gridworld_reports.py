"""What a learner of the GridWorld chapter reads: small cases, and hints of a few lines."""

import pytest

from rlcourse.exercises.tabular import gridworld as set_
from rlcourse.grading.hints import ladder
from rlcourse.grading.plain import decode
from rlcourse.grading.verdict import explain, grade, local


@pytest.mark.parametrize(
    ("exercise", "wrong"),
    [
        (set_.policy_model, set_.goes_on_after_the_end),
        (set_.policy_model, set_.loses_repeated_successors),
        (set_.action_values, set_.bootstraps_past_the_end),
        (set_.action_values, set_.takes_the_value_of_the_state_itself),
    ],
)
def test_a_failing_mdp_is_shown_with_few_states_all_of_them_its_own(exercise, wrong):
    first = next(v for v in grade(exercise, wrong, 3) if v.outcome == "wrong")
    shown = explain(first, local(wrong, 5, exercise))
    mdp = decode(shown.question["case"]["mdp"], exercise.types)
    assert shown.misconceptions == (wrong,)
    assert len(mdp.p) <= 2
    assert mdp.s_next.max() < len(mdp.p)


@pytest.mark.parametrize("exercise", [set_.move, set_.policy_model, set_.action_values])
def test_a_worked_case_is_short_and_whole(exercise):
    _, formula, worked = ladder(exercise)
    assert "(eq-" not in formula
    assert "..." not in worked
    assert len(worked.splitlines()) < 25


def test_the_worked_moves_hold_a_bump_a_step_and_a_stay():
    assert "= Move(s_next=[3, 7, 0], bumped=[ True, False, False])" in ladder(set_.move)[2]


@pytest.mark.parametrize("exercise", [set_.policy_model, set_.action_values])
def test_the_worked_mdps_hold_one_end(exercise):
    assert exercise.worked["mdp"].terminated.sum() == 1
