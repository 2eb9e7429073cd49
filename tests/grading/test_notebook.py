"""The same verdicts in a notebook: text, HTML, and a record to download."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from rlcourse.grading import check, exercise, notebook, progress, record


def halved(x):
    """x / 2."""
    return x / 2


halves = exercise(halved, nudge="Two halves make a whole.", seconds=0.3)


@halves.check(points=2)
def cases_of_halves(rng):
    """A half is <b>half</b>."""
    yield dict(x=rng.normal(size=7))


@halves.check(points=1)
def halves_of_the_negative(rng):
    yield dict(x=-rng.random(5))


@halves.misconception("Half is not double: 1 < 2 & 2 < 4.")
def doubled(x):
    return x * 2


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("RLCOURSE_DESK", str(tmp_path))
    monkeypatch.setenv("RLCOURSE_SEED", "3")
    monkeypatch.setattr(notebook, "_earned", {})


class Tags(HTMLParser):
    """Refuses HTML whose tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(result):
    return Tags(result._repr_html_())


def test_a_right_function_has_full_marks():
    result = check(lambda x: 0.5 * x, halves)
    assert repr(result) == "halved: 3 of 3 points"
    assert result.points == 3
    assert "details" not in read(result).seen
    assert "✓ halved: right, 3 of 3 points" in result._repr_html_()


def test_a_failure_is_told_in_words_and_html_alike():
    result = check(lambda x: x * 2, halves, seed=3)
    for text in (repr(result), result._repr_html_()):
        for words in ("0 of 3 points", "recognised", "doubled", "expected", "import numpy as np"):
            assert words in text
    html = result._repr_html_()
    assert "Half is not double: 1 &lt; 2 &amp; 2 &lt; 4." in html
    assert "A half is &lt;b&gt;half" in html
    assert read(result).seen.count("details") == 5  # two checks, three hints
    assert html.count('<details style="margin:.3em 0" open>') == 1
    assert "Two halves make a whole." in html


def test_html_assumes_no_theme():
    html = check(lambda x: x * 2, halves)._repr_html_() + progress()._repr_html_()
    colours = re.findall(r"(?<![\w-])(?:color|background(?:-color)?|border-color):([^;\"]+)", html)
    assert set(colours) <= {"inherit", "none", "color-mix(in srgb,currentColor 35%,transparent)"}
    assert "<script" not in html
    assert "<style" not in html
    assert "class=" not in html


def test_a_stub_is_not_written_and_nothing_worse():
    def halved(x):
        raise NotImplementedError

    result = check(halved, halves)
    assert repr(result) == "halved: not written yet, 0 of 3 points"
    html = result._repr_html_()
    assert "… halved: not written yet" in html
    assert "NotImplementedError" not in html


def test_the_courses_own_function_earns_nothing():
    assert repr(check(halved, halves)) == "halved: this is the course's own function, 0 of 3 points"


def test_a_seed_gives_one_output_whoever_runs_it():
    first = check(lambda x: x - 1, halves, seed=5)
    again = check(lambda x: x - 1, halves, seed=5)
    assert repr(first) == repr(again)
    assert first._repr_html_() == again._repr_html_()
    assert repr(first) != repr(check(lambda x: x - 1, halves, seed=6))


def test_what_a_learner_raises_is_shown_escaped():
    def halved(x):
        raise ValueError("<script>alert(1)</script>")

    html = check(halved, halves)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_an_unknown_name_and_no_function_are_refused():
    with pytest.raises(ValueError, match="no topic sets an exercise named nonsense"):
        check(type("f", (), {"__call__": print, "__name__": "nonsense"})())
    with pytest.raises(TypeError, match="expected the function itself, got ndarray"):
        check(np.zeros(3))


def test_progress_can_be_downloaded_and_read_again():
    check(lambda x: x / 2, halves)
    html = progress()._repr_html_()
    read(progress())
    data = re.search(r'download="progress.json" href="data:application/json;base64,([^"]+)"', html)
    kept = record.loads(base64.b64decode(data[1]).decode())
    assert kept[record.key(halves)].points == 3
    assert json.loads(base64.b64decode(data[1]))["format"] == 1


def test_a_replay_with_a_seed_leaves_the_record_of_the_desk_alone(monkeypatch, tmp_path):
    check(lambda x: x / 2, halves)
    assert not (tmp_path / ".progress.json").exists()
    monkeypatch.delenv("RLCOURSE_SEED")
    check(lambda x: x / 2, halves)
    assert record.load()[0][record.key(halves)].points == 3
    check(lambda x: x, halves)
    assert record.load()[0][record.key(halves)].points == 3


CELLS = [
    "from rlcourse.grading import check, progress\nimport numpy as np",
    "def mean_square(x):\n    raise NotImplementedError",
    "check(mean_square)",
    "def mean_square(x):\n    return (x * x).sum(-1)",
    "check(mean_square)",
    "def mean_square(x):\n    while True:\n        pass",
    "check(mean_square)",
    "def mean_square(x):\n    return (x * x).mean(-1)",
    "check(mean_square)",
    "progress()",
]


def test_a_real_kernel_shows_every_outcome(site, tmp_path, monkeypatch):
    nbclient, nbformat = map(pytest.importorskip, ("nbclient", "nbformat"))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(tmp_path)
    cells = [nbformat.v4.new_code_cell(c) for c in CELLS]
    book = nbclient.NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=60).execute()
    shown = [c.outputs[0].data for c in book.cells if c.outputs]
    texts = [d["text/plain"] for d in shown]
    assert texts[0] == "mean_square: not written yet, 0 of 1 points"
    assert "a mean square divides by the size" in texts[1]
    assert "in mean_square:" in texts[2]
    assert "still running after 2 s" in texts[2]
    assert texts[3] == "mean_square: 1 of 1 points"
    assert "1 of 7 points" in texts[4]
    for d in shown:
        Tags(d["text/html"])
