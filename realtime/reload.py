"""Reads the configuration again during a run, on a thread of its own.

Used by realtime.pipeline on SIGHUP. A file that is slow to read, such as a named pipe or one on a server that is gone,
delays neither the cameras nor the end of the run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from realtime.errors import ConfigError

log = logging.getLogger(__name__)

Read = TypeVar("Read")


class Reload(Generic[Read]):
    """Reads the configuration on request. If it contains a mistake, this is logged, and nothing else happens.

    Args:
        read: reads and returns the configuration. It may raise any exception, and must change nothing.
    """

    def __init__(self, read: Callable[[], Read]) -> None:
        self._read = read
        self._is_asked = False  # no Event: a signal handler would deadlock if the main thread held its lock
        self._thread: threading.Thread | None = None
        self._result: Read | None = None

    def ask(self) -> None:
        """Ask for the configuration to be read. Safe in a signal handler."""
        self._is_asked = True

    def poll(self) -> Read | None:
        """Start reading if `ask` was called. Return the result once reading has ended; None if it failed.

        Call this regularly, always on the same thread. It never blocks.
        """
        if self._thread is not None and not self._thread.is_alive():
            result, self._thread, self._result = self._result, None, None
            return result
        if self._is_asked:
            self._is_asked = False
            if self._thread is not None:
                log.warning("reload: the configuration files are still being read; nothing was changed")
                return None
            # Not one of the run's threads: the run may end while this one waits for a file.
            self._thread = threading.Thread(target=self._work, name="reload", daemon=True)
            self._thread.start()
        return None

    def _work(self) -> None:
        try:
            self._result = self._read()
        except ConfigError as error:
            log.error("reload: %s; nothing was changed", error)
        except Exception:  # our bug; the running cameras matter more than the reload
            log.exception("reload: failed; nothing was changed")
