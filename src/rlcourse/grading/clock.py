"""A time limit that survives an infinite loop, on every system and in a notebook."""

import ctypes
import linecache
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from types import FrameType
from typing import TypeVar

from .worker import Stop, is_learners

T = TypeVar("T")
SHOTS = 40  # a bare `except:` in the loop may swallow some of them


class TimeLimit(Stop):
    """Raised inside work that took too long."""


def limited(seconds: float, work: Callable[[], T], late: Callable[[str], T]) -> T:
    """work(), or late(the line where it was stopped) once `seconds` have passed.

    The work runs in a thread: an alarm signal would need the main thread of a Unix process.
    A call of C that never lets go of the interpreter cannot be stopped.
    """
    done: list[T] = []

    def run() -> None:
        with suppress(Stop):
            done.append(work())

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    line = "" if done else _line(thread.ident)
    for _ in range(0 if done else SHOTS):
        if not thread.is_alive():
            break
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeLimit)
        )
        thread.join(0.02)
    return done[0] if done else late(line)


def _line(ident: int | None) -> str:
    """The learner's innermost line in a running thread."""
    innermost = frame = sys._current_frames().get(ident or 0)
    while frame and not is_learners(frame.f_code.co_filename):
        frame = frame.f_back
    shown: FrameType | None = frame or innermost
    if shown is None:
        return ""
    number = shown.f_lineno or shown.f_code.co_firstlineno  # it has none between two lines
    source = linecache.getline(shown.f_code.co_filename, number).strip()
    return f"line {number}, in {shown.f_code.co_name}:  {source}"
