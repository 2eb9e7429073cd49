"""The kill matrix as a page: one line and one section for each exercise."""

from rlcourse.grading import matrix
from rlcourse.grading.gate import Report, Reviewed

FOUND = Report(
    exercise="tabular.gridworld.move",
    sentences=["a wall bumps back.", "staying is no bump"],
    points=[2, 1],
    controls=["with_a_loop"],
    caught={"wraps_around": [True, False], "calls_staying_a_bump": [False, True]},
    complaints={},
    mutants=10,
    survivors={"move: 0  ->  -1": "passes with seed 0"},
)
KNOWN = Reviewed({"tabular.gridworld.move": {"move: 0  ->  -1": "an axis of size 1"}}, {}, {})
FRESH = {"tabular.gridworld.move": {"tried": 6, "caught": 5}}


def test_a_line_counts_mutants_reviews_and_fresh_answers():
    cells = matrix.row(FOUND, KNOWN, FRESH).split("|")[1:-1]
    assert [c.strip() for c in cells] == ["[move](#kill-tabular-gridworld-move)", "9/10", "1",
                                          "5/6"]  # fmt: skip
    assert "not yet" in matrix.row(FOUND, KNOWN, {})


def test_a_section_shows_which_check_catches_which_misconception():
    text = matrix.section(FOUND, KNOWN)
    assert "1. A wall bumps back (2 points)\n2. Staying is no bump (1 point)\n" in text
    assert "| wraps around | ● | · |\n| calls staying a bump | · | ● |\n" in text
    assert "with a loop" in text


def test_a_sentence_that_begins_with_a_symbol_keeps_it():
    found = FOUND._replace(sentences=["λ = 0 is the TD error", "k1 may be negative"])
    text = matrix.section(found, KNOWN)
    assert "1. λ = 0 is the TD error (2 points)\n2. k1 may be negative (1 point)\n" in text


def test_a_section_gives_the_reason_of_each_equivalent_mutant():
    assert "- `move: 0  ->  -1`: an axis of size 1\n" in matrix.section(FOUND, KNOWN)
    assert "admonition" not in matrix.section(FOUND, Reviewed({}, {}, {}))


def test_the_pages_hold_the_line_and_the_section_of_every_exercise():
    others = [FOUND._replace(exercise=f"deep.{name}") for name in ("dqn.td_error", "ppo.clip")]
    pages = matrix.pages([FOUND, *others], KNOWN, FRESH)
    assert [*pages] == ["kill_matrix", "kill_matrix_tabular", "kill_matrix_deep"]
    for found in (FOUND, *others):
        assert matrix.row(found, KNOWN, FRESH) in pages["kill_matrix"]
        room = found.exercise.partition(".")[0]
        assert matrix.section(found, KNOWN) in pages[f"kill_matrix_{room}"]
    titles = [line for line in pages["kill_matrix_deep"].splitlines() if line.startswith("#")]
    assert titles == ["# The kill matrix: the deep room", "## deep.dqn", "### `td_error`",
                      "## deep.ppo", "### `clip`"]  # fmt: skip
