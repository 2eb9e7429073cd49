"""A quiz is a question and options, each of which says when opened why it is right or wrong.

```{quiz}
What follows $S_t$?

- [x] $S_{t+1}$ :: The kernel draws it.
- [ ] $v(S_t)$ :: A value is no state.
```
"""

import re
from typing import NamedTuple

OPTION = re.compile(r"- \[([ xX])\] (.*)$")


class Option(NamedTuple):
    text: str
    right: bool
    why: list[str]


class Quiz(NamedTuple):
    question: list[str]
    options: list[Option]


def read_quiz(argument: str, body: list[str]) -> Quiz:
    """The question, and the options with their explanations, as lines of MyST.

    Raises ValueError unless there are two options at least, one of them right, all explained.
    """
    starts = [i for i, line in enumerate(body) if OPTION.match(line)]
    bounds = [*starts, len(body)]
    question = [argument, "", *body[: bounds[0]]] if argument else body[: bounds[0]]
    options = [_option(body[a:b]) for a, b in zip(starts, bounds[1:], strict=True)]
    if len(options) < 2 or not any(option.right for option in options):
        raise ValueError(f"quiz: two options at least and a right one expected, got {options}")
    if not "".join(question).strip():
        raise ValueError("quiz: a question is expected before the options, got none")
    return Quiz(question, options)


def _option(lines: list[str]) -> Option:
    match = OPTION.match(lines[0])
    assert match
    text, mark, why = "\n".join([match[2], *(line.strip() for line in lines[1:])]).partition("::")
    if not mark or not why.strip():
        raise ValueError(f"quiz: each option needs ` :: why`, got {match[2]!r}")
    return Option(" ".join(text.split()), match[1] != " ", why.strip().split("\n"))
