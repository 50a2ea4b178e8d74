"""The step `suite`: the tests of tests/gpu. On a GPU, each of them must run and pass; on a CPU they are counted only.

pytest runs in the process of the step, so that each outcome is on disk before the next test begins.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bench.gpu.steps import Job

ROOT = Path(__file__).parents[3]
# A test must end after this time (s); the slowest one starts the program.
_TEST_S = 45
# No test starts if less time (s) is left.
_LEAST_S = 5.0

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Outcome(NamedTuple):
    """How one test ended.

    Attributes:
        kind: PASSED, FAILED or SKIPPED. A test that is marked as an expected failure counts as skipped.
        seconds: with the fixtures that it was the first to need.
        why: for a test that did not pass, the message, on one line.
    """

    kind: str
    seconds: float
    why: str = ""


def run(job: Job) -> None:
    trained = job.folder / "trained"
    if job.is_cuda:  # the tests use the first device that they see; torch has not looked yet
        os.environ["CUDA_VISIBLE_DEVICES"] = visible(job.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
        try:
            _train(job, trained)
        except Exception as error:  # the tests that need it train by themselves
            job.record.fail(f"training: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    shown = sys.stdout

    def tell(name: str) -> None:
        if (kind := tally.outcomes[name].kind) == SKIPPED and not job.is_cuda:
            return
        with contextlib.redirect_stdout(shown):
            job.record.put("tests", **tally.figures())
            if kind != PASSED:
                job.record.fail(f"{name}: {kind}: {tally.outcomes[name].why}")

    tally = Tally(tell, lambda: job.left_s)
    words = [str(ROOT / "tests" / "gpu"), "-v", "--tb=short", "--capture=sys", "-p", "no:cacheprovider"]
    words += ["--override-ini", "addopts=", "--override-ini", f"timeout={_TEST_S}"]
    words += ["--trained-in", str(trained), "--basetemp", str(job.folder / "pytest")]
    with contextlib.redirect_stdout(sys.stderr):  # pytest's own output goes to the log
        code = int(pytest.main(words, plugins=[tally]))
    job.record.put("tests", **tally.figures())
    for text in tally.gaps(code):
        job.record.fail(text)
    if not job.is_cuda:
        job.record.leave_out(f"{len(tally.found)} tests, because they need a CUDA device")


def _train(job: Job, folder: Path) -> None:
    """Train the tiny network on the GPU: for these tests, and for the comparison with the CPU."""
    from tests.pose.training import LONG_BATCH, LONG_STEPS, trained_in

    started_s = time.monotonic()
    trained_in(folder, "cuda:0", LONG_STEPS, LONG_BATCH)
    job.record.put("training", steps=LONG_STEPS, seconds=time.monotonic() - started_s)


def visible(device: str, seen: str | None) -> str:
    """Return a CUDA_VISIBLE_DEVICES with which a device is the only one.

    Args:
        device: cuda:N.
        seen: the variable now, to which N refers.
    """
    number = int(device.partition(":")[2] or 0)
    return seen.split(",")[number] if seen else str(number)


class Tally:
    """A plugin of pytest that collects how each test ended, and ends the session if no time is left.

    Attributes:
        found: names of the tests.
        outcomes: of those that have ended, by name.
        unread: messages about files that could not be imported.
    """

    def __init__(self, tell: Callable[[str], None], left_s: Callable[[], float]) -> None:
        self.found: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.unread: list[str] = []
        self._tell, self._left_s = tell, left_s
        self._parts: list[pytest.TestReport] = []

    def figures(self) -> dict[str, object]:
        """The figures for the record."""
        kinds = Counter(outcome.kind for outcome in self.outcomes.values())
        seconds = {
            name: round(outcome.seconds, 2) for name, outcome in self.outcomes.items() if outcome.kind != SKIPPED
        }
        slowest = max(seconds, key=lambda name: seconds[name], default=None)
        told = {"found": len(self.found)} | {kind: kinds[kind] for kind in (PASSED, FAILED, SKIPPED)}
        if slowest is None:
            return told
        return told | {"seconds": round(sum(seconds.values()), 1), "slowest": f"{slowest} ({seconds[slowest]:.1f} s)",
                       "seconds_of_each": seconds}  # fmt: skip

    def gaps(self, code: int) -> list[str]:
        """Return what is wrong apart from tests that failed or were skipped.

        Args:
            code: exit code of pytest.
        """
        if self.unread:
            return self.unread
        if not self.found:
            return [f"no tests were found; pytest ended with exit code {code}, its output is in gpu.log"]
        gaps = [f"{name}: did not run" for name in self.found if name not in self.outcomes]
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not gaps:
            gaps.append(f"pytest ended with exit code {code}, its output is in gpu.log")
        return gaps

    # ---- called by pytest

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            lines = report.longreprtext.strip().splitlines() or ["no message"]
            self.unread.append(f"{report.nodeid}: can't be imported: {lines[-1].removeprefix('E').strip()}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.found = [_name(item.nodeid) for item in session.items]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._left_s() < _LEAST_S:
            pytest.skip("the time of the step was used up")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._parts.append(report)
        if report.when == "teardown":
            name, parts, self._parts = _name(report.nodeid), self._parts, []
            self.outcomes[name] = outcome(parts)
            self._tell(name)


def outcome(parts: list[pytest.TestReport]) -> Outcome:
    """Return how a test ended, from the reports of its setup, call and teardown."""
    seconds = sum(part.duration for part in parts)
    for part in parts:
        if part.failed:
            crash = getattr(part.longrepr, "reprcrash", None)
            why = f"{crash.message} ({Path(crash.path).name}:{crash.lineno})" if crash else part.longreprtext
            return Outcome(FAILED, seconds, textwrap.shorten(why, 400))
    for part in parts:
        if part.skipped or hasattr(part, "wasxfail"):
            reason = part.longrepr[2] if isinstance(part.longrepr, tuple) else f"xfail: {part.wasxfail}"
            return Outcome(SKIPPED, seconds, reason)
    return Outcome(PASSED, seconds)


def _name(nodeid: str) -> str:
    return nodeid.rpartition("/")[2].partition("::")[2]
