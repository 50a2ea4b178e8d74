"""Core budget of an inference: all cores, unless the pool runs several inferences at the same time.

The pool sets the budget of its threads (runtime.pool). The engines of the detector and the pose
model take it during an inference.
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

# A core budget: blocks until cores are free, yields how many, releases them at exit. Must not be nested.
Take = Callable[[], AbstractContextManager[int]]

_thread = threading.local()


@functools.cache
def all_cores() -> int:
    """Return how many cores this process may use: those of its affinity mask, limited by its cgroup's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        group = Path("/proc/self/cgroup").read_text(errors="surrogateescape").rpartition("0::/")[2].strip()
    except OSError:  # no cgroups
        return cores
    return int(min(cores, quota(Path("/sys/fs/cgroup"), group)))


def quota(root: Path, group: str) -> float:
    """Return the smallest CPU quota of a cgroup v2 and its ancestors, in cores; infinity if none is set.

    Each quota is rounded up to whole cores, at least 1.

    Args:
        root: mount point of the cgroup file system.
        group: path of the cgroup below `root`, without a leading slash.
    """
    least = math.inf
    for folder in (root / group, *(root / group).parents):
        if folder.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # no such file, or no quota ("max")
                paid, period = (folder / "cpu.max").read_text(encoding="ascii").split()
                least = min(least, max(1, math.ceil(int(paid) / int(period))))
    return least


@contextlib.contextmanager
def take_cores() -> Iterator[int]:
    """Take the calling thread's core budget and yield its number of cores. May block, so it must not be nested."""
    take: Take = getattr(_thread, "take", None) or fixed(all_cores())
    with take() as count:
        yield count


@contextlib.contextmanager
def core_budget(take: Take) -> Iterator[None]:
    """Make `take_cores` use this budget on the calling thread, within the `with` block.

    Example:
        >>> with core_budget(fixed(2)), take_cores() as count:
        ...     print(count)
        2
    """
    _thread.take = take
    try:
        yield
    finally:
        _thread.take = None


def fixed(count: int) -> Take:
    """Return a budget of `count` cores that never blocks."""
    return lambda: contextlib.nullcontext(count)
