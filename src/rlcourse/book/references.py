"""What a page can point at: equations, figures, theorems, headings, sources; numbered per page."""

import re
from functools import cached_property
from typing import Any, NamedTuple

import yaml

from .fences import without_code
from .site import Book

EQUATION = re.compile(r"^ *\$\$(?:(?!\$\$).)+?\$\$[ \t]*\(([\w:.-]+)\)[ \t]*$", re.S | re.M)
MATH = re.compile(
    r"^[`:]{3,}\{math\}[^\n]*\n(?:---\n|:[\w-]+:[^\n]*\n)*?:?label: *([\w:.-]+)", re.M
)
PROVED = re.compile(r"^[`:]{3,}\{prf:(\w+)\} *([^\n]*)\n((?::[\w-]+:[^\n]*\n)*)", re.M)
FIGURE = re.compile(r"^[`:]{3,}\{figure\}[^\n]*\n((?::[\w-]+:[^\n]*\n)*)", re.M)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n---\n(.*?)\n---\n", re.M | re.S)
GRADED = re.compile(r"^[`:]{3,}\{graded\} *([\w.]+)", re.M)
HEADING = re.compile(r"^\(([\w:.-]+)\)=\n+#+ +([^\n]+)", re.M)


class Target(NamedTuple):
    """Something with a label. number: "" where it has none; title: "" likewise."""

    page: str
    kind: str
    number: str
    title: str


class Index:
    """All labels of the book, all its titles, all its sources."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @cached_property
    def labels(self) -> dict[str, Target]:
        return {
            label: target
            for page in self.book.pages
            if (self.book.root / f"{page}.md").is_file()
            for label, target in targets(page, self.book.source(page)).items()
        }

    def find(self, label: str) -> Target:
        """The target of that label; ValueError if no page has it."""
        if label not in self.labels:
            raise ValueError(f"label must stand on a page of the book, got {label!r}")
        return self.labels[label]

    def title(self, page: str) -> str:
        """The first heading of a page, as plain text."""
        found = re.search(r"^# +(.+)$", self.book.source(page), re.M)
        return re.sub(r"\{[\w:]+\}|`", "", found[1]).strip() if found else page

    @cached_property
    def sources(self) -> dict[str, "Source"]:
        """The entries of references.bib, and of its neighbours, by key."""
        from pybtex.database import parse_file  # type: ignore[import-untyped]

        files = sorted((self.book.root / "book").glob("*.bib"))
        return {key: _source(e) for f in files for key, e in parse_file(str(f)).entries.items()}

    def citation(self, key: str, *, textual: bool = False) -> str:
        """Sutton & Barto, 2018; textual: Sutton & Barto (2018)."""
        if key not in self.sources:
            raise ValueError(f"key must stand in a .bib file of book/, got {key!r}")
        source = self.sources[key]
        return f"{source.names} ({source.year})" if textual else f"{source.names}, {source.year}"


class Source(NamedTuple):
    names: str
    year: str
    title: str
    url: str


def _source(entry: Any) -> Source:
    people = [" ".join(p.prelast_names + p.last_names) for p in entry.persons.get("author", [])]
    few = " & ".join(people) if len(people) < 3 else f"{people[0]} et al."
    fields = {k: re.sub(r"[{}]", "", v) for k, v in entry.fields.items()}
    doi = f"https://doi.org/{fields['doi']}" if "doi" in fields else ""
    return Source(few, fields.get("year", ""), fields.get("title", ""), fields.get("url", doi))


def targets(page: str, text: str) -> dict[str, Target]:
    """Every label of one page; equations, figures and each kind of theorem count from 1."""
    text = without_code(text.split("\n"))
    found: dict[str, Target] = {}
    equations = [(m.start(), m[1]) for r in (EQUATION, MATH) for m in r.finditer(text)]
    for number, (_, label) in enumerate(sorted(equations), 1):
        found[label] = Target(page, "Equation", str(number), "")
    for number, (_, label, caption) in enumerate(sorted(_figures(text)), 1):
        found[label] = Target(page, "Figure", str(number), caption)
    count: dict[str, int] = {}
    for proved in PROVED.finditer(text):
        kind = proved[1]
        count[kind] = count.get(kind, 0) + ("nonumber" not in proved[3])
        if label := re.search(r":label: *(\S+)", proved[3]):
            found[label[1]] = Target(page, kind.title(), str(count[kind]), proved[2].strip())
    for graded in GRADED.finditer(text):
        name = graded[1].rpartition(".")[2]
        found[f"exercise-{name}"] = Target(page, "Exercise", "", f"Exercise {name}")
    for heading in HEADING.finditer(text):
        title = re.sub(r"\{math\}`([^`]*)`", r"$\1$", heading[2])
        found[heading[1]] = Target(page, "Section", "", re.sub(r"[`*]", "", title).strip())
    return found


def _figures(text: str) -> list[tuple[int, str, str]]:
    """Position, label and caption of each figure: directives, and cells with a caption."""
    found = []
    for match in FIGURE.finditer(text):
        name = re.search(r":name: *(\S+)", match[1])
        found.append((match.start(), name[1] if name else f"\0{match.start()}", ""))
    for match in CELL.finditer(text):
        options = (yaml.safe_load(match[1]) or {}).get("mystnb") or {}
        figure = options.get("figure") or {}
        if figure.get("caption"):
            name = figure.get("name", f"\0{match.start()}")
            found.append((match.start(), name, ""))
    return found
