"""A child process that is kept running, and never outlives this process."""

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.observe.log import set_up_logging
from realtime.web import child as module
from realtime.web.child import Child
from tests.doubles import wait_until

ROOT = Path(__file__).parents[2]
# Appends its process id to the file that its first argument names, and ends with its standard input.
OBEDIENT = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); sys.stdin.read()"
# Does not end with its standard input.
STUBBORN = OBEDIENT + "; import time; time.sleep(1000)"
# Ends at once.
BROKEN = "import sys; sys.exit(3)"


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, arguments)]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """The file with the process ids of the children so far."""
    (tmp_path / "pids").touch()
    return tmp_path / "pids"


@contextlib.contextmanager
def running(command: list[str], **more: object) -> Iterator[Child]:
    child = Child("page", command, [], {}, **more)
    child.start()
    try:
        yield child
    finally:
        child.close()


def started(pids: Path, count: int) -> list[int]:
    """Wait until this many children were started, and return their process ids."""
    wait_until(lambda: len(pids.read_text().splitlines()) >= count)
    return [int(line) for line in pids.read_text().splitlines()]


def test_a_child_that_was_killed_is_reported_and_started_again(pids: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(python(OBEDIENT, pids)):
        os.kill(started(pids, 1)[0], signal.SIGKILL)
        first, second = started(pids, 2)
        assert not is_alive(first)
        assert is_alive(second)
    assert caplog.messages == ["page: its process was ended by SIGKILL; restarting it in 0 s"]


def test_a_child_that_ends_by_itself_is_reported_with_its_exit_code(caplog: pytest.LogCaptureFixture) -> None:
    with running(python(BROKEN)):
        wait_until(lambda: len(caplog.messages) >= 2)
    assert caplog.messages[0] == "page: its process ended with exit code 3; restarting it in 0 s"


def test_a_program_that_cannot_be_started_is_reported_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with running(["/nowhere/python"]):
        wait_until(lambda: len(caplog.messages) >= 2)
    assert "could not be started (No such file or directory)" in caplog.messages[0]


def test_the_end_of_a_child_is_no_news_when_the_program_ends_too(pids: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    child = Child("page", python(OBEDIENT, pids), [], {}, is_ending=lambda: True)
    child.start()
    os.kill(started(pids, 1)[0], signal.SIGTERM)
    wait_until(lambda: not child._thread.is_alive())
    child.close()
    assert not caplog.messages
    assert len(pids.read_text().splitlines()) == 1


@pytest.mark.parametrize("code", [OBEDIENT, STUBBORN])
def test_closing_ends_the_child_whether_it_obeys_or_not(
    code: str, pids: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_END_S", 0.2 if code == STUBBORN else 30.0)
    with running(python(code, pids)) as child:
        (pid,) = started(pids, 1)
    assert not is_alive(pid)
    assert not child._thread.is_alive()
    assert not caplog.messages
    child.close()  # the second time, it does nothing


def test_closing_interrupts_the_wait_before_the_next_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 1000.0)
    with running(python(BROKEN)) as child:
        wait_until(lambda: caplog.messages)
    assert not child._thread.is_alive()


def test_the_wait_doubles_with_each_start_in_a_row_and_begins_anew_after_a_steady_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 1.0)
    waits = [0.0]
    for _ in range(7):
        waits.append(module._wait_s(waits[-1], ran_s=0.2))
    assert waits[1:] == [1, 2, 4, 8, 16, 30, 30]
    assert module._wait_s(30.0, ran_s=61.0) == 1.0


def test_the_child_has_its_own_process_group_and_only_the_given_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = "import os, sys; open(sys.argv[1], 'w').write(f'{os.getpgid(0)} {os.getpid()} {dict(os.environ)}\\n')"
    child = Child("page", python(code + "; sys.stdin.read()", told), [], {"A": "1"})
    child.start()
    wait_until(lambda: told.exists() and told.read_text().endswith("\n"))
    child.close()
    group, pid, variables = told.read_text().strip().split(" ", 2)
    assert group == pid
    assert variables.replace("'LC_CTYPE': 'C.UTF-8'", "").strip("{}, ") == "'A': '1'"  # Python sets LC_CTYPE itself


def test_a_child_inherits_the_given_descriptors_and_no_others(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(' '.join(sorted(os.listdir('/proc/self/fd'), key=int)) + '\\n')"
    )
    with (tmp_path / "given").open("w") as given, (tmp_path / "ours").open("w"):
        child = Child("page", python(code + "; sys.stdin.read()", told), [given.fileno()], {})
        child.start()
        wait_until(lambda: told.exists() and told.read_text().endswith("\n"))
        child.close()
        descriptors = {int(word) for word in told.read_text().split()}
        assert given.fileno() in descriptors
        # Two more: the file with this list, and the folder that is listed.
        assert len(descriptors - {0, 1, 2, given.fileno()}) == 2


def test_a_child_ends_with_this_process_even_if_that_is_killed(pids: Path) -> None:
    code = "import sys, time; from realtime.web.child import Child\nChild('page', sys.argv[1:], [], {}).start()\n"
    code += "time.sleep(1000)"
    parent = subprocess.Popen([sys.executable, "-c", code, *python(OBEDIENT, pids)], cwd=ROOT)
    try:
        (pid,) = started(pids, 1)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not is_alive(pid))


def test_the_lines_of_a_child_stand_among_those_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_logging("info", "text")
    monkeypatch.setattr(logging.getLogger().handlers[0], "stream", lines := io.StringIO())
    with running(python("import os; os.write(1, b'one\\n'); os.write(2, b'two \\xff')")):
        wait_until(lambda: "two" in lines.getvalue())
    assert lines.getvalue().splitlines()[:2] == ["one", "two \ufffd"]
