"""The kill matrix: the page of the book that shows how the exercises themselves were tested.

    python -m rlcourse.grading.matrix

writes book/kill_matrix.md and a page for each room, from the reports of the quality gate (which it
runs where none is kept), the reviewed mutants of tests/equivalent.py, and the recorded trials of
fresh wrong answers.
"""

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from . import course
from .fresh import Fresh, recorded
from .gate import Report, Reviewed, cached, exercises, reviewed

BOOK = Path("book")
PAGE = "kill_matrix"

HEAD = """\
(kill-matrix)=
# The kill matrix

A grader that lets a wrong answer pass is a bug. So the exercises are tested before they test
anybody, by a gate that every one of them must pass. This page is generated from its findings.

- **Misconceptions** are wrong answers that a learner is likely to give. Each must fail, and is then
  called by its name. In the tables of each room ● marks a check that catches it.
- **Mutants** are all functions one slip away from the right one: a swapped operator, a dropped
  term, a shifted index, another axis. Each must fail with every seed tried, or was looked at by a
  person who says why it is no mistake (*alike*).
- **Fresh** wrong answers were written by someone who had not read the checks: how many of them
  were caught the first time. Checks were added for those that were not.
- Nobody earns a point with an unwritten function, an argument handed back, zeros, ones, `None`,
  an error, or one answer for all questions. Every other right way of writing it that is on record
  has full marks in 200 draws.

| exercise | mutants | alike | fresh |
|---|--:|--:|--:|
"""


def pages(reports: Sequence[Report], known: Reviewed, fresh: dict[str, Fresh]) -> dict[str, str]:
    """Name -> page in Markdown that MyST reads: the table of all exercises, then room by room."""
    found = {PAGE: HEAD + "".join(row(r, known, fresh) for r in reports)}
    for room, group in groupby(reports, lambda r: r.exercise.partition(".")[0]):
        parts = [f"# The kill matrix: the {room} room\n"]
        for topic, of_topic in groupby(group, lambda r: r.exercise.rpartition(".")[0]):
            parts += [f"## {topic}\n", *(section(r, known) for r in of_topic)]
        found[f"{PAGE}_{room}"] = "\n".join(parts)
    return found


def row(found: Report, known: Reviewed, fresh: dict[str, Fresh]) -> str:
    """The line of an exercise in the table at the top."""
    name = _words(found.exercise.rpartition(".")[2])
    trial = fresh.get(found.exercise)
    caught = f"{trial['caught']}/{trial['tried']}" if trial else "not yet"
    alike = len(known.equivalent.get(found.exercise, {}))
    killed = found.mutants - len(found.survivors)
    return f"| [{name}](#{_label(found)}) | {killed}/{found.mutants} | {alike} | {caught} |\n"


def section(found: Report, known: Reviewed) -> str:
    """Checks, misconceptions and equivalent mutants of an exercise."""
    points = zip(found.sentences, found.points, strict=True)
    checks = [
        f"{i}. {_sentence(s)} ({p} point{'s' * (p > 1)})\n" for i, (s, p) in enumerate(points, 1)
    ]
    columns = range(1, len(checks) + 1)
    head = [_line("misconception", *columns), _line("---", *[":-:"] * len(checks))]
    rows = [_line(_words(w), *("●" if c else "·" for c in cs)) for w, cs in found.caught.items()]
    name = found.exercise.rpartition(".")[2]
    title = f"({_label(found)})=\n### `{name}`\n\n"
    controls = ", ".join(_words(c) for c in found.controls) or "none"
    text = title + "".join(checks) + "\n" + "".join(head + rows)
    return text + f"\nOther right ways on record: {controls}.\n" + _equivalents(found, known)


def _equivalents(found: Report, known: Reviewed) -> str:
    alike = known.equivalent.get(found.exercise, {})
    if not alike:
        return ""
    many = (
        "1 mutant that is no mistake"
        if len(alike) == 1
        else (f"{len(alike)} mutants that are no mistakes")
    )
    lines = "".join(f"- `{mutant}`: {reason}\n" for mutant, reason in alike.items())
    return f"\n:::{{admonition}} {many}\n:class: dropdown\n{lines}:::\n"


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _label(found: Report) -> str:
    return "kill-" + found.exercise.replace(".", "-").replace("_", "-")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _sentence(text: str) -> str:
    first = text.partition(" ")[0]
    symbol = not first.isascii() or any(c.isdigit() for c in first)  # Λ isn't λ
    return (text if symbol else text[:1].upper() + text[1:]).rstrip(".")


def main() -> int:
    """Write the page; the exit status is 0, or 1 where some exercise cannot be judged."""
    if lacking := [f"{t} {needs}" for t in course.topics() if (needs := course.needs(t))]:
        print(*lacking, sep="\n")
        return 1
    known = reviewed()
    reports = [cached(x, [*known.elsewhere]) for x in exercises()]
    for name, text in pages(reports, known, recorded()).items():
        (BOOK / f"{name}.md").write_text(text, "utf-8", newline="\n")
        print(f"wrote {BOOK / name}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
