"""Exercises in pytest: a failure in the learner's words, "not written" as its own outcome, points.

exercises/conftest.py registers this module; without it the checks still pass and fail.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from . import board, course, desk, record
from . import run as runs
from .exercise import Check, run_seed
from .report import MARKS, lines, note, text
from .verdict import Verdict

KEY = "rlcourse"
_missing: list[str] = []  # topics that cannot be judged on this machine
Reporting = Generator[None, pytest.TestReport, pytest.TestReport]


def verdict(check: Check) -> Verdict:
    """The verdict on the function on the learner's desk."""
    return runs.graded(check.exercise, run_seed()).on(check)


def run(check: Check) -> None:
    """Fail, with pytest, where the property does not hold."""
    v = verdict(check)
    if v.outcome != "right":
        shown = runs.graded(check.exercise, run_seed()).explained(v)
        pytest.fail(text(lines(shown)).lstrip(), pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    config.option.importmode = "importlib"  # desk files of two rooms may share a name
    with suppress(OSError):
        runs.stderr = os.dup(2)  # before pytest captures it


def pytest_report_header() -> list[str]:
    seed = run_seed()
    return [f"desk: {desk.root()}", f"rlcourse: seed {seed} (again: RLCOURSE_SEED={seed})"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    check = getattr(getattr(item, "function", None), "check", None)
    if check and call.when == "call":
        g = runs.graded(check.exercise, run_seed())
        v = g.on(check)
        facts = {"key": record.key(check.exercise), "points": v.points, "of": check.points}
        facts |= {"outcome": v.outcome, "note": note(g), "all": check.exercise.points}
        report.user_properties.append((KEY, facts))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Checks that cannot run on this machine are skipped, and said to be."""
    report = yield
    topic = f"{collector.path.parent.name}/{collector.path.stem.removeprefix('test_')}"
    if report.failed and topic in course.topics() and (needs := course.needs(topic)):
        report.outcome, report.result = "skipped", []
        report.longrepr = (str(collector.path), 1, f"Skipped: {topic} {needs}")
        _missing.append(topic)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    facts = dict(report.user_properties).get(KEY)
    if isinstance(facts, dict) and facts["outcome"] == "not written":
        return "not written", "n", "NOT WRITTEN"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The scoreboard; exercises that were judged whole are recorded."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for reports in terminalreporter.stats.values():
        for r in reports:
            facts = dict(getattr(r, "user_properties", [])).get(KEY)
            if facts:
                found[facts["key"]].append(facts)
    if found or _missing:
        order = [f"{t}/{n}" for t in course.topics() for n in course.names(t)]
        keys = sorted(found, key=order.index)
        terminalreporter.section("your exercises")
        rows = [_row(k, found[k]) for k in keys] + [board.missing(t) for t in _missing]
        for line in board.lines(rows):
            terminalreporter.line(line)
        _record(found, terminalreporter.line)


def _row(key: str, facts: list[dict[str, Any]]) -> board.Row:
    topic, _, name = key.rpartition("/")
    outcomes = {f["outcome"] for f in facts}
    outcome = next(o for o in ("wrong", "not written", "right") if o in outcomes)
    points, of = (sum(f[k] for f in facts) for k in ("points", "of"))
    said = facts[0]["note"] if outcome != "right" else ""
    return board.Row(topic, name, points, of, MARKS[outcome], said)


def _record(found: dict[str, list[dict[str, Any]]], say: Callable[[str], object]) -> None:
    with record.changing(say) as kept:
        for key, facts in found.items():
            points, of = (sum(f[k] for f in facts) for k in ("points", "of"))
            if of == facts[0]["all"]:
                record.earn(kept, course.find(key.rpartition("/")[2]), points)
