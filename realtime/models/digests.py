"""The sha256 of model files, remembered in the cache, so that a file of gigabytes isn't read at every start.

Used by models.converted, description and yolo. A digest is remembered by the file's path, size, times, inode and
device. The time of the last change of an inode (ctime) is one of them: a program that writes into a file can set back
its mtime, but not that.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from realtime.errors import ConfigError
from realtime.models.cache import cache_folder
from realtime.models.memory import recall, remember

# Smaller files are read in about a millisecond.
_LARGE_BYTES = 1_000_000
# A file that was changed at most this long ago (s) may change again without another time, because file systems have
# coarse clocks.
_SETTLED_S = 2.0
_FILE = "digests.json"


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile() as file:
    ...     sha256_of(Path(file.name))[:8]
    'e3b0c442'

    Raises:
        OSError: the file can't be read.
    """
    if (before := file.stat()).st_size < _LARGE_BYTES:
        return _read(file)
    path, identity = str(file.resolve()), _identity(before)
    try:
        folder = cache_folder()
    except ConfigError:
        return _read(file)
    if (entry := recall(folder / _FILE).get(path)) is not None and entry[:-1] == identity:
        return entry[-1]
    digest = _read(file)
    settled = time.time() - before.st_mtime > _SETTLED_S
    if settled and _identity(file.stat()) == identity:
        remember(folder / _FILE, path, [*identity, digest])
    return digest


def _read(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _identity(status: os.stat_result) -> list[str]:
    """What changes when a file does, as text, because JSON has no integers of 64 bits in some readers."""
    values = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
    return [str(value) for value in values]
