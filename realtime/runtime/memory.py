"""Keeping the process's memory flat: few pools, and what is free in them given back to the system.

`share_pools` is called by cli before anything else, `give_back_memory` by capture.camera after a source was closed.
glibc gives each thread a pool of its own, and decoders are born and die with every opening of a camera: their buffers
lie scattered over the pools, which keep what was freed.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time

# malloc.h
_M_ARENA_MAX = -8
# One for the main thread, one for all others: what a closed decoder left is used by the next one.
_POOLS = 2
# Going through the pools takes milliseconds, in which others may wait for memory: not for each of many cameras.
_EVERY_S = 1.0
_lock = threading.Lock()
_next_s = 0.0


def share_pools() -> None:
    """Let all threads that begin from now on share _POOLS pools; does nothing where the C library isn't glibc."""
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _POOLS)


def give_back_memory() -> None:
    """Give back what is free, at most every _EVERY_S seconds; does nothing where the C library isn't glibc."""
    global _next_s
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is None:
        return
    with _lock:
        if time.monotonic() < _next_s:
            return
        _next_s = time.monotonic() + _EVERY_S
    trim(0)


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
