"""Execution: the cache knows the package, failures are told, budgets hold."""

import os

import pytest

from rlcourse.book import execute
from rlcourse.book.site import read_book

CELL = "# T\n\n```{code-cell} ipython3\n{code}\n```\n"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in [*execute.ENVIRONMENT, "IPYTHONDIR"]:
        monkeypatch.setenv(name, execute.ENVIRONMENT.get(name, ""))


def page(code: str) -> str:
    return CELL.replace("{code}", code)


def test_the_cache_hangs_on_source_requirements_and_address_but_not_on_style(small_book):
    book = small_book("# T\n")
    seen = [execute.fingerprint(book)]
    (book.root / "src/a.py").write_text("x = 1\n")
    seen.append(execute.fingerprint(book))
    (book.root / "src/a.py").rename(book.root / "src/b.py")
    seen.append(execute.fingerprint(book))
    (book.root / "requirements.txt").write_text("numpy==2.1\n")
    seen.append(execute.fingerprint(book))
    seen.append(execute.fingerprint(book._replace(url="https://github.com/me/mine")))
    assert len(set(seen)) == len(seen)
    (book.root / "src/rlcourse/book/static").mkdir(parents=True)
    (book.root / "src/rlcourse/book/static/book.css").write_text("p {}")
    (book.root / "src/__pycache__").mkdir()
    (book.root / "src/__pycache__/a.pyc").write_bytes(b"1")
    assert execute.fingerprint(book) == seen[3]


def test_a_page_runs_once_and_again_when_the_package_changes(small_book):
    ran = "from pathlib import Path; Path('{log}').open('a').write('x')"
    book = small_book("# T\n")
    log = book.root / "log"
    (book.root / "book/tabular/page.md").write_text(
        book.source("book/tabular/page") + page(ran.replace("{log}", str(log)))
    )
    assert execute.execute(book.root)["book/tabular/page"] > 0
    execute.execute(book.root)
    assert log.read_text() == "x"
    old = execute.cache_folder(book)
    (book.root / "src/a.py").write_text("x = 1\n")
    execute.execute(book.root)
    assert log.read_text() == "xx"
    assert not old.exists()


def test_a_page_that_fails_is_named_with_its_error(small_book):
    book = small_book(page("1 / 0"))
    with pytest.raises(RuntimeError, match=r"(?s)page\.md.*ZeroDivisionError"):
        execute.execute(book.root)


def test_a_page_that_takes_too_long_is_named():
    assert execute.check_seconds({"a": execute.LIMIT}) == {"a": execute.LIMIT}
    with pytest.raises(RuntimeError, match="slow 61 s"):
        execute.check_seconds({"fast": 1.0, "slow": 61.0})


@pytest.mark.skipif(os.name == "nt", reason="Windows doesn't count what processes spent")
def test_seconds_are_those_of_work_not_of_waiting(small_book):
    works = "import time; end = time.process_time() + 3\nwhile time.process_time() < end: pass"
    taken = [
        execute.execute(small_book(page(code)).root)["book/tabular/page"]
        for code in ("import time; time.sleep(6)", works)
    ]
    assert taken[0] < 6
    assert taken[1] > taken[0] + 2


def test_the_kernel_has_one_thread_and_a_seed(small_book):
    names = ("OMP_NUM_THREADS", "RLCOURSE_SEED", "PYTHONHASHSEED", "RLCOURSE_BOOK")
    check = f"import os; assert [os.environ[n] for n in {names}] == ['1', '0', '0', '1']"
    assert execute.execute(small_book(page(check)).root)


def test_pages_that_left_the_book_do_not_run(small_book):
    book = small_book(page("1 / 0"))
    with pytest.raises(RuntimeError):
        execute.execute(book.root)
    (book.root / "_toc.yml").write_text("format: jb-book\nroot: book/other\n")
    assert read_book(book.root).notebooks == []
    assert execute.execute(book.root) == {}
