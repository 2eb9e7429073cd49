"""The command `rlcourse`: the learner's loop in a terminal."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from rlcourse import __version__, memory_command
from rlcourse.grading import commands

EPILOG = "WHAT is a room (tabular), a topic (gridworld), a file or an exercise (move)."
GIVE_UP = "show it before the exercise is solved (this is recorded)"


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments, and the function that runs it."""
    top = argparse.ArgumentParser(prog="rlcourse", description=__doc__, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"rlcourse {__version__}")
    subs = top.add_subparsers(metavar="COMMAND", required=True)

    def add(run: Callable[[argparse.Namespace], int], *args: str) -> argparse.ArgumentParser:
        says = (run.__doc__ or "").partition("\n")[0]
        sub = subs.add_parser(run.__name__, help=says, description=says, epilog=EPILOG)
        for a in args:
            name = a.strip("*")
            sub.add_argument(name, nargs="*" if a != name else None, metavar=name.upper())
        sub.set_defaults(run=run)
        return sub

    add(commands.desk, "what*")
    add(commands.check, "what*")
    add(commands.watch, "what*")
    add(commands.hint, "exercise").add_argument("rung", nargs="?", type=int, metavar="RUNG")
    add(commands.solution, "exercise").add_argument("--give-up", action="store_true", help=GIVE_UP)
    add(commands.progress)
    add(commands.reset, "topic")
    memory_command.options(add(memory_command.memory, "model"))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. 0: all right; 1: something is wrong or not written; 2: no such thing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may lack █ and γ
            stream.reconfigure(encoding="utf-8", errors="replace")
    given = parser().parse_args(arguments)
    try:
        status = int(given.run(given))
        sys.stdout.flush()
        return status
    except ValueError as error:
        print(f"rlcourse: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `rlcourse solution move | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
