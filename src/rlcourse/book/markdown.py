"""MyST to plain Markdown: what Colab, JupyterLab and VS Code can show of a chapter's prose.

| MyST                                  | becomes                                          |
|---------------------------------------|--------------------------------------------------|
| `$$ … $$ (eq-x)`, `{eq}`              | `\\tag{3}`, (3), numbered within the page as there |
| `{ref}`, `{numref}`, `{doc}`, `{cite}`| a number, a title, a link, (Author, year)        |
| `{glue:text}` of x                    | `x`; a cell that prints x stands below           |
| note, theorem, quiz, tabs, figure, …  | quotations, folds, bold headings, images         |

What it does not know is refused with a ValueError, so that no raw MyST reaches a reader.
"""

import re
from dataclasses import dataclass, field

from .fences import Fence, fences
from .references import Index, Target
from .site import Book

SPAN = re.compile(r"(?:\{(?P<role>[a-zA-Z][\w:+-]*)\})?(?P<tick>`+)(?P<body>.+?)(?P=tick)", re.S)
DISPLAY = re.compile(r"\$\$(?P<body>.+?)\$\$(?:[ \t]*\((?P<label>[\w:.-]+)\)[ \t]*$)?", re.S | re.M)
FORMULA = re.compile(r"\$[^$\n]+\$")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\[\]]*)\]\((?P<to>[^()\s]*)\)")
FOOTNOTE = re.compile(r"\[\^([\w-]+)\](:?)")
# what would stay MyST: a directive whose fence did not open, an environment or a label out of place
UNOPENED = re.compile(r"^ *[`:~]{3,}.*", re.M)
STRAY = re.compile(r"\{\{.*?\}\}|^\\begin\{.*|^\{[a-z:]+\}.*|\0\d+\0[ \t]*\(eq-[\w:.-]+\)", re.M)
TITLED = re.compile(r"^(?P<text>.*?)\s*<(?P<target>[^<>]+)>$", re.S)
BOXES = {"note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "error"}
WRAPPED = {"math": "${}$", "code": "`{}`"} | {t: f"<{t}>{{}}</{t}>" for t in ("sub", "sup", "kbd")}
DROPPED = {"contents", "tableofcontents", "index", "toctree"}


@dataclass
class Page:
    """What converting one page needs, and what it collects on its way."""

    book: Book
    name: str
    index: Index
    glued: list[str] = field(default_factory=list)  # "error:.1e", in the order of the prose
    cited: dict[str, None] = field(default_factory=dict)


def plain(lines: list[str], page: Page) -> str:
    """The Markdown of these lines of MyST; ValueError names what has no plain form."""
    parts: list[str] = []
    prose: list[str] = []
    for item in fences(lines):
        if isinstance(item, str):
            prose.append(item)
            continue
        parts.append(inline("\n".join(prose), page))
        prose = []
        indent = re.match(r" *", item.raw[0])
        text = "\n".join(item.raw) if not item.name else _directive(item, page)
        if item.name and indent and indent[0]:
            text = "\n".join(indent[0] + line if line else line for line in text.split("\n"))
        parts.append(text)
    parts.append(inline("\n".join(prose), page))
    text = "\n".join(part for part in parts if part.strip())
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def inline(text: str, page: Page) -> str:
    """Prose without fences: comments and targets dropped, roles, links and equations resolved."""
    lines = [line for line in text.split("\n") if not re.match(r"%|\([\w:.-]+\)=\s*$|\+\+\+", line)]
    if unopened := UNOPENED.search("\n".join(lines)):
        raise ValueError(f"{page.name}: no plain form for {unopened[0]!r}, which opens no fence")
    kept: list[str] = []  # code and formulas, out of reach of what follows

    def keep(text: str) -> str:
        kept.append(text)
        return f"\0{len(kept) - 1}\0"

    text = SPAN.sub(
        lambda m: role(m["role"], m["body"], page) if m["role"] else keep(m[0]), "\n".join(lines)
    )
    text = DISPLAY.sub(lambda m: keep(equation(m["body"], m["label"], page)), text)
    text = FORMULA.sub(lambda m: keep(m[0]), text)
    text = LINK.sub(lambda m: _link(m["text"], m["to"], page), text)
    text = FOOTNOTE.sub(r"<sup>\1</sup>", text)
    if stray := STRAY.search(text):
        raise ValueError(f"{page.name}: no plain form for {stray[0]!r}")
    while "\0" in text:  # a formula may hold code, or code of its kind
        text = re.sub(r"\0(\d+)\0", lambda m: kept[int(m[1])], text)
    return text


def equation(body: str, label: str | None, page: Page) -> str:
    """$$ … \\tag{3} $$, the number that the page shows"""
    number = f" \\tag{{{page.index.find(label).number}}}" if label else ""
    return f"$${body.rstrip()}{number}\n$$" if "\n" in body else f"$${body}{number}$$"


def role(name: str, body: str, page: Page) -> str:
    """The plain form of {name}`body`."""
    titled = TITLED.match(body)
    text, target = (titled["text"], titled["target"]) if titled else ("", body)
    if name.startswith("glue"):
        page.glued.append(body)
        return f"`{body.partition(':')[0]}`"
    if name.startswith("cite"):
        keys = [key.strip() for key in body.split(",")]
        page.cited.update(dict.fromkeys(keys))
        names = [page.index.citation(key, textual=name.endswith(":t")) for key in keys]
        return ", ".join(names) if name.endswith(":t") else f"({'; '.join(names)})"
    if name in ("eq", "math:numref"):
        return _elsewhere(f"({page.index.find(target).number})", page.index.find(target), page)
    if name in ("ref", "numref", "prf:ref"):
        return _reference(name, text, page.index.find(target), page)
    if name in ("doc", "download"):
        other = _relative(page.name, target)
        return f"[{text or page.index.title(other)}]({page.book.link(other)})"
    if name == "term":
        return text or target
    if name.startswith("py:"):
        return f"`{text or target.removeprefix('~').removeprefix('rlcourse.')}`"
    if name in WRAPPED:
        return WRAPPED[name].format(body)
    raise ValueError(f"{page.name}: no plain form for the role {{{name}}}`{body}`")


def _reference(name: str, text: str, target: Target, page: Page) -> str:
    if name == "numref" and text:
        text = text.replace("%s", target.number).replace("{number}", target.number)
    numbered = f"{target.kind} {target.number}" if target.number else target.title
    own = numbered if name != "ref" or not target.title else target.title
    return _elsewhere(text.replace("{name}", target.title) or own, target, page)


def _elsewhere(text: str, target: Target, page: Page) -> str:
    if target.page == page.name:
        return text
    return f"{text} of [{page.index.title(target.page)}]({page.book.link(target.page)})"


def _relative(page: str, target: str) -> str:
    parts: list[str] = [] if target.startswith("/") else page.split("/")[:-1]
    for part in target.strip("/").removesuffix(".md").split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part] if part != "." else parts
    return "/".join(parts)


def _link(text: str, to: str, page: Page) -> str:
    if re.match(r"[a-z]+:", to) or not to:
        return f"[{text}]({to})"
    path, _, label = to.partition("#")
    if path.endswith(".md"):
        other = _relative(page.name, path)
        return f"[{text or page.index.title(other)}]({page.book.link(other)})"
    if label and not path:
        return text or _reference("ref", "", page.index.find(label), page)
    if re.search(r"\.\w+$", path):
        at = f"blob/{page.book.branch}/{_relative(page.name, path)}"
        return f"[{text}]({page.book.url}/{at})"
    return role("eq" if to.startswith("eq-") else "ref", f"{text} <{to}>" if text else to, page)


def _directive(fence: Fence, page: Page) -> str:
    from .blocks import directive  # blocks and prose contain each other

    return f"\n{directive(fence, page)}\n"
