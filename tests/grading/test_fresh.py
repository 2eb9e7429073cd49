"""Fresh wrong answers: tried from a file, counted, and kept honestly."""

import json

import pytest

from rlcourse.grading import course, exercise, fresh

FILE = """
from math import floor


def _helper(x):
    return x


def right_after_all(x):
    return 2 * x


def forgets_to_double(x):
    return _helper(x)


def is_wrong_for_large_numbers_alone(x):
    return 2 * min(x, 2.0)


def never_ends(x):
    while True:
        pass
"""


def double(x):
    return 2 * x


def halves(x):
    return x / 2


def draws(rng):
    yield {"x": rng.normal()}


def forgets_to_double(x):
    return x


@pytest.fixture
def task():
    x = exercise(double)
    draws_named = type(draws)(draws.__code__, globals(), "test_numbers_are_doubled")
    x.check(points=1)(draws_named)
    x.misconception("Twice, not half.")(halves)
    x.misconception("Twice, not once.")(forgets_to_double)
    return x


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(fresh.rules, "PATIENCE", 1.0)
    path = tmp_path / "wrong.py"
    path.write_text(FILE, "utf-8")
    return path


def test_the_answers_are_the_public_functions_of_the_file(file):
    assert [*fresh.answers(file)] == [
        "right_after_all",
        "forgets_to_double",
        "is_wrong_for_large_numbers_alone",
        "never_ends",
    ]


def test_a_file_that_does_not_run_says_why(file):
    file.write_text("import nothing_of_this_name", "utf-8")
    with pytest.raises(ModuleNotFoundError):
        fresh.answers(file)


def test_an_answer_is_caught_only_if_every_seed_catches_it(task, file):
    caught = {name: was for name, was, _ in fresh.outcomes(task, fresh.answers(file))}
    assert caught == {
        "right_after_all": False,
        "forgets_to_double": True,
        "is_wrong_for_large_numbers_alone": False,
        "never_ends": True,
    }


def test_the_command_counts_and_names_what_it_recognises(task, file, monkeypatch, capsys):
    monkeypatch.setattr(course, "find", {"double": task}.get)
    assert fresh.main(["double", str(file)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {"tried": 4, "caught": 2}
    assert lines[1] == "caught  forgets_to_double: numbers are doubled = forgets_to_double"
    assert lines[0].startswith("PASSES  right_after_all: passes with seed 0")


@pytest.mark.parametrize("trial", [{"tried": 6, "caught": 7}, {"tried": -1, "caught": -1}])
def test_more_caught_than_tried_is_refused(trial, tmp_path):
    path = tmp_path / "fresh.json"
    path.write_text(json.dumps({"tabular.gridworld.move": trial}), "utf-8")
    with pytest.raises(ValueError, match=r"move must have 0 <= caught <= tried"):
        fresh.recorded(path)
