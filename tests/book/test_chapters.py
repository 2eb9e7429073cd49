"""The house rules that a chapter keeps: it defines nothing, and code and equations agree."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from rlcourse.book.fences import Fence, fences
from rlcourse.book.references import targets

from .conftest import ROOT

ROOMS = sorted({p.parent.name for p in (ROOT / "book").glob("*/*.md")})


def code_cells(text: str) -> list[Fence]:
    return [f for f in fences(text.split("\n")) if isinstance(f, Fence) and f.name == "code-cell"]


def definitions(cell: Fence) -> list[str]:
    code = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in cell.body)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)]


def parameters(code: str) -> dict[str, tuple[list[str], int]]:
    """function -> the names of its parameters, and how many of them have a default"""
    return {
        node.name: ([x.arg for x in node.args.args + node.args.kwonlyargs], len(node.args.defaults))
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef)
    }


def labels_cited(path: Path) -> set[str]:
    return set(re.findall(r"\((eq-[\w-]+)\)", path.read_text("utf-8")))


def test_a_chapter_defines_nothing_outside_the_readers_cells(course):
    for page in course.notebooks:
        for cell in code_cells(course.source(page)):
            if "your-turn" not in cell.tags:
                assert definitions(cell) == [], page


def test_the_rule_that_a_chapter_defines_nothing_can_fail():
    cell = code_cells("```{code-cell} ipython3\n%matplotlib inline\ndef f():\n    pass\n```")[0]
    assert definitions(cell) == ["f"]


def test_no_line_of_prose_begins_with_a_percent_sign(course):
    """It would be a comment of MyST: lost, and the paragraph cut in two."""
    for page in course.pages:
        if (ROOT / f"{page}.md").is_file():
            lines = [x for x in fences(course.source(page).split("\n")) if isinstance(x, str)]
            assert not [x for x in lines if x.lstrip().startswith("%")], page


def test_a_readers_cell_takes_the_arguments_that_the_desk_takes(course):
    for page in course.notebooks:
        desk = ROOT / page.replace("book/", "exercises/", 1)
        wanted = parameters(desk.with_suffix(".py").read_text("utf-8"))
        cells = [c for c in code_cells(course.source(page)) if "your-turn" in c.tags]
        taken = {k: v for c in cells for k, v in parameters("\n".join(c.body)).items()}
        assert wanted == {name: taken.get(name) for name in wanted}, page


@pytest.mark.parametrize("room", ROOMS)
def test_each_equation_that_code_cites_stands_in_its_chapter(course, room):
    pages = {p.split("/")[-1]: p for p in course.pages if p.startswith(f"book/{room}/")}
    known = {topic: set(targets(p, course.source(p))) for topic, p in pages.items()}
    whole = set().union(*known.values())
    for path in sorted((ROOT / "src/rlcourse" / room).glob("*.py")):
        missing = labels_cited(path) - known.get(path.stem, whole)
        assert not missing, f"{path.name} cites {sorted(missing)}"


def test_every_page_with_cells_says_so_in_its_header(course):
    for page in course.pages:
        if (ROOT / f"{page}.md").is_file():
            has_cells = bool(code_cells(course.source(page)))
            assert has_cells == (page in course.notebooks), page


def test_every_page_of_the_book_is_in_its_table_of_contents(course):
    files = {p.relative_to(ROOT).with_suffix("").as_posix() for p in (ROOT / "book").rglob("*.md")}
    assert files == set(course.pages)


def test_the_repository_address_stands_where_set_repository_writes_it(course):
    written = {"_config.yml", "README.md", "CITATION.cff"}
    for path in [*ROOT.glob("*.*"), *ROOT.glob("book/**/*.md"), *ROOT.glob("src/**/*.py")]:
        if path.is_file() and path.name not in written:
            assert course.url not in path.read_text("utf-8"), path


def test_the_configuration_keeps_the_build_strict_and_offline():
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert config["only_build_toc_files"] is True
    assert config["execute"]["execute_notebooks"] == "cache"
    assert config["execute"].get("allow_errors", False) is False
    assert config["execute"]["stderr_output"] == "remove-warn"
    assert config["sphinx"]["config"]["suppress_warnings"] == ["myst.domains"]
    assert "path_to_book" not in config["repository"]
    assert "linkify" not in config["parse"]["myst_enable_extensions"]
    assert not (ROOT / "_static").exists(), "its scripts would load on every page"
    makefile = (ROOT / "src/rlcourse/book/__main__.py").read_text("utf-8")
    assert all(f'"{flag}"' in makefile for flag in ("-W", "-n", "--keep-going", "--all"))
