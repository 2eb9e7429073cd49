"""The graders are graded: every exercise of the package passes the quality gate."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from rlcourse.grading import course, fresh, gate, matrix

ROOT = Path(__file__).parents[2]
KNOWN = gate.reviewed(ROOT / gate.REVIEWED)
FRESH = fresh.recorded()
NAMES = [gate.name_of(x) for x in gate.exercises()]
NAMES.sort(key=lambda name: not name.startswith(("systems.", "tabular.")))  # the longest first
every = pytest.mark.parametrize("name", NAMES)
TRIED = 6  # fresh wrong answers before an exercise counts as done


@pytest.fixture(scope="module")
def lean() -> Iterator[Executor]:
    """A process of its own for the gate, which forks it for every mutant: it holds little."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def page(name=""):
    room = f"_{name.partition('.')[0]}" if name else ""
    return (ROOT / matrix.BOOK / f"{matrix.PAGE}{room}.md").read_text("utf-8")


@every
def test_an_exercise_passes_the_gate_and_its_findings_stand_in_the_book(name, lean):
    found = lean.submit(gate.of, name, ROOT).result()
    assert gate.findings(found, KNOWN) == {}, gate.text(found, KNOWN)
    again = "run `python -m rlcourse.grading.matrix`"
    assert matrix.row(found, KNOWN, FRESH) in page(), again
    assert matrix.section(found, KNOWN) in page(name), again


@every
def test_fresh_wrong_answers_were_tried_on_an_exercise(name):
    assert FRESH[name]["tried"] >= TRIED


def test_the_book_and_the_reviewed_lists_name_no_other_exercise():
    names = [f"{t}.{n}".replace("/", ".") for t in course.topics() for n in course.names(t)]
    rooms = dict.fromkeys(name.partition(".")[0] for name in names)
    lines = [line for room in rooms for line in page(room).splitlines()]
    sections = [line for line in lines if line.startswith("### ")]
    assert sections == [f"### `{name.rpartition('.')[2]}`" for name in names]
    assert sum(line.startswith("| [") for line in page().splitlines()) == len(names)
    assert {*KNOWN.equivalent, *KNOWN.exempt, *FRESH} <= {*names}


def test_every_review_gives_its_reason():
    reviews = [KNOWN.elsewhere, *KNOWN.equivalent.values(), *KNOWN.exempt.values()]
    assert all(len(reason.split()) >= 3 for review in reviews for reason in review.values())
