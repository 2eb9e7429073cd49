"""What tests in a real browser share: Chromium, pages that must not complain, a server, axe.

A test asks for the fixture `new_page` and opens what it needs:

    page = new_page(width=375, dark=True)
    page.goto(f"{address}/index.html")

Every host but this machine is unreachable, as for a reader on a train. At the end the test fails
where a page logged an error or a warning, threw, or asked for something that it did not get.
Without Playwright or Chromium these tests skip, and fail where RLCOURSE_CI=1.
"""

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHELL = "chromium-headless-shell"  # no window to draw: half the time of the others
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
WAIT = 60_000  # ms until a page counts as stuck, on a busy machine too


def missing(what: str) -> None:
    """Skip the test; fail it where RLCOURSE_CI=1, since nothing may be missing there."""
    if os.environ.get("RLCOURSE_CI") == "1":
        pytest.fail(what)
    pytest.skip(what)


def chromium() -> str | None:
    """Where Chromium is: $CHROMIUM, or its usual names on the path; None if nowhere."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return found if found and Path(found).is_file() else None


# Once a module, not once a session: while Playwright runs, its event loop is the thread's own, and
# later tests that run notebooks could not start theirs. A launch takes one second.
@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Headless Chromium, driven by Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("browser tests need Playwright: pip install 'playwright>=1.49'")
    path = chromium()
    if path is None:
        missing("browser tests need Chromium: apt-get install chromium, or set $CHROMIUM")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


class Complaints(list[str]):
    """What pages complained about; a test may take out what it provoked."""

    def listen(self, page: "Page") -> None:
        def logged(message: object) -> None:
            if message.type in ("error", "warning"):
                self.append(f"console: {message.text}")

        def answered(response: object) -> None:
            if response.status >= 400:
                self.append(f"{response.status}: {response.url}")

        page.on("console", logged)
        page.on("pageerror", lambda error: self.append(f"thrown: {error}"))
        page.on("requestfailed", lambda request: self.append(f"not loaded: {request.url}"))
        page.on("response", answered)


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """The complaints of all pages of the test, which fails if any are left at its end."""
    found = Complaints()
    yield found
    assert not found, "\n".join(found)


@contextlib.contextmanager
def opened(
    browser: "Browser",
    complaints: Complaints,
    width: int = 1280,
    dark: bool = False,
    script: bool = True,
    touch: bool = False,
) -> "Iterator[Page]":
    """An empty page, open while the block runs."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        has_touch=touch,
    )
    with contextlib.closing(context):
        page = context.new_page()
        page.set_default_timeout(WAIT)
        complaints.listen(page)
        yield page


@pytest.fixture
def new_page(browser: "Browser", complaints: Complaints) -> "Iterator[Callable[..., Page]]":
    """new_page(width=1280, dark=False, script=True, touch=False) opens an empty page."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(
            opened(browser, complaints, *args, **kwargs)
        )


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing: failed requests are the page's complaints."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which a folder is served on this machine while the block runs."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def violations(
    page: "Page", within: str | None = None, only: Sequence[str] = (), but: Sequence[str] = ()
) -> list[str]:
    """What axe objects to in the page, or in the elements of a CSS selector: "rule: element".

    It tries the rules of `only`, or all `but` some. To describe what passes takes it longer than to
    find what does not: of that it gives one element a rule, and no selectors of elements at all.
    """
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("accessibility tests need axe: pip install 'axe-playwright-python>=0.1.4'")
    options: dict[str, Any] = {"resultTypes": ["violations"], "selectors": False}
    options["preload"] = False  # it would fetch the style sheets once more, by their names there
    options["rules"] = {rule: {"enabled": False} for rule in but}
    if only:
        options["runOnly"] = [*only]
    found = Axe().run(page, context=within, options=options).response["violations"]
    return [f"{rule['id']}: {node['html'][:150]}" for rule in found for node in rule["nodes"]]


def state(page: "Page") -> Any:
    """What the first playground of the page says of itself."""
    return page.evaluate("document.querySelector('[data-rlc-playground]').playground.state()")


def change(page: "Page", fields: dict[str, Any]) -> None:
    """Change fields of the first playground of the page, as a control would."""
    page.evaluate("x => document.querySelector('[data-rlc-playground]').playground.set(x)", fields)
