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

# Blocks until cores are free, yields their number and gives them back. Not to be nested.
Take = Callable[[], AbstractContextManager[int]]

_thread = threading.local()


@functools.cache
def all_cores() -> int:
    """The cores that this process may use: its affinity, and no more than the quotas of its control groups pay for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        group = Path("/proc/self/cgroup").read_text(encoding="ascii").rpartition("0::/")[2].strip()
    except OSError:  # no control groups
        return cores
    return int(min(cores, quota(Path("/sys/fs/cgroup"), group)))


def quota(root: Path, group: str) -> float:
    """Cores that a control group (version 2) and those around it pay for, rounded up, at least 1; infinite if all do.

    Args:
        root: where the file system of control groups is.
        group: the path of one below it, without a slash at its beginning.
    """
    least = math.inf
    for folder in (root / group, *(root / group).parents):
        if folder.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # no such file, or no quota ("max")
                paid, period = (folder / "cpu.max").read_text(encoding="ascii").split()
                least = min(least, max(1, math.ceil(int(paid) / int(period))))
    return least


@contextlib.contextmanager
def cores() -> Iterator[int]:
    """Within it the calling thread computes, on so many cores. It may have to wait for them: never take them twice."""
    take: Take = getattr(_thread, "take", None) or just(all_cores())
    with take() as count:
        yield count


@contextlib.contextmanager
def share(take: Take) -> Iterator[None]:
    """Within it, `cores` on the calling thread takes them so."""
    _thread.take = take
    try:
        yield
    finally:
        _thread.take = None


def just(count: int) -> Take:
    """So many cores, at once."""
    return lambda: contextlib.nullcontext(count)
