"""What this process uses: CPU time and memory.

Not part of the data path: StatusMessage and the run report contain it.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

_MIB = 2**20
# The second number is the resident memory in pages (proc(5)). Only Linux has this file.
_STATM = Path("/proc/self/statm")


def cpu_s() -> float:
    """CPU seconds of all threads since the process started, in user and system mode."""
    return time.process_time()


def rss_mb() -> float:
    """Resident memory in MiB. Its peak so far on systems that don't report the current value."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return peak_rss_mb()
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def peak_rss_mb() -> float:
    """The largest resident memory so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024  # bytes on macOS, KiB elsewhere
