"""Stubs: what a learner starts from, generated from the references.

A desk file holds, for every exercise of its topic, signature and docstring; above them the imports
and the types they use, wherever in the course those are defined. It imports nothing of rlcourse,
so that it can be read, pasted in a notebook or handed in alone.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from .exercise import Exercise
from .source import Import, Source, mentioned, parse, source

T = TypeVar("T")
FIRST = "# desk {}: the hash of what follows. Edit below, and the file is yours."


@dataclass
class Parts:
    """What a desk file is made of; types stand after those that they mention."""

    imports: dict[str, Import] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    stubs: dict[str, str] = field(default_factory=dict)

    def without(self, names: set[str]) -> "Parts":
        """The parts that a file which has those names still lacks."""
        stubs = {n: s for n, s in self.stubs.items() if n not in names}
        types = {n: t for n, t in self.types.items() if n not in names}
        return Parts({n: i for n, i in self.imports.items() if n not in names}, types, stubs)

    def __str__(self) -> str:
        early, late = [], dict[str, str]()
        for name, text in self.types.items():
            if "\n" in text or mentioned(ast.parse(text)) & late.keys():
                late[name] = text
            else:
                early.append(text)
        head = "\n\n".join(filter(None, [_text(self.imports), "\n".join(early)]))
        return "\n\n\n".join(filter(None, [head, *late.values(), *self.stubs.values()]))


def desk_text(topic: str, exercises: list[Exercise]) -> str:
    """The desk file of a topic."""
    name = topic.split("/")[-1]
    says = f'"""Your desk for {topic}. Write the functions, then: rlcourse check {name}"""'
    return signed(f"{says}\n\n{parts(exercises)}\n")


def signed(body: str) -> str:
    """A desk file with its hash in the first line."""
    return f"{FIRST.format(_hash(body))}\n{body}"


def untouched(text: str) -> bool:
    """Whether a desk file is as it was generated."""
    first, _, body = text.partition("\n")
    return first.strip() == FIRST.format(_hash(body))


def _hash(body: str) -> str:
    return sha256(body.strip().encode()).hexdigest()[:12]


def parts(exercises: list[Exercise]) -> Parts:
    """Imports, types and stubs of the exercises of one topic.

    Raises ValueError where a type cannot stand alone on the desk.
    """
    made = Parts()
    own = {e.name for e in exercises}
    for e in exercises:
        module = e.reference.__module__
        here = source(module)
        node = here.definitions[e.name]
        assert isinstance(node, ast.FunctionDef)
        for name in sorted(mentioned(node.args, node.returns)):
            _need(made, own, module, name)
        kernels = [*_kernels(here, e.name)]
        for i in (here.imports[n] for n in sorted(mentioned(node, *kernels)) if n in here.imports):
            if not _ours(i.module):
                _add(made.imports, i.bound, i)
        for function in (*kernels, node):
            made.stubs[function.name] = _stub(here, function)
    return made


def _kernels(here: Source, name: str) -> Iterator[ast.FunctionDef]:
    """The kernels of Triton that a launcher needs: they are written with it."""
    for reached in map(here.definitions.get, here.reached([name])):
        above = reached.decorator_list if isinstance(reached, ast.FunctionDef) else []
        if any(ast.unparse(decorator).startswith("triton.jit") for decorator in above):
            assert isinstance(reached, ast.FunctionDef)
            yield reached


def _need(made: Parts, own: set[str], module: str, name: str) -> None:
    """Add a name of a module to the parts, with all that it mentions."""
    here = source(module)
    if name in here.definitions and not (name in own and name not in made.types):
        if name not in made.types:
            for other in sorted(mentioned(here.definitions[name]) - {name}):
                _need(made, own, module, other)
        _add(made.types, name, here.segment(name))
    elif name in here.imports:
        origin = here.imports[name]
        if not _ours(origin.module):
            _add(made.imports, name, origin)
        elif origin.name != name or f"{origin.module}.{name}" in sys.modules:
            raise ValueError(f"{name} of {module} is a module of rlcourse, which a desk lacks")
        else:
            importlib.import_module(origin.module)
            _need(made, own, origin.module, name)


def _add(into: dict[str, T], name: str, what: T) -> None:
    if into.setdefault(name, what) != what:
        raise ValueError(f"{name} means two things on one desk: {into[name]} and {what}")


def _ours(module: str) -> bool:
    return module.split(".")[0] == __name__.split(".")[0]


def _stub(here: Source, function: ast.FunctionDef) -> str:
    """Signature and docstring of a function, and nothing else."""
    documented = ast.get_docstring(function) is not None
    last = function.body[0].end_lineno if documented else function.body[0].lineno - 1
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    lines = here.text.splitlines()[first - 1 : last]
    return "\n".join([*lines, "    raise NotImplementedError"])


def _text(imports: dict[str, Import]) -> str:
    """Import statements, Python's own before those of others."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    merged: dict[str, list[str]] = {}
    for i in sorted(imports.values(), key=lambda i: (bool(i.name), i.module, i.name)):
        start, _, names = str(i).partition(" import ")
        merged.setdefault(start, []).extend([names] if names else [])
    for start, names_ in merged.items():
        module = start.split()[1].split(".")[0]
        line = f"{start} import {', '.join(names_)}" if names_ else start
        groups[module in sys.stdlib_module_names].append(line)
    return "\n\n".join("\n".join(groups[k]) for k in (True, False) if groups[k])


def lacking(text: str, exercises: list[Exercise]) -> Parts:
    """What a learner's file lacks of the exercises that it does not have yet."""
    have = parse(text)
    new = [e for e in exercises if e.name not in have.definitions]
    return parts(new).without(have.definitions.keys() | have.imports.keys()) if new else Parts()
