"""The window in which the learner's function runs: no output, no input, not the course's own code.

with window(reference) as seen:
    got = answer(function, question)
got = seen.by(got)
"""

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, NoReturn

from .kernels import closed
from .worker import Data, Function, Stop

KEPT = 2000  # characters of what a learner prints
OWN = {"raised": "OwnFunction", "message": "this is the course's own function", "where": []}
_calls: list[str] = []


class OwnFunction(Stop):
    """The learner's function called the reference that it is to be compared with."""


class Ear(io.TextIOBase):
    """Keeps the beginning of what is printed, and forgets the rest."""

    def __init__(self) -> None:
        self.heard, self.length = "", 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.length += len(text)
        if len(self.heard) < KEPT:
            self.heard += text[: KEPT - len(self.heard)]
        return len(text)

    @property
    def text(self) -> str:
        rest = self.length - len(self.heard)
        return self.heard.rstrip() + (f"\n... and {rest} characters more" if rest else "")


@dataclass
class Seen:
    """What was noticed while the window stood open."""

    ear: Ear = field(default_factory=Ear)
    own: bool = False

    def by(self, answer: Data) -> Data:
        """The answer, with what was printed; or that it was not the learner's own."""
        if self.own:
            return dict(OWN)
        return answer | ({"printed": self.ear.text} if self.ear.text else {})


@contextmanager
def window(reference: Function | None = None) -> Iterator[Seen]:
    """Run the learner's code inside: prints are kept short, warnings dropped, input is empty.

    os._exit becomes exit: it would end the whole run, and with status 0 as if all were right.
    """
    seen, stdin, leave = Seen(), sys.stdin, os._exit
    before = len(_calls)
    with (
        redirect_stdout(seen.ear),
        redirect_stderr(seen.ear),
        warnings.catch_warnings(),
        _closed(reference),
    ):
        warnings.simplefilter("ignore")
        sys.stdin, os._exit = io.StringIO(), _exits
        try:
            yield seen
        finally:
            sys.stdin, os._exit = stdin, leave
            seen.own = len(_calls) > before


def _exits(status: int) -> NoReturn:
    raise SystemExit(f"os._exit({status!r}) would end the whole run")


@contextmanager
def _closed(reference: Function | None) -> Iterator[None]:
    """While open, calling the reference raises OwnFunction, under whatever name it is called.

    So does launching a kernel of its module.
    """
    if not isinstance(reference, FunctionType):
        yield
        return
    code = reference.__code__
    reference.__code__ = _refusal(code.co_freevars)
    try:
        with closed(reference.__globals__.values(), refuse):
            yield
    finally:
        reference.__code__ = code


def refuse() -> None:
    """What the reference does while it is closed."""
    _calls.append("")
    raise OwnFunction


def _refusal(free: tuple[str, ...]) -> CodeType:
    """Code that calls `refuse`; Python wants it to close over the same variables."""
    names: dict[str, Any] = {}
    text = (
        f"def outer({', '.join(free)}):\n"
        "    def refusal(*args, **kwargs):\n"
        f"        ({''.join(n + ', ' for n in free)})\n"
        "        from rlcourse.grading.window import refuse\n"
        "        refuse()\n"
        "    return refusal\n"
    )
    exec(text, names)
    outer: Callable[..., FunctionType] = names["outer"]
    return outer(*free).__code__
