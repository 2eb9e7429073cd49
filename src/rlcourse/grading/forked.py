"""Many small jobs on all cores, each in a process of its own: it may hang, crash or eat memory."""

import faulthandler
import os
import pickle
import selectors
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .clock import limited

T = TypeVar("T")
MEMORY = 4 << 30  # bytes of data one job may hold
ASLEEP = 60.0  # seconds by the wall clock: more than a job waits for a core on a busy machine
_in_a_job = False  # whether this process is a child that has a clock


class Child(NamedTuple):
    """A running job: its place in the list, its process, what it has sent so far."""

    job: int
    pid: int
    sent: bytearray


def run(jobs: Sequence[Callable[[], T]], seconds: float, together: int = 1) -> list[T | None]:
    """The results of the jobs, in order; None where one died or used `seconds` of CPU time.

    As many as `together` share a process, in turn; where it dies, each has one of its own again.
    CPU time, so that a busy machine stops no job that is merely waiting its turn; a job that sleeps
    is stopped after a minute and 20 times as long. Without fork (Windows) the jobs run one after
    another in a thread, by the wall clock. Results must pickle. An exception is raised here.
    """
    if together > 1:
        return _grouped(jobs, seconds, together)
    if not hasattr(os, "fork"):
        return [_result(limited(seconds, partial(_outcome, job), _never)) for job in jobs]
    results: list[Any] = [None] * len(jobs)
    waiting = iter(range(len(jobs)))
    with selectors.DefaultSelector() as running:
        for i in islice(waiting, cores()):
            _start(running, jobs, i, seconds)
        while running.get_map():
            for key, _ in running.select():
                if part := os.read(key.fd, 1 << 16):
                    key.data.sent.extend(part)
                    continue
                running.unregister(key.fd)
                results[key.data.job] = _collect(key.fd, key.data)
                for i in islice(waiting, 1):
                    _start(running, jobs, i, seconds)
    return results


def _grouped(jobs: Sequence[Callable[[], T]], seconds: float, together: int) -> list[T | None]:
    groups = [jobs[i : i + together] for i in range(0, len(jobs), together)]
    found = run([partial(_in_turn, group, seconds) for group in groups], seconds * together)
    pairs = zip(groups, found, strict=True)
    return [x for group, results in pairs for x in results or run(group, seconds)]


def _in_turn(jobs: Sequence[Callable[[], T]], seconds: float) -> list[T]:
    results = []
    for job in jobs:
        allow(seconds)
        results.append(job())
    return results


def cores() -> int:
    """The cores this process may use: its share of them under pytest-xdist."""
    sharing = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return max(1, len(mine) // sharing)


def _start(
    running: selectors.BaseSelector, jobs: Sequence[Callable[[], T]], i: int, seconds: float
) -> None:
    reader, writer = os.pipe()
    with warnings.catch_warnings():  # Python 3.12 warns of threads that the child does not use
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _work(jobs[i], writer, seconds)
    os.close(writer)
    running.register(reader, selectors.EVENT_READ, Child(i, pid, bytearray()))


def _work(job: Callable[[], T], writer: int, seconds: float) -> None:
    """The child's whole life. It leaves by `_exit`: nothing of the parent's runs at its end."""
    status = 1
    try:
        _limits(seconds)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(_outcome(job)))
        status = 0
    finally:
        os._exit(status)


def _outcome(job: Callable[[], T]) -> tuple[T | None, str]:
    """(what the job returns, "") or (None, how it failed)."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # wrong functions overflow; that is their business
            return job(), ""
    except Exception:
        return None, traceback.format_exc()


def _never(line: str) -> tuple[None, str]:
    return None, ""


def _result(outcome: tuple[T, str]) -> T:
    if outcome[1]:
        raise RuntimeError(f"a job of the quality gate failed:\n{outcome[1]}")
    return outcome[0]


def allow(seconds: float) -> None:
    """Give the job that calls this so many seconds from now on; nothing where no process ends."""
    if _in_a_job:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, ASLEEP + 20 * seconds)


def _limits(seconds: float) -> None:
    global _in_a_job
    import resource  # Unix only, as fork is

    faulthandler.disable()  # a mutant that crashes is no news
    for end in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(end, signal.SIG_DFL)  # the default ends the process, in a C call too
    _in_a_job = True
    allow(seconds)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # the parent's pool of threads did not come along


def _collect(fd: int, child: Child) -> Any:
    os.close(fd)
    _, status = os.waitpid(child.pid, 0)
    if os.WIFSIGNALED(status):
        return None
    if status:  # never taken for a mutant that died
        raise RuntimeError("a job of the quality gate ended without a result")
    return _result(pickle.loads(bytes(child.sent)))
