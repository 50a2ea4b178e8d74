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

    def read(self, path: Path, most_bytes: int, is_secret: bool = False) -> bytes:
        """Return the content of a file, or what a pipe returned on the first read.

        Args:
            path: the path. It may lead to anything.
            most_bytes: largest size in bytes; a multiple of 1024.
            is_secret: whether to warn if other users can read it.

        Raises:
            ValueError: it can't be read. The message is the reason, without the path.
        """
        data = read_small(path, most_bytes)
        if is_secret and (mode := _mode_for_others(path)) is not None:
            self._warn(
                f"{path}: other users can read this secret (mode {mode:o}): only the user of this program should own "
                "and read it (mode 600)"
            )
        if data and _is_pipe(path):
            self._kept[str(path)] = data
        elif not data and str(path) in self._kept:
            self._warn(f"{path} is a pipe and can't be read again: using its previous content")
            return self._kept[str(path)]
        return data


def _is_pipe(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


def _mode_for_others(path: Path) -> int | None:
    """Return the permissions of a file that any other user can read; None if they can't.

    Permissions of its group are given on purpose more often than by mistake, so they don't count.
    """
    if os.name != "posix":
        return None
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        file = path.resolve(strict=True)
        mode = file.stat().st_mode
        can_reach = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        if stat.S_ISREG(mode) and mode & stat.S_IROTH and can_reach:
            return stat.S_IMODE(mode)
    return None
