"""A page's seconds are its kernel's CPU time: a busy machine makes no page slow."""

import os

import attr
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from jupyter_cache.executors.utils import ExecutionResult, ProjectNb


class Counted(ExecutionWorkerLocalMProc):  # type: ignore[misc]
    """Runs a page in a process of the pool, which has one kernel at a time."""

    @staticmethod
    def execute(project_nb: ProjectNb, data: ProcessData) -> ExecutionResult:
        before = _children()
        result = ExecutionWorkerLocalMProc.execute(project_nb, data)
        return attr.evolve(result, time=_children() - before or result.time)  # no count: Windows


def _children() -> float:
    """CPU seconds of the processes that this one has started and seen end."""
    spent = os.times()
    return spent.children_user + spent.children_system
