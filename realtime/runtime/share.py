"""How many cores a call may use, and when: all of them at once, unless the pool says that others compute beside it.

The pool says it for its threads (runtime.pool); the engines take their cores for as long as a network computes.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

# Waits until cores are free, gives their number, gives them back.
Take = Callable[[], AbstractContextManager[int]]

_thread = threading.local()


@functools.cache
def all_cores() -> int:
    """The cores that this process may use: its affinity, and no more than its control group's quota pays for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no quota ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(cores, 1)


@contextlib.contextmanager
def cores() -> Iterator[int]:
    """Within it the calling thread computes, on so many cores. It may have to wait for them: never take them twice."""
    take: Take = getattr(_thread, "take", None) or just(all_cores())
    with take() as count:
        yield count


@contextlib.contextmanager
def share(take: Take) -> Iterator[None]:
    """Within it, the calling thread takes its cores so."""
    _thread.take = take
    try:
        yield
    finally:
        _thread.take = None


def just(count: int) -> Take:
    """So many cores, at once."""
    return lambda: contextlib.nullcontext(count)
