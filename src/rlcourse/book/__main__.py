"""python -m rlcourse.book: the commands behind the Makefile, run in the repository's root."""

import argparse
import subprocess
import sys
from pathlib import Path

from . import execute, notebook, run, serve, site


def main(arguments: list[str] | None = None) -> int:
    """0 if all went well, 1 if a page or notebook failed, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m rlcourse.book", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("execute", help="run the pages into the cache, in parallel")
    commands.add_parser("notebooks", help="write the Colab notebooks beside the pages")
    commands.add_parser("build", help="execute, then build the book strictly")
    one = commands.add_parser("serve", help="serve the built book on localhost")
    one.add_argument("--port", type=int, default=8000)
    one = commands.add_parser("set-repository", help="write the repository's address everywhere")
    one.add_argument("url")
    one = commands.add_parser("run-notebooks", help="run notebooks from the wheel alone")
    one.add_argument("notebook", nargs="*")
    one.add_argument("--python", type=Path, help="the Python whose packages are used")
    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _execute(options: argparse.Namespace) -> int:
    for page, seconds in execute.execute(Path.cwd()).items():
        slow = f"   over the rule of {execute.RULE:.0f} s" if seconds > execute.RULE else ""
        print(f"{seconds:6.1f} s  {page}{slow}")
    return 0


def _notebooks(options: argparse.Namespace) -> int:
    changed = notebook.write_notebooks(Path.cwd())
    print("\n".join(f"wrote {path.relative_to(Path.cwd())}" for path in changed) or "up to date")
    return 0


def _build(options: argparse.Namespace) -> int:
    _execute(options)
    run_it = "from jupyter_book.cli.main import main; main()"
    strict = ["build", ".", "-q", "-W", "-n", "--keep-going", "--all"]
    return subprocess.run([sys.executable, "-c", run_it, *strict]).returncode


def _serve(options: argparse.Namespace) -> int:
    return serve.serve(Path.cwd() / "_build/html", options.port)


def _set_repository(options: argparse.Namespace) -> int:
    changed = site.set_repository(Path.cwd(), options.url)
    changed += notebook.write_notebooks(Path.cwd())
    print("\n".join(f"wrote {path.relative_to(Path.cwd())}" for path in changed) or "up to date")
    return 0


def _run_notebooks(options: argparse.Namespace) -> int:
    failed = run.run_notebooks(Path.cwd(), options.notebook, options.python)
    return 1 if failed else 0


COMMANDS = {
    "execute": _execute,
    "notebooks": _notebooks,
    "build": _build,
    "serve": _serve,
    "set-repository": _set_repository,
    "run-notebooks": _run_notebooks,
}

if __name__ == "__main__":
    raise SystemExit(main())
