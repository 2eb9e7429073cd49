"""What the title of an exercise says: its points stand in its checks, and nowhere else.

They are read there and not imported, so that the book can be built where an exercise can't run.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

from rlcourse import exercises


def points_of(page: str, name: str) -> int:
    """The points of an exercise in rlcourse.exercises, under the room and topic of the page.

    `row_kernel.online_softmax_rows` is one of another topic of the room, a helper's. Raises
    ValueError if the topic sets no such exercise.
    """
    room, own = page.split("/")[-2:]
    other, _, name = name.rpartition(".")
    topic = f"{room}/{other or own}"
    path = Path(next(iter(exercises.__path__)), f"{topic}.py")
    body = ast.parse(path.read_text("utf-8")).body if path.is_file() else []
    found: dict[str, int] = {}
    for statement in body:
        match statement:
            case ast.Assign([ast.Name(exercise)], ast.Call(ast.Name("exercise"))):
                found[exercise] = 0
            case ast.FunctionDef(decorator_list=[ast.Call(keywords=keywords) as above]):
                exercise = ast.unparse(above.func).removesuffix(".check")
                given = {x.arg: x.value for x in keywords}
                if exercise in found and "points" in given:
                    found[exercise] += ast.literal_eval(given["points"])
    if name not in found:
        raise ValueError(f"name must be an exercise of {topic}: {[*found]}, got {name!r}")
    return found[name]


def title(page: str, name: str, options: Mapping[str, object]) -> str:
    """Exercise state_values · 4 points · easy · 10 min"""
    points = points_of(page, name)
    facts = [f"Exercise {name.rpartition('.')[2]}", f"{points} point{'s' * (points != 1)}"]
    if "difficulty" in options:
        facts.append(str(options["difficulty"]))
    if "minutes" in options:
        facts.append(f"{int(str(options['minutes']))} min")
    return " · ".join(facts)
