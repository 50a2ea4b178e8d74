"""A lower priority for threads whose work is not urgent. Used by the side outputs of publish."""

from __future__ import annotations

import contextlib
import os
import sys
import threading


def lower_priority(nice: int) -> None:
    """Lower the priority of the calling thread, on systems where a single thread can have its own (Linux).

    The main thread keeps its priority: all threads and programs that it starts later would have the lower one, too, and
    it can't be raised again.

    Args:
        nice: how much lower than the priority of the program (Linux: a thread with 10 gets a tenth of the time of one
            that competes with it, a thread with 5 a third).
    """
    if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # forbidden in a sandbox
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + nice)
