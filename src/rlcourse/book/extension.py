"""The Sphinx extension of the book: figures and formulas offline, its look, and its directives.

Scripts are copied into the built book, and named on a page, only where the page uses them.
"""

import html
import json
import re
import shutil
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, ClassVar

import plotly
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from . import docstrings, execute, site
from .directives import add_directives

PLOTLY = "application/vnd.plotly.v1+json"
PLAYGROUND = "application/vnd.rlcourse.playground+json"
HTML = "application/vnd.rlcourse.html+json"
STATIC = Path(__file__).parent / "static"
# names, punctuation and blanks have the text's own colour: their tags are a fifth of a page
PLAIN_TOKEN = re.compile(r'<span class="(?:n|p|w)">([^<]*)</span>')
Override = tuple[str, str, int | None]


class PlotlyMime:
    """A Plotly figure as its JSON in the page; plotly.js beside the page draws it."""

    mime_priority_overrides: ClassVar[list[Override]] = [("*", PLOTLY, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        if inline or data.mime_type != PLOTLY:
            return None
        return _raw(plotly_html(data.content))


class PlaygroundMime:
    """A playground as its own HTML; its one script beside the page brings it to life."""

    mime_priority_overrides: ClassVar[list[Override]] = [("*", PLAYGROUND, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        if inline or data.mime_type != PLAYGROUND:
            return None
        return _raw(data.content["html"])


class HtmlMime:
    """A static figure as its own HTML, in the page's colours (rlcourse.plot.Picture)."""

    mime_priority_overrides: ClassVar[list[Override]] = [("*", HTML, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        if inline or data.mime_type != HTML:
            return None
        return _raw(data.content["html"])


def _raw(text: str) -> list[nodes.Element]:
    # "output" alone: behind .text_html the theme paints a light box in dark mode
    return [nodes.raw(text=text, format="html", classes=["output"])]


def plotly_html(figure: dict[str, Any]) -> str:
    """The figure's data in a script element that no browser runs, and room for the drawing.

    The name for those who do not see it: layout.meta.alt, else the title.
    """
    parts = {k: figure[k] for k in ("data", "layout", "frames", "config") if figure.get(k)}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":")).replace("</", "<\\/")
    layout = figure.get("layout") or {}
    title = layout.get("title") or ""
    title = title.get("text", "") if isinstance(title, dict) else title
    alt = (layout.get("meta") or {}).get("alt") or re.sub(r"<[^>]*>", "", title)
    label = html.escape(alt or "Interactive figure", quote=True)
    return (
        f'<div class="rlc-plotly" role="group" aria-label="{label}" '
        f'style="min-height:{int(layout.get("height") or 450)}px">'
        f'<script type="{PLOTLY}">{text}</script>'
        f"<noscript>{label} (drawn where JavaScript runs)</noscript></div>"
    )


def configure(app: Sphinx, config: Config) -> None:
    """MathJax from the book itself, the cache of this very package, our static files."""
    execute.prepare(Path(app.srcdir))
    config.mathjax_path = "mathjax/tex-chtml.js"
    config.html_static_path = [*config.html_static_path, str(STATIC)]
    config.templates_path = [*config.templates_path, str(STATIC.parent / "templates")]
    if not config.nb_execution_cache_path:
        book = site.read_book(Path(app.srcdir))
        config.nb_execution_cache_path = str(execute.cache_folder(book))


def place_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Each page gets the scripts of what stands on it, and none of the theme's unused ones."""
    body = context.get("body") or ""
    static = Path(app.outdir) / "_static"
    if "rlc-plotly" in body:
        _copy(Path(plotly.__file__).parent / "package_data/plotly.min.js", static)
        app.add_js_file("plotly.min.js", loading_method="defer")
        app.add_js_file("plotly-figures.js", loading_method="defer")
    for name in sorted(set(re.findall(r'data-rlc-playground="(\w+)"', body))):
        bundle = import_module("rlcourse.playgrounds").bundle(name)
        (static / "playgrounds").mkdir(parents=True, exist_ok=True)
        (static / "playgrounds" / f"{name}.js").write_text(bundle, "utf-8")
        app.add_js_file(f"playgrounds/{name}.js", loading_method="defer")
    scripts = context["script_files"]
    formulas = 'class="math' in body
    scripts[:] = [s for s in scripts if not unused(s) and (formulas or not _is_mathjax(s))]
    # docutils calls it a list, yet its entries no items
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    context["body"] = PLAIN_TOKEN.sub(r"\1", body)
    context["report_url"] = report_url(app.config.html_theme_options, page)


def report_url(options: dict[str, Any], page: str) -> str:
    """A new issue on GitHub that names the page."""
    return f"{options['repository_url']}/issues/new?title=Problem%20on%20page%20{page}"


def copy_mathjax(folder: Path) -> None:
    """MathJax's TeX reader, its HTML writer and its fonts, out of sphinx-mathjax-offline."""
    files = [f for f in metadata.files("sphinx-mathjax-offline") or [] if "mathjax" in f.parts]
    wanted = re.compile(r"static/mathjax/(tex-chtml\.js|output/chtml/fonts/woff-v2/.*)$")
    found = [(m[1], f.locate()) for f in files if (m := wanted.search(f.as_posix()))]
    if not found:
        raise FileNotFoundError("sphinx-mathjax-offline holds no tex-chtml.js: see requirements")
    for name, path in found:
        _copy(Path(str(path)), (folder / name).parent)


def _copy(path: Path, folder: Path) -> None:
    target = folder / path.name
    if not target.is_file() or target.stat().st_size != path.stat().st_size:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def unused(script: Any) -> bool:
    """Is this one of the theme's scripts for thebe, or the state of widgets that no kernel moves?

    The theme has no thebe button of ours, and declares its address twice, which is an error.
    """
    attributes = getattr(script, "attributes", {})
    body, kind = attributes.get("body") or "", attributes.get("type") or ""
    thebe = "THEBE_JS_URL" in body or "sphinx-thebe" in str(getattr(script, "filename", ""))
    return thebe or "widget-state" in kind


def _is_mathjax(script: Any) -> bool:
    body = getattr(script, "attributes", {}).get("body") or ""
    return "window.MathJax" in body or "mathjax/" in str(getattr(script, "filename", ""))


def sign_numbers(app: Sphinx, doctree: nodes.document) -> None:
    """A glued number has a minus sign, as in the formulas beside it, and no hyphen."""
    for node in doctree.findall(nodes.inline):
        if "pasted-text" in node["classes"] and re.match(r"-[\d.]", node.astext()):
            node[0] = nodes.Text("\N{MINUS SIGN}" + node.astext()[1:])


def number_within_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Figures and theorems count from 1 on each page, as equations do and as the notebook says."""
    for kinds in env.toc_fignumbers.values():
        for numbers in kinds.values():
            for number, key in enumerate(numbers, 1):
                numbers[key] = (number,)
    return []


def serve_our_notebooks(app: Sphinx, error: Exception | None) -> None:
    """The download button gives the plain notebook, not the one full of MyST."""
    for path in (Path(app.outdir) / "_sources").rglob("*.ipynb"):
        own = Path(app.srcdir) / path.relative_to(Path(app.outdir) / "_sources")
        if own.is_file():
            shutil.copyfile(own, path)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    add_directives(app)
    app.add_css_file("book.css", priority=900)
    app.add_js_file("print.js", loading_method="defer")
    app.connect("config-inited", configure, priority=900)
    app.connect("builder-inited", lambda app: copy_mathjax(Path(app.outdir) / "_static/mathjax"))
    app.connect("doctree-read", sign_numbers)
    app.connect("env-get-updated", number_within_pages, priority=900)
    app.connect("html-page-context", place_scripts, priority=900)
    app.connect("build-finished", serve_our_notebooks)
    if "sphinx.ext.autodoc" in app.extensions:
        app.connect("autodoc-process-docstring", docstrings.plain_docstrings)
        app.connect("autodoc-skip-member", docstrings.skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
