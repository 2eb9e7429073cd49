"""The built book: offline, light, and in agreement with its notebooks."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rlcourse.book.references import targets

PAGE_LIMIT = 300_000  # bytes of a page's HTML, with its figures and data
SHARED_LIMIT = 6_000_000  # bytes of what all pages share, as a server sends it: gzipped
SHARED_RAW_LIMIT = 12_000_000
FONTS_OF_MATHJAX = "mathjax/output"


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {k: v or "" for k, v in attrs}))


@pytest.fixture(scope="module")
def pages(built: Path, course) -> dict[str, str]:
    return {page: (built / f"{page}.html").read_text("utf-8") for page in course.pages}


def own_images(built: Path, page: str, text: str) -> list[Path]:
    sources = [a["src"] for tag, a in Tags(text).found if tag == "img" and "src" in a]
    files = [(built / page).parent / source for source in sources if "_images" in source]
    return [file.resolve() for file in files]


def test_each_page_with_its_figures_is_light(built, pages):
    for page, text in pages.items():
        size = len(text.encode()) + sum(f.stat().st_size for f in own_images(built, page, text))
        assert size <= PAGE_LIMIT, f"{page}: {size} bytes"


def test_what_all_pages_share_is_light_when_sent_and_on_disk(built):
    named = re.compile(r"\.(js|css|woff2?|svg|png)$")
    files = [f for f in (built / "_static").rglob("*") if named.search(f.name)]
    used = [f for f in files if "locales" not in f.parts and not f.name.endswith(".map")]
    raw = sum(f.stat().st_size for f in used)
    sent = sum(len(gzip.compress(f.read_bytes(), 6)) for f in used)
    print(f"shared assets: {raw / 1e6:.2f} MB on disk, {sent / 1e6:.2f} MB gzipped")
    assert sent <= SHARED_LIMIT
    assert raw <= SHARED_RAW_LIMIT


def test_no_page_loads_anything_from_another_host(pages):
    loads = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}
    for page, text in pages.items():
        for tag, attributes in Tags(text).found:
            for name in (n for t, n in loads if t == tag):
                kind = attributes.get("rel", "")
                outside = re.match(r"(https?:)?//", attributes.get(name, ""))
                assert not outside or kind in ("canonical", "license"), (page, attributes)


def test_scripts_stand_only_on_pages_that_use_them(pages):
    for page, text in pages.items():
        assert ("plotly.min.js" in text) == ('class="rlc-plotly"' in text), page
        assert ("_static/playgrounds/" in text) == ("data-rlc-playground" in text), page
        assert ("tex-chtml.js" in text) == ('class="math' in text), page
        assert "THEBE_JS_URL" not in text
        assert "widget-state" not in text


def test_every_image_says_what_it_shows(pages):
    for page, text in pages.items():
        for tag, attributes in Tags(text).found:
            if tag == "img" and "logo" not in attributes.get("class", ""):
                assert attributes.get("alt", "").strip(), (page, attributes)
                assert not re.search(r"\.(png|svg|jpe?g)$", attributes["alt"]), (page, attributes)
            if attributes.get("role") == "img":
                assert attributes.get("aria-label", "").strip(), (page, attributes)


def test_equations_have_the_same_number_in_the_page_and_in_its_notebook(pages, course):
    for page, text in pages.items():
        shown = re.findall(r'id="equation-([\w-]+)">\s*<span class="eqno">\((\d+)\)', text)
        found = targets(page, course.source(page))
        expected = {k: t.number for k, t in found.items() if t.kind == "Equation"}
        assert dict(shown) == expected, page


def test_a_page_with_cells_says_what_they_cost_and_opens_in_colab(pages, course):
    for page in course.notebooks:
        text = pages[page]
        assert re.search(r'class="page-seconds">Its cells took \d+ s', text), page
        assert f"colab.research.google.com/github/example-org/rlcourse/blob/main/{page}.ipynb" in (
            text.replace(course.url.removeprefix("https://github.com/"), "example-org/rlcourse")
        )


def test_the_notebook_to_download_is_the_plain_one(built, course):
    for page in course.notebooks:
        served = (built / "_sources" / f"{page}.ipynb").read_text("utf-8")
        assert served == (course.root / f"{page}.ipynb").read_text("utf-8")


def test_each_page_lets_the_reader_answer_and_go_on(pages, course):
    for page, text in pages.items():
        assert f"/issues/new?title=Problem%20on%20page%20{page}" in text
        assert f"/edit/{course.branch}/{page}.md" in text
        assert 'class="prev-next-area"' in text


def test_search_finds_bellman(built):
    assert "bellman" in (built / "searchindex.js").read_text("utf-8")
