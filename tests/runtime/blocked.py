"""Waits until another thread blocks, so that a test can then wake it."""

import sys
import threading
import time

_WAIT = threading.Condition.wait.__code__


def until_blocked(thread: threading.Thread) -> None:
    """Wait until the thread waits on a condition variable. Fail if it ends instead.

    The thread still holds the lock of the condition when it enters `Condition.wait`. A caller that changes the
    condition afterwards therefore finds it waiting.
    """
    end_s = time.monotonic() + 30
    while (frame := sys._current_frames().get(thread.ident)) is None or frame.f_code is not _WAIT:
        assert thread.is_alive(), "the thread ended, expected it to block"
        assert time.monotonic() < end_s, "the thread did not block"
        time.sleep(0.001)
