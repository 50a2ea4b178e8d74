"""Functions for all output files: locks, links, permissions, and writing that a pipe can't block forever.

Used by publish.output_file, publish.ipc and observe.report_file.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import stat
import sys
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

# Flags that open an existing file without waiting: without O_NONBLOCK, opening a pipe waits until a program reads it.
# O_NOCTTY: a terminal must not become the controlling terminal of this process.
OPEN_FLAGS = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
# How often a write into a full pipe checks whether it should give up.
_LOOK_MS = 100


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder for as long as it stays open, without waiting.

    Returns:
        False if another program holds the lock. Also True on a system or file system without locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.debug("the file system has no locks (%s), continuing without", error.strerror)
    return True


def real_path(path: Path) -> Path:
    """Return the file behind a symbolic link, so that the link stays.

    A link into /proc, such as /dev/stdout, is returned as it is: the file that it names has no other path.

    >>> real_path(Path("poses.jsonl")) == Path.cwd() / "poses.jsonl"
    True
    """
    real = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):
        if path.exists() and not (real.exists() and real.samefile(path)):
            return path.absolute()
    return real


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that this path names now. Also False if either can't be examined."""
    try:
        named, opened = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def keep_access(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the permissions and, where the system allows it, the owner of the file before it."""
    with contextlib.suppress(OSError):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def write_some(descriptor: int, data: bytes | memoryview, is_over: Callable[[], bool] = lambda: False) -> int:
    """Write a part of the data, at least one byte. Waits while a pipe is full.

    Args:
        descriptor: a file that was opened with OPEN_FLAGS.
        data: the bytes, at least one.
        is_over: called every 0.1 s while a pipe is full; True gives up.

    Returns:
        The number of bytes written.

    Raises:
        OSError: nothing could be written. ETIMEDOUT if it gave up.
    """
    while True:
        try:
            if written := os.write(descriptor, data):
                return written
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        except BlockingIOError:
            if is_over():
                raise OSError(errno.ETIMEDOUT, "the program that reads it has stopped reading") from None
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll(_LOOK_MS)
