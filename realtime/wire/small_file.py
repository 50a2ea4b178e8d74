# SPDX-License-Identifier: MIT
"""Reads a small file at a path from the user, with limits on time and size, whatever the path leads to.

Used at the start, before the data path exists: for configuration files, secrets and keys.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path

# How long a pipe or a terminal may take until its end. A password manager that asks its server needs a second or two.
# Without a limit, a pipe that no program writes to would block the program forever.
LONGEST_WAIT_S = 10.0


def read_small(path: Path, most_bytes: int, longest_wait_s: float = LONGEST_WAIT_S) -> bytes:
    """Read a file, a pipe (`<(command)` in bash) or a device.

    >>> read_small(Path("/dev/zero"), 16 * 1024)
    Traceback (most recent call last):
    ValueError: too large: expected at most 16 kB
    >>> read_small(Path("/dev/null"), 16 * 1024)
    b''

    Args:
        path: the path. It may lead to anything.
        most_bytes: largest size in bytes; a multiple of 1024.
        longest_wait_s: how long (s) a pipe or a terminal may take until its end.

    Returns:
        The content.

    Raises:
        ValueError: it can't be read. The message is the reason, without the path.
    """
    # Without O_NONBLOCK, opening a pipe waits until another program writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            data = _read(descriptor, most_bytes, longest_wait_s)
        finally:
            os.close(descriptor)
    except TimeoutError:
        raise ValueError(f"a pipe or device that did not end within {longest_wait_s:g} s") from None
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if len(data) > most_bytes:
        raise ValueError(f"too large: expected at most {most_bytes // 1024} kB")
    return data


def _read(descriptor: int, most_bytes: int, longest_wait_s: float) -> bytes:
    """Read until the end, or one byte more than `most_bytes`."""
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    end_s = time.monotonic() + longest_wait_s
    data = b""
    while len(data) <= most_bytes:
        if not stat.S_ISREG(kind):
            _wait(descriptor, end_s)
        try:
            chunk = os.read(descriptor, most_bytes + 1 - len(data))
        except BlockingIOError:  # another reader of the same pipe was faster
            continue
        if not chunk:
            break
        data += chunk
    return data


def _wait(descriptor: int, end_s: float) -> None:
    """Wait until a pipe or a device can be read, or has ended.

    Raises:
        TimeoutError: this did not happen before the time `end_s`.
    """
    if not hasattr(select, "poll"):  # Windows, whose pipes are read without a limit
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    left_ms = (end_s - time.monotonic()) * 1000
    if left_ms <= 0 or not poll.poll(left_ms):
        raise TimeoutError
