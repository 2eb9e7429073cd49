"""The fenced blocks of a MyST page: plain code, directives and cells, with their options."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

# as CommonMark has it, the line that opens a fence of backticks holds no other backtick
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}(?=[^`]*$)|~{3,}|:{3,})(?P<info>.*)$")
CODE = {"code-cell", "code", "code-block"}


class Fence(NamedTuple):
    """A fenced block. name: of the directive, or "" for plain code, whose info is `argument`."""

    name: str
    argument: str
    options: dict[str, Any]
    body: list[str]
    raw: list[str]

    @property
    def tags(self) -> set[str]:
        """Of a code cell: given as a YAML list, or as text like [a, b]."""
        tags = self.options.get("tags") or []
        return set(re.findall(r"[\w-]+", tags) if isinstance(tags, str) else tags)


def fences(lines: list[str]) -> Iterator[str | Fence]:
    """The lines one by one, each fenced block as one Fence without its indent."""
    rest = iter(lines)
    for line in rest:
        opening = FENCE.match(line)
        if not opening:
            yield line
            continue
        mark, raw = opening["fence"], [line]
        for line in rest:
            raw.append(line)
            text = line.strip()
            if len(text) >= len(mark) and set(text) == {mark[0]}:
                break
        indent = len(opening["indent"])
        body = [line[indent:] if line[:indent].isspace() else line for line in raw[1:-1]]
        yield _fence(opening["info"].strip(), body, raw)


def _fence(info: str, body: list[str], raw: list[str]) -> Fence:
    directive = re.match(r"\{([\w:+-]+)\}\s*(.*)$", info)
    if not directive:
        return Fence("", info, {}, body, raw)
    options, body = _options(body)
    return Fence(directive[1], directive[2], options, body, raw)


def _options(body: list[str]) -> tuple[dict[str, Any], list[str]]:
    """A directive's options, as `:key: value` lines or as YAML between dashes, and what follows."""
    if body and body[0].strip() == "---":
        end = next(i for i, line in enumerate(body[1:], 1) if line.strip() == "---")
        return yaml.safe_load("\n".join(body[1:end])) or {}, body[end + 1 :]
    options: dict[str, Any] = {}
    pattern = re.compile(r":([\w-]+):\s*(.*)$")
    while body and (match := pattern.match(body[0])):
        options[match[1]] = match[2]
        body = body[1:]
    return options, body


def without_code(lines: list[str]) -> str:
    """The page without the bodies of its code, in which nothing is a label."""
    kept: list[str] = []
    for item in fences(lines):
        if isinstance(item, str):
            kept.append(item)
        elif item.name:
            opening = item.raw[: len(item.raw) - len(item.body) - 1]
            body = [] if item.name in CODE else [without_code(item.body)]
            kept += [*opening, *body, item.raw[-1]]
    return "\n".join(kept)
