"""Exercises: defined by a reference function, judged by named properties.

exercise          sets one (rlcourse.exercises)
check, progress   judge a function in a notebook, and show what was earned
"""

from .exercise import Exercise
from .notebook import case, check, progress

exercise = Exercise

__all__ = ["Exercise", "case", "check", "exercise", "progress"]
