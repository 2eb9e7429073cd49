"""Results as HTML that reads on light and on dark ground: the page's own colours, no theme.

What is right or wrong is said by marks and words. Styles are written into the elements, since
Colab, VS Code and a static page keep no style sheet of ours.
"""

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from .board import Row, total
from .report import MARKS, Lines, lines, word
from .run import Graded
from .verdict import Verdict

BOX = "border:1px solid;border-color:color-mix(in srgb,currentColor 35%,transparent)"
PRE = (
    "margin:0;padding:0;border:0;background:none;color:inherit;font-size:.9em;"
    "white-space:pre;overflow-x:auto;text-align:left;line-height:1.4"
)
PROSE = PRE.replace("white-space:pre;", "white-space:pre-wrap;") + ";font-family:inherit"
CELL = "padding:.15em .8em .15em 0;text-align:left;vertical-align:top;border:0;background:none"
WORDS = ("recognised", "next")


def result(graded: Graded, hints: list[str]) -> str:
    """All checks of an exercise, the first failure open, and the hints folded below."""
    x, shown = graded.exercise, graded.shown
    whole = word(graded)  # of the function, not of one check
    points = f"{graded.points} of {x.points} points"
    head = f"{MARKS[graded.outcome]} {x.name}: {whole or graded.outcome}, {points}"
    body = "" if whole else "".join(_check(v, shown) for v in graded.verdicts)
    rungs = "" if graded.outcome == "right" else "".join(map(_hint, range(1, 4), hints))
    return boxed(head, body + rungs)


def boxed(head: str, body: str = "") -> str:
    """A box with a line in bold, and below it HTML."""
    return (
        f'<div style="{BOX};border-radius:4px;padding:.6em .9em;margin:.3em 0">'
        f"<strong>{escape(head)}</strong>{body}</div>"
    )


def _check(v: Verdict, shown: Verdict | None) -> str:
    """One line for a check; below it what failed."""
    first = shown is not None and v.check is shown.check
    head = f"{MARKS[v.outcome]} {v.check.sentence} ({v.points}/{v.check.points})"
    parts = lines(shown if first and shown else v)
    if not parts:
        return f'<div style="margin:.3em 0">{escape(head)}</div>'
    return (
        f'<details style="margin:.3em 0"{" open" if first else ""}>'
        f'<summary style="cursor:pointer">{escape(head)}</summary>{_parts(v, parts)}</details>'
    )


def _parts(v: Verdict, parts: Lines) -> str:
    again = f"This run again: check({v.check.exercise.name}, seed={v.seed})"
    here = [(t, again if t == "next" else b) for t, b in parts if t != "does not hold"]
    rows = "".join(
        f'<dt style="font-weight:600;margin:.5em 0 .1em">{escape(title)}</dt>'
        f'<dd style="margin:0 0 0 1em">{_body(title, body)}</dd>'
        for title, body in here
    )
    return f'<dl style="margin:.3em 0 .6em 1em">{rows}</dl>'


def _body(title: str, body: str) -> str:
    style = PROSE if title in WORDS else PRE
    focus = "" if title in WORDS else ' tabindex="0"'  # what scrolls must be reachable by keys
    return f'<pre style="{style}"{focus}>{escape(body)}</pre>'


def _hint(rung: int, hint: str) -> str:
    return (
        f'<details style="margin:.3em 0"><summary style="cursor:pointer">Hint {rung}</summary>'
        f'<div style="margin:.2em 0 .4em 1em">{_body("next" if rung < 3 else "", hint)}</div>'
        "</details>"
    )


def progress(rows: Iterable[Row], says: str, data: str) -> str:
    """The board as a table, with the record to download."""
    rows = list(rows)
    heads = "".join(
        f'<th scope="col" style="{CELL}">{h}</th>' for h in ("exercise", "best so far", "state")
    )
    link = b64encode(data.encode()).decode()
    return (
        f'<table style="border-collapse:collapse;margin:.3em 0"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(map(_row, rows))}</tbody></table>"
        f"<p><strong>{escape(total(rows))}</strong>. {escape(says)}. "
        '<a style="color:inherit;text-decoration:underline" download="progress.json" '
        f'href="data:application/json;base64,{link}">Download your progress</a></p>'
    )


def _row(r: Row) -> str:
    points = f"{r.points}/{r.of}" if r.of else ""
    bar = f'<span aria-hidden="true" style="letter-spacing:.1em">{r.bar}</span>'
    state = r.note or {"✓": "done", "✗": "not right yet"}.get(r.mark, "open")
    name = escape(f"{r.topic}: {r.exercise}")
    cells = (name, f"{points} {bar}", f"{r.mark} {escape(state)}")
    return "<tr>" + "".join(f'<td style="{CELL}">{c}</td>' for c in cells) + "</tr>"
