"""What a learner sees, in a run of plain pytest and of `rlcourse check`."""

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.grading.conftest import RIGHT, Learner

HEAD = "    if not 0 <= gamma <= 1:\n        raise ValueError\n"
LOOP = """\
    while True:
        try:
            gamma = gamma + 0
        except:
            pass
"""
FAILURES = {
    "past the end": (
        HEAD + "    return chain.r + gamma * v_next\n",
        ["recognised", "The episode ended in s'", "2/4", "[0] "],
    ),
    "a mistake of its own": (
        "    v = v_next[:, 3]\n    return v\n",
        ["IndexError", "in chain_target:  v = v_next[:, 3]"],
    ),
    "an endless loop": (
        "    while True:\n        gamma += 1\n",
        [
            "still running after 0.5 s",
            "in chain_target:",
            "chain_target(chain=Chain(...), v_next=<shape (7,)>, gamma=0.",
            "expected  [",
        ],
    ),
    "a loop that swallows": (LOOP, ["still running after 0.5 s"]),
    "exit": ("    exit()\n", ["SystemExit", "in chain_target:  exit()"]),
    "an exit at once": (
        "    import os\n    os._exit(0)\n",
        ["SystemExit: os._exit(0) would end the whole run", "in chain_target:  os._exit(0)"],
    ),
    "input": ("    return input()\n", ["EOFError", "in chain_target:  return input()"]),
    "in place": (
        "    chain.r[:] = 0\n    return v_next\n",
        ["changed its argument chain in place: copy it first"],
    ),
    "shape": ("    return chain.r[:, None] + v_next\n", ["shape (1, 1) instead of (1,)"]),
    "no answer": (
        "    return (r for r in v_next)\n",
        ["generator is not a number", "what is no answer"],
    ),
    "nothing": (
        "    return None\n",
        ["is None instead of an array of float64: is a `return` missing?"],
    ),
    "a flood": ("    print('x' * 10**6)\n    return v_next\n", ["printed", "characters more"]),
    "an error with words": (
        "    raise NotImplementedError('no kernel')\n",
        ["NotImplementedError: no kernel"],
    ),
    "a deep recursion": (
        "    return chain_target(chain, v_next, gamma)\n",
        ["RecursionError", "..."],
    ),
}


BROKEN = {
    "a syntax error": ("def f(:\n", ["SyntaxError", "line 1:  def f(:"]),
    "a missing module": (
        "import nonsense\n",
        ["ModuleNotFoundError", "line 1, in <module>:  import nonsense"],
    ),
    "an exit": ("exit()\n", ["SystemExit", "line 1, in <module>:  exit()"]),
    "the error that is asked for": ("raise ValueError('here')\n", ["ValueError: here"]),
    "an import that exits at once": (
        "import os\nos._exit(0)\n",
        ["line 2, in <module>:  os._exit(0)"],
    ),
    "an endless import": ("while True:\n    n = 1\n", ["still running after 0.5 s", "in <module>"]),
}
DRIVER = """
import contextlib, io, json, pathlib, sys
import rlcourse.cli
from rlcourse.grading import run

run.IMPORT = 0.5
file, texts = pathlib.Path(sys.argv[1]), json.loads(sys.stdin.read())
said = {}
for name, text in texts.items():
    file.write_text(text, "utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = rlcourse.cli.main(["check", "walk" if name in sys.argv[2:] else "chain_target"])
    said[name] = status, out.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(site, laid, tmp_path_factory):
    """What `rlcourse check` says to each wrong file, in one warm process as under `watch`."""
    folder = tmp_path_factory.mktemp("said")
    shutil.copytree(laid, folder, dirs_exist_ok=True)
    learner = Learner(folder, site)
    file = learner.desk / "tabular/walk.py"
    fresh = file.read_text("utf-8")
    texts = {name: text + fresh for name, (text, _) in BROKEN.items()}
    for name, (body, _) in FAILURES.items():
        file.write_text(fresh, "utf-8")
        learner.writes("chain_target", body)
        texts[name] = file.read_text("utf-8")
    run = learner.python("-c", DRIVER, str(file), *BROKEN, stdin=json.dumps(texts))
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def seen(run):
    assert "rlcourse/grading" not in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_says_what_is_wrong_and_nothing_of_the_engine(name, said):
    status, text = said[name]
    assert status == 1
    for word in FAILURES[name][1]:
        assert word in text
    assert len(text) < 6000
    assert "rlcourse/grading" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_does_not_run_is_told_once_and_earns_nothing(name, said):
    status, text = said[name]
    assert status == 1
    assert "0 of 7 points" in text
    for word in BROKEN[name][1]:
        assert text.count(word) == 1
    assert text.count("walk.py") == 1
    assert "rlcourse/grading" not in text


def test_a_failure_is_told_in_the_right_order(learner):
    learner.writes("chain_target", HEAD + "    return chain.r + gamma * v_next\n")
    text = seen(learner.says("check", "walk"))
    titles = "does not hold, for, got, expected, difference, recognised, to repeat, next"
    found = [text.index(f"{title:>13}  ") for title in titles.split(", ")]
    assert found == sorted(found)
    assert "rlcourse hint chain_target" in text


def test_the_line_that_repeats_a_failure_runs_and_fails_alike(learner):
    learner.writes("chain_target", HEAD + "    return chain.r + gamma * v_next\n")
    text = seen(learner.says("check", "chain_target"))
    line = re.search(r"to repeat  (.*)", text)[1]
    got = re.search(r"got  (.*)", text)[1]
    file = learner.desk / "tabular/walk.py"
    before, _, call = line.rpartition("; ")
    assert before.endswith("from rlcourse.tabular.chain import Chain")
    run = learner.python(
        "-c", f"exec(open({str(file)!r}, encoding='utf-8').read())\n{before}\nprint({call})"
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout.strip(" []\n")) == pytest.approx(float(got.strip(" []")))


def test_stubs_are_not_written_and_the_status_says_so(learner):
    for run in (learner.rlcourse("check", "walk"), learner.pytest("exercises")):
        assert run.returncode == 1
        assert "0 of 7 points" in seen(run)
        assert "not written yet" in run.stdout
    assert "6 not written" in run.stdout
    assert "FAILURES" not in run.stdout


def test_all_right_is_status_zero_in_both(master):
    for run in (master.rlcourse("check", "walk"), master.pytest("exercises/tabular", "-q")):
        assert run.returncode == 0, run.stdout
        assert "7 of 7 points" in seen(run)


def test_pytest_and_the_command_agree_on_every_exercise(learner, solve):
    learner.writes("chain_target", HEAD + "    return chain.r + gamma * v_next\n")
    solve(learner, "mean_square")
    boards = []
    for run in (learner.says("check", "walk"), learner.pytest("exercises")):
        text = seen(run)
        boards.append(text[text.rindex("tabular/walk\n") : text.index(" of 7 points")])
        assert "The episode ended in s'" in text
    assert boards[0] == boards[1]
    assert "calls best, not written yet" not in boards[0]
    record = json.loads((learner.desk / ".progress.json").read_text("utf-8"))["exercises"]
    assert record["tabular/walk/chain_target"]["points"] == 2
    assert record["tabular/walk/mean_square"]["points"] == 1


def test_an_exercise_that_calls_an_unwritten_one_says_which(learner, solve):
    solve(learner, "next_target")
    run = learner.says("check", "next_target")
    assert run.returncode == 1
    assert "calls best, not written yet" in seen(run)


def test_every_check_is_collected_where_it_is_written(learner):
    run = learner.pytest("exercises", "--collect-only", "-q")
    tests = re.findall(r"test_walk.py::(\w+)", run.stdout)
    assert len(tests) == len(set(tests)) == 6


def test_without_the_scoreboard_the_checks_are_plain_tests(learner, solve):
    solve(learner, "mean_square")
    run = learner.pytest("exercises", "--noconftest", "-q", "--import-mode=importlib")
    assert run.returncode == 1
    assert "5 failed, 1 passed" in run.stdout


def test_one_check_alone_is_judged_but_not_recorded(master):
    run = master.pytest("exercises", "-k", "follow_the_end", "-q")
    assert run.returncode == 0
    assert "1 of 1 points" in run.stdout
    assert not (master.desk / ".progress.json").exists()


def test_a_function_that_is_the_courses_own_earns_nothing(learner):
    file = learner.desk / "tabular/walk.py"
    text = file.read_text("utf-8")
    file.write_text(text + "\n\nfrom rlcourse.tabular.chain import chain_target\n", "utf-8")
    run = learner.says("check", "chain_target")
    assert run.returncode == 1
    assert "this is the course's own function" in seen(run)
    assert "0 of 4 points" in run.stdout


STUCK = """
import rlcourse.cli
from rlcourse.grading import run

run.STUCK = 0.5
print(rlcourse.cli.main(["check", "mean_square"]))
"""


def test_a_call_of_c_that_never_returns_ends_the_run_and_names_the_line(learner):
    learner.writes("mean_square", "    return sum(range(10**12))\n")
    run = learner.python("-c", STUCK)
    assert run.returncode == 1
    line = (learner.desk / "tabular/walk.py").read_text("utf-8").splitlines()
    number = 1 + line.index("    return sum(range(10**12))")
    assert re.search(rf"walk.py\", line {number} in mean_square", run.stderr)


def test_two_workers_of_pytest_keep_one_board(master):
    pytest.importorskip("xdist")
    run = master.pytest("exercises", "-q", "-n", "2")
    assert run.returncode == 0, run.stdout
    assert "7 of 7 points" in run.stdout
    record = json.loads((master.desk / ".progress.json").read_text("utf-8"))
    assert sum(e["points"] for e in record["exercises"].values()) == 7


def test_a_run_of_pytest_outlives_an_exit_at_once(master):
    file = master.desk / "tabular/walk.py"
    text = file.read_text("utf-8")
    file.write_text(text.replace(RIGHT["best"], "    import os\n    os._exit(0)\n"), "utf-8")
    run = master.pytest("exercises", "-q")
    assert run.returncode == 1
    assert "os._exit(0) would end the whole run" in run.stdout
    assert "6 of 7 points" not in run.stdout  # next_target calls it
    assert "5 of 7 points" in run.stdout


def test_torch_exercises_are_judged_with_their_gradients(newcomer):
    assert newcomer.says("desk", "alignment", "systems").returncode == 0
    file = newcomer.desk / "alignment/dpo.py"
    assert "import torch\n" in file.read_text("utf-8")
    body = (
        "    margin = (chosen - chosen_ref) - (rejected - rejected_ref)\n"
        "    return -F.logsigmoid(beta * margin).mean()\n"
    )
    newcomer.writes("dpo_loss", body, "alignment/dpo")
    text = seen(newcomer.says("check", "dpo_loss"))
    assert "no gradient of the dpo loss reaches the reference  0/1" in text
    assert "4/5" in text
    assert "The reference is frozen: detach its log-probabilities." in text
    assert "gradient by chosen_ref[0]" in text
    assert "torch.tensor([" in text


def test_numpy_topics_are_judged_without_torch(learner):
    run = learner.python(
        "-c",
        "import sys, rlcourse.cli as c; c.main(['check', 'walk']); print('torch' in sys.modules)",
    )
    assert run.stdout.splitlines()[-1] == "False"


def test_a_desk_far_away_is_found_by_its_conftest(master, tmp_path_factory):
    master.folder, away = tmp_path_factory.mktemp("away"), master.folder
    run = master.pytest(str(away / "exercises"), "-q")
    assert run.returncode == 0, run.stdout
    assert not Path(master.folder, "exercises").exists()


@pytest.mark.parametrize(
    "start",
    [
        ["-m", "rlcourse.cli", "check", "walk"],
        ["-m", "pytest", "exercises", "-p", "no:cacheprovider"],
    ],
)
def test_a_console_without_greek_letters_shows_the_board(start, learner):
    learner.writes("chain_target", HEAD + "    return chain.r * gamma + v_next * 0\n")
    run = learner.python(*start, PYTHONUTF8="0", PYTHONIOENCODING="cp1252")
    assert run.returncode == 1
    assert "of 7 points" in run.stdout
    assert "UnicodeEncodeError" not in run.stdout + run.stderr
