"""The listing of both kernels says what the sources say, all of it."""

import importlib.util
from pathlib import Path

import pytest

from rlcourse.figures.systems import kernel_listing as f


def test_no_line_of_the_two_loops_is_left_out():
    assert f.left_out() == []


def test_the_lines_shown_stand_in_the_sources():
    for module, column in ((f.NUMPY, 1), (f.TRITON, 2)):
        spec = importlib.util.find_spec(module)
        source = " ".join(Path(spec.origin).read_text("utf-8").split())
        for row in f.listing().rows:
            for line in filter(None, row[column].split("\n")):
                assert " ".join(line.split()) in source, line


def test_each_row_names_lines_of_numpy_in_their_order():
    lines = [name for row in f.ROWS for name in row.numpy if name.startswith("flash_forward")]
    source = f._lines_of(f.NUMPY)["flash_forward"]
    places = [
        next(i for i, x in enumerate(source) if f._is("flash_forward: ", x, name)) for name in lines
    ]
    assert places == sorted(places)


def test_a_name_that_no_line_has_is_refused():
    with pytest.raises(ValueError, match="rows must name lines of the sources, got 'attend: x ='"):
        f.listing((f.Row("", (), ("attend: x =",)),))


def test_logical_lines_are_whole_and_bare():
    body = [
        '    """Says."""',
        "    x = f(  # why",
        "        1,",
        "    )",
        "    # alone",
        "    y = 2",
    ]
    assert list(f._logical(body)) == ["    x = f(\n        1,\n    )", "    y = 2"]


def test_the_listing_is_text_without_a_browser():
    listing = f.listing()
    bundle = listing._repr_mimebundle_()
    assert "m_next = np.maximum" in bundle["text/plain"]
    assert "overflow-x" not in bundle["text/html"]  # long lines go on below: paper shows them whole
