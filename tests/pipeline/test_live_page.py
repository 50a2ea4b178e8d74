"""The live page beside a run (--web): it lives and dies with the program, and its troubles are not the run's."""

import contextlib
import http.client
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.doubles import wait_until
from tests.faults.rig import Program


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(port: int, folder: Path) -> Program:
    return Program("--source", "demo", "--realtime", "--web", str(port), folder=folder)


def answer(port: int) -> int:
    """The status code of the page; waits for its process to accept the connection."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().status


def page_process(run: Program) -> int:
    """The process id of the page."""
    threads = Path(f"/proc/{run.process.pid}/task").iterdir()
    children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    (page,) = [pid for pid in children if b"realtime.dashboard" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(page)


def can_be_bound(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def test_the_page_is_there_before_the_models_and_gone_when_the_program_is_killed(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    with program(port, tmp_path) as run:
        run.until_logged(address := f"page: http://127.0.0.1:{port}/")
        assert answer(port) == 200
        before = "\n".join(run.log).partition(address)[0]
        assert "publishing" not in before  # the pipeline is still being imported
        page = page_process(run)
        run.process.kill()
        wait_until(lambda: can_be_bound(port))
        wait_until(lambda: not Path(f"/proc/{page}").exists())
    assert not list((tmp_path / "scratch").glob("realtime-pose-page-*"))


def test_a_page_that_is_killed_comes_back_and_the_run_does_not_notice(
    tmp_path: Path, port: int, yolov8n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    with program(port, tmp_path) as run:
        run.until_pose()
        os.kill(page_process(run), signal.SIGKILL)
        assert answer(port) == 200  # the connection waits for the next process
        run.until_pose(since_s=run.poses()[-1].at_s + 0.1)
        code, _ = run.end()
        assert can_be_bound(port)
    assert code == 0
    assert any("page: its process was ended by SIGKILL; restarting it in 1 s" in line for line in run.log)
    numbers = [told.body["seq"] for told in run.poses()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not list((tmp_path / "scratch").iterdir())
