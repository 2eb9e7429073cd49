"""The points in a title are those of the checks, under the page's own topic or a helper's."""

import importlib

import pytest

from rlcourse.book.graded import points_of, title
from rlcourse.grading import course
from rlcourse.grading.exercise import Exercise


@pytest.mark.parametrize("topic", course.topics())
def test_the_points_read_from_the_text_are_those_that_are_given(topic):
    module = pytest.importorskip(f"rlcourse.exercises.{topic.replace('/', '.')}")
    found = [x for x in vars(module).values() if isinstance(x, Exercise)]
    assert found
    for exercise in found:
        assert points_of(f"book/{topic}", exercise.name) == exercise.points > 0


def test_a_page_may_set_an_exercise_of_another_topic_of_its_room():
    """Such as one that needs more than the page's own: it has a desk file of its own."""
    move = importlib.import_module("rlcourse.exercises.tabular.gridworld").move
    words = title("book/tabular/monte_carlo", "gridworld.move", {"minutes": 5})
    assert words == f"Exercise move · {move.points} points · 5 min"


def test_a_name_that_the_topic_does_not_set_is_refused():
    with pytest.raises(ValueError, match="name must be an exercise of tabular/monte_carlo"):
        points_of("book/tabular/monte_carlo", "move")
    with pytest.raises(ValueError, match="name must be an exercise of tabular/nothing"):
        points_of("book/tabular/nothing", "move")
