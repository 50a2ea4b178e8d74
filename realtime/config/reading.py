"""Reads the files of a configuration: those of --config, and those of `secret:` sources.

A run reads them again on SIGHUP. A pipe, such as `<(command)` in bash, can be read only once, so its content is kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from realtime.wire.small_file import read_small

log = logging.getLogger(__name__)


class Reading:
    """Reads small files for one run, as often as needed.

    >>> reading = Reading()
    >>> reading.read(Path("/dev/null"), 16 * 1024)
    b''

    Args:
        warn: called with a line of text if a pipe has nothing more, or others can read a secret. Default: log it.
    """

    def __init__(self, warn: Callable[[str], None] = log.warning) -> None:
        self._warn = warn
        self._kept: dict[str, bytes] = {}  # by path

    def read(self, path: Path, most_bytes: int) -> bytes:
        """Return the content of a file, or what a pipe returned on the first read.

        Args:
            path: the path. It may lead to anything.
            most_bytes: largest size in bytes; a multiple of 1024.

        Raises:
            ValueError: it can't be read. The message is the reason, without the path.
        """
        data = read_small(path, most_bytes)
        if data and _is_pipe(path):
            self._kept[str(path)] = data
        elif not data and str(path) in self._kept:
            self._warn(f"{path} is a pipe and can't be read again: using its previous content")
            return self._kept[str(path)]
        return data

    def read_secret(self, path: Path, most_bytes: int) -> bytes:
        """Return the content of a file as `read` does, and warn if other users can read it.

        Raises:
            ValueError: it can't be read. The message is the reason, without the path.
        """
        data = self.read(path, most_bytes)
        if (status := _open_to_others(path)) is not None:
            ours = status.st_uid == os.getuid()
            todo = f"run chmod 600 {path}" if ours else "give it to the user of this program, with mode 400"
            self._warn(f"{path}: other users can read this secret (mode {stat.S_IMODE(status.st_mode):o}): {todo}")
        return data


def _is_pipe(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


def _open_to_others(path: Path) -> os.stat_result | None:
    """Return the status of a regular file that every user can read; None if they can't.

    The permissions of its group don't count, because they are more often given on purpose than by mistake.
    """
    if os.name != "posix":
        return None
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        file = path.resolve(strict=True)
        status = file.stat()
        can_reach = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH and can_reach:
            return status
    return None
