"""A small book for the tests, and the built one where it stands."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcourse.book.site import Book, read_book

ROOT = Path(__file__).parents[2]
CONFIG = """\
repository:
  url: https://github.com/example-org/rlcourse
  branch: main
"""
HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
BIB = """\
@book{sutton2018,
  author = {Sutton, Richard S. and Barto, Andrew G.},
  title = {Reinforcement Learning},
  year = {2018},
  url = {http://incompleteideas.net}
}
@article{many2020,
  author = {First, A. and Second, B. and Third, C.},
  title = {Many},
  year = {2020}
}
"""


@pytest.fixture(scope="session")
def course() -> Book:
    """The book of this repository."""
    return read_book(ROOT)


@pytest.fixture
def small_book(tmp_path: Path) -> Callable[..., Book]:
    """Makes a book of two pages: the text given, with cells, and another that can be cited."""

    def make(text: str, other: str = "# The other page\n\n$$ x $$ (eq-other)\n") -> Book:
        folder = tmp_path / "book" / "tabular"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "requirements.txt").write_text("numpy==2.0\n", "utf-8")
        (tmp_path / "_config.yml").write_text(CONFIG, "utf-8")
        toc = "format: jb-book\nroot: book/other\nchapters:\n  - file: book/tabular/page\n"
        (tmp_path / "_toc.yml").write_text(toc, "utf-8")
        (tmp_path / "book" / "other.md").write_text(other, "utf-8")
        (tmp_path / "book" / "references.bib").write_text(BIB, "utf-8")
        (folder / "page.md").write_text(HEADER + text, "utf-8")
        return read_book(tmp_path)

    return make


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the built book; without it a skip, or a failure where RLCOURSE_CI=1."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").is_file():
        report = pytest.fail if os.environ.get("RLCOURSE_CI") == "1" else pytest.skip
        report("the built book is needed: make book SERVE=0")
    return folder
