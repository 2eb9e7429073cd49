"""Which exercises there are. Topics are found without importing them, since some need torch."""

import importlib
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from rlcourse import exercises

from .exercise import Exercise

SETS = re.compile(r"^\w+ = exercise\(\s*(?:\w+\.)*(\w+)", re.MULTILINE)


def topics() -> list[str]:
    """Every topic that has exercises, as room/topic, in the reading order of the book."""
    found = {
        f"{path.parent.name}/{path.stem}"
        for home in exercises.__path__
        for path in Path(home).glob("*/*.py")
        if not path.stem.startswith("_")
    }
    return sorted(found, key=_order)


def _order(topic: str) -> tuple[int, int, str]:
    room, name = topic.split("/")
    rooms, inside = [*exercises.ROOMS], exercises.ROOMS.get(room, "").split()
    place = [x.index(n) if n in x else len(x) for x, n in ((rooms, room), (inside, name))]
    return place[0], place[1], topic


def names(topic: str) -> list[str]:
    """The names of a topic's exercises, read from its text."""
    paths = [Path(home, f"{topic}.py") for home in exercises.__path__]
    return [n for p in paths if p.exists() for n in SETS.findall(p.read_text("utf-8"))]


def load(topic: str) -> list[Exercise]:
    """The exercises of a topic, in the order of its file."""
    module = importlib.import_module(f"rlcourse.exercises.{topic.replace('/', '.')}")
    return [x for x in vars(module).values() if isinstance(x, Exercise) and x.topic == topic]


def select(words: Sequence[str]) -> dict[str, list[str]]:
    """The exercises meant by rooms, topics, files or exercises, by topic; all for no word.

    Raises ValueError for a word that means none.
    """
    every = topics()
    wanted: dict[str, set[str]] = {}
    for word in words:
        for topic, chosen in _meant(word, every).items():
            wanted.setdefault(topic, set()).update(chosen)
    known = {t: names(t) for t in every if t in wanted or not words}
    return {t: [n for n in ns if not words or n in wanted[t]] for t, ns in known.items()}


def find(name: str) -> Exercise:
    """The exercise of that name; only the topic that sets it is imported.

    Raises ValueError where no topic sets it, or several do.
    """
    every = topics()
    setting = [t for t in every if name in names(t)]
    if len(setting) != 1:
        where = " and ".join(setting) or "no topic"
        known = [n for t in every for n in names(t)]
        raise ValueError(f"{where} sets an exercise named {name}{_nearest(name, known)}")
    return next(x for x in load(setting[0]) if x.name == name)


def _meant(word: str, every: list[str]) -> dict[str, list[str]]:
    path = word.replace("\\", "/").rstrip("/").removesuffix(".py").split("/")
    parts = [p.removeprefix("test_") for p in path]
    whole = [t for t in every if t == "/".join(parts[-2:])]
    part = [t for t in every if parts[-1] in t.split("/")]
    if found := whole or part:
        return {t: names(t) for t in found}
    if setting := [t for t in every if word in names(t)]:
        return {t: [word] for t in setting}
    known = {n for t in every for n in (*t.split("/"), t, *names(t))}
    near = _nearest(word, sorted(known))
    raise ValueError(f"no topic or exercise is called {word}{near} (topics: {', '.join(every)})")


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f": did you mean {near[0]}?" if near else ""
