"""The directives of MyST as plain Markdown: quotations, folds, tables, bold headings."""

import html
import re
from collections.abc import Callable

from .fences import Fence
from .markdown import BOXES, DROPPED, Page, _relative, equation, inline, plain
from .quiz import read_quiz


def directive(fence: Fence, page: Page) -> str:
    """The plain form of one directive; ValueError if it has none."""
    name = fence.name
    if name in DROPPED:
        return ""
    if name in BOXES:
        return _box(name.title(), fence, page)
    if name.startswith("prf:"):
        return _theorem(fence, page)
    if name in PLAIN:
        return PLAIN[name](fence, page)
    raise ValueError(f"{page.name}: no plain form for the directive {{{name}}} {fence.argument}")


def _body(fence: Fence, page: Page) -> str:
    return plain(fence.body, page)


def quoted(text: str) -> str:
    """Each line behind a > sign."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def folded(title: str, body: str) -> str:
    """A closed fold; the blank lines let Markdown be read inside."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _box(title: str, fence: Fence, page: Page) -> str:
    own = inline(fence.argument, page)
    if fence.name in BOXES and own:  # a note's text may start on the line of its name
        return quoted(f"**{title}.** {own}\n{_body(fence, page)}".rstrip())
    body = _body(fence, page)
    classes = str(fence.options.get("class", ""))
    if "dropdown" in classes:
        return folded(html.escape(own or title), body)
    return quoted(f"**{own or title}**\n\n{body}")


def _theorem(fence: Fence, page: Page) -> str:
    kind = fence.name.removeprefix("prf:")
    label = str(fence.options.get("label", ""))
    number = f" {page.index.find(label).number}" if label else ""
    name = f" ({inline(fence.argument, page)})" if fence.argument else ""
    return quoted(f"**{kind.title()}{number}**{name}**.**\n\n{_body(fence, page)}")


def _quiz(fence: Fence, page: Page) -> str:
    quiz = read_quiz(fence.argument, fence.body)
    options = [
        f"**{letter}.** {inline(option.text, page)}\n\n"
        + folded(
            f"{letter}: see whether this is right",
            f"{'Right' if option.right else 'Wrong'}. {plain(option.why, page)}",
        )
        for letter, option in zip("ABCDEFGH", quiz.options, strict=False)
    ]
    return "\n\n".join([f"**Question.** {plain(quiz.question, page)}", *options])


def _graded(fence: Fence, page: Page) -> str:
    from .graded import title

    return f"**{title(page.name, fence.argument, fence.options)}**\n\n{_body(fence, page)}".rstrip()


def _figure(fence: Fence, page: Page) -> str:
    path = _relative(page.name, fence.argument)
    if not re.match(r"https?:", fence.argument):
        at = f"{page.book.url}/raw/{page.book.branch}/{path}"
    else:
        at = fence.argument
    name = str(fence.options.get("name", ""))
    number = f"Figure {page.index.find(name).number}. " if name else ""
    caption = _body(fence, page)
    image = f"![{fence.options.get('alt', '')}]({at})"
    return f"{image}\n\n*{number}{caption}*" if caption or number else image


def _math(fence: Fence, page: Page) -> str:
    label = fence.options.get("label")
    body = "\n".join(([fence.argument] if fence.argument else []) + fence.body)
    return equation(f"\n{body}", str(label) if label else None, page)


def _code(fence: Fence, page: Page) -> str:
    return "\n".join([f"```{fence.argument}", *fence.body, "```"])


def _table(fence: Fence, page: Page) -> str:
    return f"**{inline(fence.argument, page)}**\n\n{_body(fence, page)}"


def _titled(fence: Fence, page: Page) -> str:
    head = f"**{inline(fence.argument, page)}**\n\n" if fence.argument else ""
    return head + _body(fence, page)


def _fold(fence: Fence, page: Page) -> str:
    return folded(html.escape(inline(fence.argument, page) or "Show"), _body(fence, page))


def _glossary(fence: Fence, page: Page) -> str:
    text = re.sub(r"^(\S.*)\n +", r"- **\1**: ", "\n".join(fence.body), flags=re.M)
    return inline(text, page)


PLAIN: dict[str, Callable[[Fence, Page], str]] = {
    "admonition": lambda f, p: _box("Note", f, p),
    "topic": lambda f, p: _box("Topic", f, p),
    "sidebar": lambda f, p: _box("Aside", f, p),
    "margin": lambda f, p: _box("Aside", f, p),
    "epigraph": lambda f, p: quoted(_body(f, p)),
    "dropdown": _fold,
    "toggle": _fold,
    "quiz": _quiz,
    "graded": _graded,
    "figure": _figure,
    "image": _figure,
    "math": _math,
    "code": _code,
    "code-block": _code,
    "table": _table,
    "rubric": lambda f, p: f"**{inline(f.argument, p)}**",
    "tab-set": _body,
    "tab-item": _titled,
    "grid": _body,
    "grid-item": _body,
    "grid-item-card": _titled,
    "card": _titled,
    "div": _body,
    "container": _body,
    "glossary": _glossary,
}
