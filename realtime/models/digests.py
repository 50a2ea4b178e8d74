"""The sha256 of large model files, remembered in the cache, so that a file of gigabytes isn't read at every start.

Used by models.vitpose. A digest is remembered by the file's path, size, times, inode and device. The time of the last
change of an inode (ctime) is one of them: a program that writes into a file can set back its mtime, but not that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

from realtime.errors import ConfigError
from realtime.models.cache import cache_folder, is_trusted, make_private

# Smaller files are read in a tenth of a second.
_LARGE_BYTES = 50_000_000
# A file that was changed at most this long ago (s) may change again without another time, because file systems have
# coarse clocks.
_SETTLED_S = 2.0
# How many digests are kept: those of the files that were asked about last.
_MOST = 64
_FILE = "digests.json"
# A file of this size or larger is not ours.
_MOST_BYTES = 1_000_000


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits.

    >>> with tempfile.NamedTemporaryFile() as file:
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
    known = _remembered(folder)
    if (entry := known.get(path)) is not None and entry[:-1] == identity:
        return entry[-1]
    digest = _read(file)
    settled = time.time() - before.st_mtime > _SETTLED_S
    if settled and _identity(file.stat()) == identity:
        known.pop(path, None)
        _remember(folder, dict([*known.items(), (path, [*identity, digest])][-_MOST:]))
    return digest


def _read(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _identity(status: os.stat_result) -> list[str]:
    """What changes when a file does, as text, because JSON has no integers of 64 bits in some readers."""
    values = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
    return [str(value) for value in values]


def _remembered(folder: Path) -> dict[str, list[str]]:
    """The known digests: path -> the values of `_identity`, then the digest. Empty if other users could change it."""
    file = folder / _FILE
    try:
        if not is_trusted(file) or file.stat().st_size > _MOST_BYTES:
            return {}
        data = json.loads(file.read_bytes())
    except (OSError, ValueError):  # missing, unreadable or damaged
        return {}
    entries = data.items() if isinstance(data, dict) else ()
    return {
        path: entry
        for path, entry in entries
        if isinstance(entry, list) and len(entry) > 1 and all(isinstance(value, str) for value in entry)
    }


def _remember(folder: Path, known: dict[str, list[str]]) -> None:
    """Replace the file of digests at once. If it can't be written, the next start reads the model again."""
    with contextlib.suppress(OSError):
        make_private(folder)
        if is_trusted(folder):
            handle, name = tempfile.mkstemp(prefix="begun-", dir=folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(known, file)
                Path(name).replace(folder / _FILE)
            except OSError:
                Path(name).unlink(missing_ok=True)
