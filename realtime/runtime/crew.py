"""The crew: the threads of one run, and the first exception that any of them raised.

Used by realtime.pipeline for every thread of the data path. An exception in any thread ends the
run, and the pipeline raises it again from the main thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Crew:
    """Starts named threads, keeps the first exception, and joins the threads.

    Attributes:
        failure: the first exception that a thread raised.
        failed: set once a thread has raised an exception.
    """

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.failure: BaseException | None = None
        self.failed = threading.Event()

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run `work` on a new thread with this name.

        Raises:
            RuntimeError: the system has no more threads.
        """

        def body() -> None:
            try:
                work()
            except BaseException as error:  # the pipeline raises it again from the main thread
                with self._lock:
                    self.failure = self.failure or error
                self.failed.set()

        # A daemon: a C library that never returns must not keep a finished program alive.
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()  # before it is kept: a thread that can't be started can't be joined either
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        return thread

    def join(self, timeout_s: float) -> list[str]:
        """Wait up to `timeout_s` for all threads to end. Return the names of those that are still alive."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return self.alive()

    def alive(self) -> list[str]:
        """Return the names of the threads that are still running."""
        return [thread.name for thread in self._threads if thread.is_alive()]
