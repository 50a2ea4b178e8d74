"""Collects what became of each combination, also from other processes (pytest-xdist); prints and writes the table."""

from __future__ import annotations

import pytest

from tests.document import write_part

from .all import all_files
from .table import table

_verdicts: dict[str, tuple[str, str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    properties = dict(report.user_properties)
    if report.when == "call" and "group" in properties:
        _verdicts[report.nodeid] = properties["group"], properties["verdict"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not _verdicts or hasattr(config, "workerinput"):
        return
    order = {group: place for place, group in enumerate(one.group for one in all_files().values())}
    lines = table(sorted(_verdicts.values(), key=lambda pair: order[pair[0]]))
    terminalreporter.section("oddities")
    terminalreporter.write_line("\n".join(lines))
    if config.getoption("--write-figures", default=False):
        if len(_verdicts) == len(all_files()):
            write_part("oddities", lines)
        else:
            terminalreporter.write_line("not written to docs/reliability.md: only a whole run is")
