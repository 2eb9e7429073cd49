"""Run the book's pages, several at once, into a cache that knows the package.

jupyter-cache keys a page's outputs on its cells alone. Here the folder's name adds the rest:
src/, requirements.txt, the repository's address and the Python version. Change any of them and
every page runs again; change a page's prose and none does.
"""

import hashlib
import logging
import os
import re
import shutil
import sys
from pathlib import Path

from .site import Book, read_book

RULE, LIMIT = 20.0, 60.0  # seconds of CPU time a page may take: as a rule, and at most
CELL_TIMEOUT = 300  # by the wall clock, for a cell that hangs
ENVIRONMENT = {
    "RLCOURSE_BOOK": "1",  # rlcourse.book.live draws a page's default figure, not a dead widget
    "RLCOURSE_SEED": "0",
    "PYTHONHASHSEED": "0",
    # pages run side by side, and a sum's order must not hang on the number of cores
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else ipykernel's debugger writes to stderr
}


def prepare(root: Path) -> None:
    """Set what the kernels inherit; a reader's own IPython start-up files stay out of the book."""
    profile = root / "_build/ipython/profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    # the kernel's remark that localhost is not encrypted, on every page, hides what matters
    (profile / "ipython_kernel_config.py").write_text('c.IPKernelApp.log_level = "ERROR"\n')
    os.environ.update(ENVIRONMENT, IPYTHONDIR=str((root / "_build/ipython").resolve()))


def fingerprint(book: Book) -> str:
    """16 hex digits of all that a page's outputs hang on, beside its own cells."""
    static = book.root / "src/rlcourse/book/static"
    files = [p for p in sorted((book.root / "src").rglob("*")) if p.is_file()]
    digest = hashlib.sha256(f"{sys.version_info[:2]} {book.url} {book.branch}".encode())
    for path in [book.root / "requirements.txt", *files]:
        if "__pycache__" in path.parts or static in path.parents:
            continue  # style sheets change no number
        digest.update(f"\0{path.relative_to(book.root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder(book: Book) -> Path:
    """_build/.jupyter_cache-<fingerprint>"""
    return book.root / "_build" / f".jupyter_cache-{fingerprint(book)}"


def execute(root: Path) -> dict[str, float]:
    """Run each page that the cache lacks; the CPU seconds of every page, cached or not.

    Raises RuntimeError with the tracebacks if a page fails, and if one takes more than LIMIT.
    """
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    from .counted import Counted

    prepare(root)
    book = read_book(root)
    folder = cache_folder(book)
    for old in folder.parent.glob(".jupyter_cache*"):
        if old != folder:
            shutil.rmtree(old)
    cache = get_cache(str(folder))
    for record in cache.list_project_records():  # a page that left the book would still be run
        cache.remove_nb_from_project(record.pk)
    for page in book.notebooks:
        path = str((root / f"{page}.md").resolve())
        cache.add_nb_to_project(path, read_data={"name": "myst_nb_md", "type": "plugin"})
    logger = logging.getLogger(__name__)
    executor = load_executor("local-parallel", cache=cache, logger=logger)
    executor._EXECUTION_WORKER = Counted
    executor.run_and_cache(timeout=CELL_TIMEOUT)
    _raise_tracebacks(cache)
    return check_seconds({page: seconds(folder, root / f"{page}.md") for page in book.notebooks})


def seconds(folder: Path, page: Path) -> float:
    """CPU time of the page's cells when they ran into the cache; KeyError if they never did."""
    from jupyter_cache import get_cache
    from myst_nb.core.read import myst_nb_reader_plugin

    record = get_cache(str(folder)).match_cache_notebook(myst_nb_reader_plugin(str(page)))
    return float(record.data["execution_seconds"])


def check_seconds(pages: dict[str, float]) -> dict[str, float]:
    """The same seconds; RuntimeError where a page took more than LIMIT."""
    slow = [f"{page} {t:.0f} s" for page, t in pages.items() if t > LIMIT]
    if slow:
        raise RuntimeError(f"a page takes {LIMIT:.0f} s at most, these took more: {slow}")
    return pages


def _raise_tracebacks(cache: object) -> None:
    records = cache.list_project_records()  # type: ignore[attr-defined]
    failed = [f"{r.uri}\n{_cell_and_error(r.traceback)}" for r in records if r.traceback]
    if failed:
        raise RuntimeError("\n\n".join(["these pages failed:", *failed]))


def _cell_and_error(traceback: str) -> str:
    """The cell that failed and what it raised, without the colours and the executor's own frames"""
    own = traceback.rpartition("\nnbclient.exceptions.")[2]
    return re.sub(r"\x1b\[[\d;]*m", "", own).strip()
