"""Which exercises there are. Topics are found without importing them, since some need torch.

What a topic needs is what its file imports. Where a library is missing the topic cannot be judged:
its points are then neither earned nor possible.
"""

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from rlcourse import exercises

from .exercise import Exercise

SETS = re.compile(r"^\w+ = exercise\(\s*(?:\w+\.)*(\w+)", re.MULTILINE)
RUNS_ON = {"triton": ("linux", "Linux")}  # library -> the one platform that has it, and its name


class Missing(ValueError):
    """A topic cannot be judged on this machine: it `needs` what is not there."""

    def __init__(self, topic: str, needs: str) -> None:
        super().__init__(f"{topic} {needs}")
        self.needs = needs


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
    return [n for text in _texts(topic) for n in SETS.findall(text)]


def _texts(topic: str) -> Iterator[str]:
    paths = [Path(home, f"{topic}.py") for home in exercises.__path__]
    yield from (p.read_text("utf-8") for p in paths if p.exists())


def needs(topic: str) -> str:
    """What this machine lacks of what a topic needs, in words; "" where nothing is missing."""
    nodes = [node for text in _texts(topic) for node in ast.parse(text).body]
    modules = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    modules += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    roots = dict.fromkeys(m.partition(".")[0] for m in modules)
    lacking = [r for r in roots if find_spec(r) is None]
    elsewhere = [RUNS_ON[r] for r in lacking if r in RUNS_ON]
    wrong = [name for platform, name in elsewhere if not sys.platform.startswith(platform)]
    if wrong:
        return f"needs {wrong[0]}"
    return f"needs {lacking[0]}: pip install {lacking[0]}" if lacking else ""


def load(topic: str) -> list[Exercise]:
    """The exercises of a topic, in the order of its file. Missing where it cannot be judged."""
    if lack := needs(topic):
        raise Missing(topic, lack)
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
