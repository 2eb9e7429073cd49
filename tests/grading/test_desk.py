"""The desk: stubs, what happens to them after an update, and the command around them."""

import ast
import json
import re
import subprocess
import sys
import threading

import pytest

import rlcourse
from rlcourse.grading.stubs import signed, untouched


def test_an_empty_folder_gets_stubs_that_stand_alone(newcomer):
    run = newcomer.rlcourse("desk")
    assert run.returncode == 0, run.stderr
    found = sorted(p.relative_to(newcomer.desk).as_posix() for p in newcomer.desk.rglob("*.py"))
    topics = ["alignment/dpo", "systems/online_softmax", "tabular/walk"]
    tests = [t.replace("/", "/test_") for t in topics]
    assert found == sorted(["conftest.py", *(f"{t}.py" for t in topics + tests)])
    for topic in topics:
        text = (newcomer.desk / f"{topic}.py").read_text("utf-8")
        assert untouched(text)
        modules = [
            n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        assert all("rlcourse" not in ast.unparse(n) for n in modules)
        exec(compile(text, topic, "exec"), {"__name__": "desk"})
    test = (newcomer.desk / "tabular/test_walk.py").read_text("utf-8")
    assert test.count("\n") == 1
    assert "from rlcourse.exercises.tabular.walk import *" in test


def test_a_stub_carries_the_types_of_all_modules_and_no_solution(learner):
    text = (learner.desk / "tabular/walk.py").read_text("utf-8")
    for part in (
        "import numpy as np\n",
        "Array = NDArray[np.float64]",
        "class Chain(NamedTuple):\n",
        "class Best(NamedTuple):\n",
        "def chain_target(chain: Chain, v_next: Array, gamma: float) -> Array:\n",
        "Raises ValueError unless 0 <= gamma <= 1.",
        "def mean_square(",
    ):
        assert text.count(part) == 1, part
    assert "_refuse" not in text
    assert text.count("    raise NotImplementedError\n") == 4
    assert text.index("class Chain") < text.index("def chain_target") < text.index("def best")


def test_a_file_of_the_learners_is_never_written_over(learner):
    file = learner.desk / "tabular/walk.py"
    assert "as it was" in learner.says("desk", "walk").stdout
    mine = file.read_text("utf-8") + "\n\nmy_own = 1\n"
    file.write_text(mine, "utf-8")
    assert "yours, left alone" in learner.says("desk", "walk").stdout
    assert file.read_text("utf-8") == mine
    file.write_text("def f(:\n", "utf-8")
    assert "it is not Python (line 1" in learner.says("desk", "walk").stdout
    file.write_bytes("# \u03b3 as one byte: \xe9\n".encode("latin-1", "replace"))
    assert "not text in UTF-8" in learner.says("desk", "walk").stdout
    assert file.read_bytes().startswith(b"# ? as one byte")


def test_line_ends_of_windows_do_not_make_a_file_the_learners(learner):
    file = learner.desk / "tabular/walk.py"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert "as it was" in learner.says("desk", "walk").stdout


def test_an_update_adds_new_exercises(learner):
    file = learner.desk / "tabular/walk.py"
    fresh = file.read_text("utf-8")
    mine = re.sub(r"\n\nclass Best.*?\n\n\n(?=\w)", "\n\n", fresh, flags=re.DOTALL)
    mine = re.sub(r"\n\ndef best\(.*?NotImplementedError\n", "", mine, flags=re.DOTALL)
    assert "Best" not in mine
    file.write_text(mine, "utf-8")
    assert "yours; added best" in learner.says("desk", "walk").stdout
    text = file.read_text("utf-8")
    assert text.startswith(mine.rstrip())
    added = text.removeprefix(mine.rstrip())
    assert re.findall(r"^(?:class|def) (\w+)", added, re.MULTILINE) == ["Best", "best"]
    assert "import numpy" not in added
    exec(compile(text, "walk", "exec"), {"__name__": "desk"})


def test_an_update_renews_what_is_untouched(learner):
    file = learner.desk / "tabular/walk.py"
    fresh = file.read_text("utf-8")
    older = fresh.partition("\n")[2].replace("and that value", "and its value")
    file.write_text(signed(older), "utf-8")
    assert "brought up to date" in learner.says("desk", "walk").stdout
    assert file.read_text("utf-8") == fresh


def test_an_exercise_that_changed_is_listed_and_its_points_wait(master):
    master.says("check", "walk")
    file = master.desk / ".progress.json"
    record = json.loads(file.read_text("utf-8"))
    record["exercises"]["tabular/walk/best"]["version"] = "an older one"
    file.write_text(json.dumps(record), "utf-8")
    run = master.says("desk", "walk")
    assert "best has changed" in run.stdout
    assert "chain_target has changed" not in run.stdout
    assert "changed since: check it again" in master.says("progress").stdout
    master.says("check", "best")
    assert "has changed" not in master.says("desk", "walk").stdout


def test_reset_keeps_every_older_file(master):
    file = master.desk / "tabular/walk.py"
    mine = file.read_text("utf-8")
    assert "kept as walk.py.bak" in master.says("reset", "walk").stdout
    assert untouched(file.read_text("utf-8"))
    assert (master.desk / "tabular/walk.py.bak").read_text("utf-8") == mine
    file.write_text("mine = 2\n", "utf-8")
    assert "kept as walk.py.2.bak" in master.says("reset", "tabular/walk").stdout
    run = master.says("reset", "best")
    assert run.returncode == 2
    assert run.stderr == "rlcourse: reset takes a topic: rlcourse reset walk\n"


def test_hints_climb_a_ladder(learner):
    said = [learner.says("hint", "chain_target").stdout for _ in range(4)]
    assert "hint 1 of 3" in said[0]
    assert "What follows a terminal state?" in said[0]
    assert "hint 2 of 3" in said[1]
    assert "r + γ v(s'), and r alone at the end of an episode." in said[1]
    assert "hint 3 of 3" in said[2]
    assert "chain_target(\n    chain = Chain(" in said[2]
    assert said[3] == said[2]
    assert "rlcourse solution chain_target --give-up" in said[2]
    assert "hint 1 of 3" in learner.says("hint", "chain_target", "1").stdout
    assert learner.says("hint", "chain_target", "4").returncode == 2


def test_a_solution_is_shown_after_a_pass_or_when_one_gives_up(learner, solve):
    run = learner.says("solution", "chain_target")
    assert run.returncode == 1
    assert "np.where" not in run.stdout
    run = learner.says("solution", "chain_target", "--give-up")
    assert run.returncode == 0
    assert "def _refuse(gamma: float)" in run.stdout
    assert "solution seen before a pass" in learner.says("progress").stdout
    solve(learner, "mean_square")
    run = learner.says("solution", "mean_square")
    assert run.returncode == 0
    assert "def mean_square(" in run.stdout


def test_progress_counts_and_says_what_is_next(learner, solve):
    assert "Next: chain_target (tabular/walk)" in learner.says("progress").stdout
    for name in ("chain_target", "mean_square"):
        solve(learner, name)
    learner.says("check", "walk")
    text = learner.says("progress").stdout
    assert re.search(r"chain_target +████ +4/4 +✓", text)
    assert re.search(r"  best +░ +0/1 +…", text)
    assert "5 of 7 points" in text
    assert "Next: best (tabular/walk)" in text
    assert "not begun" in text
    learner.writes("best", "    return Best(q.argmin(-1), q.max(-1))\n")
    file = learner.desk / "tabular/walk.py"
    file.write_text(file.read_text("utf-8").replace("np.where", "np.nowhere"), "utf-8")
    learner.says("check", "walk")
    text = learner.says("progress").stdout  # what is earned stays
    assert text.startswith("Best so far")
    assert "5 of 7 points" in text


def test_progress_calls_nothing_wrong_that_is_unwritten_again(learner):
    learner.writes("chain_target", "    return chain.r + gamma * v_next\n")
    learner.says("check", "walk")
    learner.says("reset", "walk")
    assert re.search(r"  chain_target +██░░ +2/4 +…", learner.says("progress").stdout)


@pytest.mark.parametrize(
    "bad", ["", "{", "[]", '{"format": 9}', '{"format": 1, "exercises": {"a": {"points": "x"}}}']
)
def test_a_record_that_cannot_be_read_is_kept_and_never_in_the_way(bad, master):
    file = master.desk / ".progress.json"
    file.write_text(bad, "utf-8")
    run = master.says("check", "best")
    assert run.returncode == 0, run.stderr
    assert ".progress.json could not be read: kept as .progress.json.bak" in run.stdout
    assert (master.desk / ".progress.json.bak").read_text("utf-8") == bad
    assert json.loads(file.read_text("utf-8"))["exercises"]["tabular/walk/best"]["points"] == 1


def test_an_unknown_word_is_a_usage_error_with_a_suggestion(learner):
    for command in (["check", "wlak"], ["hint", "chian_target"], ["reset", "wlak"], ["watch", "x"]):
        run = learner.says(*command)
        assert run.returncode == 2
        assert run.stderr.startswith("rlcourse: no topic")
        assert ("(topics: tabular/walk, " in run.stderr) == (command[0] != "hint")
        assert ("did you mean" in run.stderr) == (command[0] != "watch")
    assert learner.says("nonsense").returncode == 2


def test_help_and_version_are_there(learner):
    assert learner.says("--version").stdout == f"rlcourse {rlcourse.__version__}\n"
    text = learner.says("--help").stdout
    for command in ["desk", "check", "watch", "hint", "solution", "progress", "reset"]:
        assert f"    {command} " in text


def test_a_bad_seed_is_a_usage_error(learner):
    run = learner.rlcourse("check", "walk", RLCOURSE_SEED="seven")
    assert run.returncode == 2
    assert "RLCOURSE_SEED: expected a whole number" in run.stderr


def test_a_topic_may_be_named_in_many_ways(master):
    for word in (
        "tabular",
        "walk",
        "tabular/walk",
        "exercises/tabular/walk.py",
        "exercises/tabular/test_walk.py",
    ):
        assert "7 of 7 points" in master.says("check", word).stdout
    assert "4 of 4 points" in master.says("check", "chain_target").stdout


def test_watch_checks_again_on_every_save(learner, solve):
    command = [sys.executable, "-u", "-m", "rlcourse.cli", "watch", "chain_target"]
    options = {k: v for k, v in learner.options({}).items() if k != "timeout"}
    file = learner.desk / "tabular/walk.py"
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
        end = threading.Timer(60, process.kill)
        end.start()
        try:
            assert "0 of 4 points" in until(process, "watching")
            learner.writes("chain_target", "    return v_next\n")
            assert "does not hold" in until(process, "0 of 4 points\n")
            file.write_text(file.read_text("utf-8") + "\n(", "utf-8")
            assert "SyntaxError" in until(process, "0 of 4 points\n")
            file.unlink()
            learner.says("desk", "walk")
            solve(learner, "chain_target")
            assert "4/4" in until(process, "4 of 4 points\n")
        finally:
            end.cancel()
            process.kill()


def until(process, end):
    """What a process says up to a line that starts with `end`."""
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(end):
            return said
    raise AssertionError(said)
