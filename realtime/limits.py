"""The limits of this process (ulimit, or a container's), explained in one line when one of them is reached.

Used by cli around the whole run. A library that reaches a limit raises any kind of exception.
"""

from __future__ import annotations

import errno
import re
import sys

from realtime.errors import RealtimeError, first_line

# How Python, torch, OpenVINO, the C++ library and the dynamic linker word it.
_NO_MEMORY = re.compile(
    r"bad_alloc|(cannot|can't|unable to|failed to) allocate|failed to map segment.*(?<!Operation not permitted)$",
    re.IGNORECASE,
)
_NO_THREAD = re.compile(
    r"can't start new thread|resource temporarily unavailable|thread creation failed", re.IGNORECASE
)
_NO_FILE = re.compile(r"too many open files", re.IGNORECASE)


def explained(error: BaseException) -> RealtimeError | None:
    """The error as one line that names the limit, or None if no limit of this process caused it.

    >>> print(explained(MemoryError("Unable to allocate 4.00 GiB")))  # doctest: +ELLIPSIS
    not enough memory (Unable to allocate 4.00 GiB): ...
    >>> explained(ValueError("a bug"))

    Args:
        error: any exception, of ours or of a library.
    """
    text, number = first_line(error, type(error).__name__), getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _NO_MEMORY.search(text):
        return RealtimeError(f"not enough memory ({text}): {_advice('RLIMIT_AS', 'v', 'kB of addresses', 1024)}")
    if _NO_THREAD.search(text):
        return RealtimeError(f"no more threads can be started ({text}): {_advice('RLIMIT_NPROC', 'u', 'threads')}")
    if number in (errno.EMFILE, errno.ENFILE) or _NO_FILE.search(text):
        return RealtimeError(f"no more files can be opened ({text}): {_advice('RLIMIT_NOFILE', 'n', 'open files')}")
    return None


def limit(name: str) -> float:
    """The limit of this process, by its name in the module `resource`; infinity if there is none."""
    if sys.platform == "win32":
        return float("inf")
    import resource

    soft = resource.getrlimit(getattr(resource, name))[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def _advice(name: str, letter: str, things: str, unit: int = 1) -> str:
    most = limit(name)
    if most == float("inf"):
        return "the machine, or the container's limit, has no more"
    return f"the limit is {most // unit:.0f} {things}; raise it (ulimit -{letter})"
