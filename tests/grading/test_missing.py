"""Where a library is missing what needs it counts for nothing, and all say what it needs."""

import ast
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import rlcourse
from rlcourse.grading import board, check, commands, course, notebook

ROOT = Path(rlcourse.__file__).parent
KERNEL = "systems/row_kernel"
NEEDY = '''
import no_such_library
from rlcourse.grading import exercise


def rows(x):
    """x."""
    return x


row = exercise(rows)
'''


@pytest.fixture
def mac(monkeypatch):
    """A machine on which Triton can't be had."""
    monkeypatch.setattr(course, "find_spec", lambda name: None if name == "triton" else name)
    monkeypatch.setattr(course.sys, "platform", "darwin")


@pytest.fixture
def bare(monkeypatch):
    """One with Linux, where neither torch nor Triton is installed."""
    monkeypatch.setattr(course, "find_spec", lambda n: None if n in ("torch", "triton") else n)
    monkeypatch.setattr(course.sys, "platform", "linux")


def test_what_a_topic_needs_is_read_from_its_imports(mac):
    assert course.needs(KERNEL) == "needs Linux"
    assert course.needs("tabular/gridworld") == ""
    with pytest.raises(course.Missing, match="systems/row_kernel needs Linux"):
        course.load(KERNEL)


@pytest.mark.parametrize("topic", [t for t in course.topics() if not course.needs(t)])
def test_an_exercise_file_imports_all_that_its_references_import(topic):
    """Else nothing could be known of what a topic needs without importing it."""
    room, name = topic.split("/")
    mine = roots(ROOT / f"exercises/{room}/{name}.py")
    for home in {x.reference.__module__ for x in course.load(topic)}:
        assert roots(ROOT.parent / f"{home.replace('.', '/')}.py") <= mine


def roots(file):
    """The packages that a file imports at its top, but for Python's and ours."""
    nodes = ast.parse(file.read_text("utf-8")).body
    names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom)]
    return {n.split(".")[0] for n in names} - {"rlcourse"} - sys.stdlib_module_names


def test_a_library_that_can_be_installed_is_named_with_its_command(bare):
    assert course.needs(KERNEL) == "needs torch: pip install torch"


def test_a_notebook_says_so_and_goes_on(mac):
    def online_softmax_rows(s, lengths, scale, block): ...

    result = check(online_softmax_rows)
    assert result.points == 0
    assert repr(result) == "– online_softmax_rows: needs Linux; its points do not count here"
    assert "needs Linux" in result._repr_html_()


def test_its_points_are_neither_earned_nor_possible(mac):
    found = board.missing(KERNEL)
    assert (found.points, found.of) == (0, 0)
    assert board.lines([found])[1:] == [
        "  online_softmax_rows                – needs Linux",
        "0 of 0 points",
    ]
    for known in ({}, {f"{KERNEL}/online_softmax_rows": SimpleNamespace(points=7)}):
        known = {k: notebook.record.Entry(points=v.points) for k, v in known.items()}
        rows = notebook.overview(known).rows
        assert [r for r in rows if r.topic == KERNEL] == [found]


def test_what_cannot_be_done_here_is_not_what_is_next(mac, monkeypatch):
    monkeypatch.setattr(course, "topics", lambda: [KERNEL])
    assert notebook.overview({}).next == "All done."


def test_a_check_of_all_succeeds_without_it(mac, capsys):
    assert commands.check(SimpleNamespace(what=["row_kernel"])) == 0
    assert "needs Linux" in capsys.readouterr().out


def test_pytest_skips_it_and_the_board_says_why(newcomer, tmp_path):
    newcomer.site = shutil.copytree(newcomer.site, tmp_path / "site")
    (newcomer.site / "rlcourse/exercises/systems/needy.py").write_text(NEEDY, "utf-8")
    newcomer.rlcourse("desk", "walk")
    (newcomer.desk / "systems").mkdir()
    test = "from rlcourse.exercises.systems.needy import *\n"
    (newcomer.desk / "systems/test_needy.py").write_text(test, "utf-8")
    run = newcomer.pytest("exercises")
    assert "1 skipped" in run.stdout, run.stdout + run.stderr
    assert re.search(r"  rows +– needs no_such_library: pip install no_such_library", run.stdout)
    assert " error" not in run.stdout
    assert newcomer.pytest("exercises/systems").returncode == 5  # nothing to be judged
    says = newcomer.rlcourse("check", "needy")
    assert (says.returncode, "needs no_such_library" in says.stdout) == (0, True)
    assert newcomer.rlcourse("hint", "rows").returncode == 2
