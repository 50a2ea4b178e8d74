"""Keeps a child process running: starts it, starts it again when it ends, and ends it.

Used by realtime.web.page. Not on the data path: whatever happens to the child, the run continues without a pause.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from realtime.observe.log import pass_on

log = logging.getLogger(__name__)

# Wait (s) before the child is restarted: it doubles from the first to the longest with each start in a row. A child
# that ran for _STEADY_S had no trouble with its start, so its next wait is the first one again.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_STEADY_S = 60.0
# How long the child may take to end once its standard input is closed, before it is killed. With the 2.3 s that the
# threads of a run may take, a stop stays below 3 s.
_END_S = 0.4
# How long `close` then waits for the thread, which only has to notice the end of the child.
_JOIN_S = 0.2


class Child:
    """A child process that runs until `close`, and has to end by itself when its standard input ends.

    The system closes that pipe when this process dies in any way, so the child never outlives it. It has its own
    process group: a Ctrl-C in the terminal reaches this process only, which then ends the child last.

    >>> import sys
    >>> child = Child("echo", [sys.executable, "-c", "import sys; sys.stdin.read()"], [], {})
    >>> child.start()
    >>> child.close()

    Args:
        name: what the log calls it.
        command: the program and its arguments. Other users can read them, so they must not contain secrets.
        descriptors: descriptors that the child inherits, besides the pipes. The lines that it prints join our log.
        environment: all its environment variables.
        is_ending: whether this process ends. A child that ends too, by the same signal, is not reported.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        descriptors: Sequence[int],
        environment: Mapping[str, str],
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name, self._command, self._descriptors = name, list(command), list(descriptors)
        self._environment, self._is_ending = dict(environment), is_ending
        self._closing = threading.Event()
        self._lock = threading.Lock()  # held while the process is started, or told to end
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)

    def start(self) -> None:
        """Start the child and the thread that looks after it."""
        self._thread.start()

    def close(self) -> None:
        """End the child and the thread. Takes at most _END_S and _JOIN_S. The second time, it does nothing."""
        self._closing.set()
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _close_input(process)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _supervise(self) -> None:
        wait_s = 0.0
        while True:
            began_s = time.monotonic()
            how = self._run_once()
            if self._closing.is_set() or self._is_ending():
                return
            wait_s = _wait_s(wait_s, time.monotonic() - began_s)
            log.warning("%s: its process %s; restarting it in %.0f s", self._name, how, wait_s)
            if self._closing.wait(wait_s):
                return

    def _run_once(self) -> str:
        """Run the child until it ends. Returns how it ended, in words."""
        try:
            with self._lock:
                if self._closing.is_set():
                    return "was not started"
                self._process = process = self._popen()
        except OSError as error:  # no more processes, memory or descriptors
            return f"could not be started ({error.strerror})"
        assert process.stdout is not None
        for line in process.stdout:
            pass_on(line.decode(errors="replace"))
        code = process.wait()
        process.stdout.close()
        _close_input(process)
        return f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"

    def _popen(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own program
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self._descriptors,
            env=self._environment,
            process_group=0,
        )


def _wait_s(last_s: float, ran_s: float) -> float:
    """How long (s) to wait before the child is started again.

    Args:
        last_s: the wait before this start of the child; 0 for the first start.
        ran_s: how long it ran.
    """
    return _FIRST_WAIT_S if ran_s > _STEADY_S or not last_s else min(2 * last_s, _LONGEST_WAIT_S)


def _close_input(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
