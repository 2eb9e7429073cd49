"""What a chapter's cells call: the tested source itself, and numbers that the prose can name."""

import os
import subprocess
import sys

import IPython.display
import numpy as np
import pytest

import rlcourse.book.cells as module
from rlcourse.book import glue, glued, live, show
from rlcourse.tabular import mdp


def documented(x: int) -> int:
    """x + 1

    More about it.
    """
    return x + 1  # a reason


def raw(x: int) -> int:
    r"""\gamma x

    More.
    """
    return x


def below(x: int) -> int:
    """
    Starts below.

    More.
    """
    return x


def undocumented(x: int) -> int:
    return x


@pytest.fixture
def shown(monkeypatch) -> list:
    """What was displayed: (object, keywords) of each call."""
    calls: list = []
    monkeypatch.setattr(IPython.display, "display", lambda x, **kw: calls.append((x, kw)))
    return calls


def test_show_keeps_the_first_line_of_the_docstring_and_every_reason():
    text = module.source_block(documented)
    assert '    """x + 1"""\n    return x + 1  # a reason\n```' in text
    assert "More about it" in module.source_block(documented, doc=True)


def test_show_keeps_raw_docstrings_raw_and_finds_the_first_words():
    assert r'    r"""\gamma x"""' in module.source_block(raw)
    assert '    """Starts below."""\n    return x' in module.source_block(below)
    assert "def undocumented(x: int) -> int:\n    return x\n```" in module.source_block(
        undocumented
    )


def test_the_shown_source_is_python_that_defines_the_same_function():
    for function in (documented, raw, below, undocumented):
        code = module.source_block(function).split("```")[1].removeprefix("python\n")
        space: dict = {}
        exec(code, space)
        assert space[function.__name__](3) == function(3)


def test_show_reads_what_is_given_by_name_and_does_not_import_it(monkeypatch):
    """As the page of a kernel does, where Triton can't be installed."""
    by_name = module.source_block("rlcourse.tabular.mdp.finite_mdp", doc=True)
    assert by_name == module.source_block(mdp.finite_mdp, doc=True)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "rlcourse.systems.row_kernel", raising=False)
    text = module.source_block("rlcourse.systems.row_kernel.online_softmax_kernel")
    assert text.startswith("```python\n@triton.jit\ndef online_softmax_kernel(")
    assert "rlcourse.systems.row_kernel" not in sys.modules


@pytest.mark.parametrize("name", ["rlcourse.tabular.mdp.nothing", "rlcourse.no.f", "no.f", "f"])
def test_a_name_that_no_source_has_is_refused(name):
    with pytest.raises(ValueError, match="functions must have Python source, got"):
        module.source_block(name)


def test_show_links_to_the_line_of_the_repository():
    text = module.source_block(mdp.finite_mdp)
    line = mdp.finite_mdp.__code__.co_firstlineno
    assert f"`rlcourse/tabular/mdp.py`, line {line}" in text
    assert f"/src/rlcourse/tabular/mdp.py#L{line})" in text


@pytest.mark.parametrize("thing", [len, 3])
def test_show_refuses_what_has_no_source(thing):
    with pytest.raises(ValueError, match="Python source"):
        show(thing)


def test_show_displays_markdown_that_every_notebook_colours(shown):
    show(documented, raw)
    text = shown[0][0].data
    assert text.count("```python\n") == 2


def test_a_glued_number_is_kept_for_the_page_and_printed_in_a_notebook(shown, capsys):
    glue("error", np.float64(0.00123))
    data, keywords = shown[0]
    assert keywords["metadata"]["scrapbook"]["name"] == "error"
    assert data == {"application/papermill.record/text/plain": "0.00123"}
    glued("error:.1e", "error")
    assert capsys.readouterr().out == "error = 1.2e-03\nerror = 0.00123\n"
    with pytest.raises(ValueError, match="nothing"):
        glued("nothing")


def test_a_live_figure_shows_its_defaults_where_no_kernel_will_run(monkeypatch, shown):
    monkeypatch.setenv("RLCOURSE_BOOK", "1")
    controls = {"gamma": (0.0, 1.0, 0.1), "name": ["a", "b"]}
    live(lambda gamma, name, n=7: (gamma, name, n), **controls)
    live(lambda gamma=0.9, name="b": (gamma, name), **controls)
    assert shown == [((0.5, "a", 7), {}), ((0.9, "b"), {})]


def test_a_live_figure_has_its_controls_where_a_kernel_runs(monkeypatch):
    import ipywidgets

    seen = {}
    monkeypatch.delenv("RLCOURSE_BOOK", raising=False)
    monkeypatch.setattr(ipywidgets, "interact", lambda f, **controls: seen.update(controls))
    live(print, gamma=(0.0, 1.0, 0.1))
    assert seen == {"gamma": (0.0, 1.0, 0.1)}


def test_importing_the_words_of_a_page_loads_none_of_the_build_tools():
    code = (
        "import sys, rlcourse.book; "
        "heavy = {'IPython', 'sphinx', 'matplotlib', 'plotly', 'yaml', 'ipywidgets', 'torch'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_setup_prints_numbers_as_numbers():
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from rlcourse.book import setup; setup()\n"
        "import numpy as np; print([np.float64(3.7), np.int64(2)], np.arange(3) / 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[3.7, 2] [0.     0.3333 0.6667]\n"
