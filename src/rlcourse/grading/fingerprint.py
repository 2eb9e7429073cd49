"""A hash of all that the quality gate's report on an exercise depends on.

Wider than an exercise's version (source.py), which tells learners what changed: a misconception, a
helper in another module, the engine, NumPy count too. A kept report must never hide a survivor.
"""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import rlcourse

from .exercise import Exercise

PACKAGE = Path(rlcourse.__file__).parent
LIBRARIES = ("numpy", "torch", "triton")


def fingerprint(exercise: Exercise, elsewhere: Sequence[str] = ()) -> str:
    """A hash of the exercise's file, all of rlcourse that it imports, the engine and libraries."""
    homes = {inspect.getfile(f) for f in (exercise.reference, *(c.cases for c in exercise.checks))}
    files = sources([Path(h) for h in homes] + sorted((PACKAGE / "grading").glob("*.py")))
    digest = hashlib.sha256(repr((sys.version_info[:2], _libraries(), [*elsewhere])).encode())
    for file in sorted(files):
        digest.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _libraries() -> list[str]:
    found = []
    for name in LIBRARIES:
        try:
            found.append(version(name))
        except PackageNotFoundError:
            found.append("absent")
    return found


def sources(files: Sequence[Path]) -> set[Path]:
    """The files, and those of rlcourse that they import, directly or through others."""
    found, left = set(files), [*files]
    while left:
        new = set(_imported(left.pop())) - found
        found |= new
        left += new
    return found


def _imported(file: Path) -> Iterator[Path]:
    """The files of rlcourse that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = _absolute(file, node)
            names = [home, *(f"{home}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _files(name)


def _absolute(file: Path, node: ast.ImportFrom) -> str:
    if not node.level or PACKAGE not in file.parents:
        return node.module or ""
    inside = ("rlcourse", *file.relative_to(PACKAGE).parts)[: -node.level]
    return ".".join([*inside, *filter(None, [node.module])])


def _files(name: str) -> Iterator[Path]:
    """The module of that name and the packages around it, where they are ours."""
    first, *rest = name.split(".")
    if first != "rlcourse":
        return
    for i in range(len(rest) + 1):
        place = PACKAGE.joinpath(*rest[:i])
        yield from (p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file())
