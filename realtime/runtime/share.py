"""How many cores a call may use: all of them, unless the pool says that others compute beside it.

Set by runtime.pool around each task, read by the engines. A thread that nobody told may use all.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_thread = threading.local()


@functools.cache
def all_cores() -> int:
    """The cores that this process may use: its affinity, and no more than its control group's quota pays for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no quota ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(cores, 1)


def cores_now() -> int:
    """How many cores the calling thread may use now."""
    return getattr(_thread, "cores", None) or all_cores()


@contextlib.contextmanager
def share(cores: int) -> Iterator[None]:
    """Within it, the calling thread's calls use so many cores."""
    _thread.cores = cores
    try:
        yield
    finally:
        _thread.cores = None
