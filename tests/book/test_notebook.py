"""The committed notebooks: generated, complete, and installable from the repository alone."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import rlcourse
from rlcourse.book.notebook import dumps, notebook, requirement, write_notebooks
from rlcourse.book.references import Index
from rlcourse.book.run import fresh_environment
from rlcourse.book.site import read_book, set_repository

from .conftest import ROOT

PAGE = """\
# Title

Worth {glue:text}`late:.1f`.

```{code-cell} ipython3
:tags: [remove-input]
from rlcourse.book import glue
```

```{code-cell} ipython3
---
tags: [your-turn]
mystnb:
  figure:
    name: fig-one
    caption: It falls, {glue:text}`late`.
---
glue("late", 3.0)
```

```{code-cell} ipython3
:tags: [solution]
show(secret)
```

{numref}`fig-one` and again {glue:text}`late`.
"""


def cells(book) -> list[dict]:
    return notebook(book, "book/tabular/page")["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def test_committed_notebooks_are_what_the_pages_generate(course):
    index = Index(course)
    for page in course.notebooks:
        committed = (ROOT / f"{page}.ipynb").read_text("utf-8")
        assert committed == dumps(notebook(course, page, index)), f"make notebooks: {page}"
    stray = {p.relative_to(ROOT).with_suffix("").as_posix() for p in ROOT.glob("book/**/*.ipynb")}
    assert stray == set(course.notebooks)


def test_committed_notebooks_are_valid_and_empty_of_outputs(course):
    for page in course.notebooks:
        content = json.loads((ROOT / f"{page}.ipynb").read_text("utf-8"))
        nbformat.validate(nbformat.from_dict(content))
        assert all(not c["outputs"] for c in content["cells"] if c["cell_type"] == "code")


def test_no_raw_myst_stands_in_a_committed_notebook(course):
    raw = re.compile(r"(?<!`)\{[a-z:-]+\}`(?=\w)|^ *[`:]{3,}\{|^\([\w-]+\)=|\$\$ *\(", re.M)
    for page in course.notebooks:
        for cell in json.loads((ROOT / f"{page}.ipynb").read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                text = re.sub(r"```.*?\n```", "", source(cell), flags=re.S)
                assert not raw.search(text), (page, text)


def test_the_first_cell_installs_this_version_where_it_is_missing(small_book):
    first = cells(small_book("# Title\n"))[0]
    at = f"git+https://github.com/example-org/rlcourse@v{rlcourse.__version__}"
    assert f'    %pip install -q "rlcourse @ {at}"' in source(first)
    assert "find_spec" in source(first)


def test_the_first_cell_asks_for_the_extras_that_the_page_names(small_book):
    book = small_book("# Title\n")
    path = book.root / "book/tabular/page.md"
    path.write_text(path.read_text("utf-8").replace("---\njup", "---\nextras: [torch]\njup", 1))
    assert "rlcourse[torch] @ " in source(cells(book)[0])
    assert requirement(book, []).startswith("rlcourse @ ")


def test_solutions_stay_out_of_the_notebook(small_book):
    assert not any("secret" in source(c) for c in cells(small_book(PAGE)))


def test_a_glued_number_is_printed_after_the_cell_that_makes_it(small_book):
    found = [source(c) for c in cells(small_book(PAGE))]
    at = next(i for i, text in enumerate(found) if 'glue("late"' in text)
    printing = [i for i, text in enumerate(found) if "glued(" in text]
    assert printing[0] > at
    assert 'glued("late:.1f", "late")' in found[printing[0]]
    assert "Worth `late`." in "\n".join(found)


def test_a_caption_stands_below_its_figure(small_book):
    found = [source(c) for c in cells(small_book(PAGE))]
    assert "*Figure 1. It falls, `late`.*" in found
    assert any(text.startswith("Figure 1 and again `late`.") for text in found)


def test_a_hidden_cell_keeps_its_code_and_folds_it(small_book):
    cell = next(c for c in cells(small_book(PAGE)) if source(c).startswith("from rlcourse.book"))
    assert cell["metadata"]["jupyter"] == {"source_hidden": True}


def test_ids_are_unique_and_a_change_touches_its_own_cell_alone(small_book):
    text = "# T\n\nsame\n\n## A\n\nsame\n\n+++\n\nsame\n\n+++\n\nsame\n\n## B\n\nb\n"
    before = [c["id"] for c in cells(small_book(text))]
    after = [c["id"] for c in cells(small_book(text.replace("\nb\n", "\nc\n")))]
    assert len(set(before)) == len(before)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True] * 5 + [False]


def test_writing_again_changes_nothing(small_book):
    book = small_book(PAGE)
    assert [p.name for p in write_notebooks(book.root)] == ["page.ipynb"]
    assert write_notebooks(book.root) == []


@pytest.mark.parametrize("url", ["", "example", "C:\\x", "https://github.com"])
def test_an_address_that_git_cannot_fetch_is_refused(small_book, url):
    with pytest.raises(ValueError, match="url must be a git address"):
        set_repository(small_book("# T\n").root, url)


def test_setting_the_repository_reaches_badges_links_and_notebooks(small_book):
    root = small_book(PAGE).root
    badge = "https://colab.research.google.com/github/{}/blob/main/book/tabular/page.ipynb"
    readme = f"[x]({badge.format('example-org/rlcourse')}) https://github.com/example-org/rlcourse"
    (root / "README.md").write_text(readme, "utf-8")
    set_repository(root, "https://github.com/me/mine.git")
    write_notebooks(root)
    assert badge.format("me/mine") in (root / "README.md").read_text("utf-8")
    texts = [p.read_text("utf-8") for p in root.rglob("*") if p.suffix in (".md", ".yml", ".ipynb")]
    assert not any("example-org" in text for text in texts)
    assert read_book(root).url == "https://github.com/me/mine"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """This checkout as a repository of its own, with the version's tag."""
    folder = tmp_path / "clone"
    kept = shutil.ignore_patterns(".git", ".venv*", "_build", "dist", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=kept)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "All")
    git(folder, "tag", f"v{rlcourse.__version__}")
    return folder


def test_the_first_cell_installs_the_course_from_a_clone_named_by_set_repository(clone, tmp_path):
    url = f"file://{clone}"
    command = [sys.executable, "-m", "rlcourse.book", "set-repository", url]
    subprocess.run(command, cwd=clone, check=True, capture_output=True)
    book = read_book(clone)
    first = json.loads((clone / f"{book.notebooks[0]}.ipynb").read_text("utf-8"))["cells"][0]
    assert url in source(first)
    python = fresh_environment(tmp_path / "venv", Path(sys.executable))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "cell.py").write_text(source(first), "utf-8")
    run = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_cell(open('cell.py', encoding='utf-8').read()).raise_error()\n"
        "import rlcourse; print(rlcourse.__file__)"
    )
    # the packages are there already: pip builds the course with the hatchling of this environment
    offline = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    hidden = {"PYTHONPATH", "VIRTUAL_ENV"}
    env = {k: v for k, v in os.environ.items() if k not in hidden} | offline
    done = subprocess.run([python, "-c", run], cwd=empty, env=env, capture_output=True, text=True)
    assert str(tmp_path / "venv") in done.stdout, done.stdout + done.stderr
