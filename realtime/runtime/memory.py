"""Keeps the process's memory flat and its pages in place: few malloc pools, whose free memory is returned in time.

Called from outside the data path: `share_pools` by cli before anything else, `give_back_memory` by capture.camera after
a source is closed, `drop_pages` by models.openvino after a network is compiled. glibc gives each thread its own pool
(arena), and each time a camera is opened, a decoder is created and later destroyed. The decoders' buffers end up
scattered over the pools, which keep the memory that is freed.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path

# sys/mman.h
_MADV_DONTNEED = 4
# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
# One for the main thread and one for all others, so that a decoder reuses the memory of its
# predecessor.
_POOLS = 2
# Images of up to this many bytes, the most that glibc takes, come from the pools. A pool keeps up to `_KEPT` bytes of
# free memory at its end. glibc's own values begin at 128 KiB and grow up to these with the blocks that are freed. Until
# then, or if they stop below, the pages of each image (6 MB at 1080p) go back to the system and have to be cleared for
# the next one, which makes a conversion three to five times as expensive (docs/benchmarks.md, live pictures).
_POOLED = 32 << 20
_KEPT = 64 << 20
# Trimming the pools takes milliseconds, during which other threads may wait for memory. Therefore it
# runs at most once per interval, even if many cameras close.
_EVERY_S = 1.0
_lock = threading.Lock()
_next_s = 0.0


def share_pools() -> None:
    """Make all threads that start from now on share _POOLS pools. Does nothing unless the C library is glibc."""
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _POOLS)
        mallopt(_M_MMAP_THRESHOLD, _POOLED)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def give_back_memory() -> None:
    """Return free memory to the system, at most every _EVERY_S seconds. Does nothing unless the C library is glibc."""
    global _next_s
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is None:
        return
    with _lock:
        if time.monotonic() < _next_s:
            return
        _next_s = time.monotonic() + _EVERY_S
    trim(0)


def drop_pages(file: Path) -> None:
    """Take the pages of a file that is mapped for reading out of this process's memory. Does nothing except on Linux.

    A page that is used again is read again, from the system's cache of files if it is still there.
    """
    library = _c_library()
    if library is None:
        return
    try:
        maps = Path("/proc/self/maps").read_text(errors="surrogateescape")
        name = str(file.resolve()).replace("\n", r"\012")  # as the system writes it there
    except OSError:  # a container without /proc
        return
    for line in maps.rstrip("\n").split("\n"):
        addresses, permissions, *_, mapped = line.split(maxsplit=5)
        if mapped == name and permissions.startswith("r--"):
            begin, end = (int(address, 16) for address in addresses.split("-"))
            library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
