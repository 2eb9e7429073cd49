"""The Colab notebook of a chapter: book/tabular/x.md -> book/tabular/x.ipynb, byte for byte again.

The first cell installs the package where it is missing; prose is plain Markdown; the solutions of
graded functions (cells tagged `solution`) are left out; where the prose shows glued numbers, a
cell prints them. A cell's id is a hash of its text, so that a change touches its own cell alone.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rlcourse

from .fences import Fence, fences
from .markdown import Page, inline, plain
from .references import Index
from .site import Book, header, read_book

LEFT_OUT = {"solution", "book-only"}
HIDDEN = {"remove-cell", "remove-input", "hide-cell", "hide-input"}
GLUES = re.compile(r"""\bglue\(\s*["']([\w.-]+)["']""")
INSTALL = """\
# @title Install the course (skipped where it is installed)
import importlib.util

if importlib.util.find_spec("rlcourse") is None:
    %pip install -q "{requirement}"\
"""
LEAD = """\
*This notebook is the chapter [{title}]({link}) of the course, its cells included. \
Interactive figures beyond these stand on its page.*"""


def requirement(book: Book, extras: list[str]) -> str:
    """rlcourse[torch] @ git+<repository>@v<version>"""
    extra = f"[{','.join(extras)}]" if extras else ""
    return f"rlcourse{extra} @ git+{book.url}@v{rlcourse.__version__}"


def notebook(book: Book, page: str, index: Index | None = None) -> dict[str, Any]:
    """The notebook of one page, as nbformat 4.5; ValueError where MyST has no plain form."""
    text = book.source(page)
    head = header(text)
    context = Page(book, page, index or Index(book))
    install = INSTALL.format(requirement=requirement(book, head.get("extras", [])))
    cells = [code(install, {"cellView": "form"}), *_cells(text, context)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": _with_ids(cells),
        "metadata": {"colab": {"name": f"{Path(page).name}.ipynb"}, "kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def dumps(content: dict[str, Any]) -> str:
    """The notebook's file: one-space indent as Jupyter writes it, keys sorted, a last newline."""
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write_notebooks(root: Path) -> list[Path]:
    """Write the sibling .ipynb of every page with cells; the files that changed."""
    book = read_book(root)
    index = Index(book)
    changed = []
    for page in book.notebooks:
        path, text = root / f"{page}.ipynb", dumps(notebook(book, page, index))
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")
            changed.append(path)
    return changed


def code(source: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    empty: dict[str, Any] = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "metadata": metadata or {}, "source": _lines(source), **empty}


def prose(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": _lines(source)}


def _lines(source: str) -> list[str]:
    return source.splitlines(keepends=True)


def _cells(text: str, page: Page) -> Iterator[dict[str, Any]]:
    """Prose and code in the order of the page; glued numbers are printed once they are known."""
    body = re.sub(r"^---\n.*?\n---\n", "", text, count=1, flags=re.S)
    known: set[str] = set()
    for item in _pieces(body.split("\n")):
        if isinstance(item, Fence):
            known.update(GLUES.findall("\n".join(item.body)))
            yield from _code_cells(item, page)
        elif source := plain(item, page):
            yield prose(_lead(source, page) if source.startswith("# ") else source)
        ready = [name for name in page.glued if name.partition(":")[0] in known]
        if ready:
            page.glued = [name for name in page.glued if name not in ready]
            yield _printing(ready)
    if page.cited:
        yield prose(_sources(page))
    if page.glued:
        raise ValueError(f"{page.name}: no cell glues {page.glued}")


def _pieces(lines: list[str]) -> Iterator[list[str] | Fence]:
    """Code cells, and between them the prose, cut at its headings and at +++."""
    part: list[str] = []
    for item in fences(lines):
        if isinstance(item, Fence) and item.name == "code-cell":
            yield part
            part = []
            yield item
        elif isinstance(item, Fence):
            part.extend(item.raw)
        else:
            if re.match(r"#{1,3} |\+\+\+", item):
                yield part
                part = []
            part.append(item)
    yield part


def _code_cells(fence: Fence, page: Page) -> Iterator[dict[str, Any]]:
    tags = fence.tags
    if tags & LEFT_OUT:
        return
    metadata: dict[str, Any] = {"tags": sorted(tags)} if tags else {}
    if tags & HIDDEN:
        metadata["jupyter"] = {"source_hidden": True}
    yield code("\n".join(fence.body).strip("\n"), metadata)
    figure = (fence.options.get("mystnb") or {}).get("figure") or {}
    if figure.get("caption"):
        name = figure.get("name")
        number = f"Figure {page.index.find(name).number}. " if name else ""
        yield prose(f"*{number}{inline(figure['caption'].strip(), page)}*")


def _printing(names: list[str]) -> dict[str, Any]:
    calls = ", ".join(f'"{name}"' for name in dict.fromkeys(names))
    return code(f"from rlcourse.book import glued\n\nglued({calls})")


def _sources(page: Page) -> str:
    """What the page cites; the book has one page of references instead."""
    entries = [page.index.sources[key] for key in sorted(page.cited)]
    lines = [
        f"- {s.names} ({s.year}). " + (f"[{s.title}]({s.url})." if s.url else f"*{s.title}*.")
        for s in entries
    ]
    return "\n".join(["## References", "", *lines])


def _lead(source: str, page: Page) -> str:
    heading, _, rest = source.partition("\n")
    link = f"{page.book.url}/blob/{page.book.branch}/{page.name}.md"
    lead = LEAD.format(title=page.index.title(page.name), link=link)
    return f"{heading}\n\n{lead}\n{rest}".rstrip()


def _with_ids(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    for cell in cells:
        key = hashlib.sha256("".join([cell["cell_type"], *cell["source"]]).encode()).hexdigest()[:8]
        seen[key] = seen.get(key, 0) + 1
        cell["id"] = key if seen[key] == 1 else f"{key}-{seen[key]}"
    return cells
