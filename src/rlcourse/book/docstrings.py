"""Docstrings in the API page: plain text, shown as it stands in the code."""

import re
from collections.abc import Iterable

from sphinx.application import Sphinx


def plain_docstrings(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """A docstring keeps its lines: its first as text, the rest as it stands in the code."""
    if lines:
        lines[:] = literal_docstring(lines)


def skip_fields(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """A NamedTuple's fields stand in its docstring; Python's own words for them say nothing."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


def literal_docstring(lines: Iterable[str]) -> list[str]:
    """reStructuredText that shows plain text as written, since ours is not reStructuredText."""
    first, *rest = lines
    head = re.sub(r"([\\*`_|])", r"\\\1", first)
    if not any(line.strip() for line in rest):
        return [head, ""]
    literal = ["   " + line if line.strip() else "" for line in rest]
    return [head, "", ".. code-block:: text", "   :class: docstring", "", *literal, ""]
