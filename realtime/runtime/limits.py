"""The limits of this process (ulimit, or a container's): checked before the run, and explained when one is reached.

Used by cli around the whole run. A library that reaches a limit raises any kind of exception, and some end the process:
OpenBLAS, OpenCV and libzmq crash or abort if there are too few threads, files or addresses.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
import threading

from realtime.errors import RealtimeError, first_line
from realtime.runtime.core_budget import all_cores

# Measured on two cores with the demo and both models: 30 threads, 17 open files and 5.6 GB of addresses. Most addresses
# are those of torch's libraries with CUDA. With 3.6 GB, 13 files or 30 threads, the process crashes.
_THREADS = 28
_THREADS_PER_CORE = 2
_FILES = 20
_ADDRESSES_GB = 5.0

# The messages of Python, torch, OpenVINO, the C++ library and the dynamic linker.
_NO_MEMORY = re.compile(
    r"bad_alloc|(cannot|can't|unable to|failed to) allocate|failed to map segment.*(?<!Operation not permitted)$",
    re.IGNORECASE,
)
_NO_THREAD = re.compile(
    r"can't start new thread|resource temporarily unavailable|thread creation failed", re.IGNORECASE
)
_NO_FILE = re.compile(r"too many open files", re.IGNORECASE)


def check_limits() -> None:
    """Check that this process may have the threads, files and addresses that every run needs.

    Call it before numpy is imported, which starts the threads of OpenBLAS.

    Raises:
        RealtimeError: a limit is too low.
    """
    addresses_gb, files = _limit("RLIMIT_AS") / 1e9, _limit("RLIMIT_NOFILE")
    if addresses_gb < _ADDRESSES_GB:
        raise RealtimeError(
            f"memory: got a limit of {addresses_gb:.1f} GB of addresses (ulimit -v), expected at least "
            f"{_ADDRESSES_GB:.0f}: raise or remove it"
        )
    if files < _FILES:
        raise RealtimeError(
            f"files: got a limit of {files:.0f} open files (ulimit -n), expected at least {_FILES}, and more for "
            "cameras and subscribers: raise it"
        )
    wanted = _THREADS + _THREADS_PER_CORE * all_cores()
    if (started := _threads_that_start(wanted)) < wanted:
        raise RealtimeError(
            f"threads: only {started} could be started, expected {wanted}: raise the limit of this user's processes "
            "(ulimit -u), or that of the container (pids)"
        )


def explained(error: BaseException) -> RealtimeError | None:
    """The error as one line that names the limit, or None if no limit of this process caused it.

    >>> print(explained(MemoryError("Unable to allocate 4.00 GiB")))  # doctest: +ELLIPSIS
    not enough memory (Unable to allocate 4.00 GiB): ...
    >>> explained(ValueError("a bug"))

    Args:
        error: any exception, of ours or of a library.
    """
    text, number = str(error), getattr(error, "errno", None)
    said = first_line(error, type(error).__name__)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _NO_MEMORY.search(text):
        advice = f" (ulimit -v: {_limit('RLIMIT_AS') / 1e9:.1f} GB)" if _limit("RLIMIT_AS") < float("inf") else ""
        return RealtimeError(f"not enough memory ({said}): raise the limit of this process{advice} or its container")
    if _NO_THREAD.search(text):
        return RealtimeError(
            f"no more threads can be started ({said}): raise the limit of this user's processes (ulimit -u), or that "
            "of the container (pids)"
        )
    if number in (errno.EMFILE, errno.ENFILE) or _NO_FILE.search(text):
        most = _limit("RLIMIT_NOFILE")
        return RealtimeError(f"no more files can be opened ({said}): raise the limit (ulimit -n: {most:.0f})")
    return None


def _limit(name: str) -> float:
    """The limit of this process, by its name in the module `resource`; infinity if there is none."""
    if sys.platform == "win32":
        return float("inf")
    import resource

    soft = resource.getrlimit(getattr(resource, name))[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def _threads_that_start(wanted: int) -> int:
    """Start this many threads at the same time, and return how many the system allowed."""
    go = threading.Event()
    started: list[threading.Thread] = []
    with contextlib.suppress(RuntimeError, MemoryError):  # no more can be started
        for _ in range(wanted):
            thread = threading.Thread(target=go.wait, daemon=True)
            thread.start()
            started.append(thread)
    go.set()
    for thread in started:
        thread.join()
    return len(started)
