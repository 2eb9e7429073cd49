"""Every function one slip away from a reference: the wrong answers nobody thought of.

What the learner must write is the reference and every function of rlcourse that it calls, private
helpers and public ones of this or another module, recursively. All of them are mutated, one slip
at a time, but for the `spared`: other functions graded in the same topic, and those of modules that
are tested elsewhere. Each mutant is a reference whose helpers are bound to it. A kernel of
Triton is such a helper; it is made a kernel again.
"""

import ast
import inspect
import linecache
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import cache
from itertools import count
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from .kernels import bare
from .scope import names_of, scope
from .slips import slips

Function = Callable[..., Any]
UNTOUCHED = (ast.Raise, ast.JoinedStr, ast.arguments)  # error messages; what the stub tells
SILENT = {"returns", "annotation", "decorator_list", "type_params"}


class Mutant(NamedTuple):
    """A slip in words, `function: old -> new`, and the reference that has it.

    Where the words fit twice, the statement follows; where that does too, a number.
    """

    what: str
    function: Function


class Spot(NamedTuple):
    """A place in a tree that holds a node, and the first line of the statement around it."""

    holder: ast.AST
    field: str
    at: int | None
    node: ast.AST
    line: str

    def put(self, node: ast.AST) -> None:
        if self.at is None:
            setattr(self.holder, self.field, node)
        else:
            getattr(self.holder, self.field)[self.at] = node


def mutants(reference: Function, spared: Collection[object] = ()) -> Iterator[Mutant]:
    """Every mutant of the reference; `spared` holds functions, and names of modules."""
    known = family(reference, spared)
    for function in known:
        changes = list(_changes(function))
        short = Counter(what for what, _, _ in changes)
        full: Counter[str] = Counter()
        for what, line, code in changes:
            name = what if short[what] == 1 else f"{what}  in  {line}"
            full[name] += 1
            nth = f"  (no. {full[name]})" if full[name] > 1 else ""
            what = f"{function.__name__}: {name}{nth}"
            yield Mutant(what, rebound(known, function, code)[reference])


def family(reference: Function, spared: Collection[object] = ()) -> list[Function]:
    """The reference and the functions of rlcourse it calls, directly or through others."""
    found: list[Function] = [reference]
    for function in found:
        for helper in _called(function):
            home = helper.__module__
            ours = home.partition(".")[0] == "rlcourse" or home == reference.__module__
            if ours and not {helper, home} & set(spared) and helper not in found:
                found.append(helper)
    return found


def _called(function: Function) -> Iterator[Function]:
    names = names_of(function)
    for node in ast.walk(_tree(function)):
        match node:
            case ast.Name(name):
                value = names.get(name)
            case ast.Attribute(ast.Name(module), name) if isinstance(names.get(module), ModuleType):
                value = getattr(names[module], name, None)
            case _:
                continue
        value = inspect.unwrap(bare(value)) if callable(value) else value
        if isinstance(value, FunctionType):
            yield value


def rebound(known: list[Function], changed: Function, code: CodeType) -> dict[Function, Function]:
    """Each function of the family anew, calling the changed one wherever it called the old."""
    homes = {f.__module__: dict(names_of(f)) for f in known}
    new: dict[Function, Function] = {}
    for f in known:
        exec(code if f is changed else _code(f), home := homes[f.__module__])
        new[f] = home[f.__name__]
    proxies = {name: ModuleType(name) for name in homes}
    for home in homes.values():
        for name, value in home.items():
            if isinstance(value, ModuleType):
                home[name] = proxies.get(value.__name__, value)
            elif callable(value):
                home[name] = new.get(inspect.unwrap(bare(value)), value)
    for name, proxy in proxies.items():
        vars(proxy).update(homes[name])
    return new


@cache
def _code(function: Function) -> CodeType:
    return _compiled(_tree(function))


def _compiled(tree: ast.Module) -> CodeType:
    with warnings.catch_warnings():  # `len[0]`, say: calling the mutant will show it
        warnings.simplefilter("ignore", SyntaxWarning)
        file = f"<mutant {next(_numbers)}>"
        if getattr(tree.body[0], "decorator_list", ()):  # Triton reads the text of a kernel
            text = ast.unparse(tree) + "\n"
            linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
            return compile(text, file, "exec")
        return compile(tree, file, "exec")


_numbers = count()


def _tree(function: Function) -> ast.Module:
    """The function's syntax tree, without docstrings."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _changes(function: Function) -> Iterator[tuple[str, str, CodeType]]:
    """(the slip in words, its statement, the function that has it), no two of the same text."""
    tree = _tree(function)
    known, seen = scope(function, tree), {ast.unparse(tree)}
    for spot in [s for statement in _body(tree) for s in _spots(statement)]:
        before = _line(spot.node)
        for new in slips(spot.node, known):
            if isinstance(spot.holder, ast.Expr) and not isinstance(new, ast.Call):
                continue  # a value that nobody uses: the statement is dropped already
            spot.put(ast.copy_location(new, spot.node))
            ast.fix_missing_locations(tree)
            if (text := ast.unparse(tree)) not in seen:
                seen.add(text)
                yield f"{before}  ->  {_line(new)}", spot.line, _compiled(tree)
        spot.put(spot.node)


def _body(tree: ast.Module) -> list[Spot]:
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef), "mutants are made of plain functions"
    return [Spot(function, "body", i, s, _line(s)) for i, s in enumerate(function.body)]


def _spots(spot: Spot) -> Iterator[Spot]:
    """This place and all below it, but for error messages, annotations and default values."""
    last = isinstance(spot.node, ast.Return) and isinstance(spot.holder, ast.FunctionDef)
    if not last:  # without its last `return` a function is None: no slip that teaches
        yield spot
    if isinstance(spot.node, ast.UnaryOp) and isinstance(spot.node.operand, ast.Constant):
        return  # -1 is one constant
    for field, value in ast.iter_fields(spot.node):
        if field in SILENT:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST) and not isinstance(node, UNTOUCHED):
                line = _line(node) if isinstance(node, ast.stmt) else spot.line
                yield from _spots(Spot(spot.node, field, index, node, line))


def _line(node: ast.AST) -> str:
    if isinstance(node, ast.comprehension):
        return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}" + "".join(
            f" if {ast.unparse(test)}" for test in node.ifs
        )
    return ast.unparse(node).partition("\n")[0]
