"""What a slip of the hand could have written in place of an expression."""

import ast
from collections.abc import Callable, Iterator
from typing import Any

from .scope import Scope

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.MatMult: (ast.Mult,), ast.Pow: (ast.Mult,), ast.FloorDiv: (ast.Mod,),
    ast.Mod: (ast.FloorDiv,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.BitXor: (ast.BitOr,),
    ast.Lt: (ast.LtE, ast.GtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt, ast.GtE),
    ast.Gt: (ast.GtE, ast.LtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ORDERED = (ast.Sub, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv, ast.Mod)
SYMMETRIC = {"maximum", "minimum", "allclose", "isclose", "array_equal", "max", "min"}
TWINS = (
    "max min, amax amin, maximum minimum, argmax argmin, zeros ones, zeros_like ones_like, "
    "sum mean, any all, floor ceil, logical_and logical_or, cumsum cumprod"
)
TWIN = {a: b for pair in TWINS.split(", ") for a, b in (pair.split(), pair.split()[::-1])}
BUILTINS = {"max", "min", "any", "all"}


def _binary(old: ast.BinOp, _: Scope) -> Iterator[ast.AST]:
    for op in SWAPS.get(type(old.op), ()):
        yield ast.BinOp(old.left, made(op), old.right)
    yield from (old.left, old.right)
    if isinstance(old.op, ORDERED):
        yield ast.BinOp(old.right, old.op, old.left)


def made(kind: type[ast.AST]) -> Any:
    return kind()


def _compare(old: ast.Compare, _: Scope) -> Iterator[ast.AST]:
    for i, was in enumerate(old.ops):
        for op in SWAPS.get(type(was), ()):
            yield ast.Compare(
                old.left, [*old.ops[:i], made(op), *old.ops[i + 1 :]], old.comparators
            )
    if len(old.ops) > 1:
        yield ast.Compare(old.left, old.ops[:1], old.comparators[:1])
        yield ast.Compare(old.comparators[0], old.ops[1:], old.comparators[1:])


def _boolean(old: ast.BoolOp, _: Scope) -> Iterator[ast.AST]:
    yield ast.BoolOp(made(SWAPS[type(old.op)][0]), old.values)
    for i in range(len(old.values)):
        rest = old.values[:i] + old.values[i + 1 :]
        yield ast.BoolOp(old.op, rest) if len(rest) > 1 else rest[0]


def _unary(old: ast.UnaryOp, _: Scope) -> Iterator[ast.AST]:
    match old.operand:
        case ast.Constant(int() | float() as n) if isinstance(old.op, ast.USub):
            yield from (ast.Constant(1 - n), ast.Constant(-1 - n))
        case operand:
            yield operand


def _constant(old: ast.Constant, _: Scope) -> Iterator[ast.AST]:
    match old.value:
        case bool() as b:
            yield ast.Constant(not b)
        case int() | float() as n:
            yield from (ast.Constant(n + 1), ast.Constant(n - 1))
        case str() as s if "->" in s:  # einsum: another axis of an operand or of the answer
            left, right = s.split("->")
            turned = {f"{left}->{right[::-1]}", f"{left[:2][::-1]}{left[2:]}->{right}"}
            yield from (ast.Constant(new) for new in sorted(turned - {s}))


def _if_expression(old: ast.IfExp, _: Scope) -> Iterator[ast.AST]:
    yield from (ast.IfExp(old.test, old.orelse, old.body), old.body, old.orelse)


def _call(old: ast.Call, scope: Scope) -> Iterator[ast.AST]:
    args, keywords = old.args, old.keywords
    name = ast.unparse(old.func).split(".")[-1]
    if not (name == "asarray" and isinstance(args[0], ast.Call | ast.BinOp | ast.Compare)):
        # np.asarray(x + y) only tells the type checker what x + y is already
        yield from (a for a in args if not isinstance(a, ast.Starred | ast.GeneratorExp))
    owner = old.func.value if isinstance(old.func, ast.Attribute) else None
    method = owner is not None and ast.unparse(owner) not in scope.modules
    if owner is not None and method:
        yield owner
    for i in range(0 if name in SYMMETRIC else len(args) - 1):
        yield ast.Call(old.func, [*args[:i], args[i + 1], args[i], *args[i + 2 :]], keywords)
    if len(args) > 1 or (args and method):
        yield ast.Call(old.func, args[:-1], keywords)
    for i in range(len(keywords)):
        yield ast.Call(old.func, args, keywords[:i] + keywords[i + 1 :])
    if name == "range" and args and not isinstance(args[-1], ast.Constant):
        for end in _shifted(args[-1]):
            yield ast.Call(old.func, [*args[:-1], end], keywords)


def _shifted(x: ast.expr) -> Iterator[ast.expr]:
    yield from (ast.BinOp(x, op, ast.Constant(1)) for op in (ast.Sub(), ast.Add()))


def _name(old: ast.Name, scope: Scope) -> Iterator[ast.AST]:
    if old.id in scope.parameters and len(scope.parameters) > 1:
        yield ast.Name(scope.parameters[scope.parameters.index(old.id) - 1], ast.Load())
    elif old.id in BUILTINS:
        yield ast.Name(TWIN[old.id], ast.Load())


def _attribute(old: ast.Attribute, scope: Scope) -> Iterator[ast.AST]:
    if old.attr in TWIN:
        yield ast.Attribute(old.value, TWIN[old.attr], ast.Load())
    fields = scope.fields.get(ast.unparse(old.value), ())
    if old.attr in fields and len(fields) > 1:
        yield ast.Attribute(old.value, fields[fields.index(old.attr) - 1], ast.Load())


def _subscript(old: ast.Subscript, _: Scope) -> Iterator[ast.AST]:
    yield old.value
    inside = old.slice.elts if isinstance(old.slice, ast.Tuple) else [old.slice]
    for i, index in enumerate(inside):
        if isinstance(index, ast.Name):
            moved = [*inside[:i], ast.BinOp(index, ast.Sub(), ast.Constant(1)), *inside[i + 1 :]]
            where = ast.Tuple(moved, ast.Load()) if isinstance(old.slice, ast.Tuple) else moved[0]
            yield ast.Subscript(old.value, where, ast.Load())


def _slice(old: ast.Slice, _: Scope) -> Iterator[ast.AST]:
    for side in ("lower", "upper", "step"):
        bound = getattr(old, side)
        if bound is None:
            continue
        for new in (None, *(_shifted(bound) if isinstance(bound, ast.Name) else ())):
            yield ast.Slice(**{**dict(ast.iter_fields(old)), side: new})


def _tuple(old: ast.Tuple, _: Scope) -> Iterator[ast.AST]:
    items = old.elts
    axes = all(isinstance(x, ast.Constant) for x in items)  # their order does not matter
    for i in range(0 if axes else len(items) - 1):
        swapped = [*items[:i], items[i + 1], items[i], *items[i + 2 :]]
        yield ast.Tuple(swapped, ast.Load())
    for i in range(len(items) if len(items) > 1 else 0):
        yield ast.Tuple(items[:i] + items[i + 1 :], ast.Load())


def _comprehension(old: ast.comprehension, _: Scope) -> Iterator[ast.AST]:
    for i in range(len(old.ifs)):
        yield ast.comprehension(old.target, old.iter, old.ifs[:i] + old.ifs[i + 1 :], old.is_async)


EXPRESSIONS: dict[type[ast.AST], Callable[[Any, Scope], Iterator[ast.AST]]] = {
    ast.BinOp: _binary, ast.Compare: _compare, ast.BoolOp: _boolean, ast.UnaryOp: _unary,
    ast.Constant: _constant, ast.IfExp: _if_expression, ast.Call: _call, ast.Name: _name,
    ast.Attribute: _attribute, ast.Subscript: _subscript, ast.Slice: _slice, ast.Tuple: _tuple,
    ast.comprehension: _comprehension,
}  # fmt: skip
