"""What stands in a module's text: its definitions, its imports, and what depends on what.

Stubs, solutions and versions are all taken from here.
"""

import ast
import copy
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from .exercise import Exercise
from .worker import Function


class Import(NamedTuple):
    """`from module import name`, or `import module` where name is ""; `bound` is its name here."""

    module: str
    name: str
    bound: str

    def __str__(self) -> str:
        last = self.name or self.module
        rename = "" if self.bound in (last, last.split(".")[0]) else f" as {self.bound}"
        return (f"from {self.module} import " if self.name else "import ") + last + rename


@dataclass(frozen=True)
class Source:
    """The text of a module, and where each of its names comes from."""

    text: str
    definitions: dict[str, ast.stmt]
    imports: dict[str, Import]

    def segment(self, name: str) -> str:
        """The text of a definition, with its decorators."""
        node = self.definitions[name]
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        return "\n".join(self.text.splitlines()[first - 1 : node.end_lineno])

    def reached(self, names: Iterable[str]) -> list[str]:
        """The definitions that those names depend on, themselves included, in their order."""
        found: set[str] = set()
        todo = set(names) & self.definitions.keys()
        while todo:
            found |= todo
            todo = set().union(*(mentioned(self.definitions[n]) for n in todo))
            todo = (todo & self.definitions.keys()) - found
        return [n for n in self.definitions if n in found]


@cache
def source(module: str) -> Source:
    """What stands in an imported module."""
    text = inspect.getsource(sys.modules[module])
    return parse(text, sys.modules[module].__package__ or "")


def parse(text: str, package: str = "") -> Source:
    """What stands in a text. Raises SyntaxError where it is no Python."""
    body = ast.parse(text).body
    imports = {i.bound: i for node in body for i in _imports(node, package)}
    return Source(text, {n: node for node in body for n in _defined(node)}, imports)


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (t.id for t in targets if isinstance(t, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _imports(node: ast.stmt, package: str) -> Iterator[Import]:
    match node:
        case ast.Import(names=aliases):
            yield from (Import(a.name, "", a.asname or a.name.split(".")[0]) for a in aliases)
        case ast.ImportFrom(module=module, names=aliases, level=level):
            home = importlib.util.resolve_name("." * level + (module or ""), package)
            yield from (Import(home, a.name, a.asname or a.name) for a in aliases)


def mentioned(*nodes: ast.AST | None) -> set[str]:
    """Every name in the nodes, those in annotations written as strings included."""
    found: set[str] = set()
    for node in (n for top in nodes if top for n in ast.walk(top)):
        match node:
            case ast.Name(id=name):
                found.add(name)
            case ast.arg(annotation=ast.Constant(value=str(text))):
                found |= mentioned(ast.parse(text))
    return found


def version(exercise: Exercise) -> str:
    """Changes whenever the right answer, its private helpers or what is asked may have changed."""
    reference = exercise.reference
    asked: list[Function] = [f for c in exercise.checks for f in (c.cases, c.peak) if f]
    asked += [exercise.judge] if exercise.judge else []
    facts = [
        exercise.tolerance,
        *((c.cases.__name__, c.points, c.gradients, *c.slow) for c in exercise.checks),
    ]
    meaning = [*_meaning([reference]), *_meaning(asked), *map(str, facts)]
    return sha256("\n".join(meaning).encode()).hexdigest()[:12]


def solution(exercise: Exercise) -> str:
    """The reference, after the functions of its module that it calls."""
    here = source(exercise.reference.__module__)
    called = here.reached([exercise.name])
    functions = [n for n in called if isinstance(here.definitions[n], ast.FunctionDef)]
    return "\n\n\n".join(here.segment(n) for n in functions)


def _meaning(functions: list[Function]) -> list[str]:
    """The code of functions and all that they use in their module, without words."""
    here = source(functions[0].__module__)
    trees = [_wordless(here.definitions.get(f.__name__) or _parsed(f)) for f in functions]
    used = here.reached(mentioned(*trees))
    return [ast.unparse(t) for t in (*trees, *(_wordless(here.definitions[u]) for u in used))]


def _parsed(function: Function) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def _wordless(node: ast.stmt) -> ast.stmt:
    """The same code without docstrings; a function also without what decorates it."""
    tree = copy.deepcopy(node)
    for n in ast.walk(tree):
        if isinstance(n, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(n):
            n.body = n.body[1:] or [ast.Pass()]
    if isinstance(tree, ast.FunctionDef):
        tree.decorator_list = []
    return tree
