"""What the title of an exercise says: its points stand in its checks, and nowhere else."""

import importlib
from collections.abc import Mapping

from rlcourse.grading.exercise import Exercise


def find_exercise(page: str, name: str) -> Exercise:
    """The exercise of that name in rlcourse.exercises, under the room and topic of the page.

    Raises ValueError if the topic sets no such exercise.
    """
    room, topic = page.split("/")[-2:]
    module = importlib.import_module(f"rlcourse.exercises.{room}.{topic}")
    found = {x.name: x for x in vars(module).values() if isinstance(x, Exercise)}
    if name not in found:
        raise ValueError(f"name must be an exercise of {room}/{topic}: {[*found]}, got {name!r}")
    return found[name]


def title(page: str, name: str, options: Mapping[str, object]) -> str:
    """Exercise state_values · 4 points · easy · 10 min"""
    points = find_exercise(page, name).points
    facts = [f"Exercise {name}", f"{points} point{'s' * (points != 1)}"]
    if "difficulty" in options:
        facts.append(str(options["difficulty"]))
    if "minutes" in options:
        facts.append(f"{int(str(options['minutes']))} min")
    return " · ".join(facts)
