"""The built book in a real browser: narrow and wide, light and dark, offline, and on paper."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from harness import Complaints, missing, opened, served, violations

from rlcourse.book.site import read_book

ROOT = Path(__file__).parents[2]
PAGES = read_book(ROOT).pages
CHAPTERS = [page for page in PAGES if page.count("/") == 2]
WIDTHS, SCHEMES = (375, 1280), ("light", "dark")
THEMES_OWN = ("label-content-name-mismatch", "region", "color-contrast")
DOCUTILS_OWN = ("aria-allowed-role", "aria-deprecated-role", "aria-required-children")  # citations
OURS = ".rlc-picture, .rlc-plotly, .quiz, [data-rlc-playground], .graded"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the built book is served."""
    built = ROOT / "_build/html"
    if not (built / "index.html").is_file():
        missing("the book is not built: make book SERVE=0")
    with served(built) as found:
        yield found


def settle(page) -> None:
    """Scroll through the page, so that all is drawn that waits for it; wait for the formulas."""
    page.wait_for_load_state("load")
    page.evaluate(
        """async () => {
          for (let y = 0; y < document.body.scrollHeight; y += 600) {
            scrollTo(0, y); await new Promise((go) => setTimeout(go, 15));
          }
          scrollTo(0, 0);
          if (window.MathJax?.startup) await MathJax.startup.promise;
        }"""
    )


# ----------------------------------------------- checks of one page in one window, which share it


@pytest.fixture(scope="module")
def window(request, browser, address):
    """A page of the book, settled, and what it complained about."""
    name, width, scheme = request.param
    complaints = Complaints()
    with opened(browser, complaints, width, dark=scheme == "dark") as page:
        page.goto(f"{address}/{name}.html")
        settle(page)
        yield page, complaints


@pytest.fixture
def page(window):
    """The page of the window; the test fails where it has complained since the last test."""
    page, complaints = window
    yield page
    found = [*complaints]
    complaints.clear()
    assert not found, "\n".join(found)


def shown(pages, widths=WIDTHS, schemes=SCHEMES):
    """Each page in each window. pytest runs all tests of one window in a row, in their order here:
    first those that look, then those that change the page.
    """
    cases = [*product(pages, widths, schemes)]
    names = ["-".join(map(str, case)) for case in cases]
    return pytest.mark.parametrize("window", cases, indirect=True, ids=names)


@shown(PAGES)
def test_a_page_loads_without_complaint_and_fits_its_window(page, request):
    _, width, scheme = request.node.callspec.params["window"]
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("mjx-merror").count() == 0
    raw = page.evaluate(
        "[...document.querySelectorAll('.math')]"
        ".filter((e) => !e.querySelector('mjx-container')).length"
    )
    assert raw == 0


@shown(PAGES, [1280])
def test_axe_finds_nothing_serious_of_ours(page):
    assert violations(page, but=THEMES_OWN + DOCUTILS_OWN) == []
    if page.locator(OURS).count():
        assert violations(page, OURS, only=["color-contrast"]) == []


@shown(CHAPTERS, [1280], ["light"])
def test_every_figure_is_drawn(page):
    page.wait_for_function(
        "[...document.querySelectorAll('.rlc-plotly')].every((e) => e.dataset.ready === '1')"
    )
    page.wait_for_function(
        "[...document.querySelectorAll('[data-rlc-playground]')]"
        ".every((e) => e.dataset.rlcReady === '')"
    )
    sizes = page.evaluate(
        "[...document.querySelectorAll('.rlc-picture svg, .rlc-plotly .main-svg')]"
        ".map((e) => e.getBoundingClientRect().height)"
    )
    assert sizes
    assert min(sizes) > 100


@shown(CHAPTERS, [1280], ["light"])
def test_a_page_leads_on_and_lets_its_reader_answer_back(page):
    text = page.locator("body").inner_text().lower()
    assert "report a problem" in text
    assert page.locator("a.left-prev, a.right-next").count() >= 1
    links = page.locator("a").evaluate_all("(l) => l.map((e) => e.href)")
    assert any("/issues/new" in link for link in links)
    assert any("/edit/" in link for link in links)
    assert any("colab.research.google.com" in link and link.endswith(".ipynb") for link in links)


@shown(CHAPTERS, [1280], ["light"])
def test_a_quiz_and_a_solution_open_without_a_script(page):
    option = page.locator(".quiz-option").first
    assert not option.evaluate("(e) => e.open")
    option.locator("summary").click()
    assert option.evaluate("(e) => e.open")


@shown(CHAPTERS, [1280], ["dark"])
def test_a_page_prints_legibly_from_a_dark_screen(page):
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    ink = page.evaluate(
        """() => [...document.querySelectorAll('article p, article h2, article pre, article td')]
          .filter((e) => e.getClientRects().length)
          .map((e) => getComputedStyle(e).color.match(/^rgba?\\((\\d+), (\\d+), (\\d+)/))
          .map(([_, r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b)"""
    )
    assert ink
    assert max(ink) < 140
    assert page.locator(".bd-sidebar-primary").is_hidden()
    pdf = page.pdf(format="A4")
    assert len(pdf) > 50_000


# ------------------------------------------------------------------ checks with a page of their own


@pytest.fixture
def new(new_page, address):
    """new(name): a page of the book, settled."""

    def open_page(name):
        page = new_page()
        page.goto(f"{address}/{name}.html")
        settle(page)
        return page

    return open_page


def test_the_slider_of_the_plotly_figure_acts(new):
    page = new("book/tabular/gridworld")
    figure = page.locator(".rlc-plotly")
    figure.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.rlc-plotly').dataset.ready === '1'")
    before = figure.inner_text()
    assert "after sweep 4" in before
    box = figure.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    page.wait_for_function(
        "document.querySelector('.rlc-plotly').textContent.includes('after sweep 12')"
    )
    assert figure.inner_text() != before


def test_the_ring_of_function_approximation_turns_stable_with_its_slider(new):
    page = new("book/deep/function_approximation")
    figure = page.locator(".rlc-plotly")
    figure.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.rlc-plotly').dataset.ready === '1'")
    assert "spirals out" in figure.inner_text()
    box = figure.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(box["x"] + 8, box["y"] + box["height"] / 2)
    page.wait_for_function(
        "document.querySelector('.rlc-plotly').textContent.includes('on-policy: spirals in')"
    )


def test_a_slider_of_the_playground_acts(new):
    page = new("book/tabular/gridworld")
    assert page.get_by_text("153 sweeps", exact=True).first.is_visible()
    slider = page.get_by_role("slider", name="gamma").first
    slider.focus()
    slider.press("Home")
    page.get_by_text("1 sweep", exact=True).first.wait_for()


def test_the_search_finds_bellman(new_page, address):
    page = new_page()
    page.goto(f"{address}/search.html?q=Bellman")
    page.locator("#search-results li a").first.wait_for()
    links = page.locator("#search-results li a").evaluate_all("(l) => l.map((e) => e.href)")
    assert any("tabular/gridworld" in link for link in links)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_can_be_read_without_scripts(name, new_page, address, complaints):
    page = new_page(script=False)
    page.goto(f"{address}/{name}.html")
    flagships = page.locator("[data-rlc-playground] table, .rlc-plotly")  # one or the other
    assert flagships.count() >= 1
    assert page.locator(".rlc-picture svg").count() >= 1
    complaints.clear()  # of scripts that were not loaded


def test_the_pages_under_test_are_those_of_the_book():
    assert len(PAGES) >= 7
    assert "book/tabular/gridworld" in CHAPTERS
