"""The fault cases of hostile visitors of the live page: `make faults`.

The numbers in the test names are the cases of the table in docs/reliability.md.
"""

from __future__ import annotations

import resource
import time

import pytest

from tests.browser.running import DEMO, Web
from tests.browser.usage import child_of, cpu_s, resident_mb
from tests.browser.viewer import Tally, Viewer

from . import rawviewer
from .test_strangers import Reader

pytestmark = pytest.mark.faults

# Each kind lasts this long; all of them take two minutes.
KIND_S = 5.0
# The usual limit of open files. The tests often run with a higher one.
USUAL_FILES = 1024


class Watcher:
    """A healthy viewer: notes the greatest age of a picture on show, for the duration of a `with` block."""

    def __init__(self, address: str) -> None:
        self.tally = Tally()
        self._viewer = Viewer(address, note=self.tally.add)

    def __enter__(self) -> Watcher:
        self._viewer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._viewer.__exit__()

    def oldest_s(self) -> float:
        """Return the greatest age since the last call (s)."""
        assert self._viewer.closed is None, self._viewer.closed
        return self.tally.take()["oldest_ms"] / 1e3


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("yolov8n")
def test_70_hostile_visitors_disturb_neither_the_stream_nor_a_viewer(tmp_path, figure):
    with Web(*DEMO, folder=tmp_path, keeps_bodies=False) as program:
        program.until(lambda: len(program.poses()) > 60, what="60 poses")
        dashboard = child_of(program.process.pid, "realtime.dashboard")
        resource.prlimit(dashboard, resource.RLIMIT_NOFILE, (USUAL_FILES, USUAL_FILES))
        with Reader(program.endpoint, b"pose/") as reader, Watcher(program.address) as watcher:
            program.run_for(3)
            watcher.oldest_s()
            memory_mb = {pid: resident_mb(pid) for pid in (program.process.pid, dashboard)}
            most_mb, gaps_s, ages_s = dict(memory_mb), {}, {}
            for kind in rawviewer.KINDS:
                began_s, used_s = time.monotonic(), cpu_s(dashboard)
                visitor = rawviewer.start(kind, program.port, KIND_S)
                try:
                    while time.monotonic() < began_s + KIND_S + 1:
                        program.run_for(0.1)
                        most_mb = {pid: max(most, resident_mb(pid)) for pid, most in most_mb.items()}
                    assert visitor.poll() in (None, 0), f"the visitor {kind!r} failed"
                finally:
                    visitor.kill()
                    visitor.wait()
                gaps_s[kind], ages_s[kind] = reader.longest_gap_s(began_s), watcher.oldest_s()
                print(
                    f"{kind}: gap {gaps_s[kind]:.2f} s, oldest picture {ages_s[kind]:.2f} s, "
                    f"dashboard {cpu_s(dashboard) - used_s:.1f} s of CPU, memory so far "
                    f"+{most_mb[dashboard] - memory_mb[dashboard]:.0f} MB (dashboard), "
                    f"+{most_mb[program.process.pid] - memory_mb[program.process.pid]:.0f} MB (pipeline)"
                )
            assert child_of(program.process.pid, "realtime.dashboard") == dashboard, "the dashboard was started again"
        count = len(rawviewer.KINDS)
        figure(
            "70", f"{count} kinds of hostile visitors: longest gap of a reader", max(gaps_s.values()), "s", at_most=1
        )
        figure(
            "70", f"{count} kinds of hostile visitors: oldest picture of a viewer", max(ages_s.values()), "s", at_most=1
        )
        for pid, name in ((dashboard, "the dashboard's"), (program.process.pid, "the pipeline's")):
            grown_mb = most_mb[pid] - memory_mb[pid]
            figure("70", f"{count} kinds of hostile visitors: growth of {name} memory", grown_mb, "MB", at_most=60)
        code, took_s = program.end()
        assert code == 0
        figure("70", f"{count} kinds of hostile visitors: program exits after", took_s, "s", at_most=3)
