"""Records: written, read, and refused once the code behind them has changed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rlcourse.figures
from rlcourse import results

FIGURES = '''
"""Figures of a topic."""
from rlcourse.tabular.gridworld import ACTIONS as NAMES

SIZE = 3
COLOUR = "blue"


def data_run(n):
    """What is computed."""
    return {"x": list(range(n)), "y": None, "z": 0.1, "a": len(NAMES)}


def recorded_run():
    return data_run(SIZE)  # in full


def draw():
    return COLOUR


RECORDED = {"run": recorded_run}
RECORDED_MODULES = ("rlcourse.tabular.mdp",)
'''

Rewrite = Callable[[str, str], None]


@pytest.fixture
def rewrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rewrite:
    """A topic room/topic of its own, and a function that replaces words in its source."""
    source = tmp_path / "figures" / "room" / "topic.py"
    source.parent.mkdir(parents=True)
    source.write_text(FIGURES, encoding="utf-8")
    monkeypatch.setattr(rlcourse.figures, "__path__", [str(tmp_path / "figures")])
    monkeypatch.setattr(results, "HERE", tmp_path / "results")
    for name in ("rlcourse.figures.room", "rlcourse.figures.room.topic"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def change(old: str, new: str) -> None:
        text = source.read_text(encoding="utf-8")
        assert old in text
        source.write_text(text.replace(old, new), encoding="utf-8")

    yield change
    for name in ("rlcourse.figures.room", "rlcourse.figures.room.topic"):
        sys.modules.pop(name, None)


def test_a_recorded_run_is_read_back_with_its_circumstances(rewrite: Rewrite) -> None:
    path = results.record("room/topic")
    record = results.load("room/topic")
    assert record["data"] == {"run": {"x": [0, 1, 2], "y": None, "z": 0.1, "a": 5}}
    assert record["seconds"]["run"] >= 0
    assert {"python", "numpy", "rlcourse"} <= record["versions"].keys()
    assert record["machine"]["cpu"]
    assert path.parts[-2:] == ("room", "topic.json")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Figures of a topic."""', ""),
        ('"""What is computed."""', '"""Said otherwise."""'),
        ("# in full", "# with all of them"),
        ("return COLOUR", "return COLOUR.upper()"),
        ('"blue"', '"red"'),
        ('{"x": list(range(n)), ', '{\n        "x": list(range(n)),\n        '),
    ],
)
def test_words_layout_and_drawing_leave_a_record_fresh(
    old: str, new: str, rewrite: Rewrite
) -> None:
    results.record("room/topic")
    rewrite(old, new)
    results.load("room/topic")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data_run(SIZE)", "data_run(SIZE + 1)"),
        ("range(n)", "range(1, n)"),
        ("SIZE = 3", "SIZE = 4"),
        ("None", "True"),
        ("0.1", "0.2"),
        ("def recorded_run", "def another_run"),
        ("import ACTIONS", "import LETTERS"),
    ],
)
def test_another_computation_makes_a_record_stale(old: str, new: str, rewrite: Rewrite) -> None:
    results.record("room/topic")
    rewrite(old, new)
    words = "'room/topic' of .* is stale: .*run `make results TOPIC=room/topic`"
    with pytest.raises(ValueError, match=words):
        results.load("room/topic")


def test_a_changed_module_makes_a_record_stale(rewrite: Rewrite) -> None:
    path = results.record("room/topic")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("rlcourse.tabular.mdp", "rlcourse.tabular.linear"), "utf-8")
    with pytest.raises(ValueError, match=r"is stale: rlcourse\.tabular\.linear or"):
        results.load("room/topic")


def test_only_plain_finite_data_is_recorded(rewrite: Rewrite) -> None:
    rewrite("0.1", "float('nan')")
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.record("room/topic")


def test_a_topic_without_recorded_runs_is_named(rewrite: Rewrite) -> None:
    rewrite('RECORDED = {"run": recorded_run}', "RECORDED = {}")
    with pytest.raises(ValueError, match=r"rlcourse\.figures\.room\.topic does not"):
        results.record("room/topic")


@pytest.mark.parametrize("name", ["", "../x", "a/b/c", "/etc/passwd", "room/topic.json"])
def test_a_name_is_a_room_and_a_topic(name: str) -> None:
    with pytest.raises(ValueError, match="name must look like 'tabular/gridworld'"):
        results.load(name)


def test_a_missing_record_is_answered_with_those_there_are(rewrite: Rewrite) -> None:
    results.record("room/topic")
    with pytest.raises(ValueError, match=r"one of the recorded \['room/topic'\], got 'room/x'"):
        results.load("room/x")


def test_a_record_takes_one_line_for_each_key(rewrite: Rewrite) -> None:
    path = results.write("room/table", {"a": [1, 2], "b": {"c": 0.1}})
    assert path.read_text(encoding="utf-8") == '{\n"a": [1, 2],\n"b": {"c": 0.1}\n}\n'


def test_every_committed_record_is_readable_and_fresh() -> None:
    assert {"language/psalmist", "fresh_wrong_answers"} < {*results.names()}
    for name in results.names():
        path = results.HERE / f"{name}.json"
        assert results.load(name) == json.loads(path.read_text(encoding="utf-8"))


def test_the_files_of_a_recorded_model_are_no_records() -> None:
    assert (results.HERE / "language" / "psalmist" / "config.json").is_file()
    assert not any("config" in name for name in results.names())


def test_the_command_says_how_it_is_used() -> None:
    command = [sys.executable, "-m", "rlcourse.results"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "rlcourse.results tabular/gridworld" in done.stderr
