"""The browser for playgrounds: a page that holds one, and the functions of its script."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import browser, complaints, new_page

from rlcourse.playgrounds import Playground, _base

__all__ = ["browser", "complaints", "new_page"]

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>A playground</title>
<style>:root {{ --back: #fff }} [data-theme=dark] {{ --back: #14181e }}
body {{ margin: 8px auto; max-width: 690px; background: var(--back); color: #777 }}</style>
<main>{html}</main></html>"""

Load = Callable[..., Any]


@pytest.fixture
def evaluate(new_page: Load) -> Load:
    """evaluate(name, expression, cases, mutant=None): the expression's value of each case.

    `expression` is a JavaScript function of one case, written with the functions of figure `name`
    and of what it imports; a mutant (old, new) replaces the one place where `old` stands in them.
    """
    page = new_page()

    def each(
        name: str, expression: str, cases: list[Any], mutant: tuple[str, str] | None = None
    ) -> list[Any]:
        tail = f"window.answers = (cases) => cases.map({expression});\n"
        text = _base.joined(*map(_base.source, _base.needed(name)), tail)
        if mutant:
            assert text.count(mutant[0]) == 1, f"the mutant has lost its place: {mutant[0]}"
            text = text.replace(*mutant)
        page.goto("about:blank")
        page.evaluate(text)
        answers: list[Any] = page.evaluate("(x) => answers(JSON.parse(x))", json.dumps(cases))
        return answers

    return each


@pytest.fixture
def load(new_page: Load, tmp_path: Path) -> Load:
    """load(playground, dark=..., width=...) opens it from a file and returns the page."""

    def load_it(figure: Playground | str, dark: bool = False, **options: Any) -> Any:
        html = figure if isinstance(figure, str) else figure._repr_mimebundle_()["text/html"]
        file = tmp_path / "page.html"
        file.write_text(PAGE.format(theme="dark" if dark else "light", html=html), encoding="utf-8")
        page = new_page(dark=dark, **options)
        page.goto(file.as_uri())
        if options.get("script", True):
            page.wait_for_selector("[data-rlc-ready]", state="attached")
        return page

    return load_it
