"""What all playgrounds share: Python data, a table for readers without JavaScript, one script.

Python computes the reference, the data and the table; `js/<name>.js` draws the figure and computes
again what changes when the reader acts. One object serves the book, JupyterLab, Colab and VS Code.
How to add one is said at the top of `js/kit.js`.
"""

import functools
import html
import json
import re
from importlib import resources
from typing import Any, NamedTuple

MIME = "application/vnd.rlcourse.playground+json"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_COMMENT = re.compile(r"^ *(//|/\*\*| \*).*\n|(?<=[;{]) // .*$", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(function|const) )", re.MULTILINE)


def source(name: str) -> str:
    """The text of `js/<name>.js`; ValueError where there is none."""
    file = resources.files(__package__) / "js" / f"{name}.js"
    if not re.fullmatch(r"\w+", name) or not file.is_file():
        raise ValueError(f"name must be that of a script in rlcourse/playgrounds/js, got {name!r}")
    return file.read_text(encoding="utf-8")


@functools.cache
def bundle(name: str) -> str:
    """Figure `name` and what it imports as one classic script, which runs from file:// too.

    Raises ValueError where no such figure exists.
    """
    return joined(*map(source, needed(name)))


def needed(name: str) -> list[str]:
    """The names of the scripts that script `name` needs, each after its own, itself last."""
    before = [script for used in _IMPORT.findall(source(name)) for script in needed(used)]
    return [*dict.fromkeys(before), name]


def joined(*parts: str) -> str:
    """The scripts as one, in a closure, without import, export, comments and indentation.

    What stands between backticks keeps its indentation: it may be Python.
    """
    plain = [_EXPORT.sub("", _COMMENT.sub("", _IMPORT.sub("", part))) for part in parts]
    texts = ("(() => {\n" + "\n".join(plain) + "})();\n").split("`")
    texts[::2] = [re.sub(r"\n\s+", "\n", text) for text in texts[::2]]
    return "`".join(texts)


class Prompt(NamedTuple):
    """A question to predict, what pressing it changes in the default state, and the answer."""

    ask: str
    set: dict[str, Any]
    answer: str


class Playground:
    """An interactive figure: the `name` of its script, its data and its static fallback."""

    name: str

    def data(self) -> dict[str, Any]:
        """What the script starts from, as JSON can write it."""
        raise NotImplementedError

    def fallback(self) -> str:
        """HTML of the default state for readers without JavaScript."""
        raise NotImplementedError

    def host(self) -> str:
        """The element that the script fills: fallback and data, no code."""
        data = json.dumps(self.data(), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        data = data.replace("<", "\\u003c")
        return (
            f'<div data-rlc-playground="{html.escape(self.name)}">{self.fallback()}'
            f'<script type="application/json">{data}</script></div>'
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        host = self.host()
        return {
            "text/plain": repr(self),
            "text/html": f"{host}<script>{bundle(self.name)}</script>",
            MIME: {"name": self.name, "html": host},
        }
