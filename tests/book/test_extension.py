"""The extension: figures as data, graphics of the page's own, labels that say something."""

import json
import re
from types import SimpleNamespace

import plotly.graph_objects as go
import pytest
from docutils import nodes
from docutils.utils import new_document

from rlcourse.book import docstrings, extension
from rlcourse.book.extension import HtmlMime, PlaygroundMime, PlotlyMime


def bundle(mime: str, content: object) -> SimpleNamespace:
    return SimpleNamespace(mime_type=mime, content=content)


def plotly(**layout: object) -> str:
    figure = go.Figure(go.Scatter(y=[1, 2]), layout=layout)
    content = json.loads(figure.to_json())
    node = PlotlyMime.handle_mime(None, bundle(extension.PLOTLY, content), False)[0]
    assert node["classes"] == ["output"]
    return node.astext()


def test_a_plotly_figure_is_data_that_its_own_script_reads():
    text = plotly(title="</script><b>Falling</b>")
    data = re.search(r"<script [^>]*>(.*?)</script>", text)[1]
    assert json.loads(data)["layout"]["title"]["text"] == "</script><b>Falling</b>"
    assert text.count("</script>") == 1
    assert "cdn" not in text


@pytest.mark.parametrize(
    ("layout", "label"),
    [
        ({"meta": {"alt": 'A "line"'}, "title": "T"}, "A &quot;line&quot;"),
        ({"title": "Error <i>e</i>"}, "Error e"),
        ({}, "Interactive figure"),
    ],
)
def test_a_figure_is_named_for_those_who_do_not_see_it(layout, label):
    assert f'aria-label="{label}"' in plotly(**layout)


def test_the_same_figure_gives_the_same_html():
    assert plotly(title="a") == plotly(title="a")


@pytest.mark.parametrize(
    ("renderer", "mime"),
    [(PlaygroundMime, extension.PLAYGROUND), (HtmlMime, extension.HTML)],
)
def test_our_own_html_comes_with_the_class_output_alone(renderer, mime):
    node = renderer.handle_mime(None, bundle(mime, {"name": "g", "html": "<p>x</p>"}), False)[0]
    assert node["classes"] == ["output"]
    assert node.astext() == "<p>x</p>"


@pytest.mark.parametrize(
    ("written", "shown"),
    [("-0.5", "−0.5"), ("-.5", "−.5"), ("1e-05", "1e-05"), ("-inf", "-inf"), ("2", "2")],
)
def test_a_glued_number_has_a_minus_sign(written, shown):
    glued, other = (
        nodes.inline(written, written, classes=classes) for classes in (["pasted-text"], [])
    )
    document = new_document("page")
    document += nodes.paragraph("", "", glued, other)
    extension.sign_numbers(None, document)
    assert [node.astext() for node in document.findall(nodes.inline)] == [shown, written]


@pytest.mark.parametrize("renderer", [PlotlyMime, PlaygroundMime, HtmlMime])
def test_a_renderer_leaves_other_outputs_alone(renderer):
    assert renderer.handle_mime(None, bundle("text/html", "<p>"), False) is None


def test_plain_docstrings_survive_restructuredtext():
    lines = ["v_* = max_a *q* `x` | y", "", "shapes:", "    (S,)", "  odd indent", "* star"]
    text = docstrings.literal_docstring(lines)
    assert text[0] == r"v\_\* = max\_a \*q\* \`x\` \| y"
    assert "       (S,)" in text
    assert docstrings.literal_docstring(["Only this."]) == ["Only this.", ""]


def test_mathjax_comes_out_of_its_wheel_with_its_fonts(tmp_path):
    extension.copy_mathjax(tmp_path)
    assert (tmp_path / "tex-chtml.js").stat().st_size > 500_000
    assert len(list((tmp_path / "output/chtml/fonts/woff-v2").glob("*.woff"))) > 10


def test_figures_and_theorems_count_from_one_on_each_page():
    env = SimpleNamespace(
        toc_fignumbers={"a": {"figure": {"x": (1,)}}, "b": {"figure": {"y": (2,), "z": (3,)}}}
    )
    extension.number_within_pages(None, env)
    assert env.toc_fignumbers["b"] == {"figure": {"y": (1,), "z": (2,)}}
