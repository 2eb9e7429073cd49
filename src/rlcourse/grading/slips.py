"""What a slip of the hand could have written in place of a node of a syntax tree.

Swapped operators, functions, arguments, fields and branches; dropped terms, calls, keywords, bounds
and statements; shifted constants and indices; changed axes; negated conditions. A slip that breaks
the program at once (a name that is not there) teaches nothing, and is left out where it is seen.
"""

import ast
from collections.abc import Callable, Iterator
from typing import Any

from .expressions import EXPRESSIONS, SWAPS, made
from .scope import Scope


def slips(old: ast.AST, scope: Scope) -> Iterator[ast.AST]:
    """Every node that one slip makes of `old`."""
    if isinstance(getattr(old, "ctx", None), ast.Store | ast.Del):
        return
    if kind := KINDS.get(type(old)):
        yield from kind(old, scope)


def _if(old: ast.If, _: Scope) -> Iterator[ast.AST]:
    yield ast.If(ast.UnaryOp(ast.Not(), old.test), old.body, old.orelse)
    yield ast.If(ast.Constant(True), old.body, [])
    yield ast.If(ast.Constant(False), old.body, old.orelse)


def _while(old: ast.While, _: Scope) -> Iterator[ast.AST]:
    yield ast.If(old.test, old.body, [])
    yield ast.Pass()


def _for(old: ast.For, _: Scope) -> Iterator[ast.AST]:
    yield ast.For(old.target, old.iter, [*old.body, ast.Break()], [])
    yield ast.Pass()


def _block(old: ast.With | ast.Try, _: Scope) -> Iterator[ast.AST]:
    yield ast.If(ast.Constant(True), old.body, [])


def _assign(old: ast.Assign | ast.AnnAssign, scope: Scope) -> Iterator[ast.AST]:
    targets = old.targets if isinstance(old, ast.Assign) else [old.target]
    names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    if all(scope.bound[n] > 1 or n in scope.parameters for n in names):
        yield ast.Pass()


def _augmented(old: ast.AugAssign, _: Scope) -> Iterator[ast.AST]:
    yield ast.Pass()
    yield ast.Assign([old.target], old.value)
    for op in SWAPS.get(type(old.op), ()):
        yield ast.AugAssign(old.target, made(op), old.value)


def _statement(old: ast.stmt, _: Scope) -> Iterator[ast.AST]:
    yield ast.Pass()


KINDS: dict[type[ast.AST], Callable[[Any, Scope], Iterator[ast.AST]]] = {
    **EXPRESSIONS,
    ast.If: _if, ast.While: _while, ast.For: _for, ast.With: _block, ast.Try: _block,
    ast.Assign: _assign, ast.AnnAssign: _assign, ast.AugAssign: _augmented, ast.Expr: _statement,
    ast.Break: _statement, ast.Continue: _statement, ast.Assert: _statement,
    ast.Return: _statement,
}  # fmt: skip
