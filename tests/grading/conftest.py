"""A small course of its own for the tests of the engine, installed as from a wheel."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rlcourse

HERE = Path(__file__).parent
Run = subprocess.CompletedProcess[str]


class Learner:
    """A learner in a folder, with the command `rlcourse` and pytest."""

    def __init__(self, folder: Path, site: Path, warm: "Warm | None" = None) -> None:
        self.folder, self.site, self.warm = folder, site, warm
        self.desk = folder / "exercises"

    def python(self, *arguments: str, stdin: str = "", **env: str) -> Run:
        command = [sys.executable, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, **self.options(env))

    def options(self, env: dict[str, str]) -> dict[str, Any]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RLCOURSE", "PYTEST"))}
        kept |= {"PYTHONPATH": str(self.site), "RLCOURSE_SEED": "7", "PYTHONUTF8": "1"}
        return {"cwd": self.folder, "env": kept | env, "encoding": "utf-8", "timeout": 100}

    def rlcourse(self, *arguments: str, **env: str) -> Run:
        """The command in a process of its own."""
        return self.python("-m", "rlcourse.cli", *arguments, **env)

    def says(self, *arguments: str) -> Run:
        """The same command in a process that is warm already."""
        assert self.warm
        return self.warm.run(self.folder, arguments)

    def pytest(self, *arguments: str, **env: str) -> Run:
        return self.python("-m", "pytest", "-p", "no:cacheprovider", *arguments, **env)

    def writes(self, name: str, body: str, topic: str = "tabular/walk") -> None:
        """Replace the body of a stub."""
        file = self.desk / f"{topic}.py"
        before, start, rest = file.read_text("utf-8").partition(f"def {name}(")
        head, stub, after = rest.partition("    raise NotImplementedError\n")
        assert stub
        file.write_text(before + start + head + body + after, "utf-8")


LOOP = """
import contextlib, io, json, os, sys
import rlcourse.cli

for line in sys.stdin:
    folder, arguments = json.loads(line)
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = rlcourse.cli.main(arguments)
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


class Warm:
    """A process that runs the command again and again: starting one each time takes too long."""

    def __init__(self, site: Path) -> None:
        options = Learner(site, site).options({})
        del options["timeout"]
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", LOOP]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, **options)

    def run(self, folder: Path, arguments: tuple[str, ...]) -> Run:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([str(folder), arguments]), file=self.process.stdin, flush=True)
        return subprocess.CompletedProcess(arguments, *json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="session")
def warm(site: Path) -> Iterator[Warm]:
    made = Warm(site)
    with made.process as process:
        yield made
        process.kill()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import rlcourse from: the engine as it is, and a course for tests."""
    home = tmp_path_factory.mktemp("site")
    package, source = home / "rlcourse", Path(rlcourse.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "grading", package / "grading", ignore=ignored)
    for name in ("__init__.py", "cli.py", "memory_command.py", "exercises/__init__.py"):
        (package / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / name, package / name)
    shutil.copytree(HERE / "course", package, dirs_exist_ok=True, ignore=ignored)
    return home


@pytest.fixture(scope="session")
def laid(site: Path, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `rlcourse desk` was run."""
    folder = tmp_path_factory.mktemp("laid")
    run = Learner(folder, site, warm).says("desk", "walk")
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture
def learner(site: Path, laid: Path, warm: Warm, tmp_path: Path) -> Learner:
    """A learner with fresh stubs of the topic `walk`."""
    shutil.copytree(laid, tmp_path, dirs_exist_ok=True)
    return Learner(tmp_path, site, warm)


@pytest.fixture
def newcomer(site: Path, warm: Warm, tmp_path: Path) -> Learner:
    """A learner in an empty folder."""
    return Learner(tmp_path, site, warm)


RIGHT: dict[str, str] = {
    "chain_target": "    if not 0 <= gamma <= 1:\n        raise ValueError\n"
    "    return chain.r + gamma * np.where(chain.terminated, 0, v_next)\n",
    "best": "    return Best(q.argmax(-1), q.max(-1))\n",
    "next_target": "    return chain_target(chain, best(q_next).value, gamma)\n",
    "mean_square": "    return (x**2).sum(-1) / x.shape[-1]\n",
}


@pytest.fixture
def master(learner: Learner) -> Learner:
    """A learner who has solved everything."""
    for name, body in RIGHT.items():
        learner.writes(name, body)
    return learner


@pytest.fixture
def solve() -> Callable[[Learner, str], None]:
    """Write the right body of one function."""
    return lambda learner, name: learner.writes(name, RIGHT[name])
