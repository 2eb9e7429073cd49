"""Running notebooks as a reader does: nothing of this environment but its packages."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from rlcourse.book.run import ASK_AGAIN, fresh_environment

FIRST = "from ipywidgets import interact"
LIVE = "def f(x=3):\n    print(x)\n\ninteract(f, x=(0, 9));"
EXECUTE = """
import sys, nbclient, nbformat
nbclient.NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout={timeout}).execute()
"""


def run(folder: Path, cells: list[str], *, timeout: int) -> subprocess.CompletedProcess:
    path = folder / "cells.ipynb"
    new = nbformat.v4
    nbformat.write(new.new_notebook(cells=[new.new_code_cell(text) for text in cells]), path)
    script = ASK_AGAIN + EXECUTE.format(timeout=timeout)
    command = [sys.executable, "-W", "ignore", "-c", script, path]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_no_answer_is_lost_among_forty_live_figures(tmp_path):
    done = run(tmp_path, [FIRST, *[LIVE] * 40], timeout=600)
    assert done.returncode == 0, done.stderr


def test_a_cell_that_never_ends_is_still_stopped(tmp_path):
    done = run(tmp_path, ["import time", "time.sleep(60)"], timeout=2)
    assert "CellTimeoutError" in done.stderr


@pytest.mark.parametrize("module", ["numpy", "nbclient"])
def test_a_fresh_environment_has_the_packages_but_not_the_course(tmp_path, module):
    python = fresh_environment(tmp_path / "venv", Path(sys.executable))
    code = f"import {module}, importlib.util as u; print(u.find_spec('rlcourse'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
