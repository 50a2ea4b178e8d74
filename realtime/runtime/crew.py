"""The threads of one run: started together, the first failure kept, nobody left behind.

Used by realtime.pipeline. An exception in any thread ends the run and is raised again from the main thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Crew:
    """Named threads and the first exception that one of them raised."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.failure: BaseException | None = None
        self.failed = threading.Event()

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run `work` on a thread of this name."""

        def body() -> None:
            try:
                work()
            except BaseException as error:  # kept, and raised again from the main thread by the pipeline
                with self._lock:
                    self.failure = self.failure or error
                self.failed.set()

        # A daemon: a C library that never returns must not keep a finished program alive.
        thread = threading.Thread(target=body, name=name, daemon=True)
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()
        return thread

    def join(self, timeout_s: float) -> list[str]:
        """Wait for all threads; the names of those still alive after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return self.alive()

    def alive(self) -> list[str]:
        """The names of the threads that still run."""
        return [thread.name for thread in self._threads if thread.is_alive()]
