"""Before anything imports NumPy, torch or Triton: one thread for a process, since the tests share
the cores among processes; without a GPU the kernels run in the interpreter.
"""

import os
import shutil

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not shutil.which("nvidia-smi"):
    os.environ["TRITON_INTERPRET"] = "1"


class AtOnce:
    """Tells of a failure when it happens: a run that is cut off has said what failed."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.terminal.ensure_newline()
            self.terminal.write_line(f"{report.when} failed: {report.nodeid}")
            self.terminal.write_line(report.longreprtext)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """In the process that reports, not in those that share the tests."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal and not hasattr(config, "workerinput"):
        config.pluginmanager.register(AtOnce(terminal))
