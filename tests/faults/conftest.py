"""Fixtures of the fault tests: `figure` checks measurements and collects them for docs/reliability.md."""

import logging
import re
from collections.abc import Callable, Iterator

import pytest

from tests.document import write_part

from .rig import Log

_rows: list[tuple[str, str, str, str]] = []


@pytest.fixture
def figure() -> Callable[..., None]:
    """Return figure(case, what, value, unit, at_most=..., at_least=...), which records a measurement and checks it."""

    def note(
        case: str,
        what: str,
        value: float,
        unit: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        limits = [f"<= {at_most:g}"] if at_most is not None else []
        limits += [f">= {at_least:g}"] if at_least is not None else []
        _rows.append((case, what, " and ".join(limits) + f" {unit}", f"{value:.3g} {unit}".strip()))
        assert at_most is None or value <= at_most, f"case {case}, {what}: {value:.3g} {unit}, expected <= {at_most:g}"
        assert at_least is None or value >= at_least, (
            f"case {case}, {what}: {value:.3g} {unit}, expected >= {at_least:g}"
        )

    return note


@pytest.fixture
def log() -> Iterator[Log]:
    """All log records while the test runs, down to debug level."""
    handler, root, ours = Log(), logging.getLogger(), logging.getLogger("realtime")
    levels = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not _rows:
        return
    rows = sorted(_rows, key=lambda row: (int(re.match(r"\d+", row[0])[0]), row[0]))
    lines = ["| case | figure | limit | measured |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    terminalreporter.section("figures")
    terminalreporter.write_line("\n".join(lines))
    if config.getoption("--write-figures", default=False):
        part = next((word for word in ("soak", "fuzz") if word == config.getoption("markexpr")), "figures")
        write_part(part, lines)
