"""Jobs in processes of their own: whatever one of them does, the others have their results."""

import os
import signal
import time
from functools import partial

import pytest

from rlcourse.grading import forked

SECONDS = 0.3  # of CPU time


def hang():
    while True:
        pass


def give(x):
    return x


def fail():
    raise KeyError("no")


def die():
    os.kill(os.getpid(), signal.SIGSEGV)


def leave():
    os._exit(3)


def sleep():
    time.sleep(0.5)
    return "slept"


def fill():
    try:
        return len(bytearray(64 << 30))
    except MemoryError:
        return "refused"


def test_results_come_in_the_order_of_the_jobs():
    assert forked.run([partial(give, i) for i in range(20)], SECONDS) == [*range(20)]


def test_a_job_that_hangs_or_crashes_has_no_result_and_stops_no_other():
    jobs = [hang, partial(give, 1), die, partial(give, 2)]
    assert forked.run(jobs, SECONDS) == [None, 1, None, 2]


def test_the_limit_counts_work_and_no_waiting():
    assert forked.run([sleep], SECONDS) == ["slept"]


def test_a_job_that_starts_its_clock_anew_has_the_seconds_once_more():
    def steps(n):
        for _ in range(n):
            forked.allow(0.2)
            start = time.process_time()
            while time.process_time() - start < 0.1:
                pass
        return n

    def stuck():
        forked.allow(0.05)
        hang()

    assert forked.run([partial(steps, 4), stuck], SECONDS) == [4, None]


def test_the_clock_of_a_job_is_none_of_the_process_that_starts_it():
    forked.allow(0.01)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_a_job_that_asks_for_too_much_memory_is_refused():
    assert forked.run([fill], SECONDS) == ["refused"]


@pytest.mark.parametrize("job", [fail, leave, partial(give, lambda: 0)])
def test_a_job_that_breaks_is_an_error_and_never_taken_for_a_mutant_that_died(job):
    with pytest.raises(RuntimeError, match="quality gate"):
        forked.run([job], SECONDS)


def test_large_results_come_through():
    assert forked.run([partial(give, "x" * 10**6)] * 3, SECONDS) == ["x" * 10**6] * 3


def test_jobs_that_share_a_process_have_their_results_in_order():
    pids = forked.run([os.getpid] * 7, SECONDS, together=3)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
    assert forked.run([partial(give, i) for i in range(7)], SECONDS, together=3) == [*range(7)]


def test_a_job_that_ends_its_process_stops_none_that_shares_it():
    jobs = [partial(give, 0), hang, partial(give, 2), die, *(partial(give, i) for i in (4, 5))]
    assert forked.run(jobs, SECONDS, together=4) == [0, None, 2, None, 4, 5]


def test_each_of_the_jobs_that_share_a_process_has_all_the_seconds():
    def work():
        start = time.process_time()
        while time.process_time() - start < 0.6 * SECONDS:
            pass
        return os.getpid()

    assert len(set(forked.run([work] * 3, SECONDS, together=3))) == 1


def test_without_fork_the_jobs_run_in_turn_under_the_clock(monkeypatch):
    monkeypatch.delattr(os, "fork")
    jobs = [partial(give, 1), hang, partial(give, 2)]
    assert forked.run(jobs, SECONDS) == [1, None, 2]
    assert forked.run(jobs, SECONDS, together=2) == [1, None, 2]
    with pytest.raises(RuntimeError, match="KeyError"):
        forked.run([fail], SECONDS)
