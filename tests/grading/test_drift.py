"""The committed desk agrees with the exercises, wherever nobody has written on it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rlcourse.grading import course, desk
from rlcourse.grading.stubs import desk_text, untouched

ROOT = Path(__file__).parents[2]
TOPICS = [t for t in course.topics() if not course.needs(t)]  # what this machine can judge


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    monkeypatch.setenv("RLCOURSE_DESK", str(ROOT / "exercises"))


@pytest.mark.parametrize("topic", TOPICS)
def test_a_desk_file_is_the_learners_or_as_generated(topic):
    text = desk.read(desk.path(topic))
    assert not untouched(text) or text == desk_text(topic, course.load(topic)), "run: rlcourse desk"


@pytest.mark.parametrize("topic", TOPICS)
def test_the_files_around_it_are_as_generated(topic):
    for file, text in desk.generated(topic).items():
        assert desk.read(file) == text, "run: rlcourse desk"


@pytest.mark.parametrize("topic", TOPICS)
def test_the_names_read_from_a_text_are_those_of_the_module(topic):
    assert course.names(topic) == [x.name for x in course.load(topic)]


def test_no_two_exercises_of_the_course_share_a_name():
    names = [n for t in TOPICS for n in course.names(t)]
    assert len(names) == len(set(names)) > 0


def test_every_check_of_the_course_is_collected():
    command = [sys.executable, "-m", "pytest", "exercises", "--collect-only", "-q"]
    options = ["-p", "no:cacheprovider", "--color=no"]
    run = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, encoding="utf-8")
    found = re.findall(r"::(\w+)$", run.stdout, re.MULTILINE)
    checks = [c.cases.__name__ for t in TOPICS for x in course.load(t) for c in x.checks]
    assert sorted(found) == sorted(checks), run.stdout + run.stderr
