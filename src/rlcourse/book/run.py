"""Run committed notebooks as a reader does: from the wheel alone, in an empty folder."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .site import read_book

# A widget's output area makes nbclient send on the very socket on which it awaits the cell's reply,
# and zmq then announces that reply to nobody: in 12 of 248 such cells the wait lasted until the
# cell's time-out. Asking again twice a second finds it: none of 248, and the worst waited 0.5 s.
ASK_AGAIN = """
from queue import Empty
from time import monotonic
from jupyter_client import channels

async def get_msg(self, timeout=None):
    end = float("inf") if timeout is None else monotonic() + timeout
    while not await self.socket.poll(1000 * max(0, min(0.5, end - monotonic()))):
        if monotonic() >= end:
            raise Empty
    return await self._recv()

channels.AsyncZMQSocketChannel.get_msg = get_msg
"""
RUN = """
import sys, nbclient, nbformat, rlcourse
from pathlib import Path
assert Path(sys.prefix) in Path(rlcourse.__file__).parents, rlcourse.__file__
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
"""


def build_wheel(root: Path, folder: Path) -> Path:
    """The wheel of the checkout, built by pip with the hatchling that is installed here."""
    pip(Path(sys.executable), "wheel", "--no-deps", "--no-build-isolation", "-w", folder, root)
    return next(folder.glob("rlcourse-*.whl"))


def fresh_environment(folder: Path, base: Path) -> Path:
    """The Python of a new virtual environment that sees the packages of `base`, not its rlcourse.

    Their folders are named in a .pth file, and .pth files inside them are not followed: an
    editable rlcourse stays out of sight.
    """
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = "import sys; print(*[p for p in sys.path if p.endswith('-packages')], sep='\\n')"
    own, packages = (
        subprocess.run([p, "-c", ask], check=True, capture_output=True, text=True).stdout
        for p in (python, base)
    )
    Path(own.split("\n")[0], "packages.pth").write_text(packages, "utf-8")
    return python


def run_notebooks(root: Path, names: list[str], base: Path | None = None) -> list[str]:
    """Run notebooks (all of the book's if none is named) top to bottom; those that failed.

    As many run at once as there are cores. base: a Python whose packages are used, the course
    itself excepted; by default this one.
    """
    names = names or [*read_book(root).notebooks]
    with tempfile.TemporaryDirectory() as text, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(text)
        wheel = build_wheel(root, folder)
        python = fresh_environment(folder / "venv", base or Path(sys.executable))
        pip(python, "install", "-q", "--no-deps", "--ignore-installed", wheel)

        def runs(name: str) -> bool:
            path = (root / name).with_suffix(".ipynb").resolve()
            empty = tempfile.mkdtemp(dir=folder)
            command = [str(python), "-c", ASK_AGAIN + RUN, str(path)]
            fine = not subprocess.run(command, cwd=empty, env=_environment()).returncode
            print(f"{path.relative_to(root.resolve())}: {'ran' if fine else 'FAILED'}", flush=True)
            return fine

        ran = list(pool.map(runs, names))
    return [name for name, fine in zip(names, ran, strict=True) if not fine]


def pip(python: Path, *arguments: str | Path) -> None:
    """Run pip quietly; CalledProcessError with its words if it fails."""
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def _environment() -> dict[str, str]:
    """That of a reader; with as many at once as there are cores, each has one thread."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "RLCOURSE_BOOK", "VIRTUAL_ENV"}
    known = {key: value for key, value in os.environ.items() if key not in hidden}
    return {"OMP_NUM_THREADS": "1"} | known
