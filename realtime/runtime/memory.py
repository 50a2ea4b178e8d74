"""Giving freed memory back to the system.

Used by capture.camera after a source was closed. A decoder's buffers lie scattered over the pools of its threads, and
glibc keeps what was freed there: 50 KB more for each opening of a camera, measured, and 3 KB with this.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time

# Going through all pools takes milliseconds: cameras that are lost again and again must not pay it each time.
_EVERY_S = 10.0
_lock = threading.Lock()
_next_s = 0.0


def give_back_memory() -> None:
    """Give back what is free, at most every _EVERY_S seconds; does nothing where the C library isn't glibc."""
    global _next_s
    if sys.platform != "linux":
        return
    with _lock:
        if time.monotonic() < _next_s:
            return
        _next_s = time.monotonic() + _EVERY_S
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
