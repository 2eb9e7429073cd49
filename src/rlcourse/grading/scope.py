"""What is known about a function while its syntax tree is changed."""

import ast
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Scope:
    """The names around a node.

    parameters  of the function, in order
    fields      parameter -> fields, where a parameter is a record
    bound       how often each name is assigned
    modules     names that stand for modules: dropping a call leaves none of them behind
    """

    parameters: list[str]
    fields: dict[str, tuple[str, ...]]
    bound: Counter[str]
    modules: frozenset[str]


def scope(function: Callable[..., Any], tree: ast.Module) -> Scope:
    """The scope of a function, whose tree is given."""
    try:
        types = inspect.get_annotations(inspect.unwrap(function), eval_str=True)
    except NameError:  # a name that is imported for type checkers alone
        types = {}
    names = (n for n in ast.walk(tree) if isinstance(n, ast.Name))
    return Scope(
        parameters=[*inspect.signature(function).parameters],
        fields={n: t._fields for n, t in types.items() if hasattr(t, "_fields")},
        bound=Counter(n.id for n in names if not isinstance(n.ctx, ast.Load)),
        modules=frozenset(n for n, x in names_of(function).items() if isinstance(x, ModuleType)),
    )


def names_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The names of the function's module."""
    names: dict[str, Any] = inspect.unwrap(function).__globals__
    return names
